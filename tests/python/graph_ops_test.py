"""The table of ops: complete, and what its page says."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_of_ops_is_what_the_library_defines():
    sys.path.insert(0, str(DOCS))
    try:
        import graph_page
    finally:
        sys.path.remove(str(DOCS))
    assert graph_page.PAGE.read_text() == graph_page.page(), "run docs/graph_page.py"


def test_ops_say_what_they_take():
    ops = vs.graph_ops()
    assert set(ops["conv"]["parameters"]) == {"weight", "bias", "weight_scale"}
    assert ops["conv"]["parameters"]["bias"] == {"shape": "[Cout]", "required": False}
    assert ops["conv"]["attributes"]["stride"]["default"] == 1
    assert ops["conv"]["attributes"]["semantics"]["default"] == "floor"
    assert "default" not in ops["max_pool2d"]["attributes"]["kernel_size"]
    assert ops["cat"]["any_number_of_inputs"] and not ops["add"]["any_number_of_inputs"]
    assert ops["add"]["inputs"] == ["a", "b"]
    assert ops["conv"]["narrow"] and ops["temporal_shift"]["narrow"] and not ops["coordinates"]["narrow"]
    for name, op in ops.items():
        assert op["text"].endswith("."), name


def test_graphs_of_the_builders_use_the_table():
    ops = vs.graph_ops()
    for arch in ("minkunet", "spvcnn", "pvcnn", "pointnet++", "tsm-mobilenetv2"):
        for node in vs.Model.new(arch, width=0.125).graph["nodes"]:
            known = ops[node["op"]]
            attributes = set(node) - {"name", "op", "inputs", "parameters"}
            assert attributes == set(known["attributes"]), node["name"]  # every one of them, defaults too
            assert set(node.get("parameters", {})) <= set(known["parameters"]), node["name"]


def linear_graph(**node):
    return {
        "input": "voxels",
        "dims": 3,
        "in_channels": 4,
        "output": "a",
        "nodes": [{"name": "a", "op": "linear", "inputs": ["input"], "parameters": {"weight": "w"}, **node}],
    }


@pytest.mark.parametrize(
    "change, says",
    [
        ({"op": "convolve"}, ['"a"', 'unknown op "convolve"']),
        ({"stride": 2}, ['"a"', "(linear)", 'no attribute "stride"']),
        ({"inputs": ["nowhere"]}, ['"a"', '"nowhere"']),
        ({"parameters": {"weight": "v"}}, ['"v"', '"a"', "missing"]),
        ({"op": "max_pool2d", "parameters": {}, "kernel_size": 3}, ['"a"', "max_pool2d", "takes images"]),
        ({"op": "columns", "parameters": {}, "first": 3, "count": 2}, ['"a"', "columns 3 to 5 of 4"]),
        ({"op": "columns", "parameters": {}, "first": -1, "count": 2}, ['"a"', "first", "0 to 8192", "-1"]),
    ],
)
def test_graphs_that_do_not_hold_together(change, says):
    with pytest.raises(ValueError) as error:
        vs.Model.from_graph(linear_graph(**change), {"w": np.ones((2, 4), np.float32)}, classes=2)
    for part in says:
        assert part in str(error.value)


def cloud(channels=4, seed=3):
    rng = np.random.default_rng(seed)
    cells = rng.choice(12**3, 400, replace=False)
    coords = np.unique(np.stack([cells % 3, cells // 144, cells // 12 % 12, cells % 12], 1).astype(np.int32), axis=0)
    return vs.SparseTensor(coords, rng.standard_normal((len(coords), channels)).astype(np.float32))


def one_op(op, parameters=None, **attributes):
    """The model of one node."""
    node = {"name": "y", "op": op, "inputs": ["input"], "parameters": {role: role for role in parameters or {}}}
    graph = {"input": "voxels", "dims": 3, "in_channels": 4, "nodes": [{**node, **attributes}], "outputs": ["y"]}
    return vs.Model.from_graph(graph, parameters or {}, classes=0)


torch = pytest.importorskip("torch")
F = torch.nn.functional
WEIGHT, BIAS = torch.linspace(-1, 2, 4), torch.linspace(3, -1, 4)


@pytest.mark.parametrize(
    "op, parameters, attributes, expected",
    [
        ("sigmoid", {}, {}, torch.sigmoid),
        ("tanh", {}, {}, torch.tanh),
        ("elu", {}, {"alpha": 0.7}, lambda x: F.elu(x, 0.7)),
        ("gelu", {}, {}, F.gelu),
        ("gelu", {}, {"approximate": "tanh"}, lambda x: F.gelu(x, approximate="tanh")),
        ("silu", {}, {}, F.silu),
        ("hard_sigmoid", {}, {}, F.hardsigmoid),
        ("hard_swish", {}, {}, F.hardswish),
        ("clip", {}, {"lowest": -0.5, "highest": 0.25}, lambda x: x.clamp(-0.5, 0.25)),
        ("power", {}, {"exponent": 2}, lambda x: x**2),
        ("prelu", {"weight": WEIGHT}, {}, lambda x: F.prelu(x, WEIGHT)),
        ("softmax", {}, {}, lambda x: x.softmax(1)),
        ("log_softmax", {}, {}, lambda x: x.log_softmax(1)),
        ("l2_normalize", {}, {}, lambda x: F.normalize(x, dim=1)),
        ("layer_norm", {"weight": WEIGHT, "bias": BIAS}, {}, lambda x: F.layer_norm(x, (4,), WEIGHT, BIAS)),
        ("relu6", {}, {}, F.relu6),
        ("leaky_relu", {}, {"slope": 0.3}, lambda x: F.leaky_relu(x, 0.3)),
    ],
)
def test_functions_equal_torch(op, parameters, attributes, expected):
    x = cloud()
    model = one_op(op, parameters={k: v.numpy() for k, v in parameters.items()}, **attributes)
    found = model.forward(x)
    np.testing.assert_allclose(found, expected(torch.from_numpy(np.array(x.features))).numpy(), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("reduce", ["max", "mean", "sum"])
def test_pooling_equals_torch_on_dense_grids(reduce):
    x = cloud()
    features, coords = one_op("pool", kernel_size=2, stride=2, reduce=reduce).run(x)["y"]
    dense = torch.zeros(3, 12, 12, 12, 4)
    full = torch.full_like(dense, -torch.inf if reduce == "max" else 0)
    present = torch.zeros(3, 1, 12, 12, 12)
    at = tuple(torch.from_numpy(np.array(x.coords)).long().T)
    full[at] = torch.from_numpy(np.array(x.features))
    present[:, 0][at] = 1
    full = full.permute(0, 4, 1, 2, 3)
    counts = F.avg_pool3d(present, 2) * 8
    pooled = F.max_pool3d(full, 2) if reduce == "max" else F.avg_pool3d(full, 2) * 8
    pooled = pooled / counts if reduce == "mean" else pooled
    np.testing.assert_array_equal(coords, torch.nonzero(counts[:, 0]).numpy())
    expected = pooled.permute(0, 2, 3, 4, 1)[tuple(torch.from_numpy(coords).long().T)]
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_run_gives_every_output():
    x = cloud()
    graph = {
        "input": "voxels",
        "dims": 3,
        "in_channels": 4,
        "nodes": [
            {"name": "coarse", "op": "pool", "inputs": ["input"], "kernel_size": 2, "stride": 2},
            {"name": "cloud", "op": "avg_pool", "inputs": ["coarse"]},
            {"name": "gate", "op": "broadcast", "inputs": ["cloud", "coarse"]},
            {"name": "gated", "op": "multiply", "inputs": ["coarse", "gate"]},
        ],
        "outputs": ["gated", "cloud"],
    }
    model = vs.Model.from_graph(graph, {}, classes=0)
    outputs = model.run(x)
    assert set(outputs) == {"gated", "cloud"}
    assert model.report["voxels"] == len(x.coords)
    coarse, coords = outputs["gated"]
    mean, nothing = outputs["cloud"]
    assert nothing is None and mean.shape == (3, 4)
    pooled = vs.max_pool(x, kernel_size=2, stride=2)
    np.testing.assert_array_equal(coords, pooled.coords)
    batches = np.array(pooled.coords)[:, 0]
    means = np.stack([np.array(pooled.features)[batches == b].mean(0) for b in range(3)])
    np.testing.assert_allclose(mean, means, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(coarse, pooled.features * means[batches], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"\[forward\].*2 outputs"):
        model.forward(x)
    with pytest.raises(ValueError, match=r"\[segment\].*one output"):
        model.segment(np.zeros((5, 4), np.float32))


def tanh_network(takes, channels, **options):
    nodes = [{"name": "y", "op": "tanh", "inputs": ["input"]}]
    graph = {"input": takes, "dims": 3, "in_channels": channels, "outputs": ["y"], "nodes": nodes}
    return vs.Model.from_graph(graph, {}, **{"classes": 0, "profile": None, **options})


@pytest.mark.parametrize("takes", ["voxels", "points"])
@pytest.mark.parametrize("channels", [1, 2, 3, 7, 1024, 1025])
def test_networks_without_a_profile(tmp_path, takes, channels):
    if takes == "points" and channels < 3:
        pytest.skip("points have three places")
    features = np.linspace(-1, 1, 2 * channels, dtype=np.float32).reshape(2, channels)
    x = features if takes == "points" else vs.SparseTensor(np.array([[0, 1, 2, 3], [1, 0, 0, 0]], np.int32), features)
    model = tanh_network(takes, channels)
    np.testing.assert_allclose(model.forward(x), np.tanh(features), rtol=1e-6)
    model.save(tmp_path / "plain.safetensors")
    assert b"voxshift.profile" not in (tmp_path / "plain.safetensors").read_bytes()
    loaded = vs.Model.load(tmp_path / "plain.safetensors")
    for again in (model, loaded, pickle.loads(pickle.dumps(model)), model.with_parameters({})):
        assert again.profile is None and again.graph == model.graph
        np.testing.assert_array_equal(again.forward(x), model.forward(x))
    with pytest.raises(ValueError, match=r"^\[segment\] expects a model with a profile"):
        loaded.segment(np.zeros((5, channels), np.float32))


def test_frames_without_a_profile_have_the_usual_one(tmp_path):
    path = tmp_path / "film.safetensors"
    video = vs.Model.pretrained("tsm-mobilenetv2-motions")
    vs.Model.from_graph(video.graph, video.parameters(), None, video.classes).save(path)
    loaded = vs.Model.load(path)
    assert loaded.profile is None
    assert loaded.recognize(np.zeros((8, 224, 224, 3), np.uint8)).shape == (len(video.classes),)


def test_what_a_file_could_not_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\[classes\] expected a whole number of 0 to 65535, found 65536"):
        tanh_network("voxels", 1, classes=[("a", 65536, (1, 2, 3))])
    node = {"name": "y", "op": "linear", "inputs": ["input"], "parameters": {"weight": "__metadata__"}}
    graph = {"input": "voxels", "dims": 3, "in_channels": 4, "nodes": [node], "outputs": ["y"]}
    model = vs.Model.from_graph(graph, {"__metadata__": np.ones((2, 4), np.float32)}, classes=0)
    with pytest.raises(ValueError, match=r"\[save\] no tensor of a file can be called __metadata__"):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_profiles_and_classes_as_models_give_them():
    """What Model.profile and Model.classes give is what from_graph takes, and no file is written."""
    for name, takes in [("nuscenes", "voxels"), ("pointcept", "voxels"), ("kitti-blocks", "points")]:
        channels = 7 if takes == "points" else 4
        model = tanh_network(takes, channels, profile=name, classes=[(f"c{i}", i, (i, 2, 3)) for i in range(channels)])
        again = tanh_network(takes, channels, profile=model.profile, classes=model.classes)
        assert again.profile == model.profile and again.profile["name"] == name
        assert [(c.name, c.raw_id, c.rgb) for c in again.classes] == [(f"c{i}", i, (i, 2, 3)) for i in range(channels)]
    with pytest.raises(ValueError, match="unknown key .*voxel"):
        tanh_network("voxels", 4, profile={**tanh_network("voxels", 4, profile="waymo").profile, "voxel": 1})
    with pytest.raises(ValueError, match=r"\[profile\] voxel_size is missing"):
        tanh_network("voxels", 4, profile={"name": "short", "scale": [1, 1, 1, 1]})


def gated_network():
    """y = silu(linear(x)) * x on 4 channels, as a Network of torch."""
    from voxshift.torch.network import Network

    nodes = [
        {"name": "a", "op": "linear", "inputs": ["input"], "parameters": {"weight": "w"}},
        {"name": "b", "op": "silu", "inputs": ["a"]},
        {"name": "y", "op": "multiply", "inputs": ["b", "input"]},
        {"name": "n", "op": "layer_norm", "inputs": ["y"], "parameters": {"weight": "s", "bias": "t"}},
    ]
    graph = {"input": "voxels", "dims": 3, "in_channels": 4, "nodes": nodes, "outputs": ["n"]}
    rng = np.random.default_rng(1)
    tensors = {"w": rng.standard_normal((4, 4)).astype(np.float32), "s": WEIGHT.numpy(), "t": BIAS.numpy()}
    model = vs.Model.from_graph(graph, tensors, profile=None, classes=0)
    return Network(model), model


def test_ops_without_autograd_run_through_the_library(monkeypatch):
    from voxshift.torch import SparseTensor, gradients

    for op in ("silu", "layer_norm"):
        monkeypatch.delitem(gradients._registered, op)
    x = cloud()
    network, model = gated_network()
    feats = torch.from_numpy(np.array(x.features))
    with torch.no_grad():
        found = network(SparseTensor(feats, np.array(x.coords)))
    np.testing.assert_allclose(found.numpy(), model.forward(x), rtol=1e-5, atol=1e-6)
    result = network(SparseTensor(feats, np.array(x.coords)))
    with pytest.raises(ValueError, match=r"node n: layer_norm has no gradient"):
        result.sum().backward()


def test_points_are_centers_of_samples_and_of_themselves():
    nodes = [
        {"name": "samples", "op": "furthest_point_sample", "inputs": ["input"], "count": 9},
        {"name": "near", "op": "three_nearest", "inputs": ["input", "samples"]},
        {"name": "same", "op": "three_nearest", "inputs": ["input", "input"]},
    ]
    graph = {"input": "points", "dims": 3, "in_channels": 4, "nodes": nodes, "outputs": ["samples", "near", "same"]}
    points = np.random.default_rng(2).uniform(-1, 1, (60, 4)).astype(np.float32)
    out = vs.Model.from_graph(graph, {}, None, 0).run(points, np.array([0, 25, 60]))
    np.testing.assert_allclose(out["same"][0], points, atol=1e-5)
    np.testing.assert_allclose(out["near"][0][:, :3], out["samples"][0], atol=1e-5)


def test_networks_on_frames_give_images_without_classes():
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(4, 2, 3, 3)).astype(np.float32)
    graph = {
        "input": "frames",
        "dims": 2,
        "in_channels": 2,
        "nodes": [
            {"name": "conv", "op": "conv2d", "inputs": ["input"], "padding": 1, "parameters": {"weight": "w"}},
            {"name": "large", "op": "upsample", "inputs": ["conv"], "scale_factor": 2},
            {"name": "mean", "op": "avg_pool", "inputs": ["conv"]},
        ],
        "outputs": ["large", "mean"],
    }
    model = vs.Model.from_graph(graph, {"w": weight}, None, 0)
    frames = rng.normal(size=(3, 5, 6, 2)).astype(np.float32)
    out = model.run(frames)
    x = torch.nn.functional.conv2d(torch.from_numpy(frames).permute(0, 3, 1, 2), torch.from_numpy(weight), padding=1)
    large = torch.nn.functional.interpolate(x, scale_factor=2).permute(0, 2, 3, 1)
    assert out["large"][0].shape == (3, 10, 12, 4) and out["large"][1] is None
    np.testing.assert_allclose(out["large"][0], large, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(out["mean"][0], x.mean((2, 3)), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"\[T, H, W, 2\]"):
        model.run(frames[0])
    with pytest.raises(ValueError, match="with classes"):
        vs.Recognizer(model)
