"""A PointPillars-like network, from points to output maps, written down as a graph: no line of C++ is its own.

The oracle is PyTorch: scatter_reduce for the pillars, plain 2-D convolutions behind them. Structure: PointPillars (Lang et al.,
2019) with the dynamic pillar features of OpenPCDet (DynPillarVFE), two layers, and a narrow neck."""

import os
import subprocess

import numpy as np
import pytest
import voxshift as vs
from second_test import DEVICES, Graph, expect_close

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore:scatter_reduce")  # called a beta by older versions of torch

LOWEST, HIGHEST, PILLAR = (-32, -24, -3), (32, 24, 3), (1, 0.75, 6)
SHAPE = (64, 64, 1)


class Pillars(Graph):
    """Its linear layers have the bias of batch norm only."""

    def linear(self, name, x, out):
        weight = {"weight": self.weight((out, self.channels[x]), self.channels[x])}
        return self.norm_relu(name, self.node(name, "linear", [x], out, weight))

    def pillars(self, name, x, reduce="max"):
        return self.node(name, "voxelize_points", [x], self.channels[x], reduce=reduce, voxel_size=list(PILLAR),
                         lowest=list(LOWEST), highest=list(HIGHEST))  # fmt: skip


def pillars(width=8):
    """(graph, parameters) of the network, {cls, box}."""
    g = Pillars()
    mean = g.pillars("mean", "input", "mean")
    offsets = [g.node(f"from_{at}", "voxel_offsets", ["input", mean], 3, **{"from": at}) for at in ("mean", "center")]
    x = g.linear("pfn.0", g.node("points", "cat", ["input", *offsets], 10), width)
    back = g.node("pfn.back", "broadcast", [g.pillars("pfn.max", x), "input"], width)
    x = g.linear("pfn.1", g.node("pfn.cat", "cat", [x, back], 2 * width), 2 * width)
    x = g.node("bev", "bird_eye_view", [g.pillars("pillars", x)], 2 * width, shape=list(SHAPE))
    x = g.conv2d("block.1", g.conv2d("block.0", x, 2 * width, stride=2), 2 * width)
    x = g.up("up", x, 2 * width, 2)
    graph = {"input": "points", "dims": 3, "in_channels": 4, "nodes": g.nodes, "outputs": [g.head("cls", x, 6), g.head("box", x, 14)]}
    return graph, g.parameters


def pillars_of(points, splits):
    """The pillar of every point as (cloud * X + x) * Y + y, -1 outside, by the float32 arithmetic of OpenPCDet."""
    lowest, highest, size = (np.float32(v) for v in (LOWEST, HIGHEST, PILLAR))
    cells = np.floor((points[:, :3] - lowest) / size).astype(np.int64)
    inside = np.all((points[:, :3] >= lowest) & (points[:, :3] < highest), 1)
    clouds = np.searchsorted(splits, np.arange(len(points)), side="right") - 1
    return np.where(inside, (clouds * SHAPE[0] + cells[:, 0]) * SHAPE[1] + cells[:, 1], -1)


def in_torch(parameters, points, splits):
    """{name: float32 [B, H, W, C]} in float64."""
    cells = pillars_of(points, splits)
    x = torch.from_numpy(points[cells >= 0]).double()
    cell = torch.from_numpy(cells[cells >= 0])
    images = len(splits) - 1
    t = {name: torch.from_numpy(values).double() for name, values in parameters.items()}

    def reduce(x, how):
        rows = torch.zeros(images * SHAPE[0] * SHAPE[1], x.shape[1], dtype=torch.float64)
        return rows.scatter_reduce(0, cell[:, None].expand_as(x), x, how, include_self=False)

    def norm_relu(x, name):
        name += ".norm."
        return F.relu(F.batch_norm(x, t[name + "running_mean"], t[name + "running_var"], t[name + "weight"], t[name + "bias"], eps=1e-3))

    xyz = x[:, :3]
    at = torch.stack([cell // SHAPE[1] % SHAPE[0], cell % SHAPE[1], 0 * cell], 1)
    center = torch.tensor(LOWEST).double() + (at + 0.5) * torch.tensor(PILLAR).double()
    x = torch.cat([x, xyz - reduce(xyz, "mean")[cell], xyz - center], 1)
    x = norm_relu(F.linear(x, t["pfn.0.weight"]), "pfn.0")
    x = torch.cat([x, reduce(x, "amax")[cell]], 1)
    x = norm_relu(F.linear(x, t["pfn.1.weight"]), "pfn.1")
    x = reduce(x, "amax").reshape(images, SHAPE[0], SHAPE[1], -1).permute(0, 3, 1, 2)
    x = norm_relu(F.conv2d(x, t["block.0.weight"], stride=2, padding=1), "block.0")
    x = norm_relu(F.conv2d(x, t["block.1.weight"], padding=1), "block.1")
    x = norm_relu(F.conv_transpose2d(x, t["up.weight"], stride=2), "up")
    heads = {name: F.conv2d(x, t[name + ".weight"], t[name + ".bias"]) for name in ("cls", "box")}
    return {name: y.permute(0, 2, 3, 1).float().numpy() for name, y in heads.items()}


def two_clouds(every):
    """A simulated scan and a shifted part of it, with points that are outside."""
    points = vs.synth_lidar(3)[0][::every]
    second = points[::3] + np.float32([0.3, 5, 0.1, 0])
    both = np.concatenate([points, second]).astype(np.float32)
    splits = np.array([0, len(points), len(both)])
    assert 0 < (pillars_of(both, splits) < 0).sum() < len(both) / 2
    return both, splits


@pytest.mark.parametrize("device", DEVICES)
def test_pillars_equal_torch(device, tmp_path):
    points, splits = two_clouds(100 if device == "cuda" else 2)
    graph, parameters = pillars()
    expected = in_torch(parameters, points, splits)
    assert expected["cls"].shape == (2, 64, 64, 6) and all(np.abs(e).max() > 0.1 for e in expected.values())
    vs.Model.from_graph(graph, parameters, profile=None, classes=0).save(tmp_path / "pillars.safetensors")
    model = vs.Model.load(tmp_path / "pillars.safetensors", device=device, dtype="f32")
    expect_close(model.run(points, splits), expected)
    expect_close(model.run(points, splits), expected)  # in the memory of the first run
    expect_close(model.run(points[: splits[1]]), {name: e[:1] for name, e in expected.items()})


@pytest.mark.skipif("VOXSHIFT_COMMAND" not in os.environ, reason="VOXSHIFT_COMMAND does not name the command to test")
def test_the_command_runs_it(tmp_path):
    points, splits = two_clouds(10)
    graph, parameters = pillars()
    vs.Model.from_graph(graph, parameters, profile=None, classes=0).save(tmp_path / "pillars.safetensors")
    np.save(tmp_path / "points.npy", points)
    np.save(tmp_path / "splits.npy", splits)
    command = [os.environ["VOXSHIFT_COMMAND"], "run", tmp_path / "pillars.safetensors", "--out", tmp_path / "out"]
    inputs = ["--input", f"input={tmp_path / 'points.npy'}", "--input", f"input.row_splits={tmp_path / 'splits.npy'}"]
    result = subprocess.run([*command, *inputs], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    found = {name: (np.load(tmp_path / "out" / f"{name}.npy"), None) for name in graph["outputs"]}
    expect_close(found, in_torch(parameters, points, splits))


@pytest.mark.skipif("VOXSHIFT_DATA" not in os.environ, reason="VOXSHIFT_DATA names no folder with real scans")
def test_pillars_of_a_real_scan():
    folder = os.environ["VOXSHIFT_DATA"]
    points = np.fromfile(f"{folder}/lidar/semantickitti_000000.bin", np.float32).reshape(-1, 4)
    graph, parameters = pillars()
    model = vs.Model.from_graph(graph, parameters, profile=None, classes=0)
    expect_close(model.run(points), in_torch(parameters, points, np.array([0, len(points)])))


@pytest.mark.parametrize("device", DEVICES)
def test_transforms_of_clouds_equal_torch(device):
    """PointNet's T-Net: a matrix per cloud from its points, by which they are multiplied."""
    g = Graph()
    weights = {"weight": g.weight((16, 3), 3), "bias": g.rng.uniform(-1, 1, 16)}
    hidden = g.node("relu", "relu", [g.node("hidden", "linear", ["input"], 16, weights)], 16)
    weights = {"weight": g.weight((9, 16), 16), "bias": np.eye(3).reshape(-1)}
    matrix = g.node("matrix", "linear", [g.node("max", "max_pool", [hidden], 16)], 9, weights)
    y = g.node("y", "matmul_clouds", ["input", matrix], 3)
    graph = {"input": "points", "dims": 3, "in_channels": 3, "nodes": g.nodes, "outputs": [y]}
    points = g.rng.standard_normal((120, 3)).astype(np.float32)
    model = vs.Model.from_graph(graph, g.parameters, profile=None, classes=0, device=device, dtype="f32")
    (found, _) = model.run(points, np.array([0, 60, 120]))["y"]
    t = {name: torch.from_numpy(values).double() for name, values in g.parameters.items()}
    x = torch.from_numpy(points).double().reshape(2, 60, 3)
    h = F.relu(F.linear(x, t["hidden.weight"], t["hidden.bias"])).amax(1)
    expected = torch.bmm(x, F.linear(h, t["matrix.weight"], t["matrix.bias"]).reshape(2, 3, 3)).reshape(120, 3)
    np.testing.assert_allclose(np.asarray(found.numpy() if hasattr(found, "numpy") else found), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"voxel_size": [1, 1.5]}, ["pillars", "voxel_size", "per axis", "[1, 1.5]"]),
        ({"voxel_size": [1, 1.5, "a"]}, ["pillars", "voxel_size", "a number", '"a"']),
        ({"voxel_size": [1, -1.5, 1]}, ["pillars", "1e-06 to 1000000", "[1, -1.5, 1]"]),
        ({"highest": [1, 1, -1.5]}, ["pillars", "lowest below highest", "along axis 2"]),
    ],
)
def test_voxels_that_are_refused(change, says):
    node = {"name": "pillars", "op": "voxelize_points", "inputs": ["input"], "voxel_size": 1, "lowest": -1, **change}
    graph = {"input": "points", "dims": 3, "in_channels": 4, "outputs": ["pillars"], "nodes": [node]}
    with pytest.raises(ValueError) as error:
        vs.Model.from_graph(graph, {}, profile=None, classes=0)
    assert all(part in str(error.value) for part in says), error.value
