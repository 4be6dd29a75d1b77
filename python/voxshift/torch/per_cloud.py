"""Operators that know which cloud, batch or image a row belongs to: pooling, normalisation, and rows of clouds at theirs."""

import torch

from voxshift.torch.functional import _BatchNorm, linear
from voxshift.torch.gradients import gradient
from voxshift.torch.points import gather, voxelize_features
from voxshift.torch.sparse_tensor import SparseTensor
from voxshift.torch.values import Groups, Images, PerCloud, Points, clouds_of


def _pool(x, reduce, clouds):
    if isinstance(x, Groups):
        return Points(voxelize_features(x.feats, x.centers_of_rows, len(x.centers.points), reduce), x.centers)
    of_rows = clouds_of(x)
    return NotImplemented if of_rows is None else PerCloud(voxelize_features(x.feats, of_rows, clouds, reduce))


@gradient("avg_pool", of="values", counts_clouds=True)
def _avg_pool(x, clouds):
    return PerCloud(x.images.mean(dim=(1, 2))) if isinstance(x, Images) else _pool(x, "mean", clouds)


gradient("max_pool", of="values", counts_clouds=True)(lambda x, clouds: _pool(x, "max", clouds))
gradient("sum_pool", of="values", counts_clouds=True)(lambda x, clouds: _pool(x, "sum", clouds))


def _slices(of_rows):
    """(cloud, its rows) of every cloud that has any."""
    clouds, counts = torch.unique_consecutive(of_rows, return_counts=True)
    slices, first = [], 0
    for b, count in zip(clouds.tolist(), counts.tolist()):
        slices.append((b, slice(first, first + count)))
        first += count
    return slices


@gradient("instance_norm", of="values")
def _instance_norm(x, *, weight=None, bias=None, eps):
    of_rows = clouds_of(x)
    if of_rows is None:
        return NotImplemented
    channels = x.feats.shape[1]
    weight = x.feats.new_ones(channels) if weight is None else weight
    bias = x.feats.new_zeros(channels) if bias is None else bias
    parts = [_BatchNorm.apply(x.feats[rows], weight, bias, None, eps, None, 0.0)[0] for _, rows in _slices(of_rows)]
    return x.with_feats(torch.cat([x.feats[:0], *parts]))


@gradient("matmul_clouds", of="values")
def _matmul_clouds(x, matrices):
    of_rows = clouds_of(x)
    if of_rows is None:
        return NotImplemented
    channels = x.feats.shape[1]
    each = matrices.feats.reshape(len(matrices.feats), channels, -1)
    parts = [linear(x.feats[rows], each[b].t()) for b, rows in _slices(of_rows)]
    return x.with_feats(torch.cat([x.feats.new_zeros(0, each.shape[2]), *parts]))


@gradient("scale", of="values")
def _scale(x, clouds):
    of_rows = clouds_of(x)
    return NotImplemented if of_rows is None else x.with_feats(x.feats * gather(clouds.feats, of_rows))


@gradient("broadcast", of="values")
def _broadcast(x, like):
    if isinstance(x, SparseTensor):
        cells = x.cells_of_points
        return NotImplemented if cells is None else like.with_feats(gather(x.feats, cells.of_points))
    of_rows = clouds_of(like)
    return NotImplemented if of_rows is None else like.with_feats(gather(x.feats, of_rows))
