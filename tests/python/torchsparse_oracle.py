"""torchsparse's rules, version by version, as plain loops over cells. Knows nothing of voxshift.

Cells are tuples (batch, x, y, z) in units of their own grid. The k-th weight belongs to the k-th offset.
"""

import itertools

import torch


def ordered_offsets(lowest, size):
    """The window's offsets in the order of weights: x fastest for an odd number of them, else z."""
    axes = [range(low, low + n) for low, n in zip(lowest, size)]
    if size[0] * size[1] * size[2] % 2:
        return [(x, y, z) for z in axes[2] for y in axes[1] for x in axes[0]]
    return [(x, y, z) for x in axes[0] for y in axes[1] for z in axes[2]]


def shifted(cell, offset, sign=1):
    return (cell[0], *(c + sign * o for c, o in zip(cell[1:], offset)))


def fine_cell(coarse, stride, offset):
    return (coarse[0], *(c * s + o for c, s, o in zip(coarse[1:], stride, offset)))


def reached(cells, offsets, stride, allowed):
    """What lies an offset away from a cell, where it is a multiple of the stride and allowed, divided by the stride."""
    found = set()
    for cell in cells:
        for offset in offsets:
            place = shifted(cell, offset)
            if all(p % s == 0 for p, s in zip(place[1:], stride)):
                coarse = (place[0], *(p // s for p, s in zip(place[1:], stride)))
                if allowed(place, coarse):
                    found.add(coarse)
    return found


def before_2_1(cells, size, stride, version):
    """(coarse cells, offsets) of 1.4 and 2.0."""
    offsets = ordered_offsets([-n // 2 + 1 for n in size], size)
    if max(stride) == 1:
        return set(cells), offsets
    if all(s in (1, n) for s, n in zip(stride, size)):
        def divided(value, step):
            return value // step if version == "1.4" else int(value / step)

        return {(c[0], *(divided(v, s) for v, s in zip(c[1:], stride))) for c in cells}, offsets
    lowest = [min(c[axis] for c in cells) for axis in (1, 2, 3)]
    around = offsets
    if version == "2.0":
        around = list(itertools.product(*(range(-(n // 2), n // 2 + 1) if n % 2 else range(n) for n in size)))
    not_below = lambda place, _: all(p >= low for p, low in zip(place[1:], lowest))
    return reached(cells, around, stride, not_below), offsets


def from_2_1(cells, size, stride, padding, table=False, minkowski=False):
    """(coarse cells, offsets) of 2.1; table: kmap_mode "hashmap"."""
    padding = [(n - 1) // 2 if n % 2 and s == 1 else p for n, s, p in zip(size, stride, padding)]
    if table:
        offsets = ordered_offsets([-((n - 1) // 2) for n in size], size)
    elif max(stride) > 1:
        offsets = ordered_offsets([-p for p in padding], size)
    else:
        odd = size[0] * size[1] * size[2] % 2
        offsets = ordered_offsets([-((n - 1) // 2) if odd else 0 for n in size], size)
    if max(stride) == 1:
        return set(cells), offsets
    if table and (minkowski or all(s in (1, n) for s, n in zip(stride, size))):
        return {(c[0], *(v // s for v, s in zip(c[1:], stride))) for c in cells}, offsets
    highest = [
        (max(c[axis + 1] for c in cells) + 2 * padding[axis] - (size[axis] - 1)) // stride[axis] for axis in range(3)
    ]
    taps = list(itertools.product(*(range(n) for n in size)))
    backwards = [tuple(p - t for p, t in zip(padding, tap)) for tap in taps]
    inside = lambda _, coarse: all(0 <= c <= high for c, high in zip(coarse[1:], highest))
    return reached(cells, backwards, stride, inside), offsets


def convolved(cells, feats, weight, coarse, offsets, stride):
    """Features [M, Cout] of the coarse cells: the sum of x[coarse * stride + offset] W."""
    rows = {cell: row for row, cell in enumerate(cells)}
    out = []
    for cell in coarse:
        total = torch.zeros(weight.shape[2])
        for k, offset in enumerate(offsets):
            row = rows.get(fine_cell(cell, stride, offset))
            if row is not None:
                total = total + feats[row] @ weight[k]
        out.append(total)
    return torch.stack(out) if out else torch.zeros(0, weight.shape[2])


def convolved_back(fine, coarse, feats, weight, offsets, stride):
    """Features [N, Cout] of the fine cells: each coarse row times W goes to coarse * stride + offset."""
    rows = {cell: row for row, cell in enumerate(fine)}
    out = [torch.zeros(weight.shape[2]) for _ in fine]
    for row, cell in enumerate(coarse):
        for k, offset in enumerate(offsets):
            to = rows.get(fine_cell(cell, stride, offset))
            if to is not None:
                out[to] = out[to] + feats[row] @ weight[k]
    return torch.stack(out)
