"""The whole of MinkUNet against PyTorch: gather, matmul, index_add on kernel maps made here, nothing folded or fused.

Structure and parameter names: spvnas (core/models/semantic_kitti/minkunet.py). Weights [K, Cin, Cout] with offsets
row-major, last axis fastest, odd sizes centred, even sizes 0..k-1.
"""

import itertools

import numpy as np
import pytest
import voxshift as vs
from oracle import relative_error

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")


def voxels_of(points):
    """Cells [N, 3] of spvnas, in lexicographic order from 0 on, and the features of the first point in each."""
    cells = np.round(points[:, :3] / np.float32(0.05)).astype(np.int64)
    cells -= cells.min(axis=0)
    cells, first = np.unique(cells, axis=0, return_index=True)
    return cells, points[first]


def keys_of(cells):
    """One integer per cell, in the cells' order; room for the neighbours of cells 0..2^20-2."""
    shifted = cells + 1
    return (shifted[:, 0] << 42) + (shifted[:, 1] << 21) + shifted[:, 2]


def offsets_of(size):
    steps = range(-(size // 2), size // 2 + 1) if size % 2 else range(size)
    return list(itertools.product(steps, repeat=3))


def pairs_of(fine, coarse, size, stride):
    """Per offset the rows (fine, coarse) with fine = coarse * stride + offset."""
    keys = keys_of(fine)
    pairs = []
    for offset in offsets_of(size):
        wanted = keys_of(coarse * stride + np.array(offset))
        row = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        hit = np.flatnonzero(keys[row] == wanted)
        pairs.append((torch.from_numpy(row[hit]), torch.from_numpy(hit)))
    return pairs


class TorchMinkUNet:
    def __init__(self, parameters, cells, dtype):
        self.dtype = dtype
        self.parameters = {name: torch.tensor(value, dtype=dtype) for name, value in parameters.items()}
        self.levels = [cells]
        for _ in range(4):
            self.levels.append(np.unique(self.levels[-1] // 2, axis=0))
        self.around = [pairs_of(level, level, 3, 1) for level in self.levels]
        self.down = [pairs_of(fine, coarse, 2, 2) for fine, coarse in zip(self.levels, self.levels[1:])]

    def conv(self, name, x, pairs, rows, transposed=False):
        weight = self.parameters[name + ".kernel"]
        out = torch.zeros(rows, weight.shape[2], dtype=self.dtype)
        for k, (fine, coarse) in enumerate(pairs):
            source, target = (coarse, fine) if transposed else (fine, coarse)
            out.index_add_(0, target, x[source] @ weight[k])
        return out

    def norm(self, name, x):
        p = self.parameters
        names = ("running_mean", "running_var", "weight", "bias")
        return torch.nn.functional.batch_norm(x, *(p[f"{name}.{role}"] for role in names), training=False, eps=1e-5)

    def submanifold(self, conv, norm, x, level):
        return self.norm(norm, self.conv(conv, x, self.around[level], len(self.levels[level])))

    def residual(self, name, x, level):
        y = torch.relu(self.submanifold(f"{name}.net.0", f"{name}.net.1", x, level))
        y = self.submanifold(f"{name}.net.3", f"{name}.net.4", y, level)
        if f"{name}.downsample.0.kernel" in self.parameters:
            x = self.norm(f"{name}.downsample.1", x @ self.parameters[f"{name}.downsample.0.kernel"])
        return torch.relu(y + x)

    def forward(self, feats):
        x = torch.tensor(feats, dtype=self.dtype)
        x = torch.relu(self.submanifold("stem.0", "stem.1", x, 0))
        x = torch.relu(self.submanifold("stem.3", "stem.4", x, 0))
        skips = [x]
        for level in range(1, 5):
            stage = f"stage{level}"
            x = self.conv(f"{stage}.0.net.0", x, self.down[level - 1], len(self.levels[level]))
            x = torch.relu(self.norm(f"{stage}.0.net.1", x))
            x = self.residual(f"{stage}.1", x, level)
            x = self.residual(f"{stage}.2", x, level)
            skips.append(x)
        for level in reversed(range(4)):
            up = f"up{4 - level}"
            x = self.conv(f"{up}.0.net.0", x, self.down[level], len(self.levels[level]), transposed=True)
            x = torch.relu(self.norm(f"{up}.0.net.1", x))
            x = torch.cat([x, skips[level]], dim=1)
            x = self.residual(f"{up}.1.0", x, level)
            x = self.residual(f"{up}.1.1", x, level)
        p = self.parameters
        return torch.nn.functional.linear(x, p["classifier.0.weight"], p["classifier.0.bias"]).numpy()


def check(points, width, dtype):
    cells, feats = voxels_of(points)
    made = vs.voxelize(points, origin="lowest").tensor
    np.testing.assert_array_equal(made.coords[:, 1:], cells)
    np.testing.assert_array_equal(made.feats, feats)

    model = vs.Model.new(width=width, seed=9)
    reference = TorchMinkUNet(model.parameters(), cells, dtype)
    with torch.no_grad():
        expected = reference.forward(feats)
    assert expected.std(axis=0).min() > 1e-3  # not one answer for all voxels
    x = vs.SparseTensor(np.insert(cells, 0, 0, axis=1), feats)
    assert relative_error(model.forward(x), expected) < 1e-4
    return reference


@pytest.mark.parametrize("width", [0.25, 0.4])
def test_synthetic_scan(synthetic_points, width):
    check(synthetic_points, width, torch.float64)


def test_real_scan(real_points):
    reference = check(real_points, 1.0, torch.float32)  # half the time of float64
    # levels and pairs of this scan, published with spvnas' voxelisation
    assert len(reference.levels[0]) == 94_625
    assert [round(len(level) / 1000, 1) for level in reference.levels] == [94.6, 68.9, 42.2, 21.5, 9.5]
    assert sum(len(fine) for fine, _ in reference.around[0]) == 286_263
