"""Networks of points, voxels and images in one, and of which PyTorch runs a part and the library the rest."""

import copy

import numpy as np
import pytest
import voxshift as vs
from sparse_torch import torch
from voxshift.torch import Network, SparseTensor, gradients, library

F = torch.nn.functional


class Graph:
    """Writes nodes down, and draws their tensors."""

    def __init__(self, takes, channels, seed=1):
        self.random = np.random.default_rng(seed)
        self.nodes, self.tensors = [], {}
        self.head = {"input": takes, "dims": 2 if takes == "frames" else 3, "in_channels": channels}

    def add(self, name, op, *inputs, tensors=None, **attributes):
        shapes = tensors or {}
        node = {"name": name, "op": op, "inputs": list(inputs), **attributes}
        self.nodes.append({**node, "parameters": {role: f"{name}.{role}" for role in shapes}})
        for role, shape in shapes.items():
            low = 0.5 if role in ("running_var", "bias") else -0.7
            self.tensors[f"{name}.{role}"] = self.random.uniform(low, 0.9, shape).astype(np.float32)
        return name

    def norm(self, name, x, channels):
        tensors = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (channels,))
        return self.add(f"{name}.relu", "relu", self.add(f"{name}.norm", "batch_norm", x, tensors=tensors))

    def linear(self, name, x, cin, cout):
        return self.add(name, "linear", x, tensors={"weight": (cout, cin), "bias": (cout,)})

    def model(self):
        return vs.Model.from_graph({**self.head, "nodes": self.nodes, "outputs": [self.nodes[-1]["name"]]}, self.tensors, None, 0)


def point_net():
    """PointNet's transform of the input, its features of points, clouds and both."""
    g = Graph("points", 3)
    pooled = g.add("t.max", "max_pool", g.norm("t1", g.linear("t0", "input", 3, 8), 8))
    moved = g.add("moved", "matmul_clouds", "input", g.linear("t2", pooled, 8, 9))
    x = g.norm("n1", g.linear("l1", moved, 3, 16), 16)
    everywhere = g.add("everywhere", "broadcast", g.add("max", "max_pool", x), x)
    both = g.norm("n2", g.linear("l2", g.add("both", "cat", x, everywhere), 32, 16), 16)
    channels = {"weight": (16,), "bias": (16,)}
    g.linear("logits", g.add("gelu", "gelu", g.add("ln", "layer_norm", both, tensors=channels)), 16, 5)
    return g.model()


def pillars():
    """Voxels of points, a bounded convolution on them, and images of another extent than theirs."""
    g = Graph("points", 4)
    cells = {"voxel_size": [0.25, 0.5, 1], "lowest": [-1, -1, -1], "highest": [1, 1, 1]}
    voxels = g.add("voxels", "voxelize_points", "input", **cells)
    offsets = g.add("offsets", "voxel_offsets", "input", voxels)
    voxels = g.add("maxima", "voxelize_points", g.add("points", "cat", "input", offsets), reduce="max", **cells)
    bounded = {"kernel_size": 3, "stride": [2, 1, 1], "padding": 1, "semantics": "bounded"}
    x = g.norm("n1", g.add("conv", "conv", voxels, tensors={"weight": (27, 7, 8)}, **bounded), 8)
    x = g.add("view", "bird_eye_view", x, shape=[4, 4, 2])
    wide = g.add("wide", "conv2d", x, tensors={"weight": (6, 16, 3, 3)}, padding=2, dilation=2)
    down = g.norm("n2", g.add("down", "conv2d", x, tensors={"weight": (6, 16, 3, 3)}, padding=1, stride=2), 6)
    up = g.add("up", "conv_transpose2d", down, tensors={"weight": (6, 6, 2, 2)}, stride=2)
    x = g.add("mean", "avg_pool2d", g.add("sum", "add", wide, up), kernel_size=3, stride=1, padding=1)
    g.add("large", "upsample", g.add("pad", "pad", g.add("in", "instance_norm", x), left=1), scale_factor=2)
    return g.model()


def selection():
    """Convolutions down and up on the voxels that scores select, joined with others."""
    g = Graph("voxels", 4)
    kept = g.add("kept", "prune", "input", g.add("score", "columns", "input", first=1, count=1))
    down = g.add("down", "conv", kept, tensors={"weight": (8, 4, 6)}, kernel_size=2, stride=2)
    coarse = g.add("silu", "silu", g.norm("n1", down, 6))
    up = g.add("up", "conv_transpose", coarse, tensors={"weight": (8, 6, 4)}, kernel_size=2, stride=2)
    both = g.add("union", "union_add", g.add("sum", "add", up, kept), "input")
    g.add("last", "conv", both, tensors={"weight": (27, 4, 3)}, kernel_size=3)
    return g.model()


def generation():
    """Coarse voxels that scores select, and the finer ones around them."""
    g = Graph("voxels", 4)
    coarse = g.add("coarse", "pool", "input", kernel_size=2, stride=2)
    kept = g.add("kept", "top_k", coarse, g.add("score", "columns", coarse, first=0, count=1), count=20)
    g.add("fine", "generative_conv_transpose", kept, tensors={"weight": (8, 4, 3)}, kernel_size=2, stride=2)
    return g.model()


def clips():
    """A network on frames with shifts, whose images shrink and grow."""
    g = Graph("frames", 3)
    x = g.norm("n1", g.add("c1", "conv2d", "input", tensors={"weight": (8, 3, 3, 3)}, stride=2, padding=1), 8)
    x = g.add("shift", "temporal_shift", x, shift_div=4, bidirectional=True)
    small = g.add("small", "max_pool2d", g.add("gelu", "gelu", x), kernel_size=2, stride=2)
    large = g.add("large", "upsample", small, scale_factor=2)
    x = g.add("both", "cat", large, x)
    gate = g.add("gate", "sigmoid", g.linear("squeeze", g.add("mean", "avg_pool", x), 16, 16))
    x = g.add("pad", "pad", g.add("scaled", "scale", x, gate), top=1)
    g.add("last", "conv2d", x, tensors={"weight": (5, 16, 1, 1), "bias": (5,)})
    return g.model()


POINTS, SPLITS = 90, np.array([0, 50, 90])
NETWORKS = {
    "point_net": point_net,
    "pillars": pillars,
    "selection": selection,
    "generation": generation,
    "clips": clips,
    "pvcnn": lambda: vs.Model.new("pvcnn", width=0.125, classes=5, seed=2),
    "pointnet++": lambda: vs.Model.new("pointnet++", width=0.125, classes=5, seed=2),
    "tsm-resnet50": lambda: vs.Model.new("tsm-resnet50", width=0.125, classes=5, seed=2),
}


def given(model, random):
    """Two clouds, batches or clips: what Network takes, and the runtime's output."""
    takes, channels = (model.graph[key] for key in ("input", "in_channels"))
    (output,) = model.graph["outputs"]
    if takes == "points":
        points = random.uniform(-1, 1, (POINTS, channels)).astype(np.float32)
        return (torch.from_numpy(points), 1, SPLITS), model.run(points, SPLITS)[output][0]
    if takes == "frames":
        frames = random.uniform(-1, 1, (4, 32, 40, channels)).astype(np.float32)
        expected = [model.run(clip)[output][0] for clip in (frames[:2], frames[2:])]
        return (torch.from_numpy(frames), 2), np.concatenate(expected)
    coords = np.unique(random.integers(0, (2, 9, 9, 9), (300, 4)), axis=0).astype(np.int32)
    feats = random.standard_normal((len(coords), channels)).astype(np.float32)
    return (SparseTensor(torch.from_numpy(feats), coords),), model.run(vs.SparseTensor(coords, feats))[output][0]


# Ops that are the library's where a test says so: as those are that have no gradient.
_OF_LIBRARY = """avg_pool2d broadcast devoxelize_dense furthest_point_sample gelu group instance_norm layer_norm log_softmax
    matmul_clouds max_pool max_pool2d pad prune scale silu softmax three_nearest top_k union_add upsample voxelize_dense""".split()


@pytest.fixture
def part_of_library(monkeypatch):
    for op in _OF_LIBRARY:
        monkeypatch.delitem(gradients._registered, op)


@pytest.mark.parametrize("name", NETWORKS)
def test_values_are_those_of_the_runtime(random, name):
    expect_values(random, name)


@pytest.mark.parametrize("name", NETWORKS)
def test_values_are_those_of_the_runtime_where_the_library_runs_a_part(random, part_of_library, name):
    expect_values(random, name)


def expect_values(random, name):
    model = NETWORKS[name]()
    network = Network(model).eval()
    operands, expected = given(model, random)
    with torch.no_grad():
        found = network(*operands)
    limit = 1e-6 if model.arch == "custom" else 2e-5  # of many layers
    assert found.shape == expected.shape and expected.std() > 1e-3
    assert np.abs(found.numpy() - expected).max() < limit * np.abs(expected).max()


@pytest.mark.parametrize(
    "name, named",
    [("point_net", "gelu: gelu"), ("clips", "pad: pad"), ("pillars", "large: upsample"), ("selection", "union: union_add")],
)
def test_the_gradient_names_the_last_op_without_one(random, part_of_library, name, named):
    network = Network(NETWORKS[name]())
    found = network(*given(network.model, random)[0])
    with pytest.raises(vs.InvalidArgument, match=rf"^\[Network\] node {named} has no gradient here$"):
        found.sum().backward()


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("pvcnn", "pointnet++", "tsm-resnet50")])
def test_every_layer_is_trained(random, name):
    network = Network(NETWORKS[name]())
    network(*given(network.model, random)[0]).pow(2).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_what_nobody_trains_has_no_gradient(random):
    network = Network(pillars()).requires_grad_(False)
    assert not network(*given(network.model, random)[0]).requires_grad


@pytest.mark.parametrize(
    "name, trained",
    [
        ("selection", ["last.weight"]),
        ("generation", ["fine.weight"]),
        ("clips", ["last.weight", "last.bias"]),
        ("point_net", ["logits.weight", "logits.bias"]),
    ],
)
def test_layers_after_the_last_of_the_librarys_ops_are_trained(random, part_of_library, name, trained):
    network = Network(NETWORKS[name]()).eval().requires_grad_(False)
    for tensor in trained:
        network.tensor(tensor).requires_grad_()
    operands, expected = given(network.model, random)
    along = torch.from_numpy(random.standard_normal(expected.shape).astype(np.float32))
    (network(*operands) * along).sum().backward()
    for tensor in trained:  # the output is linear in each
        moved = copy.deepcopy(network)
        direction = torch.from_numpy(random.standard_normal(tuple(moved.tensor(tensor).shape)).astype(np.float32))
        moved.tensor(tensor).data.copy_(direction + network.tensor(tensor).data)
        change = ((moved(*operands) - network(*operands)) * along).sum().item()
        assert change == pytest.approx((network.tensor(tensor).grad * direction).sum().item(), rel=1e-4)


def test_a_bounded_convolution_of_points_voxels_is_trained(random):
    g = Graph("points", 4)
    cells = {"voxel_size": [0.3, 0.5, 1], "lowest": -1, "highest": 1}
    voxels = g.add("voxels", "voxelize_points", "input", **cells)
    bounded = {"kernel_size": 3, "stride": 2, "padding": 1, "semantics": "bounded"}
    g.add("conv", "conv", voxels, tensors={"weight": (27, 4, 3)}, **bounded)
    network = Network(g.model())
    operands, expected = given(network.model, random)
    found = network(*operands)
    torch.testing.assert_close(found.detach(), torch.from_numpy(expected))
    found.pow(2).sum().backward()
    assert network.tensor("conv.weight").grad.abs().max() > 0


def test_batch_norms_in_training_reach_the_library(random, part_of_library):
    """Two softmaxes behind two batch norms that normalise by the rows at hand."""
    g = Graph("points", 4)
    a = g.add("a", "softmax", g.norm("n1", g.linear("l1", "input", 4, 6), 6))
    g.add("b", "softmax", g.norm("n2", g.linear("l2", a, 6, 6), 6))
    model = g.model()
    (points, *rest), _ = given(model, random)
    t = {name: torch.from_numpy(values.copy()) for name, values in model.parameters().items()}

    def block(x, i):
        x = F.linear(x, t[f"l{i}.weight"], t[f"l{i}.bias"])
        x = F.batch_norm(x, None, None, t[f"n{i}.norm.weight"], t[f"n{i}.norm.bias"], training=True, eps=1e-5)
        return torch.softmax(torch.relu(x), 1)

    network = Network(model).train()
    found = network(points, *rest)
    torch.testing.assert_close(found.detach(), block(block(points, 1), 2), rtol=1e-5, atol=1e-6)
    assert (network.tensor("n1.norm.running_mean") - t["n1.norm.running_mean"]).abs().max() > 0


def test_one_run_of_the_library_serves_all_ops(random, part_of_library, monkeypatch):
    runs = []
    run = library.Library._run
    monkeypatch.setattr(library.Library, "_run", lambda self, step: runs.append(step.output) or run(self, step))
    g = Graph("points", 4)
    first = g.add("first", "softmax", "input")
    late = g.add("late", "voxelize_points", g.linear("l", first, 4, 4), voxel_size=0.5)
    g.add("last", "softmax", late)
    network = Network(g.model()).eval()
    operands, expected = given(network.model, random)
    torch.testing.assert_close(network(*operands).detach(), torch.from_numpy(expected))
    assert runs == ["first", "late"]  # what voxels are made of tells when they are reached, then it is known
    network(*operands)
    assert runs == ["first", "late", "first"]
