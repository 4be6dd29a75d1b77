"""Operators between points and voxels on CUDA, within torch.autocast and without: they keep the dtype of their rows."""

import numpy as np
import pytest
import voxshift as vs
from emulated_cuda import CUDA
from half_tensors import HALVES, coords_of, expect_halves, on_cuda, same, whole
from sparse_torch import torch
from voxshift import torch as vt
from voxshift.torch import points, torchsparse
from voxshift.torch.clouds import Clouds
from voxshift.torch.gradients import gradient_of
from voxshift.torch.values import Points


def quarters(random, device):
    """Points between voxels whose trilinear weights are exact."""
    places = random.integers(0, 28, (40, 4)).astype(np.float32) / 4
    places[:, 0] = 0
    return torch.from_numpy(places).to(device)


ON_POINTS = {
    **{
        f"voxelize_features_{how}": lambda x, random, how=how: vt.voxelize_features(x.feats, ids(random, x, 9), 9, how)
        for how in ("first", "mean", "max", "sum")
    },
    "devoxelize": lambda x, random: vt.devoxelize(x, quarters(random, x.device), "raw"),
    "voxelize": lambda x, random: vt.voxelize(x, vt.max_pool(x, 2, 2)).feats,
    "gather": lambda x, random: points.gather(x.feats, ids(random, x, 60)),
    "summed": lambda x, random: points.summed(x.feats, ids(random, x, 7).clamp(min=0), 7),
    "mixture": lambda x, random: points.mixture(x.feats, ids(random, x, 60)[:, None].expand(-1, 3), eighths(random, x)),
    "mixture_of_many": lambda x, random: points.mixture(
        x.feats, ids(random, x, 60)[:, None].expand(-1, 9), eighths(random, x, 9)
    ),
    "prune": lambda x, random: gradient_of("prune", None).function(x, x, threshold=0.0).feats,
    "union_add": lambda x, random: gradient_of("union_add", None).function(
        x, gradient_of("prune", None).function(x, x, threshold=0.0)
    ).feats,
    "spvoxelize": lambda x, random: torchsparse.nn.functional.spvoxelize(
        x.feats, ids(random, x, 9), torch.ones(9, dtype=torch.int).to(x.device)
    ),
    "spdevoxelize": lambda x, random: torchsparse.nn.functional.spdevoxelize(
        x.feats, ids(random, x, 60)[:, None].expand(-1, 8), eighths(random, x, 8)
    ),
}


def ids(random, x, below):
    return torch.from_numpy(random.integers(-1, below, 60)).to(x.device)


def eighths(random, x, each=3):
    return torch.from_numpy(random.integers(1, 9, (60, each)).astype(np.float32) / 8).to(x.device)


@pytest.mark.parametrize("within", [True, False], ids=["autocast", "alone"])
@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("op", ON_POINTS)
def test_points_and_voxels_keep_the_dtype_of_their_rows(random, autocast, op, half, within):
    feats, coords = whole(random, 60, 3), torch.from_numpy(coords_of(random, 60))
    wide = feats.clone().requires_grad_()
    expected = ON_POINTS[op](vt.SparseTensor(wide, coords), np.random.default_rng(4))
    grad = whole(random, *expected.shape)
    expected.backward(grad)
    if within:
        autocast(half)
    leaf = on_cuda(feats.to(half))
    found = ON_POINTS[op](vt.SparseTensor(leaf, coords.to(CUDA)), np.random.default_rng(4))
    assert found.dtype == half
    same(found, expected.to(half))
    found.backward(grad.to(CUDA).to(half))
    assert leaf.grad.dtype == half
    same(leaf.grad, wide.grad.to(half))


@pytest.mark.parametrize("half", HALVES)
def test_spvcnn_stays_in_halves(monkeypatch, autocast, half):
    feats = np.random.default_rng(0).uniform(-2, 2, (200, 4)).astype(np.float32)
    voxels = vs.voxelize(feats, 0.5).tensor
    labels = torch.arange(voxels.size) % 5

    def step(device):
        network = vt.SPVCNN(width=1 / 16, classes=5, seed=1).to(device)
        x = vt.SparseTensor(torch.from_numpy(voxels.feats), torch.from_numpy(voxels.coords.copy())).to(device)
        out = network(x)
        loss = torch.nn.functional.cross_entropy(getattr(out, "feats", out).float(), labels.to(device))
        loss.backward()
        return loss.item(), [p.grad.cpu() for p in network.parameters()]

    ops = ("voxelize_features", "voxelize_features_backward", "interpolate", "interpolate_backward", "linear")
    expect_halves(step, ops, half, autocast, monkeypatch)


@pytest.mark.parametrize("half", HALVES)
def test_dense_grids_keep_the_dtype_of_their_rows(random, autocast, half):
    feats, xyz = whole(random, 60, 3), torch.from_numpy(random.uniform(-1, 1, (60, 3)).astype(np.float32))
    to_cells, to_points = (gradient_of(op, None).function for op in ("voxelize_dense", "devoxelize_dense"))

    def run(leaf, xyz):
        rows = Points(leaf, Clouds(xyz))
        cells = to_cells(rows, resolution=4, normalize=True, eps=0.0)
        return cells.feats, to_points(cells, rows).feats

    wide = feats.clone().requires_grad_()
    expected = run(wide, xyz)
    expected[1].sum().backward()
    autocast(half)
    leaf = on_cuda(feats.to(half))
    found = run(leaf, xyz.to(CUDA))
    found[1].float().sum().backward()
    assert {x.dtype for x in (*found, leaf.grad)} == {half}
    unit = 2**-10 if half == torch.float16 else 2**-7  # of numbers up to 3, rounded twice
    for ours, wanted in zip((*found, leaf.grad), (*expected, wide.grad)):
        torch.testing.assert_close(ours.detach().cpu().float(), wanted.detach(), rtol=2 * unit, atol=4 * unit)
