"""Operators of voxshift.torch within torch.autocast: dtypes as torch's own have them, gradients of float32 weights in float32.

Where there is no GPU, torch has no autocast of CUDA: what asks it for the dtype is told one.
"""

import numpy as np
import pytest
from emulated_cuda import CUDA
from half_tensors import HALVES, coords_of, expect_gradients, on_cuda, same, whole
from sparse_torch import torch
from voxshift import torch as vt
from voxshift.torch import functional, precision, windows
from voxshift.torch.clouds import cylindrical

CONVS = {
    "conv": dict(kernel_size=3, stride=1),
    "conv_transpose": dict(kernel_size=2, stride=2),
    "generative_conv_transpose": dict(kernel_size=3, stride=2),
}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("op", CONVS)
def test_convolutions_compute_in_the_dtype_of_autocast(random, autocast, op, half):
    window = CONVS[op]
    fine = vt.SparseTensor(whole(random, 60, 5), torch.from_numpy(coords_of(random, 60)))
    source = fine if op == "conv" else vt.max_pool(fine, 2, 2)
    feats, weight, bias = source.feats, whole(random, window["kernel_size"] ** 3, 5, 7), whole(random, 7)

    def run(x, place):
        leaves = [place(t) for t in (feats, weight, bias)]
        out = functional.conv3d(x.with_feats(leaves[0]), leaves[1], leaves[2], op=op, **window).feats
        return out, leaves

    expected, wide = run(source, lambda t: t.clone().requires_grad_())
    grad = whole(random, *expected.shape)
    expected.backward(grad)
    autocast(half)
    there = fine.to(CUDA) if op == "conv" else vt.max_pool(fine.to(CUDA), 2, 2)
    found, leaves = run(there, on_cuda)
    expect_gradients(found, leaves, expected, wide, grad, half)


@pytest.mark.parametrize("half", HALVES)
def test_linear_layers_compute_in_the_dtype_of_autocast(random, autocast, half):
    x, weight, bias, grad = whole(random, 40, 6), whole(random, 3, 6), whole(random, 3), whole(random, 40, 3)
    autocast(half)
    leaves = [on_cuda(t) for t in (x, weight, bias)]
    out = vt.linear(*leaves) if hasattr(vt, "linear") else functional.linear(*leaves)
    assert out.dtype == half
    same(out, (x @ weight.t() + bias).to(half))
    out.backward(grad.to(CUDA).to(half))
    assert [leaf.grad.dtype for leaf in leaves] == [torch.float32] * 3
    same(leaves[0].grad, (grad @ weight).to(half))
    same(leaves[1].grad, grad.t() @ x)
    same(leaves[2].grad, grad.sum(0))


@pytest.mark.parametrize("half", HALVES)
def test_batch_norm_takes_half_rows_and_keeps_wide_statistics(random, autocast, half):
    x = torch.from_numpy(random.normal(size=(50, 4)).astype(np.float32)).to(half)
    other, grad = whole(random, 50, 4).to(half), whole(random, 50, 4).to(half)
    autocast(half)
    norm = vt.BatchNorm(4, activation="relu")
    plain = torch.nn.BatchNorm1d(4)
    coords = torch.from_numpy(coords_of(random, 50)).to(CUDA)
    norm.to(CUDA)
    leaves = [on_cuda(x), on_cuda(other)]
    tensor = vt.SparseTensor(leaves[0], coords)
    out = norm(tensor, tensor.with_feats(leaves[1])).feats
    assert out.dtype == half and norm.running_var.dtype == torch.float32
    wide = [t.float().requires_grad_() for t in (x, other)]
    expected = torch.relu(plain(wide[0]) + wide[1])
    unit = 2**-10 if half == torch.float16 else 2**-7
    assert torch.allclose(out.detach().cpu().float(), expected, rtol=unit, atol=1e-5)
    assert torch.allclose(norm.running_mean.cpu(), plain.running_mean, atol=1e-6)
    assert torch.allclose(norm.running_var.cpu(), plain.running_var, atol=1e-5)
    out.backward(grad.to(CUDA))
    expected.backward(grad.float())
    assert norm.weight.grad.dtype == torch.float32 and leaves[0].grad.dtype == half
    assert torch.allclose(leaves[0].grad.cpu().float(), wide[0].grad, rtol=unit, atol=1e-3)
    assert torch.allclose(leaves[1].grad.cpu().float(), wide[1].grad)
    assert torch.allclose(norm.weight.grad.cpu(), plain.weight.grad, rtol=1e-4, atol=1e-3)
    assert torch.allclose(norm.bias.grad.cpu(), plain.bias.grad, rtol=1e-4, atol=1e-3)
    norm.eval()
    assert norm(tensor).feats.dtype == half


@pytest.mark.parametrize("half", HALVES)
def test_pools_and_cat_keep_the_dtype_of_their_rows(random, autocast, half):
    feats, coords = whole(random, 60, 5), torch.from_numpy(coords_of(random, 60))
    autocast(half)
    wide = vt.SparseTensor(feats.clone().requires_grad_(), coords)
    leaf = on_cuda(feats.to(half))
    x = vt.SparseTensor(leaf, coords.to(CUDA))
    for pool in (vt.max_pool, vt.sum_pool, vt.global_max_pool, vt.global_sum_pool):
        expected, found = pool(wide), pool(x)
        expected, found = (getattr(y, "feats", y) for y in (expected, found))
        assert found.dtype == half
        same(found, expected.to(half))
        leaf.grad = wide.feats.grad = None
        expected.sum().backward()
        found.sum().backward()
        assert leaf.grad.dtype == half
        same(leaf.grad, wide.feats.grad)
    both = vt.cat([x, x.with_feats(x.feats.float())])
    assert both.feats.dtype == torch.float32
    same(both.feats, torch.cat([feats, feats], 1))
    assert vt.cat([x, x]).feats.dtype == half


@pytest.mark.parametrize("half", HALVES)
def test_what_has_no_half_kernels_computes_in_float32(random, autocast, half):
    xyz = whole(random, 30, 3)
    autocast(half)
    leaf = on_cuda(xyz.to(half))
    found = cylindrical(leaf)
    wide = xyz.clone().requires_grad_()
    expected = cylindrical(wide)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.detach().cpu(), expected.detach(), rtol=1e-6, atol=1e-6)
    found.sum().backward()
    expected.sum().backward()
    assert leaf.grad.dtype == half
    unit = 2**-10 if half == torch.float16 else 2**-7
    torch.testing.assert_close(leaf.grad.cpu().float(), wide.grad, rtol=unit, atol=1e-6)


def test_torchs_operators_inside_of_wide_ones_compute_in_float32(random):
    feats, weight = torch.from_numpy(random.normal(size=(9, 4)).astype(np.float32)), whole(random, 2, 4, 5) / 7
    pairs = [(torch.arange(9), torch.arange(9)), (torch.arange(8), torch.arange(1, 9))]
    expected = windows.conv_by_pairs(feats, weight, pairs, 9)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(windows.conv_by_pairs(feats, weight, pairs, 9), expected)


def small_network():
    torch.manual_seed(0)
    layers = [vt.SubMConv3d(4, 8), vt.BatchNorm(8, activation="relu"), vt.Conv3d(8, 16, 2, 2), vt.BatchNorm(16, activation="relu")]
    return torch.nn.Sequential(*layers, vt.ConvTranspose3d(16, 8), vt.Linear(8, 3))


@pytest.mark.parametrize("half", HALVES)
def test_training_follows_float32_and_repeats_its_bits(random, autocast, half):
    coords = torch.from_numpy(coords_of(random, 200))
    feats = torch.from_numpy(random.normal(size=(200, 4)).astype(np.float32))
    labels = (feats.sum(1) > 0).long()

    def train(device):
        network = small_network().to(device)
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        x = vt.SparseTensor(feats.to(device), coords.to(device))
        losses = []
        for _ in range(4):
            optimizer.zero_grad()
            out = network(x).feats
            assert out.dtype == (torch.float32 if device == "cpu" else half)
            loss = torch.nn.functional.cross_entropy(out.float(), labels.to(device))
            loss.backward()
            assert all(p.grad.dtype == torch.float32 for p in network.parameters())
            optimizer.step()
            losses.append(loss.item())
        return losses, [p.detach().cpu() for p in network.parameters()]

    expected, _ = train("cpu")
    autocast(half)
    found, weights = train(CUDA)
    assert found[-1] < found[0]
    np.testing.assert_allclose(found, expected, rtol=0.02 if half == torch.float16 else 0.1)
    for _ in range(2):
        again, same_weights = train(CUDA)
        assert again == found and all(torch.equal(a, b) for a, b in zip(weights, same_weights))


@pytest.mark.parametrize("half", HALVES)
def test_layers_of_other_libraries_names_compute_in_the_dtype_of_autocast(random, autocast, half):
    from voxshift.torch import spconv, torchsparse

    feats, places = whole(random, 60, 4), torch.from_numpy(coords_of(random, 60))
    torch.manual_seed(1)
    conv = spconv.SparseSequential(spconv.SubMConv3d(4, 8, 3), torch.nn.ReLU(), spconv.SparseMaxPool3d(2, 2))
    other = torch.nn.Sequential(torchsparse.nn.Conv3d(4, 8, 3), torchsparse.nn.ReLU(True))
    for layers in (conv, other):  # whole numbers, so that float32's result is the half's unrounded
        for parameter in layers.parameters():
            parameter.data.copy_(whole(random, *parameter.shape))

    def run(device):
        conv.to(device)
        other.to(device)
        x = spconv.SparseConvTensor(feats.to(device), places.to(device), [8, 8, 8], 1)
        return conv(x).features, other(torchsparse.SparseTensor(feats.to(device), places.to(device))).feats

    expected = run("cpu")
    autocast(half)
    for found, wide in zip(run(CUDA), expected):
        assert found.dtype == half
        same(found, wide.to(half))


def test_features_used_twice_get_both_gradients(random, autocast):
    feats, weight = whole(random, 50, 4), whole(random, 27, 4, 4)
    coords = torch.from_numpy(coords_of(random, 50))
    options = dict(kernel_size=3, stride=1, dilation=1, padding=0, semantics="floor", op="conv")
    wide = feats.clone().requires_grad_()
    out, again = functional.conv3d_and_input(vt.SparseTensor(wide, coords), weight, **options)
    (out.feats.sum() + 2 * again.feats.sum()).backward()
    autocast(torch.float16)
    leaf = on_cuda(feats)  # a float32 input is used in float32 later, too
    out, again = functional.conv3d_and_input(vt.SparseTensor(leaf, coords.to(CUDA)), weight.to(CUDA), **options)
    assert out.feats.dtype == torch.float16 and again.feats.dtype == torch.float32
    (out.feats.float().sum() + 2 * again.feats.sum()).backward()
    same(leaf.grad, wide.grad)
    leaf = on_cuda(feats.half())
    out, again = functional.conv3d_and_input(vt.SparseTensor(leaf, coords.to(CUDA)), weight.to(CUDA), **options)
    (out.feats.float().sum() + 2 * again.feats.float().sum()).backward()
    same(leaf.grad, wide.grad)


def test_half_features_and_weights_need_no_autocast(random, autocast):
    feats, weight = whole(random, 50, 4), whole(random, 27, 4, 6)
    coords = torch.from_numpy(coords_of(random, 50))
    expected = functional.conv3d(vt.SparseTensor(feats, coords), weight).feats
    leaves = [on_cuda(t.half()) for t in (feats, weight)]
    found = functional.conv3d(vt.SparseTensor(leaves[0], coords.to(CUDA)), leaves[1]).feats
    assert found.dtype == torch.float16
    same(found, expected.half())
    found.float().sum().backward()
    assert [leaf.grad.dtype for leaf in leaves] == [torch.float16] * 2
    with pytest.raises(ValueError, match=r"\[cylindrical\] .* expects float32 .* found float16 on cuda"):
        cylindrical(leaves[0])


def test_the_cpu_computes_in_float32_within_autocast(random):
    feats, weight = whole(random, 50, 4), whole(random, 27, 4, 6)
    coords = torch.from_numpy(coords_of(random, 50))
    expected = functional.conv3d(vt.SparseTensor(feats, coords), weight).feats
    narrow = feats.bfloat16().requires_grad_()
    with pytest.raises(ValueError, match=r"\[SparseTensor\] feats expects float32 .* found bfloat16 on cpu"):
        vt.SparseTensor(narrow, coords)
    with torch.autocast("cpu", torch.bfloat16):
        x = vt.SparseTensor(feats, coords).with_feats(narrow)
        out = functional.conv3d(x, weight)
        pooled = vt.max_pool(x, 2, 2)
        mean = vt.voxelize_features(narrow, torch.zeros(50, dtype=torch.long), 1)
        normal = vt.BatchNorm(4)(x)
    assert {t.dtype for t in (out.feats, pooled.feats, mean, normal.feats)} == {torch.float32}
    assert torch.equal(out.feats, expected)
    (out.feats.sum() + pooled.feats.sum()).backward()
    assert narrow.grad.dtype == torch.bfloat16


def test_what_autocast_asks_for_is_read_from_torch():
    cpu = torch.device("cpu")
    assert precision.autocast_dtype(cpu) is None and precision.autocast_dtype(torch.device("cuda")) is None
    assert precision.autocast_dtype(torch.device("meta")) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert precision.autocast_dtype(cpu) == torch.bfloat16
        assert precision.autocast_dtype(torch.device("cuda")) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch has no GPU")
@pytest.mark.parametrize("half", HALVES)
def test_autocast_of_a_gpu(random, half):
    with torch.autocast("cuda", half):
        assert precision.autocast_dtype(CUDA) == half
        x = vt.SparseTensor(whole(random, 50, 4).to(CUDA), torch.from_numpy(coords_of(random, 50)).to(CUDA))
        assert vt.SubMConv3d(4, 8).to(CUDA)(x).feats.dtype == half
