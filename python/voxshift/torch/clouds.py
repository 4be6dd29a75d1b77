"""The points that a network was given, in voxels: voxelize_points and voxel_offsets with gradients of the features."""

import numpy as np
import torch

import voxshift as vs
from voxshift.torch.functional import array
from voxshift.torch.gradients import gradient
from voxshift.torch.points import voxelize_features
from voxshift.torch.sparse_tensor import SparseTensor

_NO_LIMIT = 1e30


class Clouds:
    """float32 [N, C] points, x y z first, of which rows [row_splits[b], row_splits[b + 1]) are cloud b, and their cells."""

    def __init__(self, points, row_splits):
        self.points = array("Network", "points", points)
        self.row_splits = np.array((0, len(points))) if row_splits is None else np.asarray(row_splits)
        self._cells = {}

    def __len__(self):
        return len(self.row_splits) - 1

    def cells(self, size, lowest, highest):
        """(SparseTensor without channels, int64 [N] the voxel of each point, -1 for none). All in metres per axis."""
        key = (*size, *lowest, *highest)
        if key not in self._cells:
            self._cells[key] = self._find(*(np.array(value, np.float32) for value in (size, lowest, highest)))
        return self._cells[key]

    def _find(self, size, lowest, highest):
        xyz = self.points[:, :3]
        inside = np.isfinite(self.points @ np.zeros(self.points.shape[1], np.float32))
        for axis in range(3):
            inside &= (xyz[:, axis] >= lowest[axis]) & (xyz[:, axis] < highest[axis])
        rows = np.flatnonzero(inside)
        from_lowest = xyz[rows] - np.where(lowest > -_NO_LIMIT, lowest, np.float32(0))
        splits = np.searchsorted(rows, self.row_splits)
        found = vs.voxelize(from_lowest, size.tolist(), rounding="floor", row_splits=splits)
        inverse = np.full(len(xyz), -1, np.int64)
        inverse[rows] = found.inverse
        extent = np.maximum(1, np.ceil((highest - lowest) / size - np.float32(1e-3)))
        shape = [int(n) for n in extent] if (extent < 2**30).all() else None
        coords = found.tensor.coords
        if shape and len(coords):  # a point just below the highest may be rounded into a cell beyond the last
            shape = np.maximum(shape, coords[:, 1:].max(0) + 1).tolist()
        coordinates = vs.Coordinates(coords, 1, shape)
        return SparseTensor(torch.zeros(coordinates.size, 0), coordinates), inverse


def _per_axis(value):
    return [float(v) for v in np.broadcast_to(np.float32(value), 3)]


@gradient("voxelize_points", of="points")
def _voxelize_points(x, *, voxel_size, lowest, highest, reduce, axes):
    if axes != "cartesian":
        return NotImplemented
    grid = tuple(_per_axis(value) for value in (voxel_size, lowest, highest))
    voxels, inverse = x.clouds.cells(*grid)
    out = voxels.with_feats(voxelize_features(x.feats, inverse, len(voxels), reduce))
    out.cells_of_points = (grid, inverse)
    return out


@gradient("voxel_offsets", of="points")
def _voxel_offsets(x, voxels, **options):
    """The offsets; who asks for their gradient is the library's to answer."""
    made_of = getattr(voxels, "cells_of_points", None)
    if made_of is None or x.feats.requires_grad or voxels.feats.requires_grad:
        return NotImplemented
    (size, lowest, _), inverse = made_of
    xyz = torch.from_numpy(x.clouds.points[:, :3])
    if options["from"] == "mean":
        origin = voxelize_features(xyz.contiguous(), inverse, len(voxels), "mean")
    else:
        size, lowest = torch.tensor(size), torch.tensor([low if low > -_NO_LIMIT else 0.0 for low in lowest])
        origin = lowest + (torch.from_numpy(voxels.coordinates.coords[:, 1:].copy()) + 0.5) * size
    found = torch.from_numpy(inverse)
    if not len(voxels):
        return x.with_feats(torch.zeros(len(xyz), 3))
    offsets = xyz - origin[found.clamp(min=0)]
    return x.with_feats(torch.where((found >= 0)[:, None], offsets, torch.zeros(())))

