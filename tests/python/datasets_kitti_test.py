"""KITTI's object folders, as the readme of its object development kit has them: velodyne/NNNNNN.bin, float32 x y z remission;
label_2/NNNNNN.txt with 15 columns (the bottom's centre in camera coordinates, rotation_y about the camera's y axis); calib with
P0 to P3 [3, 4], R0_rect [3, 3], Tr_velo_to_cam [3, 4]; image_2. The folders are written by this file."""

import math
import os
import pickle
import subprocess

import numpy as np
import pytest
import voxshift as vs
from voxshift import datasets

COMMAND = os.environ.get("VOXSHIFT_COMMAND")
# x ahead, y left, z up of the scanner -> x right, y down, z ahead of the camera
TR = [[0.0, -1, 0, 0.02], [0, 0, -1, -0.08], [1, 0, 0, -0.27]]
P2 = [[721.5, 0, 609.5, 44.8], [0, 721.5, 172.8, 0.2], [0, 0, 1, 0.002]]
BOXES = [("Car", (12.0, 3, -1, 4, 1.8, 1.5, 0.4)), ("Pedestrian", (8.0, -2, -0.9, 0.6, 0.5, 1.7, -2.0)),
         ("Van", (30.0, 0.5, -0.5, 5, 2, 2.2, 3.0))]


def line(kind, box):
    """A line of label_2 by the definitions of the readme, in plain arithmetic."""
    x, y, z, length, width, height, yaw = box
    bottom = (x, y, z - height / 2)
    camera = [sum(TR[r][k] * bottom[k] for k in range(3)) + TR[r][3] for r in range(3)]
    # ahead of the object is (cos yaw, sin yaw) here and (cos ry, -sin ry) as (x, z) of the camera
    ahead = (-math.sin(yaw), math.cos(yaw))  # (x, z) of the camera
    rotation = math.atan2(-ahead[1], ahead[0])
    numbers = [0.25, 1, 0.0, 100, 120, 200, 220, height, width, length, *camera, rotation]
    return " ".join([kind, *map(repr, numbers)])


def write_frames(folder, random, names, labels=True):
    for below in ("velodyne", "calib", "image_2") + (("label_2",) if labels else ()):
        (folder / below).mkdir(parents=True)
    for name in names:
        points = np.column_stack([random.uniform(-30, 30, (9, 3)), random.random(9)]).astype(np.float32)
        points.tofile(folder / f"velodyne/{name}.bin")
        (folder / f"image_2/{name}.png").touch()
        lines = [f"P{k}: " + " ".join(map(str, np.ravel(P2) + (k - 2))) for k in range(4)]
        lines += ["R0_rect: 1 0 0 0 1 0 0 0 1", "Tr_velo_to_cam: " + " ".join(map(str, np.ravel(TR))),
                  "Tr_imu_to_velo: 1 0 0 0 0 1 0 0 0 0 1 0"]
        (folder / f"calib/{name}.txt").write_text("\n".join(lines) + "\n\n")
        if labels:
            dont_care = "DontCare -1 -1 -10 503 169 590 190 -1 -1 -1 -1000 -1000 -1000 -10"
            (folder / f"label_2/{name}.txt").write_text("\n".join([*(line(*one) for one in BOXES), dont_care]) + "\n")


@pytest.fixture
def root(tmp_path, random):
    write_frames(tmp_path / "training", random, ["000000", "000003", "000007"])
    write_frames(tmp_path / "testing", random, ["000000", "000001"], labels=False)
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets/train.txt").write_text("000007\n000000\n")
    (tmp_path / "ImageSets/val.txt").write_text("000003\n")
    (tmp_path / "ImageSets/test.txt").write_text("000001\n")
    return tmp_path


def test_samples(root):
    dataset = datasets.Kitti(root, "training")
    assert dataset.sequences == {"training": range(3)} and dataset.classes == ()
    sample = dataset[1]
    folder = root / "training"
    assert sample.name == "000003" and sample.labels is None and sample.pose is None
    assert sample.scan.points.tobytes() == (folder / "velodyne/000003.bin").read_bytes()
    assert sample.paths == {"points": folder / "velodyne/000003.bin", "calibration": folder / "calib/000003.txt",
                            "boxes": folder / "label_2/000003.txt", "image_2": folder / "image_2/000003.png"}
    assert sample.boxes.types == ["Car", "Pedestrian", "Van"] and sample.boxes.classes.tolist() == [0, 1, -1]
    assert sample.boxes.boxes.dtype == np.float32
    assert sample.boxes.boxes == pytest.approx(np.array([box for _, box in BOXES]), abs=2e-6)
    assert sample.boxes.fields["truncation"].tolist() == [0.25] * 3 and sample.boxes.fields["occlusion"].tolist() == [1] * 3
    assert sample.boxes.fields["image_boxes"].tolist() == [[100, 120, 200, 220]] * 3
    assert sample.calibration["P2"].tolist() == P2 and sample.calibration["R0_rect"].shape == (3, 3)


def test_what_the_camera_sees(root):
    sample = datasets.Kitti(root, "training")[0]
    for point in sample.scan.points[:, :3].astype(float):
        camera = [sum(TR[r][k] * point[k] for k in range(3)) + TR[r][3] for r in range(3)]
        expected = [sum(P2[r][k] * camera[k] for k in range(3)) + P2[r][3] for r in range(3)]
        assert sample.cameras["image_2"] @ [*point, 1] == pytest.approx(expected, rel=1e-12, abs=1e-9)


def test_splits(root):
    names = {split: [sample.name for sample in datasets.Kitti(root, split)]
             for split in ("train", "val", "test", "training", "testing")}
    assert names == {"train": ["000007", "000000"], "val": ["000003"], "test": ["000001"],
                     "training": ["000000", "000003", "000007"], "testing": ["000000", "000001"]}
    assert datasets.Kitti(root, "testing")[0].boxes is None
    assert pickle.loads(pickle.dumps(datasets.Kitti(root, "val")))[0].boxes.types == ["Car", "Pedestrian", "Van"]


@pytest.mark.skipif(not COMMAND, reason="VOXSHIFT_COMMAND does not name the command to test")
def test_what_the_simulator_writes(tmp_path):
    subprocess.run([COMMAND, "synth", "lidar", "--seed", "4", "--boxes", "-o", tmp_path / "s"], check=True, capture_output=True)
    [sample] = datasets.Kitti(tmp_path / "s")
    points, _, objects = vs.synth_lidar(4, boxes=True)
    assert sample.scan.points.tobytes() == points.tobytes() and sample.boxes.types == objects["types"]
    difference = sample.boxes.boxes - objects["boxes"]
    assert np.abs(difference[:, :6]).max() < 2e-4  # of four decimals, the height's and the place's
    assert np.abs(np.sin(difference[:, 6] / 2)).max() < 1e-4


BAD = [
    ("training/label_2/000003.txt", None, "label_2: expected a file for each of 3 scans, found 2: 000003.txt is missing"),
    ("training/calib/000003.txt", None, "calib: expected a file for each of 3 scans, found 2: 000003.txt is missing"),
    ("training/image_2/000003.png", None, "image_2: expected a file for each of 3 scans, found 2: 000003.png is missing"),
]


@pytest.mark.parametrize(("name", "data", "message"), BAD)
def test_bad_folders(root, name, data, message):
    (root / name).unlink()
    with pytest.raises(OSError, match=message):
        datasets.Kitti(root, "training")


BAD_FILES = [
    ("velodyne/000003.bin", lambda text: text[:-1], "000003.bin: 143 bytes are no multiple of 16"),
    ("label_2/000003.txt", lambda text: text[: text.index(b" 0.25") + 9], "label_2/000003.txt:1: expected"),
    ("calib/000003.txt", lambda text: text[: text.index(b"R0_rect")], "calib/000003.txt: "),
    ("calib/000003.txt", lambda text: text.replace(b"P2: ", b"P2 "), 'calib/000003.txt:3: expected "NAME: numbers"'),
]


@pytest.mark.parametrize(("name", "spoil", "message"), BAD_FILES)
def test_bad_files(root, name, spoil, message):
    path = root / "training" / name
    path.write_bytes(spoil(path.read_bytes()))
    dataset = datasets.Kitti(root, "training")
    assert len(dataset[0].boxes) == 3
    with pytest.raises(OSError, match=message):
        dataset[1]


def test_a_test_scan_without_a_line_of_calibration(root):
    path = root / "testing/calib/000000.txt"
    path.write_text(path.read_text().replace("Tr_velo_to_cam", "Tr_velo"))
    with pytest.raises(OSError, match="000000.txt: expected Tr_velo_to_cam, by which image_2 sees the scan"):
        datasets.Kitti(root, "testing")[0]


def test_bad_arguments(root, tmp_path):
    with pytest.raises(ValueError, match='expects split train, val, trainval, test, training, testing, found "eval"'):
        datasets.Kitti(root, "eval")
    with pytest.raises(OSError, match="expected velodyne/\\*.bin, or training or testing and a split; found no velodyne"):
        datasets.Kitti(root)
    with pytest.raises(OSError, match="ImageSets/trainval.txt: cannot be read: No such file"):
        datasets.Kitti(root, "trainval")
    (root / "ImageSets/trainval.txt").write_text("000000\n000001\n")
    with pytest.raises(OSError, match="trainval.txt: names 000001, which .*velodyne does not have"):
        datasets.Kitti(root, "trainval")
    (root / "ImageSets/trainval.txt").write_text("\n")
    with pytest.raises(OSError, match="trainval.txt: expected names of scans, one a line, found none"):
        datasets.Kitti(root, "trainval")
    with pytest.raises(OSError, match="absent: expected the folder of KITTI, found no such folder"):
        datasets.Kitti(tmp_path / "absent")
    with pytest.raises(OSError, match="testing/velodyne: expected a folder of \\*.bin, found no such folder"):
        (root / "testing/velodyne").rename(root / "testing/lidar")
        datasets.Kitti(root, "testing")
