"""`voxshift detect`: scans in, boxes out as JSON, label files, pictures and clouds."""

import json
import re

import numpy as np
import pytest
import voxshift as vs
from command_fixture import fails, files, needs_command, put, run, succeeds, warns
from command_fixture import model as label_model  # noqa: F401  a fixture

pytestmark = needs_command

CALIBRATION = """P0: 1 0 0 0 0 1 0 0 0 0 1 0
P2: 700 0 600 45 0 700 180 0.2 0 0 1 0.003
R0_rect: 0.99992475 0.00975976 -0.00734152 -0.0097913 0.99994262 -0.00430371 0.00729911 0.0043753 0.99996319
Tr_velo_to_cam: 0.0075 -0.9999 -0.0006 -0.004 0.0148 0.0007 -0.9999 -0.076 0.9998 0.0075 0.0148 -0.27
"""


@pytest.fixture(scope="module")
def scan():
    return vs.synth_lidar(5)[0]


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """A model with random weights that finds some dozens of boxes of many classes."""
    path = tmp_path_factory.mktemp("detector") / "small.safetensors"
    text = succeeds("new", "pointpillars", "--width", 0.0625, "--seed", 4, "--style", "openpcdet", "-o", path)
    assert "pointpillars" in text and "3 classes" in text
    made = vs.Model.load(path)
    detection = made.detection
    detection["selection"].update(score_threshold=0.02, most=40, most_size=20)
    classes = [(c.name, c.raw_id, c.rgb) for c in made.classes]
    parameters = dict(made.parameters())
    name = "dense_head.conv_box.weight"
    parameters[name] = parameters[name] * np.float32(0.1)  # boxes near their anchors, which hold points of the road
    vs.Model.from_graph(made.graph, parameters, profile=made.profile, classes=classes, arch="pointpillars",
                        detection=detection).save(path)  # fmt: skip
    return path


def boxes_of(model, points, **options):
    found = vs.Detector(vs.Model.load(model)).detect(points, **options)
    assert len(found) > 10
    return found


def expect_json(path, found, model):
    document = json.loads(path.read_text())
    names = [c.name for c in vs.Model.load(model).classes]
    boxes = document["boxes"]
    assert [box["class"] for box in boxes] == [names[c] for c in found.classes]
    np.testing.assert_allclose([box["score"] for box in boxes], found.scores, rtol=1e-6)
    np.testing.assert_allclose([box["center"] + box["size"] + [box["yaw"]] for box in boxes], found.boxes, rtol=1e-6, atol=1e-6)
    return document


def test_results_of_a_scan(detector, scan, tmp_path):
    path = put(tmp_path / "a.bin", scan)
    found = boxes_of(detector, scan)
    text = succeeds("detect", path, "--model", detector, "--out", tmp_path / "out", "--threads", 2)
    assert files(tmp_path / "out") == ["a.json", "a.png"]
    assert expect_json(tmp_path / "out" / "a.json", found, detector)["scan"] == "a.bin"
    lines = text.splitlines()
    assert lines[1].split()[:4] == ["a.bin", str(len(scan)), lines[1].split()[2], str(len(found))]
    assert all(str(tmp_path / "out" / name) in text for name in ("a.json", "a.png"))


def test_velocities_are_written(tmp_path, scan):
    path = tmp_path / "c.safetensors"
    succeeds("new", "centerpoint", "--width", 0.0625, "--preprocess", "nuscenes-pillars", "-o", path)
    put(tmp_path / "a.bin", scan)
    warns("detect", tmp_path / "a.bin", "--model", path, "--out", tmp_path, "--write", "json", "--score-threshold", 0.05)
    with pytest.warns(UserWarning):
        found = vs.Detector(vs.Model.load(path)).detect(scan)
    boxes = json.loads((tmp_path / "a.json").read_text())["boxes"]
    assert len(boxes) > 0 and found.boxes.shape[1] == 9
    assert all(len(box["velocity"]) == 2 for box in boxes)
    best = [box for box in boxes if box["score"] > 0.1]
    np.testing.assert_allclose([box["velocity"] for box in best], found.boxes[:, 7:], rtol=1e-5, atol=1e-5)


def corners_in_camera(box, calibration):
    """[8, 3] rectified camera coordinates of a box's corners."""
    rows = {line.split(":")[0]: np.array(line.split()[1:], float) for line in calibration.splitlines()}
    x, y, z, length, width, height, yaw = map(float, box)
    signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]) / 2 * [length, width, height]
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    lidar = signs @ turn.T + [x, y, z]
    camera = np.c_[lidar, np.ones(8)] @ rows["Tr_velo_to_cam"].reshape(3, 4).T
    return camera @ rows["R0_rect"].reshape(3, 3).T, rows["P2"].reshape(3, 4)


@pytest.mark.parametrize("as_folder", [False, True])
def test_label_files(as_folder, detector, scan, tmp_path):
    path = put(tmp_path / "a.bin", scan)
    (tmp_path / "calib").mkdir()
    (tmp_path / "calib" / "a.txt").write_text(CALIBRATION)
    calibration = tmp_path / "calib" if as_folder else tmp_path / "calib" / "a.txt"
    succeeds("detect", path, "--model", detector, "--out", tmp_path / "out", "--write", "kitti", "--calib", calibration)
    found = boxes_of(detector, scan)
    lines = [line.split() for line in (tmp_path / "out" / "a.txt").read_text().splitlines()]
    assert len(lines) == len(found)
    names = ["Car", "Pedestrian", "Cyclist"]
    for line, box, score, c in zip(lines, found.boxes, found.scores, found.classes):
        assert len(line) == 16 and line[0] == names[c] and float(line[15]) == pytest.approx(score, rel=1e-5)
        h, w, l, x, y, z, ry = map(float, line[8:15])  # noqa: E741
        np.testing.assert_allclose([l, w, h], box[3:6], rtol=1e-3, atol=1e-4)
        corners, _ = corners_in_camera(box, CALIBRATION)
        middle = corners.mean(0)
        np.testing.assert_allclose([x, y - h / 2, z], middle, atol=0.02 + 0.02 * h)  # the camera is tilted by half a degree
        heading = corners[4:].mean(0) - corners[:4].mean(0)
        turn = ry - np.arctan2(-heading[2], heading[0])
        assert abs((turn + np.pi) % (2 * np.pi) - np.pi) < 0.02
    assert run("eval", "--detections", tmp_path / "out", tmp_path / "out").returncode == 0  # what it reads


def test_without_a_calibration_the_camera_is_where_the_scanner_is(detector, scan, tmp_path):
    path = put(tmp_path / "a.bin", scan)
    text = warns("detect", path, "--model", detector, "--out", tmp_path, "--write", "kitti")
    assert "--calib" in text and text.count("\n") == 1
    line = (tmp_path / "a.txt").read_text().splitlines()[0].split()
    box = boxes_of(detector, scan).boxes[0]
    np.testing.assert_allclose(np.array(line[11:14], float), [-box[1], -box[2] + box[5] / 2, box[0]], rtol=1e-3, atol=1e-3)


def test_cloud_with_boxes(detector, scan, tmp_path):
    path = put(tmp_path / "a.bin", scan)
    succeeds("detect", path, "--model", detector, "--out", tmp_path, "--write", "ply")
    header, data = (tmp_path / "a.ply").read_bytes().split(b"end_header\n", 1)
    dtype = [("xyz", "<f4", 3), ("rgb", "u1", 3), ("label", "<u2")]
    cloud = np.frombuffer(data, np.dtype(dtype))
    np.testing.assert_array_equal(cloud["xyz"][: len(scan)], scan[:, :3])
    found = boxes_of(detector, scan)
    classes = vs.Model.load(detector).classes
    owner = np.full(len(scan), -1)
    for box, c in reversed(list(zip(found.boxes, found.classes))):
        d = scan[:, :3] - box[:3]
        along = d[:, 0] * np.cos(box[6]) + d[:, 1] * np.sin(box[6])
        across = d[:, 1] * np.cos(box[6]) - d[:, 0] * np.sin(box[6])
        owner[np.all(np.abs(np.c_[along, across, d[:, 2]]) <= box[3:6] / 2, 1)] = c
    expected = np.array([c.raw_id for c in classes] + [0])[owner]
    assert (expected > 0).sum() > 20
    assert (cloud["label"][: len(scan)] != expected).mean() < 1e-4  # but for points on a side
    edges = cloud[len(scan) :]
    assert len(edges) > 200 and set(edges["label"]) == {classes[c].raw_id for c in found.classes}
    distance = np.min([np.linalg.norm(edges["xyz"] - box[:3], axis=1) / np.linalg.norm(box[3:6] / 2) for box in found.boxes], 0)
    assert distance.max() < 1.001


def test_picture(detector, scan, tmp_path):
    cv2 = pytest.importorskip("cv2", reason="OpenCV's Python package reads the picture")
    path = put(tmp_path / "a.bin", scan)
    succeeds("detect", path, "--model", detector, "--out", tmp_path, "--write", "png")
    image = cv2.imread(str(tmp_path / "a.png"))
    assert image.shape == (1400, 1860, 3)
    for c in set(boxes_of(detector, scan).classes):
        colour = vs.Model.load(detector).classes[c].rgb[::-1]
        assert (image[:, :1400] == colour).all(2).sum() > 20


def test_stats(detector, scan, tmp_path):
    scans = [put(tmp_path / "a.bin", scan), put(tmp_path / "b.bin", scan[:0])]
    result = run("detect", *scans, "--model", detector, "--out", tmp_path, "--threads", 2, "--stats", tmp_path / "s.json")
    assert result.returncode == 1 and "b.bin" in result.stderr  # an empty file
    (stats,) = json.loads((tmp_path / "s.json").read_text())
    assert list(stats) == ["scan", "points", "dropped_points", "device", "threads", "dtype", "model", "seconds",
                           "peak_rss_bytes", "notes", "boxes"]  # fmt: skip
    assert list(stats["seconds"]) == ["read", "voxelize", "maps", "network", "boxes", "write", "total"]
    assert stats["points"] == len(scan) and 0 < stats["dropped_points"] < len(scan)
    found = boxes_of(detector, scan)
    assert sum(stats["boxes"].values()) == len(found)
    assert set(stats["boxes"]) == {vs.Model.load(detector).classes[c].name for c in found.classes}


def test_a_scan_without_points_in_range(detector, tmp_path):
    path = put(tmp_path / "a.bin", np.float32([[-5, 0, 0, 0.5]] * 4))
    succeeds("detect", path, "--model", detector, "--out", tmp_path, "--write", "json,png,ply")
    assert json.loads((tmp_path / "a.json").read_text())["boxes"] == []
    assert files(tmp_path) == ["a.bin", "a.json", "a.ply", "a.png"]


def test_boxes_are_in_the_coordinates_of_the_file(detector, scan, tmp_path):
    """Where the sensor is not at the origin, boxes move with the points."""
    moved = scan + np.float32([64, -32, 8, 0])
    path = put(tmp_path / "a.bin", moved)
    succeeds("detect", path, "--model", detector, "--out", tmp_path, "--write", "json", "--origin", "64,-32,8")
    exact = (moved[:, :3] - np.float32([64, -32, 8])).astype(np.float32)
    found = boxes_of(detector, np.c_[exact, scan[:, 3]])
    boxes = json.loads((tmp_path / "a.json").read_text())["boxes"]
    np.testing.assert_allclose([box["center"] for box in boxes], found.boxes[:, :3] + [64, -32, 8], atol=1e-4)


def test_what_is_refused(detector, label_model, scan, tmp_path):
    path = put(tmp_path / "a.bin", scan[:500])
    fails("detect", path, "--model", label_model, says=["finds boxes", "minkunet", "voxshift segment"])
    fails("segment", path, "--model", detector, "--out", tmp_path, says=["boxes, not labels", "detect"])
    fails("detect", path, "--model", tmp_path / "none.safetensors", says=["none.safetensors"])
    fails("detect", path, "--model", detector, "--calib", tmp_path, says=["--calib", "--write kitti"])
    missing = fails("detect", path, "--model", detector, "--write", "kitti", "--calib", tmp_path, "--out", tmp_path / "o")
    assert str(tmp_path / "a.txt") in missing
    (tmp_path / "a.txt").write_text("P2: 1 2 3\n")
    assert "P2" in fails("detect", path, "--model", detector, "--write", "kitti", "--calib", tmp_path, "--out", tmp_path / "o")
    assert files(tmp_path / "o") == []
    (tmp_path / "b").mkdir()
    same = put(tmp_path / "b" / "a.bin", scan[:500])
    fails("detect", path, same, "--model", detector, "--out", tmp_path, says=["a.json", "another scan's result"])
    assert run("detect", path, "--model", detector, "--write", "label").returncode == 2
    assert run("detect", path, "--model", detector, "--score-threshold", 2).returncode == 2


def test_info_shows_the_layers(detector):
    text = succeeds("info", detector)
    assert "pointpillars" in text and "3 classes" in text and "kitti-pillars" in text
    assert re.search(r"On a synthetic scan of 1\d{5} points, \d{5} in range: \d+\.\d GMAC", text), text
    assert any(line.split()[:2] == ["dense_head.conv_cls", "pointwise"] for line in text.splitlines()), text
