"""Points to voxels with a limit of points each: the generators of spconv.utils and spconv.pytorch.utils.

Voxels are numbered in the order in which points reach them; points beyond a voxel's limit are left out of it, and points of
voxels beyond the limit of voxels belong to none. Coordinates run z y x, as nothing else in spconv does.
"""

from typing import Optional, Sequence, Tuple, Union

import numpy as np
import torch

import voxshift as vs
from voxshift.torch.memory import on_host, taken


class VoxelBox:
    """The cells of a box: vsize, the extent of one, and the box's lowest and highest corner, in metres x y .. ."""

    def __init__(self, vsize_xyz: Sequence[float], coors_range_xyz: Sequence[float]):
        self.ndim = len(vsize_xyz)
        if len(coors_range_xyz) != 2 * self.ndim:
            raise vs.InvalidArgument(f"[voxels] range expects {2 * self.ndim} numbers, found {len(coors_range_xyz)}")
        size, corners = np.array(vsize_xyz, np.float32), np.array(coors_range_xyz, np.float32)
        self.vsize, self.lowest = size, corners[: self.ndim]
        self.extent = np.floor((corners[self.ndim :] - self.lowest) / size + np.float32(0.5)).astype(np.int64)

    def generate(self, points: np.ndarray, voxels: int, per_voxel: int, fill: bool = False) -> Tuple[np.ndarray, ...]:
        """Of points [N, C]: float32 [V, per_voxel, C], int32 [V, D] z y x, int32 [V] points in each, int64 [N] the voxel of
        each point or -1. fill: places without a point get the mean of the voxel's.
        """
        cell = np.floor((points[:, : self.ndim] - self.lowest) / self.vsize)
        inside = ((cell >= 0) & (cell < self.extent)).all(1)
        rows = np.flatnonzero(inside)
        cell = cell[rows].astype(np.int64)[:, ::-1]
        keys = np.ravel_multi_index(tuple(cell.T), tuple(self.extent[::-1])) if len(rows) else np.zeros(0, np.int64)
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        by_arrival = np.argsort(first, kind="stable")
        number = np.empty(len(first), np.int64)
        number[by_arrival] = np.arange(len(first))
        voxel = number[inverse.reshape(-1)]
        kept = voxel < voxels
        rows, voxel = rows[kept], voxel[kept]
        of_point = np.full(len(points), -1, np.int64)
        of_point[rows] = voxel
        count = min(len(first), voxels)
        present = np.bincount(voxel, minlength=count)
        order = np.argsort(voxel, kind="stable")
        place = np.arange(len(order)) - np.repeat(np.cumsum(present) - present, present)
        taken = order[place < per_voxel]
        out = np.zeros((count, per_voxel, points.shape[1]), np.float32)
        out[voxel[taken], place[place < per_voxel]] = points[rows[taken]]
        present = np.minimum(present, per_voxel).astype(np.int32)
        if fill:
            mean = out.sum(1) / np.maximum(present, 1)[:, None]
            empty = np.arange(per_voxel) >= present[:, None]
            out[empty] = np.repeat(mean[:, None], per_voxel, 1)[empty]
        coords = cell[first[by_arrival[:count]]].astype(np.int32)
        return out, coords, present, of_point


class PointToVoxel:
    """spconv.pytorch.utils.PointToVoxel. pc: float32 [N, 3 + ..]; the CPU does the work, for any device."""

    def __init__(
        self,
        vsize_xyz: Sequence[float],
        coors_range_xyz: Sequence[float],
        num_point_features: int,
        max_num_voxels: int,
        max_num_points_per_voxel: int,
        device: Union[torch.device, str] = "cpu",
    ):
        taken("PointToVoxel", "device", torch.empty(0, device=device))
        self.box = VoxelBox(vsize_xyz, coors_range_xyz)
        self.ndim, self.device = self.box.ndim, torch.device(device)
        self.num_point_features = num_point_features
        self.max_num_voxels, self.max_num_points_per_voxel = max_num_voxels, max_num_points_per_voxel
        self.vsize, self.grid_size = self.box.vsize[::-1].tolist(), self.box.extent[::-1].tolist()

    def generate_voxel_with_id(
        self, pc: torch.Tensor, clear_voxels: bool = True, empty_mean: bool = False
    ) -> Tuple[torch.Tensor, ...]:
        """(voxels float32 [V, P, C], indices int32 [V, D] z y x, points in each int32 [V], int64 [N] voxel of each point or -1).

        empty_mean: places without a point get the mean of the voxel's, else 0. Raises ValueError for another number of columns.
        """
        if pc.dim() != 2 or pc.shape[1] != self.num_point_features:
            raise vs.InvalidArgument(f"[PointToVoxel] expects [N, {self.num_point_features}], found {tuple(pc.shape)}")
        points = on_host(taken("PointToVoxel", "points", pc))
        found = self.box.generate(points, self.max_num_voxels, self.max_num_points_per_voxel, empty_mean)
        return tuple(torch.from_numpy(values).to(pc.device) for values in found)

    def __call__(
        self, pc: torch.Tensor, clear_voxels: bool = True, empty_mean: bool = False
    ) -> Tuple[torch.Tensor, ...]:
        """generate_voxel_with_id without the last."""
        return self.generate_voxel_with_id(pc, clear_voxels, empty_mean)[:3]


def gather_features_by_pc_voxel_id(
    seg_res_features: torch.Tensor, pc_voxel_id: torch.Tensor, invalid_value: Union[int, float] = 0
) -> torch.Tensor:
    """[N, ..]: for each point the row of its voxel, invalid_value where it has none."""
    out = seg_res_features.new_full((len(pc_voxel_id), *seg_res_features.shape[1:]), invalid_value)
    at = (pc_voxel_id >= 0).nonzero().reshape(-1)
    return out.index_copy(0, at, seg_res_features[pc_voxel_id[at]])


class Point2VoxelCPU(PointToVoxel):
    """spconv.utils.Point2VoxelCPU1d to 4d, which take and give what cumm.tensorview.from_numpy makes: here torch's tensors."""

    def point_to_voxel(self, points: torch.Tensor, clear_voxels: bool = True) -> Tuple[torch.Tensor, ...]:
        """(voxels, indices, points in each)."""
        return self(torch.as_tensor(points))

    def point_to_voxel_empty_mean(self, points: torch.Tensor, clear_voxels: bool = True) -> Tuple[torch.Tensor, ...]:
        """point_to_voxel whose places without a point have the mean of the voxel's."""
        return self(torch.as_tensor(points), empty_mean=True)


class Voxels(dict):
    """voxels, coordinates and num_points_per_voxel by name, or all three in this order."""

    def __iter__(self):
        return iter(self.values())


class VoxelGenerator:
    """spconv 1's generator on numpy's arrays: voxel_size x y z and point_cloud_range in metres."""

    def __init__(
        self,
        voxel_size: Sequence[float],
        point_cloud_range: Sequence[float],
        max_num_points: int,
        max_voxels: int = 20000,
        full_mean: bool = False,
    ):
        self._box = VoxelBox(voxel_size, point_cloud_range)
        self.voxel_size, self.point_cloud_range = self._box.vsize, np.array(point_cloud_range, np.float32)
        self.grid_size = self._box.extent
        self.max_num_points_per_voxel, self._max_voxels, self._full_mean = max_num_points, max_voxels, full_mean

    def generate(self, points: np.ndarray, max_voxels: Optional[int] = None) -> Voxels:
        """Of points float32 [N, 3 + ..]: float32 [V, P, C], int32 [V, 3] z y x, int32 [V]."""
        found = self._box.generate(
            np.asarray(points, np.float32), max_voxels or self._max_voxels, self.max_num_points_per_voxel, self._full_mean
        )
        return Voxels(zip(("voxels", "coordinates", "num_points_per_voxel"), found))


VoxelGeneratorV2 = VoxelGenerator
