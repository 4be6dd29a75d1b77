// Points to cells, and cells to points.
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/point_voxel.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;
constexpr float kFurthestCell = 1073741824.0f;  // 2^30: differences of cells stay inside 32 bits

// The cell of a quotient below 2^30. Double holds it and its half neighbours exactly; the library's functions would be
// calls, the baseline of x86-64 has no instruction for them.
template <Rounding kRounding>
std::int32_t cell_of(float quotient) {
  constexpr double kWhole =
      6755399441055744.0;  // 1.5 * 2^52, where numbers are 1 apart: sums round to the nearest even
  const double x = quotient;
  if constexpr (kRounding == Rounding::kHalfEven) return static_cast<std::int32_t>(x + kWhole - kWhole);
  if constexpr (kRounding == Rounding::kHalfAwayFrom0) return static_cast<std::int32_t>(x + std::copysign(0.5, x));
  const auto towards_0 = static_cast<std::int32_t>(x);
  return towards_0 - (x < towards_0);
}

std::array<float, 3> cylindrical(const float* p) {
  return {std::sqrt(p[0] * p[0] + p[1] * p[1]), std::atan2(p[1], p[0]), p[2]};
}

// A comparison with NaN is false, so NaN is outside of every range.
bool inside(const std::array<float, 3>& p, const Range& range) {
  for (std::size_t axis = 0; axis < 3; ++axis)
    if (!(p[axis] >= range.lowest[axis] && p[axis] < range.highest[axis])) return false;
  return true;
}

void clamp_to(const Range& range, std::array<float, 3>& p) {
  for (std::size_t axis = 0; axis < 3; ++axis)
    p[axis] = std::min(std::max(p[axis], range.lowest[axis]), range.highest[axis]);
}

// Quantizes the points [first, last) to coords and kept from place `first` on. Returns how many are kept, -1 where one
// lies too far away.
template <Rounding kRounding>
std::int64_t quantize_piece(const Clouds& clouds, std::int64_t first, std::int64_t last, const CellGrid& grid,
                            std::int32_t* coords, std::int32_t* kept) {
  const ConstRowView& points = clouds.points;
  const auto size = grid.size, origin = grid.origin;
  std::int64_t next = first;
  std::int32_t batch = 0;
  for (std::int64_t i = first; i < last; ++i) {
    while (i >= clouds.splits[batch + 1]) ++batch;
    const float* p = static_cast<const float*>(points.base) + i * points.row_stride;
    std::array<float, 3> at =
        grid.axes == CellAxes::kCylindrical ? cylindrical(p) : std::array<float, 3>{p[0], p[1], p[2]};
    if (grid.range && grid.clamped)
      clamp_to(*grid.range, at);
    else if (grid.range && !inside(at, *grid.range))
      continue;
    if (!std::all_of(p, p + points.channels, [](float x) { return std::isfinite(x); })) continue;
    coords[4 * next] = batch;
    std::int32_t* cell = coords + 4 * next + 1;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const float quotient = (at[axis] - origin[axis]) / size[axis];
      if (!(std::abs(quotient) < kFurthestCell)) return -1;
      cell[axis] = cell_of<kRounding>(quotient);
    }
    kept[next++] = static_cast<std::int32_t>(i);
  }
  return next - first;
}

auto piece_quantizer(Rounding rounding) {
  switch (rounding) {
    case Rounding::kHalfEven:
      return quantize_piece<Rounding::kHalfEven>;
    case Rounding::kHalfAwayFrom0:
      return quantize_piece<Rounding::kHalfAwayFrom0>;
    case Rounding::kFloor:
      break;
  }
  return quantize_piece<Rounding::kFloor>;
}

}  // namespace

std::int64_t quantize(const Context& context, const Clouds& clouds, const CellGrid& grid, std::int32_t* coords,
                      std::int32_t* kept) {
  const std::int64_t n = clouds.points.count;
  const std::int64_t pieces = (n + kGrain - 1) / kGrain;
  const Arena::Mark mark = context.arena->mark();
  auto* counts = context.arena->allocate<std::int64_t>(pieces);
  const auto quantize_piece = piece_quantizer(grid.rounding);
  parallel_ranges(context, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t piece) {
    counts[piece] = quantize_piece(clouds, first, last, grid, coords, kept);
  });
  std::int64_t total = 0;
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    const std::int64_t from = piece * kGrain, count = counts[piece];
    if (count < 0) {
      total = -1;
      break;
    }
    if (from != total) {
      std::memmove(coords + 4 * total, coords + 4 * from, static_cast<std::size_t>(4 * count) * sizeof(*coords));
      std::memmove(kept + total, kept + from, static_cast<std::size_t>(count) * sizeof(*kept));
    }
    total += count;
  }
  context.arena->rewind(mark);
  return total;
}

void cell_centers(const Context& context, const Level& level, const CellGrid& grid, float* centers) {
  parallel_ranges(context, level.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for (std::int64_t i = first; i < last; ++i) {
      Coordinate cell;
      level.layout.unpack(level.keys[i], cell.data());
      for (std::size_t axis = 0; axis < 3; ++axis)
        centers[3 * i + static_cast<std::int64_t>(axis)] =
            grid.origin[axis] + (static_cast<float>(cell[axis + 1]) + 0.5f) * grid.size[axis];
    }
  });
}

void cylindrical(const Context& context, const ConstRowView& in, const RowView& out) {
  parallel_ranges(context, out.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for (std::int64_t i = first; i < last; ++i) {
      const float p[3] = {number_at(in, i, 0), number_at(in, i, 1), number_at(in, i, 2)};
      const std::array<float, 3> at = cylindrical(p);
      for (std::size_t axis = 0; axis < 3; ++axis) set_number(out, i, static_cast<std::int64_t>(axis), at[axis]);
    }
  });
}

}  // namespace voxshift::cpu
