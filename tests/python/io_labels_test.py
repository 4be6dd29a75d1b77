"""Files of labels, read by the libraries that own their formats."""

import json
import os
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs
import voxshift.io as vio
from io_files_test import needs, tile

RAW = [info.raw_id for info in vs.Model.new(width=0.125, seed=5).classes]
ASPRS = {"road": 11, "parking": 11, "sidewalk": 2, "other-ground": 2, "building": 6, "vegetation": 5, "trunk": 5, "terrain": 2}


@pytest.fixture(scope="module")
def classes():
    return vs.Model.new(width=0.125, seed=5).classes


@pytest.fixture
def labels(random):
    """Every train id and 255."""
    return np.concatenate([np.arange(19), [255], random.integers(0, 19, 480)]).astype(np.uint8)


def test_label(labels, classes, tmp_path):
    path = tmp_path / "a.label"
    for given in (labels, labels.tolist(), labels.astype(np.int64)):
        vio.write_labels(path, given, classes=classes)
        assert np.fromfile(path, "<u4").tolist() == [0 if label == 255 else RAW[label] for label in labels]
    own = np.uint32([0, 252, 2**31 + 5])
    vio.write_labels(path, own)
    assert np.fromfile(path, "<u4").tolist() == own.tolist()
    vio.write_labels(path, np.uint16([252]))
    assert np.fromfile(path, "<u4").tolist() == [252]
    vio.write_labels(path, np.uint8([]), classes=classes)
    assert path.read_bytes() == b""
    with pytest.raises(ValueError, match=r"a .label has the data set's own ids: give classes, .* found uint8$"):
        vio.write_labels(path, labels)


def test_npy(labels, classes, tmp_path):
    vio.write_labels(tmp_path / "a.npy", labels, classes=classes)
    found = np.load(tmp_path / "a.npy")
    assert found.dtype == np.uint8 and found.tolist() == labels.tolist()


@pytest.mark.parametrize("far", [0, 500000])
def test_ply(far, labels, classes, random, tmp_path):
    """As the command writes it: where the points are, which class, in its colour."""
    xyz = random.normal(0, 10, (len(labels), 3)) + [far, 0, 0]
    np.save(tmp_path / "a.npy", xyz)
    scan = vio.read_points(tmp_path / "a.npy")
    vio.write_labels(tmp_path / "a.ply", labels, scan=scan, classes=classes)
    again = vs.read_points(tmp_path / "a.ply")
    assert np.array_equal(again.points, scan.points) and again.origin == scan.origin.tolist()
    assert again.label.tolist() == [0 if label == 255 else RAW[label] for label in labels]
    assert again.rgb.tolist() == [[128] * 3 if label == 255 else list(classes[label].rgb) for label in labels]
    vio.write_labels(tmp_path / "b.ply", np.uint32([70000] * len(labels)), scan=scan)
    assert vs.read_points(tmp_path / "b.ply").label.tolist() == [70000] * len(labels)
    with pytest.raises(ValueError, match=r"expected 500 labels, one per point, found 499$"):
        vio.write_labels(tmp_path / "b.ply", labels[1:], scan=scan, classes=classes)


@pytest.mark.skipif(not os.environ.get("VOXSHIFT_COMMAND"), reason="VOXSHIFT_COMMAND does not name the command to test")
def test_bytes_of_the_commands_files(tmp_path):
    points = vs.synth_lidar(5)[0][::9]
    points.tofile(tmp_path / "a.bin")
    file = Path(vs.__file__).parent / "models" / "minkunet-lidar.safetensors"
    command = [os.environ["VOXSHIFT_COMMAND"], "segment", "a.bin", "--model", str(file), "--out", ".", "--write", "label,ply"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    model = vs.Model.load(file)
    scan = vio.read_points(tmp_path / "a.bin")
    labels = model.segment(scan.points)
    for name in ("a.label", "a.ply"):
        vio.write_labels(tmp_path / f"own_{name}", labels, scan=scan, classes=model.classes)
        assert (tmp_path / f"own_{name}").read_bytes() == (tmp_path / name).read_bytes()


@needs["pyarrow"]
def test_parquet(labels, classes, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="needs duckdb")
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    for given in (labels, labels.tolist(), [labels], labels.astype(np.int64)):
        vio.write_labels(path, given, classes=classes)
        [(found,)] = duckdb.sql(f"SELECT labels FROM '{path}'").fetchall()
        assert found == labels.tolist()
    vio.write_labels(path, [labels, labels[:2], np.uint8([])], names=["a", "b", "c"], classes=classes)
    assert duckdb.sql(f"SELECT typeof(labels) FROM '{path}'").fetchall() == [("UTINYINT[]",)] * 3
    assert duckdb.sql(f"SELECT name, len(labels) FROM '{path}'").fetchall() == [("a", 500), ("b", 2), ("c", 0)]
    counts = dict(duckdb.sql(f"SELECT label, count(*) FROM (SELECT unnest(labels) label FROM '{path}' WHERE name = 'a') GROUP BY 1")
                  .fetchall())
    assert counts == {label: labels.tolist().count(label) for label in set(labels.tolist())}
    known = json.loads(pyarrow.parquet.read_schema(path).metadata[b"voxshift.classes"])
    assert [one["raw_id"] for one in known] == RAW and known[0]["name"] == "car" and len(known[0]["rgb"]) == 3
    vio.write_labels(path, np.uint32([70000, 1]))
    assert duckdb.sql(f"SELECT typeof(labels), labels FROM '{path}'").fetchall() == [("UINTEGER[]", [70000, 1])]
    with pytest.raises(ValueError, match="expected 1 names, one per scan, found 2$"):
        vio.write_labels(path, labels, names=["a", "b"])


# tiles

@needs["laspy"]
@needs["lazrs"]
@pytest.mark.parametrize("extension", ["las", "laz"])
@pytest.mark.parametrize("point_format", [6, 7, 8, 10])
def test_classification_of_a_copy(point_format, extension, labels, classes, tmp_path):
    import laspy

    las = tile(tmp_path / "a.las", point_format)
    las.vlrs.append(laspy.VLR("somebody", 42, "a note", b"of the surveyor"))
    las.evlrs = laspy.vlrs.vlrlist.VLRList([laspy.VLR("somebody", 43, "more", b"1234567")])
    las.header.generating_software = "surveyor"
    las.write(tmp_path / "a.las")
    las = laspy.read(tmp_path / "a.las")
    path = tmp_path / f"b.{extension}"
    for options, expected in (
        ({}, labels.tolist()),
        ({"classes": classes},
         [1 if label == 255 else ASPRS.get(classes[label].name, 64 + label) for label in labels]),
        ({"classes": classes, "codes": {"car": 99, 1: 98, 255: 0}},
         [{0: 99, 1: 98, 255: 0}.get(label, 0 if label == 255 else ASPRS.get(classes[label].name, 64 + label)) for label in labels]),
        ({"codes": {8: 11, 70: 3}}, [11 if label == 8 else 1 for label in labels]),
    ):
        vio.write_labels(path, labels, source=tmp_path / "a.las", **options)
        again = laspy.read(path)
        assert np.array(again.classification).tolist() == expected
        assert again.header.point_format == las.header.point_format and again.header.are_points_compressed == (extension == "laz")
        for name in las.point_format.dimension_names:
            if name != "classification":
                assert np.array_equal(np.array(again[name]), np.array(las[name])), name
        for name in ("scales", "offsets", "mins", "maxs", "creation_date", "generating_software", "uuid", "point_count"):
            assert np.array_equal(getattr(again.header, name), getattr(las.header, name)), name
        assert [(vlr.user_id, vlr.record_data) for vlr in again.vlrs if vlr.user_id == "somebody"] == [("somebody", b"of the surveyor")]
        assert [(vlr.user_id, vlr.record_data) for vlr in again.evlrs] == [("somebody", b"1234567")]
        lookups = [vlr for vlr in again.vlrs if isinstance(vlr, laspy.vlrs.known.ClassificationLookupVlr)]
        assert len(lookups) == ("classes" in options)
        if "classes" in options:
            assert lookups[0].lookups[6].rstrip("\0") == "building"


@needs["laspy"]
@pytest.mark.parametrize(("old", "new"), [(0, 6), (1, 6), (2, 7), (3, 7)])
def test_older_tiles(old, new, labels, classes, tmp_path):
    """Five bits of classification do where they are enough; else the copy has LAS 1.4's format with the same fields."""
    import laspy

    las = tile(tmp_path / "a.las", old)
    las.scan_angle_rank = np.arange(500) % 181 - 90
    las.synthetic = np.arange(500) % 2
    las.write(tmp_path / "a.las")
    small = np.minimum(labels, 18)
    vio.write_labels(tmp_path / "b.las", small, source=tmp_path / "a.las")
    again = laspy.read(tmp_path / "b.las")
    assert again.point_format.id == old and np.array(again.classification).tolist() == small.tolist()
    vio.write_labels(tmp_path / "b.las", labels, source=tmp_path / "a.las", classes=classes)
    again = laspy.read(tmp_path / "b.las")
    assert again.point_format.id == new and str(again.header.version) == "1.4" and len(again) == 500
    assert np.array(again.classification).tolist() == [
        1 if label == 255 else ASPRS.get(classes[label].name, 64 + label) for label in labels]
    for name in set(las.point_format.dimension_names) - {"classification", "scan_angle_rank"}:
        assert np.array_equal(np.array(again[name]), np.array(las[name])), name
    assert np.abs(again.scan_angle * 0.006 - las.scan_angle_rank).max() <= 0.003
    assert list(again.header.scales) == list(las.header.scales) and list(again.header.offsets) == list(las.header.offsets)


@needs["laspy"]
def test_bad_labels_of_tiles(labels, classes, tmp_path):
    tile(tmp_path / "a.las")
    for given, options, text in (
        (labels[1:], {}, r"a.las has 500 points, found 499 labels$"),
        (np.full(500, 256), {}, "a classification holds 0..255, found 256$"),
        (labels, {"codes": {"cat": 1}, "classes": classes}, "codes has 'cat', which is neither a class nor a train id$"),
        (labels, {"codes": {"car": 256}, "classes": classes}, "expected codes of 0..255, found 256 for 'car'$"),
        (labels / 2, {}, "expected whole numbers"),
    ):
        with pytest.raises(ValueError, match=text):
            vio.write_labels(tmp_path / "b.las", given, source=tmp_path / "a.las", **options)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.las"]


# what may go wrong

def test_bad_labels(labels, classes, tmp_path):
    for given in (labels / 2, labels.reshape(2, -1), np.array(3), -labels.astype(int), labels > 3):
        with pytest.raises(ValueError, match=r"^\[write_labels\] expected whole numbers from 0 on as labels, \[N\], found "):
            vio.write_labels(tmp_path / "a.npy", given)
    for name, options, text in (
        ("a.txt", {}, "expected a name that ends in .label, .npy, .ply, .las, .laz, .parquet, .bag, .db3, .mcap, found "),
        ("a", {}, "expected a name that ends in "),
        ("a.ply", {}, ".ply needs scan="),
        ("a.las", {}, ".las needs source="),
        ("a.mcap", {}, ".mcap needs source="),
        ("a.npy", {"codes": {}}, "codes= is not of .npy"),
        ("a.label", {"topic": "/points"}, "topic= is not of .label"),
    ):
        with pytest.raises(ValueError, match=rf"^\[write_labels\] {text}"):
            vio.write_labels(tmp_path / name, labels, **options)
    assert list(tmp_path.iterdir()) == []


def writes(tmp_path, labels, classes):
    """(path, write) of every form."""
    import cloud2_bytes

    scan = vio.Scan(np.zeros((len(labels), 4), np.float32))
    yield tmp_path / "out.label", {"classes": classes}
    yield tmp_path / "out.npy", {}
    yield tmp_path / "out.ply", {"scan": scan, "classes": classes}
    yield tmp_path / "out.parquet", {}
    tile(tmp_path / "tile.las")
    yield tmp_path / "out.las", {"source": tmp_path / "tile.las"}
    yield tmp_path / "out.laz", {"source": tmp_path / "tile.las"}
    message = cloud2_bytes.cloud([(0, 0, 0)] * len(labels), [("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1)], 12)
    for extension in (".bag", ".mcap", ".db3"):
        encode = cloud2_bytes.ros1 if extension == ".bag" else cloud2_bytes.cdr
        topics = {"/points": (cloud2_bytes.TYPE, [(1, encode(message))])}
        source = tmp_path / f"in{extension}"
        if extension == ".db3":
            cloud2_bytes.record_folder(tmp_path / "folder", topics, extension)
            (tmp_path / "folder" / "folder.db3").rename(source)
        else:
            {".bag": cloud2_bytes.record_bag, ".mcap": cloud2_bytes.record_mcap}[extension](source, topics)
        yield tmp_path / f"out{extension}", {"source": source}


@needs["laspy"]
@needs["lazrs"]
@needs["pyarrow"]
def test_a_full_disk_loses_nothing(classes, tmp_path):
    """Whatever fails, what was there stays, and nothing else is left. A limit of a file's size stands for the disk."""
    pytest.importorskip("rosbags")
    pytest.importorskip("mcap")
    labels = np.arange(500).astype(np.uint8) % 19
    for path, options in list(writes(tmp_path, labels, classes)):
        given = [labels] if path.suffix in (".bag", ".mcap", ".db3") else labels
        path.write_bytes(b"before")
        there = sorted(tmp_path.iterdir())
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
        try:
            with pytest.raises(vs.IoError) as error:
                vio.write_labels(path, given, **options)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert str(error.value).startswith(f"{path}: cannot be written: ") and "\n" not in str(error.value), path
        assert path.read_bytes() == b"before" and sorted(tmp_path.iterdir()) == there, path
        vio.write_labels(path, given, **options)
        assert path.read_bytes() != b"before" and sorted(tmp_path.iterdir()) == there


def test_where_it_cannot_be_written(labels, tmp_path):
    with pytest.raises(vs.IoError, match=r"none/a.npy: cannot be written: No such file or directory$"):
        vio.write_labels(tmp_path / "none" / "a.npy", labels)
    (tmp_path / "a.npy").mkdir()
    with pytest.raises(vs.IoError, match=r"a.npy: cannot be written: Is a directory$"):
        vio.write_labels(tmp_path / "a.npy", labels)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_a_link_stays_one(labels, tmp_path):
    (tmp_path / "a.npy").write_bytes(b"before")
    (tmp_path / "link.npy").symlink_to("a.npy")
    vio.write_labels(tmp_path / "link.npy", labels)
    assert (tmp_path / "link.npy").is_symlink() and np.load(tmp_path / "a.npy").tolist() == labels.tolist()


def test_devices_are_written_directly(labels, tmp_path):
    (tmp_path / "full.npy").symlink_to("/dev/full")
    with pytest.raises(vs.IoError, match=r"full.npy: cannot be written: No space left on device$"):
        vio.write_labels(tmp_path / "full.npy", labels)
    assert (tmp_path / "full.npy").is_symlink()
