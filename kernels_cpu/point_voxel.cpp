// Points and voxels on the CPU.
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/point_voxel/kernels.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;
constexpr float kFurthestCell = 1073741824.0f;  // 2^30: differences of cells stay inside 32 bits

float round(float x, Rounding rounding) {
  switch (rounding) {
    case Rounding::kHalfEven:
      return std::nearbyint(x);
    case Rounding::kHalfAwayFrom0:
      return std::round(x);
    case Rounding::kFloor:
      return std::floor(x);
  }
  return x;
}

// A comparison with NaN is false, so NaN is outside of every range.
bool inside(const float* p, const Range& range) {
  for (std::size_t axis = 0; axis < 3; ++axis)
    if (!(p[axis] >= range.lowest[axis] && p[axis] < range.highest[axis])) return false;
  return true;
}

class CpuPointVoxelKernels final : public PointVoxelKernels {
 public:
  std::int64_t quantize(const Context& context, const ConstRowView& points, float size, Rounding rounding,
                        const Range* range, std::int32_t* coords, std::int32_t* kept) const override {
    const std::int64_t n = points.count;
    const std::int64_t pieces = (n + kGrain - 1) / kGrain;
    const Arena::Mark mark = context.arena->mark();
    auto* counts = context.arena->allocate<std::int64_t>(pieces);
    parallel_ranges(context.threads, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t piece) {
      std::int64_t next = first;
      bool too_far = false;
      for (std::int64_t i = first; i < last; ++i) {
        const float* p = static_cast<const float*>(points.base) + i * points.row_stride;
        if (range != nullptr && !inside(p, *range)) continue;
        if (!std::all_of(p, p + points.channels, [](float x) { return std::isfinite(x); })) continue;
        coords[4 * next] = 0;
        for (int axis = 0; axis < 3; ++axis) {
          const float cell = round(p[axis] / size, rounding);
          too_far |= !(std::abs(cell) < kFurthestCell);
          coords[4 * next + 1 + axis] = too_far ? 0 : static_cast<std::int32_t>(cell);
        }
        kept[next++] = static_cast<std::int32_t>(i);
      }
      counts[piece] = too_far ? -1 : next - first;
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
};

}  // namespace

const PointVoxelKernels& point_voxel_kernels() {
  static const CpuPointVoxelKernels kernels;
  return kernels;
}

}  // namespace voxshift::cpu
