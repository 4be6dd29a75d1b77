// Building the k-d tree: at every node the points are parted in place about the median of the longest axis.
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/point_tree.h>
#include <voxshift/kernels_cpu/targets.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/point_tree.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/compress.h>

#ifndef VOXSHIFT_KERNELS_CPU_POINT_TREE
#define VOXSHIFT_KERNELS_CPU_POINT_TREE
namespace voxshift::cpu {

/// The points of all trees in the making.
struct Places {
  float* at[3];
  std::int32_t* index;
};

/// Places of one node.
struct Node {
  std::int64_t first, last;
};

/// Points of a node's left child: as many full leaves as the largest power of two below its number of leaves.
inline std::int64_t left_points(std::int64_t points, std::int64_t leaf_size) {
  const auto leaves = static_cast<std::uint64_t>((points + leaf_size - 1) / leaf_size);
  return static_cast<std::int64_t>(std::bit_floor(leaves - 1)) * leaf_size;
}

/// Points are ordered by coordinate, then by index: no two are equal.
struct PointKey {
  float value;
  std::int32_t index;

  bool operator<(const PointKey& other) const { return std::tie(value, index) < std::tie(other.value, other.index); }
};

/// A key of [first, last) near the one of `rank`, not the least of the range. Ranks close to an end are approached from
/// the middle, so that what is left to part is the short side.
inline PointKey pivot(const Places& places, int axis, std::int64_t first, std::int64_t rank, std::int64_t last) {
  constexpr std::int64_t kMostSamples = 63;
  PointKey sample[kMostSamples];
  const std::int64_t n = last - first;
  const std::int64_t samples = n >= 2048 ? kMostSamples : n >= 128 ? 15 : std::min<std::int64_t>(n, 5);
  for (std::int64_t s = 0; s < samples; ++s) {
    const std::int64_t i = first + (2 * s + 1) * n / (2 * samples);
    sample[s] = {places.at[axis][i], places.index[i]};
  }
  const std::int64_t wanted = (rank - first) * samples / n + (2 * (rank - first) < n ? 1 : 0);
  PointKey* chosen = sample + std::clamp<std::int64_t>(wanted, 1, samples - 1);
  std::nth_element(sample, chosen, sample + samples);
  return *chosen;
}

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

namespace tree {
using Floats = hn::CappedTag<float, 16>;
using Ints = hn::RebindToSigned<Floats>;
constexpr std::int64_t kLanes = HWY_MIN(HWY_LANES(float), 16);
}  // namespace tree

/// Moves keys below the pivot before the others; both sides keep their order. Returns where the others begin.
std::int64_t part(const Places& places, const Places& spare, int axis, PointKey pivot, std::int64_t first,
                  std::int64_t last) {
  using tree::kLanes;
  const tree::Floats d;
  const tree::Ints di;
  const auto value = hn::Set(d, pivot.value);
  const auto index = hn::Set(di, pivot.index);
  std::int64_t left = first, right = first, i = first;  // `right` counts in spare
  for (; i + kLanes <= last; i += kLanes) {
    const auto x = hn::LoadU(d, places.at[axis] + i);
    const auto id = hn::LoadU(di, places.index + i);
    const auto below = hn::Or(hn::Lt(x, value), hn::And(hn::Eq(x, value), hn::RebindMask(d, hn::Lt(id, index))));
    const auto others = hn::Not(below);
    for (int a = 0; a < 3; ++a) {
      const auto v = hn::LoadU(d, places.at[a] + i);
      hn::StoreU(compress(d, v, below), d, places.at[a] + left);
      hn::StoreU(compress(d, v, others), d, spare.at[a] + right);
    }
    hn::StoreU(compress(di, id, hn::RebindMask(di, below)), di, places.index + left);
    hn::StoreU(compress(di, id, hn::RebindMask(di, others)), di, spare.index + right);
    const auto count = static_cast<std::int64_t>(hn::CountTrue(d, below));
    left += count;
    right += kLanes - count;
  }
  for (; i < last; ++i) {
    const bool below = PointKey{places.at[axis][i], places.index[i]} < pivot;
    const Places& to = below ? places : spare;
    const std::int64_t j = below ? left++ : right++;
    for (int a = 0; a < 3; ++a) to.at[a][j] = places.at[a][i];
    to.index[j] = places.index[i];
  }
  const auto count = static_cast<std::size_t>(right - first);
  for (int a = 0; a < 3; ++a) std::memcpy(places.at[a] + left, spare.at[a] + first, count * sizeof(float));
  std::memcpy(places.index + left, spare.index + first, count * sizeof(std::int32_t));
  return left;
}

int longest_axis(const Places& places, const Node& node) {
  using tree::kLanes;
  const tree::Floats d;
  int longest = 0;
  float length = -1;
  for (int a = 0; a < 3; ++a) {
    const float* x = places.at[a];
    float low = x[node.first], high = low;
    std::int64_t i = node.first;
    if (node.last - node.first >= kLanes) {
      auto lows = hn::LoadU(d, x + i), highs = lows;
      for (i += kLanes; i + kLanes <= node.last; i += kLanes) {
        const auto v = hn::LoadU(d, x + i);
        lows = hn::Min(lows, v);
        highs = hn::Max(highs, v);
      }
      low = hn::GetLane(hn::MinOfLanes(d, lows));
      high = hn::GetLane(hn::MaxOfLanes(d, highs));
    }
    for (; i < node.last; ++i) {
      low = std::min(low, x[i]);
      high = std::max(high, x[i]);
    }
    if (high - low > length) {
      length = high - low;
      longest = a;
    }
  }
  return longest;
}

/// Makes the two children of a node of more than one leaf; returns where the right one begins.
std::int64_t split(const Places& places, const Places& spare, const Node& node, std::int64_t leaf_size) {
  const int axis = longest_axis(places, node);
  const std::int64_t rank = node.first + left_points(node.last - node.first, leaf_size);
  for (std::int64_t first = node.first, last = node.last; first < rank;) {
    const std::int64_t middle = part(places, spare, axis, pivot(places, axis, first, rank, last), first, last);
    (middle <= rank ? first : last) = middle;
  }
  return rank;
}

void build_subtree(const Places& places, const Places& spare, const Node& node, std::int64_t leaf_size) {
  if (node.last - node.first <= leaf_size) return;
  const std::int64_t middle = split(places, spare, node, leaf_size);
  build_subtree(places, spare, {node.first, middle}, leaf_size);
  build_subtree(places, spare, {middle, node.last}, leaf_size);
}

/// boxes[first, last) around runs of `run` of the `count` boxes below them; a point is a box, too.
void bound_runs(const Boxes& below, std::int64_t run, const Boxes& boxes, std::int64_t first, std::int64_t last) {
  using tree::kLanes;
  const tree::Floats d;
  const tree::Ints di;
  const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
  const auto none = hn::Set(di, kNoPoint);
  for (std::int64_t j = first; j < last; ++j) {
    const std::int64_t begin = j * run, end = std::min(begin + run, below.count);
    for (int a = 0; a < 3; ++a) {
      auto low = infinity, high = hn::Neg(infinity);
      for (std::int64_t i = begin; i < end; i += kLanes) {
        const auto valid = hn::FirstN(d, static_cast<std::size_t>(end - i));
        low = hn::Min(low, hn::IfThenElse(valid, hn::LoadU(d, below.low[a] + i), infinity));
        high = hn::Max(high, hn::IfThenElse(valid, hn::LoadU(d, below.high[a] + i), hn::Neg(infinity)));
      }
      boxes.low[a][j] = hn::GetLane(hn::MinOfLanes(d, low));
      boxes.high[a][j] = hn::GetLane(hn::MaxOfLanes(d, high));
    }
    auto lowest = none;
    for (std::int64_t i = begin; i < end; i += kLanes) lowest = hn::Min(lowest, hn::LoadU(di, below.lowest + i));
    boxes.lowest[j] = hn::GetLane(hn::MinOfLanes(di, lowest));
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(split);
HWY_EXPORT(build_subtree);
HWY_EXPORT(bound_runs);
namespace {

constexpr std::int64_t kGrain = 8192;  // points of a task
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::int64_t rounded_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

Places allocate_places(Arena& arena, std::int64_t count) {
  Places places{};
  for (float*& at : places.at) at = arena.allocate<float>(count);
  places.index = arena.allocate<std::int32_t>(count);
  return places;
}

/// Copies the finite points of rows [first, last) to the places from `to` on and returns how many there are.
std::int64_t copy_finite(const ConstRowView& points, std::int64_t first, std::int64_t last, const Places& places,
                         std::int64_t to) {
  const std::int64_t begin = to;
  for (std::int64_t i = first; i < last; ++i) {
    const float* p = static_cast<const float*>(points.base) + i * points.row_stride;
    if (!std::isfinite(p[0]) || !std::isfinite(p[1]) || !std::isfinite(p[2])) continue;
    for (int a = 0; a < 3; ++a) places.at[a][to] = p[a];
    places.index[to++] = static_cast<std::int32_t>(i);
  }
  return to - begin;
}

void move_places(const Places& places, std::int64_t from, std::int64_t to, std::int64_t count) {
  const auto n = static_cast<std::size_t>(count);
  for (float* at : places.at) std::memmove(at + to, at + from, n * sizeof(float));
  std::memmove(places.index + to, places.index + from, n * sizeof(std::int32_t));
}

/// Fills the places of every cloud from starts[b] on; roots[b] becomes the node that holds them.
void fill_places(const Context& context, const Clouds& clouds, const Places& places, const std::int64_t* starts,
                 Node* roots) {
  struct Piece {
    std::int64_t first, last, to, count;
  };
  Arena& arena = *context.arena;
  auto* pieces = arena.allocate<Piece>(clouds.points.count / kGrain + clouds.count);
  std::int64_t n = 0;
  for (std::int64_t b = 0; b < clouds.count; ++b)
    for (std::int64_t first = clouds.splits[b]; first < clouds.splits[b + 1]; first += kGrain)
      pieces[n++] = {first, std::min(first + kGrain, clouds.splits[b + 1]), starts[b] + first - clouds.splits[b], 0};
  parallel_for(context, n, [&](std::int64_t i, int) {
    Piece& piece = pieces[i];
    piece.count = copy_finite(clouds.points, piece.first, piece.last, places, piece.to);
  });
  for (std::int64_t b = 0, i = 0; b < clouds.count; ++b) {
    std::int64_t end = starts[b];
    for (; i < n && pieces[i].first < clouds.splits[b + 1]; ++i) {
      if (pieces[i].to != end) move_places(places, pieces[i].to, end, pieces[i].count);
      end += pieces[i].count;
    }
    roots[b] = {starts[b], end};
  }
}

/// Splits nodes level by level, a node per task, until they are small enough for a task to make the whole subtree.
void build_nodes(const Context& context, const Places& places, const Places& spare, const Node* roots,
                 std::int64_t count, std::int64_t leaf_size) {
  const auto split = HWY_DYNAMIC_DISPATCH(split);
  const auto build_subtree = HWY_DYNAMIC_DISPATCH(build_subtree);
  std::int64_t points = 0;
  for (std::int64_t b = 0; b < count; ++b) points += roots[b].last - roots[b].first;
  const std::int64_t small = std::max({points / (4 * context.threads), kGrain / 4, leaf_size});
  const std::int64_t most = count + 2 * (points / small);  // twice the nodes that are not small
  Node* nodes = context.arena->allocate<Node>(most);
  Node* children = context.arena->allocate<Node>(most);
  auto* middles = context.arena->allocate<std::int64_t>(most);
  std::copy_n(roots, count, nodes);
  while (count > 0) {
    parallel_for(context, count, [&](std::int64_t i, int) {
      const bool is_small = nodes[i].last - nodes[i].first <= small;
      if (is_small) build_subtree(places, spare, nodes[i], leaf_size);
      middles[i] = is_small ? -1 : split(places, spare, nodes[i], leaf_size);
    });
    std::int64_t n = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      if (middles[i] < 0) continue;
      children[n++] = {nodes[i].first, middles[i]};
      children[n++] = {middles[i], nodes[i].last};
    }
    std::swap(nodes, children);
    count = n;
  }
}

Boxes allocate_boxes(Arena& arena, std::int64_t count) {
  const std::int64_t padded = rounded_up(std::max<std::int64_t>(count, 1), kFanOut);
  Boxes boxes{};
  boxes.count = count;
  for (float*& low : boxes.low) low = arena.allocate<float>(padded);
  for (float*& high : boxes.high) high = arena.allocate<float>(padded);
  boxes.lowest = arena.allocate<std::int32_t>(padded);
  for (int a = 0; a < 3; ++a) {
    std::fill(boxes.low[a] + count, boxes.low[a] + padded, std::numeric_limits<float>::infinity());
    std::fill(boxes.high[a] + count, boxes.high[a] + padded, -std::numeric_limits<float>::infinity());
  }
  std::fill(boxes.lowest + count, boxes.lowest + padded, kNoPoint);
  return boxes;
}

PointTree allocate_tree(Arena& arena, const Places& places, const Node& root, std::int64_t leaf_size) {
  PointTree tree{};
  tree.count = root.last - root.first;
  tree.leaf_size = leaf_size;
  for (int a = 0; a < 3; ++a) tree.at[a] = places.at[a] + root.first;
  tree.index = places.index + root.first;
  std::int64_t count = rounded_up(tree.count, leaf_size) / leaf_size;
  do {
    tree.boxes[tree.levels++] = allocate_boxes(arena, count);
    count = rounded_up(count, kFanOut) / kFanOut;
  } while (tree.boxes[tree.levels - 1].count > kFanOut);
  for (std::int64_t i = tree.count; i < tree.leaves() * leaf_size; ++i) {
    for (float* at : tree.at) at[i] = kNaN;
    tree.index[i] = kNoPoint;
  }
  return tree;
}

}  // namespace

PointTree* build_trees(const Context& context, const Clouds& clouds, std::int64_t leaf_size) {
  choose_target();
  Arena& arena = *context.arena;
  auto* starts = arena.allocate<std::int64_t>(clouds.count + 1);
  starts[0] = 0;
  for (std::int64_t b = 0; b < clouds.count; ++b)
    starts[b + 1] = starts[b] + rounded_up(clouds.splits[b + 1] - clouds.splits[b], leaf_size);
  const Places places = allocate_places(arena, starts[clouds.count]);
  auto* trees = arena.allocate<PointTree>(clouds.count);
  auto* roots = arena.allocate<Node>(clouds.count);

  const Arena::Mark mark = arena.mark();
  fill_places(context, clouds, places, starts, roots);
  build_nodes(context, places, allocate_places(arena, starts[clouds.count]), roots, clouds.count, leaf_size);
  arena.rewind(mark);

  const auto bound_runs = HWY_DYNAMIC_DISPATCH(bound_runs);
  for (std::int64_t b = 0; b < clouds.count; ++b) {
    PointTree& tree = trees[b] = allocate_tree(arena, places, roots[b], leaf_size);
    const Boxes points{
        {tree.at[0], tree.at[1], tree.at[2]}, {tree.at[0], tree.at[1], tree.at[2]}, tree.index, tree.count};
    for (int l = 0; l < tree.levels; ++l)
      parallel_ranges(
          context, tree.boxes[l].count, kGrain / kFanOut, [&](std::int64_t first, std::int64_t last, std::int64_t) {
            bound_runs(l == 0 ? points : tree.boxes[l - 1], l == 0 ? leaf_size : kFanOut, tree.boxes[l], first, last);
          });
  }
  return trees;
}

}  // namespace voxshift::cpu
#endif
