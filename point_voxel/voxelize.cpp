#include <voxshift/point_voxel/kernels.h>
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace voxshift {

VoxelRows voxelize_rows(const Context& context, const float* points, std::int64_t n, std::int64_t columns,
                        const VoxelizeOptions& options) {
  Arena& arena = *context.arena;
  auto* kept = arena.allocate<std::int32_t>(n);
  auto* first = arena.allocate<std::int32_t>(n);
  auto* inverse = arena.allocate<std::int32_t>(n);
  auto* coords = arena.allocate<std::int32_t>(4 * n);
  const Range* range = options.range ? &*options.range : nullptr;
  const std::int64_t m =
      point_voxel_kernels(context.device)
          .quantize(context, points, n, columns, options.voxel_size, options.rounding, range, coords, kept);
  check(m >= 0, "[voxelize] a point lies more than 2^30 cells from the origin; drop it or give the profile a range");
  Level level = make_level(context, coords, m, 4, first, inverse);
  if (options.from_lowest) level.layout = level.layout.from_lowest();

  auto* features = arena.allocate<float>(level.count * columns);
  const RowView out{features, columns, level.count, columns, DType::kF32};
  if (options.reduce == Reduce::kFirst) {
    for (std::int64_t v = 0; v < level.count; ++v) first[v] = kept[first[v]];
    row_kernels(context.device).gather(context, ConstRowView{points, columns, n, columns, DType::kF32}, first, out);
  } else {
    auto* rows = arena.allocate<float>(m * columns);
    const RowView kept_rows{rows, columns, m, columns, DType::kF32};
    row_kernels(context.device)
        .gather(context, ConstRowView{points, columns, n, columns, DType::kF32}, kept, kept_rows);
    coordinate_kernels(context.device).reduce(context, kept_rows, inverse, options.reduce, out);
  }
  return {level, kept, m, inverse, features};
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
  const VoxelRows rows = voxelize_rows(context, points.data<float>(), n, columns, options);

  Array features({rows.level.count, columns}, DType::kF32, points.device());
  std::copy_n(rows.features, features.count(), features.data<float>());
  Array inverse({n}, DType::kI32, points.device());
  std::fill_n(inverse.data<std::int32_t>(), n, -1);
  for (std::int64_t j = 0; j < rows.points; ++j) inverse.data<std::int32_t>()[rows.kept[j]] = rows.inverse[j];
  const auto map = std::make_shared<const CoordinateMap>(std::move(arena), rows.level);
  return {{map, std::make_shared<CoordinateCache>(), features, {1, 1, 1, 1}, std::nullopt}, inverse, n - rows.points};
}

}  // namespace voxshift
