"""Ops of graphs on images, against PyTorch."""

import numpy as np
import pytest
import voxshift as vs

torch = pytest.importorskip("torch")
F = torch.nn.functional

DEVICES = ["cpu"] + (["cuda"] if vs.build_info()["cuda"] else [])


def images(height, width, channels=3, count=2, seed=1):
    """float32 [count, channels, height, width]"""
    return np.random.default_rng(seed).standard_normal((count, channels, height, width)).astype(np.float32)


def network(x, op, parameters=None, **attributes):
    """The model of one op on the view of voxels (b, y, x, 0), and the voxels of images."""
    count, channels, height, width = x.shape
    nodes = [
        {"name": "view", "op": "bird_eye_view", "inputs": ["input"], "shape": [height, width, 1]},
        {"name": "y", "op": op, "inputs": ["view"], "parameters": {role: role for role in parameters or {}}, **attributes},
    ]
    graph = {"input": "voxels", "dims": 3, "in_channels": channels, "nodes": nodes, "outputs": ["y"]}
    coords = np.argwhere(np.ones((count, height, width, 1))).astype(np.int32)
    return graph, vs.SparseTensor(coords, np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1, channels))


def run(x, op, parameters=None, device="cpu", **attributes):
    """float32 [count, channels', height', width']"""
    graph, voxels = network(x, op, parameters, **attributes)
    model = vs.Model.from_graph(graph, parameters or {}, profile=None, classes=0, device=device, dtype="f32")
    return np.asarray(model.run(voxels)["y"][0]).transpose(0, 3, 1, 2)


def expect_close(found, expected, tolerance=1e-5):
    assert found.shape == tuple(expected.shape)
    np.testing.assert_allclose(found, expected.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("mode, corners", [("nearest", False), ("bilinear", False), ("bilinear", True)])
def test_upsample_equals_torch(mode, corners, device):
    x = images(7, 6)
    expected = {} if mode == "nearest" else {"align_corners": corners}
    for scale in (2, [1, 3], [5, 2]):
        found = run(x, "upsample", device=device, scale_factor=scale, mode=mode, align_corners=corners)
        factor = tuple(float(s) for s in scale) if isinstance(scale, list) else float(scale)
        expect_close(found, F.interpolate(torch.from_numpy(x), scale_factor=factor, mode=mode, **expected))
    for size in ([14, 12], [9, 17], [3, 4], [1, 1], [7, 11]):
        found = run(x, "upsample", device=device, size=size, mode=mode, align_corners=corners)
        expect_close(found, F.interpolate(torch.from_numpy(x), size=size, mode=mode, **expected))


def test_nearest_pixels_are_those_of_torch_at_every_size():
    x = images(1, 53, channels=1, count=1)
    for width in range(1, 200):
        expected = F.interpolate(torch.from_numpy(x), size=(1, width), mode="nearest")
        np.testing.assert_array_equal(run(x, "upsample", size=[1, width]), expected.numpy())


@pytest.mark.parametrize("device", DEVICES)
def test_pad_equals_torch(device):
    x = images(5, 4)
    found = run(x, "pad", device=device, left=1, right=2, top=3, bottom=4)
    np.testing.assert_array_equal(found, F.pad(torch.from_numpy(x), (1, 2, 3, 4)).numpy())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count_include_pad", [False, True])
def test_averages_of_windows_equal_torch(count_include_pad, device):
    x = images(9, 7)
    for size, stride, padding in ((2, None, 0), (3, 2, 1), ([3, 2], [1, 2], [1, 0]), ([1, 5], 1, [0, 2]), ([9, 7], None, 0)):
        given = {} if stride is None else {"stride": stride}
        found = run(x, "avg_pool2d", None, device, kernel_size=size, padding=padding, count_include_pad=count_include_pad, **given)
        expect_close(found, F.avg_pool2d(torch.from_numpy(x), size, stride, padding, count_include_pad=count_include_pad))


@pytest.mark.parametrize("device", DEVICES)
def test_instance_norm_of_images_equals_torch(device):
    x = images(11, 9, 5) * 3 + 2
    weight, bias = np.linspace(-1, 2, 5, dtype=np.float32), np.linspace(3, -1, 5, dtype=np.float32)
    expected = F.instance_norm(torch.from_numpy(x), weight=torch.from_numpy(weight), bias=torch.from_numpy(bias), eps=1e-3)
    expect_close(run(x, "instance_norm", {"weight": weight, "bias": bias}, device, eps=1e-3), expected)
    expect_close(run(x, "instance_norm", None, device), F.instance_norm(torch.from_numpy(x)))


@pytest.mark.parametrize("device", DEVICES)
def test_instance_norm_of_voxels_is_that_of_minkowski_engine(device):
    rng = np.random.default_rng(2)
    batches = np.repeat([0, 2, 3], [50, 1, 700])
    coords = np.stack([batches, np.arange(len(batches)), batches, batches], 1).astype(np.int32)
    features = rng.standard_normal((len(coords), 4)).astype(np.float32) * 2 + 1
    nodes = [{"name": "y", "op": "instance_norm", "inputs": ["input"]}]
    graph = {"input": "voxels", "dims": 3, "in_channels": 4, "nodes": nodes, "outputs": ["y"]}
    model = vs.Model.from_graph(graph, {}, profile=None, classes=0, device=device, dtype="f32")
    found = np.asarray(model.run(vs.SparseTensor(coords, features))["y"][0])
    for b in (0, 2, 3):  # (x - mean) / sqrt(mean of squares + eps)
        rows = features[batches == b].astype(np.float64)
        centred = rows - rows.mean(0)
        np.testing.assert_allclose(found[batches == b], centred / np.sqrt((centred**2).mean(0) + 1e-5), rtol=1e-5, atol=1e-5)


CONVOLUTIONS = [  # kernel, stride, padding, dilation, groups
    ((3, 3), 1, 1, 1, 1),
    ((3, 3), 2, 1, 1, 6),
    ((1, 3), 1, [0, 1], 1, 1),
    ((3, 1), [2, 1], [1, 0], 1, 2),
    ((5, 2), [1, 2], [2, 1], 1, 3),
    ((3, 3), 1, 2, 2, 1),
    ((3, 3), [2, 1], [3, 0], [3, 2], 6),
    ((3, 3), 1, 7, 1, 1),
    ((12, 1), 1, 0, 1, 1),
    ((12, 11), 12, 0, 1, 1),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kernel, stride, padding, dilation, groups", CONVOLUTIONS)
def test_conv2d_equals_torch(kernel, stride, padding, dilation, groups, device):
    x, rng = images(12, 11, 6), np.random.default_rng(3)
    weight = rng.standard_normal((12, 6 // groups, *kernel)).astype(np.float32)
    bias = rng.standard_normal(12).astype(np.float32)
    form = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    expected = F.conv2d(torch.from_numpy(x), torch.from_numpy(weight), torch.from_numpy(bias), **form)
    expect_close(run(x, "conv2d", {"weight": weight, "bias": bias}, device, **form), expected, 5e-5)


TRANSPOSED = [  # kernel, stride, padding, output_padding, dilation, groups
    ((2, 2), 2, 0, 0, 1, 1),
    ((3, 3), 2, 1, 1, 1, 1),
    ((4, 4), 2, 1, 0, 1, 3),
    ((2, 3), [2, 3], 0, 0, 1, 1),
    ((3, 2), [2, 1], [0, 1], [1, 0], [1, 2], 2),
    ((1, 1), [3, 2], 0, [2, 1], 1, 1),
    ((3, 3), 1, 1, 0, 1, 6),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kernel, stride, padding, output_padding, dilation, groups", TRANSPOSED)
def test_conv_transpose2d_equals_torch(kernel, stride, padding, output_padding, dilation, groups, device):
    x, rng = images(7, 6, 6), np.random.default_rng(4)
    weight = rng.standard_normal((6, 12 // groups, *kernel)).astype(np.float32)
    bias = rng.standard_normal(12).astype(np.float32)
    form = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation, "groups": groups}
    expected = F.conv_transpose2d(torch.from_numpy(x), torch.from_numpy(weight), torch.from_numpy(bias), **form)
    expect_close(run(x, "conv_transpose2d", {"weight": weight, "bias": bias}, device, **form), expected, 5e-5)


def test_one_number_stands_for_both_axes_and_files_keep_them(tmp_path):
    x, weight = images(8, 8), np.random.default_rng(5).standard_normal((4, 3, 3, 3)).astype(np.float32)
    graph, voxels = network(x, "conv2d", {"weight": weight}, stride=2, padding=1)
    model = vs.Model.from_graph(graph, {"weight": weight}, profile=None, classes=0)
    assert model.graph["nodes"][1]["stride"] == [2, 2] and model.graph["nodes"][1]["dilation"] == [1, 1]
    model.save(tmp_path / "conv.safetensors")
    again = vs.Model.load(tmp_path / "conv.safetensors")
    np.testing.assert_array_equal(again.run(voxels)["y"][0], model.run(voxels)["y"][0])
