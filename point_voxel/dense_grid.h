// PVCNN's dense voxel grid: every cell of a cube of R^3 cells around each cloud.
#pragma once

#include <voxshift/point_voxel/point_set.h>

namespace voxshift {

/// How a cloud is put into the cube.
struct DenseGridOptions {
  std::int64_t resolution = 32;  ///< R, cells per axis, 1 to 256
  bool normalize = true;         ///< scale by the largest distance from the mean; false: the points lie within [-1, 1]
  float eps = 0;                 ///< added to that distance's double

  bool operator==(const DenseGridOptions&) const = default;
};

/// Coordinates f32 [N, 3] of the points in their grid, in [0, R - 1]: with p the point minus its cloud's mean,
/// clamp(R * (p / (2 max |p| + eps) + 0.5), 0, R - 1), or clamp(R * (p + 1) / 2, 0, R - 1) without normalize. A cloud
/// whose points are all equal lies in the centre. NaN for points that are not finite, which do not count. Source:
/// PVCNN's Voxelization.
Array dense_grid_coords(const PointSet& points, const DenseGridOptions& options);

/// [B, R, R, R, C]: the mean of the features of the points whose rounded coordinates (half to even) are the cell; 0
/// where there are none. features [N, C], f32 or, on CUDA, f16 or bf16, summed in f32 and given in their dtype; coords
/// of dense_grid_coords, with the row splits they came from. Points with NaN coordinates are dropped. Throws
/// InvalidArgument for coordinates outside [0, R - 1]. Source: PVCNN's avg_voxelize.
Array voxelize_dense(const Array& features, const PointSet& coords, std::int64_t resolution);

/// Gradient [N, C] of the features, not of the coordinates, for grad [B, R, R, R, C] of their dtype, that of
/// voxelize_dense(features, coords, R). Throws InvalidArgument.
Array voxelize_dense_backward(const PointSet& coords, const Array& grad);

/// [N, C] of the grid's dtype: trilinear mixture of the 8 cells around each coordinate; NaN coordinates give 0. grid
/// [B, R, R, R, C] as the features of voxelize_dense. Source: PVCNN's trilinear_devoxelize.
Array devoxelize_dense(const Array& grid, const PointSet& coords);

/// Gradient [B, R, R, R, C] of the grid, not of the coordinates, for grad [N, C] of its dtype, that of
/// devoxelize_dense(grid, coords) with R = resolution. Throws InvalidArgument.
Array devoxelize_dense_backward(const PointSet& coords, const Array& grad, std::int64_t resolution);

}  // namespace voxshift
