"""sensor_msgs/PointCloud2: its bytes in ROS 1's serialization and in CDR, and its fields as arrays.

The message is that of docs.ros.org/en/api/sensor_msgs; bytes are read and written here, for bags of ROS 2 may have no
definitions of their messages, and a message's data is not copied.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any, Optional

import numpy as np

from voxshift._voxshift import IoError

# sensor_msgs/PointField: INT8 = 1 .. FLOAT64 = 8
DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
UINT8, UINT16, UINT32 = 2, 4, 6


class MalformedMessage(Exception):
    """The bytes are no PointCloud2; the text says why."""


@dataclass(frozen=True)
class PointField:
    """Where a field of every point lies."""

    name: str
    offset: int
    datatype: int
    count: int


@dataclass(frozen=True)
class PointCloud2:
    """A message as it is."""

    seq: int  # ROS 1 alone
    stamp: int  # nanoseconds
    frame_id: str
    height: int
    width: int
    fields: tuple[PointField, ...]
    is_bigendian: bool
    point_step: int
    row_step: int
    data: memoryview
    is_dense: bool

    @property
    def points(self) -> int:
        return self.height * self.width


class _Reader:
    """Takes values of bytes one after the other. CDR aligns them, from behind its 4 bytes of header; ROS 1 does not."""

    def __init__(self, data: Any, encoding: str) -> None:
        self.data, self.at, self.start = memoryview(data).cast("B"), 0, 0
        self.cdr, self.order = encoding == "cdr", "<"
        if self.cdr:
            representation = bytes(self.take(4))[1]  # CDR_BE 0, CDR_LE 1, PLAIN_CDR2 6 and 7
            if representation not in (0, 1, 6, 7):
                raise MalformedMessage(f"expected plain CDR, found representation {representation}")
            self.order, self.start = "<" if representation & 1 else ">", 4

    def take(self, count: int) -> memoryview:
        if self.at + count > len(self.data):
            raise MalformedMessage(f"is cut: {count} bytes are promised at {self.at}, {len(self.data) - self.at} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def u32(self) -> int:
        if self.cdr:
            self.at += (self.start - self.at) % 4
        return int(struct.unpack(self.order + "I", self.take(4))[0])

    def u8(self) -> int:
        return self.take(1)[0]

    def text(self) -> str:
        raw = bytes(self.take(self.u32()))
        return (raw[:-1] if self.cdr else raw).decode(errors="replace")


def parse(data: Any, encoding: str) -> PointCloud2:
    """The message of these bytes; encoding "ros1" or "cdr". Raises MalformedMessage."""
    reader = _Reader(data, encoding)
    seq = 0 if reader.cdr else reader.u32()
    stamp = reader.u32() * 10**9 + reader.u32()
    frame_id, height, width = reader.text(), reader.u32(), reader.u32()
    count, fields = reader.u32(), []
    for _ in range(count):
        fields.append(PointField(reader.text(), reader.u32(), reader.u8(), reader.u32()))
    big, point_step, row_step = reader.u8() != 0, reader.u32(), reader.u32()
    values = reader.take(reader.u32())
    return PointCloud2(seq, stamp, frame_id, height, width, tuple(fields), big, point_step, row_step, values,
                       reader.u8() != 0)


class _Writer:
    def __init__(self, encoding: str) -> None:
        self.cdr = encoding == "cdr"
        self.bytes = bytearray(b"\x00\x01\x00\x00" if self.cdr else b"")

    def u32(self, value: int) -> None:
        if self.cdr:
            self.bytes += bytes(-len(self.bytes) % 4)  # the header of 4 bytes keeps the alignment
        self.bytes += struct.pack("<I", value)

    def u8(self, value: int) -> None:
        self.bytes.append(value)

    def text(self, text: str) -> None:
        raw = text.encode() + (b"\0" if self.cdr else b"")
        self.u32(len(raw))
        self.bytes += raw


def serialize(message: PointCloud2, encoding: str) -> bytes:
    """The message's bytes, little endian but for its data, which are as they are."""
    writer = _Writer(encoding)
    if not writer.cdr:
        writer.u32(message.seq)
    for value in divmod(message.stamp, 10**9):
        writer.u32(value)
    writer.text(message.frame_id)
    for value in (message.height, message.width, len(message.fields)):
        writer.u32(value)
    for field in message.fields:
        writer.text(field.name)
        writer.u32(field.offset)
        writer.u8(field.datatype)
        writer.u32(field.count)
    writer.u8(message.is_bigendian)
    for value in (message.point_step, message.row_step, len(message.data)):
        writer.u32(value)
    writer.bytes += message.data
    writer.u8(message.is_dense)
    return bytes(writer.bytes)


def checked(message: PointCloud2) -> PointCloud2:
    """The message, once its lengths agree with each other; a single row may have any row_step.

    Raises MalformedMessage.
    """
    size, step = len(message.data), message.point_step
    if message.height == 1 and size == message.width * step:
        message = replace(message, row_step=size)
    if message.width * step > message.row_step and message.height > 0:
        raise MalformedMessage(f"has rows of {message.width} points of {step} bytes in a row_step of {message.row_step}")
    if message.height * message.row_step != size:
        raise MalformedMessage(f"expected {message.height} rows of {message.row_step} bytes, found {size} bytes of data")
    names: set[str] = set()
    for field in message.fields:
        if field.datatype not in DATATYPES:
            known = ", ".join(f"{number} {np.dtype(code).name}" for number, code in DATATYPES.items())
            raise MalformedMessage(f"field {field.name} has the unknown datatype {field.datatype}; known are {known}")
        end = field.offset + max(field.count, 1) * np.dtype(DATATYPES[field.datatype]).itemsize
        if end > step:
            raise MalformedMessage(f"field {field.name} ends at byte {end} of points of {step} bytes")
        if field.name in names - {"", "_"}:
            raise MalformedMessage(f"has field {field.name} twice")
        names.add(field.name)
    return message


def arrays(message: PointCloud2) -> dict[str, np.ndarray]:
    """Every field of a checked message by its name, [height * width] or of several values [height * width, count].

    Rows follow each other; padding between fields, points and rows is passed over, as are fields named "" and "_". The
    arrays are views of the message's bytes where rows have no padding.
    """
    found = {}
    for field in message.fields:
        if field.name in ("", "_"):
            continue
        dtype = np.dtype((">" if message.is_bigendian else "<") + DATATYPES[field.datatype])
        count = max(field.count, 1)
        if message.points == 0:
            values = np.empty((0, 1, count), dtype)
        else:
            values = np.ndarray((message.height, message.width, count), dtype, message.data, field.offset,
                                (message.row_step, message.point_step, dtype.itemsize))
        found[field.name] = values.reshape((-1,) if count == 1 else (-1, count))
    return found


def parse_checked(data: Any, encoding: str, source: str) -> PointCloud2:
    """As parse and checked; IoError "SOURCE: .." in place of MalformedMessage."""
    try:
        return checked(parse(data, encoding))
    except MalformedMessage as error:
        raise IoError(f"{source}: the PointCloud2 {error}") from None


def with_label(message: PointCloud2, labels: np.ndarray, name: str = "label") -> PointCloud2:
    """A checked message with a field of labels [points], uint8, uint16 or uint32, behind its others.

    A field of that name and dtype is written over. Rows lose their padding. Raises MalformedMessage where a field of
    that name has another type.
    """
    datatype = {1: UINT8, 2: UINT16, 4: UINT32}[labels.dtype.itemsize]
    there: Optional[PointField] = next((field for field in message.fields if field.name == name), None)
    if there is not None and (there.datatype != datatype or there.count > 1):
        raise MalformedMessage(f"has a field {name} of another type already: give another name")
    step = message.point_step + (0 if there else labels.dtype.itemsize)
    label = there or PointField(name, message.point_step, datatype, 1)
    rows = np.zeros((message.height, message.width, step), np.uint8)
    if message.points > 0:
        rows[:, :, : message.point_step] = np.ndarray(
            (message.height, message.width, message.point_step), np.uint8, message.data, 0,
            (message.row_step, message.point_step, 1))
    values = labels.astype(labels.dtype.newbyteorder(">" if message.is_bigendian else "<"))
    cells = values.reshape(message.height, message.width, 1).view(np.uint8)
    rows[:, :, label.offset : label.offset + labels.dtype.itemsize] = cells
    fields = message.fields if there else (*message.fields, label)
    return replace(message, fields=fields, point_step=step, row_step=message.width * step,
                   data=memoryview(rows.tobytes()))
