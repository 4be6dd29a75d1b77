"""Toronto-3D as its document has it (github.com/WeikaiTan/Toronto-3D): L001.ply to L004.ply with x, y, z in UTM as double, colours,
scalar_Intensity, scalar_GPSTime, scalar_ScanAngleRank and scalar_Label, 0 unclassified, 1 to 8. The tiles are written here."""

import pickle

import numpy as np
import pytest
from voxshift import datasets

FIELDS = [("x", "double", "<f8"), ("y", "double", "<f8"), ("z", "double", "<f8"), ("red", "uchar", "u1"),
          ("green", "uchar", "u1"), ("blue", "uchar", "u1"), ("scalar_Intensity", "float", "<f4"),
          ("scalar_GPSTime", "double", "<f8"), ("scalar_ScanAngleRank", "float", "<f4"), ("scalar_Label", "float", "<f4")]


def write_tile(path, random, points=200, leave_out=()):
    kept = [one for one in FIELDS if one[0] not in leave_out]
    rows = np.zeros(points, [(name, code) for name, _, code in kept])
    for axis, middle, reach in (("x", 627600, 350), ("y", 4842200, 350), ("z", 45, 20)):
        rows[axis] = np.round(random.uniform(middle - reach, middle + reach, points), 3)
    for name in ("red", "green", "blue", "scalar_Intensity"):
        rows[name] = random.integers(0, 256, points)
    rows["scalar_GPSTime"] = 322430 + random.random(points)
    if "scalar_Label" not in leave_out:
        rows["scalar_Label"] = np.arange(points) % 9
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {points}"]
    header += [f"property {kind} {name}" for name, kind, _ in kept] + ["end_header\n"]
    path.write_bytes("\n".join(header).encode() + rows.tobytes())
    return rows


@pytest.fixture
def root(tmp_path, random):
    for i in (1, 3, 4):
        write_tile(tmp_path / f"L00{i}.ply", random)
    return tmp_path


def test_samples(root, random):
    rows = write_tile(root / "L002.ply", random)
    dataset = datasets.Toronto3d(root)
    assert list(dataset.sequences) == ["L001", "L002", "L003", "L004"] and dataset.classes[6] == "car"
    sample = dataset[1]
    assert sample.name == "L002" and sample.labels.tolist() == [255 if i % 9 == 0 else i % 9 - 1 for i in range(200)]
    assert sample.scan.label.tolist() == rows["scalar_Label"].tolist()
    assert sample.scan.origin.tolist() == [627285, 4841948, 0]
    for axis, offset in enumerate((627285, 4841948, 0)):
        expected = rows["xyz"[axis]] - offset
        # Rounded to float32 twice, less the reader's own origin and less this one: 2^-25 of 1024 m each.
        assert np.abs(sample.scan.points[:, axis] - expected).max() <= 2 * 2.0**-25 * 1024
    assert sample.scan.points[:, 3].tolist() == rows["scalar_Intensity"].tolist() and sample.scan.has_remission
    assert sample.scan.rgb[:, 1].tolist() == rows["green"].tolist()
    assert sample.scan.time.tolist() == rows["scalar_GPSTime"].tolist()


def test_splits(root, random):
    assert list(datasets.Toronto3d(root, "train").sequences) == ["L001", "L003", "L004"]
    with pytest.raises(OSError, match="L002.ply: is missing"):
        datasets.Toronto3d(root, "test")
    write_tile(root / "L002.ply", random)
    assert [sample.name for sample in pickle.loads(pickle.dumps(datasets.Toronto3d(root, "test")))] == ["L002"]


def test_bad_tiles(root, random, tmp_path):
    with pytest.raises(ValueError, match='expects split train, test, found "val"'):
        datasets.Toronto3d(root, "val")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="empty: expected L001.ply to L004.ply, found none of them"):
        datasets.Toronto3d(tmp_path / "empty")
    path = root / "L001.ply"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OSError, match="L001.ply: "):
        datasets.Toronto3d(root, sequences=["L001"])[0]
    write_tile(path, random, leave_out=["scalar_Label"])
    with pytest.raises(OSError, match="L001.ply: expected scalar_Label, found none"):
        datasets.Toronto3d(root)[0]
    data = (root / "L003.ply").read_bytes()
    path.write_bytes(data[:-4] + np.float32(9).tobytes())
    with pytest.raises(OSError, match="L001.ply: expected raw ids of Toronto3d, found 9 at point 199"):
        datasets.Toronto3d(root)[0]
