#include <voxshift/point_voxel/dense_grid.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/features.h>
#include <voxshift/tensor/result_size.h>

#include <cmath>
#include <limits>

namespace voxshift {
namespace {

constexpr std::int64_t kMostCells = 256;  // per axis

// Cells of all clouds, which int32 must hold.
std::int64_t cells_of(const Clouds& clouds, std::int64_t resolution, const char* op) {
  check(resolution >= 1 && resolution <= kMostCells, "[", op, "] resolution must be 1..", kMostCells, ", found ",
        resolution);
  const std::int64_t cells = resolution * resolution * resolution;
  check(clouds.count <= std::numeric_limits<std::int32_t>::max() / cells, "[", op, "] ", clouds.count, " clouds of ",
        resolution, "^3 cells are more than 2^31 - 1 cells");
  return clouds.count * cells;
}

void check_coords(const Array& coords, std::int64_t resolution, const char* op) {
  check(coords.dim(1) == 3, "[", op, "] coords expects f32 [N, 3], found ", coords.shape());
  const Array host = coords.to(Device::cpu());
  const auto highest = static_cast<float>(resolution - 1);
  for (const float c : host.values<float>())
    check(std::isnan(c) || (c >= 0 && c <= highest), "[", op, "] coords must lie in [0, ", highest, "], found ", c);
}

// [N, C] with a row for each of the coordinates.
void check_rows(const char* op, const char* what, const Array& rows, const PointSet& coords) {
  const std::int64_t n = coords.points.dim(0);
  check(takes_rows(rows.device(), rows.dtype()) && rows.rank() == 2 && rows.dim(0) == n, "[", op, "] ", what,
        " expects ", row_dtypes(rows.device()), " [", n, ", C], found ", name(rows.dtype()), " ", rows.shape());
  check(rows.device() == coords.points.device(), "[", op, "] ", what, " is on ", name(rows.device()), ", coords is on ",
        name(coords.points.device()));
}

// [B, R, R, R, C] with a grid for each of the clouds, whose coordinates lie in it. Returns its cells.
std::int64_t check_grid(const char* op, const char* what, const Array& grid, const PointSet& coords,
                        const Clouds& clouds) {
  check(takes_rows(grid.device(), grid.dtype()) && grid.rank() == 5 && grid.dim(2) == grid.dim(1) &&
            grid.dim(3) == grid.dim(1),
        "[", op, "] ", what, " expects ", row_dtypes(grid.device()), " [B, R, R, R, C], found ", name(grid.dtype()),
        " ", grid.shape());
  check(grid.dim(0) == clouds.count, "[", op, "] ", what, " has ", grid.dim(0), " clouds, coords has ", clouds.count);
  check(grid.device() == coords.points.device(), "[", op, "] ", what, " is on ", name(grid.device()), ", coords is on ",
        name(coords.points.device()));
  const std::int64_t cells = cells_of(clouds, grid.dim(1), op);
  check_coords(coords.points, grid.dim(1), op);
  return cells;
}

// The mixture of 8 cells at each coordinate, in context.arena.
struct Corners {
  std::int32_t* indices;  // [N, 8]
  float* weights;         // [N, 8]
};

Corners corners_of(const Context& context, const Clouds& clouds, std::int64_t resolution) {
  const std::int64_t n = clouds.points.count;
  const Corners corners{context.arena->allocate<std::int32_t>(8 * n), context.arena->allocate<float>(8 * n)};
  point_voxel_kernels(context.device).dense_corners(context, clouds, resolution, corners.indices, corners.weights);
  return corners;
}

}  // namespace

Array dense_grid_coords(const PointSet& points, const DenseGridOptions& options) {
  const PointSet set = checked(points, "dense_grid_coords", "points");
  const Clouds clouds = clouds_of(set);
  cells_of(clouds, options.resolution, "dense_grid_coords");
  check(std::isfinite(options.eps) && options.eps >= 0, "[dense_grid_coords] eps must be at least 0, found ",
        options.eps);
  const Device device = set.points.device();
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  Array coords({set.points.dim(0), 3}, DType::kF32, device);
  point_voxel_kernels(device).dense_grid_coords(context, clouds, options.resolution, options.normalize, options.eps,
                                                coords.data<float>());
  return coords;
}

Array voxelize_dense(const Array& features, const PointSet& coords, std::int64_t resolution) {
  constexpr const char* kOp = "voxelize_dense";
  const PointSet set = checked(coords, kOp, "coords");
  const Clouds clouds = clouds_of(set);
  const std::int64_t n = set.points.dim(0), cells = cells_of(clouds, resolution, kOp);
  check_rows(kOp, "features", features, set);
  check_coords(set.points, resolution, kOp);
  const Device device = features.device();
  const std::int64_t channels = features.dim(1);
  check_size(kOp, "cells:", cells, channels);
  Array grid({clouds.count, resolution, resolution, resolution, channels}, features.dtype(), device);
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  auto* cell = scratch.allocate<std::int32_t>(n);
  point_voxel_kernels(device).dense_cells(context, clouds, resolution, cell);
  coordinate_kernels(device).reduce(context, rows_of(features), cell, Reduce::kMean,
                                    {grid.memory(), channels, cells, channels, grid.dtype()});
  return grid;
}

Array voxelize_dense_backward(const PointSet& coords, const Array& grad) {
  constexpr const char* kOp = "voxelize_dense_backward";
  const PointSet set = checked(coords, kOp, "coords");
  const Clouds clouds = clouds_of(set);
  const std::int64_t cells = check_grid(kOp, "grad", grad, set, clouds);
  const std::int64_t n = set.points.dim(0), resolution = grad.dim(1), channels = grad.dim(4);
  const Device device = grad.device();
  Array out({n, channels}, grad.dtype(), device);
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  auto* cell = scratch.allocate<std::int32_t>(n);
  point_voxel_kernels(device).dense_cells(context, clouds, resolution, cell);
  coordinate_kernels(device).reduce_backward(context, {}, cell, Reduce::kMean,
                                             {grad.memory(), channels, cells, channels, grad.dtype()}, rows_of(out));
  return out;
}

Array devoxelize_dense(const Array& grid, const PointSet& coords) {
  constexpr const char* kOp = "devoxelize_dense";
  const PointSet set = checked(coords, kOp, "coords");
  const Clouds clouds = clouds_of(set);
  const std::int64_t cells = check_grid(kOp, "grid", grid, set, clouds);
  const std::int64_t n = set.points.dim(0), channels = grid.dim(4);
  const Device device = grid.device();
  Array out({n, channels}, grid.dtype(), device);
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  const Corners corners = corners_of(context, clouds, grid.dim(1));
  point_voxel_kernels(device).interpolate(context, {grid.memory(), channels, cells, channels, grid.dtype()},
                                          corners.indices, corners.weights, 8, rows_of(out));
  return out;
}

Array devoxelize_dense_backward(const PointSet& coords, const Array& grad, std::int64_t resolution) {
  constexpr const char* kOp = "devoxelize_dense_backward";
  const PointSet set = checked(coords, kOp, "coords");
  const Clouds clouds = clouds_of(set);
  const std::int64_t cells = cells_of(clouds, resolution, kOp);
  check_rows(kOp, "grad", grad, set);
  check_coords(set.points, resolution, kOp);
  const Device device = grad.device();
  const std::int64_t channels = grad.dim(1);
  check_size(kOp, "cells:", cells, channels);
  Array out({clouds.count, resolution, resolution, resolution, channels}, grad.dtype(), device);
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  const Corners corners = corners_of(context, clouds, resolution);
  point_voxel_kernels(device).interpolate_backward(context, rows_of(grad), corners.indices, corners.weights, 8,
                                                   {out.memory(), channels, cells, channels, out.dtype()});
  return out;
}

}  // namespace voxshift
