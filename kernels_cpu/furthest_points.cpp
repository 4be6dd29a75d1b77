// Furthest point sampling. The tree's boxes carry the largest distance of a point in them: a new sample goes down only
// where it can lower one, and the furthest point is found on the way that the largest distance marks. A sample of a
// scan then costs some 0.3 us, 4,096 of them less than the tree: applied at once, not collected until a leaf is looked
// at.
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/point_tree.h>
#include <voxshift/kernels_cpu/point_voxel.h>
#include <voxshift/kernels_cpu/targets.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/furthest_points.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef VOXSHIFT_KERNELS_CPU_FURTHEST_POINTS
#define VOXSHIFT_KERNELS_CPU_FURTHEST_POINTS
namespace voxshift::cpu {

constexpr std::int64_t kLeafSize = 64;  // of 16 to 128 the fastest on a scan, tree included

/// Squared distances to the samples so far, beside a tree.
struct Distances {
  float* points;  ///< by place in the tree, -1 in padding
  struct {
    float* largest;        ///< of the points in each box, -1 in padding
    std::int32_t* places;  ///< of the point each box would give, kNoPoint where that is not known
  } boxes[PointTree::kMostLevels];
};

/// Of equally distant points the one of least rank is taken: k mod period, then k, for the cloud's k-th point.
struct TieOrder {
  std::int64_t first_row, period;

  std::int64_t rank(std::int32_t row) const {
    const std::int64_t k = row - first_row;
    return k % period << 32 | k;
  }
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kFanOut>;
using FloatVector = hn::Vec<Floats>;
constexpr int kLanes = static_cast<int>(HWY_MIN(HWY_LANES(float), kFanOut));

template <class Body>
HWY_INLINE void for_each_lane(hn::Mask<Floats> mask, const Body& body) {
  std::uint8_t bytes[8] = {};
  hn::StoreMaskBits(Floats(), mask, bytes);
  for (unsigned bits = bytes[0] | bytes[1] << 8; bits != 0; bits &= bits - 1) body(std::countr_zero(bits));
}

HWY_INLINE FloatVector square_length(FloatVector x, FloatVector y, FloatVector z) {
  return hn::MulAdd(z, z, hn::MulAdd(y, y, hn::Mul(x, x)));
}

class Sampler {
 public:
  Sampler(const PointTree& tree, const Distances& distances, TieOrder order)
      : tree_(tree), distances_(distances), order_(order) {}

  /// Follows the first sample, at `first`, with count - 1 more.
  void run(const float* first, std::int64_t count, std::int32_t* indices) {
    std::copy_n(first, 3, sample_);
    for (std::int64_t i = 1; i < count; ++i) {
      const float largest = apply(tree_.levels - 1, 0);
      const std::int32_t place = find(largest, tree_.levels - 1, 0);
      indices[i] = tree_.index[place];
      if (largest == 0) return std::fill(indices + i, indices + count, indices[i]);  // no distance changes any more
      for (int axis = 0; axis < 3; ++axis) sample_[axis] = tree_.at[axis][place];
    }
  }

 private:
  /// Lowers distances below the boxes [kFanOut * node, kFanOut * (node + 1)) of a level; returns the largest left.
  float apply(int level, std::int64_t node) {
    const Floats d;
    float* const largest = distances_.boxes[level].largest;
    std::int32_t* const places = distances_.boxes[level].places;
    FloatVector result = hn::Set(d, -1.0f);
    for (std::int64_t box = node * kFanOut; box < (node + 1) * kFanOut; box += kLanes) {
      for_each_lane(hn::Lt(bound(tree_.boxes[level], box), hn::Load(d, largest + box)), [&](int lane) {
        largest[box + lane] = level == 0 ? apply_to_leaf(box + lane) : apply(level - 1, box + lane);
        places[box + lane] = kNoPoint;
      });
      result = hn::Max(result, hn::Load(d, largest + box));
    }
    return hn::GetLane(hn::MaxOfLanes(d, result));
  }

  /// At most the distance from the sample to any point in a box, in the same float32 arithmetic: low <= p <= high gives
  /// |fl(p - s)| >= max(fl(low - s), fl(s - high), 0) on each axis, as rounding is monotone, and each step of
  /// square_length() grows with the magnitude of its operands for the same reason.
  HWY_INLINE FloatVector bound(const Boxes& boxes, std::int64_t box) const {
    const Floats d;
    const auto beyond = [&](int axis) {
      const FloatVector s = hn::Set(d, sample_[axis]);
      const FloatVector below = hn::Sub(hn::Load(d, boxes.low[axis] + box), s);
      return hn::Max(hn::Max(below, hn::Sub(s, hn::Load(d, boxes.high[axis] + box))), hn::Zero(d));
    };
    return square_length(beyond(0), beyond(1), beyond(2));
  }

  /// The same for the points of a leaf.
  HWY_INLINE float apply_to_leaf(std::int64_t leaf) {
    const Floats d;
    const FloatVector x = hn::Set(d, sample_[0]), y = hn::Set(d, sample_[1]), z = hn::Set(d, sample_[2]);
    FloatVector largest = hn::Set(d, -1.0f);
#pragma GCC unroll 4
    for (std::int64_t i = leaf * kLeafSize; i < (leaf + 1) * kLeafSize; i += kLanes) {
      const FloatVector old = hn::Load(d, distances_.points + i);
      const FloatVector distance =
          square_length(hn::Sub(hn::Load(d, tree_.at[0] + i), x), hn::Sub(hn::Load(d, tree_.at[1] + i), y),
                        hn::Sub(hn::Load(d, tree_.at[2] + i), z));
      const FloatVector kept = hn::IfThenElse(hn::Lt(distance, old), distance, old);  // old beside NaN, in padding
      hn::Store(kept, d, distances_.points + i);
      largest = hn::Max(largest, kept);
    }
    return hn::GetLane(hn::MaxOfLanes(d, largest));
  }

  /// Place of the point of least rank among those at distance `largest` below the boxes of a node.
  std::int32_t find(float largest, int level, std::int64_t node) {
    const Floats d;
    std::int32_t result = kNoPoint;
    for (std::int64_t box = node * kFanOut; box < (node + 1) * kFanOut; box += kLanes)
      for_each_lane(hn::Eq(hn::Set(d, largest), hn::Load(d, distances_.boxes[level].largest + box)), [&](int lane) {
        std::int32_t& place = distances_.boxes[level].places[box + lane];
        if (place == kNoPoint)
          place = level == 0 ? find_in_leaf(largest, box + lane) : find(largest, level - 1, box + lane);
        result = lower(result, place);
      });
    return result;
  }

  std::int32_t find_in_leaf(float largest, std::int64_t leaf) const {
    const Floats d;
    std::int32_t result = kNoPoint;
    for (std::int64_t i = leaf * kLeafSize; i < (leaf + 1) * kLeafSize; i += kLanes)
      for_each_lane(hn::Eq(hn::Set(d, largest), hn::Load(d, distances_.points + i)),
                    [&](int lane) { result = lower(result, static_cast<std::int32_t>(i + lane)); });
    return result;
  }

  /// The place whose point has the lower rank; a may be kNoPoint.
  std::int32_t lower(std::int32_t a, std::int32_t b) const {
    if (a == kNoPoint) return b;
    return order_.rank(tree_.index[b]) < order_.rank(tree_.index[a]) ? b : a;
  }

  const PointTree& tree_;
  const Distances& distances_;
  const TieOrder order_;
  float sample_[3];
};

}  // namespace

void sample_cloud(const PointTree& tree, const Distances& distances, TieOrder order, const float* first,
                  std::int64_t count, std::int32_t* indices) {
  Sampler(tree, distances, order).run(first, count, indices);
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(sample_cloud);
namespace {

constexpr std::int64_t padded(std::int64_t boxes) { return (boxes + kFanOut - 1) / kFanOut * kFanOut; }

/// Memory for the distances of any of the trees.
Distances allocate_distances(Arena& arena, const PointTree* trees, std::int64_t count) {
  Distances distances{};
  for (int level = 0; level < PointTree::kMostLevels; ++level) {
    std::int64_t boxes = 0;
    for (std::int64_t b = 0; b < count; ++b)
      if (level < trees[b].levels) boxes = std::max(boxes, padded(trees[b].boxes[level].count));
    if (level == 0) distances.points = arena.allocate<float>(boxes * kLeafSize);
    distances.boxes[level] = {arena.allocate<float>(boxes), arena.allocate<std::int32_t>(boxes)};
  }
  return distances;
}

/// No sample yet: every distance is infinite.
void reset(const PointTree& tree, const Distances& distances) {
  const auto fill = [](float* values, std::int64_t count, std::int64_t padded_count) {
    std::fill_n(values, count, std::numeric_limits<float>::infinity());
    std::fill(values + count, values + padded_count, -1.0f);
  };
  fill(distances.points, tree.count, tree.leaves() * kLeafSize);
  for (int level = 0; level < tree.levels; ++level) {
    const std::int64_t count = tree.boxes[level].count;
    fill(distances.boxes[level].largest, count, padded(count));
    std::fill_n(distances.boxes[level].places, count, kNoPoint);
  }
}

}  // namespace

void furthest_points(const Context& context, const Clouds& clouds, std::int64_t count, Ties ties,
                     std::int32_t* indices) {
  choose_target();
  const auto sample_cloud = HWY_DYNAMIC_DISPATCH(sample_cloud);
  Arena& arena = *context.arena;
  const Arena::Mark mark = arena.mark();
  const PointTree* trees = build_trees(context, clouds, kLeafSize);
  const int threads = static_cast<int>(std::clamp<std::int64_t>(clouds.count, 1, context.threads));
  auto* scratch = arena.allocate<Distances>(threads);
  for (int thread = 0; thread < threads; ++thread) scratch[thread] = allocate_distances(arena, trees, clouds.count);
  parallel_for(context, clouds.count, [&](std::int64_t b, int thread) {
    std::int32_t* out = indices + b * count;
    const PointTree& tree = trees[b];
    if (tree.count == 0) {
      std::fill_n(out, count, -1);
      return;
    }
    const Boxes& top = tree.boxes[tree.levels - 1];
    out[0] = *std::min_element(top.lowest, top.lowest + top.count);
    reset(tree, scratch[thread]);
    const float* first = static_cast<const float*>(clouds.points.base) + out[0] * clouds.points.row_stride;
    const TieOrder order{clouds.splits[b], ties == Ties::kPvcnn ? 512 : 1};
    sample_cloud(tree, scratch[thread], order, first, count, out);
  });
  arena.rewind(mark);
}

}  // namespace voxshift::cpu
#endif
