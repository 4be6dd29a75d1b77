"""The convolutions of graphs, on voxels, on the cells of dense grids, and of one tap on any rows."""

from fractions import Fraction
from functools import partial
from math import lcm

import torch

from voxshift.torch.functional import conv3d, conv3d_and_input, linear, per_axis
from voxshift.torch.gradients import OPS, gradient
from voxshift.torch.sparse_tensor import SparseTensor
from voxshift.torch.values import Cells


def _groups_of(x, weight, groups):
    """(channels of x, weight) of each group."""
    return zip(x.feats.chunk(groups, 1), weight.chunk(groups, -1))


def _of_voxels(op, x, weight, bias, groups, window):
    if groups == 1:
        return conv3d_and_input(x, weight, bias, **window, op=op)
    parts = [conv3d(x.with_feats(feats), w, **window, op=op) for feats, w in _groups_of(x, weight, groups)]
    feats = torch.cat([part.feats for part in parts], 1)
    return parts[0].with_feats(feats if bias is None else feats + bias)


def _of_rows(x, weight, bias, groups):
    parts = [linear(feats, w.reshape(w.shape[-2:]).t()) for feats, w in _groups_of(x, weight, groups)]
    feats = torch.cat(parts, 1)
    return x.with_feats(feats if bias is None else feats + bias)


def _convolution(op, x, *, weight, bias=None, groups, **window):
    if isinstance(x, SparseTensor):
        return _of_voxels(op, x, weight, bias, groups, window)
    if weight.dim() == 2 or weight.shape[0] == 1:
        return _of_rows(x, weight, bias, groups)
    if not isinstance(x, Cells):
        return NotImplemented
    found = _of_voxels(op, SparseTensor(x.feats, x.grid.coordinates), weight, bias, groups, window)
    if not isinstance(found, tuple):
        return x.with_feats(found.feats)
    return tuple(x.with_feats(part.feats) for part in found)


for _op in ("conv", "conv_transpose", "generative_conv_transpose"):
    gradient(_op, of="values")(partial(_convolution, _op))


def refinement(graph) -> list[int]:
    """Along each axis the least stride of a network's voxels with which those that it generates have whole ones."""
    strides, unit = {}, (Fraction(1),) * graph["dims"]
    for node in graph["nodes"]:
        inputs = OPS[node["op"]]["inputs"]
        stride = strides.get(node["inputs"][inputs.index("like") if "like" in inputs else 0], unit)
        if node["op"] in ("conv", "pool", "conv_transpose", "generative_conv_transpose"):
            steps = per_axis(node["stride"], len(unit))
            down = node["op"] in ("conv", "pool")
            stride = tuple(s * step if down else s / step for s, step in zip(stride, steps))
        strides[node["name"]] = stride
    return [lcm(*(stride.denominator for stride in axis)) for axis in zip(unit, *strides.values())]
