"""The messages that the C++ tests of voxshift::ros read are those that rosbags writes, and rosbags reads them."""

import numpy as np
import pytest
import ros_messages

pytest.importorskip("rosbags", reason="rosbags is not installed")


@pytest.mark.parametrize("name", ros_messages.MESSAGES)
def test_the_files_of_the_cpp_tests_are_what_rosbags_writes(name):
    there = (ros_messages.FOLDER / f"{name}.bin").read_bytes()
    assert there == ros_messages.content(name), "python tests/python/ros_messages.py writes them anew"


@pytest.mark.parametrize("name", ros_messages.MESSAGES)
def test_rosbags_reads_the_labels(name):
    store = ros_messages.store()
    _, points, narrow, wide, coloured = ros_messages.pieces(name)
    kept = len(points) // 56
    for piece, size in ((narrow, 1), (wide, 2), (coloured, 1)):
        message = store.deserialize_cdr(piece, "sensor_msgs/msg/PointCloud2")
        assert message.fields[-1].name == "label"
        rows = np.asarray(message.data).reshape(message.height, -1)
        assert rows.shape[1] == message.row_step
        at = message.fields[-1].offset
        order = ">" if message.is_bigendian else "<"
        cells = rows.reshape(message.height * message.width, message.point_step)[:, at : at + size]
        labels = np.ascontiguousarray(cells).view(f"{order}u{size}").reshape(-1)
        found = labels[labels != (255 if size == 1 else 0)]
        expected = [label for label in np.arange(kept) * 7 % 4 if label < 3]
        assert found.tolist() == ([ros_messages.RAW[label] for label in expected] if size == 2 else expected)
