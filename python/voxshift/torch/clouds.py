"""The points of a network, given or sampled, and what is found from their places: cells, dense grids, samples."""

from functools import cached_property, lru_cache

import numpy as np
import torch
from torch.autograd.function import once_differentiable

import voxshift as vs
from voxshift.torch.memory import array, copied, numbers, on_host, rows, tensor_of
from voxshift.torch.points import gather
from voxshift.torch.precision import WideFunction
from voxshift.torch.sparse_tensor import SparseTensor

_NO_LIMIT = 1e30


class Clouds:
    """float32 [N, C] points, x y z first, of which rows [row_splits[b], row_splits[b + 1]) are cloud b.

    xyz, theirs and that of samples, carries the gradient of the points; indices and weights that follow from it do not.
    stride: of the voxels that are made of them.
    """

    def __init__(self, points, row_splits=None, stride=1):
        self.points = array("Network", "points", points)
        self.xyz = points[:, :3]
        self.row_splits = np.array((0, len(points))) if row_splits is None else on_host(row_splits)
        self.stride = stride
        self._found = {}

    def __len__(self):
        return len(self.row_splits) - 1

    @cached_property
    def of_rows(self):
        """int32 [N] on the points' device: the cloud of each point."""
        return rows(np.repeat(np.arange(len(self)), np.diff(self.row_splits)), self.xyz.device)

    def samples(self, count):
        """Clouds of x, y and z of the `count` furthest points of each."""
        return self._once(_sample, count)

    def cells(self, size, lowest, highest, axes="cartesian", outside="dropped"):
        """CellsOfPoints; along each axis in metres, of an angle in radians."""
        return self._once(CellsOfPoints, *map(tuple, (size, lowest, highest)), axes, outside)

    def grid(self, resolution, normalize, eps):
        """The DenseGrid around each cloud."""
        return self._once(DenseGrid, resolution, normalize, eps)

    def _once(self, make, *how):
        key = (make, *how)
        if key not in self._found:
            self._found[key] = make(self, *how)
        return self._found[key]


def _sample(clouds, count):
    sampled = tensor_of(vs.furthest_point_sample(clouds.points, count, "pvcnn", clouds.row_splits)).reshape(-1)
    return Clouds(gather(clouds.xyz, sampled), np.arange(len(clouds) + 1) * count, clouds.stride)


class CellsOfPoints:
    """The cells that points lie in. of_points: int32 [N], the row of each point's, -1 for none."""

    def __init__(self, clouds, size, lowest, highest, axes, outside):
        self.size, self.lowest = size, lowest
        self._xyz, self._axes = clouds.xyz, axes
        size, lowest, highest = (np.array(value, np.float32) for value in (size, lowest, highest))
        clamped = outside == "clamped"
        inside, from_lowest = _places(clouds, lowest, highest, axes, clamped)
        kept = inside.nonzero().reshape(-1)
        splits = np.searchsorted(on_host(kept), clouds.row_splits)
        places = array("voxelize_points", "points", from_lowest[kept])
        found = vs.voxelize(places, size.tolist(), rounding="floor", row_splits=splits)
        self.of_points = torch.full((len(inside),), -1, dtype=torch.int32, device=inside.device)
        self.of_points[kept] = tensor_of(found.inverse)
        rounding, cells = np.float32(1e-3), (highest - lowest) / size
        extent = np.floor(cells + rounding) + 1 if clamped else np.maximum(1, np.ceil(cells - rounding))
        shape = [int(n) for n in extent] if (extent < 2**30).all() else None
        coords = found.tensor.coords
        if shape and len(coords):  # a point just below the highest may be rounded into a cell beyond the last
            reached = on_host(copied(coords)[:, 1:].max(0)[0]) + 1
            shape = np.maximum(shape, reached).tolist()
        self.coordinates = vs.Coordinates(coords, clouds.stride, shape)

    def __len__(self):
        return len(self.coordinates)

    def voxels(self, feats):
        """SparseTensor of features [cells, C]."""
        out = SparseTensor(feats, self.coordinates)
        out.cells_of_points = self
        return out

    @cached_property
    def xyz(self):
        """float32 [N, 3] of the points, along the axes of the cells."""
        return cylindrical(self._xyz) if self._axes == "cylindrical" else self._xyz

    @property
    def centers(self):
        """float32 [cells, 3], along their axes."""
        device = self._xyz.device
        lowest = torch.tensor([low if low > -_NO_LIMIT else 0.0 for low in self.lowest], device=device)
        return lowest + (copied(self.coordinates.coords)[:, 1:] + 0.5) * torch.tensor(self.size, device=device)


def _places(clouds, lowest, highest, axes, clamped):
    """(bool [N], whether each point lies in the box, float32 [N, 3] its place from the lowest corner that there is)."""
    points = tensor_of(clouds.points)
    xyz = _cylindrical(points) if axes == "cylindrical" else points[:, :3]
    inside = torch.isfinite(points).all(1)
    low, high = (torch.from_numpy(corner).to(xyz.device) for corner in (lowest, highest))
    if clamped:
        xyz = torch.minimum(torch.maximum(xyz, low), high)
    else:
        inside &= ((xyz >= low) & (xyz < high)).all(1)
    return inside, xyz - torch.where(low > -_NO_LIMIT, low, torch.zeros_like(low))


class DenseGrid:
    """resolution^3 cells around each cloud. coords: float32 [N, 3], places of the points among the cells."""

    def __init__(self, clouds, resolution, normalize, eps):
        self.resolution, self.row_splits, self._device = resolution, clouds.row_splits, clouds.xyz.device
        self.coords = vs.dense_grid_coords(clouds.points, resolution, normalize, eps, clouds.row_splits)

    @property
    def shape(self):
        return (len(self.row_splits) - 1, *[self.resolution] * 3)

    @cached_property
    def coordinates(self):
        """Those of all cells."""
        coords = np.ascontiguousarray(np.indices(self.shape, np.int32).reshape(4, -1).T)
        return vs.Coordinates(numbers("voxelize_dense", "cells", coords, self._device))


@lru_cache(maxsize=4)
def _cylinder(device):
    """A network of the one op, for the bits that the library's cells are of."""
    node = {"name": "y", "op": "cylindrical", "inputs": ["input"]}
    graph = {"input": "points", "dims": 3, "in_channels": 3, "nodes": [node], "outputs": ["y"]}
    return vs.Model.from_graph(graph, {}, None, 0, device=device, dtype="f32")


def _cylindrical(points):
    xyz = array("cylindrical", "x", points[:, :3])
    return tensor_of(_cylinder(str(points.device)).run(xyz)["y"][0])


class _Cylindrical(WideFunction):
    @staticmethod
    def forward(ctx, xyz):
        ctx.save_for_backward(xyz)
        return _cylindrical(xyz)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, y, _ = ctx.saved_tensors[0].unbind(1)
        of_length, of_angle, of_z = grad.unbind(1)
        length = torch.hypot(x, y)
        inverse = torch.where(length > 0, 1 / length, torch.zeros_like(length))  # on the axis there is no gradient: 0
        cos, sin = x * inverse, y * inverse
        of_x = of_length * cos - of_angle * sin * inverse
        return torch.stack((of_x, of_length * sin + of_angle * cos * inverse, of_z), 1)


def cylindrical(xyz: torch.Tensor) -> torch.Tensor:
    """sqrt(x^2 + y^2), atan2(y, x) and z of x, y and z: float32 [N, 3] of float32 [N, 3]. Source: Cylinder3D."""
    return _Cylindrical.apply(xyz)
