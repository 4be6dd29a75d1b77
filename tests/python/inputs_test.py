"""Networks with several named inputs, against PyTorch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
vs = pytest.importorskip("voxshift")
vst = pytest.importorskip("voxshift.torch")

SPLITS = [0, 300, 301, 700]


def fusion(rng):
    """Labels of points from themselves, from normals on the same rows, and from a camera and the voxels of a scan."""
    inputs = [
        {"name": "points", "kind": "points", "channels": 4},
        {"name": "normals", "rows_of": "points", "channels": 3},
        {"name": "camera", "kind": "frames", "channels": 3},
        {"name": "scan", "kind": "voxels", "channels": 2},
    ]
    nodes = [
        {"name": "image", "op": "conv2d", "inputs": ["camera"], "padding": 1, "parameters": {"weight": "image.w"}},
        {"name": "image.relu", "op": "relu", "inputs": ["image"]},
        {"name": "seen", "op": "max_pool", "inputs": ["image.relu"]},
        {"name": "voxels", "op": "linear", "inputs": ["scan"], "parameters": {"weight": "scan.w"}},
        {"name": "felt", "op": "avg_pool", "inputs": ["voxels"]},
        {"name": "sum", "op": "add", "inputs": ["seen", "felt"]},
        {"name": "of_points", "op": "broadcast", "inputs": ["sum", "points"]},
        {"name": "all", "op": "cat", "inputs": ["points", "normals", "of_points"]},
        {"name": "logits", "op": "linear", "inputs": ["all"], "parameters": {"weight": "head.w", "bias": "head.b"}},
    ]
    shapes = {"image.w": (5, 3, 3, 3), "scan.w": (5, 2), "head.w": (6, 12), "head.b": (6,)}
    parameters = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return {"dims": 3, "inputs": inputs, "nodes": nodes, "outputs": ["logits", "sum"]}, parameters


def fusion_inputs(rng):
    cells = np.unique(rng.integers(0, 12, (600, 3)), axis=0)
    coords = np.concatenate([rng.integers(0, 3, (len(cells), 1)), cells], 1).astype(np.int32)
    coords[:3, 0] = [0, 1, 2]
    return {
        "points": (rng.standard_normal((700, 4)).astype(np.float32), np.array(SPLITS)),
        "normals": rng.standard_normal((700, 3)).astype(np.float32),
        "camera": rng.standard_normal((3, 10, 14, 3)).astype(np.float32),
        "scan": vs.SparseTensor(coords, rng.standard_normal((len(coords), 2)).astype(np.float32)),
    }


def in_torch(parameters, given):
    w = {name: torch.from_numpy(array).double() for name, array in parameters.items()}
    camera = torch.from_numpy(given["camera"]).double().permute(0, 3, 1, 2)
    seen = torch.relu(torch.nn.functional.conv2d(camera, w["image.w"], padding=1)).amax((2, 3))
    scan, batches = torch.from_numpy(given["scan"].feats.copy()).double(), given["scan"].coords[:, 0]
    felt = torch.stack([(scan[batches == b] @ w["scan.w"].T).mean(0) for b in range(3)])
    clouds = np.repeat(np.arange(3), np.diff(SPLITS))
    points = [torch.from_numpy(given["points"][0]).double(), torch.from_numpy(given["normals"]).double()]
    joined = torch.cat([*points, (seen + felt)[clouds]], 1)
    return (joined @ w["head.w"].T + w["head.b"]).numpy(), (seen + felt).numpy()


def test_inputs_of_all_kinds(tmp_path):
    rng = np.random.default_rng(1)
    graph, parameters = fusion(rng)
    model = vs.Model.from_graph(graph, parameters, profile=None, classes=0)
    assert model.graph["inputs"] == graph["inputs"] and "input" not in model.graph
    model.save(tmp_path / "model.safetensors")
    given = fusion_inputs(rng)
    logits, summed = in_torch(parameters, given)
    for one in (model, vs.Model.load(tmp_path / "model.safetensors", threads=3)):
        found = one.run(given)
        np.testing.assert_allclose(found["logits"][0], logits, atol=1e-4)
        np.testing.assert_allclose(found["sum"][0], summed, atol=1e-4)
        assert found["sum"][1] is None
        np.testing.assert_array_equal(found["logits"][1], given["points"][0][:, :3])
    assert model.report["layers"] and model.report["seconds"]["network"] > 0


def test_one_input_by_name():
    graph = {"dims": 3, "in_channels": 3, "nodes": [{"name": "y", "op": "tanh", "inputs": ["input"]}], "outputs": ["y"]}
    x = np.random.default_rng(1).standard_normal((20, 3)).astype(np.float32)
    points = vs.Model.from_graph({"input": "points", **graph}, {}, profile=None, classes=0)
    np.testing.assert_array_equal(points.run({"input": x})["y"][0], points.run(x)["y"][0])
    with pytest.raises(ValueError, match="row_splits.*beside"):
        points.run({"input": x}, row_splits=np.array([0, 20]))


@pytest.mark.parametrize(
    "change, says",
    [
        ({"normals": None}, '"normals" is missing'),
        ({"radar": np.zeros((700, 3), np.float32)}, 'no input "radar"'),
        ({"normals": np.zeros((699, 3), np.float32)}, '"normals" has 699 rows, "points" has 700'),
        ({"normals": np.zeros((700, 2), np.float32)}, r'"normals" takes f32 \[rows, 3\]'),
        ({"normals": np.zeros((700, 3), np.float64)}, "f64|float64"),
        ({"points": np.zeros((700, 4), np.float32)}, "clouds or frames"),
        ({"camera": np.zeros((3, 10, 3), np.float32)}, r'"camera" takes frames f32 \[T, H, W, 3\]'),
        ({"scan": np.zeros((700, 2), np.float32)}, '"scan" takes voxels'),
    ],
)
def test_inputs_that_are_refused(change, says):
    rng = np.random.default_rng(1)
    graph, parameters = fusion(rng)
    model = vs.Model.from_graph(graph, parameters, profile=None, classes=0)
    given = {**fusion_inputs(rng), **change}
    with pytest.raises((ValueError, TypeError), match=says):
        model.run({name: x for name, x in given.items() if x is not None})


def test_torch_networks_have_one_input_of_any_name():
    graph, parameters = fusion(np.random.default_rng(1))
    with pytest.raises(ValueError, match="one input.*'camera'"):
        vst.Network(vs.Model.from_graph({**graph, "outputs": ["sum"]}, parameters, profile=None, classes=0))
    scan = {**graph, "inputs": graph["inputs"][3:], "nodes": graph["nodes"][3:4], "outputs": ["voxels"]}
    scan["nodes"].append({"name": "y", "op": "tanh", "inputs": ["voxels"]})  # without a gradient
    model = vs.Model.from_graph({**scan, "outputs": ["y"]}, {"scan.w": parameters["scan.w"]}, profile=None, classes=0)
    x = fusion_inputs(np.random.default_rng(1))["scan"]
    found = vst.Network(model)(vst.SparseTensor(torch.from_numpy(x.feats.copy()), x.coordinates.coords))
    np.testing.assert_allclose(found.detach().numpy(), model.run(x)["y"][0], atol=1e-6)


def test_what_takes_one_input_only():
    rng = np.random.default_rng(1)
    graph, parameters = fusion(rng)
    model = vs.Model.from_graph(graph, parameters, profile=None, classes=0)
    given = fusion_inputs(rng)
    with pytest.raises(ValueError, match="4 inputs"):
        model.run(given["scan"])
    with pytest.raises(ValueError, match="2 outputs"):
        model.forward(given["points"][0])
    with pytest.raises(ValueError, match="4 inputs"):
        model.segment(given["points"][0])
    with pytest.raises(ValueError, match="video with classes"):
        vs.Recognizer(model)
    with pytest.raises(ValueError, match="one input"):
        vs.Model.from_graph(graph, parameters, profile="spvnas", classes=0)
