"""Operators of graphs on points. Gradients are those of features and, where they are values, of places: `coordinates`,
samples, neighbours' places in `group` and offsets. Which rows are picked, in which voxel a point is, and the weights of
mixtures have none.
"""

import numpy as np
import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

import voxshift as vs
from voxshift.torch.gradients import gradient
from voxshift.torch.memory import array, counted, tensor_of
from voxshift.torch.points import gather, interpolate, voxelize_features
from voxshift.torch.precision import of_rows
from voxshift.torch.values import Cells, Groups, Points

gradient("coordinates", of="points")(lambda points: points.with_feats(points.clouds.xyz))


@gradient("furthest_point_sample", of="points")
def _furthest_point_sample(points, count):
    samples = points.clouds.samples(count)
    return Points(samples.xyz, samples)


@gradient("group", of="points")
def _group(points, centers, count, radius):
    if not isinstance(centers, Points):
        return NotImplemented
    of, around = points.clouds, centers.clouds
    found = vs.ball_query(of.points, around.points, radius, count, of.row_splits, around.row_splits)
    neighbors = tensor_of(found).reshape(-1)
    own = counted(len(neighbors), neighbors.device, count).masked_fill(neighbors < 0, -1)
    relative = gather(of.xyz, neighbors) - gather(around.xyz, own)
    return Groups(torch.cat((relative, gather(points.feats, neighbors)), 1), around, count)


@gradient("three_nearest", of="points")
def _three_nearest(centers, like):
    if not isinstance(like, Points):
        return NotImplemented
    of, at = centers.clouds, like.clouds
    return like.with_feats(
        interpolate(centers.feats, vs.three_nearest(at.points, of.points, at.row_splits, of.row_splits))
    )


class _VoxelizeDense(Function):
    @staticmethod
    def forward(ctx, feats, grid):
        ctx.grid = grid
        feats = array("voxelize_dense", "features", feats, halves=True)
        return tensor_of(vs.voxelize_dense(feats, grid.coords, grid.resolution, grid.row_splits)).flatten(0, 3)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        cells = array("voxelize_dense", "grad", grad, halves=True).reshape(*ctx.grid.shape, -1)
        return tensor_of(vs.voxelize_dense_backward(ctx.grid.coords, cells, ctx.grid.row_splits)), None


@gradient("voxelize_dense", of="points")
def _voxelize_dense(points, resolution, normalize, eps):
    grid = points.clouds.grid(resolution, normalize, eps)
    return Cells(_VoxelizeDense.apply(of_rows(points.feats), grid), grid)


class _DevoxelizeDense(Function):
    @staticmethod
    def forward(ctx, feats, grid):
        ctx.grid = grid
        cells = array("devoxelize_dense", "grid", feats, halves=True).reshape(*grid.shape, -1)
        return tensor_of(vs.devoxelize_dense(cells, grid.coords, grid.row_splits))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        grid, grad = ctx.grid, array("devoxelize_dense", "grad", grad, halves=True)
        cells = vs.devoxelize_dense_backward(grid.coords, grad, grid.resolution, grid.row_splits)
        return tensor_of(cells).flatten(0, 3), None


@gradient("devoxelize_dense", of="values")
def _devoxelize_dense(cells, like):
    known = isinstance(cells, Cells)
    return like.with_feats(_DevoxelizeDense.apply(of_rows(cells.feats), cells.grid)) if known else NotImplemented


def _per_axis(value):
    return [float(v) for v in np.broadcast_to(np.float32(value), 3)]


@gradient("voxelize_points", of="points")
def _voxelize_points(x, *, voxel_size, lowest, highest, reduce, axes, outside):
    cells = x.clouds.cells(*map(_per_axis, (voxel_size, lowest, highest)), axes, outside)
    return cells.voxels(voxelize_features(x.feats, cells.of_points, len(cells), reduce))


@gradient("voxel_offsets", of="points")
def _voxel_offsets(points, voxels, **options):
    cells = voxels.cells_of_points
    if cells is None:
        return NotImplemented
    xyz = cells.xyz
    if options["from"] == "mean":
        origin = voxelize_features(xyz.contiguous(), cells.of_points, len(cells), "mean")
    else:
        origin = cells.centers
    inside = (cells.of_points >= 0)[:, None]
    return points.with_feats(torch.where(inside, xyz - gather(origin, cells.of_points), xyz.new_zeros(())))
