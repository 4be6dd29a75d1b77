"""Labels in copies of recordings, read by rosbags and mcap, and unpacked by hand."""

import shutil
import struct

import numpy as np
import pytest
import voxshift as vs
import voxshift.io as vio
from cloud2_bytes import CODES, TYPE, cdr, cloud, in_order, record_bag, record_folder, record_mcap, ros1, store_of

pytest.importorskip("rosbags", reason="needs rosbags (pip install voxshift[io])")
pytest.importorskip("mcap", reason="needs mcap (pip install voxshift[io])")

FIELDS = [("x", 1, 7, 1), ("intensity", 17, 4, 1), ("y", 5, 7, 1), ("z", 9, 8, 1)]
FORMS = [".bag", ".db3", ".mcap", "folder"]


def clouds(big=False):
    points = [(i + 0.5, 100 * i, -i, 2 * i) for i in range(6)]
    return [cloud(points, FIELDS, 19, height=2, pad=3, big=big, frame="os1", dense=False), cloud([], FIELDS, 19, big=big),
            cloud(points[:1], FIELDS, 19, big=big, stamp=(99, 1))]


def topics_of(extension, messages):
    encode = ros1 if extension == ".bag" else cdr
    points = [(10 * i + 5, encode(message)) for i, message in enumerate(messages)]
    return {"/points": (TYPE, points), "/chatter": ("std_msgs/msg/String", [(7, b"one"), (7, b"two"), (40, b"three")]),
            "/other": (TYPE, [(8, encode(messages[2]))])}


def record(folder, extension, topics):
    """A recording, its path."""
    path = folder / f"drive{extension if extension != 'folder' else ''}"
    if extension == ".bag":
        record_bag(path, topics)
    elif extension == ".mcap":
        record_mcap(path, topics)
    else:
        record_folder(folder / "drive", topics, ".db3" if extension == ".db3" else ".mcap")
    if extension == ".db3":
        shutil.move(folder / "drive" / "drive.db3", path)
    return path


def messages_in(path):
    """[(topic, time, bytes)] in order, by rosbags."""
    from rosbags.rosbag1 import Reader as Reader1
    from rosbags.rosbag2 import Reader as Reader2

    with (Reader1 if path.suffix == ".bag" else Reader2)(path) as reader:
        return [(connection.topic, at, bytes(data)) for connection, at, data in reader.messages()]


def unpacked(data, extension):
    """The message as rosbags gives it."""
    store = store_of(1 if extension == ".bag" else 2)
    return (store.deserialize_ros1 if extension == ".bag" else store.deserialize_cdr)(data, TYPE)


def values_of(message, name):
    """The values of a field, point by point."""
    [field] = [field for field in message.fields if field.name == name]
    order = ">" if message.is_bigendian else "<"
    return [struct.unpack_from(order + CODES[field.datatype], message.data.tobytes(),
                               row * message.row_step + column * message.point_step + field.offset)[0]
            for row in range(message.height) for column in range(message.width)]


def assert_labelled(data, old, labels, extension, field="label"):
    message = unpacked(data, extension)
    assert values_of(message, field) == labels
    before = unpacked(ros1(old), ".bag")
    for name, *_ in FIELDS:
        assert values_of(message, name) == values_of(before, name)
    assert (message.height, message.width, message.is_dense, message.is_bigendian) == (old.height, old.width, old.dense, old.big)
    assert (message.header.frame_id, message.header.stamp.sec, message.header.stamp.nanosec) == (old.frame, *old.stamp)
    assert message.row_step == message.width * message.point_step and len(message.data) == message.height * message.row_step
    if extension == ".bag":
        assert message.header.seq == 7


LABELS = [[3, 255, 0, 18, 7, 8], [], [11]]


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("extension", FORMS)
def test_field_of_labels(extension, big, tmp_path):
    old = clouds(big)
    topics = topics_of(extension, old)
    source = record(tmp_path, extension, topics)
    target = tmp_path / f"labelled{source.suffix}"
    for given in ([np.uint8(one) for one in LABELS], (np.uint8(one) for one in LABELS)):
        if target.is_dir():
            shutil.rmtree(target)
        vio.write_labels(target, given, source=source, topic="/points")
        found = messages_in(target)
        expected = in_order(topics)
        assert [one[:2] for one in found] == [one[:2] for one in expected]
        for (topic, _, data), (_, _, before) in zip(found, expected):
            if topic != "/points":
                assert data == before
        for (_, _, data), message, labels in zip((one for one in found if one[0] == "/points"), old, LABELS):
            assert_labelled(data, message, labels, extension)
        assert vio.topics(target) == vio.topics(source)
    for (_, _, scan), labels in zip(vio.read_messages(target, "/points"), LABELS):
        assert ([] if scan.label is None else scan.label.tolist()) == labels


@pytest.mark.parametrize("extension", [".bag", ".db3", ".mcap"])
def test_topic_of_its_own(extension, tmp_path):
    old = clouds()
    topics = topics_of(extension, old)
    source = record(tmp_path, extension, topics)
    target = tmp_path / f"labelled{extension}"
    vio.write_labels(target, [np.uint8(one) for one in LABELS], source=source, topic="/points", to_topic="/labelled")
    found = messages_in(target)
    assert sorted(one for one in found if one[0] != "/labelled") == sorted(in_order(topics))
    own = [one for one in found if one[0] == "/labelled"]
    assert [at for _, at, _ in own] == [5, 15, 25]
    for (_, _, data), message, labels in zip(own, old, LABELS):
        assert_labelled(data, message, labels, extension)
    assert vio.topics(target)["/labelled"] == vio.Topic(TYPE, 3)
    with pytest.raises(ValueError, match="has a topic /other already$"):
        vio.write_labels(target, [], source=source, topic="/points", to_topic="/other")


@pytest.mark.parametrize(("dtype", "datatype"), [(np.uint8, 2), (np.uint16, 4), (np.uint32, 6), (np.int64, 6)])
@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
def test_type_and_name_of_the_field(big, dtype, datatype, tmp_path):
    source = record(tmp_path, ".mcap", {"/points": (TYPE, [(1, cdr(clouds(big)[0]))])})
    labels = np.array(LABELS[0], dtype)
    vio.write_labels(tmp_path / "a.mcap", [labels], source=source, field="class_id")
    [(_, _, data)] = messages_in(tmp_path / "a.mcap")
    message = unpacked(data, ".mcap")
    assert [(field.name, field.offset, field.datatype, field.count) for field in message.fields] == [
        *FIELDS, ("class_id", 19, datatype, 1)]
    assert_labelled(data, clouds(big)[0], LABELS[0], ".mcap", "class_id")


def test_a_field_that_is_there(tmp_path):
    """Labels of the same type are written over; another type is an error, for nothing that was there is lost."""
    fields = [*FIELDS, ("label", 19, 4, 1)]
    points = [(i + 0.5, 100 * i, -i, 2 * i, 1000) for i in range(6)]
    source = record(tmp_path, ".mcap", {"/points": (TYPE, [(1, cdr(cloud(points, fields, 21, height=2, pad=3)))])})
    vio.write_labels(tmp_path / "a.mcap", [np.uint16(LABELS[0])], source=source)
    [(_, _, data)] = messages_in(tmp_path / "a.mcap")
    assert values_of(unpacked(data, ".mcap"), "label") == LABELS[0] and unpacked(data, ".mcap").point_step == 21
    assert values_of(unpacked(data, ".mcap"), "intensity") == [100 * i for i in range(6)]
    with pytest.raises(vs.IoError, match="message 0: has a field label of another type already: give another name$"):
        vio.write_labels(tmp_path / "b.mcap", [np.uint8(LABELS[0])], source=source)


def test_what_else_an_mcap_has(tmp_path):
    """Attachments, metadata, schemas, the channels' metadata, publication times and sequence numbers."""
    from mcap.reader import make_reader
    from mcap.writer import Writer

    with open(tmp_path / "a.mcap", "wb") as stream:
        writer = Writer(stream)
        writer.start("ros2", "somebody")
        schema = writer.register_schema(TYPE, "ros2msg", b"the definition")
        channel = writer.register_channel("/points", "cdr", schema, {"offered_qos_profiles": "reliable"})
        bare = writer.register_channel("/bare", "json", 0)
        writer.add_message(channel, 5, cdr(clouds()[2]), 3, 77)
        writer.add_message(bare, 6, b"{}", 4, 78)
        writer.add_attachment(1, 2, "calibration.txt", "text/plain", b"1 0 0")
        writer.add_metadata("car", {"plate": "none"})
        writer.finish()
    vio.write_labels(tmp_path / "b.mcap", [np.uint8([4])], source=tmp_path / "a.mcap")

    def all_of(path):
        with open(path, "rb") as stream:
            reader = make_reader(stream, validate_crcs=True)
            messages = [(schema and (schema.name, schema.encoding, schema.data), channel.topic, channel.message_encoding,
                         channel.metadata, message.log_time, message.publish_time, message.sequence)
                        for schema, channel, message in reader.iter_messages()]
            return (reader.get_header().profile, messages,
                    [(one.name, one.media_type, one.create_time, one.log_time, one.data) for one in reader.iter_attachments()],
                    [(one.name, one.metadata) for one in reader.iter_metadata()])

    assert all_of(tmp_path / "b.mcap") == all_of(tmp_path / "a.mcap")


@pytest.mark.parametrize("extension", FORMS)
def test_bad_labels(extension, tmp_path):
    source = record(tmp_path, extension, topics_of(extension, clouds()))
    target = tmp_path / f"labelled{source.suffix}"
    there = sorted(tmp_path.iterdir())

    def broken():
        yield np.uint8(LABELS[0])
        raise KeyError("of the caller's own")

    for labels, kind, text in (
        ([[1] * 6, [], [1, 2]], ValueError, r"topic /points, message 2: expects 1 labels, found 2$"),
        ([[1] * 6, []], ValueError, r"topic /points, message 2: has no labels, they end before it$"),
        ([*LABELS, [1]], ValueError, r"drive(\.\w+)?: has 3 messages, found more labels than that$"),
        ([[0.5] * 6], ValueError, r"expected whole numbers \[N\], found float64 \[6\]$"),
        ([[-1] * 6], ValueError, r"expected labels of 0 to 4294967295$"),
        (broken(), KeyError, "of the caller's own"),
    ):
        with pytest.raises(kind, match=text):
            given = [np.array(one, None if one else int) for one in labels] if isinstance(labels, list) else labels
            vio.write_labels(target, given, source=source, topic="/points")
        assert sorted(tmp_path.iterdir()) == there
    with pytest.raises(OSError, match="several topics of PointCloud2 messages, give one of them: "):
        vio.write_labels(target, LABELS, source=source)
    with pytest.raises(OSError, match="has no topic /none, found /chatter"):
        vio.write_labels(target, LABELS, source=source, topic="/none")
    other, kind = "a.mcap" if extension == ".bag" else "a.bag", "folder" if extension == "folder" else rf"\{extension}"
    with pytest.raises(ValueError, match=rf"a copy of {source.name} is a {kind}, too, found {other}$"):
        vio.write_labels(tmp_path / other, LABELS, source=source, topic="/points")
    assert sorted(tmp_path.iterdir()) == there


def test_folders(tmp_path):
    """Every file of a folder, and what lies beside them; a folder that is there stays."""
    source = record(tmp_path, "folder", topics_of("folder", clouds()))
    (source / "notes.txt").write_text("of the drive")
    vio.write_labels(tmp_path / "labelled", [np.uint8(one) for one in LABELS], source=source, topic="/points")
    assert sorted(path.name for path in (tmp_path / "labelled").iterdir()) == sorted(path.name for path in source.iterdir())
    assert (tmp_path / "labelled" / "metadata.yaml").read_bytes() == (source / "metadata.yaml").read_bytes()
    with pytest.raises(OSError, match="labelled: is there already, expected a new folder$"):
        vio.write_labels(tmp_path / "labelled", [np.uint8(one) for one in LABELS], source=source, topic="/points")
    with pytest.raises(ValueError, match="to_topic= is not of folders$"):
        vio.write_labels(tmp_path / "b", [], source=source, topic="/points", to_topic="/labelled")


def test_in_place(tmp_path):
    """The copy may take the recording's own place."""
    source = record(tmp_path, ".mcap", {"/points": (TYPE, [(1, cdr(clouds()[0]))])})
    vio.write_labels(source, [np.uint8(LABELS[0])], source=source)
    [(_, _, scan)] = vio.read_messages(source)
    assert scan.label.tolist() == LABELS[0]
