"""Images of voxshift.torch within torch.autocast on CUDA: convolutions and shifts take and give its dtype."""

import numpy as np
import pytest
from emulated_cuda import CUDA
from half_tensors import HALVES, expect_gradients, expect_halves, on_cuda, same, whole
from sparse_torch import torch
from voxshift import torch as vt

CONVS = {
    "dense": ((6, 4, 3, 3), dict(stride=2, padding=1)),
    "groups": ((6, 2, 3, 3), dict(padding=1, groups=2)),
    "depthwise": ((4, 1, 3, 3), dict(padding=1, groups=4)),
    "pointwise": ((6, 4, 1, 1), {}),
}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("conv", CONVS)
def test_convolutions_compute_in_the_dtype_of_autocast(random, autocast, conv, half):
    shape, options = CONVS[conv]
    x, weight, bias = whole(random, 2, 7, 6, 4), whole(random, *shape), whole(random, shape[0])
    wide = [t.clone().requires_grad_() for t in (x, weight, bias)]
    expected = vt.conv2d(*wide, **options)
    grad = whole(random, *expected.shape)
    expected.backward(grad)
    autocast(half)
    leaves = [on_cuda(t) for t in (x, weight, bias)]
    found = vt.conv2d(*leaves, **options)
    expect_gradients(found, leaves, expected, wide, grad, half)


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("half", HALVES)
def test_shifts_keep_the_dtype_of_their_rows(random, autocast, half, both):
    x, grad = whole(random, 8, 3, 3, 16), whole(random, 8, 3, 3, 16)
    wide = x.clone().requires_grad_()
    expected = vt.temporal_shift(wide, 4, bidirectional=both)
    expected.backward(grad)
    autocast(half)
    leaf = on_cuda(x.to(half))
    found = vt.temporal_shift(leaf, 4, bidirectional=both)
    assert found.dtype == half
    same(found, expected)
    found.backward(grad.to(CUDA).to(half))
    assert leaf.grad.dtype == half
    same(leaf.grad, wide.grad)


@pytest.mark.parametrize("half", HALVES)
def test_tsm_stays_in_halves(monkeypatch, autocast, half):
    frames = torch.from_numpy(np.random.default_rng(5).standard_normal((4, 32, 32, 3)).astype(np.float32))

    def step(device):
        network = vt.TSMMobileNetV2(width=0.25, classes=5, seed=4).to(device).eval()
        out = network(frames.to(device), 4)
        loss = torch.nn.functional.cross_entropy(out.float(), torch.arange(len(out), device=device) % 5)
        loss.backward()
        return loss.item(), [p.grad.cpu() for p in network.parameters()]

    ops = ("conv2d", "conv2d_backward", "temporal_shift", "temporal_shift_backward", "linear", "linear_backward")
    expect_halves(step, ops, half, autocast, monkeypatch)
