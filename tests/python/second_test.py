"""A SECOND-like network, from voxels to three output maps, written down as a graph: no line of C++ is its own.

The oracle is PyTorch's on dense grids: a submanifold convolution is a dense one whose result is kept at the input's voxels.
Structure: SECOND (Yan et al., 2018) as OpenPCDet has it, with narrow layers."""

import os

import numpy as np
import pytest
import voxshift as vs

torch = pytest.importorskip("torch")
F = torch.nn.functional

SHAPE = (64, 48, 16)  # voxels along x, y, z
DEVICES = ["cpu"] + (["cuda"] if vs.build_info()["cuda"] else [])


class Graph:
    """Writes nodes, and draws weights for them."""

    def __init__(self, seed=1):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.parameters, self.channels = [], {}, {"input": 4}

    def node(self, name, op, inputs, channels, tensors=None, **attributes):
        node = {"name": name, "op": op, "inputs": inputs, **attributes}
        if tensors:
            node["parameters"] = {role: f"{name}.{role}" for role in tensors}
            self.parameters.update({f"{name}.{role}": tensor.astype(np.float32) for role, tensor in tensors.items()})
        self.nodes.append(node)
        self.channels[name] = channels
        return name

    def weight(self, shape, fan):
        return self.rng.uniform(-1, 1, shape) * np.sqrt(3 / fan)

    def norm_relu(self, name, x):
        c = self.channels[x]
        tensors = {
            "weight": self.rng.uniform(0.5, 1.5, c),
            "bias": self.rng.uniform(-0.2, 0.2, c),
            "running_mean": self.rng.uniform(-0.2, 0.2, c),
            "running_var": self.rng.uniform(0.5, 1.5, c),
        }
        return self.node(name + ".relu", "relu", [self.node(name + ".norm", "batch_norm", [x], c, tensors, eps=1e-3)], c)

    def conv(self, name, x, out, stride=1):
        c = self.channels[x]
        size, padding = (3, {"semantics": "bounded", "padding": 1}) if stride > 1 else (3, {})
        weight = {"weight": self.weight((27, c, out), 9 * c)}
        y = self.node(name, "conv", [x], out, weight, kernel_size=size, stride=stride, **padding)
        return self.norm_relu(name, y)

    def conv2d(self, name, x, out, stride=1):
        c = self.channels[x]
        y = self.node(name, "conv2d", [x], out, {"weight": self.weight((out, c, 3, 3), 9 * c)}, stride=stride, padding=1)
        return self.norm_relu(name, y)

    def up(self, name, x, out, k):
        c = self.channels[x]
        return self.norm_relu(name, self.node(name, "conv_transpose2d", [x], out, {"weight": self.weight((c, out, k, k), c)}))

    def head(self, name, x, out):
        c = self.channels[x]
        tensors = {"weight": self.weight((out, c, 1, 1), c), "bias": self.rng.uniform(-1, 1, out)}
        return self.node(name, "conv2d", [x], out, tensors)


def second(shape=SHAPE, width=8):
    """(graph, parameters) of the network, {cls, box, dir}."""
    g = Graph()
    x = g.conv("conv1", g.conv("conv_input", "input", width), width)
    for level in range(2):
        x = g.conv(f"conv{level + 2}.1", g.conv(f"conv{level + 2}.0", x, 2 * width, stride=2), 2 * width)
    extents = [(-(-(-(-n // 2)) // 2)) for n in shape]  # noqa: B002  rounded up, twice
    x = g.node("bev", "bird_eye_view", [x], g.channels[x] * extents[2], shape=extents)
    first = g.conv2d("block1.1", g.conv2d("block1.0", x, 4 * width), 4 * width)
    second = g.conv2d("block2.1", g.conv2d("block2.0", first, 8 * width, stride=2), 8 * width)
    ups = [g.up("up1", first, 4 * width, 1), g.up("up2", second, 4 * width, 2)]
    x = g.node("neck", "cat", ups, 8 * width)
    outputs = [g.head("cls", x, 6), g.head("box", x, 14), g.head("dir", x, 4)]
    graph = {"input": "voxels", "dims": 3, "in_channels": 4, "nodes": g.nodes, "outputs": outputs}
    return graph, g.parameters


def in_torch(graph, parameters, coords, features, shape):
    """{name: float32 [B, H, W, C]} by dense convolutions in float64."""
    batches = int(coords[:, 0].max()) + 1
    at = tuple(torch.from_numpy(coords).long().T)
    dense = torch.zeros(batches, *shape, 4, dtype=torch.float64)
    dense[at] = torch.from_numpy(features).double()
    there = torch.zeros(batches, 1, *shape, dtype=torch.float64)
    there[:, 0][at] = 1
    values = {"input": (dense.permute(0, 4, 1, 2, 3), there)}
    for node in graph["nodes"]:
        x, mask = values[node["inputs"][0]]
        t = {role: torch.from_numpy(parameters[name]).double() for role, name in node.get("parameters", {}).items()}
        if node["op"] == "conv":
            stride, c = node["stride"], x.shape[1]
            weight = t["weight"].reshape(3, 3, 3, c, -1).permute(4, 3, 0, 1, 2)
            mask = (F.conv3d(mask, torch.ones(1, 1, 3, 3, 3).double(), stride=stride, padding=1) > 0).double() if stride > 1 else mask
            y = F.conv3d(x, weight, stride=stride, padding=1) * mask
        elif node["op"] == "batch_norm":
            y = F.batch_norm(x, t["running_mean"], t["running_var"], t["weight"], t["bias"], eps=node["eps"])
            y = y if mask is None else y * mask
        elif node["op"] == "relu":
            y = F.relu(x)
        elif node["op"] == "bird_eye_view":  # [B, C, X, Y, Z] -> channel c * Z + z of pixel (x, y)
            y, mask = x.permute(0, 1, 4, 2, 3).flatten(1, 2), None
        elif node["op"] == "conv2d":
            y = F.conv2d(x, t["weight"], t.get("bias"), stride=node.get("stride", 1), padding=node.get("padding", 0))
        elif node["op"] == "conv_transpose2d":
            y = F.conv_transpose2d(x, t["weight"], stride=t["weight"].shape[2])
        elif node["op"] == "cat":
            y = torch.cat([values[name][0] for name in node["inputs"]], 1)
        values[node["name"]] = (y, mask)
    return {name: values[name][0].permute(0, 2, 3, 1).float().numpy() for name in graph["outputs"]}


def expect_close(found, expected):
    assert set(found) == set(expected)
    for name, (features, coords) in found.items():
        features = np.asarray(features.numpy() if hasattr(features, "numpy") else features)
        assert coords is None and features.shape == expected[name].shape, name
        error = np.linalg.norm(features - expected[name]) / np.linalg.norm(expected[name])
        assert error < 1e-4, (name, error)


def voxels_of(points, cell):
    """Coordinates inside SHAPE and features of the first point of each cell."""
    cells = np.floor(points[:, :3] / cell).astype(np.int64) + np.array(SHAPE) // 2
    inside = np.all((cells >= 0) & (cells < SHAPE), 1)
    cells, first = np.unique(cells[inside], axis=0, return_index=True)
    return cells.astype(np.int32), points[inside][first, :4].astype(np.float32)


def tensor(clouds):
    coords = np.concatenate([np.insert(cells, 0, b, 1) for b, (cells, _) in enumerate(clouds)]).astype(np.int32)
    features = np.concatenate([features for _, features in clouds])
    return vs.SparseTensor(coords, features, shape=SHAPE), coords, features


@pytest.mark.parametrize("device", DEVICES)
def test_second_equals_torch(device, tmp_path):
    points = vs.synth_lidar(3)[0]
    clouds = [voxels_of(points, 0.5), voxels_of(points[::3] + np.float32(0.3), 0.4)]
    x, coords, features = tensor(clouds)
    graph, parameters = second()
    expected = in_torch(graph, parameters, coords, features, SHAPE)
    assert expected["cls"].shape == (2, 16, 12, 6) and all(np.abs(e).max() > 0.1 for e in expected.values())
    vs.Model.from_graph(graph, parameters, classes=0).save(tmp_path / "second.safetensors")
    model = vs.Model.load(tmp_path / "second.safetensors", device=device, dtype="f32")
    expect_close(model.run(x), expected)
    expect_close(model.run(x), expected)  # in the memory of the first run


@pytest.mark.skipif("VOXSHIFT_DATA" not in os.environ, reason="VOXSHIFT_DATA names no folder with real scans")
def test_second_on_a_real_scan():
    folder = os.environ["VOXSHIFT_DATA"]
    points = np.fromfile(f"{folder}/lidar/semantickitti_000000.bin", np.float32).reshape(-1, 4)
    x, coords, features = tensor([voxels_of(points, 0.6)])
    graph, parameters = second()
    expect_close(vs.Model.from_graph(graph, parameters, classes=0).run(x), in_torch(graph, parameters, coords, features, SHAPE))


def test_what_lies_outside_is_left_out():
    graph = {
        "input": "voxels", "dims": 3, "in_channels": 4, "outputs": ["bev"],
        "nodes": [{"name": "bev", "op": "bird_eye_view", "inputs": ["input"], "shape": [3, 4, 2], "axis": 1}],
    }  # fmt: skip
    coords = np.array([[0, 0, 0, 0], [0, 2, 3, 1], [0, 3, 0, 0], [0, 0, 4, 0], [0, -1, 0, 0], [1, 1, 2, 1]], np.int32)
    features = np.arange(24, dtype=np.float32).reshape(6, 4) + 1
    image, _ = vs.Model.from_graph(graph, {}, classes=0).run(vs.SparseTensor(coords, features))["bev"]
    expected = np.zeros((2, 3, 2, 16), np.float32)  # [batch, x, z, c * 4 + y]
    for (b, x, y, z), row in zip(coords, features):
        if 0 <= x < 3 and 0 <= y < 4 and 0 <= z < 2:
            expected[b, x, z, y::4] = row
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("device", DEVICES)
def test_pooling_of_views_equals_torch(device):
    nodes = [
        {"name": "bev", "op": "bird_eye_view", "inputs": ["input"], "shape": [9, 8, 2]},
        {"name": "max", "op": "max_pool2d", "inputs": ["bev"], "kernel_size": 3, "stride": 2, "padding": 1},
        {"name": "mean", "op": "avg_pool", "inputs": ["max"]},
    ]
    graph = {"input": "voxels", "dims": 3, "in_channels": 4, "outputs": ["max", "mean"], "nodes": nodes}
    rng = np.random.default_rng(1)
    coords = np.argwhere(rng.random((2, 9, 8, 2)) < 0.5).astype(np.int32)
    features = rng.standard_normal((len(coords), 4)).astype(np.float32)
    view = torch.zeros(2, 9, 8, 8)
    for (b, x, y, z), row in zip(coords, features):
        view[b, x, y, z::2] = torch.from_numpy(row)
    expected = F.max_pool2d(view.permute(0, 3, 1, 2), 3, 2, 1).permute(0, 2, 3, 1)
    model = vs.Model.from_graph(graph, {}, profile=None, classes=0, device=device, dtype="f32")
    outputs = model.run(vs.SparseTensor(coords, features))
    np.testing.assert_array_equal(outputs["max"][0], expected.numpy())
    np.testing.assert_allclose(outputs["mean"][0], expected.mean((1, 2)).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"shape": [8, 8]}, ["bev", "shape", "per axis", "[8, 8]"]),
        ({"shape": [8, 8, 9000]}, ["bev", "1 to 8192"]),
        ({"axis": 3}, ["bev", "axis", "0 to 2"]),
        ({"shape": [8, 8, 8000]}, ["bev", "32000 channels", "8192"]),
    ],
)
def test_views_that_are_refused(change, says):
    node = {"name": "bev", "op": "bird_eye_view", "inputs": ["input"], "shape": [8, 8, 8], **change}
    graph = {"input": "voxels", "dims": 3, "in_channels": 4, "outputs": ["bev"], "nodes": [node]}
    with pytest.raises(ValueError) as error:
        vs.Model.from_graph(graph, {}, classes=0)
    assert all(part in str(error.value) for part in says), error.value
