"""The command `voxshift`: files in, files out, standard output, exit status."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_fixture import CLASSES, cloud, fails, files, labels_of, needs_command, put, read_header, run, succeeds, warns

pytestmark = needs_command


def test_results_of_a_scan(model, tmp_path):
    scan = put(tmp_path / "a.bin", cloud(2000))
    out = tmp_path / "out" / "deep"
    text = succeeds("segment", scan, "--model", model, "--out", out, "--threads", 2,
                    "--write", "label,ply,scores", "--stats", tmp_path / "stats.json")
    assert files(out) == ["a.label", "a.ply", "a.scores.npy"]
    labels = labels_of(out / "a.label")
    assert labels.shape == (2000,) and set(labels) <= set(CLASSES)
    scores = np.load(out / "a.scores.npy")
    assert scores.shape == (2000, 19) and scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    assert (np.array(list(CLASSES))[scores.argmax(1)] == labels).all()
    vertices = (out / "a.ply").read_bytes()
    assert b"element vertex 2000\n" in vertices
    assert all(str(out / name) in text for name in files(out))
    assert "2000" in text


def test_the_trained_model_is_the_default(tmp_path, monkeypatch):
    succeeds("synth", "lidar", "--seed", 1, "-o", tmp_path)
    scan = tmp_path / "velodyne" / "000000.bin"
    succeeds("segment", scan, "--out", tmp_path, "--write", "label")
    truth, labels = labels_of(tmp_path / "labels" / "000000.label"), labels_of(tmp_path / "000000.label")
    ground = (40, 44, 48, 72)
    assert np.mean(np.isin(truth, ground) == np.isin(labels, ground)) > 0.9
    monkeypatch.setenv("VOXSHIFT_MODELS", str(tmp_path / "nowhere"))
    fails("segment", scan, "--out", tmp_path, says=[tmp_path / "nowhere", "--model", "VOXSHIFT_MODELS"])


def test_stats(model, tmp_path):
    points = cloud(3000)
    points[::100, 1] = np.nan
    scans = [put(tmp_path / "a.bin", points), put(tmp_path / "b.bin", cloud(500, seed=2))]
    succeeds("segment", *scans, "--model", model, "--out", tmp_path, "--threads", 2, "--write", "label",
             "--stats", tmp_path / "stats.json")
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert [entry["scan"] for entry in stats] == [str(scan) for scan in scans]
    for entry in stats:
        assert list(entry) == ["scan", "points", "dropped_points", "voxels", "device", "threads", "dtype", "model",
                               "seconds", "peak_rss_bytes", "notes", "labels"]
        assert entry["notes"] == []
        assert list(entry["model"]) == ["arch", "parameters", "macs"]
        assert list(entry["seconds"]) == ["read", "voxelize", "maps", "network", "write", "total"]
        assert (entry["device"], entry["threads"], entry["dtype"]) == ("cpu", 2, "f32")
        assert entry["model"]["arch"] == "minkunet" and entry["model"]["macs"] > 0
        header, _ = read_header(model)
        assert entry["model"]["parameters"] == sum(
            np.prod(value["shape"]) for name, value in header.items()
            if name != "__metadata__" and "running_" not in name)
        seconds = entry["seconds"]
        assert all(seconds[key] >= 0 for key in seconds)
        assert seconds["total"] >= sum(seconds[key] for key in seconds if key != "total") * 0.999
        assert 1e6 < entry["peak_rss_bytes"] < 1e9
        labels = labels_of(tmp_path / (Path(entry["scan"]).stem + ".label"))
        ids, counts = np.unique(labels[labels > 0], return_counts=True)
        assert entry["labels"] == {CLASSES[i]: n for i, n in zip(ids, counts)}
        assert sum(entry["labels"].values()) == entry["points"] - entry["dropped_points"]
    assert (stats[0]["points"], stats[0]["dropped_points"]) == (3000, 30)
    assert (stats[1]["points"], stats[1]["dropped_points"]) == (500, 0)
    cells = np.round(points[~np.isnan(points[:, 1]), :3] / np.float32(0.05))
    assert stats[0]["voxels"] == len(np.unique(cells, axis=0))


EDGES = {
    "nan": ([[np.nan, 0, 0, 0], [1, 2, 0, 0.5], [0, np.nan, 0, 0], [0, 0, 0, np.nan]], [0, 1, 0, 0]),
    "infinite": ([[1, 1, 1, 0.5], [np.inf, 0, 0, 0], [0, -np.inf, 0, 0], [2, 2, 2, 0]], [1, 0, 0, 1]),
    "one": ([[3, 2, 1, 0.5]], [1]),
    "same_voxel": ([[3, 2, 1, 0.25]] * 500, [1] * 500),
    "none_left": ([[np.nan] * 4, [np.inf] * 4], [0, 0]),
    "far": ([[1e6, 1e6, 1e6, 0.5]], [1]),
}


@pytest.mark.parametrize("case", EDGES)
def test_edges_succeed(model, tmp_path, case):
    points, kept = EDGES[case]
    scan = put(tmp_path / "a.bin", points)
    succeeds("segment", scan, "--model", model, "--out", tmp_path, "--write", "label,ply,scores",
             "--stats", tmp_path / "stats.json")
    labels = labels_of(tmp_path / "a.label")
    assert ((labels > 0) == np.array(kept, bool)).all()
    if case == "same_voxel":
        assert len(set(labels)) == 1
    assert np.load(tmp_path / "a.scores.npy").shape == (len(points), 19)
    stats, = json.loads((tmp_path / "stats.json").read_text())
    assert stats["dropped_points"] == kept.count(0)
    assert sum(stats["labels"].values()) == kept.count(1)


def test_an_empty_array_gives_empty_results(model, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 4), np.float32))
    succeeds("segment", tmp_path / "a.npy", "--model", model, "--out", tmp_path, "--write", "label,ply,scores")
    assert (tmp_path / "a.label").read_bytes() == b""
    assert np.load(tmp_path / "a.scores.npy").shape == (0, 19)


def test_pictures_of_edges(model, tmp_path):
    for name, (points, _) in EDGES.items():
        put(tmp_path / f"{name}.bin", points)
    succeeds("segment", tmp_path, "--model", model, "--out", tmp_path / "out", "--write", "png")
    for name in EDGES:
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_columns_and_formats(model, tmp_path):
    points = cloud(600)
    five = put(tmp_path / "five.bin", np.column_stack([points, np.arange(600)]))
    put(tmp_path / "four.bin", points)
    np.save(tmp_path / "array.npy", points.astype(np.float64))
    for path, columns in [("four.bin", 4), ("five.bin", 5), ("array.npy", 4)]:
        succeeds("segment", tmp_path / path, "--model", model, "--out", tmp_path, "--write", "label",
                 "--columns", columns)
    assert (labels_of(tmp_path / "four.label") == labels_of(tmp_path / "five.label")).all()
    assert (labels_of(tmp_path / "four.label") == labels_of(tmp_path / "array.label")).all()
    fails("segment", put(five, cloud(3)[:, :3]), "--model", model, "--out", tmp_path, says=[five, "--columns"])


def test_clouds(model, tmp_path):
    points = cloud(300)
    header = b"ply\nformat binary_little_endian 1.0\nelement vertex 300\n" + b"".join(
        f"property float {name}\n".encode() for name in ("x", "y", "z", "intensity")) + b"end_header\n"
    (tmp_path / "a.ply").write_bytes(header + points.tobytes())
    put(tmp_path / "b.bin", points)
    out = tmp_path / "out"
    succeeds("segment", tmp_path / "a.ply", tmp_path / "b.bin", "--model", model, "--out", out, "--write", "label")
    assert (labels_of(out / "a.label") == labels_of(out / "b.label")).all()


def test_a_scan_does_not_depend_on_the_others(model, tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    for seed, points in enumerate((1500, 10, 4000, 300)):
        put(scans / f"{seed}.bin", cloud(points, seed))
    (scans / "notes.txt").write_text("no scan")
    together, alone = tmp_path / "together", tmp_path / "alone"
    text = succeeds("segment", scans, "--model", model, "--out", together, "--write", "label,scores", "--threads", 3)
    assert [line.split()[0] for line in text.splitlines()[1:] if "->" not in line] == [f"{i}.bin" for i in range(4)]
    for seed in (3, 1, 2, 0):
        succeeds("segment", scans / f"{seed}.bin", "--model", model, "--out", alone, "--write", "label,scores",
                 "--threads", 1)
    assert files(together) == files(alone) and len(files(alone)) == 8
    for name in files(together):
        assert (together / name).read_bytes() == (alone / name).read_bytes(), name


def test_preprocess_with_a_range_drops_and_counts(model, tmp_path):
    points = cloud(400)
    points[:25, 0] = 100
    points[25:30, 2] = 1e9
    scan = put(tmp_path / "a.bin", points)
    arguments = ["segment", scan, "--model", model, "--out", tmp_path, "--write", "label"]
    assert "5 points further than" in warns(*arguments)
    assert (labels_of(tmp_path / "a.label") == 0).sum() == 5
    succeeds(*arguments, "--preprocess", "pointcept", "--stats", tmp_path / "stats.json")
    labels = labels_of(tmp_path / "a.label")
    outside = (np.abs(points[:, :2]) >= 35.2).any(1) | (points[:, 2] < -4) | (points[:, 2] >= 2)
    assert ((labels == 0) == outside).all()
    stats, = json.loads((tmp_path / "stats.json").read_text())
    assert stats["dropped_points"] == outside.sum() >= 30

    profile = json.loads(read_header(model)[0]["__metadata__"]["voxshift.profile"])
    own = tmp_path / "own.json"
    own.write_text(json.dumps({**profile, "range": {"lowest": [-9, -9, -9], "highest": [0, 9, 9]}}))
    succeeds(*arguments, "--preprocess", own, "--stats", tmp_path / "stats.json")
    assert ((labels_of(tmp_path / "a.label") > 0) == ((points[:, 0] < 0) & (points[:, 2] < 9))).all()
    own.write_text(json.dumps({**profile, "scale": [1] * 5}))
    fails(*arguments, "--preprocess", own, says=["5 channels", "takes 4", model])
    own.write_text("{")
    fails(*arguments, "--preprocess", own, says=[own, "not JSON"])
    own.write_text(json.dumps({**profile, "rounding": "up"}))
    fails(*arguments, "--preprocess", own, says=[own, "rounding", "half_even"])
    fails(*arguments, "--preprocess", "none", says=["spvnas", "none"])


# What is guessed of scans from elsewhere

def test_guesses_are_said_once_and_can_be_given(model, tmp_path):
    points = cloud(5000)
    expected = run_labels(model, tmp_path, put(tmp_path / "a.bin", points))
    bright = points * [1, 1, 1, 255]
    cases = {
        "bright": (bright, "taken for 0..255", ["--remission-scale", 255]),
        "five": (np.column_stack([points, np.arange(5000) % 32]), "rows of 5", ["--columns", 5]),
        "nuscenes": (np.column_stack([bright, np.arange(5000) % 32]), "rows of 5", ["--sensor", "nuscenes"]),
    }
    for name, (rows, warning, given) in cases.items():
        scan = put(tmp_path / f"{name}.bin", rows)
        arguments = ["segment", scan, scan.with_name("copy.bin"), "--model", model, "--out", tmp_path, "--write", "label"]
        put(scan.with_name("copy.bin"), rows)
        lines = warns(*arguments).splitlines()
        assert [line.startswith(f"voxshift: warning: {scan}: ") for line in lines if warning in line] == [True]
        assert close(labels_of(tmp_path / f"{name}.label"), expected)
        assert close(run_labels(model, tmp_path, scan, *given), expected)
    three = put(tmp_path / "three.bin", points[:, :3])
    assert "remission is 0" in warns("segment", three, "--model", model, "--out", tmp_path, "--write", "label",
                                     "--columns", 3)


def test_coordinates_of_a_map(model, tmp_path):
    points = cloud(5000)
    points[:, :3] = np.round(points[:, :3] * 64) / 64
    expected = run_labels(model, tmp_path, put(tmp_path / "a.bin", points))
    utm = points.astype(np.float64) + [500000, 4300000, 100, 0]
    np.save(tmp_path / "utm.npy", utm)
    arguments = ["segment", tmp_path / "utm.npy", "--model", model, "--out", tmp_path, "--write", "label,ply"]
    assert "the sensor was put at 50000" in warns(*arguments)
    succeeds(*arguments, "--origin", "500000,4300000,100")
    assert (labels_of(tmp_path / "utm.label") == expected).all()
    header, body = (tmp_path / "utm.ply").read_bytes().split(b"end_header\n")
    assert b"property double x" in header
    there = np.frombuffer(body, [("xyz", "<f8", 3), ("rgb", "u1", 3), ("label", "<u2")])
    assert (there["xyz"] == utm[:, :3]).all()


def test_range_of_the_command(model, tmp_path):
    points = cloud(400)
    scan = put(tmp_path / "a.bin", points)
    labels = run_labels(model, tmp_path, scan, "--range", 5)
    assert ((labels > 0) == ((points[:, :3] >= -5) & (points[:, :3] < 5)).all(1)).all()
    labels = run_labels(model, tmp_path, scan, "--range", "-9,-9,-9,0,9,9")
    assert ((labels > 0) == (points[:, 0] < 0)).all()
    fails("segment", scan, "--model", model, "--out", tmp_path, "--range", "1,2", says=["--range", "six"])


def run_labels(model, folder, scan, *options):
    succeeds("segment", scan, "--model", model, "--out", folder, "--write", "label", *options)
    return labels_of(folder / f"{scan.stem}.label")


def close(labels, expected):
    """Remission that was scaled and scaled back differs in its last bit."""
    return (labels == expected).mean() > 0.999


def test_layers(model, tmp_path):
    scan = put(tmp_path / "a.bin", cloud(800))
    text = succeeds("segment", scan, "--model", model, "--out", tmp_path, "--write", "label", "--layers")
    for word in ("stem.0", "up4.1.1.net.3", "classifier.0", "conv 3x3x3", "conv_transpose 2x2x2 / 2", "of f32 peak"):
        assert word in text


# The other subcommands, and usage

def test_info(model):
    text = succeeds("info", model)
    assert "minkunet" in text and "19 classes" in text and "spvnas" in text and "GMAC" in text
    assert "stem.0.kernel" in text and "[27, 4, 2]" in text and "classifier.0.bias" in text


def test_info_of_a_profile(model, tmp_path):
    own = json.loads(succeeds("info", model, "--profile"))
    assert own == json.loads(read_header(model)[0]["__metadata__"]["voxshift.profile"])
    (tmp_path / "own.json").write_text(succeeds("info", "nuscenes", "--profile"))
    assert json.loads(succeeds("info", tmp_path / "own.json", "--profile"))["name"] == "nuscenes"
    scan = put(tmp_path / "a.bin", cloud(50))
    fails("segment", scan, "--model", model, "--preprocess", tmp_path / "none.json", says=["none.json", "spvnas"])
    succeeds("segment", scan, "--model", model, "--preprocess", tmp_path / "own.json", "--out", tmp_path,
             "--remission-scale", 255)
    (tmp_path / "own.json").write_text(json.dumps({**own, "voxelsize": 1}))
    fails("segment", scan, "--model", model, "--preprocess", tmp_path / "own.json", says=["own.json", "voxelsize"])


def test_new_is_repeatable(model, tmp_path):
    for name, seed in [("same", 3), ("other", 4)]:
        succeeds("new", "minkunet", "--width", 0.0625, "--seed", seed, "-o", tmp_path / name)
    assert (tmp_path / "same").read_bytes() == model.read_bytes()
    assert (tmp_path / "other").read_bytes() != model.read_bytes()
    succeeds("new", "minkunet", "--width", 0.0625, "--classes", 5, "-o", tmp_path / "five")
    assert len(json.loads(read_header(tmp_path / "five")[0]["__metadata__"]["voxshift.classes"])) == 5
    for arguments in (["--width", 0], ["--width", 1000], ["--classes", 256]):
        fails("new", "minkunet", *arguments, "-o", tmp_path / "none", says=["expects"])
    assert not (tmp_path / "none").exists()


def test_synth_lidar(tmp_path):
    text = succeeds("synth", "lidar", "--seed", 7, "--count", 2, "-o", tmp_path / "a")
    succeeds("synth", "lidar", "--seed", 8, "-o", tmp_path / "b")
    assert files(tmp_path / "a") == ["labels", "labels/000000.label", "labels/000001.label", "velodyne",
                                     "velodyne/000000.bin", "velodyne/000001.bin"]
    assert text.count("\n") == 2
    points = np.fromfile(tmp_path / "a" / "velodyne" / "000000.bin", "<f4").reshape(-1, 4)
    labels = labels_of(tmp_path / "a" / "labels" / "000000.label")
    assert len(points) == len(labels) > 90000 and set(labels) <= set(CLASSES) | {99}  # a thing without a class
    for kind in ("velodyne/00000{}.bin", "labels/00000{}.label"):
        assert (tmp_path / "a" / kind.format(1)).read_bytes() == (tmp_path / "b" / kind.format(0)).read_bytes()


def label_lines(path):
    """(type, occlusion, h w l, camera x y z, rotation) of each line of a KITTI label file without scores."""
    rows = [line.split(" ") for line in path.read_text().splitlines()]
    assert all(len(row) == 15 and float(row[1]) == 0 for row in rows)
    return [(row[0], int(row[2]), *(np.array(row[at], float) for at in (slice(8, 11), slice(11, 14), 14)))
            for row in rows]


def velo_to_camera(path):
    """R0_rect Tr_velo_to_cam of a KITTI calibration file: 3 x 4."""
    rows = dict(line.split(":") for line in path.read_text().splitlines() if line)
    rectification, matrix = (np.array(rows[key].split(), float) for key in ("R0_rect", "Tr_velo_to_cam"))
    return rectification.reshape(3, 3) @ matrix.reshape(3, 4)


@pytest.mark.parametrize("vary", [[], ["--vary-sensor"]], ids=["fixed", "varied"])
def test_synth_lidar_boxes(tmp_path, vary):
    succeeds("synth", "lidar", "--seed", 11, "--count", 2, *vary, "-o", tmp_path / "plain")
    out = tmp_path / "boxes"
    succeeds("synth", "lidar", "--seed", 11, "--count", 2, *vary, "--boxes", "-o", out)
    for name in files(tmp_path / "plain"):
        if "/" in name:
            assert (out / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    added = set(files(out)) - set(files(tmp_path / "plain"))
    assert added == {"label_2", "calib"} | {f"{folder}/00000{i}.txt" for folder in ("label_2", "calib") for i in (0, 1)}
    raw = {"Car": 10, "Van": 10, "Truck": 18, "Pedestrian": 30, "Cyclist": 31}
    for stem in ("000000", "000001"):
        matrix = velo_to_camera(out / "calib" / f"{stem}.txt")
        points = np.fromfile(out / "velodyne" / f"{stem}.bin", "<f4").reshape(-1, 4)[:, :3]
        labels, found = labels_of(out / "labels" / f"{stem}.label"), np.zeros(len(points), bool)
        in_camera = points @ matrix[:, :3].T + matrix[:, 3]  # x right, y down, z ahead
        boxes = label_lines(out / "label_2" / f"{stem}.txt")
        assert len(boxes) > 3
        for kind, occlusion, (height, width, length), bottom, rotation in boxes:
            offset = in_camera - bottom
            along = offset[:, 0] * np.cos(rotation) - offset[:, 2] * np.sin(rotation)
            across = offset[:, 0] * np.sin(rotation) + offset[:, 2] * np.cos(rotation)
            inside = (np.abs(along) < length / 2 + 0.1) & (np.abs(across) < width / 2 + 0.1)
            inside &= (labels == raw[kind]) & (np.abs(offset[:, 1] + height / 2) < height / 2 + 0.1)
            found |= inside
            # A neighbour's points may reach in, and a car's mirrors stand out: a tenth of the points is not its own.
            least, most = ([3, 2, 1, 0][np.searchsorted([5, 15, 50], n * inside.sum(), "right")] for n in (0.9, 1.1))
            assert occlusion <= least and (kind == "Car" or occlusion >= most), (kind, inside.sum())
            assert 0.2 < length < 13 and 0.5 < width < 2.7 and 1.1 < height < 5.1
        assert found[np.isin(labels, list(raw.values()))].mean() > 0.97


def test_version_and_help():
    version = succeeds("--version")
    for word in ("voxshift ", ", i8 by ", ", bf16 by ", ", f16 by ", "CUDA", "OpenCV"):
        assert word in version
    assert all(word in succeeds("--help") for word in ("segment", "eval", "info", "new", "synth"))
    options = succeeds("segment", "--help")
    for word in ("--model", "--device", "--threads", "--out", "--write", "--stats", "--columns", "--preprocess",
                 "--sensor", "--remission-scale", "--origin", "--range", "--layers"):
        assert word in options


@pytest.mark.parametrize("arguments", [
    [], ["sgement"], ["segment"], ["segment", "--model", "m"], ["new", "minkunet"],
    ["new", "resnet", "-o", "m"], ["segment", "a.bin", "--model", "m", "--threads", "0"],
    ["segment", "a.bin", "--model", "m", "--write", "jpg"], ["segment", "a.bin", "--model", "m", "--columns", "2"],
    ["segment", "a.bin", "--model", "m", "--nothing"], ["synth"], ["synth", "lidar"], ["info"],
    ["synth", "lidar", "--count", "0", "-o", "x"], ["new", "minkunet", "--width", "wide", "-o", "m"],
    ["new", "minkunet", "--classes", "0", "-o", "m"],
], ids=" ".join)
def test_usage(arguments, tmp_path):
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert result.stderr and result.stdout == ""
    assert files(tmp_path) == []


def test_devices(model, tmp_path):
    scan = put(tmp_path / "a.bin", cloud(20))
    arguments = ["segment", scan, "--model", model, "--out", tmp_path / "out"]
    if "CUDA off" in succeeds("--version"):
        fails(*arguments, "--device", "cuda", says=["CUDA"])
    fails(*arguments, "--device", "abacus", says=["abacus", "cpu"])
    assert not (tmp_path / "out").exists()
