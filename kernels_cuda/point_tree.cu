// Builds the tree: points are sorted by their codes, boxes are made level by level.
#include <voxshift/kernels_cuda/algorithms.h>
#include <voxshift/kernels_cuda/point_tree.h>

#include <algorithm>
#include <bit>
#include <climits>

namespace voxshift::cuda {
namespace {

constexpr std::int64_t kPointsOfThread = 64;

// Integers in the order of the floats that are not NaN, and back.
__device__ inline std::uint32_t order_of(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ inline float float_of(std::uint32_t order) {
  return std::bit_cast<float>((order & 0x80000000u) != 0 ? order & 0x7fffffffu : ~order);
}

// Every bit of 21 to every third.
__device__ inline std::uint64_t spread(std::uint64_t x) {
  x = (x | x << 32) & 0x001f00000000ffffULL;
  x = (x | x << 16) & 0x001f0000ff0000ffULL;
  x = (x | x << 8) & 0x100f00f00f00f00fULL;
  x = (x | x << 4) & 0x10c30c30c30c30c3ULL;
  return (x | x << 2) & 0x1249249249249249ULL;
}

__device__ inline std::uint64_t code_of(const Curve& curve, const float* p, std::int64_t cloud) {
  auto code = static_cast<std::uint64_t>(cloud) << (3 * curve.bits);
  const double cells = (1 << curve.bits) - 1;
  for (int axis = 0; axis < 3; ++axis) {
    const double low = float_of(curve.corners[axis]), width = float_of(curve.corners[3 + axis]) - low;
    double cell = width > 0 ? (p[axis] - low) / width * cells : 0;
    cell = cell > cells ? cells : cell > 0 ? cell : 0;  // 0 for NaN, too
    code |= spread(static_cast<std::uint64_t>(cell)) << (2 - axis);
  }
  return code;
}

void find_corners(const Queue& queue, Rows<const float> points, std::uint32_t* corners) {
  queue.fill(corners, 0xff, 3 * sizeof(*corners));
  queue.fill(corners + 3, 0, 3 * sizeof(*corners));
  const std::int64_t n = points.count, threads = ceil_div(n, kPointsOfThread);
  for_each(queue, threads, [=] __device__(std::int64_t first) {
    std::uint32_t low[3] = {UINT_MAX, UINT_MAX, UINT_MAX}, high[3] = {0, 0, 0};
    for (std::int64_t i = first; i < n; i += threads) {
      const float* p = points.row(i);
      if (!is_finite(p)) continue;
      for (int axis = 0; axis < 3; ++axis) {
        const std::uint32_t order = order_of(p[axis]);
        if (order < low[axis]) low[axis] = order;
        if (order > high[axis]) high[axis] = order;
      }
    }
    for (int axis = 0; axis < 3; ++axis) {
      atomicMin(&corners[axis], low[axis]);
      atomicMax(&corners[3 + axis], high[axis]);
    }
  });
}

__device__ inline void grow(Box& box, const PlacedPoint& p) {
  const float at[3] = {p.x, p.y, p.z};
  if (p.x != p.x) return;
  for (int axis = 0; axis < 3; ++axis) {
    box.low[axis] = fminf(box.low[axis], at[axis]);
    box.high[axis] = fmaxf(box.high[axis], at[axis]);
  }
  if (p.index < box.lowest) box.lowest = p.index;
}

__device__ inline void grow(Box& box, const Box& other) {
  for (int axis = 0; axis < 3; ++axis) {
    box.low[axis] = fminf(box.low[axis], other.low[axis]);
    box.high[axis] = fmaxf(box.high[axis], other.high[axis]);
  }
  if (other.lowest < box.lowest) box.lowest = other.lowest;
}

// Boxes over kFanOut parts each.
template <class Part>
Box* boxes_over(const Queue& queue, const Part* parts, std::int64_t n) {
  const std::int64_t count = ceil_div<std::int64_t>(n, kFanOut);
  auto* boxes = queue.arena().allocate<Box>(count);
  for_each(queue, count, [=] __device__(std::int64_t b) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    Box box{{kInfinity, kInfinity, kInfinity}, INT_MAX, {-kInfinity, -kInfinity, -kInfinity}};
    for (std::int64_t i = b * kFanOut; i < (b + 1) * kFanOut && i < n; ++i) grow(box, parts[i]);
    boxes[b] = box;
  });
  return boxes;
}

}  // namespace

PlacedPoints place_points(const Queue& queue, const Clouds& clouds, const Curve& curve,
                          unsigned long long* not_finite) {
  Arena& arena = queue.arena();
  const Rows<const float> points = rows<float>(clouds.points);
  const std::int64_t n = points.count;
  auto* placed = arena.allocate<PlacedPoint>(n);
  auto* codes = arena.allocate<std::uint64_t>(n);
  const Arena::Mark mark = arena.mark();
  const CloudSplits splits = splits_of(queue, clouds);
  auto* unsorted = arena.allocate<std::uint64_t>(n);
  auto* identity = arena.allocate<std::int32_t>(n);
  auto* order = arena.allocate<std::int32_t>(n);
  for_each(queue, n, [=] __device__(std::int64_t i) {
    unsorted[i] = code_of(curve, points.row(i), splits.cloud_of(i));
    identity[i] = static_cast<std::int32_t>(i);
    if (not_finite != nullptr && !is_finite(points.row(i))) atomicAdd(not_finite, 1ULL);
  });
  const auto cloud_bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(clouds.count - 1)));
  if (n > 0) sort_pairs(queue, unsorted, codes, identity, order, n, 3 * curve.bits + cloud_bits);
  for_each(queue, n, [=] __device__(std::int64_t i) {
    const float* p = points.row(order[i]);
    placed[i] = is_finite(p) ? PlacedPoint{p[0], p[1], p[2], order[i]} : PlacedPoint{NAN, NAN, NAN, order[i]};
  });
  arena.rewind(mark);
  return {placed, codes, n};
}

PointTree build_tree(const Queue& queue, const Clouds& clouds, unsigned long long* not_finite) {
  constexpr int kMostBits = 20;  // of an axis
  const auto cloud_bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(clouds.count - 1)));
  auto* corners = queue.arena().allocate<std::uint32_t>(6);
  find_corners(queue, rows<float>(clouds.points), corners);
  PointTree tree{};
  tree.curve = {corners, std::min(kMostBits, (63 - cloud_bits) / 3)};
  tree.clouds = splits_of(queue, clouds);
  tree.placed = place_points(queue, clouds, tree.curve, not_finite);
  std::int64_t count = tree.placed.count;
  for (; count > kFanOut || tree.levels < 2; count = ceil_div<std::int64_t>(count, kFanOut)) {
    const Box* below = tree.levels > 0 ? tree.boxes[tree.levels - 1] : nullptr;
    tree.boxes[tree.levels++] =
        below != nullptr ? boxes_over(queue, below, count) : boxes_over(queue, tree.placed.points, count);
  }
  return tree;
}

}  // namespace voxshift::cuda
