"""Reductions and mixtures of rows by tables of indices: which op of graphs they are is found by what they give."""

from typing import Optional

import numpy as np
import torch

import voxshift as vs
from voxshift.torch.recording.values import Value, rows_value

_POOLS = {"mean": "avg_pool", "sum": "sum_pool", "max": "max_pool"}
_TOLERANCE = 1e-4  # of the largest number: rounding, and the 1e-8 that torchsparse adds to sums of weights


def pooled(recorder, src, out, index, dim, how) -> None:
    """torch_scatter's reductions: a permutation, one row per batch, or the mean in coarser voxels."""
    value = recorder.find(src)
    name = f"scatter_{how}"
    if value is None:
        return _pass_on(recorder, src, out, name)
    is_plain = value.is_rows and value.dims == (value.whole("n"), value.whole("c")) and dim % src.dim() == 0
    if not is_plain or how not in _POOLS or index.numel() != len(src):
        return recorder.taint(name + recorder.place(), out)
    index = index.reshape(-1)
    if len(out) == len(src) and torch.equal(index.sort()[0], torch.arange(len(src), dtype=index.dtype)):
        return recorder.same(src, out, torch.argsort(index))
    coordinates = value.order.coordinates
    if coordinates is not None and np.array_equal(value.sorted_rows(index.numpy()), coordinates.coords[:, 0]):
        return recorder.keep(out, rows_value(recorder.add(_POOLS[how], [value.name], {}), out, "m"))
    like = _found(recorder, value, src, out, _mean_in_voxels) if how == "mean" else None
    if like is None:
        return recorder.taint(name + recorder.place(), out)
    node = recorder.add("voxelize", [value.name, like.name], {})
    return recorder.keep(
        out, Value(node, {**like.groups, "c": value.channels}, like.dims[:1] + value.dims[1:], like.order, like.rows)
    )


def interpolated(recorder, feats, out) -> None:
    """Trilinear mixtures of voxels at finer ones: torchsparse's spdevoxelize."""
    value = recorder.find(feats)
    if value is None:
        return _pass_on(recorder, feats, out, "devoxelize")
    coarse = value.order.coordinates
    like = _found(recorder, value, feats, out, _at_voxels) if coarse is not None else None
    if like is None:
        return recorder.taint("devoxelize" + recorder.place(), out)
    dims = like.dims[:1] + value.dims[1:]
    groups = {**like.groups, "c": value.channels}
    if coarse.same_coordinates(like.order.coordinates) and coarse.stride == like.order.coordinates.stride:
        return recorder.keep(out, Value(value.name, groups, dims, like.order, like.rows))
    node = recorder.add("devoxelize", [value.name, like.name], {})
    return recorder.keep(out, Value(node, groups, dims, like.order, like.rows))


def _pass_on(recorder, src, out, name):
    if id(src) in recorder.makers:
        recorder.taint(recorder.makers[id(src)], out)


def _found(recorder, value, src, out, function) -> Optional[Value]:
    """The value on whose rows a function of the source gives `out`."""
    own, seen = value.order.coordinates, set()
    if own is None or not len(src) or src.dim() != 2:
        return None
    rows = value.sorted_rows(src.detach().numpy())
    limit = _TOLERANCE * max(float(np.abs(rows).max(initial=0)), 1e-6)
    for like, _ in reversed(list(recorder.values.values())):
        key = id(like.order), id(like.rows)
        if key in seen or not like.is_rows or like.groups["n"] != len(out) or like.order.coordinates is None:
            continue
        seen.add(key)
        expected = function(np.ascontiguousarray(rows), own, like.order.coordinates)
        if expected is not None and np.abs(expected - like.sorted_rows(out.detach().numpy())).max(initial=0) <= limit:
            return like
    return None


def _mean_in_voxels(rows, own, other):
    ratio = np.array((1, *other.stride)) // (1, *own.stride)
    if own.dims != other.dims or (ratio < 1).any() or (ratio * (1, *own.stride) != (1, *other.stride)).any():
        return None
    inverse = other.find(own.coords // ratio.astype(np.int32))
    return vs.voxelize_features(rows, inverse, other.size, "mean")


def _at_voxels(rows, own, other):
    if own.dims != 3 or other.dims != 3 or any(fine > coarse for fine, coarse in zip(other.stride, own.stride)):
        return None
    points = other.coords.astype(np.float32) * np.array((1, *other.stride), np.float32)
    return vs.interpolate(rows, vs.trilinear(own, points, "renormalized"))
