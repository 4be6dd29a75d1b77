"""SemanticKITTI by its folders, as its document has them (semantic-kitti.org/dataset.html): velodyne/NNNNNN.bin, float32
x y z remission, labels/NNNNNN.label uint32 with the class in the lower 16 bits, poses.txt of the left camera, calib.txt with
Tr, times.txt; its own API's `inv(Tr) @ pose @ Tr` is the scanner's pose. The folders are written by this file."""

import json
import os
import pickle
import subprocess

import numpy as np
import pytest
import voxshift as vs
from voxshift import datasets

COMMAND = os.environ.get("VOXSHIFT_COMMAND")
TR = [[0.0, -1, 0, 0.01], [0, 0, -1, -0.05], [1, 0, 0, -0.3]]  # x ahead, y left, z up -> x right, y down, z ahead
RAW = [10, 252, 40, 60, 1, 0, 81, 259]
TRAIN = [0, 0, 8, 8, 255, 255, 18, 4]  # of semantic-kitti.yaml's learning_map, less one


def turn(yaw, place):
    """Rows [3, 4] of a turn about the camera's axis down, y, and a place."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, s, place[0]], [0, 1, 0, place[1]], [-s, 0, c, place[2]]])


POSES = [turn(0, (0, 0, 0)), turn(0.1, (0.5, 0, 2)), turn(0.3, (1.5, 0.1, 3.5))]


def write_sequence(folder, random, poses=POSES, labels=True):
    """Three scans of 8 points."""
    for name in ("velodyne", "image_2") + (("labels",) if labels else ()):
        (folder / name).mkdir(parents=True)
    for i in range(len(poses)):
        points = np.column_stack([random.uniform(-30, 30, (8, 3)), random.random(8)]).astype(np.float32)
        points.tofile(folder / f"velodyne/{i:06d}.bin")
        (folder / f"image_2/{i:06d}.png").touch()
        if labels:
            words = np.array(RAW, np.uint32) | np.uint32((i + 1) << 16)
            words.tofile(folder / f"labels/{i:06d}.label")
    lines = [f"P{k}: {700 + k} 0 600 {k} 0 700 180 0 0 0 1 0" for k in range(4)]
    (folder / "calib.txt").write_text("\n".join([*lines, "Tr: " + " ".join(map(str, np.ravel(TR)))]) + "\n")
    (folder / "poses.txt").write_text("".join(" ".join(map(repr, row.ravel().tolist())) + "\n" for row in poses))
    (folder / "times.txt").write_text("".join(f"{0.1 * i:e}\n" for i in range(len(poses))))


@pytest.fixture
def root(tmp_path, random):
    write_sequence(tmp_path / "sequences" / "08", random)
    write_sequence(tmp_path / "sequences" / "03", random, POSES[:2])
    write_sequence(tmp_path / "sequences" / "11", random, labels=False)
    return tmp_path


def points_of(root, sequence, i):
    return np.fromfile(root / f"sequences/{sequence}/velodyne/{i:06d}.bin", np.float32).reshape(-1, 4)


def test_samples(root):
    dataset = datasets.SemanticKitti(root)
    assert len(dataset) == 8
    assert dataset.sequences == {"03": range(2), "08": range(2, 5), "11": range(5, 8)}
    assert len(dataset.classes) == 19 and dataset.ignore == 255 and dataset.mapping[258] == dataset.classes.index("truck")
    sample = dataset[3]
    folder = root / "sequences/08"
    assert (sample.sequence, sample.name, sample.timestamp) == ("08", "000001", 0.1)
    assert sample.scan.points.tobytes() == points_of(root, "08", 1).tobytes() and sample.scan.has_remission
    assert sample.labels.dtype == np.uint8 and sample.labels.tolist() == TRAIN
    assert sample.scan.label.tolist() == [raw | 2 << 16 for raw in RAW]
    assert sample.scan.fields["instance"].tolist() == [2] * 8
    assert sample.paths == {"points": folder / "velodyne/000001.bin", "labels": folder / "labels/000001.label",
                            "calibration": folder / "calib.txt", "image_2": folder / "image_2/000001.png"}
    assert sorted(sample.calibration) == ["P0", "P1", "P2", "P3", "Tr"] and sample.boxes is None
    assert sample.calibration["Tr"].tolist() == TR
    assert dataset[-1].name == "000002" and dataset[np.int64(-1)].labels is None
    assert [sample.name for sample in dataset] == ["000000", "000001"] + ["000000", "000001", "000002"] * 2
    with pytest.raises(IndexError, match="expects an index below 8, found 8"):
        dataset[8]


def test_labels_as_the_evaluation_has_them(root):
    dataset = datasets.SemanticKitti(root, split="val")
    for sample in dataset:
        assert sample.labels.tolist() == vs.train_ids(sample.scan.label).tolist() == TRAIN


@pytest.mark.skipif(not COMMAND, reason="VOXSHIFT_COMMAND does not name the command to test")
def test_classes_are_those_of_the_command(tmp_path):
    np.array([10], np.uint32).tofile(tmp_path / "0.label")
    done = subprocess.run([COMMAND, "eval", "--pred", tmp_path, "--gt", tmp_path, "--json"], capture_output=True, check=True)
    assert tuple(one["name"] for one in json.loads(done.stdout)["classes"]) == datasets.SemanticKitti.classes


def test_pose_takes_points_to_the_frame_of_the_sequence(root):
    """A point ahead of the second scan is, by the camera's pose, where this loop puts it."""
    sample = datasets.SemanticKitti(root, "val")[1]
    for point in sample.scan.points[:, :3].astype(float):
        camera = [sum(TR[r][k] * point[k] for k in range(3)) + TR[r][3] for r in range(3)]
        world = [sum(POSES[1][r][k] * camera[k] for k in range(3)) + POSES[1][r][3] for r in range(3)]
        # back through Tr: its rotation's transpose
        expected = [sum(TR[k][r] * (world[k] - TR[k][3]) for k in range(3)) for r in range(3)]
        assert (sample.pose @ [*point, 1])[:3] == pytest.approx(expected, abs=1e-12)
        pixel = sample.cameras["image_2"] @ [*point, 1]
        assert pixel == pytest.approx([702 * camera[0] + 600 * camera[2] + 2, 700 * camera[1] + 180 * camera[2], camera[2]])


def test_sweeps_in_the_frame_of_the_newest(root):
    dataset = datasets.SemanticKitti(root, "val", sweeps=2, min_distance=4.0)
    sample = dataset[2]
    single = datasets.SemanticKitti(root, "val")
    expected, sweeps, labels = [], [], []
    for number, i in enumerate((2, 1)):
        for point, label in zip(points_of(root, "08", i), TRAIN):
            if abs(point[0]) < 4 and abs(point[1]) < 4:
                continue
            here = np.linalg.solve(single[2].pose, single[i].pose @ [*point[:3].astype(float), 1])
            expected.append([*here[:3], point[3], 0.1 * number])
            sweeps.append(number)
            labels.append(label)
    assert sample.scan.points.shape == (len(expected), 5) and sample.scan.points.dtype == np.float32
    # Both are float32 roundings of numbers that differ by double's: at most one float32 apart.
    assert np.abs(sample.scan.points - np.array(expected)).max() <= np.spacing(np.float32(64))
    assert sample.scan.fields["sweep"].tolist() == sweeps and sample.labels.tolist() == labels
    assert sample.scan.fields["instance"].tolist() == [3 - n for n in sweeps]
    assert sample.pose.tolist() == single[2].pose.tolist()
    assert vs.train_ids(sample.scan.label).tolist() == labels
    first = dataset[0]
    assert set(first.scan.fields["sweep"].tolist()) == {0} and first.scan.points[:, 4].tolist() == [0] * len(first.scan)


def test_splits(tmp_path, random):
    for i in range(22):
        write_sequence(tmp_path / "dataset" / "sequences" / f"{i:02d}", random, POSES[:1], labels=i < 11)
    named = {split: list(datasets.SemanticKitti(tmp_path, split).sequences) for split in ("train", "val", "test")}
    assert named == {"train": ["00", "01", "02", "03", "04", "05", "06", "07", "09", "10"], "val": ["08"],
                     "test": [str(i) for i in range(11, 22)]}
    assert list(datasets.SemanticKitti(tmp_path, sequences=["05", "02"]).sequences) == ["05", "02"]


@pytest.mark.skipif(not COMMAND, reason="VOXSHIFT_COMMAND does not name the command to test")
def test_what_the_simulator_writes(tmp_path):
    subprocess.run([COMMAND, "synth", "lidar", "--seed", "4", "--count", "2", "-o", tmp_path / "sample"],
                   check=True, capture_output=True)
    dataset = datasets.SemanticKitti(tmp_path / "sample")
    assert dataset.sequences == {"sample": range(2)}
    points, raw = vs.synth_lidar(5)
    assert dataset[1].scan.points.tobytes() == points.tobytes() and dataset[1].scan.label.tobytes() == raw.tobytes()
    assert dataset[1].pose is None and dataset[1].timestamp is None and dataset[1].calibration == {}


def test_imported_when_first_used():
    assert vs.datasets is datasets and vs.datasets.SemanticKitti is datasets.SemanticKitti


def test_pickled(root):
    dataset = pickle.loads(pickle.dumps(datasets.SemanticKitti(root, "val", sweeps=3)))
    assert repr(dataset) == "SemanticKitti(1 sequences, 3 samples)" and len(dataset[2].scan) == 24
    assert pickle.loads(pickle.dumps(dataset[2])).scan.points.tobytes() == dataset[2].scan.points.tobytes()


def test_loader_of_torch(root):
    data = pytest.importorskip("torch.utils.data")
    dataset = datasets.SemanticKitti(root, "val", sweeps=2)
    loader = data.DataLoader(dataset, batch_size=2, num_workers=1, collate_fn=list, multiprocessing_context="spawn")
    batches = list(loader)
    assert [len(batch) for batch in batches] == [2, 1]
    for expected, sample in zip(dataset, (sample for batch in batches for sample in batch)):
        assert sample.scan.points.tobytes() == expected.scan.points.tobytes()
        assert sample.labels.tobytes() == expected.labels.tobytes() and sample.paths == expected.paths


BAD = [
    (lambda p: (p / "08/labels/000001.label").unlink(),
     "08/labels: expected a file for each of 3 scans, found 2: 000001.label is missing"),
    (lambda p: (p / "08/labels/9.label").touch(),
     "08/labels: expected a file for each of 3 scans, found 4: 9.label has no scan"),
    (lambda p: (p / "08/poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n"),
     "08/poses.txt: expected 3 lines, one per scan of velodyne, found 1"),
    (lambda p: (p / "08/poses.txt").write_text("1 0 0\n"), "08/poses.txt:1: expected 12 numbers, found 3"),
    (lambda p: (p / "08/times.txt").write_text("0\n1\nx\n"), "08/times.txt:3: expected 1 number: could not convert"),
    (lambda p: (p / "08/times.txt").write_text("0\n1\nnan\n"), "08/times.txt:3: expected finite numbers, found nan"),
    (lambda p: (p / "08/calib.txt").write_text("P2 1 2 3\n"), '08/calib.txt:1: expected "NAME: numbers", found "P2 1 2 3"'),
    (lambda p: (p / "08/calib.txt").write_text("P2: 1 2 3\n"), "08/calib.txt:1: expected 9 or 12 numbers, found 3"),
    (lambda p: (p / "08/calib.txt").unlink(), "08/calib.txt: expected Tr, from the scanner to the camera"),
    (lambda p: (p / "08/calib.txt").write_bytes(b"\xff\xfe"), "08/calib.txt: expected text, found byte 0xff at 0"),
    (lambda p: (p / "08/image_2/000000.png").unlink(),
     "08/image_2: expected a file for each of 3 scans, found 2: 000000.png"),
    (lambda p: [f.unlink() for f in (p / "08/velodyne").iterdir()], "08/velodyne: expected scans, \\*.bin, found none"),
    (lambda p: (p / "08").rename(p / "8"), "08: expected sequence 08, found no such folder"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_bad_folders(root, spoil, message):
    spoil(root / "sequences")
    with pytest.raises(OSError, match=message):
        datasets.SemanticKitti(root, "val")


BAD_FILES = [
    ("velodyne/000001.bin", lambda data: data[:-3], "000001.bin: 125 bytes are no multiple of 16"),
    ("velodyne/000001.bin", lambda data: b"", "000001.bin: is empty"),
    ("labels/000001.label", lambda data: data[:-4],
     "000001.label: expected 8 labels of 4 bytes, one per point, found 28 bytes"),
    ("labels/000001.label", lambda data: np.full(8, 14, "<u4").tobytes(),
     "000001.label: expected raw ids of SemanticKitti, found 14 at point 0"),
    ("labels/000001.label", lambda data: np.full(8, 65535, "<u4").tobytes(), "found 65535 at point 0"),
]


@pytest.mark.parametrize(("name", "spoil", "message"), BAD_FILES)
def test_bad_files(root, name, spoil, message):
    path = root / "sequences/08" / name
    path.write_bytes(spoil(path.read_bytes()))
    dataset = datasets.SemanticKitti(root, "val")
    assert dataset[0].labels.tolist() == TRAIN
    with pytest.raises(OSError, match=message):
        dataset[1]


def test_bad_arguments(root, tmp_path):
    for options, message in [({"split": "valid"}, 'expects split train, val, test, found "valid"'),
                             ({"split": "val", "sequences": ["08"]}, "expects split or sequences, found both"),
                             ({"sequences": "08"}, "expects sequences as a list of names, found '08'"),
                             ({"sweeps": 0}, "expects sweeps of 1 and more, found 0"),
                             ({"sweeps": 1.5}, "expects sweeps of 1 and more, found 1.5"),
                             ({"min_distance": -1}, "expects a min_distance in metres, found -1")]:
        with pytest.raises(ValueError, match=message):
            datasets.SemanticKitti(root, **options)
    with pytest.raises(OSError, match="absent: expected the folder of SemanticKITTI, found no such folder"):
        datasets.SemanticKitti(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="empty: expected sequences/NN/velodyne/\\*.bin or velodyne/\\*.bin, found neither"):
        datasets.SemanticKitti(tmp_path / "empty")
    with pytest.raises(OSError, match="expected sequences/08, found velodyne"):
        datasets.SemanticKitti(root / "sequences/08", "val")
    (root / "sequences/03/poses.txt").unlink()
    with pytest.raises(OSError, match="poses.txt: is missing, by which 2 sweeps are joined"):
        datasets.SemanticKitti(root, sequences=["03"], sweeps=2)
    with pytest.raises(OSError, match="08/labels: expected a folder of \\*.label, found no such folder"):
        (root / "sequences/11").rename(root / "sequences/08b")
        (root / "sequences/08").rename(root / "sequences/x")
        (root / "sequences/08b").rename(root / "sequences/08")
        datasets.SemanticKitti(root, "val")
