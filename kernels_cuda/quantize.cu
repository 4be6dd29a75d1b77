// Points to cells: kept points are marked, counted up to each, and written where the count says. And cells to points.
#include <voxshift/kernels_cuda/algorithms.h>
#include <voxshift/kernels_cuda/clouds.h>
#include <voxshift/kernels_cuda/point_voxel.h>

namespace voxshift::cuda {
namespace {

constexpr float kFurthestCell = 1073741824.0f;  // 2^30: differences of cells stay inside 32 bits

__device__ float cylindrical(float x, float y, float z, std::size_t axis) {
  return axis == 0 ? sqrtf(x * x + y * y) : axis == 1 ? atan2f(y, x) : z;
}

/// Which points are kept, and their cells.
struct Quantizer {
  Rows<const float> points;
  std::array<float, 3> size, origin;
  Rounding rounding;
  bool ranged;
  Range range;
  CellAxes axes;
  bool clamped;

  Quantizer(const ConstRowView& view, const CellGrid& grid)
      : points(rows<float>(view)),
        size(grid.size),
        origin(grid.origin),
        rounding(grid.rounding),
        ranged(grid.range.has_value()),
        range(grid.range.value_or(Range{})),
        axes(grid.axes),
        clamped(grid.clamped && ranged) {}

  __device__ float place(std::int64_t i, std::size_t axis) const {
    const float* p = points.row(i);
    const float at = axes == CellAxes::kCylindrical ? cylindrical(p[0], p[1], p[2], axis) : p[axis];
    return clamped ? fminf(fmaxf(at, range.lowest[axis]), range.highest[axis]) : at;
  }

  // A comparison with NaN is false, so NaN is outside of every range.
  __device__ bool keeps(std::int64_t i) const {
    const float* p = points.row(i);
    for (std::size_t axis = 0; ranged && !clamped && axis < 3; ++axis)
      if (!(place(i, axis) >= range.lowest[axis] && place(i, axis) < range.highest[axis])) return false;
    for (std::int64_t c = 0; c < points.channels; ++c)
      if (!std::isfinite(p[c])) return false;
    return true;
  }

  __device__ float quotient(std::int64_t i, std::size_t axis) const {
    return (place(i, axis) - origin[axis]) / size[axis];
  }

  __device__ bool is_far(std::int64_t i) const {
    for (std::size_t axis = 0; axis < 3; ++axis)
      if (!(fabsf(quotient(i, axis)) < kFurthestCell)) return true;
    return false;
  }

  __device__ std::int32_t cell(std::int64_t i, std::size_t axis) const {
    const float at = quotient(i, axis);
    const float rounded = rounding == Rounding::kHalfEven        ? rintf(at)
                          : rounding == Rounding::kHalfAwayFrom0 ? roundf(at)
                                                                 : floorf(at);
    return static_cast<std::int32_t>(rounded);
  }
};

template <class In, class Out>
void cylindrical_rows(const Queue& queue, In in, Out out) {
  for_each_cell(queue, out.count, 3, [=] __device__(std::int64_t i, std::int64_t axis) {
    out.set(i, axis, cylindrical(in.at(i, 0), in.at(i, 1), in.at(i, 2), static_cast<std::size_t>(axis)));
  });
}

}  // namespace

void cylindrical(const Queue& queue, const ConstRowView& in, const RowView& out) {
  with_rows(
      "cylindrical", [&](auto from, auto to) { cylindrical_rows(queue, from, to); }, in, out);
}

std::int64_t quantize(const Queue& queue, const Clouds& clouds, const CellGrid& grid, std::int32_t* coords,
                      std::int32_t* kept) {
  const std::int64_t n = clouds.points.count;
  if (n == 0) return 0;
  const Quantizer quantizer(clouds.points, grid);
  const Arena::Mark mark = queue.arena().mark();
  const CloudSplits splits = splits_of(queue, clouds);
  auto* keeps = queue.arena().allocate<std::int32_t>(n);
  auto* counts = queue.arena().allocate<std::int32_t>(n + 1);  // up to each point; then whether one is too far away
  queue.fill(counts + n, 0, sizeof(*counts));
  for_each(queue, n, [=] __device__(std::int64_t i) {
    keeps[i] = quantizer.keeps(i);
    if (keeps[i] != 0 && quantizer.is_far(i)) counts[n] = 1;
  });
  inclusive_sum(queue, keeps, counts, n);
  for_each(queue, n, [=] __device__(std::int64_t i) {
    if (keeps[i] == 0 || counts[n] != 0) return;
    const std::int32_t place = counts[i] - 1;
    kept[place] = static_cast<std::int32_t>(i);
    coords[4 * std::int64_t{place}] = static_cast<std::int32_t>(splits.cloud_of(i));
    std::int32_t* cell = coords + 4 * std::int64_t{place} + 1;
    for (std::size_t axis = 0; axis < 3; ++axis) cell[axis] = quantizer.cell(i, axis);
  });
  std::int32_t result[2];
  queue.to_host(result, counts + n - 1, sizeof(result));
  queue.arena().rewind(mark);
  return result[1] != 0 ? -1 : result[0];
}

void cell_centers(const Queue& queue, const Level& level, const CellGrid& grid, float* centers) {
  const std::array<float, 3> size = grid.size, origin = grid.origin;
  for_each(queue, level.count, [=] __device__(std::int64_t i) {
    std::int32_t cell[kMaxAxes];
    level.layout.unpack(level.keys[i], cell);
    for (std::size_t axis = 0; axis < 3; ++axis)
      centers[3 * i + static_cast<std::int64_t>(axis)] =
          origin[axis] + (static_cast<float>(cell[axis + 1]) + 0.5f) * size[axis];
  });
}

}  // namespace voxshift::cuda
