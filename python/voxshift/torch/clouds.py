"""The points of a network, given or sampled, and what is found from their places: cells, dense grids, samples."""

from functools import cached_property, lru_cache

import numpy as np
import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

import voxshift as vs
from voxshift.torch.memory import array
from voxshift.torch.points import gather
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
        self.row_splits = np.array((0, len(points))) if row_splits is None else np.asarray(row_splits)
        self.stride = stride
        self._found = {}

    def __len__(self):
        return len(self.row_splits) - 1

    @cached_property
    def of_rows(self):
        """int64 [N]: the cloud of each point."""
        return np.repeat(np.arange(len(self)), np.diff(self.row_splits))

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
    rows = vs.furthest_point_sample(clouds.points, count, "pvcnn", clouds.row_splits).reshape(-1)
    return Clouds(gather(clouds.xyz, rows), np.arange(len(clouds) + 1) * count, clouds.stride)


class CellsOfPoints:
    """The cells that points lie in. of_points: int64 [N], the row of each point's, -1 for none."""

    def __init__(self, clouds, size, lowest, highest, axes, outside):
        self.size, self.lowest = size, lowest
        self._xyz, self._axes = clouds.xyz, axes
        size, lowest, highest = (np.array(value, np.float32) for value in (size, lowest, highest))
        points = clouds.points
        xyz = _cylindrical(points) if axes == "cylindrical" else points[:, :3]
        inside = np.isfinite(points @ np.zeros(points.shape[1], np.float32))
        clamped = outside == "clamped"
        if clamped:
            xyz = np.clip(xyz, lowest, highest)
        else:
            inside &= ((xyz >= lowest) & (xyz < highest)).all(1)
        rows = np.flatnonzero(inside)
        from_lowest = xyz[rows] - np.where(lowest > -_NO_LIMIT, lowest, np.float32(0))
        splits = np.searchsorted(rows, clouds.row_splits)
        found = vs.voxelize(from_lowest, size.tolist(), rounding="floor", row_splits=splits)
        self.of_points = np.full(len(xyz), -1, np.int64)
        self.of_points[rows] = found.inverse
        rounding, cells = np.float32(1e-3), (highest - lowest) / size
        extent = np.floor(cells + rounding) + 1 if clamped else np.maximum(1, np.ceil(cells - rounding))
        shape = [int(n) for n in extent] if (extent < 2**30).all() else None
        coords = found.tensor.coords
        if shape and len(coords):  # a point just below the highest may be rounded into a cell beyond the last
            shape = np.maximum(shape, coords[:, 1:].max(0) + 1).tolist()
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
        lowest = torch.tensor([low if low > -_NO_LIMIT else 0.0 for low in self.lowest])
        return lowest + (torch.from_numpy(self.coordinates.coords[:, 1:].copy()) + 0.5) * torch.tensor(self.size)


class DenseGrid:
    """resolution^3 cells around each cloud. coords: float32 [N, 3], places of the points among the cells."""

    def __init__(self, clouds, resolution, normalize, eps):
        self.resolution, self.row_splits = resolution, clouds.row_splits
        self.coords = vs.dense_grid_coords(clouds.points, resolution, normalize, eps, clouds.row_splits)

    @property
    def shape(self):
        return (len(self.row_splits) - 1, *[self.resolution] * 3)

    @cached_property
    def coordinates(self):
        """Those of all cells."""
        coords = np.indices(self.shape, np.int32).reshape(4, -1).T
        return vs.Coordinates(np.ascontiguousarray(coords))


@lru_cache(maxsize=1)
def _cylinder():
    """A network of the one op, for the bits that the library's cells are of."""
    node = {"name": "y", "op": "cylindrical", "inputs": ["input"]}
    graph = {"input": "points", "dims": 3, "in_channels": 3, "nodes": [node], "outputs": ["y"]}
    return vs.Model.from_graph(graph, {}, None, 0)


def _cylindrical(points):
    return _cylinder().run(np.ascontiguousarray(points[:, :3]))["y"][0]


class _Cylindrical(Function):
    @staticmethod
    def forward(ctx, xyz):
        ctx.save_for_backward(xyz)
        return torch.from_numpy(_cylindrical(array("cylindrical", "x", xyz)))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, y, _ = ctx.saved_tensors[0].unbind(1)
        of_length, of_angle, of_z = grad.unbind(1)
        length = torch.hypot(x, y)
        inverse = torch.where(length > 0, 1 / length, torch.zeros(()))  # on the axis there is no gradient: 0
        cos, sin = x * inverse, y * inverse
        of_x = of_length * cos - of_angle * sin * inverse
        return torch.stack((of_x, of_length * sin + of_angle * cos * inverse, of_z), 1)


def cylindrical(xyz: torch.Tensor) -> torch.Tensor:
    """sqrt(x^2 + y^2), atan2(y, x) and z of x, y and z: float32 [N, 3] of float32 [N, 3]. Source: Cylinder3D."""
    return _Cylindrical.apply(xyz)
