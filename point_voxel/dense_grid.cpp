#include <voxshift/point_voxel/dense_grid.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/tensor/error.h>

#include <cmath>
#include <limits>
#include <utility>

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
  check(coords.dim(1) == 3, "[", op, "] coords expects f32 [N, 3], found ", to_string(coords.shape()));
  const Array host = coords.to(Device::cpu());
  const auto highest = static_cast<float>(resolution - 1);
  for (const float c : host.values<float>())
    check(std::isnan(c) || (c >= 0 && c <= highest), "[", op, "] coords must lie in [0, ", highest, "], found ", c);
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
  const PointSet set = checked(coords, "voxelize_dense", "coords");
  const Clouds clouds = clouds_of(set);
  const std::int64_t n = set.points.dim(0), cells = cells_of(clouds, resolution, "voxelize_dense");
  check(features.dtype() == DType::kF32 && features.rank() == 2 && features.dim(0) == n,
        "[voxelize_dense] features expects f32 [", n, ", C], found ", name(features.dtype()), " ",
        to_string(features.shape()));
  check(features.device() == set.points.device(), "[voxelize_dense] features is on ", name(features.device()),
        ", coords is on ", name(set.points.device()));
  check_coords(set.points, resolution, "voxelize_dense");
  const Device device = features.device();
  const std::int64_t channels = features.dim(1);
  Array grid({clouds.count, resolution, resolution, resolution, channels}, DType::kF32, device);
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  auto* cell = scratch.allocate<std::int32_t>(n);
  point_voxel_kernels(device).dense_cells(context, clouds, resolution, cell);
  coordinate_kernels(device).reduce(context, rows_of(features), cell, Reduce::kMean,
                                    {grid.memory(), channels, cells, channels, DType::kF32});
  return grid;
}

Array devoxelize_dense(const Array& grid, const PointSet& coords) {
  const PointSet set = checked(coords, "devoxelize_dense", "coords");
  const Clouds clouds = clouds_of(set);
  const std::int64_t n = set.points.dim(0), resolution = grid.dim(1), channels = grid.dim(4);
  check(grid.dtype() == DType::kF32 && grid.rank() == 5 && grid.dim(2) == resolution && grid.dim(3) == resolution,
        "[devoxelize_dense] grid expects f32 [B, R, R, R, C], found ", name(grid.dtype()), " ",
        to_string(grid.shape()));
  check(grid.dim(0) == clouds.count, "[devoxelize_dense] grid has ", grid.dim(0), " clouds, coords has ", clouds.count);
  check(grid.device() == set.points.device(), "[devoxelize_dense] grid is on ", name(grid.device()), ", coords is on ",
        name(set.points.device()));
  const std::int64_t cells = cells_of(clouds, resolution, "devoxelize_dense");
  check_coords(set.points, resolution, "devoxelize_dense");
  const Device device = grid.device();
  Array out({n, channels}, DType::kF32, device);
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  const auto& kernels = point_voxel_kernels(device);
  auto* indices = scratch.allocate<std::int32_t>(8 * n);
  auto* weights = scratch.allocate<float>(8 * n);
  kernels.dense_corners(context, clouds, resolution, indices, weights);
  kernels.interpolate(context, {grid.memory(), channels, cells, channels, DType::kF32}, indices, weights, 8,
                      rows_of(out));
  return out;
}

}  // namespace voxshift
