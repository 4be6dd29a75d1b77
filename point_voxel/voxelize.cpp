#include <voxshift/point_voxel/kernels.h>
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace voxshift {

VoxelRows voxelize_rows(const Context& context, const ConstRowView& points, const VoxelizeOptions& options) {
  Arena& arena = *context.arena;
  auto* kept = arena.allocate<std::int32_t>(points.count);
  auto* first = arena.allocate<std::int32_t>(points.count);
  auto* inverse = arena.allocate<std::int32_t>(points.count);
  auto* coords = arena.allocate<std::int32_t>(4 * points.count);
  const Range* range = options.range ? &*options.range : nullptr;
  const std::int64_t n = point_voxel_kernels(context.device)
                             .quantize(context, points, options.voxel_size, options.rounding, range, coords, kept);
  check(n >= 0, "[voxelize] a point lies more than 2^30 cells from the origin; drop it or give the profile a range");
  Level level = make_level(context, coords, n, 4, first, inverse);
  if (options.from_lowest) level.layout = level.layout.from_lowest();

  const std::int64_t channels = points.channels;
  auto* features = arena.allocate<float>(level.count * channels);
  const RowView out{features, channels, level.count, channels, DType::kF32};
  if (options.reduce == Reduce::kFirst) {
    for (std::int64_t v = 0; v < level.count; ++v) first[v] = kept[first[v]];
    row_kernels(context.device).gather(context, points, first, out);
  } else {
    const RowView rows{arena.allocate<float>(n * channels), channels, n, channels, DType::kF32};
    row_kernels(context.device).gather(context, points, kept, rows);
    coordinate_kernels(context.device).reduce(context, rows, inverse, options.reduce, out);
  }
  return {level, kept, n, inverse, features};
}

Voxels voxelize(const Array& points, const VoxelizeOptions& options) {
  check(points.dtype() == DType::kF32 && points.rank() == 2 && points.dim(1) >= 3,
        "[voxelize] points expects f32 [N, C] with C >= 3, found ", name(points.dtype()), " ",
        to_string(points.shape()));
  check(std::isfinite(options.voxel_size) && options.voxel_size > 0,
        "[voxelize] voxel_size must be a positive number of metres, found ", options.voxel_size);
  check(options.reduce != Reduce::kNone, "[voxelize] reduce must say how points of a voxel become one row");
  const std::int64_t n = points.dim(0), columns = points.dim(1);
  auto arena = std::make_unique<Arena>(points.device());
  const Context context{points.device(), nullptr, num_threads(), arena.get()};
  const VoxelRows rows = voxelize_rows(context, rows_of(points), options);

  Array features({rows.level.count, columns}, DType::kF32, points.device());
  std::copy_n(rows.features, features.count(), features.data<float>());
  Array inverse({n}, DType::kI32, points.device());
  std::fill_n(inverse.data<std::int32_t>(), n, -1);
  for (std::int64_t j = 0; j < rows.points; ++j) inverse.data<std::int32_t>()[rows.kept[j]] = rows.inverse[j];
  const auto map = std::make_shared<const CoordinateMap>(std::move(arena), rows.level);
  return {{map, std::make_shared<CoordinateCache>(), features, {1, 1, 1, 1}, std::nullopt}, inverse, n - rows.points};
}

}  // namespace voxshift
