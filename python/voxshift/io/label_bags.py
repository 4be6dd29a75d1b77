"""Labels as a field of the PointCloud2 messages of a recording, in a copy of it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from numpy.typing import ArrayLike

from voxshift._voxshift import InvalidArgument, IoError
from voxshift.io.atomic import written_atomically
from voxshift.io.bags import KINDS, Bag, Mcap, Message, RosBag, guarded
from voxshift.io.cloud2 import MalformedMessage, serialize, with_label
from voxshift.io.messages import chosen_topics, message_of, place
from voxshift.io.needed import needed


def _field_of(labels: ArrayLike) -> np.ndarray:
    """uint8, uint16 or uint32 [N]; of other whole numbers uint32."""
    values = np.asarray(labels)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InvalidArgument(f"[write_labels] expected whole numbers [N], found {values.dtype} {list(values.shape)}")
    if values.dtype.kind == "u" and values.dtype.itemsize <= 4:
        return values
    if len(values) > 0 and (values.min() < 0 or values.max() >= 2**32):
        raise InvalidArgument("[write_labels] expected labels of 0 to 4294967295")
    return values.astype(np.uint32)


class Labeller:
    """Puts labels into messages, in the order of read_messages."""

    def __init__(self, bag: Bag, names: list[str], labels: Iterable[ArrayLike], field: str) -> None:
        self.bag, self.names, self.field = bag, names, field
        self.labels: Iterator[ArrayLike] = iter(labels)
        self.seen = dict.fromkeys(names, 0)

    def __call__(self, message: Message) -> bytes:
        """The bytes of the message with its labels."""
        index = self.seen[message.topic]
        self.seen[message.topic] += 1
        source = place(self.bag, message.topic, index)
        cloud = message_of(message, source)
        try:
            labels = _field_of(next(self.labels))
        except StopIteration:
            raise InvalidArgument(f"[write_labels] {source}: has no labels, they end before it") from None
        if len(labels) != cloud.points:
            raise InvalidArgument(f"[write_labels] {source}: expects {cloud.points} labels, found {len(labels)}")
        try:
            return serialize(with_label(cloud, labels, self.field), message.encoding)
        except MalformedMessage as error:
            raise IoError(f"{source}: {error}") from None

    def finish(self) -> None:
        """Where all messages are done."""
        if next(self.labels, None) is not None:
            raise InvalidArgument(f"[write_labels] {self.bag.path}: has {sum(self.seen.values())} messages, found more "
                                  "labels than that")


def _copy_mcap(part: Mcap, path: Path, label: Labeller, to_topic: Optional[str]) -> None:
    writer_of = needed("mcap.writer", ".mcap files").Writer
    with part.opened() as reader, open(path, "wb") as stream:
        writer, schemas, channels = writer_of(stream), {}, {}
        header = reader.get_header()
        writer.start(header.profile, header.library)

        def channel_of(schema: Any, channel: Any, topic: str) -> int:
            key = (channel.id, topic)
            if schema is not None and schema.id not in schemas:
                schemas[schema.id] = writer.register_schema(schema.name, schema.encoding, schema.data)
            if key not in channels:
                channels[key] = writer.register_channel(
                    topic, channel.message_encoding, schemas[schema.id] if schema is not None else 0, channel.metadata)
            return int(channels[key])

        for schema, channel, message in guarded(part.path, reader.iter_messages()):
            found = [(channel.topic, message.data)]
            if channel.topic in label.names:
                new = label(Message(channel.topic, message.log_time, channel.message_encoding, message.data))
                found = [(channel.topic, new)] if to_topic is None else [*found, (to_topic, new)]
            for topic, data in found:
                writer.add_message(channel_of(schema, channel, topic), message.log_time, data, message.publish_time,
                                   message.sequence)
        for one in guarded(part.path, reader.iter_attachments()):
            writer.add_attachment(one.create_time, one.log_time, one.name, one.media_type, one.data)
        for one in guarded(part.path, reader.iter_metadata()):
            writer.add_metadata(one.name, one.metadata)
        writer.finish()


def _copy_bag(part: RosBag, path: Path, label: Labeller, to_topic: Optional[str]) -> None:
    with part.opened() as reader, needed("rosbags.rosbag1", ".bag files").Writer(path) as writer:

        def add(connection: Any, topic: str) -> Any:
            return writer.add_connection(
                topic, connection.msgtype, msgdef=connection.msgdef.data, md5sum=connection.digest,
                callerid=connection.ext.callerid, latching=connection.ext.latching)

        same, own = {}, {}
        for connection in reader.connections:
            same[connection.id] = add(connection, connection.topic)
            if to_topic is not None and connection.topic in label.names:
                own[connection.id] = add(connection, to_topic)
        for connection, time, data in guarded(part.path, reader.messages()):
            new = label(Message(connection.topic, time, "ros1", data)) if connection.topic in label.names else data
            writer.write(same[connection.id], time, data if connection.id in own else new)
            if connection.id in own:
                writer.write(own[connection.id], time, new)


def _copy_db3(part: Any, path: Path, label: Labeller, to_topic: Optional[str]) -> None:
    shutil.copyfile(part.path, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        marks = ",".join("?" * len(label.names))
        rows = connection.execute(
            "SELECT messages.id, topics.id, topics.name, messages.timestamp, topics.serialization_format FROM messages JOIN "
            f"topics ON messages.topic_id = topics.id WHERE topics.name IN ({marks}) "
            "ORDER BY messages.timestamp, messages.id", label.names).fetchall()
        columns = [row[1] for row in connection.execute("PRAGMA table_info(topics)")]
        own: dict[int, int] = {}
        for message, topic, name, time, encoding in rows:
            (data,) = connection.execute("SELECT data FROM messages WHERE id = ?", (message,)).fetchone()
            new = label(Message(name, time, encoding, data))
            if to_topic is None:
                connection.execute("UPDATE messages SET data = ? WHERE id = ?", (new, message))
                continue
            if topic not in own:
                others = ", ".join(column for column in columns if column not in ("id", "name"))
                cursor = connection.execute(
                    f"INSERT INTO topics (id, name, {others}) SELECT (SELECT max(id) + 1 FROM topics), ?, {others} FROM topics "
                    "WHERE id = ?", (to_topic, topic))
                own[topic] = int(cursor.lastrowid or 0)
            connection.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", (own[topic], time, new))


_COPIES: dict[str, Callable[..., None]] = {".mcap": _copy_mcap, ".bag": _copy_bag, ".db3": _copy_db3}


def _copy(part: Any, path: Path, label: Labeller, to_topic: Optional[str]) -> None:
    try:
        _COPIES[part.path.suffix.lower()](part, path, label, to_topic)
    except sqlite3.Error as error:  # a full disk, among others
        raise OSError(str(error)) from error


def _write_folder(path: Path, bag: Bag, label: Labeller) -> None:
    """A folder as bag's, each recording in it with labels; the rest, metadata.yaml among it, as it is."""
    if path.exists():
        raise IoError(f"{path}: is there already, expected a new folder")
    with written_atomically(path) as temporary:
        shutil.copytree(bag.path, temporary, ignore=lambda _, names: [n for n in names if Path(n).suffix in KINDS])
        for part in bag.parts:
            _copy(part, temporary / part.path.name, label, None)
        label.finish()


def write_bag(
    path: Path,
    labels: Iterable[ArrayLike],
    source: Union[str, os.PathLike[str]],
    topic: Optional[str] = None,
    to_topic: Optional[str] = None,
    field: str = "label",
) -> None:
    """As write_labels says of recordings."""
    bag = Bag(os.fspath(source))
    kind = "" if bag.path.is_dir() else bag.path.suffix.lower()
    if kind != path.suffix.lower() and (kind or path.suffix.lower() in KINDS):
        raise InvalidArgument(f"[write_labels] a copy of {bag.path.name} is a {kind or 'folder'}, too, found {path.name}")
    names = chosen_topics(bag, topic)
    if to_topic is not None and to_topic in bag.topics():
        raise InvalidArgument(f"[write_labels] {bag.path} has a topic {to_topic} already")
    label = Labeller(bag, names, labels, field)
    if bag.path.is_dir():
        _write_folder(path, bag, label)
        return
    with written_atomically(path) as temporary:
        _copy(bag.parts[0], temporary, label, to_topic)
        label.finish()
