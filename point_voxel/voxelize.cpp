#include <voxshift/point_voxel/kernels.h>
#include <voxshift/point_voxel/row_indices.h>
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/features.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/result_size.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace voxshift {

namespace {

// The voxels of the points that count.
struct Cells {
  Level level;
  std::int32_t *kept, *first, *inverse;  // [points], [level.count], [points], of the kept points
  std::int64_t points;
};

// In context.arena.
Cells cells_of(const char* op, const Context& context, const Clouds& clouds, const CellGrid& grid) {
  Arena& arena = *context.arena;
  const std::int64_t n = clouds.points.count;
  Cells cells{};
  cells.kept = arena.allocate<std::int32_t>(n);
  cells.first = arena.allocate<std::int32_t>(n);
  cells.inverse = arena.allocate<std::int32_t>(n);
  auto* coords = arena.allocate<std::int32_t>(4 * n);
  cells.points = point_voxel_kernels(context.device).quantize(context, clouds, grid, coords, cells.kept);
  check(cells.points >= 0, "[", op,
        "] a point lies more than 2^30 cells from the origin; leave it out, by a range for instance");
  try {
    cells.level = make_level(context, coords, cells.points, 4, cells.first, cells.inverse);
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(std::string(error.what()) + ", by a range for instance");
  }
  return cells;
}

Cells cells_of(const Context& context, const Clouds& clouds, const VoxelizeOptions& options) {
  const CellGrid grid{options.voxel_size.each, {}, options.rounding, options.range, options.axes};
  Cells cells = cells_of("voxelize", context, clouds, grid);
  if (options.from_lowest) cells.level.layout = cells.level.layout.from_lowest();
  return cells;
}

// of_point[i] = the row of point i's cell, -1 for a dropped one.
void write_inverse(const Context& context, const Cells& cells, std::int64_t points, std::int32_t* of_point) {
  if (cells.points < points)
    runtime(context.device)
        .fill(context.device, of_point, 0xff, static_cast<std::size_t>(points) * sizeof(*of_point));  // -1
  row_kernels(context.device).place(context, cells.inverse, cells.kept, cells.points, of_point);
}

// Features [level.count, channels] of the cells to `out`.
void write_features(const Context& context, const ConstRowView& points, const Cells& cells, Reduce reduce,
                    const RowView& out) {
  const RowKernels& kernels = row_kernels(context.device);
  if (reduce == Reduce::kFirst) {
    auto* rows = context.arena->allocate<std::int32_t>(cells.level.count);
    kernels.pick(context, cells.kept, 1, cells.first, cells.level.count, rows);
    return kernels.gather(context, points, rows, out);
  }
  ConstRowView rows = points;
  if (cells.points < points.count) {
    const std::int64_t n = cells.points, channels = points.channels;
    const RowView kept{context.arena->allocate<float>(n * channels), channels, n, channels, DType::kF32};
    kernels.gather(context, points, cells.kept, kept);
    rows = kept;
  }
  coordinate_kernels(context.device).reduce(context, rows, cells.inverse, reduce, out);
}

void check_inverse(const char* op, const Array& inverse, std::int64_t n, std::int64_t voxels, Reduce reduce) {
  check(inverse.dtype() == DType::kI32 && inverse.rank() == 1 && inverse.dim(0) == n, "[", op,
        "] inverse expects i32 [", n, "], found ", name(inverse.dtype()), " ", inverse.shape());
  check(reduce != Reduce::kNone, "[", op, "] reduce must say how points of a voxel become one row");
  check_row_indices(inverse, voxels, op, "inverse");
}

}  // namespace

void check_valid(const Range& range, const char* op) {
  for (std::size_t a = 0; a < range.lowest.size(); ++a)
    check(range.lowest[a] < range.highest[a], "[", op, "] range expects the lowest corner before the highest, found ",
          range.lowest[a], " to ", range.highest[a], " along ", "xyz"[a]);
}

PointCells cells_of_points(const char* op, const Context& context, const Clouds& points, const CellGrid& grid) {
  auto* of_point = context.arena->allocate<std::int32_t>(points.points.count);
  const Cells cells = cells_of(op, context, points, grid);
  write_inverse(context, cells, points.points.count, of_point);
  return {cells.level, of_point};
}

VoxelRows voxelize_rows(const Context& context, const Clouds& clouds, const VoxelizeOptions& options) {
  const Cells cells = cells_of(context, clouds, options);
  const std::int64_t count = cells.level.count, channels = clouds.points.channels;
  auto* features = context.arena->allocate<float>(count * channels);
  write_features(context, clouds.points, cells, options.reduce, {features, channels, count, channels, DType::kF32});
  return {cells.level, cells.kept, cells.points, cells.inverse, features};
}

Voxels voxelize(const PointSet& set, const VoxelizeOptions& options) {
  const PointSet clouds = checked(set, "voxelize", "points");
  const Array& points = clouds.points;
  for (const float size : options.voxel_size.each)
    check(std::isfinite(size) && size > 0, "[voxelize] voxel_size must be a positive number of metres, found ", size);
  check(options.reduce != Reduce::kNone, "[voxelize] reduce must say how points of a voxel become one row");
  if (options.range) check_valid(*options.range, "voxelize");
  const std::int64_t n = points.dim(0);
  const Device device = points.device();
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  const Cells cells = cells_of(context, clouds_of(clouds), options);
  Level level = cells.level;

  Array features({level.count, points.dim(1)}, DType::kF32, device);
  write_features(context, rows_of(points), cells, options.reduce, rows_of(features));
  Array inverse({n}, DType::kI32, device);
  write_inverse(context, cells, n, inverse.data<std::int32_t>());

  auto keep = std::make_unique<Arena>(device);  // of what the scratch memory holds, a tensor needs its keys
  auto* keys = keep->allocate<std::int64_t>(level.count);
  runtime(device).copy(device, keys, level.keys, static_cast<std::size_t>(level.count) * sizeof(*keys));
  level.keys = keys;
  const auto map = std::make_shared<const CoordinateMap>(std::move(keep), level);
  return {{Coordinates(map, std::make_shared<CoordinateCache>(), Coordinates::kUnitStride, {}), features},
          inverse,
          n - cells.points};
}

Array voxelize_features(const Array& features, const Array& inverse, std::int64_t voxels, Reduce reduce) {
  constexpr const char* kOp = "voxelize_features";
  const Device device = features.device();
  check(takes_rows(device, features.dtype()) && features.rank() == 2, "[", kOp, "] features expects ",
        row_dtypes(device), " [N, C], found ", name(features.dtype()), " ", features.shape());
  check(voxels >= 0 && voxels <= std::numeric_limits<std::int32_t>::max(), "[", kOp,
        "] voxels must be 0..2^31 - 1, found ", voxels);
  check_size(kOp, "voxels:", voxels, features.dim(1));
  check_inverse(kOp, inverse, features.dim(0), voxels, reduce);
  check(device == inverse.device(), "[", kOp, "] features is on ", name(device), ", inverse is on ",
        name(inverse.device()));
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  Array out({voxels, features.dim(1)}, features.dtype(), device);
  coordinate_kernels(device).reduce(context, rows_of(features), inverse.data<std::int32_t>(), reduce, rows_of(out));
  return out;
}

Array voxelize_features_backward(const std::optional<Array>& features, const Array& inverse, const Array& grad,
                                 Reduce reduce) {
  constexpr const char* kOp = "voxelize_features_backward";
  const Device device = grad.device();
  check(takes_rows(device, grad.dtype()) && grad.rank() == 2, "[", kOp, "] grad expects ", row_dtypes(device),
        " [voxels, C], found ", name(grad.dtype()), " ", grad.shape());
  check_inverse(kOp, inverse, inverse.rank() == 1 ? inverse.dim(0) : 0, grad.dim(0), reduce);
  check(inverse.device() == device, "[", kOp, "] grad is on ", name(device), ", inverse is on ",
        name(inverse.device()));
  const Shape shape{inverse.dim(0), grad.dim(1)};
  ConstRowView in{};
  if (reduce == Reduce::kMax) {
    check(features.has_value(), "[", kOp, "] the maximum needs the features");
    check(features->dtype() == grad.dtype() && features->shape() == shape, "[", kOp, "] features expects ",
          name(grad.dtype()), " ", shape, ", found ", name(features->dtype()), " ", features->shape());
    check(features->device() == device, "[", kOp, "] grad is on ", name(device), ", features is on ",
          name(features->device()));
    in = rows_of(*features);
  }
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  Array out(shape, grad.dtype(), device);
  coordinate_kernels(device).reduce_backward(context, in, inverse.data<std::int32_t>(), reduce, rows_of(grad),
                                             rows_of(out));
  return out;
}

}  // namespace voxshift
