"""MinkowskiEngine's rules as plain loops over coordinates. Knows nothing of voxshift.

Coordinates are tuples (batch, x, ..), multiples of their tensor stride. The k-th weight belongs to the k-th offset.
"""

import itertools

import torch


def cube(size):
    """Offsets of a box, first axis fastest: odd sizes centred, even ones 0 .. k - 1."""
    axes = [range(-(n // 2), n // 2 + 1) if n % 2 else range(n) for n in size]
    return [offset[::-1] for offset in itertools.product(*reversed(axes))]


def cross(size):
    """The centre, then along each axis 1 .. r, -r .. -1."""
    offsets = [tuple(0 for _ in size)]
    for axis, n in enumerate(size):
        r = (n - 1) // 2
        for index in range(n - 1):
            step = index + 1 if index < r else index - 2 * r
            offsets.append(tuple(step if a == axis else 0 for a in range(len(size))))
    return offsets


def scaled(offsets, *factors):
    out = []
    for offset in offsets:
        for factor in factors:
            offset = tuple(o * f for o, f in zip(offset, factor))
        out.append(offset)
    return out


def moved(place, offset):
    return (place[0], *(p + o for p, o in zip(place[1:], offset)))


def rounded_down(places, stride):
    return {(p[0], *((v // s) * s for v, s in zip(p[1:], stride))) for p in places}


def generated(places, offsets, stride=None):
    made = {moved(place, offset) for place in places for offset in offsets}
    return made if stride is None else {p for p in made if all(v % s == 0 for v, s in zip(p[1:], stride))}


def convolved(places, feats, weight, out_places, offsets):
    """out[u] = sum of in[u + offset] W: float [M, Cout]."""
    rows = {place: row for row, place in enumerate(places)}
    out = []
    for place in out_places:
        total = torch.zeros(weight.shape[2])
        for k, offset in enumerate(offsets):
            row = rows.get(moved(place, offset))
            if row is not None:
                total = total + feats[row] @ weight[k]
        out.append(total)
    return torch.stack(out) if out else torch.zeros(0, weight.shape[2])


def transposed(places, feats, weight, out_places, offsets):
    """out[u + offset] gets in[u] W."""
    rows = {place: row for row, place in enumerate(out_places)}
    out = [torch.zeros(weight.shape[2]) for _ in out_places]
    for row, place in enumerate(places):
        for k, offset in enumerate(offsets):
            to = rows.get(moved(place, offset))
            if to is not None:
                out[to] = out[to] + feats[row] @ weight[k]
    return torch.stack(out)


def pooled(feats, groups, reduce):
    """One row per list of rows; 0 for an empty one."""
    out = []
    for rows in groups:
        part = feats[rows]
        if not rows:
            out.append(torch.zeros(feats.shape[1]))
        else:
            out.append({"sum": part.sum(0), "mean": part.mean(0), "max": part.max(0)[0]}[reduce])
    return torch.stack(out)


def groups_of(places, out_places, offsets):
    """Of every out place the rows that lie an offset away."""
    rows = {place: row for row, place in enumerate(places)}
    return [[rows[p] for p in (moved(place, o) for o in offsets) if p in rows] for place in out_places]


def children_of(places, out_places, stride):
    """Of every out place the rows that round down to it."""
    found = {place: [] for place in out_places}
    for row, place in enumerate(places):
        parent = next(iter(rounded_down([place], stride)))
        if parent in found:
            found[parent].append(row)
    return [found[place] for place in out_places]


def interpolated(places, feats, stride, point):
    """The linear mixture of the 2^D places around a point, absent ones counting as 0."""
    rows = {place: row for row, place in enumerate(places)}
    total = torch.zeros(feats.shape[1])
    low = [int(v // s) * s for v, s in zip(point[1:], stride)]
    for corner in itertools.product((0, 1), repeat=len(stride)):
        place = (int(point[0]), *(v + bit * s for v, bit, s in zip(low, corner, stride)))
        weight = 1.0
        for v, p, s in zip(point[1:], place[1:], stride):
            weight *= 1 - abs(v - p) / s
        if place in rows:
            total = total + weight * feats[rows[place]]
    return total
