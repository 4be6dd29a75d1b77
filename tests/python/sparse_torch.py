"""Sparse tensors in PyTorch for the tests of whole networks: gather, matmul, index_add on kernel maps made here,
nothing folded or fused. Knows nothing of voxshift.

Weights [K, Cin, Cout] with offsets row-major, last axis fastest, odd sizes centred, even sizes 0..k-1. Level i has
stride 2^i; its rows are in lexicographic order.
"""

import itertools

import numpy as np
import pytest

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


def rows_of(wanted, cells):
    """The row of each wanted cell, and whether there is one."""
    keys, wanted = keys_of(cells), keys_of(wanted)
    row = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return row, keys[row] == wanted


def offsets_of(size):
    steps = range(-(size // 2), size // 2 + 1) if size % 2 else range(size)
    return list(itertools.product(steps, repeat=3))


def pairs_of(fine, coarse, size, stride):
    """Per offset the rows (fine, coarse) with fine = coarse * stride + offset."""
    pairs = []
    for offset in offsets_of(size):
        row, present = rows_of(coarse * stride + np.array(offset), fine)
        hit = np.flatnonzero(present)
        pairs.append((torch.from_numpy(row[hit]), torch.from_numpy(hit)))
    return pairs


class Levels:
    """The cells of five levels and the maps between them."""

    def __init__(self, cells):
        self.cells = [cells]
        for _ in range(4):
            self.cells.append(np.unique(self.cells[-1] // 2, axis=0))
        self.around = [pairs_of(level, level, 3, 1) for level in self.cells]
        self.down = [pairs_of(fine, coarse, 2, 2) for fine, coarse in zip(self.cells, self.cells[1:])]

    def corners(self, level):
        """Rows [N, 8] of the level's cells around each input cell on their lattice, and renormalised weights."""
        place = self.cells[0] / 2**level
        low = np.floor(place).astype(np.int64)
        rows, weights = [], []
        for corner in itertools.product((0, 1), repeat=3):
            row, present = rows_of(low + np.array(corner), self.cells[level])
            part = np.where(corner, place - low, 1 - (place - low)).prod(axis=1)
            rows.append(row)
            weights.append(np.where(present, part, 0))
        weights = np.stack(weights, axis=1)
        return np.stack(rows, axis=1), weights / (weights.sum(axis=1, keepdims=True) + 1e-8)

    def parents(self, level):
        """The level's row that each input cell lies in."""
        row, present = rows_of(self.cells[0] // 2**level, self.cells[level])
        assert present.all()
        return row


class SparseNetwork:
    """Layers by the names of their tensors."""

    def __init__(self, parameters, levels, dtype):
        self.dtype = dtype
        self.parameters = {name: torch.tensor(value, dtype=dtype) for name, value in parameters.items()}
        self.levels = levels

    def input(self, feats):
        return torch.tensor(feats, dtype=self.dtype)

    def forward(self, feats):
        """Logits as numpy's array; `logits` is the network."""
        return self.logits(feats).numpy()

    def conv(self, name, x, pairs, rows, transposed=False):
        weight = self.parameters[name + ".kernel"]
        out = torch.zeros(rows, weight.shape[2], dtype=self.dtype)
        for k, (fine, coarse) in enumerate(pairs):
            source, target = (coarse, fine) if transposed else (fine, coarse)
            out.index_add_(0, target, x[source] @ weight[k])
        return out

    def linear(self, name, x):
        return torch.nn.functional.linear(x, self.parameters[name + ".weight"], self.parameters[name + ".bias"])

    def norm(self, name, x):
        p = self.parameters
        names = ("running_mean", "running_var", "weight", "bias")
        return torch.nn.functional.batch_norm(x, *(p[f"{name}.{role}"] for role in names), training=False, eps=1e-5)

    def submanifold(self, conv, norm, x, level):
        return self.norm(norm, self.conv(conv, x, self.levels.around[level], len(self.levels.cells[level])))

    def strided(self, conv, norm, x, level):
        """From the level above."""
        x = self.conv(conv, x, self.levels.down[level - 1], len(self.levels.cells[level]))
        return torch.relu(self.norm(norm, x))

    def transposed(self, conv, norm, x, level):
        """From the level below."""
        x = self.conv(conv, x, self.levels.down[level], len(self.levels.cells[level]), transposed=True)
        return torch.relu(self.norm(norm, x))

    def residual(self, first, second, shortcut, x, level):
        """Names are pairs (conv, norm); no shortcut's tensors: x itself."""
        y = torch.relu(self.submanifold(*first, x, level))
        y = self.submanifold(*second, y, level)
        if shortcut[0] + ".kernel" in self.parameters:
            x = self.norm(shortcut[1], x @ self.parameters[shortcut[0] + ".kernel"])
        return torch.relu(y + x)

    def stem(self, feats):
        x = torch.relu(self.submanifold("stem.0", "stem.1", self.input(feats), 0))
        return torch.relu(self.submanifold("stem.3", "stem.4", x, 0))

    def devoxelize(self, x, level):
        rows, weights = self.levels.corners(level)
        return (x[torch.from_numpy(rows)] * torch.tensor(weights, dtype=self.dtype)[:, :, None]).sum(dim=1)

    def voxelize(self, z, level):
        parents = torch.from_numpy(self.levels.parents(level))
        rows = len(self.levels.cells[level])
        sums = torch.zeros(rows, z.shape[1], dtype=self.dtype).index_add_(0, parents, z)
        return sums / torch.bincount(parents, minlength=rows)[:, None]
