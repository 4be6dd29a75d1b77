"""S3DIS and ScanNet by their folders, which this file writes.

S3DIS as the readme of Stanford3dDataset_v1.2 has it: Area_N/ROOM/Annotations/CLASS_K.txt, a line "x y z r g b" per point; and
as Pointcept's preprocess_s3dis.py writes it: coord float32 [N, 3], color uint8 [N, 3], segment and instance int16 [N, 1].
ScanNet as its README has it: SCENE_vh_clean_2.ply, a mesh, and SCENE_vh_clean_2.labels.ply with the property label of its
vertices; SCENE.txt with "axisAlignment = .." of 16 numbers; the lists of scenes of Tasks/Benchmark."""

import pickle

import numpy as np
import pytest
from voxshift import datasets

CLASSES = ["ceiling", "floor", "wall", "beam", "column", "window", "door", "table", "chair", "sofa", "bookcase", "board",
           "clutter"]  # fmt: skip


def write_text_room(room, random, objects):
    """{file: points}; returns points [N, 6] in the order of the files' names."""
    (room / "Annotations").mkdir(parents=True)
    values = {}
    for name in sorted(objects):
        xyz = np.round(random.uniform(-20, 20, (objects[name], 3)), 3)
        values[name] = np.column_stack([xyz, random.integers(0, 256, (objects[name], 3))])
        lines = [f"{x} {y} {z} {r:.0f} {g:.0f} {b:.0f}" for x, y, z, r, g, b in values[name]]
        (room / "Annotations" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    found = np.concatenate(list(values.values()))
    (room / f"{room.name}.txt").write_text("1 2 3 4 5 6\n")
    return found


def write_array_room(room, random, points):
    room.mkdir(parents=True)
    arrays = {"coord": random.uniform(-20, 20, (points, 3)).astype(np.float32),
              "color": random.integers(0, 256, (points, 3)).astype(np.uint8),
              "segment": random.integers(0, 13, (points, 1)).astype(np.int16),
              "instance": random.integers(0, 40, (points, 1)).astype(np.int16)}  # fmt: skip
    for name, values in arrays.items():
        np.save(room / f"{name}.npy", values)
    return arrays


OBJECTS = {"wall_1": 4, "chair_10": 3, "chair_2": 2, "stairs_1": 2, "ceiling_1": 1}


@pytest.fixture
def s3dis(tmp_path, random):
    for i in range(1, 7):
        write_text_room(tmp_path / f"Area_{i}" / "office_1", random, OBJECTS)
        (tmp_path / f"Area_{i}" / f"Area_{i}_alignmentAngle.txt").write_text("office_1 0\n")
        (tmp_path / f"Area_{i}" / ".hidden").mkdir()
    write_text_room(tmp_path / "Area_5" / "hallway_2", random, {"floor_1": 3})
    return tmp_path


def test_s3dis_as_text(s3dis, random):
    points = write_text_room(s3dis / "Area_5" / "lobby_1", random, OBJECTS)
    dataset = datasets.S3dis(s3dis, "test")
    assert dataset.sequences == {"Area_5": range(3)} and list(dataset.classes) == CLASSES
    assert [sample.name for sample in dataset] == ["hallway_2", "lobby_1", "office_1"]
    sample = dataset[1]
    # the files by name: ceiling_1, chair_10, chair_2, stairs_1, wall_1
    assert sample.labels.tolist() == [0] + [8] * 5 + [12] * 2 + [2] * 4
    assert sample.scan.fields["instance"].tolist() == [0] + [1] * 3 + [2] * 2 + [3] * 2 + [4] * 4
    assert sample.scan.points[:, :3].tolist() == points[:, :3].astype(np.float32).tolist()
    assert sample.scan.points[:, 3].tolist() == [0] * 12 and not sample.scan.has_remission
    assert sample.scan.rgb.tolist() == points[:, 3:].tolist() and sample.scan.rgb.dtype == np.uint8


def test_s3dis_as_arrays(tmp_path, random):
    arrays = write_array_room(tmp_path / "Area_1" / "office_1", random, 50)
    flat = write_array_room(tmp_path / "Area_1" / "office_2", random, 5)
    np.save(tmp_path / "Area_1" / "office_2" / "segment.npy", flat["segment"][:, 0])
    one, two = datasets.S3dis(tmp_path)
    assert one.scan.points[:, :3].tolist() == arrays["coord"].tolist() and one.scan.rgb.tolist() == arrays["color"].tolist()
    assert one.labels.tolist() == arrays["segment"][:, 0].tolist() and one.labels.dtype == np.uint8
    assert one.scan.fields["instance"].tolist() == arrays["instance"][:, 0].tolist()
    assert one.paths["labels"] == tmp_path / "Area_1/office_1/segment.npy"
    assert two.labels.tolist() == flat["segment"][:, 0].tolist()


def test_s3dis_splits(s3dis):
    assert list(datasets.S3dis(s3dis, "train").sequences) == ["Area_1", "Area_2", "Area_3", "Area_4", "Area_6"]
    assert list(datasets.S3dis(s3dis).sequences) == [f"Area_{i}" for i in range(1, 7)]
    three = datasets.S3dis(s3dis, sequences=["Area_3"])
    assert len(pickle.loads(pickle.dumps(three))[0].labels) == 12


BAD_S3DIS = [
    ("chair_2.txt", "1 2 3 4 5\n", "chair_2.txt:1: expected 6 numbers, found 5"),
    ("chair_2.txt", "1 2 3 4 5 6\n1 2 3 4 5 6\x10 7\n", "chair_2.txt:2: expected 6 numbers, found 7"),  # as in one of its files
    ("chair_2.txt", "1 2 3 4 5 6\n1 2 3 4 5 6x\n", "chair_2.txt:2: expected 6 numbers: could not convert string to float: '6x'"),
    ("chair_2.txt", "1 2 nan 4 5 6\n", "chair_2.txt:1: expected finite numbers"),
    ("chair_2.txt", "", 'chair_2.txt: expected lines "x y z red green blue", found none'),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD_S3DIS)
def test_bad_text(s3dis, name, text, message):
    (s3dis / "Area_2/office_1/Annotations" / name).write_text(text)
    dataset = datasets.S3dis(s3dis, sequences=["Area_1", "Area_2"])
    assert len(dataset[0].labels) == 12
    with pytest.raises(OSError, match=message):
        dataset[1]


BAD_ARRAYS = [
    ("segment", np.zeros((49, 1), np.int16), "segment.npy: expected numbers \\[50, 1\\], found int16 \\[49, 1\\]"),
    ("color", np.zeros((50, 4), np.uint8), "color.npy: expected numbers \\[50, 3\\], found uint8 \\[50, 4\\]"),
    ("coord", np.zeros((50, 3), np.str_), "coord.npy: expected numbers \\[N, 3\\], found <U1"),
    ("segment", np.full((50, 1), 13, np.int16), "office_1: expected raw ids of S3dis, found 13 at point 0"),
    ("segment", np.full((50, 1), None, object), "segment.npy: expected an array: Object arrays cannot be loaded"),
]


@pytest.mark.parametrize(("name", "values", "message"), BAD_ARRAYS)
def test_bad_arrays(tmp_path, random, name, values, message):
    write_array_room(tmp_path / "Area_1" / "office_1", random, 50)
    np.save(tmp_path / "Area_1/office_1" / f"{name}.npy", values, allow_pickle=True)
    with pytest.raises(OSError, match=message):
        datasets.S3dis(tmp_path)[0]


def test_cut_and_missing_arrays(tmp_path, random):
    write_array_room(tmp_path / "Area_1" / "office_1", random, 50)
    path = tmp_path / "Area_1/office_1/coord.npy"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(OSError, match="coord.npy: expected an array: cannot reshape array of size"):
        datasets.S3dis(tmp_path)[0]
    path.write_bytes(b"")
    with pytest.raises(OSError, match="coord.npy: expected an array: "):
        datasets.S3dis(tmp_path)[0]
    write_array_room(tmp_path / "Area_2" / "office_1", random, 50)
    (tmp_path / "Area_2/office_1/instance.npy").unlink()
    with pytest.raises(OSError, match="instance.npy: cannot be read: No such file"):
        datasets.S3dis(tmp_path, sequences=["Area_2"])[0]


def test_bad_s3dis_folders(s3dis, tmp_path):
    with pytest.raises(ValueError, match='expects split train, test, found "val"'):
        datasets.S3dis(s3dis, "val")
    with pytest.raises(OSError, match="Area_7: expected the rooms of Area_7, found no such folder"):
        datasets.S3dis(s3dis, sequences=["Area_7"])
    for path in (s3dis / "Area_2/office_1/Annotations").iterdir():
        path.unlink()
    with pytest.raises(OSError, match="Annotations: expected CLASS_K.txt, found none"):
        datasets.S3dis(s3dis, sequences=["Area_2"])[0]
    (s3dis / "Area_2/office_1/Annotations").rmdir()
    with pytest.raises(OSError, match="office_1: expected Annotations/\\*.txt, or coord.npy, found neither"):
        datasets.S3dis(s3dis)
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="empty: expected Area_1 to Area_6, found none of them"):
        datasets.S3dis(tmp_path / "empty")


# ScanNet

VERTICES = 45
ALIGNED = [[0.9, -0.4, 0, 1.5], [0.4, 0.9, 0, -2], [0, 0, 1, -0.1], [0, 0, 0, 1]]


def write_scene(folder, random, labels=True):
    """A mesh of VERTICES vertices, whose labels are 0 to 40 and four more 1, and two faces."""
    name = folder.name
    folder.mkdir(parents=True)
    rows = np.zeros(VERTICES, [("xyz", "<f4", 3), ("rgba", "u1", 4), ("label", "<u2")])
    rows["xyz"], rows["rgba"] = random.uniform(0, 8, (VERTICES, 3)), random.integers(0, 256, (VERTICES, 4))
    rows["label"] = [*range(41), 1, 1, 1, 1]
    kinds = [f"property float {axis}" for axis in "xyz"] + [f"property uchar {c}" for c in ("red", "green", "blue", "alpha")]
    faces = b"".join(b"\x03" + np.array([i, i + 1, i + 2], "<i4").tobytes() for i in range(2))
    faces_are = ["element face 2", "property list uchar int vertex_indices", "end_header\n"]
    for suffix, more in (("", []), (".labels", ["property ushort label"])):
        header = ["ply", "format binary_little_endian 1.0", f"element vertex {VERTICES}", *kinds, *more, *faces_are]
        data = (rows if more else rows[["xyz", "rgba"]].astype([("xyz", "<f4", 3), ("rgba", "u1", 4)])).tobytes()
        if labels or not more:
            (folder / f"{name}_vh_clean_2{suffix}.ply").write_bytes("\n".join(header).encode() + data + faces)
    numbers = " ".join(f"{v:f}" for row in ALIGNED for v in row)
    aligned = f"axisAlignment = {numbers} \n" if labels else ""
    (folder / f"{name}.txt").write_text(f"{aligned}colorHeight = 968\nsceneType = Office\n")
    return rows


NAMES = ["scene0000_00", "scene0000_01", "scene0011_00"]


@pytest.fixture
def scannet(tmp_path, random):
    for name in NAMES:
        write_scene(tmp_path / "scans" / name, random)
    write_scene(tmp_path / "scans_test" / "scene0707_00", random, labels=False)
    for split, names in (("train", NAMES[:2]), ("val", NAMES[2:]), ("test", ["scene0707_00"])):
        (tmp_path / f"scannetv2_{split}.txt").write_text("\n".join(names))
    return tmp_path


# The ids of NYU40 that ScanNet's benchmark scores, in its order (Tasks/Benchmark: VALID_CLASS_IDS).
SCORED = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39]


def test_scannet(scannet, random):
    rows = write_scene(scannet / "scans" / "scene0020_00", random)
    dataset = datasets.ScanNet(scannet)
    assert list(dataset.sequences) == [*NAMES, "scene0020_00"] and len(dataset.classes) == 20
    sample = dataset[3]
    assert sample.name == sample.sequence == "scene0020_00"
    assert sample.scan.points[:, :3].tolist() == rows["xyz"].tolist()
    assert sample.scan.rgb.tolist() == rows["rgba"][:, :3].tolist() and not sample.scan.has_remission
    assert sample.scan.label.tolist() == rows["label"].tolist()
    assert sample.labels.tolist() == [SCORED.index(raw) if raw in SCORED else 255 for raw in rows["label"]]
    assert sample.pose.tolist() == ALIGNED


def test_scannet_splits(scannet):
    names = {split: [sample.name for sample in datasets.ScanNet(scannet, split)] for split in ("train", "val", "test")}
    assert names == {"train": NAMES[:2], "val": NAMES[2:], "test": ["scene0707_00"]}
    test = datasets.ScanNet(scannet, "test")[0]
    assert test.labels is None and test.pose is None and "labels" not in test.paths
    flat = datasets.ScanNet(scannet / "scans", sequences=NAMES[1:2])
    assert pickle.loads(pickle.dumps(flat))[0].labels.tolist() == datasets.ScanNet(scannet)[1].labels.tolist()


def test_bad_scannet(scannet):
    with pytest.raises(ValueError, match='expects split train, val, test, found "trainval"'):
        datasets.ScanNet(scannet, "trainval")
    with pytest.raises(OSError, match="scans/x/x_vh_clean_2.ply: is missing"):
        datasets.ScanNet(scannet, sequences=["x"])
    folder = scannet / "scans" / NAMES[2]
    path = folder / f"{NAMES[2]}_vh_clean_2.labels.ply"
    data = path.read_bytes()
    path.write_bytes(data[:300])
    with pytest.raises(OSError, match="vh_clean_2.labels.ply: "):
        datasets.ScanNet(scannet, "val")[0]
    path.write_bytes((folder / f"{NAMES[2]}_vh_clean_2.ply").read_bytes())
    with pytest.raises(OSError, match="labels.ply: expected 45 vertices with a label, found none"):
        datasets.ScanNet(scannet, "val")[0]
    path.write_bytes(b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
                     b"property ushort label\nend_header\n1 2 3 4\n")
    with pytest.raises(OSError, match="labels.ply: expected 45 vertices with a label, found 1"):
        datasets.ScanNet(scannet, "val")[0]
    path.write_bytes(data.replace(b"\x28\x00", b"\x29\x00"))
    with pytest.raises(OSError, match="labels.ply: expected raw ids of ScanNet, found 41 at point 40"):
        datasets.ScanNet(scannet, "val")[0]
    path.unlink()
    with pytest.raises(OSError, match="labels.ply: is missing"):
        datasets.ScanNet(scannet, "val")
    (scannet / "scans" / NAMES[0] / f"{NAMES[0]}.txt").write_text("axisAlignment = 1 2\n")
    with pytest.raises(OSError, match="scene0000_00.txt:1: expected 16 numbers, found 2"):
        datasets.ScanNet(scannet, "train")[0]
    (scannet / "scannetv2_train.txt").write_text("scene0000_00\nscene9999_00\n")
    with pytest.raises(OSError, match="scannetv2_train.txt: names scene9999_00, which .*scans does not have"):
        datasets.ScanNet(scannet, "train")
    (scannet / "scannetv2_train.txt").unlink()
    with pytest.raises(OSError, match="scannetv2_train.txt: cannot be read: No such file"):
        datasets.ScanNet(scannet, "train")
    with pytest.raises(OSError, match="expected SCENE/SCENE_vh_clean_2.ply, found none"):
        datasets.ScanNet(scannet / "scans" / NAMES[0])
