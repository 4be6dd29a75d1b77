"""voxshift.torch's functions and modules against PyTorch's autograd through plain gathers and products."""

import copy
import math
import subprocess
import sys
from functools import partial

import numpy as np
import oracle
import pytest
import torch_oracle
import voxshift as vs
import voxshift.torch as vst
from torch_oracle import close, double, torch
from voxshift.torch import functional

AXES = [(1, 3, 1, 1), (2, 2, 2, 1), (3, 3, 1, 1), (3, 3, 2, 1), (3, (3, 2, 1), (2, 2, 1), 1), (3, 3, 1, 2), (4, 2, 2, 1)]


def randn(random, *shape):
    return torch.from_numpy(random.standard_normal(shape).astype(np.float32))


def cloud(random, rows=300, dims=3, extent=5, channels=5, batches=2):
    coords, feats = oracle.random_cloud(random, rows, dims, extent, batches, channels)
    return vst.SparseTensor(torch.from_numpy(feats).requires_grad_(), torch.from_numpy(coords))


def check_gradients(found, expected, leaves, random):
    """found and expected, functions of leaves float32 and of their float64 copies, have equal values and gradients."""
    doubles = [double(leaf) for leaf in leaves]
    a, b = found(*leaves), expected(*doubles)
    close(a, b)
    grad = randn(random, *a.shape)
    a.backward(grad)
    b.backward(grad.double())
    for leaf, other in zip(leaves, doubles):
        close(leaf.grad, other.grad)


@pytest.mark.parametrize(("dims", "size", "stride", "dilation"), AXES)
@pytest.mark.parametrize(("cin", "cout"), [(1, 2), (5, 17), (67, 16)])
def test_conv3d(random, dims, size, stride, dilation, cin, cout):
    x = cloud(random, dims=dims, channels=cin)
    options = {"kernel_size": size, "stride": stride, "dilation": dilation}
    volume = math.prod(oracle.per_axis(size, dims))
    weight, bias = randn(random, volume, cin, cout).requires_grad_(), randn(random, cout).requires_grad_()
    out = vst.conv3d(x, weight, bias, **options).coords.numpy()
    pairs = oracle.pairs(x.coords.numpy(), out, size, stride, dilation)
    check_gradients(
        lambda f, w, b: vst.conv3d(x.with_feats(f), w, b, **options).feats,
        lambda f, w, b: torch_oracle.convolution(f, w, b, pairs, len(out)),
        [x.feats, weight, bias],
        random,
    )


@pytest.mark.parametrize("op", ["conv_transpose", "generative_conv_transpose"])
@pytest.mark.parametrize(("dims", "size", "stride"), [(1, 2, 2), (2, 3, 2), (3, 2, 2), (3, (3, 2, 2), (2, 2, 1)), (4, 2, 2)])
def test_transposed_convolutions(random, op, dims, size, stride):
    fine = cloud(random, dims=dims)
    volume = math.prod(oracle.per_axis(size, dims))
    options = {"kernel_size": size, "stride": stride}
    x = vst.conv3d(fine, randn(random, volume, 5, 7), **options)
    x = x.with_feats(x.feats.detach().requires_grad_())
    weight, bias = randn(random, volume, 7, 18).requires_grad_(), randn(random, 18).requires_grad_()
    out = vst.conv3d(x, weight, op=op, **options).coords.numpy()
    if op == "conv_transpose":
        np.testing.assert_array_equal(out, fine.coords)
    pairs = oracle.pairs(out, x.coords.numpy(), size, stride, 1)[:, [0, 2, 1]]
    check_gradients(
        lambda f, w, b: vst.conv3d(x.with_feats(f), w, b, op=op, **options).feats,
        lambda f, w, b: torch_oracle.convolution(f, w, b, pairs, len(out)),
        [x.feats, weight, bias],
        random,
    )


def test_kernel_of_one_cell(random):
    x, weight = cloud(random), randn(random, 5, 9).requires_grad_()
    check_gradients(
        lambda f, w: vst.conv3d(x.with_feats(f), w, kernel_size=1).feats, torch.matmul, [x.feats, weight], random
    )


@pytest.mark.parametrize(("rows", "cin", "cout"), [(1, 1, 1), (700, 35, 67), (40, 16, 3)])
def test_linear(random, rows, cin, cout):
    leaves = [t.requires_grad_() for t in (randn(random, rows, cin), randn(random, cout, cin), randn(random, cout))]
    check_gradients(vst.linear, torch.nn.functional.linear, leaves, random)
    check_gradients(vst.linear, torch.nn.functional.linear, [t.detach().requires_grad_() for t in leaves[:2]], random)


@pytest.mark.parametrize("activation", [None, "relu", "relu6", "leaky_relu"])
@pytest.mark.parametrize("with_residual", [False, True])
def test_batch_norm_in_training(random, activation, with_residual):
    channels = 19
    leaves = [3 * randn(random, 600, channels) + 2, randn(random, channels), randn(random, channels)]
    leaves = [t.requires_grad_() for t in leaves + ([randn(random, 600, channels)] if with_residual else [])]
    mean, variance = torch.zeros(channels), torch.ones(channels)

    def found(x, weight, bias, residual=None):
        return vst.batch_norm(x, mean, variance, weight, bias, True, residual=residual, activation=activation)

    def expected(x, weight, bias, residual=None):
        return torch_oracle.batch_norm(x, weight, bias, residual, activation)

    check_gradients(found, expected, leaves, random)


def test_batch_norm_has_torchs_statistics_and_names(random):
    ours, theirs = vst.BatchNorm(7, momentum=0.3), torch.nn.BatchNorm1d(7, momentum=0.3)
    names = set(theirs.state_dict()) - {"num_batches_tracked"}
    assert set(ours.state_dict()) == names
    x = cloud(random, channels=7)
    for _ in range(3):
        x = x.with_feats(2 * x.feats.detach() + 1)
        close(ours(x).feats, theirs(x.feats).double())
    for name in names:
        close(ours.state_dict()[name], theirs.state_dict()[name].double())
    close(ours.eval()(x).feats, theirs.eval()(x.feats).double())


POOLS = {"max": vst.max_pool, "mean": vst.avg_pool, "sum": vst.sum_pool}
GLOBAL_POOLS = {"max": vst.global_max_pool, "mean": vst.global_avg_pool, "sum": vst.global_sum_pool}


@pytest.mark.parametrize("how", POOLS)
@pytest.mark.parametrize(("dims", "size", "stride"), [(1, 3, 1), (2, 2, 2), (3, 3, 2), (3, (3, 2, 1), (2, 2, 1)), (4, 2, 2)])
def test_pooling(random, how, dims, size, stride):
    x = cloud(random, dims=dims)
    out = POOLS[how](x, size, stride).coords.numpy()
    pairs = oracle.pairs(x.coords.numpy(), out, size, stride, 1)
    check_gradients(
        lambda f: POOLS[how](x.with_feats(f), size, stride).feats,
        lambda f: torch_oracle.reduced(f[torch_oracle.long(pairs[:, 1])], pairs[:, 2], len(out), how),
        [x.feats],
        random,
    )


@pytest.mark.parametrize("how", GLOBAL_POOLS)
def test_global_pooling(random, how):
    x = cloud(random, batches=3)
    batch = x.coords.numpy()[:, 0]
    check_gradients(
        lambda f: GLOBAL_POOLS[how](x.with_feats(f)),
        lambda f: torch_oracle.reduced(f, batch, 3, how),
        [x.feats],
        random,
    )


@pytest.mark.parametrize("how", ["sum", "mean", "max"])
def test_voxelize_features(random, how):
    feats, inverse = randn(random, 500, 7).requires_grad_(), random.integers(0, 90, 500)
    check_gradients(
        lambda f: vst.voxelize_features(f, torch.from_numpy(inverse), 95, how),
        lambda f: torch_oracle.reduced(f, inverse, 95, how),
        [feats],
        random,
    )


@pytest.mark.parametrize("mode", ["renormalized", "raw"])
def test_devoxelize_at_points(random, mode):
    x = cloud(random, extent=6)
    points = np.concatenate([random.integers(0, 2, (700, 1)), random.uniform(-1, 6, (700, 3))], 1).astype(np.float32)
    corners = vs.trilinear(x.coordinates, points, mode)
    check_gradients(
        lambda f: vst.devoxelize(x.with_feats(f), torch.from_numpy(points), mode),
        lambda f: torch_oracle.mixed(f, corners.indices, corners.weights),
        [x.feats],
        random,
    )


def test_between_two_levels(random):
    fine = cloud(random, 800, extent=9)
    coarse = vst.max_pool(fine, 2, 4)
    coarse = coarse.with_feats(coarse.feats.detach().requires_grad_())
    parents = coarse.coordinates.find(np.floor_divide(fine.coords.numpy(), (1, 4, 4, 4)))
    check_gradients(
        lambda f: vst.voxelize(fine.with_feats(f), coarse).feats,
        lambda f: torch_oracle.reduced(f, parents, len(coarse), "mean"),
        [fine.feats],
        random,
    )
    corners = vs.trilinear(coarse.coordinates, fine.coords.numpy().astype(np.float32))
    check_gradients(
        lambda f: vst.devoxelize(coarse.with_feats(f), fine).feats,
        lambda f: torch_oracle.mixed(f, corners.indices, corners.weights),
        [coarse.feats],
        random,
    )
    with pytest.raises(ValueError, match=r"\[voxelize\] strides"):
        vst.voxelize(coarse, fine)


# Operators take float32 alone. In each argument all but batch norm and maxima are linear, so that a step of the order of
# the numbers differs from the derivative by rounding only: 1e-6 of sums around 10, divided by the step.
LINEAR = {"eps": 0.5, "atol": 1e-4, "rtol": 1e-4}


@pytest.mark.filterwarnings("ignore:.*double precision")
def test_gradcheck(random, device):
    def leaf(*shape):
        return randn(random, *shape).to(device).requires_grad_()

    x = cloud(random, 30 if device == "cpu" else 10, extent=3, channels=3)
    x = vst.SparseTensor(leaf(len(x), 3), x.coords.to(device))
    coarse = vst.max_pool(x)
    weight, bias = leaf(8, 3, 2), leaf(2)
    small = vst.SparseTensor(leaf(len(coarse), 3), coarse.coords)
    checks = [
        (lambda f, w, b: vst.conv3d(x.with_feats(f), w, b, kernel_size=2).feats, (x.feats, weight, bias)),
        (lambda f, w, b: vst.conv3d(x.with_feats(f), w, b, kernel_size=2, stride=2).feats, (x.feats, weight, bias)),
        (
            lambda f, w: vst.conv3d(coarse.with_feats(f), w, kernel_size=2, stride=2, op="conv_transpose").feats,
            (small.feats, weight),
        ),
        (vst.linear, (x.feats, leaf(4, 3), leaf(4))),
        (lambda f: vst.avg_pool(x.with_feats(f)).feats, (x.feats,)),
        (lambda f: vst.sum_pool(x.with_feats(f)).feats, (x.feats,)),
        (lambda f: vst.global_avg_pool(x.with_feats(f)), (x.feats,)),
        (lambda f: vst.voxelize(x.with_feats(f), coarse).feats, (x.feats,)),
        (lambda f: vst.devoxelize(coarse.with_feats(f), x).feats, (small.feats,)),
    ]
    # Zeros that autograd makes of a gradient that nobody wants are on no emulated device.
    check = partial(torch.autograd.gradcheck, check_undefined_grad=device == "cpu" or torch.cuda.is_available())
    for function, inputs in checks:
        assert check(function, inputs, **LINEAR)
    # Apart by more than the step: a maximum stays where it is.
    apart = torch.from_numpy(random.permutation(3 * len(x)).reshape(-1, 3).astype(np.float32)).to(device).requires_grad_()
    assert check(lambda f: vst.max_pool(x.with_feats(f)).feats, (apart,), eps=0.25, atol=1e-3)
    assert check(lambda f: vst.global_max_pool(x.with_feats(f)), (apart,), eps=0.25, atol=1e-3)

    def norm(f, w, b):
        return vst.batch_norm(f, *torch.eye(2, 3, device=device), w, b, training=True)

    # A step h leaves h^2 / 6 times the third derivative, and 1e-6 / h of rounding.
    leaves = (x.feats, leaf(3), leaf(3))
    assert check(norm, leaves, eps=1e-2, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("uses", [(True, True), (True, False), (False, True)])
def test_input_of_a_convolution_used_again(random, uses):
    """y, again = conv(x): gradients of either, of both, and of none of the two."""
    x, weight = cloud(random), randn(random, 27, 5, 5).requires_grad_()
    options = {"bias": None, "kernel_size": 3, "stride": 1, "dilation": 1, "padding": 0, "semantics": "floor"}
    y, again = functional.conv3d_and_input(x, weight, op="conv", **options)
    parts = [t.feats for t, used in zip((y, again), uses) if used]
    sum((part**2).sum() for part in parts).backward()
    found = x.feats.grad, weight.grad
    x.feats.grad = weight.grad = None
    parts = [t for t, used in zip((vst.conv3d(x, weight).feats, x.feats), uses) if used]
    sum((part**2).sum() for part in parts).backward()
    for a, b in zip(found, (x.feats.grad, weight.grad)):
        assert (a is None) == (b is None)
        if a is not None:
            close(a, b.double())


def test_only_the_wanted_gradients(random):
    x = cloud(random)
    frozen = randn(random, 27, 5, 4)
    vst.conv3d(x, frozen).feats.sum().backward()
    assert x.feats.grad is not None and frozen.grad is None
    weight = randn(random, 27, 5, 4).requires_grad_()
    quiet = x.with_feats(x.feats.detach())
    vst.conv3d(quiet, weight).feats.sum().backward()
    assert weight.grad is not None and quiet.feats.grad is None
    bias = randn(random, 4).requires_grad_()
    vst.conv3d(quiet, frozen, bias).feats.sum().backward()
    assert torch.equal(bias.grad, torch.full((4,), float(len(x))))
    assert not vst.conv3d(quiet, frozen).feats.requires_grad


def test_no_gradients_of_gradients(random):
    x, weight = cloud(random), randn(random, 27, 5, 4).requires_grad_()
    (grad,) = torch.autograd.grad(vst.conv3d(x, weight).feats.pow(2).sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_empty_tensors(random):
    x = vst.SparseTensor(torch.zeros(0, 5).requires_grad_(), torch.zeros((0, 4), dtype=torch.int32))
    weight = randn(random, 27, 5, 4).requires_grad_()
    y = vst.conv3d(x, weight, stride=2)
    assert y.feats.shape == (0, 4)
    y.feats.sum().backward()
    assert x.feats.grad.shape == (0, 5) and weight.grad.abs().max() == 0


def test_rows_in_any_order(random):
    x = cloud(random)
    order = torch.from_numpy(random.permutation(len(x)))
    feats = x.feats.detach()[order].requires_grad_()
    shuffled = vst.SparseTensor(feats, x.coords[order])
    assert torch.equal(shuffled.coords, x.coords) and torch.equal(shuffled.feats, x.feats)
    assert torch.equal(shuffled.inverse, order)
    grad = randn(random, *x.feats.shape)
    shuffled.feats.backward(grad)
    assert torch.equal(feats.grad, grad[order])


def test_names_of_torchsparse(random):
    x = cloud(random)
    assert x.F is x.feats and torch.equal(x.C, x.coords) and x.s == x.stride == (1, 1, 1)
    assert x.coords.dtype == torch.int32
    x.F = x.F.detach() * 2
    assert len(x) == len(x.feats)
    coarse = vst.Conv3d(5, 6, kernel_size=2, stride=2)(x)
    assert coarse.s == (2, 2, 2)
    both = vst.cat([x, x])
    assert torch.equal(both.feats, torch.cat([x.feats, x.feats], 1))
    assert torch.equal((x + x).feats, 2 * x.feats)
    with pytest.raises(ValueError, match=r"\[cat\] expects tensors on the same coordinates"):
        vst.cat([x, coarse])
    with pytest.raises(ValueError, match=r"\[add\]"):
        x + coarse


def test_what_tensors_refuse(random):
    coords = np.array([[0, 1, 2, 3], [0, 1, 2, 4]], np.int32)
    for feats, message in [
        (torch.zeros(2, 3, dtype=torch.float64), "float32 on the CPU or on CUDA, found float64"),
        (torch.zeros(2, 3, device="meta"), "found float32 on meta"),
        (torch.zeros(3, 3), "2 coordinates, but 3 rows"),
    ]:
        with pytest.raises(ValueError, match=rf"\[SparseTensor\].*{message}"):
            vst.SparseTensor(feats, coords)
    with pytest.raises(ValueError, match="SparseTensor"):
        vst.SparseTensor(torch.zeros(2, 3), coords[[0, 0]])
    x = vst.SparseTensor(torch.zeros(2, 3), coords)
    with pytest.raises(ValueError, match=r"\[conv\] weight expects float32 on the CPU or on CUDA, found float64"):
        vst.conv3d(x, torch.zeros(27, 3, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"\[conv\]"):
        vst.conv3d(x, torch.zeros(27, 4, 4))


def test_modules(random):
    x = cloud(random)
    torch.manual_seed(1)
    network = torch.nn.Sequential(
        vst.Conv3d(in_channels=5, out_channels=8, kernel_size=3, stride=1, padding=0, dilation=1, bias=True),
        vst.BatchNorm(8),
        vst.ReLU(True),
        vst.SubMConv3d(8, 8, 3),
        vst.LeakyReLU(negative_slope=0.1, inplace=True),
        vst.Conv3d(8, 8, 2, stride=2),
        vst.Conv3d(8, 8, 2, stride=2, transposed=True),
        vst.MaxPool3d(2, 2),
        vst.AvgPool3d(kernel_size=3, stride=1),
        vst.Conv3d(8, 4, 2, 2, transposed=True, generative=True),
        vst.Linear(4, 3),
        vst.GlobalAvgPool(),
    )
    out = network(x)
    assert out.shape == (2, 3)
    out.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert network[0].kernel.shape == (27, 5, 8) and network[0].bias.shape == (8,)
    assert vst.Conv3d(5, 8, 1).kernel.shape == (5, 8)
    bound = 1 / math.sqrt(5 * 27)
    assert 0.9 * bound < network[0].kernel.abs().max() <= bound
    again = copy.deepcopy(network)
    assert torch.equal(again(x), network(x))


def test_the_same_bits_for_any_number_of_threads(random):
    def gradients(threads):
        vs.set_num_threads(threads)
        x = cloud(np.random.default_rng(1), 4000, extent=16, channels=17)
        torch.manual_seed(0)
        layers = torch.nn.Sequential(vst.Conv3d(17, 24, bias=True), vst.BatchNorm(24, activation="relu"), vst.MaxPool3d())
        layers(x).feats.pow(2).sum().backward()
        return [x.feats.grad, *(p.grad for p in layers.parameters())]

    for one, two in zip(gradients(1), gradients(2)):
        assert torch.equal(one, two)


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_torch_is_optional():
    assert python("import sys, voxshift; assert 'torch' not in sys.modules").returncode == 0
    refused = python("import sys; sys.modules['torch'] = None; import voxshift.torch")
    assert refused.returncode != 0
    assert "ImportError: voxshift.torch needs PyTorch: pip install torch" in refused.stderr


def test_batch_norm_with_a_residual_but_no_activation_may_be_changed_in_place(random):
    x, residual, grad = (torch.from_numpy(random.standard_normal((50, 6), dtype=np.float32)) for _ in range(3))
    weight, bias = torch.rand(6) + 0.5, torch.rand(6)
    gradients = []
    for plain in (False, True):
        inputs = [t.clone().requires_grad_() for t in (x, residual)]
        if plain:
            out = torch.nn.functional.batch_norm(inputs[0], None, None, weight, bias, training=True) + inputs[1]
        else:
            mean, variance = torch.zeros(6), torch.ones(6)
            out = vst.functional.batch_norm(inputs[0], mean, variance, weight, bias, training=True, residual=inputs[1])
        torch.relu_(out).backward(grad)
        gradients.append([t.grad for t in inputs])
    for ours, theirs in zip(*gradients):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
