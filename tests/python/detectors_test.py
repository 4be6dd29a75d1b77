"""SECOND, PointPillars and CenterPoint as a whole against PyTorch, and boxes of their maps against plain loops."""

import json
import os

import numpy as np
import pytest
import voxshift as vs
from detector_torch import Detector, torch
from oracle import relative_error

DEVICES = ["cpu"] + (["cuda"] if vs.build_info()["cuda"] else [])
ARCHITECTURES = ["second", "pointpillars", "centerpoint"]


def settings_of(model):
    profile = model.profile
    return {**profile["cloud"], "range": profile["range"], "voxel_size": profile["voxel_size"], "classes": len(model.classes)}


def profile_file(folder, high, columns=4, max_points=0, max_voxels=0, sweeps=1):
    """64 x 64 voxels of 0.2 m ahead of the sensor, as high as the range where `high`."""
    document = {
        "name": "small",
        "voxel_size": [0.2, 0.2, 4 if high else 0.1],
        "rounding": "floor",
        "features": "mean",
        "range": {"lowest": [2, -6.4, -3], "highest": [14.8, 6.4, 1]},
        "scale": [1] * columns,
        "cloud": {"max_points": max_points, "max_voxels": max_voxels, "sweeps": sweeps, "remission": 1},
    }
    path = folder / "profile.json"
    path.write_text(json.dumps(document))
    return str(path)


def shaken(model):
    """The model with biases and norms that are not those of new ones."""
    random = np.random.default_rng(4)
    parameters = {}
    for name, values in model.parameters().items():
        factor = random.uniform(0.8, 1.25, values.shape).astype(np.float32)
        shift = random.uniform(-0.1, 0.1, values.shape).astype(np.float32) if name.endswith(".bias") else 0
        parameters[name] = values * factor + shift
    return model.with_parameters(parameters)


def expect_equal_maps(model, arch, style, points, dtype):
    settings = settings_of(model)
    oracle = Detector(model.parameters(), style == "openpcdet", dtype)
    with torch.no_grad():
        expected = getattr(oracle, arch)(points, settings)
    assert set(expected) == set(model.graph["outputs"])
    cells = np.floor((points[:, :3] - np.float32(settings["range"][0])) / np.float32(settings["voxel_size"]))
    assert len(np.unique(cells, axis=0)) > 50
    kept = points_of(points, settings)
    for name, (found, _) in model.run(kept).items():
        found = np.asarray(found.numpy() if hasattr(found, "numpy") else found)
        maps = expected[name].permute(0, 2, 3, 1).numpy()
        assert maps.std() > 1e-3
        assert relative_error(found, maps) < 1e-4, name


def points_of(points, settings):
    """The points that a Detector gives to the network: the limits by plain loops."""
    lowest, highest, size = (np.float32(v) for v in (*settings["range"], settings["voxel_size"]))
    inside = np.all((points[:, :3] >= lowest) & (points[:, :3] < highest), 1)
    counts, kept = {}, []
    for row in np.flatnonzero(inside):
        cell = tuple(np.floor((points[row, :3] - lowest) / size).astype(int))
        if cell not in counts and settings["max_voxels"] and len(counts) == settings["max_voxels"]:
            continue
        counts[cell] = counts.get(cell, 0) + 1
        if not settings["max_points"] or counts[cell] <= settings["max_points"]:
            kept.append(row)
    return np.ascontiguousarray(points[kept])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("style", ["mmdet3d", "openpcdet"])
@pytest.mark.parametrize("arch, high, classes, columns", [
    ("second", False, 3, 4), ("pointpillars", True, 3, 4), ("pointpillars", True, 10, 5), ("centerpoint", False, 10, 5),
    ("centerpoint", True, 10, 5), ("centerpoint", True, 4, 4), ("centerpoint", False, 2, 4),
])  # fmt: skip
@pytest.mark.parametrize("limits", [(0, 0), (2, 150)])
def test_maps_equal_torch(arch, high, classes, columns, style, limits, device, tmp_path, synthetic_points):
    if style == "openpcdet" and arch == "pointpillars" and classes == 10:
        pytest.skip("OpenPCDet has several heads for nuScenes' anchors")
    points = synthetic_points[:: 40 if device == "cuda" else 1]
    if columns == 5:
        points = np.c_[points, np.float32(0.05) * (np.arange(len(points), dtype=np.float32) % 10)]
    profile = profile_file(tmp_path, high, columns, *limits)
    model = shaken(vs.Model.new(arch, width=0.125, classes=classes, profile=profile, style=style, seed=3, device=device, dtype="f32"))
    expect_equal_maps(model, arch, style, points, torch.float64)


@pytest.mark.skipif("VOXSHIFT_DATA" not in os.environ, reason="VOXSHIFT_DATA names no folder with real scans")
@pytest.mark.parametrize("scan, columns", [("semantickitti_000000", 4), ("nuscenes_sweep", 5)])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_maps_of_real_scans(arch, scan, columns):
    points = np.fromfile(f"{os.environ['VOXSHIFT_DATA']}/lidar/{scan}.bin", np.float32).reshape(-1, columns)
    model = vs.Model.new(arch, width=0.5)
    points = np.c_[points[:, :4], np.zeros((len(points), 1), np.float32)][:, : len(model.profile["scale"])]
    expect_equal_maps(model, arch, "mmdet3d", np.ascontiguousarray(points), torch.float32)


BIASED = {  # of OpenPCDet's CenterPoint; mmdetection3d has none in front of norms
    "backbone_3d.conv1.0.conv1", "backbone_3d.conv4.2.conv2", "dense_head.shared_conv.0",
    "dense_head.heads_list.0.center.0.0", "dense_head.heads_list.5.hm.0.0",
}  # fmt: skip


def test_biases_are_those_of_the_checkpoints():
    names = set(vs.Model.new("centerpoint", width=0.125, style="openpcdet").parameters())
    assert all(f"{name}.bias" in names for name in BIASED)
    # Convolutions with a bias beside those: the last of each of six maps in six groups.
    biased = {name[:-5] for name in names if name.endswith(".bias") and name[:-5] + ".running_mean" not in names}
    assert len(biased) == 8 * 2 + 1 + 36 * 2
    names = set(vs.Model.new("centerpoint", width=0.125).parameters())
    biased = {name[:-5] for name in names if name.endswith(".bias") and name[:-5] + ".running_mean" not in names}
    assert biased == {f"pts_bbox_head.task_heads.{g}.{m}.1" for g in range(6) for m in ("reg", "height", "dim", "rot", "vel", "heatmap")}


# Boxes


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def cells_of(head, maps, inset):
    """x and y of every cell; inset None: the first and last on the range's edges."""
    lowest, highest = head["range"]["lowest"], head["range"]["highest"]
    axes = []
    for low, high, n in zip(lowest, highest, maps.shape[1:3]):
        step = (high - low) / (n - 1 if inset is None else n)
        axes.append(low + (np.arange(n) + (0 if inset is None else inset)) * step)
    return axes, (highest[0] - lowest[0]) / maps.shape[1]


def anchor_boxes(head, maps):
    """[(score, class, box)] of every anchor and class, cell by cell."""
    (xs, ys), _ = cells_of(head, maps[head["scores"]], None if head["anchors_at"] == "edges" else 0.5)
    scores, boxes, directions = (maps[head[name]][0] for name in ("scores", "boxes", "directions"))
    count, bins = len(head["anchors"]), head["direction_bins"]
    found = []
    for i, x in enumerate(xs):
        for j, y in enumerate(ys):
            for a, anchor in enumerate(head["anchors"]):
                t = boxes[i, j].reshape(count, -1)[a].astype(np.float64)
                size, diagonal = np.array(anchor["size"]), np.hypot(*anchor["size"][:2])
                center = [x + t[0] * diagonal, y + t[1] * diagonal, anchor["z"] + t[2] * size[2]]
                period, offset = 2 * np.pi / bins, head["direction_offset"]
                yaw = anchor["yaw"] + t[6] - offset
                yaw += offset + period * (np.argmax(directions[i, j].reshape(count, bins)[a]) - np.floor(yaw / period))
                box = [*center, *np.exp(t[3:6]) * size, yaw, *t[7:]]
                found.append((sigmoid(scores[i, j].reshape(count, -1)[a]), box))
    return found


def center_boxes(head, maps):
    (xs, ys), step = cells_of(head, maps[head["heatmap"]], 0)
    part = {name: maps[head[name]][0].astype(np.float64) for name in ("heatmap", "offset", "height", "size", "rotation")}
    found = []
    for i, x in enumerate(xs):
        for j, y in enumerate(ys):
            sin, cos = part["rotation"][i, j] if head["rotation_is"] == "sin_cos" else part["rotation"][i, j][::-1]
            box = [*(np.array([x, y]) + part["offset"][i, j] * step), *part["height"][i, j], *np.exp(part["size"][i, j]), np.arctan2(sin, cos)]
            if "velocity" in head:
                box += list(maps[head["velocity"]][0][i, j])
            found.append((sigmoid(part["heatmap"][i, j]), box))
    return found


def boxes_by_loops(model, points):
    """(boxes, scores, classes): candidates, greedy suppression, all heads by score."""
    maps = {name: np.asarray(x.numpy() if hasattr(x, "numpy") else x) for name, (x, _) in model.run(points).items()}
    selection, result = model.detection["selection"], []
    for head in model.detection["heads"]:
        anchors = "anchors" in head
        candidates = []
        for scores, box in (anchor_boxes if anchors else center_boxes)(head, maps):
            classes = range(len(scores)) if selection["per_class"] or not anchors else [int(np.argmax(scores))]
            candidates += [(scores[c], c if anchors else head["classes"][c], box) for c in classes if scores[c] > selection["score_threshold"]]
        candidates = sorted(candidates, key=lambda c: -c[0])[: selection["candidates"]]
        kept = []
        for candidate in candidates:
            center, size = np.array(candidate[2][:3]), np.array(candidate[2][3:6])
            inside = np.all((center >= selection["lowest"]) & (center <= selection["highest"]))
            if not inside or size.min() < selection["least_size"] or size.max() > selection["most_size"]:
                continue
            others = [k for k in kept if not selection["per_class"] or k[1] == candidate[1]]
            if "radius" in head:
                hits = [np.hypot(*np.subtract(k[2][:2], candidate[2][:2])) <= head["radius"] for k in others]
            elif others:
                hits = vs.boxes_iou_bev(np.float32([candidate[2]]), np.float32([k[2] for k in others]))[0] > selection["overlap"]
            else:
                hits = []
            if not np.any(hits):
                kept.append(candidate)
        result += kept[: selection["most"]]
    result.sort(key=lambda c: -c[0])
    return [np.array([c[i] for c in result]) for i in (2, 0, 1)]


def with_selection(model, **changes):
    detection = model.detection
    for name, value in changes.items():
        if name == "radius":
            for head in detection["heads"]:
                head["radius"] = value
        else:
            detection["selection"][name] = value
    classes = [(c.name, c.raw_id, c.rgb) for c in model.classes]
    return vs.Model.from_graph(model.graph, model.parameters(), profile=model.profile, classes=classes, arch=model.arch,
                               device=model.device, dtype="f32", detection=detection)  # fmt: skip


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("arch, high, classes, style, changes", [
    ("second", False, 3, "mmdet3d", {"candidates": 400, "most": 300}),
    ("second", False, 3, "openpcdet", {"candidates": 200, "most": 200, "overlap": 0.3, "score_threshold": 1e-4}),
    ("pointpillars", True, 10, "mmdet3d", {"score_threshold": 0.01, "most_size": 6}),
    ("centerpoint", True, 10, "mmdet3d", {"score_threshold": 0.15, "lowest": [4, -6, -10]}),
    ("centerpoint", True, 4, "openpcdet", {"score_threshold": 0.12, "per_class": True, "radius": 1.5}),
])  # fmt: skip
def test_boxes_are_those_of_the_maps(arch, high, classes, style, changes, device, tmp_path, synthetic_points):
    points = synthetic_points[:: 40 if device == "cuda" else 4]
    points = np.ascontiguousarray(np.c_[points, np.zeros((len(points), 1), np.float32)][:, : 5 if classes == 10 else 4])
    profile = profile_file(tmp_path, high, points.shape[1])
    model = vs.Model.new(arch, width=0.125, classes=classes, profile=profile, style=style, seed=3, device=device, dtype="f32")
    model = with_selection(shaken(model), **changes)
    found = vs.Detector(model).detect(points)
    boxes, scores, ids = boxes_by_loops(model, points)
    assert 5 < len(found) == len(boxes)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)
    np.testing.assert_array_equal(found.classes, ids)
    np.testing.assert_allclose(found.boxes, boxes, rtol=1e-4, atol=1e-4)
    assert len(set(found.classes)) > 1
    again = vs.Detector(model, threads=1)
    for _ in range(2):
        repeated = again.detect(points)
        np.testing.assert_array_equal(repeated.boxes, found.boxes)  # the bits of any number of threads


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return vs.Model.new("centerpoint", width=0.125, classes=4, profile=profile_file(tmp_path_factory.mktemp("profile"), True))


def test_scans_without_boxes(small, synthetic_points):
    detector = vs.Detector(small)
    nothing = [np.zeros((0, 4), np.float32), np.full((50, 4), np.nan, np.float32), np.float32([[1e3, 1e3, 1e3, 0.5]] * 50)]
    for points in nothing:
        found = detector.detect(points)
        assert found.boxes.shape == (0, 7) and found.scores.shape == (0,) and found.classes.dtype == np.int32
        assert detector.report["points"] == detector.report["dropped"] == len(points)
    strict = with_selection(small, score_threshold=0.9999)
    assert len(vs.Detector(strict).detect(synthetic_points)) == 0


def test_maps_that_are_no_numbers(small, synthetic_points):
    """NaN scores are no candidates, boxes that are not finite no boxes."""
    name = small.detection["heads"][0]["heatmap"] + ".bias"
    broken = dict(small.parameters())
    broken[name] = np.full(4, np.nan, np.float32)
    assert len(vs.Detector(small.with_parameters(broken)).detect(synthetic_points)) == 0
    broken = dict(small.parameters())
    for what, value in (("size", 1e9), ("height", np.inf), ("offset", np.nan), ("rotation", np.nan)):
        name = small.detection["heads"][0][what] + ".bias"
        values = np.full_like(small.parameters()[name], value)
        sure = small.parameters()[small.detection["heads"][0]["heatmap"] + ".bias"] + 20  # every cell is a candidate
        changed = {**small.parameters(), name: values, small.detection["heads"][0]["heatmap"] + ".bias": sure}
        assert len(vs.Detector(small.with_parameters(changed)).detect(synthetic_points)) == 0


@pytest.mark.parametrize("limits", [(2, 0), (0, 120), (1, 90)])
def test_limits_of_voxels(limits, tmp_path, synthetic_points):
    profile = profile_file(tmp_path, True, 4, *limits)
    model = vs.Model.new("centerpoint", width=0.125, classes=4, profile=profile, seed=2)
    detector = vs.Detector(model)
    found = detector.detect(synthetic_points)
    kept = points_of(synthetic_points, settings_of(model))
    assert detector.report["dropped"] == len(synthetic_points) - len(kept)
    inside = points_of(synthetic_points, {**settings_of(model), "max_points": 0, "max_voxels": 0})
    assert 0 < len(kept) < len(inside)
    boxes, scores, ids = boxes_by_loops(model, kept)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)
    np.testing.assert_allclose(found.boxes, boxes, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.classes, ids)


def test_velocities_that_are_no_numbers(tmp_path, synthetic_points):
    model = vs.Model.new("centerpoint", width=0.125, profile=profile_file(tmp_path, True), classes=10)
    assert len(vs.Detector(model).detect(synthetic_points)) > 0
    names = [head["velocity"] + ".bias" for head in model.detection["heads"]]
    broken = {**model.parameters(), **{name: np.float32([0, np.inf]) for name in names}}
    assert len(vs.Detector(model.with_parameters(broken)).detect(synthetic_points)) == 0


def test_layers_that_share_tensors_are_calibrated_on_points(tmp_path):
    model = vs.Model.new("pointpillars", width=0.25, profile=profile_file(tmp_path, True, 4, 2))
    variance = model.parameters()["voxel_encoder.pfn_layers.0.norm.running_var"]
    assert np.median(variance) > 1e-4  # of rows of zeros it would be 0


def test_missing_columns_are_zero(tmp_path, synthetic_points):
    model = vs.Model.new("centerpoint", width=0.125, profile=profile_file(tmp_path, True, 5, sweeps=10), classes=10)
    whole = np.c_[synthetic_points, np.zeros((len(synthetic_points), 1), np.float32)]
    with pytest.warns(UserWarning, match="10 scans"):
        found = vs.Detector(model).detect(synthetic_points)
    np.testing.assert_array_equal(found.boxes, vs.Detector(model).detect(whole).boxes)


@pytest.mark.parametrize("change, says", [
    ({"heatmap": "nowhere"}, ["heatmap", "an output", "nowhere"]),
    ({"classes": [0, 1]}, ["heatmap", "2 channels", "has 4"]),
    ({"classes": [0, 1, 2, 7]}, ["classes", "0 to 3", "found 7"]),
    ({"range": {"lowest": [0, 0], "highest": [1, -1]}}, ["range", "lowest below highest"]),
    ({"rotation_is": "up"}, ["rotation_is", "sin_cos", "up"]),
    ({"colour": 1}, ["unknown key", "colour"]),
])  # fmt: skip
def test_heads_that_are_refused(small, change, says):
    detection = small.detection
    detection["heads"][0].update(change)
    classes = [(c.name, c.raw_id, c.rgb) for c in small.classes]
    with pytest.raises(ValueError) as error:
        vs.Model.from_graph(small.graph, small.parameters(), profile=small.profile, classes=classes, detection=detection)
    assert all(part in str(error.value) for part in ["[detection]", *says]), error.value


@pytest.mark.parametrize("change, says", [
    ({"candidates": 16385, "most": 5}, ["candidates", "16384"]), ({"most": 501}, ["most", "501"]),
    ({"score_threshold": 1}, ["score_threshold"]), ({"overlap": -0.1}, ["overlap"]), ({"least_size": 2000}, ["least_size"]),
])  # fmt: skip
def test_selections_that_are_refused(small, change, says):
    with pytest.raises(ValueError) as error:
        with_selection(small, **change)
    assert all(part in str(error.value) for part in ["[detection]", *says]), error.value


def test_what_detectors_refuse(small, synthetic_points, small_model):
    detector = vs.Detector(small)
    with pytest.raises(ValueError, match="row per point"):
        detector.detect(np.ascontiguousarray(synthetic_points.T))
    with pytest.raises(ValueError, match="C >= 3"):
        detector.detect(np.zeros((5, 2), np.float32))
    with pytest.raises(ValueError, match="finds boxes"):
        vs.Detector(small_model)
    with pytest.raises(ValueError, match="boxes, not labels"):
        small.segment(synthetic_points)
    for arguments, says in [(dict(arch="second", profile="spvnas"), "whole scans"), (dict(arch="second", classes=5), "anchors"),
                            (dict(arch="pointpillars", profile="kitti-voxels"), "as high as the range"),
                            (dict(arch="second", style="spconv"), "openpcdet"), (dict(arch="minkunet", style="mmdet3d"), "style")]:  # fmt: skip
        with pytest.raises(ValueError, match=says):
            vs.Model.new(**arguments)


def test_detectors_are_files(small, tmp_path, synthetic_points):
    small.save(tmp_path / "small.safetensors")
    read = vs.Model.load(tmp_path / "small.safetensors")
    assert read.detection == small.detection and read.profile == small.profile
    np.testing.assert_array_equal(vs.Detector(read).detect(synthetic_points).boxes, vs.Detector(small).detect(synthetic_points).boxes)
