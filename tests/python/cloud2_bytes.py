"""PointCloud2 messages byte by byte, as ROS writes them, and recordings of such: independent of voxshift's reader."""

import functools
import struct
from types import SimpleNamespace

TYPE = "sensor_msgs/msg/PointCloud2"
CODES = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 8: "d"}


def cloud(points, fields, step, height=1, pad=0, big=False, stamp=(12, 34), frame="lidar", dense=True, count=None):
    """fields: (name, offset, datatype, count); points: a list of values per point, tuples where count > 1.

    pad: bytes behind each row. Bytes that belong to no field are 0xEE.
    """
    order = ">" if big else "<"
    width = len(points) // height
    data = bytearray()
    for row in range(height):
        for values in points[row * width : (row + 1) * width]:
            cell = bytearray(b"\xee" * step)
            for (_, offset, datatype, several), value in zip(fields, values):
                many = value if isinstance(value, tuple) else (value,)
                struct.pack_into(f"{order}{max(several, 1)}{CODES[datatype]}", cell, offset, *many)
            data += cell
        data += b"\xee" * pad
    return SimpleNamespace(height=height, width=width, fields=fields, big=big, step=step, row_step=width * step + pad,
                           data=bytes(data), stamp=stamp, frame=frame, dense=dense)


def ros1(message, seq=7):
    def text(value):
        return struct.pack("<I", len(value)) + value.encode()

    out = struct.pack("<III", seq, *message.stamp) + text(message.frame)
    out += struct.pack("<III", message.height, message.width, len(message.fields))
    for name, offset, datatype, count in message.fields:
        out += text(name) + struct.pack("<IBI", offset, datatype, count)
    out += struct.pack("<BIII", message.big, message.step, message.row_step, len(message.data))
    return out + message.data + struct.pack("<B", message.dense)


def cdr(message, order="<"):
    out = bytearray()

    def number(code, value):
        size = struct.calcsize(code)
        out.extend(bytes(-len(out) % size))
        out.extend(struct.pack(order + code, value))

    def text(value):
        number("I", len(value) + 1)
        out.extend(value.encode() + b"\0")

    for value in message.stamp:
        number("I", value)
    text(message.frame)
    for value in (message.height, message.width, len(message.fields)):
        number("I", value)
    for name, offset, datatype, count in message.fields:
        text(name)
        number("I", offset)
        number("B", datatype)
        number("I", count)
    number("B", message.big)
    for value in (message.step, message.row_step, len(message.data)):
        number("I", value)
    out.extend(message.data)
    number("B", message.dense)
    return (b"\0\1\0\0" if order == "<" else b"\0\0\0\0") + bytes(out)


@functools.lru_cache(None)
def store_of(ros):
    """rosbags' definitions of the messages of ROS 1 or 2."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS1_NOETIC if ros == 1 else Stores.ROS2_HUMBLE)


def record_bag(path, topics, compression=None):
    """A .bag by rosbags. topics: name -> (type, [(nanoseconds, bytes)])."""
    from rosbags.rosbag1 import Writer

    store = store_of(1)
    made = Writer(path)
    if compression is not None:
        made.set_compression(Writer.CompressionFormat[compression])
    with made as writer:
        made = {name: writer.add_connection(name, kind, typestore=store) for name, (kind, _) in topics.items()}
        for name, at, data in in_order(topics):
            writer.write(made[name], at, data)


def record_folder(path, topics, storage):
    """A folder of ROS 2's with a .db3 or .mcap, by rosbags."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    store = store_of(2)
    plugin = {".db3": StoragePlugin.SQLITE3, ".mcap": StoragePlugin.MCAP}[storage]
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        made = {name: writer.add_connection(name, kind, typestore=store) for name, (kind, _) in topics.items()}
        for name, at, data in in_order(topics):
            writer.write(made[name], at, data)


def record_mcap(path, topics, encoding="cdr", **options):
    """A .mcap by mcap."""
    from mcap.writer import Writer

    with open(path, "wb") as stream:
        writer = Writer(stream, **options)
        writer.start("ros2" if encoding == "cdr" else "ros1")
        made = {}
        for name, (kind, _) in topics.items():
            schema = writer.register_schema(kind, "ros2msg" if encoding == "cdr" else "ros1msg", b"")
            made[name] = writer.register_channel(name, encoding, schema)
        for name, at, data in in_order(topics):
            writer.add_message(made[name], at, data, at)
        writer.finish()


def in_order(topics):
    return sorted(((name, at, data) for name, (_, messages) in topics.items() for at, data in messages),
                  key=lambda one: one[1])
