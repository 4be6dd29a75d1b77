"""`voxshift run`: any network, arrays in, arrays out."""

import json

import numpy as np
import pytest
from command_fixture import run

vs = pytest.importorskip("voxshift")


@pytest.fixture
def network(tmp_path):
    """A network on voxels with two outputs, one of them coarser, and an input for it."""
    rng = np.random.default_rng(1)
    graph = {
        "input": "voxels",
        "dims": 3,
        "in_channels": 4,
        "nodes": [
            {"name": "down", "op": "conv", "inputs": ["input"], "parameters": {"weight": "w"}, "kernel_size": 2, "stride": 2},
            {"name": "heads/box", "op": "linear", "inputs": ["down"], "parameters": {"weight": "box"}},
            {"name": "unit", "op": "l2_normalize", "inputs": ["input"]},
        ],
        "outputs": ["heads/box", "unit"],
    }
    parameters = {
        "w": rng.standard_normal((8, 4, 6)).astype(np.float32),
        "box": rng.standard_normal((7, 6)).astype(np.float32),
    }
    model = vs.Model.from_graph(graph, parameters, classes=0)
    model.save(tmp_path / "model.safetensors")
    cells = rng.choice(20**3, 500, replace=False)
    coords = np.stack([cells % 2, cells // 400, cells // 20 % 20, cells % 20], 1).astype(np.int32)
    coords = np.unique(coords, axis=0)
    features = rng.standard_normal((len(coords), 4)).astype(np.float32)
    np.save(tmp_path / "features.npy", features)
    np.save(tmp_path / "coords.npy", coords)
    return tmp_path, model, vs.SparseTensor(coords, features)


def arguments(folder):
    return [
        folder / "model.safetensors",
        "--input", f"input={folder / 'features.npy'}",
        "--input", f"input.coords={folder / 'coords.npy'}",
    ]  # fmt: skip


def test_writes_every_output(network):
    folder, model, x = network
    result = run("run", *arguments(folder), "--out", folder / "out", "--layers", "--stats", folder / "stats.json")
    assert result.returncode == 0, result.stderr
    expected = model.run(x)
    assert set(expected) == {"heads/box", "unit"}
    for name, (features, coords) in expected.items():
        file = name.replace("/", "_")
        np.testing.assert_array_equal(np.load(folder / "out" / f"{file}.npy"), features)
        np.testing.assert_array_equal(np.load(folder / "out" / f"{file}.coords.npy"), coords)
        assert f"{file}.npy" in result.stdout
    assert expected["heads/box"][1].max() == x.coords.max() // 2
    stats = json.loads((folder / "stats.json").read_text())
    assert [layer["kind"] for layer in stats["layers"]] == ["conv 2x2x2 / 2", "linear", "l2_normalize"]
    assert stats["rows"] == len(x.coords) and stats["macs"] > 0
    assert "conv 2x2x2 / 2" in result.stdout and "of f32 peak" in result.stdout
    about = run("info", folder / "model.safetensors")
    assert about.returncode == 0 and "Outputs: heads/box unit" in about.stdout and "voxshift run" in about.stdout
    labels = run("segment", folder / "features.npy", "--model", folder / "model.safetensors", "--out", folder)
    assert labels.returncode == 1 and "one output and classes" in labels.stderr


def test_bounded_convolutions_need_the_shape(tmp_path):
    node = {"name": "y", "op": "conv", "inputs": ["input"], "parameters": {"weight": "w"}, "kernel_size": 3, "stride": 2}
    graph = {"input": "voxels", "dims": 2, "in_channels": 4, "outputs": ["y"], "nodes": [{**node, "semantics": "bounded"}]}
    model = vs.Model.from_graph(graph, {"w": np.ones((9, 4, 1), np.float32)}, profile=None, classes=0)
    model.save(tmp_path / "model.safetensors")
    coords, features = np.array([[0, 1, 2], [0, 5, 6]], np.int32), np.ones((2, 4), np.float32)
    np.save(tmp_path / "coords.npy", coords)
    np.save(tmp_path / "features.npy", features)
    without = arguments(tmp_path)
    result = run("run", *without, "--out", tmp_path)
    assert result.returncode == 1 and "shape" in result.stderr
    for shape, status in [(np.array([7, 8, 9], np.int32), 1), (np.array([7, 8]), 1), (np.array([7, 8], np.int32), 0)]:
        np.save(tmp_path / "shape.npy", shape)
        result = run("run", *without, "--input", f"input.shape={tmp_path / 'shape.npy'}", "--out", tmp_path)
        assert result.returncode == status, result.stderr
    expected = model.run(vs.SparseTensor(coords, features, shape=(7, 8)))["y"]
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected[0])


def test_points(tmp_path):
    model = vs.Model.new("pointnet++", width=0.125)
    model.save(tmp_path / "points.safetensors")
    points = np.random.default_rng(2).uniform(-1, 1, (700, 22)).astype(np.float32)
    np.save(tmp_path / "points.npy", points)
    np.save(tmp_path / "splits.npy", np.array([0, 300, 700]))
    result = run("run", tmp_path / "points.safetensors", "--input", f"input={tmp_path / 'points.npy'}",
                 "--input", f"input.row_splits={tmp_path / 'splits.npy'}", "--out", tmp_path)  # fmt: skip
    assert result.returncode == 0, result.stderr
    ((name, (features, coords)),) = model.run(points, np.array([0, 300, 700])).items()
    np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), features)
    np.testing.assert_array_equal(coords, points[:, :3])


@pytest.mark.parametrize(
    "change, says",
    [
        (["--input", "logits=x.npy"], ["takes input or input.coords or input.shape", '"logits"']),
        (["--input", "features.npy"], ["NAME=FILE.npy", '"features.npy"']),
        (["--input", "input=none.npy"], ["given twice", "none.npy"]),
        (["--device", "tpu"], ["tpu"]),
    ],
)
def test_wrong_arguments(network, change, says):
    folder, _, _ = network
    result = run("run", *arguments(folder), *change, "--out", folder / "out")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and any(part in result.stderr for part in says), result.stderr
    assert not (folder / "out").exists()


def test_wrong_arrays(network):
    folder, _, _ = network
    model, *inputs = arguments(folder)
    for array, says in [
        (np.zeros((3, 4)), "expected float32, int32 or int64"),
        (np.zeros((3, 2, 2), np.float32), "expects f32 [N, C]"),
        (np.zeros((4, 3), np.float32).T, "C order"),
        (np.zeros((3, 4), np.float32), "rows"),
        (np.zeros((500, 4), ">f4"), "convert it"),
    ]:
        np.save(folder / "features.npy", array)
        result = run("run", model, *inputs, "--out", folder / "out")
        assert result.returncode == 1 and result.stderr.count("\n") == 1
        assert says in result.stderr, result.stderr
    (folder / "features.npy").write_bytes(b"\x93NUMPY")
    result = run("run", model, *inputs)
    assert result.returncode == 1 and "features.npy" in result.stderr
    np.save(folder / "features.npy", np.zeros((3, 4), np.float32))
    result = run("run", model, *inputs[:2])
    assert result.returncode == 1 and "input.coords=FILE.npy is missing" in result.stderr
    assert run("run", model).returncode == 2  # --input is required


def test_networks_on_frames(tmp_path):
    model = vs.Model.new("tsm-mobilenetv2", width=0.25)
    model.save(tmp_path / "video.safetensors")
    frames = np.random.default_rng(1).normal(size=(3, 64, 48, 3)).astype(np.float32)
    np.save(tmp_path / "frames.npy", frames)
    result = run("run", tmp_path / "video.safetensors", "--input", f"input={tmp_path / 'frames.npy'}", "--out", tmp_path, "--layers")
    assert result.returncode == 0 and "expand-depthwise-project" in result.stdout, result.stderr
    ((name, (expected, coords)),) = model.run(frames).items()
    found = np.load(tmp_path / f"{name}.npy")
    assert coords is None and found.shape == (3, 27) and np.array_equal(found, expected)
    np.save(tmp_path / "frames.npy", frames[0])
    result = run("run", tmp_path / "video.safetensors", "--input", f"input={tmp_path / 'frames.npy'}")
    assert result.returncode == 1 and "[T, H, W, 3]" in result.stderr


@pytest.mark.parametrize("channels", [2, 3])
def test_info_of_networks_on_frames_without_classes(tmp_path, channels):
    weight = np.zeros((4, channels, 3, 3), np.float32)
    nodes = [{"name": "conv", "op": "conv2d", "inputs": ["input"], "padding": 1, "parameters": {"weight": "w"}}]
    graph = {"input": "frames", "dims": 2, "in_channels": channels, "nodes": nodes, "outputs": ["conv"]}
    vs.Model.from_graph(graph, {"w": weight}, None, 0).save(tmp_path / "net.safetensors")
    result = run("info", tmp_path / "net.safetensors")
    assert result.returncode == 0, result.stderr
    assert ("conv 3x3" if channels == 3 else "Outputs: conv") in result.stdout
    result = run("recognize", "no.mp4", "--model", tmp_path / "net.safetensors")
    assert result.returncode == 1 and result.stderr.count("\n") == 1, result.stderr


def test_several_inputs(tmp_path):
    """Also features for voxels whose rows the file does not have in order."""
    rng = np.random.default_rng(2)
    inputs = [
        {"name": "scan", "kind": "voxels", "channels": 3},
        {"name": "weight", "rows_of": "scan", "channels": 3},
        {"name": "mask", "rows_of": "weight", "channels": 3},
        {"name": "points", "kind": "points", "channels": 4},
        {"name": "colours", "rows_of": "points", "channels": 3},
        {"name": "camera", "kind": "frames", "channels": 3},
    ]
    nodes = [
        {"name": "masked", "op": "multiply", "inputs": ["mask", "weight"]},
        {"name": "weighted", "op": "multiply", "inputs": ["scan", "masked"]},
        {"name": "coloured", "op": "cat", "inputs": ["points", "colours"]},
        {"name": "seen", "op": "avg_pool", "inputs": ["camera"]},
    ]
    graph = {"dims": 3, "inputs": inputs, "nodes": nodes, "outputs": ["weighted", "coloured", "seen"]}
    path = tmp_path / "model.safetensors"
    vs.Model.from_graph(graph, {}, profile=None, classes=0).save(path)
    cells = rng.permutation(np.unique(rng.integers(0, 9, (200, 3)), axis=0))
    arrays = {
        "scan.coords": np.concatenate([rng.integers(0, 2, (len(cells), 1)), cells], 1).astype(np.int32),
        "scan": rng.standard_normal((len(cells), 3)).astype(np.float32),
        "weight": rng.standard_normal((len(cells), 3)).astype(np.float32),
        "mask": rng.integers(0, 2, (len(cells), 3)).astype(np.float32),
        "points": rng.standard_normal((50, 4)).astype(np.float32),
        "points.row_splits": np.array([0, 20, 50]),
        "colours": rng.standard_normal((50, 3)).astype(np.float32),
        "camera": rng.standard_normal((2, 5, 6, 3)).astype(np.float32),
    }

    def start(changed):
        given = []
        for name, array in {**arrays, **changed}.items():
            if array is not None:
                np.save(tmp_path / f"{name}.npy", array)
                given += ["--input", f"{name}={tmp_path / name}.npy"]
        return run("run", path, *given, "--out", tmp_path / "out", "--layers")

    result = start({})
    assert result.returncode == 0, result.stderr
    found = {name: np.load(tmp_path / "out" / f"{name}.npy") for name in graph["outputs"]}
    order = np.lexsort(arrays["scan.coords"].T[::-1])
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "weighted.coords.npy"), arrays["scan.coords"][order])
    np.testing.assert_array_equal(found["weighted"], (arrays["scan"] * arrays["weight"] * arrays["mask"])[order])
    np.testing.assert_array_equal(found["coloured"], np.concatenate([arrays["points"], arrays["colours"]], 1))
    np.testing.assert_allclose(found["seen"], arrays["camera"].mean((1, 2)), atol=1e-6)

    shown = run("info", path).stdout
    assert "Inputs: scan (voxels, 3 channels) weight (rows of scan, 3 channels) mask (rows of scan," in shown
    for changed, says in [
        ({"scan.coords": None}, "--input scan.coords=FILE.npy is missing: int32"),
        ({"colours": None}, "--input colours=FILE.npy is missing: float32 [N, C]"),
        ({"camera": None}, "--input camera=FILE.npy is missing: float32 [T, H, W, C]"),
        ({"weight.coords": arrays["scan.coords"]}, "the network takes scan or scan.coords or scan.shape or weight or"),
        ({"colours": arrays["colours"][:49]}, '"colours" has 49 rows, "points" has 50'),
        ({"camera": arrays["camera"][:1]}, "2 and 1 clouds or frames"),
    ]:
        refused = start(changed)
        assert refused.returncode == 1 and says in refused.stderr and refused.stderr.count("\n") == 1, refused.stderr
    for command in (["segment", tmp_path / "points.npy", "--model"], ["recognize", tmp_path, "--model"]):
        refused = run(*command, path)
        assert refused.returncode == 1 and "one input" in refused.stderr, refused.stderr
