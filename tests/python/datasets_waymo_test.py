"""Waymo in KITTI's layout, as mmdetection3d's tools/data_converter/waymo_converter.py writes it: names of the split's digit, three
of the segment, three of the frame; velodyne float32 x y z intensity elongation and a sixth column; label_all with KITTI's columns
and the camera, where the bottom's centre is put through the front camera's transform and rotation_y = -heading - pi / 2;
calib with P0 to P4, R0_rect, Tr_velo_to_cam_0 to _4; pose by numpy.savetxt. The folders are written by this file."""

import math
import pickle

import numpy as np
import pytest
from voxshift import datasets

TO_REFERENCE = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
BOXES = [("Car", (22.0, 3, 1, 4.51, 1.83, 1.54, 0.4), 0), ("Pedestrian", (-8.0, -2, 0.9, 0.61, 0.52, 1.73, -2.0), 3),
         ("Cyclist", (3.0, 9.5, 0.5, 1.7, 0.7, 1.6, 3.1), 1)]


def transform(yaw, pitch, place):
    c, s, a, b = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[a, 0, b], [0, 1, 0], [-b, 0, a]])
    matrix[:3, 3] = place
    return matrix


CAMERAS = [TO_REFERENCE @ np.linalg.inv(transform(yaw, 0.02, (1.5, 0.1 * k, 2.1)))
           for k, yaw in enumerate((0, 0.8, -0.8, 1.6, -1.6))]  # fmt: skip
POSE = transform(2.0, 0.01, (4000.0, -250.0, 12.0))


def write_frame(folder, name, random, labels=True):
    def text(below, lines):
        (folder / below).mkdir(parents=True, exist_ok=True)
        (folder / below / f"{name}.txt").write_text("\n".join(lines) + "\n")

    points = random.uniform(-70, 70, (7, 6)).astype(np.float32)
    (folder / "velodyne").mkdir(parents=True, exist_ok=True)
    points.tofile(folder / f"velodyne/{name}.bin")
    for k in range(5):
        (folder / f"image_{k}").mkdir(exist_ok=True)
        (folder / f"image_{k}/{name}.png").touch()
    numbers = [f"P{k}: " + " ".join(f"{v:e}" for v in (2000 + k, 0, 960, 0, 0, 2000, 640, 0, 0, 0, 1, 0)) for k in range(5)]
    numbers.append("R0_rect: " + " ".join(f"{v:e}" for v in np.eye(3).ravel()))
    numbers += [f"Tr_velo_to_cam_{k}: " + " ".join(f"{v:e}" for v in CAMERAS[k][:3].ravel()) for k in range(5)]
    text("calib", numbers)
    text("pose", [" ".join(f"{v:.18e}" for v in row) for row in POSE])
    lines = []
    for kind, (x, y, z, length, width, height, heading), camera in BOXES:
        place = CAMERAS[0] @ [x, y, z - height / 2, 1]
        box = [0, 0, -10, 1, 2, 3, 4, height, width, length, *place[:3], -heading - math.pi / 2]
        lines.append(" ".join([kind, *(str(round(v, 2)) for v in box), str(camera)]))
    if labels:
        text("label_all", lines)


@pytest.fixture
def root(tmp_path, random):
    for name in ("0000000", "0000001", "0017000", "1002005"):
        write_frame(tmp_path / "kitti_format/training", name, random)
    for name in ("2001000", "2001001"):
        write_frame(tmp_path / "kitti_format/testing", name, random, labels=False)
    return tmp_path


def test_samples(root):
    dataset = datasets.Waymo(root)
    assert dataset.sequences == {"0000": range(2), "0017": range(2, 3), "1002": range(3, 4), "2001": range(4, 6)}
    sample = dataset[2]
    folder = root / "kitti_format/training"
    points = np.fromfile(folder / "velodyne/0017000.bin", np.float32).reshape(-1, 6)
    assert (sample.name, sample.sequence) == ("0017000", "0017")
    assert sample.scan.points.tolist() == points[:, :5].tolist()
    assert sample.scan.fields["sixth"].tolist() == points[:, 5].tolist()
    assert sample.pose.tolist() == POSE.tolist() and sample.paths["image_3"] == folder / "image_3/0017000.png"
    assert sorted(sample.paths) == ["boxes", "calibration", *(f"image_{k}" for k in range(5)), "points", "pose"]
    assert dataset[4].boxes is None and dataset[4].pose is not None


def test_boxes_are_in_the_frame_of_the_car(root):
    sample = datasets.Waymo(root / "kitti_format", "val")[0]
    assert sample.name == "1002005" and sample.boxes.types == ["Car", "Pedestrian", "Cyclist"]
    assert sample.boxes.classes.tolist() == [0, 1, 2] and sample.boxes.fields["camera"].tolist() == [0, 3, 1]
    expected = np.array([box for _, box, _ in BOXES])
    difference = sample.boxes.boxes - expected
    # Files have two decimals: a place is off by 0.005 along each of the camera's axes, its height by half of 0.005 more.
    assert np.abs(difference[:, :3]).max() < 0.005 * math.sqrt(3) + 0.0025 + 1e-5
    assert np.abs(difference[:, 3:6]).max() < 1e-6  # these have two
    assert np.abs(np.sin(difference[:, 6] / 2)).max() < 0.005 / 2 + 1e-6
    assert (np.abs(sample.boxes.boxes[:, 6]) <= np.float32(math.pi)).all()


def test_cameras(root):
    sample = datasets.Waymo(root, "train")[0]
    for k in range(5):
        for point in sample.scan.points[:, :3].astype(float):
            x, y, z, _ = CAMERAS[k] @ [*point, 1]
            expected = [(2000 + k) * x + 960 * z, 2000 * y + 640 * z, z]
            assert sample.cameras[f"image_{k}"] @ [*point, 1] == pytest.approx(expected, abs=0.5, rel=1e-5)  # of 7 digits


def test_splits(root):
    names = {split: [sample.name for sample in datasets.Waymo(root, split)] for split in ("train", "val", "test")}
    assert names == {"train": ["0000000", "0000001", "0017000"], "val": ["1002005"], "test": ["2001000", "2001001"]}
    two = datasets.Waymo(root, sequences=["1002", "0000"])
    assert list(two.sequences) == ["1002", "0000"] and pickle.loads(pickle.dumps(two))[1].name == "0000000"


def test_later_versions_have_points_and_jpegs_alone(tmp_path, random):
    folder = tmp_path / "training"
    write_frame(folder, "0000000", random)
    for below in ("calib", "pose", "label_all"):
        (folder / below / "0000000.txt").unlink()
        (folder / below).rmdir()
    for k in range(5):
        (folder / f"image_{k}/0000000.png").rename(folder / f"image_{k}/0000000.jpg")
    [sample] = datasets.Waymo(tmp_path)
    assert sample.boxes is None and sample.pose is None and sample.cameras == {} and sample.calibration == {}
    assert sample.paths["image_4"] == folder / "image_4/0000000.jpg"


BAD_FILES = [
    ("velodyne", "bin", lambda data: data[:-1], "0017000.bin: 167 bytes are no multiple of 24"),
    ("label_all", "txt", lambda data: data.replace(b" 3\n", b"\n"), "label_all/0017000.txt:2: expected 15 numbers, found 14"),
    ("label_all", "txt", lambda data: data.replace(b"Car", b"Car x"), "label_all/0017000.txt:1: expected 15 numbers: could not"),
    ("pose", "txt", lambda data: data[: data.rindex(b"\n", 0, -1)], "pose/0017000.txt: expected 4 lines of 4 numbers, found 3"),
    ("calib", "txt", lambda data: data.replace(b"cam_0", b"cam"), "calib/0017000.txt: expected Tr_velo_to_cam_0"),
    ("calib", "txt", lambda data: data.replace(b"P3", b"P"), "calib/0017000.txt: expected P3"),
]


@pytest.mark.parametrize(("below", "suffix", "spoil", "message"), BAD_FILES)
def test_bad_files(root, below, suffix, spoil, message):
    path = root / f"kitti_format/training/{below}/0017000.{suffix}"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(OSError, match=message):
        datasets.Waymo(root, sequences=["0017"])[0]


def test_bad_folders(root, tmp_path):
    with pytest.raises(ValueError, match='expects split train, val, test, found "training"'):
        datasets.Waymo(root, "training")
    with pytest.raises(OSError, match="kitti_format: expected segment 0003, 0003\\*.bin in velodyne, found none"):
        datasets.Waymo(root, sequences=["0003"])
    training = root / "kitti_format/training"
    (training / "pose/0000001.txt").unlink()
    with pytest.raises(OSError, match="pose: expected a file for each of 4 scans, found 3: 0000001.txt is missing"):
        datasets.Waymo(root)
    (training / "velodyne/12.bin").touch()
    with pytest.raises(OSError, match="12.bin: expected a name of 7 digits, as 0017123.bin"):
        datasets.Waymo(root)
    with pytest.raises(OSError, match="expected training/velodyne/\\*.bin or testing/velodyne/\\*.bin, found neither"):
        datasets.Waymo(root / "kitti_format/training")
    training.rename(root / "training")
    with pytest.raises(OSError, match="expected frames of train, 0\\*.bin in velodyne, found none"):
        datasets.Waymo(root, "train")
