"""The command `voxshift`, run as a user runs it: files in, files out, exit status, one line on standard error.

VOXSHIFT_COMMAND names the built program."""

import json
import os
import resource
import stat
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

COMMAND = os.environ.get("VOXSHIFT_COMMAND")
pytestmark = pytest.mark.skipif(not COMMAND, reason="VOXSHIFT_COMMAND does not name the command to test")

CLASSES = {10: "car", 11: "bicycle", 15: "motorcycle", 18: "truck", 20: "other-vehicle", 30: "person",
           31: "bicyclist", 32: "motorcyclist", 40: "road", 44: "parking", 48: "sidewalk", 49: "other-ground",
           50: "building", 51: "fence", 70: "vegetation", 71: "trunk", 72: "terrain", 80: "pole", 81: "traffic-sign"}


def run(*arguments, cwd=None):
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, timeout=120, cwd=cwd,
                          encoding="utf-8", errors="replace")


def succeeds(*arguments, cwd=None):
    result = run(*arguments, cwd=cwd)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no progress either: this is no terminal
    return result.stdout


def fails(*arguments, says=(), status=1, cwd=None):
    """Exit status 1 and one line on standard error that holds every part."""
    result = run(*arguments, cwd=cwd)
    assert result.returncode == status, (result.returncode, result.stderr)
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("voxshift: "), result.stderr
    for part in says:
        assert str(part) in lines[0], lines[0]
    return lines[0]


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    out = succeeds("new", "minkunet", "--width", 0.0625, "--seed", 3, "-o", path)
    assert out.count("\n") == 1 and "random" in out and str(path) in out
    return path


def cloud(points, seed=0):
    """A wall and a floor: float32 [points, 4]."""
    random = np.random.default_rng(seed)
    xyz = random.uniform(-8, 8, (points, 3))
    xyz[: points // 2, 2] = -1.7 + random.normal(0, 0.02, points // 2)
    xyz[points // 2:, 1] = 6 + random.normal(0, 0.02, points - points // 2)
    return np.column_stack([xyz, random.uniform(0, 1, points)]).astype("<f4")


def put(path, points):
    np.asarray(points, "<f4").tofile(path)
    return path


def read_header(path):
    data = path.read_bytes()
    length, = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + length]), data[8 + length:]


def write_header(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def labels_of(path):
    return np.fromfile(path, "<u4")


# Scans that succeed

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
                               "seconds", "peak_rss_bytes", "labels"]
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
    "infinite": ([[1, 1, 1, 0], [np.inf, 0, 0, 0], [0, -np.inf, 0, 0], [2, 2, 2, 0]], [1, 0, 0, 1]),
    "one": ([[3, 2, 1, 0]], [1]),
    "same_voxel": ([[3, 2, 1, 0.25]] * 500, [1] * 500),
    "none_left": ([[np.nan] * 4, [np.inf] * 4], [0, 0]),
    "far": ([[1e6, 1e6, 1e6, 0]], [1]),
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
    if "OpenCV on" not in succeeds("--version"):
        pytest.skip("this build has no OpenCV")
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
    if "Open3D on" not in succeeds("--version"):
        pytest.skip("this build has no Open3D")
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
    fails(*arguments, says=[scan, "range"])
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


def test_layers(model, tmp_path):
    scan = put(tmp_path / "a.bin", cloud(800))
    text = succeeds("segment", scan, "--model", model, "--out", tmp_path, "--write", "label", "--layers")
    for word in ("stem.0", "up4.1.1.net.3", "classifier.0", "conv 3x3x3", "conv_transpose 2x2x2 / 2", "of peak"):
        assert word in text


# Bad input

def bad_scans(folder):
    points = cloud(50)
    header = b"ply\nformat binary_little_endian 1.0\nelement vertex 50\nproperty float x\nproperty float y\n" \
             b"property float z\nproperty float intensity\nend_header\n"
    np.save(folder / "array.npy", points)
    contents = {
        "cut.bin": points.tobytes()[:-3],
        "empty.bin": b"",
        "three.bin": points.tobytes()[:12],
        "text.ply": b"these are some words\n",
        "short.ply": (header + points.tobytes())[:-7],
        "headless.ply": header[:40],
        "slice.npy": (folder / "array.npy").read_bytes()[:-1],
        "claims.npy": (folder / "array.npy").read_bytes().replace(b"(50, 4)", b"(9999999999999999, 4)"),
        "words.pcd": b"no point cloud",
        "beyond.bin": np.array([[0, 0, 0, 0], [1e6, 1e6, 1e6, 0]], "<f4").tobytes(),
        "astronomic.bin": np.array([[3e38, 0, 0, 0]], "<f4").tobytes(),
    }
    (folder / "array.npy").unlink()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def test_bad_scans_one_by_one(model, tmp_path):
    out = tmp_path / "out"
    for scan in bad_scans(tmp_path):
        fails("segment", scan, "--model", model, "--out", out, says=[f"voxshift: {scan}: "])
        assert files(out) == [], scan


def test_other_scans_are_done_after_a_bad_one(model, tmp_path):
    bad = bad_scans(tmp_path)
    good = [put(tmp_path / f"good{i}.bin", cloud(200, i)) for i in range(3)]
    out = tmp_path / "out"
    order = [bad[0], good[0], *bad[1:6], good[1], *bad[6:], good[2], bad[0].rename(tmp_path / "last.bin")]
    bad[0].write_bytes(b"123")
    result = run("segment", *order, "--model", model, "--out", out, "--write", "label,ply",
                 "--stats", tmp_path / "stats.json")
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert len(lines) == len(bad) + 1
    for scan in [*bad, tmp_path / "last.bin"]:
        assert sum(line.startswith(f"voxshift: {scan}: ") for line in lines) == 1, scan
    assert files(out) == sorted(f"good{i}.{kind}" for i in range(3) for kind in ("label", "ply"))
    assert [entry["scan"] for entry in json.loads((tmp_path / "stats.json").read_text())] == [str(g) for g in good]


def test_paths_that_are_no_scans(model, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("1 2 3")
    out = tmp_path / "out"
    for path, part in [("none.bin", "no such file"), ("a.txt", "expected a .bin"), ("empty", "no .bin")]:
        fails("segment", tmp_path / path, "--model", model, "--out", out, says=[tmp_path / path, part])
    os.mkfifo(tmp_path / "pipe.bin")
    fails("segment", tmp_path / "pipe.bin", "--model", model, "--out", out, says=[tmp_path / "pipe.bin"])
    assert files(out) == []


def broken_models(model, folder):
    """(file, what its line must say)"""
    header, data = read_header(model)
    whole = model.read_bytes()

    def graph(change):
        document = json.loads(header["__metadata__"]["voxshift.graph"])
        change({node["name"]: node for node in document["nodes"]}, document)
        return metadata("voxshift.graph", json.dumps(document))

    def metadata(key, value):
        return {**header, "__metadata__": {**header["__metadata__"], key: value}}

    def tensor(name, **entry):
        return {**header, name: {**header[name], **entry}}

    def without(name):
        return {key: value for key, value in header.items() if key != name}

    def renamed(nodes, document):
        nodes["stem.1.relu"]["inputs"] = ["somewhere"]

    headers = {
        "shape": (tensor("stem.0.kernel", shape=[4, 27, 2]), ["stem.0.kernel", "[27, 4, 2]", "[4, 27, 2]"]),
        "dtype": (tensor("classifier.0.bias", dtype="I32"), ["classifier.0.bias", "f32 [19]", "i32 [19]"]),
        "missing_tensor": (without("stem.0.kernel"), ["stem.0.kernel", "missing"]),
        "unknown_op": (graph(lambda nodes, _: nodes["stem.1"].update(op="layer_norm")), ["stem.1", "layer_norm"]),
        "cycle": (graph(lambda nodes, _: nodes["stem.0"].update(inputs=["stem.1"])), ["stem.0", "cycle"]),
        "unknown_input": (graph(renamed), ["stem.1.relu", "somewhere"]),
        "no_way_up": (graph(lambda nodes, _: nodes["up1.0.net.0"].update(stride=[3, 3, 3])), ["up1.0.net.0"]),
        "graph_not_json": (metadata("voxshift.graph", "{nodes:"), ["voxshift.graph", "not JSON"]),
        "profile_not_json": (metadata("voxshift.profile", "x"), ["voxshift.profile", "not JSON"]),
        "classes_not_json": (metadata("voxshift.classes", ""), ["voxshift.classes", "not JSON"]),
        "format": (metadata("voxshift.format", "99"), ["format", "99"]),
        "no_metadata": (without("__metadata__"), ["voxshift.format"]),
        "claims": (tensor("classifier.0.bias", shape=[2 ** 40], data_offsets=[0, 2 ** 42]), ["classifier.0.bias"]),
        "huge": (tensor("classifier.0.bias", shape=[2 ** 62, 2 ** 62]), ["too large"]),
        "overlap": (tensor("stem.0.kernel", data_offsets=[0, 864]), ["stem.0.kernel", "overlap"]),
        "newline": (tensor("classifier.0.bias", dtype="F\n\x1b[31m"), ["classifier.0.bias", "dtype"]),
    }
    models = [(write_header(folder / f"{name}.safetensors", text, data), says)
              for name, (text, says) in headers.items()]
    for name, content in {
        "empty": b"",
        "cut_length": whole[:5],
        "cut_header": whole[:500],
        "cut_data": whole[:-1],
        "long_header": struct.pack("<Q", 2 ** 63) + whole[8:],
        "not_json": struct.pack("<Q", 20) + b"this is no JSON text" + data,
    }.items():
        path = folder / f"{name}.safetensors"
        path.write_bytes(content)
        models.append((path, []))
    return [*models, (folder / "none.safetensors", ["No such file"]), (folder, ["not a file"])]


def test_bad_models(model, tmp_path):
    scan = put(tmp_path / "a.bin", cloud(20))
    out = tmp_path / "out"
    (tmp_path / "models").mkdir()
    for path, says in broken_models(model, tmp_path / "models"):
        for arguments in (["segment", scan, "--model", path, "--out", out], ["info", path]):
            line = fails(*arguments, says=says)
            assert line.startswith(f"voxshift: {path}: "), line
            assert "\x1b" not in line
        assert not out.exists(), path


def test_outputs_that_cannot_be_written(model, tmp_path):
    scans = [put(tmp_path / f"{name}.bin", cloud(50)) for name in "ab"]
    before = files(tmp_path)
    taken = tmp_path / "taken"
    taken.write_text("a file")
    for out in (taken, taken / "below"):
        fails("segment", *scans, "--model", model, "--out", out, says=[out])
    fails("segment", *scans, "--model", model, "--out", tmp_path / "out", "--write", "label",
          "--stats", taken / "stats.json", says=[taken / "stats.json", "cannot be written"])
    fails("new", "minkunet", "--width", 0.04, "-o", taken / "m.safetensors", says=[taken, "cannot be written"])
    fails("synth", "lidar", "-o", taken, says=[taken])
    assert taken.read_text() == "a file"
    taken.unlink()
    assert files(tmp_path) == sorted([*before, "out", "out/a.label", "out/b.label"])

    # A folder stands where a result shall be: that scan fails, the other is done.
    out = tmp_path / "half"
    (out / "a.label").mkdir(parents=True)
    fails("segment", *scans, "--model", model, "--out", out, "--write", "label", says=[out / "a.label"])
    assert files(out) == ["a.label", "b.label"] and (out / "b.label").stat().st_size == 200


@pytest.mark.parametrize("kind", ["label", "ply", "scores"])
def test_a_disk_that_fills_up(model, tmp_path, kind):
    scan = put(tmp_path / "a.bin", cloud(5000))
    out = tmp_path / "out"
    result = subprocess.run(
        [COMMAND, "segment", scan, "--model", model, "--out", out, "--write", kind], capture_output=True, text=True,
        timeout=60, restore_signals=False,  # SIGXFSZ stays ignored: writing fails as on a full disk
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000)))
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("\n") == 1 and f"voxshift: {out}/a." in result.stderr, result.stderr
    assert files(out) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(model, tmp_path):
    scan = put(tmp_path / "a.bin", cloud(50))
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(stat.S_IRUSR | stat.S_IXUSR)
    fails("segment", scan, "--model", model, "--out", out, "--write", "label", says=[out / "a.label", "Permission"])
    assert files(out) == []


def test_names_that_would_collide(model, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        put(tmp_path / folder / "a.bin", cloud(20))
    arguments = ["--model", model, "--out", tmp_path / "out"]
    fails("segment", tmp_path / "one", tmp_path / "two", *arguments, says=["a.label", "would replace"])
    scan = tmp_path / "one" / "a.bin"
    fails("segment", scan, scan, *arguments, says=["would replace"])
    ply = tmp_path / "a.ply"
    ply.write_bytes(b"ply")
    fails("segment", ply, "--model", model, "--out", tmp_path, "--write", "ply", says=[ply, "would replace"])
    assert ply.read_bytes() == b"ply"
    assert not (tmp_path / "out").exists()


def test_names_that_are_no_utf8(model, tmp_path):
    name = os.fsencode(tmp_path) + b"/\xff\xfe.bin"
    with open(name, "wb") as file:
        file.write(cloud(30).tobytes())
    result = subprocess.run([COMMAND, "segment", name, "--model", model, "--out", tmp_path, "--write", "label",
                             "--stats", tmp_path / "stats.json"], capture_output=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "stats.json").read_text())[0]["points"] == 30
    assert os.path.getsize(os.fsencode(tmp_path) + b"/\xff\xfe.label") == 120


# The other subcommands, and usage

def test_info(model):
    text = succeeds("info", model)
    assert "minkunet" in text and "19 classes" in text and "spvnas" in text and "GMAC" in text
    assert "stem.0.kernel" in text and "[27, 4, 2]" in text and "classifier.0.bias" in text


def test_new_is_repeatable(model, tmp_path):
    for name, seed in [("same", 3), ("other", 4)]:
        succeeds("new", "minkunet", "--width", 0.0625, "--seed", seed, "-o", tmp_path / name)
    assert (tmp_path / "same").read_bytes() == model.read_bytes()
    assert (tmp_path / "other").read_bytes() != model.read_bytes()
    succeeds("new", "minkunet", "--width", 0.0625, "--classes", 5, "-o", tmp_path / "five")
    assert len(json.loads(read_header(tmp_path / "five")[0]["__metadata__"]["voxshift.classes"])) == 5
    for arguments in (["--width", 0], ["--width", 1000], ["--classes", 0], ["--classes", 256]):
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
    assert len(points) == len(labels) > 90000 and set(labels) <= set(CLASSES)
    for kind in ("velodyne/00000{}.bin", "labels/00000{}.label"):
        assert (tmp_path / "a" / kind.format(1)).read_bytes() == (tmp_path / "b" / kind.format(0)).read_bytes()


def test_version_and_help():
    version = succeeds("--version")
    for word in ("voxshift ", "CUDA", "OpenCV", "Open3D"):
        assert word in version
    assert all(word in succeeds("--help") for word in ("segment", "info", "new", "synth"))
    options = succeeds("segment", "--help")
    for word in ("--model", "--device", "--threads", "--out", "--write", "--stats", "--columns", "--preprocess",
                 "--layers"):
        assert word in options


@pytest.mark.parametrize("arguments", [
    [], ["sgement"], ["segment"], ["segment", "a.bin"], ["segment", "--model", "m"], ["new", "minkunet"],
    ["new", "resnet", "-o", "m"], ["segment", "a.bin", "--model", "m", "--threads", "0"],
    ["segment", "a.bin", "--model", "m", "--write", "jpg"], ["segment", "a.bin", "--model", "m", "--columns", "2"],
    ["segment", "a.bin", "--model", "m", "--nothing"], ["synth"], ["synth", "lidar"], ["info"],
    ["synth", "lidar", "--count", "0", "-o", "x"], ["new", "minkunet", "--width", "wide", "-o", "m"],
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
