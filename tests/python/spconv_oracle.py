"""spconv's rules as plain loops over cells, with products in float64 for autograd. Knows nothing of voxshift.

A cell is (batch, *place). Pairs are (tap, input row, output row); taps are row-major, the last axis fastest.
"""

import itertools

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")


def taps_of(kernel):
    return list(itertools.product(*map(range, kernel)))


def submanifold(cells, kernel, dilation, first=None):
    """Pairs of the cells with themselves; tap r lies at r dilation + first, which is centred unless given."""
    first = first or [-(k // 2) * d for k, d in zip(kernel, dilation)]
    row = {cell: i for i, cell in enumerate(cells)}
    pairs = []
    for k, tap in enumerate(taps_of(kernel)):
        for o, (batch, *place) in enumerate(cells):
            at = (batch, *(x + r * d + f for x, r, d, f in zip(place, tap, dilation, first)))
            if at in row:
                pairs.append((k, row[at], o))
    return pairs


def strided(cells, shape, kernel, stride, padding, dilation):
    """(output cells in order, pairs, extent): in = out * stride - padding + tap * dilation."""
    sizes = zip(shape, kernel, stride, padding, dilation)
    extent = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]
    found = []
    for k, tap in enumerate(taps_of(kernel)):
        for i, (batch, *place) in enumerate(cells):
            moved = [x + p - r * d for x, p, r, d in zip(place, padding, tap, dilation)]
            if any(m % s for m, s in zip(moved, stride)):
                continue
            at = tuple(m // s for m, s in zip(moved, stride))
            if all(0 <= a < n for a, n in zip(at, extent)):
                found.append((k, i, (batch, *at)))
    return _numbered(found, extent)


def transposed(cells, shape, kernel, stride, padding, dilation, output_padding):
    """(output cells in order, pairs, extent): out = in * stride - padding + tap * dilation."""
    sizes = zip(shape, kernel, stride, padding, output_padding)
    extent = [(n - 1) * s - 2 * p + k + more for n, k, s, p, more in sizes]
    found = []
    for k, tap in enumerate(taps_of(kernel)):
        for i, (batch, *place) in enumerate(cells):
            at = tuple(x * s - p + r * d for x, s, p, r, d in zip(place, stride, padding, tap, dilation))
            if all(0 <= a < n for a, n in zip(at, extent)):
                found.append((k, i, (batch, *at)))
    return _numbered(found, extent)


def _numbered(found, extent):
    outputs = sorted({cell for _, _, cell in found})
    row = {cell: o for o, cell in enumerate(outputs)}
    return outputs, [(k, i, row[cell]) for k, i, cell in found], extent


def swapped(pairs):
    return [(k, o, i) for k, i, o in pairs]


def convolved(feats, kernel, pairs, rows):
    """float64 [rows, out]: the sum over pairs of feats[i] @ kernel[k], kernel [taps, in, out]."""
    out = torch.zeros(rows, kernel.shape[2], dtype=torch.float64)
    for k in range(len(kernel)):
        ins = torch.tensor([i for tap, i, _ in pairs if tap == k], dtype=torch.long)
        outs = torch.tensor([o for tap, _, o in pairs if tap == k], dtype=torch.long)
        out = out.index_add(0, outs, feats[ins] @ kernel[k])
    return out


def pooled(feats, pairs, rows, how):
    """float64 [rows, C] over the pairs of each output row: the largest of 0 and them, or their mean."""
    members = [[] for _ in range(rows)]
    for _, i, o in pairs:
        members[o].append(i)
    if how == "max":
        return torch.stack([feats[m].max(0).values.clamp(min=0) for m in members])
    return torch.stack([feats[m].mean(0) for m in members])
