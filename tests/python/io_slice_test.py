"""From a tile and a recording to labels."""

import numpy as np
import pytest
import voxshift as vs
import voxshift.io as vio

ros = pytest.importorskip("rosbags.typesys", reason="needs rosbags (pip install voxshift[io])")
laspy = pytest.importorskip("laspy", reason="needs laspy (pip install voxshift[io])")
mcap = pytest.importorskip("mcap.writer", reason="needs mcap (pip install voxshift[io])")


@pytest.fixture(scope="module")
def model():
    return vs.Model.pretrained("minkunet-lidar")


def test_tile_to_classification(synthetic_points, model, tmp_path):
    points = synthetic_points[::7]
    tile = laspy.create(point_format=6)
    tile.header.scales = [0.001] * 3
    tile.x, tile.y, tile.z = points[:, :3].astype(np.float64).T
    tile.intensity = np.round(points[:, 3] * 65535)
    tile.write(tmp_path / "tile.las")
    labels = model.segment(vio.read_points(tmp_path / "tile.las").points, remission_scale=65535)
    vio.write_labels(tmp_path / "labelled.laz", labels, source=tmp_path / "tile.las")
    again = laspy.read(tmp_path / "labelled.laz")
    assert again.classification.tolist() == labels.tolist() and len(set(labels.tolist())) > 2
    assert again.X.tolist() == tile.X.tolist() and again.intensity.tolist() == tile.intensity.tolist()


def test_recording_to_field(synthetic_points, model, tmp_path):
    points = np.ascontiguousarray(synthetic_points[::7])
    store = ros.get_typestore(ros.Stores.ROS2_HUMBLE)
    types = store.types
    fields = [types["sensor_msgs/msg/PointField"](name, 4 * i, 7, 1) for i, name in enumerate(("x", "y", "z", "intensity"))]
    stamp = types["builtin_interfaces/msg/Time"](12, 34)
    message = types["sensor_msgs/msg/PointCloud2"](
        types["std_msgs/msg/Header"](stamp, "lidar"), 1, len(points), fields, False, 16, points.nbytes,
        points.view(np.uint8).reshape(-1), True)
    data = bytes(store.serialize_cdr(message, "sensor_msgs/msg/PointCloud2"))
    with open(tmp_path / "drive.mcap", "wb") as stream:
        writer = mcap.Writer(stream)
        writer.start("ros2")
        schema = writer.register_schema("sensor_msgs/msg/PointCloud2", "ros2msg", b"")
        channel = writer.register_channel("/points", "cdr", schema)
        writer.add_message(channel, 1, data, 1)
        writer.finish()
    [(topic, at, scan)] = vio.read_messages(tmp_path / "drive.mcap")
    assert (topic, at, scan.points.tobytes()) == ("/points", 12 * 10**9 + 34, points.tobytes())
    labels = model.segment(scan.points)
    vio.write_labels(tmp_path / "labelled.mcap", [labels], source=tmp_path / "drive.mcap")
    [(_, _, again)] = vio.read_messages(tmp_path / "labelled.mcap")
    assert again.label.tolist() == labels.tolist() and again.points.tobytes() == points.tobytes()
