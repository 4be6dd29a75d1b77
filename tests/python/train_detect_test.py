"""Training of detectors: KITTI's folders, what is done to scenes, the score, and whole runs."""

import csv
import shutil

import numpy as np
import pytest
import voxshift as vs

torch = pytest.importorskip("torch", reason="voxshift.train needs PyTorch")

import voxshift.torch as vst  # noqa: E402
from voxshift.train import boxes, detect  # noqa: E402
from voxshift.train.__main__ import main  # noqa: E402

NAMES = ["car", "truck", "pedestrian", "cyclist"]
# A camera that looks along the scanner's x: x right = -y, y down = -z, z ahead = x; 0.5 m above the scanner.
CALIBRATION = "P2: 700 0 600 0 0 700 180 0 0 0 1 0\nR0_rect: 1 0 0 0 1 0 0 0 1\nTr_velo_to_cam: 0 -1 0 0 0 0 -1 0.5 1 0 0 0\n"


def label_line(type_, box):
    """KITTI's line of a box of the scanner: the bottom's centre in the camera's frame, rotation about its y."""
    x, y, z, length, width, height, yaw = map(float, box)
    right, down, ahead = -y, -(z - height / 2) + 0.5, x
    return f"{type_} 0 0 0 0 0 0 0 {height} {width} {length} {right} {down} {ahead} {-yaw - np.pi / 2}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("kitti")
    for name in ("velodyne", "label_2", "calib"):
        (root / name).mkdir()
    for i in range(2):
        points, _, objects = vs.synth_lidar(i, boxes=True)
        points[::8].tofile(root / "velodyne" / f"{i:06d}.bin")
        lines = [label_line(*pair) for pair in zip(objects["types"], objects["boxes"])]
        (root / "label_2" / f"{i:06d}.txt").write_text("".join(lines) + "DontCare -1 -1 -10 0 0 1 1 -1 -1 -1 -1000 -1000 -1000 -10\n")
        (root / "calib" / f"{i:06d}.txt").write_text(CALIBRATION)
    return root


def test_labels_of_a_folder_are_the_boxes_of_its_scans(folder):
    scene = boxes.FolderScenes([folder], NAMES, camera_only=False)[1]
    _, _, objects = vs.synth_lidar(1, boxes=True)
    np.testing.assert_allclose(scene.boxes[:, :6], objects["boxes"][:, :6], atol=1e-5)
    np.testing.assert_allclose(np.exp(1j * scene.boxes[:, 6]), np.exp(1j * objects["boxes"][:, 6]), atol=1e-5)
    ids = {"Car": 0, "Van": 0, "Truck": 1, "Pedestrian": 2, "Cyclist": 3}
    assert scene.classes.tolist() == [ids[type_] for type_ in objects["types"]]
    inside = [int(k) for k in scene.owner if k >= 0]
    own = objects["object"][::8]
    agree = (scene.owner == own)[own >= 0].mean()
    assert len(inside) > 100 and agree > 0.95


def test_the_camera_sees_what_is_before_it(folder):
    scene = boxes.FolderScenes([folder], NAMES, camera_only=True)[0]
    x, y, z = scene.points[:, :3].T.astype(np.float64)
    assert (x > 0).all() and (np.abs(-y / x * 700 + 600 - 621) <= 621).all()
    assert (np.abs((-z + 0.5) / x * 700 + 180 - 187.5) <= 187.5).all()
    everything = boxes.FolderScenes([folder], NAMES, camera_only=False)[0]
    assert 100 < len(scene.points) < len(everything.points) / 2


@pytest.mark.parametrize("broken, message", [
    ("label_2/000001.txt", "label_2/000001.txt: missing, it belongs to"),
    ("calib/000001.txt", "calib/000001.txt: missing, it belongs to"),
])
def test_a_missing_file_is_one_line(folder, broken, message, tmp_path, capfd):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / broken).unlink()
    assert run(copy, tmp_path / "out", steps=1) == 1
    err = capfd.readouterr().err
    assert message in err and err.count("\n") == 1


def test_a_broken_label_names_its_line(folder, tmp_path, capfd):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    with open(copy / "label_2" / "000001.txt", "a", encoding="utf-8") as file:
        file.write("Car 0 0 0 1\n")
    assert run(copy, tmp_path / "out", steps=1) == 1
    err = capfd.readouterr().err
    assert "label_2/000001.txt:" in err and "columns" in err and err.count("\n") == 1


def scene_of(seed):
    return boxes.SimulatedScenes(0, NAMES, fixed_sensor=1.0)[seed]


def test_augmented_points_stay_in_their_boxes():
    scene = scene_of(3)
    before = np.mean([boxes.inside(scene.points, b, 0.1)[scene.owner == i].mean() for i, b in enumerate(scene.boxes)])
    for seed in range(4):
        moved = boxes.augment(scene, np.random.default_rng(seed))
        owned = [moved.owner == i for i in range(len(moved.boxes))]
        share = [boxes.inside(moved.points, b, 0.15)[own].mean() for b, own in zip(moved.boxes, owned) if own.any()]
        assert np.mean(share) > before - 0.02
        assert not np.allclose(moved.boxes[:, :2], scene.boxes[:, :2])


def test_pasted_objects_are_alone_in_their_boxes():
    scene, donors = scene_of(3), [scene_of(4), scene_of(5)]
    many = [scene_of(seed) for seed in range(4, 10)]
    crowd = boxes.paste(scene, many, np.random.default_rng(0), [50, 9, 9, 9], around=[16, 0], reach=4.0)
    assert len(crowd.boxes) >= len(scene.boxes) + 4
    assert (vs.boxes_iou_bev(crowd.boxes, crowd.boxes) - np.eye(len(crowd.boxes)))[len(scene.boxes) :].max() <= 0
    full = boxes.paste(scene, donors, np.random.default_rng(0), [6, 2, 3, 3])
    added = np.arange(len(scene.boxes), len(full.boxes))
    assert len(added) >= 4
    aimed = boxes.paste(scene, donors, np.random.default_rng(0), [6, 2, 3, 3], around=[10, 10], reach=12.0)
    assert len(aimed.boxes) > len(scene.boxes)
    assert (np.hypot(*(aimed.boxes[len(scene.boxes) :, :2] - 10).T) < 12.001).all()
    overlaps = vs.boxes_iou_bev(full.boxes, full.boxes) - np.eye(len(full.boxes))
    assert overlaps[added].max() <= 0
    for i in added:
        inside = boxes.inside(full.points, full.boxes[i])
        assert (full.owner[inside] == i).all()
        assert inside.sum() >= 3
        original = [(d, m) for d in donors for m in range(len(d.boxes))
                    if np.allclose(d.boxes[m][3:6], full.boxes[i][3:6]) and
                    abs(np.hypot(*d.boxes[m][:2]) - np.hypot(*full.boxes[i][:2])) < 1e-3]
        assert original  # as large and as far away as it was


def test_the_last_examples_have_nothing_pasted():
    profile = vs.Model.new("centerpoint", profile="lidar", classes=4, width=1 / 16).profile
    source = boxes.SimulatedScenes(0, NAMES)
    whole = ([-51.2, -51.2, -4], [51.2, 51.2, 3])
    both = [boxes.Examples(source, 0, 1, profile, whole, 0, [20, 3, 3, 3], pasted, least_points=0) for pasted in (None, 1)]
    for i, is_pasted in enumerate((True, False)):
        _, most, _ = both[0][i]
        _, found, _ = both[1][i]
        assert len(found) == (len(most) if is_pasted else len(source[i].boxes))
        assert len(most) > len(source[i].boxes)


def test_windows_hold_their_boxes_points():
    scene = scene_of(3)
    center = boxes.window_center(scene, np.random.default_rng(1), [-51.2, -51.2], [51.2, 51.2], 40.96)
    part = boxes.moved(scene, center)
    assert (np.abs(part.boxes[:, :2]) < 20.48).all(1).any()
    shift = (part.points - scene.points)[:, :2]
    np.testing.assert_allclose(shift, np.broadcast_to((part.boxes - scene.boxes)[0, :2], shift.shape), atol=1e-4)
    assert (np.abs(shift) <= 51.2 - 20.48 + 1e-3).all()


def test_the_score_is_that_of_the_boxes_found():
    """By evaluate_detections, of the boxes that the weights of the network find."""
    scenes = [scene_of(3)]
    model = vs.Model.new("centerpoint", profile="lidar", classes=4, width=1 / 16, seed=1)
    classes = [(name, i, (9, 9, 9)) for i, name in enumerate(NAMES)]
    model = vs.Model.from_graph(model.graph, model.parameters(), model.profile, classes, detection=model.detection)
    scores = detect.evaluation(scenes, model)(vst.Network(model))
    found = vs.Detector(model).detect(scenes[0].points)
    truths = [{"boxes": scenes[0].boxes, "classes": [NAMES[c] for c in scenes[0].classes], "points": scenes[0].counts()}]
    expected = vs.evaluate_detections([found], truths, max_distance=40, class_names=NAMES)["classes"]
    assert scores["car"] == round(expected["Car"]["bev"]["hard"], 4) == round(scores["ap"], 4)
    assert set(scores) == {"ap", *NAMES}


def test_settled_statistics_are_those_of_all_batches():
    network = vst.Network(vs.Model.new("centerpoint", profile="lidar", classes=4, width=1 / 16, seed=1))
    points = [torch.from_numpy(vs.synth_lidar(seed)[0][::20] + np.float32([20 * seed, 9, 0, 0])) for seed in (1, 2)]  # off 0
    batches = [(p, np.array([0, len(p)]), None, None) for p in points]
    name = next(step.parameters for step in network.steps if step.op == "batch_norm")
    network.eval()
    detect.settle(network, batches)
    assert not network.training
    first = next(step for step in network.steps if step.op == "linear")
    rows = []
    for p in points:  # what the pillars' linear layer gives for all points
        graph = {**network.model.graph, "outputs": [first.output]}
        nodes = graph["nodes"][: [n["name"] for n in graph["nodes"]].index(first.output) + 1]
        weights = {first.parameters["weight"]: network.model.parameters()[first.parameters["weight"]]}
        rows.append(vs.Model.from_graph({**graph, "nodes": nodes}, weights, "lidar", 0).run(p.numpy())[first.output][0].astype(np.float64))
    mean = np.mean([r.mean(0) for r in rows], 0)
    square = np.mean([(r**2).mean(0) for r in rows], 0)
    np.testing.assert_allclose(network.tensor(name["running_mean"]), mean, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(network.tensor(name["running_var"]), square - mean**2, rtol=1e-3)


def run(data, out, *options, steps=3):
    arguments = ["detect", "--out", str(out), "--steps", str(steps), "--eval-every", str(steps), "--checkpoint-every", "2",
                 "--width", "0.0625", "--batch-size", "2", "--workers", "0", "--threads", "2", "--val-scans", "1"]
    return main([*arguments, "--data", str(data), "--val-data", str(data), *map(str, options)])


def test_a_run_from_a_folder_is_repeated_to_the_bit(folder, tmp_path):
    assert run(folder, tmp_path / "whole") == 0
    assert run(folder, tmp_path / "again", steps=3) == 0
    model = vs.Model.load(tmp_path / "whole" / "model.safetensors")
    assert [c.name for c in model.classes] == NAMES and model.detection["heads"]
    weights = model.parameters()[detect.position_weights(model)]
    assert not weights[:, :2].any() and weights[:, 2:].any()
    first = (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert first == (tmp_path / "again" / "model.safetensors").read_bytes()
    rows = list(csv.DictReader((tmp_path / "whole" / "metrics.csv").read_text().splitlines()))
    assert rows[-1]["step"] == "3" and 0 <= float(rows[-1]["ap"]) <= 1
    assert run(folder, tmp_path / "tuned", "--init", tmp_path / "whole" / "model.safetensors", steps=1) == 0


def test_weights_that_know_places_are_trained_on_whole_scans(folder, tmp_path):
    detect.new_model(type("Options", (), {"width": 0.0625, "seed": 1})).save(tmp_path / "new.safetensors")
    assert run(folder, tmp_path / "out", "--init", tmp_path / "new.safetensors", steps=1) == 0
    model = vs.Model.load(tmp_path / "out" / "model.safetensors")
    assert model.parameters()[detect.position_weights(model)][:, :2].all()


def test_another_kind_of_model_is_refused(folder, tmp_path, capfd):
    vs.Model.new("minkunet", width=0.03125).save(tmp_path / "m.safetensors")
    assert run(folder, tmp_path / "out", "--init", tmp_path / "m.safetensors") == 1
    assert "a detector on pillars of points is wanted" in capfd.readouterr().err
