"""voxshift.torch on CUDA tensors: values and gradients are the CPU's, ten runs have the same bits, nothing is copied, devices
are not mixed, and networks train. Layers and ops by their tables are in layer_support_test.py and torch_any_op_test.py.
"""

from contextlib import contextmanager

import emulated_cuda
import numpy as np
import pytest
import voxshift as vs
import voxshift.torch as vst
from oracle import random_cloud
from sparse_torch import torch
from voxshift.torch import functional, images, memory, minkowski, points, scatter, spconv, torchsparse, windows
from voxshift.torch.torchsparse import nn as spnn
from voxshift.torch.values import Images

RUNS = 10


@pytest.fixture(autouse=True)
def device(torch_cuda):
    return torch_cuda


class Given:
    """Tensors drawn anew for every device from the same seed; leaves are those with gradients."""

    def __init__(self, device):
        self.device, self.random, self.leaves = device, np.random.default_rng(3), []

    def floats(self, *shape):
        leaf = torch.from_numpy(self.random.standard_normal(shape).astype(np.float32)).to(self.device).requires_grad_()
        self.leaves.append(leaf)
        return leaf

    def ids(self, rows, below):
        return torch.from_numpy(self.random.integers(-1, below, rows).astype(np.int32)).to(self.device)

    def cloud(self, channels=4, rows=200, extent=7, **options):
        coords, _ = random_cloud(self.random, rows, 3, extent, channels=1)
        coords = torch.from_numpy(self.random.permutation(coords)).to(self.device)
        return vst.SparseTensor(self.floats(len(coords), channels), coords, **options)

    def places(self, rows):
        places = self.random.uniform(0, 6, (rows, 4)).astype(np.float32)
        places[:, 0] = self.random.integers(0, 3, rows)
        return torch.from_numpy(places).to(self.device)


def transposed(g):
    fine = g.cloud()
    coarse = vst.conv3d(fine, g.floats(8, 4, 6), kernel_size=2, stride=2)
    return vst.conv3d(coarse, g.floats(8, 6, 5), g.floats(5), kernel_size=2, stride=2, op="conv_transpose").feats


def norm(g, activation=None, residual=False):
    x, more = g.floats(60, 6), g.floats(60, 6) if residual else None
    statistics = (torch.zeros(6, device=g.device), torch.ones(6, device=g.device))
    y = vst.batch_norm(x, *statistics, g.floats(6), g.floats(6), training=True, residual=more, activation=activation)
    return torch.cat([y, *(s[None] for s in statistics)])


def by_pairs(g):
    x = g.cloud()
    pairs = windows.pairs_of(windows.full(x.coordinates), x.coordinates, ((0, 0, 1), (1, 0, 0), (-1, 2, 0)))
    return windows.conv_by_pairs(x.feats, g.floats(3, 4, 5), pairs, len(x))


def to_points(g):
    x = g.cloud()
    fine = vst.devoxelize(vst.max_pool(x), x)
    return torch.cat([vst.devoxelize(x, g.places(50)), fine.feats, vst.voxelize(x, vst.avg_pool(x)).feats])


def pictures(g, what, **options):
    x = Images.of(g.floats(2, 7, 8, 4), 1)
    return what(x, **options).feats


def scattered(g, reduce, dim=0, spread=False):
    index = g.ids(40, 9).long().clamp(min=0)
    src = g.floats(40, 3) if dim == 0 else g.floats(3, 40)
    return scatter.scatter(src, index[:, None].expand(-1, 3) if spread else index, dim, dim_size=9, reduce=reduce)


CONV = {"stride": 1, "padding": 1, "dilation": 2, "groups": 1}
DECONV = {"stride": 2, "padding": 1, "output_padding": 1, "dilation": 1, "groups": 1}
POOL = {"kernel_size": [3, 2], "stride": [2, 1], "padding": [1, 0]}
CASES = {
    "conv": lambda g: vst.conv3d(g.cloud(), g.floats(27, 4, 6), g.floats(6)).feats,
    "conv_bounded": lambda g: vst.conv3d(
        g.cloud(shape=8), g.floats(27, 4, 6), stride=2, padding=1, semantics="bounded"
    ).feats,
    "conv_transpose": transposed,
    "generative": lambda g: vst.conv3d(
        g.cloud(stride=2), g.floats(8, 4, 5), kernel_size=2, stride=2, op="generative_conv_transpose"
    ).feats,
    "conv_of_rows": lambda g: functional.product(g.floats(30, 4), g.floats(4, 5), g.floats(5), 3),
    "linear": lambda g: vst.linear(g.floats(30, 5), g.floats(7, 5), g.floats(7)),
    "cat": lambda g: (lambda x: vst.cat([x, x.with_feats(g.floats(len(x), 3))]).feats)(g.cloud()),
    "batch_norm": norm,
    "batch_norm_relu": lambda g: norm(g, "relu"),
    "batch_norm_residual": lambda g: norm(g, "leaky_relu", True),
    **{op: lambda g, op=op: getattr(vst, op)(g.cloud(), 3, 2).feats for op in ("max_pool", "avg_pool", "sum_pool")},
    **{
        f"global_{how}_pool": lambda g, how=how: getattr(vst, f"global_{how}_pool")(g.cloud())
        for how in ("max", "avg", "sum")
    },
    **{
        f"voxelize_features_{how}": lambda g, how=how: vst.voxelize_features(g.floats(50, 3), g.ids(50, 9), 9, how)
        for how in ("first", "mean", "max", "sum")
    },
    "gather": lambda g: points.gather(g.floats(20, 3), g.ids(90, 20)),
    "mixture": lambda g: points.mixture(g.floats(20, 3), g.ids(320, 20).long().view(40, 8), g.floats(40, 8)),
    "devoxelize": to_points,
    "pairs": by_pairs,
    "conv2d": lambda g: vst.conv2d(g.floats(2, 9, 8, 4), g.floats(6, 4, 3, 3), g.floats(6), stride=2, padding=1),
    "conv2d_depthwise": lambda g: vst.conv2d(g.floats(2, 9, 8, 4), g.floats(4, 1, 3, 3), padding=1, groups=4),
    "temporal_shift": lambda g: vst.temporal_shift(g.floats(8, 3, 3, 16), 4),
    "torch_conv2d": lambda g: pictures(
        g, images.torch_conv2d, weight=g.floats(5, 4, 3, 3), bias=g.floats(5), **CONV
    ),
    "conv_transpose2d": lambda g: pictures(
        g, images._conv_transpose2d, weight=g.floats(4, 5, 3, 3), bias=g.floats(5), **DECONV
    ),
    "max_pool2d": lambda g: pictures(g, images._max_pool2d, **POOL),
    "upsample": lambda g: pictures(
        g, images._upsample, scale_factor=[0, 0], size=[13, 5], mode="bilinear", align_corners=False
    ),
    **{f"scatter_{how}": lambda g, how=how: scattered(g, how) for how in ("sum", "mean", "max", "min")},
    "scatter_last": lambda g: scattered(g, "sum", -1),
    "scatter_spread": lambda g: scattered(g, "mean", 0, True),
    "scatter_softmax": lambda g: scatter.scatter_softmax(g.floats(40, 3), g.ids(40, 9).long().clamp(min=0), 0),
}
MOVES = {"max_pool", "global_max_pool", "voxelize_features_first", "temporal_shift", "cat", "gather"}  # nothing is added


def run(case, device):
    """Value and gradients, and the tensors that they are of, of a case on a device."""
    given = Given(device)
    y = CASES[case](given)
    along = torch.from_numpy(np.random.default_rng(1).standard_normal(tuple(y.shape)).astype(np.float32)).to(device)
    found = [y.detach(), *torch.autograd.grad((y * along).sum(), given.leaves)]
    assert all(x.device.type == torch.device(device).type for x in found)
    return [x.cpu() for x in found]


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_the_cpus(device, case):
    expected = run(case, "cpu")
    assert all(x.abs().max() > 0 for x in expected)
    first = run(case, device)
    for found, wanted in zip(first, expected):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert case not in MOVES or torch.equal(first[0], expected[0])
    for _ in range(RUNS - 1):
        assert all(torch.equal(*pair) for pair in zip(run(case, device), first))


def test_nothing_is_copied(device):
    x = torch.ones(40, 4, device=device, requires_grad=True)
    assert memory.array("op", "x", x).data_ptr() == x.data_ptr()
    odd = torch.ones(41 * 4, device=device)[1:]
    assert memory.array("op", "x", odd).data_ptr() % 16 == 0
    if torch.cuda.is_available():
        y = vs.affine(x.detach())
        assert memory.tensor_of(y).data_ptr() == y.__cuda_array_interface__["data"][0]


def test_views_are_taken(device):
    """Neither those that are not contiguous nor those that begin within 16 bytes are the kernels'."""
    wide, weight = torch.randn(50, 9, device=device), torch.randn(3, 4, device=device)
    for view in (wide[:, 2:6], wide.flatten()[1:401].view(100, 4), wide[1:].t()[:, :4]):
        torch.testing.assert_close(vst.linear(view, weight), view.clone() @ weight.t())


def test_devices_are_not_mixed(device, random):
    coords, feats = random_cloud(random, 60, 3, 5, channels=4)
    coords, feats = torch.from_numpy(coords), torch.from_numpy(feats)
    there = vst.SparseTensor(feats.to(device), coords.to(device))
    here = vst.SparseTensor(feats, coords)
    refused = {
        r"coords expects numbers on cuda:0, found them on cpu": lambda: vst.SparseTensor(feats.to(device), coords),
        r"feats are on cpu, the Coordinates on cuda:0": lambda: vst.SparseTensor(feats, there.coordinates),
        r"\[conv\] weight is on cpu, tensor is on cuda:0": lambda: vst.SubMConv3d(4, 5)(there),
        r"\[conv\] weight is on cuda:0, tensor is on cpu": lambda: vst.SubMConv3d(4, 5).to(device)(here),
        r"\[linear\].* on c.* on c": lambda: vst.Linear(4, 5)(there),
        r"\[batch_norm\].* on c.* on c": lambda: vst.BatchNorm(4)(there),
        r"\[gather\] indices expects numbers on cuda:0": lambda: points.gather(there.feats, torch.zeros(3)),
        r"features on cuda:0, indices on cpu": lambda: spconv.SparseConvTensor(there.feats, coords, [5] * 3, 2),
        r"feats on cpu, coords on cuda:0": lambda: spnn.Conv3d(4, 5)(
            torchsparse.SparseTensor(feats, there.coords)
        ),
        r"features on cuda:0, coordinates on cpu": lambda: minkowski.SparseTensor(there.feats, coords),
        r"on the CPU or on CUDA, found float64 on cuda:0": lambda: vst.linear(there.feats.double(), there.feats),
    }
    for message, call in refused.items():
        with pytest.raises(ValueError, match=message) as error:
            call()
        assert "\n" not in str(error.value)


def test_tensors_move(device, random):
    coords, feats = random_cloud(random, 60, 3, 5, channels=4)
    x = vst.SparseTensor(torch.from_numpy(feats[::-1].copy()).requires_grad_(), coords[::-1].copy(), stride=2, shape=9)
    there = x.to(device)
    assert there.device == device and there.to(device) is there and (there.stride, len(there)) == (x.stride, len(x))
    back = there.to("cpu")
    for moved in (there, back):
        assert torch.equal(moved.coords.cpu(), x.coords) and torch.equal(moved.inverse.cpu(), x.inverse)
    back.feats.sum().backward()
    assert torch.equal(back.feats, x.feats)


# Networks


@contextmanager
def staying():
    """No tensor of features or gradients goes to the CPU within; losses do. A GPU is not watched."""
    emulated_cuda.LEFT.clear()
    yield
    assert not [x for x in emulated_cuda.LEFT if x.dtype == torch.float32 and x.dim() == 2]


def scan_on(device, rows=250):
    random = np.random.default_rng(5)
    coords, feats = random_cloud(random, rows, 3, 12, channels=4)
    return vst.SparseTensor(torch.from_numpy(feats).to(device), torch.from_numpy(coords).to(device))


def inputs_of(arch, device):
    if arch == "tsm-mobilenetv2":
        frames = np.random.default_rng(5).standard_normal((4, 32, 32, 3)).astype(np.float32)
        return torch.from_numpy(frames).to(device), 4
    return (scan_on(device),)


ARCHES = {
    "minkunet": lambda: vst.MinkUNet(width=0.125, classes=5, seed=4),
    "spvcnn": lambda: vst.SPVCNN(width=0.125, classes=5, seed=4),
    "tsm-mobilenetv2": lambda: vst.TSMMobileNetV2(width=0.25, classes=5, seed=4),
}


def trained(arch, device):
    """(losses, the gradients of the first step, the network) of two steps of SGD."""
    network = ARCHES[arch]().to(device)
    network.train(arch != "tsm-mobilenetv2")  # few pixels are left there to be normalised by
    optimizer, losses, gradients = torch.optim.SGD(network.parameters(), lr=1e-3), [], {}
    given = inputs_of(arch, device)
    for _ in range(2):
        optimizer.zero_grad()
        logits = network(*given)
        labels = torch.arange(len(logits), device=device) % 5
        loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        gradients = gradients or {name: p.grad.clone() for name, p in network.named_parameters()}
        optimizer.step()
        losses.append(loss.item())
    return losses, gradients, network


def expect_near(found, expected):
    """An activation near 0 may fall on the other side and takes a term of some gradients with it: few are far off."""
    errors = [((found[k].cpu() - g).norm() / (g.norm() + 1e-4)).item() for k, g in expected.items()]
    assert np.median(errors) < 1e-2 and max(errors) < 0.1, errors


@pytest.mark.parametrize("arch", ARCHES)
def test_networks_train(device, arch, tmp_path):
    expected, gradients, _ = trained(arch, "cpu")
    with staying():
        losses, found, network = trained(arch, device)
    assert abs(losses[0] - expected[0]) <= 1e-4 * expected[0] and losses[1] < losses[0]
    expect_near(found, gradients)
    again, same, _ = trained(arch, device)
    assert again == losses and all(torch.equal(found[name], same[name]) for name in found)
    vst.save(network.eval(), tmp_path / "model.safetensors")
    loaded = vst.load(tmp_path / "model.safetensors").eval()
    assert all(torch.equal(v.cpu(), loaded.state_dict()[k]) for k, v in network.state_dict().items())
    with torch.no_grad():
        there = network(*inputs_of(arch, device)).cpu()
        torch.testing.assert_close(there, loaded(*inputs_of(arch, "cpu")), rtol=1e-4, atol=1e-4)


def test_a_quantized_network_trains(device):
    def step(where):
        x, network = scan_on(where), vst.MinkUNet(width=1 / 16, classes=5, seed=4).to(where)
        with torch.no_grad():
            network(x)
        quantized = vst.prepare_qat(network.eval())
        with quantized.calibrate():
            quantized(x)
        loss = quantized(x).pow(2).mean()
        loss.backward()
        gradients = {name: p.grad.cpu() for name, p in quantized.named_parameters() if p.grad is not None}
        return loss.item(), gradients, quantized.to_model()

    expected, there = step("cpu"), step(device)
    assert abs(there[0] - expected[0]) <= 1e-2 * abs(expected[0])
    assert there[1].keys() == expected[1].keys()
    assert {v.dtype for v in there[2].parameters().values()} == {v.dtype for v in expected[2].parameters().values()}


def test_detectors_have_losses(device):
    from torch_detection_test import CENTER, anchors

    boxes = np.array([[3, 0.5, -1, 3.9, 1.6, 1.5, 0.3], [6, -2, -0.6, 0.8, 0.6, 1.7, 1]], np.float32)
    sizes = {"heat": 2, "offset": 2, "height": 1, "size": 3, "rotation": 2, "scores": 8, "boxes": 28, "directions": 8}

    def losses(where):
        random = np.random.default_rng(2)
        maps = {
            name: torch.from_numpy(random.standard_normal((1, 8, 8, n)).astype(np.float32)).to(where).requires_grad_()
            for name, n in sizes.items()
        }
        found = vst.detection_loss({"heads": [CENTER, anchors()]}, maps, [boxes], [np.array([0, 1])])
        sum(found.values()).backward()
        return [x.cpu() for x in (*found.values(), *(m.grad for m in maps.values()))]

    for there, here in zip(losses(device), losses("cpu")):
        torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-6)


# Other libraries' names


def spconv_step(device):
    net = spconv.SparseSequential(
        spconv.SubMConv3d(4, 8, 3, indice_key="a", bias=False),
        torch.nn.BatchNorm1d(8),
        torch.nn.ReLU(),
        spconv.SparseConv3d(8, 8, 3, 2, 1, indice_key="down"),
        spconv.SparseInverseConv3d(8, 5, 3, indice_key="down"),
    ).to(device)
    return net, lambda feats, coords: net(spconv.SparseConvTensor(feats, coords, [13] * 3, 3)).features


def torchsparse_step(device):
    net = torch.nn.Sequential(
        spnn.Conv3d(4, 8, 3), spnn.BatchNorm(8), spnn.ReLU(True), spnn.Conv3d(8, 8, 2, 2), spnn.Conv3d(8, 5, 2, 2, transposed=True)
    ).to(device)
    return net, lambda feats, coords: net(torchsparse.SparseTensor(feats, coords)).feats


def minkowski_step(device):
    net = torch.nn.Sequential(
        minkowski.MinkowskiConvolution(4, 8, 3, dimension=3),
        minkowski.MinkowskiBatchNorm(8),
        minkowski.MinkowskiReLU(),
        minkowski.MinkowskiConvolution(8, 8, 2, 2, dimension=3),
        minkowski.MinkowskiConvolutionTranspose(8, 5, 2, 2, dimension=3),
    ).to(device)
    return net, lambda feats, coords: net(minkowski.SparseTensor(feats, coords)).F


@pytest.mark.parametrize("library", [spconv_step, torchsparse_step, minkowski_step])
def test_other_libraries_names_train(device, library):
    def trained(where):
        torch.manual_seed(2)
        net, forward = library("cpu")
        state = net.state_dict()
        net, forward = library(where)
        net.load_state_dict(state)
        random = np.random.default_rng(5)
        coords, feats = random_cloud(random, 500, 3, 12, channels=4)
        order = random.permutation(len(coords))
        coords, feats = (torch.from_numpy(values[order]).to(where) for values in (coords, feats))
        optimizer, losses = torch.optim.SGD(net.parameters(), lr=0.05), []
        for _ in range(3):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(forward(feats, coords), torch.arange(len(feats), device=where) % 5)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    expected = trained("cpu")
    with staying():
        losses = trained(device)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert losses[-1] < losses[0] and trained(device) == losses
