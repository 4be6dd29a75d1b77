"""Operators between points and voxels, with gradients of the features; coordinates and weights have none."""

from functools import reduce
from typing import Union

import numpy as np
import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag, pad

import voxshift as vs
from voxshift.torch import precision, recording
from voxshift.torch.gradients import gradient
from voxshift.torch.memory import array, is_taken, numbers, tensor_of
from voxshift.torch.sparse_tensor import SparseTensor

_MOST_MIXED = 8  # rows that the library mixes into one


class _Interpolate(Function):
    @staticmethod
    def forward(ctx, feats, interpolation):
        ctx.interpolation = interpolation
        return tensor_of(vs.interpolate(array("interpolate", "feats", feats, halves=True), interpolation))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return tensor_of(vs.interpolate_backward(ctx.interpolation, array("interpolate", "grad", grad, halves=True))), None


class _Gather(Function):
    @staticmethod
    def forward(ctx, feats, indices):
        indices = numbers("gather", "indices", indices, feats.device)
        ctx.indices, ctx.rows = indices, len(feats)
        return tensor_of(vs.gather(array("gather", "feats", feats, halves=True), indices))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return tensor_of(vs.gather_backward(ctx.indices, array("gather", "grad", grad, halves=True), ctx.rows)), None


class _VoxelizeFeatures(Function):
    @staticmethod
    def forward(ctx, feats, inverse, voxels, reduce):
        inverse = numbers("voxelize_features", "inverse", inverse, feats.device)
        ctx.inverse, ctx.reduce = inverse, reduce
        if reduce == "max":
            ctx.save_for_backward(feats)
        feats = array("voxelize_features", "feats", feats, halves=True)
        return tensor_of(vs.voxelize_features(feats, inverse, voxels, reduce))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        feats = array("voxelize_features", "feats", ctx.saved_tensors[0], halves=True) if ctx.saved_tensors else None
        gradient = array("voxelize_features", "grad", grad, halves=True)
        return tensor_of(vs.voxelize_features_backward(feats, ctx.inverse, gradient, ctx.reduce)), None, None, None


def interpolate(feats: torch.Tensor, interpolation: vs.Interpolation) -> torch.Tensor:
    """sum_j weights[i, j] * feats[indices[i, j]]: [N, C] of feats [interpolation.rows, C], float32 or, on CUDA, halves.

    interpolation: of voxshift.trilinear or three_nearest. Raises ValueError for other shapes or dtypes.
    """
    out = _Interpolate.apply(precision.of_rows(feats), interpolation)
    recording.refuse("interpolate", out)
    return out


def gather(feats: torch.Tensor, indices: Union[torch.Tensor, np.ndarray]) -> torch.Tensor:
    """Rows of feats [N, C], float32 or, on CUDA, halves, at indices int32 or int64 [M]: [M, C]; -1 gives zeros."""
    return _Gather.apply(precision.of_rows(feats), indices)


def mixture(feats: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """[N, C]: sum_j weights[i, j] * feats[rows[i, j]], of rows int64 [N, K]; -1 counts as 0."""
    if feats.device.type == "cpu":
        weights = torch.where(rows >= 0, weights.to(feats.dtype), weights.new_zeros((), dtype=feats.dtype))
        return embedding_bag(rows.clamp(min=0), feats, mode="sum", per_sample_weights=weights)
    rows = rows.int()
    if rows.shape[1] > _MOST_MIXED or weights.requires_grad:
        wide = feats.float() if feats.dtype in precision.HALVES else feats
        parts = [gather(wide, rows[:, j]) * weights[:, j : j + 1] for j in range(rows.shape[1])]
        return reduce(torch.add, parts).to(feats.dtype)
    found, shares = (numbers("interpolate", "rows", x, feats.device) for x in (rows, weights.float()))
    return _Interpolate.apply(feats, vs.Interpolation(found, shares, len(feats)))


def summed(feats: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
    """[count, C]: the sums of the rows of feats [N, C] by index int [N], in the order of rows on any device."""
    if feats.device.type == "cpu":
        return feats.new_zeros((count, feats.shape[1])).index_add(0, index, feats)
    if is_taken(feats, halves=True):
        return _VoxelizeFeatures.apply(feats, index.int(), count, "sum")
    return feats.new_zeros((count, feats.shape[1])).index_put((index.long(),), feats, accumulate=True)  # sorts


def averaged(feats: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
    """[count, C]: the means of the rows of feats [N, C], as array() takes them, by index int [N]; 0 where there is none."""
    return _VoxelizeFeatures.apply(feats, index.int(), count, "mean")


def voxelize_features(
    feats: torch.Tensor, inverse: Union[torch.Tensor, np.ndarray], voxels: int, reduce: str = "mean"
) -> torch.Tensor:
    """Features of points reduced by their voxels: [voxels, C] of feats [N, C] (torchsparse's spvoxelize).

    feats: float32 or, on CUDA, halves, whose sums are float32. inverse: int32 or int64 [N], the voxel of each point, -1 for
    none. reduce: "first", "mean", "max" or "sum". A voxel without points gets 0; among equal maxima the first has the
    gradient. Raises ValueError for other shapes, dtypes or voxels.
    """
    out = _VoxelizeFeatures.apply(precision.of_rows(feats), inverse, voxels, reduce)
    recording.refuse("voxelize_features", out)
    return out


def _cells(x: SparseTensor) -> torch.Tensor:
    """float32 [N, 1 + D]: batch and place of each coordinate, in cells of the network's input."""
    return x.coords.float() * torch.tensor((1, *x.stride), dtype=torch.float32, device=x.device)


def devoxelize(
    x: SparseTensor, points: Union[SparseTensor, torch.Tensor], mode: str = "renormalized"
) -> Union[SparseTensor, torch.Tensor]:
    """Features of the voxels x, of 3 dimensions, at points, trilinear (torchsparse's spdevoxelize).

    points: float32 [N, 4], batch, x, y, z in cells of the network's input, which gives [N, C]; or a SparseTensor,
    at whose coordinates a SparseTensor of the features is given (spvnas' voxel_to_point). mode: "renormalized" over the
    voxels that are present, or "raw" (MinkowskiEngine). Raises ValueError for other shapes or dtypes.
    """
    if not isinstance(points, SparseTensor):
        return interpolate(x.feats, vs.trilinear(x.coordinates, array("devoxelize", "points", points), mode))
    feats = interpolate(x.feats, vs.trilinear(x.coordinates, array("devoxelize", "points", _cells(points)), mode))
    if mode == "renormalized":
        recording.note("devoxelize", (x.feats, points.feats), feats)
    return points.with_feats(feats)


@gradient("devoxelize", of="voxels")
def _devoxelize_of_nodes(x, like):
    if x.coordinates.dims == 3:
        return devoxelize(x, like)
    missing = 3 - x.coordinates.dims  # axes
    coords = numbers("devoxelize", "voxels", pad(x.coords, (0, missing)), x.device)
    voxels = vs.Coordinates(coords, (*x.stride, *[1] * missing))
    cells = array("devoxelize", "points", pad(_cells(like), (0, missing)))
    return like.with_feats(interpolate(x.feats, vs.trilinear(voxels, cells, "renormalized")))


@gradient("voxelize", of="voxels")
def voxelize(x: SparseTensor, like: SparseTensor) -> SparseTensor:
    """Mean of the rows of x in each voxel of `like`, whose strides are multiples of x's (spvnas' point_to_voxel).

    Rows of x outside of all voxels take no part; a voxel without rows gets 0. Raises ValueError for other strides.
    """
    if any(coarse % fine for coarse, fine in zip(like.stride, x.stride)):
        raise vs.InvalidArgument(f"[voxelize] strides {like.stride} expected to be multiples of {x.stride}")
    ratio = [coarse // fine for coarse, fine in zip(like.stride, x.stride)]
    places = torch.div(x.coords, torch.tensor((1, *ratio), dtype=torch.int32, device=x.device), rounding_mode="floor")
    inverse = like.coordinates.find(numbers("voxelize", "coordinates", places, like.device))
    feats = voxelize_features(x.feats, inverse, len(like))
    recording.note("voxelize", (x.feats, like.feats), feats)
    return like.with_feats(feats)
