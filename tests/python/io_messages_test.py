"""PointCloud2 messages of recordings, against messages packed by hand and recordings of the libraries that own them."""

import struct
import sys

import cloud2_bytes
import numpy as np
import pytest
import voxshift as vs
import voxshift.io as vio
from cloud2_bytes import CODES, TYPE, cdr, cloud, record_bag, record_folder, record_mcap, ros1

pytest.importorskip("rosbags", reason="needs rosbags (pip install voxshift[io])")
pytest.importorskip("mcap", reason="needs mcap (pip install voxshift[io])")

XYZI = [("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("intensity", 12, 7, 1)]
ONE = cloud([(1, 2, 3, 4), (5, 6, 7, 8)], XYZI, 16)
TEXT = ("std_msgs/msg/String", [(5, cdr(ONE))])


def read_one(message, tmp_path, encode=cdr):
    path = tmp_path / "one.mcap"
    record_mcap(path, {"/points": (TYPE, [(9, encode(message))])}, "ros1" if encode is ros1 else "cdr")
    [(_, _, scan)] = vio.read_messages(path)
    return scan


@pytest.fixture(params=["bag", "db3", "mcap", "db3 folder", "mcap folder"])
def recording(request, tmp_path):
    """A recording of two scans and another topic, in each of the forms."""
    encode = ros1 if request.param == "bag" else cdr
    later = cloud([(9, 8, 7, 6)], XYZI, 16, stamp=(0, 0))
    topics = {"/points": (TYPE, [(10, encode(ONE)), (30, encode(later))]), "/chatter": ("std_msgs/msg/String", [(20, b"..")])}
    if request.param == "bag":
        record_bag(tmp_path / "a.bag", topics)
        return tmp_path / "a.bag"
    if request.param == "mcap":
        record_mcap(tmp_path / "a.mcap", topics)
        return tmp_path / "a.mcap"
    storage = "." + request.param.split()[0]
    record_folder(tmp_path / "a", topics, storage)
    return tmp_path / "a" if "folder" in request.param else tmp_path / "a" / f"a{storage}"


def test_every_form_of_recording(recording):
    assert vio.topics(recording) == {"/points": vio.Topic(TYPE, 2), "/chatter": vio.Topic("std_msgs/msg/String", 1)}
    for given in (None, "/points", ["/points"]):
        (first, second) = vio.read_messages(str(recording), given)
        assert first[:2] == ("/points", 12 * 10**9 + 34)
        assert second[:2] == ("/points", 30)  # its header has no stamp: when it was recorded
        assert first[2].points.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]] and first[2].has_remission
        assert second[2].points.tolist() == [[9, 8, 7, 6]]
    with pytest.raises(OSError, match=r"has no topic /velodyne, found /chatter \(std_msgs/msg/String, 1\), /points \(.*, 2\)$"):
        vio.read_messages(recording, "/velodyne")
    with pytest.raises(OSError, match="topic /chatter expects PointCloud2 messages, found std_msgs/msg/String$"):
        vio.read_messages(recording, "/chatter")


@pytest.mark.parametrize(("extension", "compression"), [
    (".bag", "BZ2"), (".bag", "LZ4"), (".mcap", "LZ4"), (".mcap", "NONE"), (".mcap", "ZSTD")])
def test_compressed_recordings(extension, compression, tmp_path):
    many = cloud([(i, 2, 3, 4) for i in range(500)], XYZI, 16)
    path = tmp_path / f"a{extension}"
    if extension == ".bag":
        record_bag(path, {"/points": (TYPE, [(1, ros1(many))])}, compression)
    else:
        from mcap.writer import CompressionType

        record_mcap(path, {"/points": (TYPE, [(1, cdr(many))])}, compression=CompressionType[compression])
    assert (path.stat().st_size < 8000) == (compression != "NONE")
    [(_, _, scan)] = vio.read_messages(path)
    assert scan.points.tolist() == [[i, 2, 3, 4] for i in range(500)]


def test_mcap_without_an_index(tmp_path):
    from mcap.writer import IndexType

    for options in ({"index_types": IndexType.NONE, "use_statistics": False, "repeat_channels": False, "repeat_schemas": False,
                     "use_summary_offsets": False}, {"use_chunking": False}):
        record_mcap(tmp_path / "a.mcap", {"/points": (TYPE, [(1, cdr(ONE)), (2, cdr(ONE))])}, **options)
        assert vio.topics(tmp_path / "a.mcap") == {"/points": vio.Topic(TYPE, 2)}
        assert [len(scan) for _, _, scan in vio.read_messages(tmp_path / "a.mcap")] == [2, 2]


def test_folder_of_several_files(tmp_path):
    for number in (0, 2, 10):
        record_mcap(tmp_path / f"a_{number}.mcap", {"/points": (TYPE, [(number, cdr(cloud([(number, 0, 0, 0)], XYZI, 16)))])})
    assert [scan.points[0, 0] for _, _, scan in vio.read_messages(tmp_path)] == [0, 2, 10]
    assert vio.topics(tmp_path)["/points"].count == 3


def test_bytes_are_those_of_rosbags():
    """The packing by hand is what ROS' own definitions give."""
    from rosbags.typesys import Stores, get_typestore

    message = cloud([(1, 2, 3, 4, (5, 6))] * 4, [*XYZI, ("pair", 17, 3, 2)], 23, height=2, pad=5, frame="a_frame", dense=False)
    for stores, encode, header in ((Stores.ROS2_HUMBLE, cdr, ()), (Stores.ROS1_NOETIC, ros1, (7,))):
        store = get_typestore(stores)
        types = store.types
        stamp = types["builtin_interfaces/msg/Time"](*message.stamp)
        made = types[TYPE](
            types["std_msgs/msg/Header"](*header, stamp, message.frame), message.height, message.width,
            [types["sensor_msgs/msg/PointField"](*field) for field in message.fields], message.big, message.step,
            message.row_step, np.frombuffer(message.data, np.uint8), message.dense)
        serialize = store.serialize_cdr if encode is cdr else store.serialize_ros1
        assert bytes(serialize(made, TYPE)) == encode(message)


@pytest.mark.parametrize("encode", [cdr, ros1, lambda message: cdr(message, ">")], ids=["cdr", "ros1", "cdr_be"])
@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("datatype", CODES)
def test_any_layout(datatype, big, encode, tmp_path, random):
    """Odd offsets, padding of points and rows, values of every datatype, several per field, fields in no order."""
    size = struct.calcsize(CODES[datatype])
    fields = [("z", 3, 8, 1), ("", 11, 2, 2), ("value", 13, datatype, 1), ("several", 13 + size, datatype, 3),
              ("_", 0, 2, 1), ("y", 14 + 4 * size, 7, 1), ("x", 19 + 4 * size, 4, 1)]
    step = 24 + 4 * size
    high = 100 if datatype < 7 else 0.25
    points = [(float(i) + 0.1, (0, 0), high - i, (i, 2, 3), 1, 2.5 * i, 1000 + i) for i in range(6)]
    message = cloud(points, fields, step, height=2, pad=7, big=big)
    path = tmp_path / "a.mcap"
    record_mcap(path, {"/points": (TYPE, [(9, encode(message))])}, "ros1" if encode is ros1 else "cdr")
    [(_, _, scan)] = vio.read_messages(path)
    order = ">" if big else "<"
    for i in range(6):
        at = (i // 3) * message.row_step + (i % 3) * step
        value = [struct.unpack_from(f"{order}{several}{CODES[kind]}", message.data, at + offset)
                 for _, offset, kind, several in fields]
        xyz = [value[6][0] - scan.origin[0], value[5][0], np.float32(value[0][0])]
        assert scan.points[i].tolist() == [*xyz, 0]
        assert scan.fields["value"][i] == value[2][0]
        assert scan.fields["several"][i].tolist() == list(value[3])
    assert set(scan.fields) == {"value", "several"} and not scan.has_remission


@pytest.mark.parametrize(("name", "attribute"), [
    ("intensity", "remission"), ("reflectivity", "remission"), ("remission", "remission"), ("ring", "ring"), ("line", "ring"),
    ("channel", "ring"), ("t", "time"), ("time", "time"), ("timestamp", "time"), ("offset_time", "time"), ("label", "label"),
    ("range", None), ("ambient", None), ("tag", None)])
def test_names_of_drivers(name, attribute, tmp_path):
    message = cloud([(1, 2, 3, 40), (4, 5, 6, 70)], [*XYZI[:3], (name, 12, 6, 1)], 16)
    scan = read_one(message, tmp_path)
    found = {"remission": scan.points[:, 3] if scan.has_remission else None, "ring": scan.ring, "time": scan.time,
             "label": scan.label, None: scan.fields.get(name)}
    for kind, values in found.items():
        assert (values is not None) == (kind == attribute), kind
    assert found[attribute].tolist() == [40, 70]


@pytest.mark.parametrize(("first", "second", "time"), [("s", "t", None), ("s", "time", [7, 9]), ("u", "t", [7, 9])])
def test_places_on_a_picture_are_no_time(first, second, time, tmp_path):
    message = cloud([(1, 2, 3, 40, 7), (4, 5, 6, 70, 9)], [*XYZI[:3], (first, 12, 6, 1), (second, 16, 6, 1)], 20)
    scan = read_one(message, tmp_path)
    assert (scan.time is None) if time is None else (scan.time.tolist() == time)
    assert set(scan.fields) == ({first, second} if time is None else {first})


def test_ousters_message(tmp_path):
    """Intensity is the remission, reflectivity stays by its name; an organized cloud keeps what has no return."""
    fields = [("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("intensity", 16, 7, 1), ("t", 20, 6, 1),
              ("reflectivity", 24, 4, 1), ("ring", 26, 4, 1), ("ambient", 28, 4, 1), ("range", 32, 6, 1)]
    nan = float("nan")
    points = [(i, 0, 1, 10 + i, 100 * i, 200 + i, i // 2, 5, 1000) for i in range(3)] + [(nan, nan, nan, 0, 0, 0, 1, 0, 0)]
    scan = read_one(cloud(points, fields, 48, height=2, dense=False), tmp_path)
    assert scan.points[:3].tolist() == [[0, 0, 1, 10], [1, 0, 1, 11], [2, 0, 1, 12]] and np.isnan(scan.points[3, :3]).all()
    assert (scan.ring.tolist(), scan.time.tolist()) == ([0, 0, 1, 1], [0, 100, 200, 0])
    assert {name: values.tolist() for name, values in scan.fields.items()} == {
        "reflectivity": [200, 201, 202, 0], "ambient": [5, 5, 5, 0], "range": [1000, 1000, 1000, 0]}


def test_packed_colour_and_far_coordinates(tmp_path):
    fields = [("x", 0, 8, 1), ("y", 8, 8, 1), ("z", 16, 8, 1), ("rgb", 24, 7, 1)]
    colour = struct.unpack("<f", struct.pack("<I", 0x10203))[0]
    scan = read_one(cloud([(500000.125, 5400000.5, 7, colour)], fields, 28), tmp_path)
    assert scan.rgb.tolist() == [[1, 2, 3]]
    assert scan.xyz.tolist() == [[500000.125, 5400000.5, 7]] and scan.origin.tolist() == [500000, 5400000, 0]


def test_nothing_in_a_message(tmp_path):
    for message in (cloud([], XYZI, 16), changed(height=0, width=5, row_step=80, data=b""), changed(width=0, row_step=0, data=b"")):
        scan = read_one(message, tmp_path)
        assert scan.points.shape == (0, 4)


def test_row_step_of_a_single_row_is_not_asked(tmp_path):
    message = cloud([(1, 2, 3, 4), (5, 6, 7, 8)], XYZI, 16)
    message.row_step = 0  # as some drivers have it
    assert len(read_one(message, tmp_path)) == 2


def changed(**values):
    message = cloud([(1, 2, 3, 4)] * 4, XYZI, 16, height=2)
    for name, value in values.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(("message", "text"), [
    (changed(fields=[*XYZI[:3], ("intensity", 12, 9, 1)]),
     "field intensity has the unknown datatype 9; known are 1 int8, 2 uint8"),
    (changed(fields=[*XYZI[:3], ("intensity", 12, 0, 1)]), "field intensity has the unknown datatype 0"),
    (changed(fields=[*XYZI[:3], ("intensity", 14, 7, 1)]), "field intensity ends at byte 18 of points of 16 bytes"),
    (changed(fields=[*XYZI[:3], ("intensity", 12, 7, 2**30)]), "field intensity ends at byte 4294967308 of points of 16"),
    (changed(fields=[*XYZI, ("x", 0, 7, 1)]), "has field x twice"),
    (changed(row_step=24), "has rows of 2 points of 16 bytes in a row_step of 24"),
    (changed(data=b"." * 65), "expected 2 rows of 32 bytes, found 65 bytes of data"),
    (changed(data=b"." * 63), "expected 2 rows of 32 bytes, found 63 bytes of data"),
    (changed(width=2**31, row_step=0), "has rows of 2147483648 points of 16 bytes in a row_step of 0"),
    (changed(height=2**31), "expected 2147483648 rows of 32 bytes, found 64 bytes of data"),
    (changed(fields=XYZI[:2]), "has no field z of numbers, expected x, y, z, found x, y"),
    (changed(fields=[("X", 0, 7, 1), *XYZI]), "has field x twice"),
])
def test_malformed_messages(message, text, tmp_path):
    for encode in (cdr, ros1):
        with pytest.raises(vs.IoError) as error:
            read_one(message, tmp_path, encode)
        assert str(error.value).startswith(f"{tmp_path / 'one.mcap'}: topic /points, message 0: ")
        assert text in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("encode", [cdr, ros1])
def test_a_message_that_is_cut(encode, tmp_path):
    whole = encode(ONE)
    for length in range(len(whole)):
        record_mcap(tmp_path / "one.mcap", {"/points": (TYPE, [(9, whole[:length])])}, "ros1" if encode is ros1 else "cdr")
        with pytest.raises(vs.IoError, match="topic /points, message 0: the PointCloud2 is cut: .* are left"):
            list(vio.read_messages(tmp_path / "one.mcap"))


def test_other_bytes_than_a_message(tmp_path, random):
    for _ in range(200):
        data = random.integers(0, 256, random.integers(4, 200), np.uint8).tobytes()
        record_mcap(tmp_path / "one.mcap", {"/points": (TYPE, [(9, b"\0\1\0\0" + data)])})
        with pytest.raises(vs.IoError, match="the PointCloud2 "):
            list(vio.read_messages(tmp_path / "one.mcap"))
    record_mcap(tmp_path / "one.mcap", {"/points": (TYPE, [(9, b"\0\3\0\0" + data)])})
    with pytest.raises(vs.IoError, match="expected plain CDR, found representation 3"):
        list(vio.read_messages(tmp_path / "one.mcap"))
    record_mcap(tmp_path / "one.mcap", {"/points": (TYPE, [(9, cdr(ONE))])}, "json")
    with pytest.raises(vs.IoError, match="expected the encoding cdr or ros1, found json"):
        list(vio.read_messages(tmp_path / "one.mcap"))


def test_which_topic(tmp_path):
    path = tmp_path / "a.mcap"
    other = cloud([(0, 0, 0, 1)], XYZI, 16)
    record_mcap(path, {"/left": (TYPE, [(1, cdr(ONE)), (3, cdr(ONE))]), "/right": (TYPE, [(2, cdr(other))])})
    several = r"several topics of PointCloud2 messages, give one of them: /left \(.*, 2\), /right \(.*, 1\)$"
    with pytest.raises(vs.IoError, match=several):
        vio.read_messages(path)
    assert [(topic, len(scan)) for topic, _, scan in vio.read_messages(path, ["/left", "/right"])] == [
        ("/left", 2), ("/right", 1), ("/left", 2)]
    assert len(list(vio.read_messages(path, "/right"))) == 1
    record_mcap(path, {"/chatter": TEXT})
    with pytest.raises(vs.IoError, match=r"has no topic of PointCloud2 messages, found /chatter \(std_msgs/msg/String, 1\)$"):
        vio.read_messages(path)
    record_mcap(path, {})
    with pytest.raises(vs.IoError, match="has no topic of PointCloud2 messages, found none$"):
        vio.read_messages(path)


@pytest.mark.parametrize("extension", [".bag", ".mcap", ".db3"])
def test_recordings_that_are_cut(extension, tmp_path):
    """Wherever a recording ends, it is read whole, read as far as it goes and then an error, or an error: of one line."""
    if extension == ".db3":
        record_folder(tmp_path / "whole", {"/points": (TYPE, [(i, cdr(ONE)) for i in range(3)])}, extension)
        data = (tmp_path / "whole" / "whole.db3").read_bytes()
    else:
        record = {".bag": record_bag, ".mcap": record_mcap}[extension]
        encode = ros1 if extension == ".bag" else cdr
        record(tmp_path / f"whole{extension}", {"/points": (TYPE, [(i, encode(ONE)) for i in range(3)])})
        data = (tmp_path / f"whole{extension}").read_bytes()
    path = tmp_path / f"cut{extension}"
    for length in [0, 1, 20, *range(100, len(data), len(data) // 40), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(vs.IoError) as error:
            list(vio.read_messages(path))
            raise AssertionError(f"{length} of {len(data)} bytes were taken for a recording")
        assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value), length


def test_a_flipped_byte_is_noticed(tmp_path):
    from mcap.writer import CompressionType

    record_mcap(tmp_path / "a.mcap", {"/points": (TYPE, [(1, cdr(ONE))])}, compression=CompressionType.NONE)
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    data[data.index(ONE.data)] ^= 1
    (tmp_path / "a.mcap").write_bytes(data)
    with pytest.raises(vs.IoError, match=r"a.mcap: is no .mcap recording, or is cut: "):
        list(vio.read_messages(tmp_path / "a.mcap"))


def test_what_is_no_recording(tmp_path):
    for name in ("none.bag", "none.db3", "none.mcap"):
        with pytest.raises(vs.IoError, match=rf"{name}: No such file$"):
            vio.topics(tmp_path / name)
    with pytest.raises(vs.IoError, match="has no .db3 or .mcap file$"):
        vio.topics(tmp_path)
    (tmp_path / "a.pcap").write_bytes(b"..")
    with pytest.raises(vs.IoError, match="a.pcap: expected a .bag, .db3 or .mcap file, or a folder"):
        vio.topics(tmp_path / "a.pcap")
    for name in ("text.bag", "text.db3", "text.mcap"):
        (tmp_path / name).write_text("nothing of the kind " * 100)
        with pytest.raises(vs.IoError, match=rf"{name}: is no \.\w+ recording, or is cut: "):
            vio.topics(tmp_path / name)
    with pytest.raises(vs.IoError, match="holds many scans; read it by voxshift.io.read_messages"):
        vio.read_points(tmp_path / "a.mcap")


def test_without_the_libraries(monkeypatch, tmp_path):
    for module, extension in (("rosbags", ".bag"), ("mcap", ".mcap")):
        for name in (module, {"rosbags": "rosbags.rosbag1", "mcap": "mcap.reader"}[module]):
            monkeypatch.setitem(sys.modules, name, None)
        (tmp_path / f"a{extension}").write_bytes(b"..")
        with pytest.raises(ImportError, match=rf"voxshift.io needs {module} for {extension} files: pip install 'voxshift\[io\]'"):
            vio.topics(tmp_path / f"a{extension}")


def test_recordings_are_read_one_message_at_a_time(tmp_path):
    """The second message is malformed, which the first does not know."""
    assert cloud2_bytes.TYPE == TYPE
    record_mcap(tmp_path / "a.mcap", {"/points": (TYPE, [(1, cdr(ONE)), (2, cdr(changed(data=b"")))])})
    messages = vio.read_messages(tmp_path / "a.mcap")
    assert len(next(messages)[2]) == 2
    with pytest.raises(vs.IoError, match="topic /points, message 1: the PointCloud2 expected 2 rows of 32 bytes, found 0"):
        next(messages)
