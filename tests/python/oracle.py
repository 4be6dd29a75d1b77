"""Sparse operators as plain loops over dictionaries, in double precision. Knows nothing of voxshift."""

import itertools

import numpy as np


def random_cloud(random, rows, dims, extent, batches=2, channels=5, lowest=0):
    """Unique coordinates int32 [N, 1 + dims] in lexicographic order, and features float32 [N, channels]."""
    coords = random.integers(lowest, lowest + extent, (rows, 1 + dims))
    coords[:, 0] = random.integers(0, batches, rows)
    coords = np.unique(coords, axis=0).astype(np.int32)
    return coords, random.standard_normal((len(coords), channels)).astype(np.float32)


def per_axis(value, dims):
    return (value,) * dims if np.isscalar(value) else tuple(value)


def window(size, dilation, dims):
    """Offsets in order: row-major, last axis fastest; odd sizes centred, even sizes 0..k-1."""
    axes = []
    for k, d in zip(per_axis(size, dims), per_axis(dilation, dims)):
        first = -(k // 2) if k % 2 else 0
        axes.append([(first + r) * d for r in range(k)])
    return list(itertools.product(*axes))


def coarser(coords, stride):
    """unique(floor(c / stride)), batch untouched, in lexicographic order."""
    stride = np.array((1, *per_axis(stride, coords.shape[1] - 1)))
    return np.unique(np.floor_divide(coords, stride), axis=0)


def pairs(fine, coarse, size, stride, dilation):
    """(offset, fine row, coarse row), by offset, then coarse row: fine = coarse * stride + offset."""
    dims = fine.shape[1] - 1
    stride = per_axis(stride, dims)
    row_of = {tuple(c): i for i, c in enumerate(fine.tolist())}
    found = []
    for k, offset in enumerate(window(size, dilation, dims)):
        for row, (batch, *c) in enumerate(coarse.tolist()):
            tap = (batch, *(a * s + o for a, s, o in zip(c, stride, offset)))
            if tap in row_of:
                found.append((k, row_of[tap], row))
    return np.array(found, np.int64).reshape(-1, 3)


def accumulate(triples, feats, weight, rows, transposed=False):
    """out[o] = sum of feats[i] W[k] over the pairs."""
    out = np.zeros((rows, weight.shape[2]))
    for k, fine, coarse in triples:
        i, o = (coarse, fine) if transposed else (fine, coarse)
        out[o] += feats[i].astype(np.float64) @ weight[k].astype(np.float64)
    return out


def relative_error(found, expected):
    """Greatest error of a row relative to the row's norm; rows of zeros must be zeros."""
    error = np.linalg.norm(found - expected, axis=1)
    norm = np.linalg.norm(expected, axis=1)
    return np.max(np.divide(error, norm, out=np.where(error > 0, np.inf, 0.0), where=norm > 0), initial=0.0)
