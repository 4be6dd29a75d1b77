"""PointCloud2 messages as rosbags serialises them, and what voxshift::ros is to make of them, by numpy.

python tests/python/ros_messages.py writes tests/ros/messages/*.bin, which tests/ros/rosbags_messages_test.cpp reads: of
each message five pieces, each behind its length as uint32: the message in CDR; float64 [kept, 7] of its valid points (row,
x, y, z, remission, ring, time); and three messages with labels in CDR: a field of uint8, a field of uint16, and coloured.
"""

import struct
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "ros" / "messages"
CODES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}
RAW = (40, 10, 259)  # of the classes 0, 1, 2; 3 is none
RGB = (0xFF00FF, 0x6496F5, 0x6450FA)


def velodyne():
    dtype = np.dtype({"names": ["x", "y", "z", "intensity", "ring", "time"], "formats": ["<f4"] * 4 + ["<u2", "<f4"],
                      "offsets": [0, 4, 8, 12, 16, 18], "itemsize": 22})
    cloud = np.zeros((1, 11), dtype)
    index = np.arange(11)
    cloud["x"], cloud["y"], cloud["z"] = index * 1.25 - 3, 7 - index * 0.5, index % 3 * 0.125
    cloud["intensity"], cloud["ring"], cloud["time"] = index * 20, index * 3, index * 0.0078125
    cloud["y"][0, 4] = np.nan
    return cloud, 0, "intensity", "ring", "time"


def ouster():
    """Organised, with padding between fields; a beam without a return is NaN."""
    dtype = np.dtype({"names": ["x", "y", "z", "intensity", "t", "reflectivity", "ring", "ambient", "range"],
                      "formats": ["<f4", "<f4", "<f4", "<f4", "<u4", "<u2", "<u1", "<u2", "<u4"],
                      "offsets": [0, 4, 8, 16, 20, 24, 26, 28, 32], "itemsize": 48})
    cloud = np.zeros((4, 6), dtype)
    row, column = np.mgrid[:4, :6]
    cloud["x"], cloud["y"], cloud["z"] = column - 2.5, row * 2 + column * 0.25, row - 1.75
    cloud["intensity"], cloud["t"], cloud["ring"] = row * 100 + column, 4_000_000_000 + column * 1000, row
    cloud["reflectivity"], cloud["ambient"], cloud["range"] = 65535 - column, 12, 90_000
    cloud["x"][1, 2] = cloud["z"][3, 5] = cloud["y"][0, 0] = np.nan
    return cloud, 0, "intensity", "ring", "t"


def big_endian():
    """float64 and small integers in network order, with bytes behind each row."""
    dtype = np.dtype({"names": ["Ring", "z", "y", "x", "reflectivity", "timestamp"], "formats": [">i2", ">f8", ">f4", ">f8", ">u1", ">f8"],
                      "offsets": [1, 3, 11, 15, 24, 25], "itemsize": 34})
    cloud = np.zeros((3, 5), dtype)
    row, column = np.mgrid[:3, :5]
    cloud["x"], cloud["y"], cloud["z"] = column * 3 - row, row * 0.5, 900.0 - column
    cloud["Ring"], cloud["reflectivity"] = 2 - row, 250 + row
    cloud["timestamp"] = 1_700_000_000.0 + column * 0.125
    cloud["x"][2, 1] = np.inf
    return cloud, 9, "reflectivity", "Ring", "timestamp"


MESSAGES = {"velodyne": velodyne, "ouster": ouster, "big_endian": big_endian}


def store():
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_HUMBLE)


def serialised(store, cloud, pad=0, big=False, dense=False):
    """CDR of a structured array [height, width], `pad` bytes of 0xAB behind each row."""
    kinds = store.types
    fields = [kinds["sensor_msgs/msg/PointField"](name, offset, CODES[kind.str[1:]], 1)
              for name, (kind, offset) in cloud.dtype.fields.items()]
    rows = cloud.view(np.uint8).reshape(cloud.shape[0], -1)
    rows = np.hstack([rows, np.full((len(rows), pad), 0xAB, np.uint8)])
    header = kinds["std_msgs/msg/Header"](kinds["builtin_interfaces/msg/Time"](12, 34), "lidar")
    message = kinds["sensor_msgs/msg/PointCloud2"](
        header, cloud.shape[0], cloud.shape[1], fields, big, cloud.dtype.itemsize, rows.shape[1], rows.reshape(-1), dense)
    return bytes(store.serialize_cdr(message, message.__msgtype__))


def with_field(cloud, values, order):
    """The array with a field `label` behind each point's bytes."""
    old, name = cloud.dtype, f"{order}u{values.itemsize}"
    dtype = np.dtype({"names": [*old.names, "label"], "formats": [old[n] for n in old.names] + [name],
                      "offsets": [old.fields[n][1] for n in old.names] + [old.itemsize],
                      "itemsize": old.itemsize + values.itemsize})
    new = np.zeros(cloud.shape, dtype)
    new.view(np.uint8).reshape(cloud.size, -1)[:, : old.itemsize] = cloud.view(np.uint8).reshape(cloud.size, -1)
    new["label"] = values.reshape(cloud.shape)
    return new


def coloured(cloud, kept, labels):
    dtype = np.dtype({"names": ["x", "y", "z", "rgb", "label"], "formats": ["<f4"] * 4 + ["<u1"], "offsets": [0, 4, 8, 12, 16],
                      "itemsize": 20})
    new, flat = np.zeros((1, len(kept)), dtype), cloud.reshape(-1)
    for axis in "xyz":
        new[axis] = flat[axis][kept]
    new["rgb"] = np.array([RGB[label] if label < 3 else 0 for label in labels], np.uint32).view(np.float32)
    new["label"] = [label if label < 3 else 255 for label in labels]
    return new


def pieces(name):
    """The five pieces of a message."""
    types = store()
    cloud, pad, remission, ring, time = MESSAGES[name]()
    flat, big = cloud.reshape(-1), name == "big_endian"
    kept = np.flatnonzero(np.isfinite(flat["x"]) & np.isfinite(flat["y"]) & np.isfinite(flat["z"]))
    columns = [flat[field][kept].astype(np.float64) for field in ("x", "y", "z", remission, ring, time)]
    labels = np.arange(len(kept)) * 7 % 4
    train, raw = np.full(flat.size, 255, np.uint8), np.zeros(flat.size, np.uint16)
    known = labels < 3
    train[kept[known]], raw[kept[known]] = labels[known], np.array(RAW)[labels[known]]
    order = ">" if big else "<"
    return [
        serialised(types, cloud, pad, big),
        np.column_stack([kept, *columns]).astype("<f8").tobytes(),
        serialised(types, with_field(cloud, train, order), 0, big),
        serialised(types, with_field(cloud, raw, order), 0, big),
        serialised(types, coloured(cloud, kept, labels), dense=True),
    ]


def content(name):
    return b"".join(struct.pack("<I", len(piece)) + piece for piece in pieces(name))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in MESSAGES:
        (FOLDER / f"{name}.bin").write_bytes(content(name))
