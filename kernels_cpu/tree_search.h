// Walking a point tree with the queries of a leaf. Compiled once per instruction set (include it inside HWY_NAMESPACE
// code, after hwy/highway.h).
//
// A leaf of up to 16 queries walks the tree together: boxes are tested 16 at a time against the box of the queries.
// The leaves it meets are collected in a list; each query then tests the list's boxes against its own bound and reads
// the points of what is left. Nowhere does a branch depend on a single point.
//
// The squared distance to a box is computed as the one to a point is. Rounding keeps order, so it is never more than
// that of a point in the box, and a box may be left out exactly where all of its points would be.
#if defined(VOXSHIFT_KERNELS_CPU_TREE_SEARCH_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VOXSHIFT_KERNELS_CPU_TREE_SEARCH_H
#undef VOXSHIFT_KERNELS_CPU_TREE_SEARCH_H
#else
#define VOXSHIFT_KERNELS_CPU_TREE_SEARCH_H
#endif

#include <hwy/highway.h>
#include <voxshift/kernels_cpu/candidates.h>
#include <voxshift/kernels_cpu/point_tree.h>
#include <voxshift/kernels_cpu/rank.h>
#include <voxshift/kernels_cpu/search_tasks.h>

#include <algorithm>
#include <cstdint>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {
namespace search {
/// A point (d^2, index) is of interest when d^2 < reach, or d^2 == reach and index < tie, and index < end.
struct Bound {
  float reach;
  std::int32_t tie = kNoPoint;
  std::int32_t end = kNoPoint;
};

/// A box of queries and what is of interest to any of them.
struct Region {
  float low[3], high[3];
  Bound bound;
};

inline Region region_of_leaf(const PointTree& tree, std::int64_t leaf, const Bound& bound) {
  Region region{{}, {}, bound};
  for (int a = 0; a < 3; ++a) {
    region.low[a] = tree.boxes[0].low[a][leaf];
    region.high[a] = tree.boxes[0].high[a][leaf];
  }
  return region;
}

inline Region region_of_point(const PointTree& tree, std::int64_t place, const Bound& bound) {
  Region region{{}, {}, bound};
  for (int a = 0; a < 3; ++a) region.low[a] = region.high[a] = tree.at[a][place];
  return region;
}

/// Whether boxes [i, i + kLanes) may hold a point of interest.
HWY_INLINE Mask is_near(const Boxes& boxes, std::int64_t i, const Region& region) {
  const Floats d;
  const Ints di;
  FloatVector squares = hn::Zero(d);
  for (int a = 0; a < 3; ++a) {
    const FloatVector below = hn::Sub(hn::LoadU(d, boxes.low[a] + i), hn::Set(d, region.high[a]));
    const FloatVector above = hn::Sub(hn::Set(d, region.low[a]), hn::LoadU(d, boxes.high[a] + i));
    const FloatVector gap = hn::Max(hn::Max(below, above), hn::Zero(d));
    squares = a == 0 ? hn::Mul(gap, gap) : hn::MulAdd(gap, gap, squares);
  }
  const IntVector lowest = hn::LoadU(di, boxes.lowest + i);
  const FloatVector reach = hn::Set(d, region.bound.reach);
  const Mask tie = hn::RebindMask(d, hn::Lt(lowest, hn::Set(di, region.bound.tie)));
  const Mask begins = hn::RebindMask(d, hn::Lt(lowest, hn::Set(di, region.bound.end)));
  return hn::And(begins, hn::Or(hn::Lt(squares, reach), hn::And(hn::Eq(squares, reach), tie)));
}

/// Squared distances of the points at [place, place + kLanes) of the tree; NaN in padding.
HWY_INLINE FloatVector distances(const PointTree& tree, std::int64_t place, const float* query) {
  const Floats d;
  const FloatVector dx = hn::Sub(hn::Load(d, tree.at[0] + place), hn::Set(d, query[0]));
  const FloatVector dy = hn::Sub(hn::Load(d, tree.at[1] + place), hn::Set(d, query[1]));
  const FloatVector dz = hn::Sub(hn::Load(d, tree.at[2] + place), hn::Set(d, query[2]));
  return hn::MulAdd(dz, dz, hn::MulAdd(dy, dy, hn::Mul(dx, dx)));
}

/// Appends the points of a leaf with d^2 <= reach.
HWY_INLINE void take_leaf(const PointTree& tree, std::int32_t leaf, const float* query, float reach,
                          Candidates& candidates) {
  const Floats d;
  const Ints di;
  for (std::int64_t place = leaf * kLeafPoints; place < (leaf + 1) * kLeafPoints; place += kLanes) {
    const FloatVector squares = distances(tree, place, query);
    const Mask near = hn::Le(squares, hn::Set(d, reach));
    hn::StoreU(compress(d, squares, near), d, candidates.distances + candidates.count);
    hn::StoreU(compress(di, hn::Load(di, tree.index + place), hn::RebindMask(di, near)), di,
               candidates.indices + candidates.count);
    candidates.count += static_cast<std::int64_t>(hn::CountTrue(d, near));
  }
}

/// Leaves near a group of queries, ascending, with copies of their boxes.
struct LeafList {
  static constexpr std::int64_t kMost = 128;

  std::int64_t count;
  std::int32_t leaves[kMost + kFanOut];
  float low[3][kMost + kFanOut], high[3][kMost + kFanOut];
  std::int32_t lowest[kMost + kFanOut];

  Boxes boxes() { return {{low[0], low[1], low[2]}, {high[0], high[1], high[2]}, lowest, count}; }

  /// Appends the leaves of [first, first + kFanOut) that may be of interest.
  HWY_INLINE void append(const PointTree& tree, std::int64_t first, const Region& region) {
    const Floats d;
    const Ints di;
    const Boxes& from = tree.boxes[0];
    for (std::int64_t i = first; i < first + kFanOut; i += kLanes) {
      const Mask near = is_near(from, i, region);
      const auto near_ints = hn::RebindMask(di, near);
      hn::StoreU(compress(di, hn::Iota(di, static_cast<std::int32_t>(i)), near_ints), di, leaves + count);
      for (int a = 0; a < 3; ++a) {
        hn::StoreU(compress(d, hn::Load(d, from.low[a] + i), near), d, low[a] + count);
        hn::StoreU(compress(d, hn::Load(d, from.high[a] + i), near), d, high[a] + count);
      }
      hn::StoreU(compress(di, hn::Load(di, from.lowest + i), near_ints), di, lowest + count);
      count += static_cast<std::int64_t>(hn::CountTrue(d, near));
    }
  }

  /// Writes the leaves behind `last` that may be of interest to `region` to `out`, which holds kMost + kFanOut, and
  /// returns how many there are.
  HWY_INLINE std::int64_t near(const Region& region, std::int32_t last, std::int32_t* out) {
    const Ints di;
    const Boxes all = boxes();
    std::int64_t n = 0;
    for (std::int64_t i = 0; i < count; i += kLanes) {
      const IntVector leaf = hn::LoadU(di, leaves + i);
      const auto valid = hn::And(hn::FirstN(di, static_cast<std::size_t>(count - i)), hn::Gt(leaf, hn::Set(di, last)));
      const auto keep = hn::And(valid, hn::RebindMask(di, is_near(all, i, region)));
      hn::StoreU(compress(di, leaf, keep), di, out + n);
      n += static_cast<std::int64_t>(hn::CountTrue(di, keep));
    }
    return n;
  }
};

/// Calls take(leaf) for every leaf of the list that may be of interest to `region`, until it tightened the bound and
/// returned true: then the leaves behind are tested again.
template <class Take>
HWY_INLINE void for_near(LeafList& list, const Region& region, const Take& take) {
  std::int32_t leaves[LeafList::kMost + kFanOut];
  std::int32_t last = -1;
  for (bool again = true; again;) {
    again = false;
    const std::int64_t n = list.near(region, last, leaves);
    for (std::int64_t i = 0; i < n && !again; ++i) again = take(last = leaves[i]);
  }
}

/// Leaves every leaf that may be of interest in `list`, but for those that visit(list) was called with when it was
/// full. `visit` may tighten region.bound.
template <class Visit>
HWY_INLINE void walk(const PointTree& tree, const Region& region, LeafList& list, const Visit& visit) {
  struct Level {
    std::int64_t next, count;
    std::int32_t nodes[2 * kFanOut];
  };
  const Ints di;
  Level levels[PointTree::kMostLevels];
  list.count = 0;
  const auto open = [&](int level, std::int64_t first) {
    if (level == 0) {
      list.append(tree, first, region);
      if (list.count <= LeafList::kMost) return;
      visit(list);
      list.count = 0;
      return;
    }
    Level& l = levels[level];
    l.next = l.count = 0;
    for (std::int64_t i = first; i < first + kFanOut; i += kLanes) {
      const auto near = hn::RebindMask(di, is_near(tree.boxes[level], i, region));
      hn::StoreU(compress(di, hn::Iota(di, static_cast<std::int32_t>(i)), near), di, l.nodes + l.count);
      l.count += static_cast<std::int64_t>(hn::CountTrue(di, near));
    }
  };
  const int top = tree.levels - 1;
  int level = top;
  open(top, 0);
  while (level > 0) {
    Level& l = levels[level];
    if (l.next == l.count) {
      if (level++ == top) break;
    } else {
      open(level - 1, l.nodes[l.next++] * kFanOut);
      if (level > 1) --level;
    }
  }
}

/// The leaf whose box is nearest to a point, as far as the nearest box of every level tells.
inline std::int64_t descend(const PointTree& tree, const float* point) {
  const Floats d;
  std::int64_t node = 0;
  for (int level = tree.levels - 1; level >= 0; --level) {
    const Boxes& boxes = tree.boxes[level];
    const std::int64_t first = node * kFanOut;
    // Not infinity, which boxes have that are empty or too far away: Highway's emulation finds no minimum above this.
    float least = std::numeric_limits<float>::max();
    node = first;
    for (std::int64_t i = first; i < first + kFanOut; i += kLanes) {
      FloatVector squares = hn::Zero(d);
      for (int a = 0; a < 3; ++a) {
        const FloatVector x = hn::Set(d, point[a]);
        const FloatVector below = hn::Sub(hn::Load(d, boxes.low[a] + i), x);
        const FloatVector above = hn::Sub(x, hn::Load(d, boxes.high[a] + i));
        const FloatVector gap = hn::Max(hn::Max(below, above), hn::Zero(d));
        squares = hn::MulAdd(gap, gap, squares);
      }
      const FloatVector minimum = hn::MinOfLanes(d, squares);
      const float candidate = hn::GetLane(minimum);
      if (candidate >= least) continue;
      least = candidate;
      node = i + hn::FindFirstTrue(d, hn::Eq(squares, minimum));
    }
  }
  return node;
}

}  // namespace search
}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
