"""Recordings of ROS: .bag by rosbags, .mcap by mcap, .db3 by sqlite3, and the folders that ROS 2 puts them in."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Union

from voxshift._voxshift import Error, IoError
from voxshift.io.needed import needed

POINT_CLOUD = ("sensor_msgs/msg/PointCloud2", "sensor_msgs/PointCloud2")


@dataclass(frozen=True)
class Topic:
    """What a recording has of a topic."""

    type: str
    """The type of its messages, as "sensor_msgs/msg/PointCloud2"."""
    count: int
    """Of its messages."""

    @property
    def has_points(self) -> bool:
        return self.type in POINT_CLOUD


class Message(NamedTuple):
    """A message as it was recorded."""

    topic: str
    time: int  # nanoseconds, when it was recorded
    encoding: str  # "cdr" or "ros1"
    data: Any


class RosBag:
    """A .bag of ROS 1."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def opened(self) -> Iterator[Any]:
        with needed("rosbags.rosbag1", ".bag files").Reader(self.path) as reader:
            yield reader

    def topics(self) -> dict[str, Topic]:
        with self.opened() as reader:
            return {name: Topic(info.msgtype or "several types", info.msgcount) for name, info in reader.topics.items()}

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        with self.opened() as reader:
            wanted = [connection for connection in reader.connections if connection.topic in names]
            for connection, time, data in reader.messages(wanted) if wanted else ():
                yield Message(connection.topic, time, "ros1", data)


class Mcap:
    """A .mcap, of ROS 2 or ROS 1."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def opened(self) -> Iterator[Any]:
        make_reader = needed("mcap.reader", ".mcap files").make_reader
        with open(self.path, "rb") as stream:
            yield make_reader(stream, validate_crcs=True)

    def topics(self) -> dict[str, Topic]:
        with self.opened() as reader:
            summary = reader.get_summary()
            if summary is not None and summary.channels and summary.statistics is not None:
                counts = summary.statistics.channel_message_counts
                found = [(channel, summary.schemas.get(channel.schema_id), counts.get(channel.id, 0))
                         for channel in summary.channels.values()]
            else:
                found = [(channel, schema, 1) for schema, channel, _ in reader.iter_messages()]
        topics: dict[str, Topic] = {}
        for channel, schema, count in found:
            so_far = topics[channel.topic].count if channel.topic in topics else 0
            topics[channel.topic] = Topic(schema.name if schema else channel.message_encoding, so_far + count)
        return topics

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        with self.opened() as reader:
            for _, channel, message in reader.iter_messages(topics=list(names)):
                yield Message(channel.topic, message.log_time, channel.message_encoding, message.data)


class Sqlite:
    """A .db3 of ROS 2: a data base with the tables topics and messages."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        address = self.path.absolute().as_uri() + "?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            yield connection

    def topics(self) -> dict[str, Topic]:
        query = ("SELECT name, type, (SELECT count(*) FROM messages WHERE topic_id = topics.id) FROM topics "
                 "ORDER BY topics.id")
        with self.opened() as connection:
            return {name: Topic(kind, count) for name, kind, count in connection.execute(query)}

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        query = ("SELECT topics.name, messages.timestamp, topics.serialization_format, messages.data FROM messages JOIN "
                 f"topics ON messages.topic_id = topics.id WHERE topics.name IN ({','.join('?' * len(names))}) "
                 "ORDER BY messages.timestamp, messages.id")
        with self.opened() as connection:
            for row in connection.execute(query, list(names)):
                yield Message(*row)


Recording = Union[RosBag, Mcap, Sqlite]
KINDS: dict[str, Callable[[Path], Recording]] = {".bag": RosBag, ".mcap": Mcap, ".db3": Sqlite}


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Whatever a library throws of a file that is cut or of another kind is an IoError of one line."""
    try:
        yield
    except (Error, ImportError):
        raise
    except FileNotFoundError:
        raise IoError(f"{path}: No such file") from None
    except Exception as error:
        line = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise IoError(f"{path}: is no {path.suffix} recording, or is cut: {line}") from error


def guarded(path: Path, items: Iterable[Any]) -> Iterator[Any]:
    """The items, read with readable's errors; those of whoever takes the items are left alone."""
    with readable(path):
        yield from items


class Bag:
    """A recording: one file, or the files of a folder of ROS 2 in the order of their numbers."""

    def __init__(self, path: Union[str, Path]) -> None:
        self.path = Path(path)
        self.parts: list[Recording] = []
        files = [self.path]
        if self.path.is_dir():
            files = sorted((file for file in self.path.iterdir() if file.suffix in (".db3", ".mcap")),
                           key=lambda file: [int(part) if part.isdigit() else part
                                             for part in re.split(r"(\d+)", file.name)])
            if not files:
                raise IoError(f"{path}: has no .db3 or .mcap file")
        for file in files:
            if file.suffix.lower() not in KINDS:
                raise IoError(f"{file}: expected a .bag, .db3 or .mcap file, or a folder of ROS 2's with such")
            if not file.is_file():
                raise IoError(f"{file}: No such file")
            self.parts.append(KINDS[file.suffix.lower()](file))

    def topics(self) -> dict[str, Topic]:
        found: dict[str, Topic] = {}
        for part in self.parts:
            with readable(part.path):
                for name, topic in part.topics().items():
                    found[name] = Topic(topic.type, topic.count + (found[name].count if name in found else 0))
        return found

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        for part in self.parts:
            with readable(part.path):
                yield from part.messages(names)
