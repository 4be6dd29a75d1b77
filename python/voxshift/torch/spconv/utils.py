"""spconv.pytorch.utils and spconv.utils."""

from contextlib import nullcontext

from voxshift.torch.spconv.voxels import Point2VoxelCPU, PointToVoxel, gather_features_by_pc_voxel_id

Point2VoxelCPU1d = Point2VoxelCPU2d = Point2VoxelCPU3d = Point2VoxelCPU4d = Point2VoxelCPU

__all__ = [
    "Point2VoxelCPU1d",
    "Point2VoxelCPU2d",
    "Point2VoxelCPU3d",
    "Point2VoxelCPU4d",
    "PointToVoxel",
    "gather_features_by_pc_voxel_id",
    "nullcontext",
]
