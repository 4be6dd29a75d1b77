"""Scans of the PointCloud2 messages of recordings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Union

from voxshift._voxshift import IoError
from voxshift.io.bags import Bag, Message, Topic
from voxshift.io.cloud2 import arrays, parse_checked
from voxshift.io.scan import Scan, scan_of_fields

_Path = Union[str, "os.PathLike[str]"]


def topics(path: _Path) -> dict[str, Topic]:
    """The topics of a .bag, .db3 or .mcap, or of a folder of ROS 2's, in no promised order: name -> type, count.

    Raises OSError for a file that is missing or cut, ImportError where the library that reads it is missing.
    """
    return Bag(os.fspath(path)).topics()


def _listed(found: dict[str, Topic]) -> str:
    return ", ".join(f"{name} ({topic.type}, {topic.count})" for name, topic in sorted(found.items())) or "none"


def chosen_topics(bag: Bag, topic: Union[None, str, Sequence[str]]) -> list[str]:
    """The names that are meant, which have points; IoError lists what there is."""
    found = bag.topics()
    if topic is None:
        clouds = {name: info for name, info in found.items() if info.has_points}
        if not clouds:
            raise IoError(f"{bag.path}: has no topic of PointCloud2 messages, found {_listed(found)}")
        if len(clouds) > 1:
            raise IoError(f"{bag.path}: has several topics of PointCloud2 messages, give one of them: {_listed(clouds)}")
        return list(clouds)
    names = [topic] if isinstance(topic, str) else list(topic)
    for name in names:
        if name not in found:
            raise IoError(f"{bag.path}: has no topic {name}, found {_listed(found)}")
        if not found[name].has_points:
            raise IoError(f"{bag.path}: topic {name} expects PointCloud2 messages, found {found[name].type}")
    return names


def read_messages(
    path: _Path, topic: Union[None, str, Sequence[str]] = None
) -> Iterator[tuple[str, int, Scan]]:
    """(topic, stamp, scan) of the PointCloud2 messages of a .bag, .db3 or .mcap, or of a folder of ROS 2's.

    In the order in which they were recorded; one message is in memory at a time. topic: a name or several; unless given,
    the one topic that has PointCloud2 messages. stamp: nanoseconds, of the message's header; where that is 0, of its
    recording. A scan has a point for each of the message's, row by row where it is organized, those without a return
    (NaN, or 0) too, so that labels fit the message.

    Raises OSError "FILE: .." where the file is missing or cut, where the topic is not there, there are several or none,
    which it lists, and "FILE: topic T, message I: .." for a message that is malformed; ImportError where the library
    that reads the file is missing.
    """
    bag = Bag(os.fspath(path))
    return _scans(bag, chosen_topics(bag, topic))


def place(bag: Bag, topic: str, index: int) -> str:
    """A message's name in errors, from 0 on."""
    return f"{bag.path}: topic {topic}, message {index}"


def message_of(message: Message, source: str) -> Any:
    """The PointCloud2 of a recorded message."""
    if message.encoding not in ("cdr", "ros1"):
        raise IoError(f"{source}: expected the encoding cdr or ros1, found {message.encoding}")
    return parse_checked(message.data, message.encoding, source)


def _scans(bag: Bag, names: list[str]) -> Iterator[tuple[str, int, Scan]]:
    seen = dict.fromkeys(names, 0)
    for message in bag.messages(names):
        source = place(bag, message.topic, seen[message.topic])
        seen[message.topic] += 1
        cloud = message_of(message, source)
        yield message.topic, cloud.stamp or message.time, scan_of_fields(source, arrays(cloud))
