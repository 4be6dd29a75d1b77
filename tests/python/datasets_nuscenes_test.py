"""nuScenes by its tables, against nuscenes-devkit on a small made-up set in its schema."""

import json
import math
import pickle

import numpy as np
import pytest
import voxshift as vs
from nuscenes_set import CATEGORIES, POINTS, MadeUp
from voxshift import datasets

SCENES = ("scene-0061", "scene-0103", "scene-0916")


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    root = tmp_path_factory.mktemp("nuscenes")
    made = MadeUp(np.random.default_rng(3), SCENES)
    made.write(root)
    return root, made


@pytest.fixture(scope="module")
def devkit(made_up):
    kit = pytest.importorskip("nuscenes", reason="nuscenes-devkit is not installed")
    return kit.NuScenes(version="v1.0-mini", dataroot=str(made_up[0]), verbose=False)


@pytest.fixture
def own(tmp_path, random):
    """A set that a test may spoil, and its tables."""
    made = MadeUp(random, SCENES[:1])
    made.write(tmp_path)
    return tmp_path, made.t


def test_samples(made_up):
    root, made = made_up
    dataset = datasets.NuScenes(root)
    assert repr(dataset) == "NuScenes(3 sequences, 9 samples)"
    assert dataset.sequences == {"scene-0061": range(3), "scene-0103": range(3, 6), "scene-0916": range(6, 9)}
    sample = dataset[4]
    [row] = [row for row in made.t["sample_data"] if row["is_key_frame"] and row["filename"].startswith("samples/LIDAR_TOP")
             and row["sample_token"] == "sample4"]
    points = made.files[row["filename"]]
    assert (sample.name, sample.sequence) == ("sample4", "scene-0103")
    assert sample.timestamp == pytest.approx(1e-6 * row["timestamp"], abs=1e-6)
    assert sample.scan.points.tolist() == points[:, :4].tolist() and sample.scan.ring.tolist() == points[:, 4].tolist()
    assert sample.paths["points"] == root / row["filename"] and sorted(sample.paths) == [
        "CAM_BACK", "CAM_FRONT", "labels", "points"]
    assert all(path.exists() for path in sample.paths.values())


def test_labels_are_those_of_the_devkit(made_up, devkit):
    root, made = made_up
    mapper = pytest.importorskip("nuscenes.eval.lidarseg.utils").LidarsegClassMapper(devkit)
    coarse = {index: name for name, index in mapper.coarse_name_2_coarse_idx_mapping.items()}
    dataset = datasets.NuScenes(root)
    assert dataset.classes == tuple(coarse[i] for i in range(1, 17))
    for sample in dataset:
        [filename] = [row["filename"] for row in made.t["lidarseg"] if str(root / row["filename"]) == str(sample.paths["labels"])]
        raw = made.files[filename]
        assert sample.scan.label.tolist() == raw.tolist()
        expected = [mapper.fine_idx_2_coarse_idx_mapping[int(one)] for one in raw]
        assert [0 if label == 255 else label + 1 for label in sample.labels.tolist()] == expected
        assert sample.labels.tolist() == vs.train_ids(sample.scan.label, "nuscenes").tolist()


# Both sides round to float32 what they compute in double from coordinates below 4000 m: four products of 4 x 4 matrices and
# one with the point, each of sums of four terms, are off by less than 2^-53 * 4000 * 5 * 8 < 2e-11 m, so that the roundings
# are at most one float32 apart, or these metres where they are near 0.
def assert_rounded_alike(ours, theirs):
    limit = np.maximum(np.spacing(np.maximum(np.abs(ours), np.abs(theirs))), np.float32(4e-11))
    assert (np.abs(ours.astype(np.float64) - theirs) <= limit).all()


@pytest.mark.parametrize("sweeps", [2, 7, 10])
def test_sweeps_are_those_of_the_devkit(made_up, devkit, sweeps):
    kit = pytest.importorskip("nuscenes.utils.data_classes")
    dataset = datasets.NuScenes(made_up[0], sweeps=sweeps, min_distance=1.0)
    single = datasets.NuScenes(made_up[0])
    counts = set()
    for i, sample in enumerate(dataset):
        cloud, lags = kit.LidarPointCloud.from_file_multisweep(
            devkit, devkit.get("sample", sample.name), "LIDAR_TOP", "LIDAR_TOP", nsweeps=sweeps, min_distance=1.0)
        points = sample.scan.points
        assert points.shape == (cloud.points.shape[1], 5) and points.dtype == np.float32
        assert_rounded_alike(points[:, :3], cloud.points[:3].T)
        assert points[:, 3].tolist() == cloud.points[3].tolist()
        # the devkit takes differences of seconds in double, 2^-22 s apart at this time, each off by half of that
        assert np.abs(points[:, 4] - lags[0]).max() <= 2.0**-22 + np.spacing(np.float32(1))
        newest = sample.scan.fields["sweep"] == 0
        assert (sample.labels[~newest] == 255).all() and (sample.scan.label[~newest] == 0).all()
        assert len(sample.labels) == len(points) == len(sample.scan.ring) == len(sample.scan.label)
        far = ~(np.abs(single[i].scan.points[:, :2]) < 1).all(axis=1)
        assert sample.labels[newest].tolist() == single[i].labels[far].tolist()
        assert sample.scan.label[newest].tolist() == single[i].scan.label[far].tolist()
        assert points[newest, :4].tobytes() == single[i].scan.points[far].tobytes()
        counts.add(len(set(sample.scan.fields["sweep"].tolist())))
    assert counts == {2: {2}, 7: {2, 7}, 10: {2, 7, 10}}[sweeps]  # the first samples have fewer sweeps before them


def test_all_points_without_a_distance(made_up):
    assert [len(sample.scan) for sample in datasets.NuScenes(made_up[0], sweeps=3)] == [2 * POINTS, 3 * POINTS, 3 * POINTS] * 3


def test_boxes_are_those_of_the_devkit(made_up, devkit):
    names = pytest.importorskip("nuscenes.eval.detection.utils").category_to_detection_name
    yaw_of = pytest.importorskip("nuscenes.eval.common.utils").quaternion_yaw
    dataset = datasets.NuScenes(made_up[0])
    known = {}
    for sample in dataset:
        lidar = devkit.get("sample", sample.name)["data"]["LIDAR_TOP"]
        _, boxes, _ = devkit.get_sample_data(lidar)
        record = devkit.get("sample_data", lidar)
        pose = devkit.get("ego_pose", record["ego_pose_token"])
        sensor = devkit.get("calibrated_sensor", record["calibrated_sensor_token"])
        assert len(boxes) == len(sample.boxes) > 0
        for i, box in enumerate(boxes):
            quaternion = type(box.orientation)
            length_width_height = box.wlh[[1, 0, 2]]
            assert sample.boxes.boxes[i, :6] == pytest.approx([*box.center, *length_width_height], rel=1e-6, abs=1e-5)
            difference = sample.boxes.boxes[i, 6] - yaw_of(box.orientation)
            assert math.remainder(difference, 2 * math.pi) == pytest.approx(0, abs=1e-6)
            velocity = devkit.box_velocity(box.token)
            for one in (pose, sensor):
                velocity = quaternion(one["rotation"]).inverse.rotate(velocity)
            assert sample.boxes.boxes[i, 7:] == pytest.approx(velocity[:2], rel=1e-5, abs=1e-5, nan_ok=True)
            known.setdefault((sample.sequence, box.name), []).append(not np.isnan(velocity[0]))
            annotation = devkit.get("sample_annotation", box.token)
            assert sample.boxes.types[i] == box.name == annotation["category_name"]
            assert sample.boxes.fields["points"][i] == annotation["num_lidar_pts"]
            assert sample.boxes.fields["instance"][i] == annotation["instance_token"]
            place = sample.boxes.classes[i]
            assert (dataset.box_classes[place] if place >= 0 else None) == names(box.name)
    assert known["scene-0061", "vehicle.car"] == [True] * 3 and known["scene-0061", "movable_object.barrier"] == [False]
    assert known["scene-0103", "vehicle.car"] == [True] * 3 and known["scene-0103", "vehicle.truck"] == [False] * 2
    assert known["scene-0916", "vehicle.car"] == [False] * 3


def test_categories_are_those_of_the_devkit():
    utils = pytest.importorskip("nuscenes.eval.detection.utils")
    config = pytest.importorskip("nuscenes.eval.detection.config").config_factory("detection_cvpr_2019")
    assert set(datasets.NuScenes.box_classes) == set(config.class_names)
    from voxshift.datasets.classes import NUSCENES_CATEGORIES

    assert {name: NUSCENES_CATEGORIES.get(name) for name in CATEGORIES} == {
        name: utils.category_to_detection_name(name) for name in CATEGORIES}


def test_cameras_see_what_the_devkit_sees(made_up, devkit):
    kit = pytest.importorskip("nuscenes.utils.data_classes")
    quaternion = pytest.importorskip("pyquaternion").Quaternion
    for sample in list(datasets.NuScenes(made_up[0]))[::4]:
        record = devkit.get("sample", sample.name)
        for channel in ("CAM_FRONT", "CAM_BACK"):
            cloud = kit.LidarPointCloud(sample.scan.points.T.astype(np.float64))
            lidar, camera = (devkit.get("sample_data", record["data"][name]) for name in ("LIDAR_TOP", channel))
            for data, inverse in ((lidar, False), (camera, True)):
                steps = [devkit.get("calibrated_sensor", data["calibrated_sensor_token"]),
                         devkit.get("ego_pose", data["ego_pose_token"])]
                for step in steps[::-1] if inverse else steps:
                    turn = quaternion(step["rotation"]).rotation_matrix
                    if inverse:
                        cloud.translate(-np.array(step["translation"]))
                        cloud.rotate(turn.T)
                    else:
                        cloud.rotate(turn)
                        cloud.translate(np.array(step["translation"]))
            intrinsic = np.array(devkit.get("calibrated_sensor", camera["calibrated_sensor_token"])["camera_intrinsic"])
            expected = intrinsic @ cloud.points[:3]
            ours = sample.cameras[channel] @ np.c_[sample.scan.points[:, :3].astype(np.float64), np.ones(POINTS)].T
            assert np.abs(ours - expected).max() < 1e-6
            assert sample.calibration[channel].tolist() == intrinsic.tolist()


def test_pose_is_the_devkits(made_up, devkit):
    geometry = pytest.importorskip("nuscenes.utils.geometry_utils")
    quaternion = pytest.importorskip("pyquaternion").Quaternion
    for sample in datasets.NuScenes(made_up[0]):
        record = devkit.get("sample_data", devkit.get("sample", sample.name)["data"]["LIDAR_TOP"])
        ego, sensor = (geometry.transform_matrix(row["translation"], quaternion(row["rotation"])) for row in (
            devkit.get("ego_pose", record["ego_pose_token"]),
            devkit.get("calibrated_sensor", record["calibrated_sensor_token"])))
        assert sample.pose == pytest.approx(ego @ sensor, abs=1e-9)
        assert sample.calibration["lidar_to_ego"] == pytest.approx(sensor) and sample.pose.dtype == np.float64
        assert sample.calibration["ego_to_world"] == pytest.approx(ego)


def test_splits_are_those_of_the_devkit():
    splits = pytest.importorskip("nuscenes.utils.splits")
    from voxshift.datasets.nuscenes import in_split

    both = splits.train + splits.val
    assert [scene for scene in both if in_split(scene, "val")] == splits.val
    assert [scene for scene in both if in_split(scene, "train")] == splits.train
    mini = splits.mini_train + splits.mini_val
    assert [scene for scene in mini if in_split(scene, "mini_val")] == splits.mini_val
    assert [scene for scene in mini if in_split(scene, "mini_train")] == splits.mini_train
    assert all(in_split(scene, "test") for scene in splits.test)


def test_which_scenes(made_up):
    root = made_up[0]
    assert list(datasets.NuScenes(root, "mini_train").sequences) == ["scene-0061"]
    assert list(datasets.NuScenes(root, "mini_val").sequences) == ["scene-0103", "scene-0916"]
    two = datasets.NuScenes(root, sequences=["scene-0916", "scene-0061"], version="v1.0-mini")
    assert list(two.sequences) == ["scene-0916", "scene-0061"]


def test_pickled(made_up):
    dataset = datasets.NuScenes(made_up[0], sweeps=10)
    again = pickle.loads(pickle.dumps(dataset))
    for mine, theirs in zip(dataset, again):
        assert mine.scan.points.tobytes() == theirs.scan.points.tobytes() and mine.paths == theirs.paths
        assert mine.boxes.boxes.tobytes() == theirs.boxes.boxes.tobytes()


def test_without_labels_and_boxes(own):
    root, tables = own
    (root / "v1.0-mini" / "lidarseg.json").unlink()
    (root / "v1.0-mini" / "sample_annotation.json").write_text("[]")  # as the test set's
    sample = datasets.NuScenes(root, sweeps=2)[1]
    assert sample.labels is None and sample.scan.label is None and len(sample.scan) == 2 * POINTS
    assert sample.boxes.boxes.shape == (0, 9) and len(sample.boxes) == 0


def spoil(table, change):
    def spoiled(root, tables):
        change(tables[table])
        (root / "v1.0-mini" / f"{table}.json").write_text(json.dumps(tables[table]))

    return spoiled


def cut(name):
    def spoiled(root, tables):
        path = root / "v1.0-mini" / f"{name}.json"
        path.write_bytes(path.read_bytes()[:-20])

    return spoiled


BAD = [
    (cut("ego_pose"), "ego_pose.json: expected a table in JSON"),
    (lambda root, _: (root / "v1.0-mini/sample.json").unlink(), "sample.json: cannot be read: No such file"),
    (lambda root, _: (root / "v1.0-mini/scene.json").write_text("{}"), "scene.json: expected a list of rows, found dict"),
    (lambda root, _: (root / "v1.0-mini/scene.json").write_text("[3]"), "scene.json: expected a list of rows, found int"),
    (lambda root, _: (root / "v1.0-mini/scene.json").write_text("[]"), "scene.json: expected scenes, found none"),
    (spoil("ego_pose", lambda rows: rows[2].pop("rotation")),
     "ego_pose.json: expected token, translation, rotation in every row, row 2 has no rotation"),
    (spoil("ego_pose", lambda rows: rows.clear()),
     "sample_data.json: names ego_pose ego_pose[0-9]+, which ego_pose.json does not have"),
    (spoil("ego_pose", lambda rows: [row.update(rotation=[0, 0, 0, 0]) for row in rows]),
     "ego_pose.json: expected 4 numbers as rotation of ego_pose"),
    (spoil("sample_annotation", lambda rows: rows[1].update(size=[1, 2])),
     "sample_annotation.json: expected 3 numbers as size of sample_annotation1"),
    (spoil("sample_annotation", lambda rows: rows[1].update(translation=["a", 0, 0])),
     "sample_annotation.json: expected 3 numbers as translation of sample_annotation1"),
    (spoil("calibrated_sensor", lambda rows: rows[1].update(camera_intrinsic=[[1]])),
     "calibrated_sensor.json: expected 9 numbers as camera_intrinsic of calibrated_sensor1"),
    (spoil("sample_data", lambda rows: rows.clear()), "sample_data.json: expected a key frame of LIDAR_TOP for sample sample0"),
    (spoil("sample", lambda rows: rows[1].update(next="sample0")), "sample sample0 of scene-0061 follows itself"),
    (spoil("sample", lambda rows: rows[1].update(next="x")), "sample.json: names sample x, which sample.json does not have"),
]


@pytest.mark.parametrize(("spoiled", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_bad_tables(own, spoiled, message):
    spoiled(*own)
    with pytest.raises(OSError, match=message):
        datasets.NuScenes(own[0])


def test_bad_files(own):
    root, _ = own
    dataset = datasets.NuScenes(root, sweeps=3)
    sample = dataset[2]
    data = sample.paths["labels"].read_bytes()
    sample.paths["labels"].write_bytes(data[:-1])
    with pytest.raises(OSError, match="lidarseg.bin: expected 400 labels of 1 bytes, one per point, found 399 bytes"):
        dataset[2]
    sample.paths["labels"].write_bytes(data[:-1] + b"\x20")
    with pytest.raises(OSError, match="lidarseg.bin: expected raw ids of NuScenes, found 32 at point 399"):
        dataset[2]
    sample.paths["labels"].unlink()
    with pytest.raises(OSError, match="lidarseg.bin: cannot be read: No such file"):
        dataset[2]
    sample.paths["points"].write_bytes(bytes(21))
    with pytest.raises(OSError, match="pcd.bin: 21 bytes are no multiple of 20"):
        dataset[2]
    for path in (root / "sweeps/LIDAR_TOP").iterdir():
        path.unlink()
    with pytest.raises(OSError, match="sweeps/LIDAR_TOP/.*pcd.bin: cannot be read"):
        dataset[1]


def test_bad_arguments(made_up, tmp_path):
    root = made_up[0]
    for options, message in [({"split": "valid"}, "expects split train, val, test, mini_train, mini_val, found \"valid\""),
                             ({"split": "val", "sequences": ["scene-0061"]}, "expects split or sequences, found both"),
                             ({"sequences": "scene-0061"}, "expects sequences as a list of names, found 'scene-0061'"),
                             ({"sweeps": 0}, "expects sweeps of 1 and more"),
                             ({"min_distance": math.nan}, "expects a min_distance in metres")]:
        with pytest.raises(ValueError, match=message):
            datasets.NuScenes(root, **options)
    for options, message in [({"split": "train"}, "v1.0-trainval: expected the tables of v1.0-trainval, found no such folder"),
                             ({"sequences": ["scene-1"]}, "scene.json: expected scene scene-1, which it does not have")]:
        with pytest.raises(OSError, match=message):
            datasets.NuScenes(root, **options)
    with pytest.raises(OSError, match="expected one folder of tables, v1.0-\\*/scene.json, or split or version; found none"):
        datasets.NuScenes(tmp_path)
    for name in ("v1.0-mini", "v1.0-test"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scene.json").write_text("[]")
    with pytest.raises(OSError, match="found v1.0-mini, v1.0-test"):
        datasets.NuScenes(tmp_path)
    with pytest.raises(OSError, match="absent: expected the folder of nuScenes, found no such folder"):
        datasets.NuScenes(tmp_path / "absent")
