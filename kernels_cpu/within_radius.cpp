// All points within a radius of every query, and the first of them.
#include <voxshift/kernels_cpu/candidates.h>
#include <voxshift/kernels_cpu/point_voxel.h>
#include <voxshift/kernels_cpu/search_tasks.h>

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/within_radius.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/tree_search.h>

#ifndef VOXSHIFT_KERNELS_CPU_WITHIN_RADIUS
#define VOXSHIFT_KERNELS_CPU_WITHIN_RADIUS
namespace voxshift::cpu {

/// Where the neighbours of all queries go.
struct RadiusSearch {
  float radius2;
  std::int64_t* splits;   ///< [queries + 1]
  std::int32_t* indices;  ///< [splits[queries]]
  float* distances;
};

struct BallSearch {
  float reach;  ///< the largest d^2 that is inside
  std::int64_t count;
  const std::int64_t* splits;  ///< of the clouds that are searched
  std::int32_t* indices;       ///< [centers, count]

  /// What stands for the neighbours of a center without any.
  std::int32_t fallback(std::int64_t cloud) const {
    return splits[cloud] < splits[cloud + 1] ? static_cast<std::int32_t>(splits[cloud]) : -1;
  }
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {
namespace search {

/// Calls take(q, leaf) for every query q of a leaf and every leaf of points near it.
template <class Take>
HWY_INLINE void for_near_leaves(const SearchTask& task, std::int64_t leaf, float radius2, LeafList& list,
                                const Take& take) {
  const std::int64_t begin = leaf * kLeafPoints, n = std::min(kLeafPoints, task.queries->count - begin);
  const auto visit = [&](LeafList& some) {
    for (std::int64_t q = 0; q < n; ++q) {
      const Region one = region_of_point(*task.queries, begin + q, {radius2});
      for_near(some, one, [&](std::int32_t near) {
        take(q, one.low, near);
        return false;
      });
    }
  };
  walk(*task.points, region_of_leaf(*task.queries, leaf, {radius2}), list, visit);
  visit(list);
}

}  // namespace search

/// splits[query + 1] = number of its neighbours; returns the largest.
std::int64_t count_within_radius(const SearchTask& task, const RadiusSearch& result) {
  using namespace search;
  const Floats d;
  const FloatVector reach = hn::Set(d, result.radius2);
  LeafList list;
  std::int64_t most = 0;
  for (std::int64_t leaf = task.first; leaf < task.last; ++leaf) {
    std::int64_t counts[kLeafPoints] = {};
    for_near_leaves(task, leaf, result.radius2, list, [&](std::int64_t q, const float* at, std::int32_t near) {
      for (std::int64_t place = near * kLeafPoints; place < (near + 1) * kLeafPoints; place += kLanes)
        counts[q] += static_cast<std::int64_t>(hn::CountTrue(d, hn::Le(distances(*task.points, place, at), reach)));
    });
    const std::int64_t begin = leaf * kLeafPoints, end = std::min(begin + kLeafPoints, task.queries->count);
    for (std::int64_t i = begin; i < end; ++i) {
      result.splits[task.queries->index[i] + 1] = counts[i - begin];
      most = std::max(most, counts[i - begin]);
    }
  }
  return most;
}

/// Fills the lists in order, behind the counts' prefix sums.
void fill_within_radius(const SearchTask& task, const RadiusSearch& result, const CandidateScratch& scratch) {
  using namespace search;
  LeafList list;
  for (std::int64_t leaf = task.first; leaf < task.last; ++leaf) {
    const std::int64_t begin = leaf * kLeafPoints, end = std::min(begin + kLeafPoints, task.queries->count);
    Candidates each[kLeafPoints];
    for (std::int64_t i = begin; i < end; ++i) each[i - begin] = scratch.row(i - begin);
    for_near_leaves(task, leaf, result.radius2, list, [&](std::int64_t q, const float* at, std::int32_t near) {
      take_leaf(*task.points, near, at, result.radius2, each[q]);
    });
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t to = result.splits[task.queries->index[i]];
      sort_candidates(each[i - begin], scratch.keys, each[i - begin].count, result.indices + to, result.distances + to);
    }
  }
}

namespace search {

/// The ball of one center.
class Ball {
 public:
  void start(const SearchTask& task, const BallSearch& ball, const CandidateScratch& scratch, std::int64_t place) {
    region_ = region_of_point(*task.queries, place, {ball.reach});
    indices_ = scratch.row(place % kLeafPoints).indices;
    count_ = 0;
  }

  void visit(const PointTree& points, LeafList& list, std::int64_t most, const CandidateScratch& scratch) {
    for_near(list, region_, [&](std::int32_t leaf) {
      take(points, leaf);
      const bool full = count_ > scratch.capacity - kLeafPoints;
      if (full) tighten(most);
      return full;
    });
    tighten(most);
  }

  /// Writes the first points to row `row`.
  void finish(const BallSearch& ball, std::int64_t cloud, std::int64_t row) {
    std::int32_t* out = ball.indices + row * ball.count;
    std::sort(indices_, indices_ + count_);
    std::copy_n(indices_, count_, out);
    std::fill(out + count_, out + ball.count, count_ > 0 ? indices_[0] : ball.fallback(cloud));
  }

  std::int32_t end() const { return region_.bound.end; }

 private:
  void take(const PointTree& points, std::int32_t leaf) {
    const Floats d;
    const Ints di;
    const FloatVector reach = hn::Set(d, region_.bound.reach);
    const IntVector end = hn::Set(di, region_.bound.end);
    for (std::int64_t place = leaf * kLeafPoints; place < (leaf + 1) * kLeafPoints; place += kLanes) {
      const IntVector index = hn::Load(di, points.index + place);
      const auto inside = hn::RebindMask(di, hn::Le(distances(points, place, region_.low), reach));
      const auto wanted = hn::And(inside, hn::Lt(index, end));
      hn::StoreU(compress(di, index, wanted), di, indices_ + count_);
      count_ += static_cast<std::int64_t>(hn::CountTrue(di, wanted));
    }
  }

  /// Keeps the first points; only those before the last of them are still of interest.
  void tighten(std::int64_t most) {
    if (count_ <= most) return;
    std::nth_element(indices_, indices_ + most - 1, indices_ + count_);
    count_ = most;
    region_.bound.end = indices_[most - 1];
  }

  Region region_;
  std::int32_t* indices_;
  std::int64_t count_;
};

}  // namespace search

void ball_query_of_leaves(const SearchTask& task, const BallSearch& ball, const CandidateScratch& scratch) {
  using namespace search;
  const PointTree &points = *task.points, &centers = *task.queries;
  LeafList list;
  Ball each[kLeafPoints];
  for (std::int64_t leaf = task.first; leaf < task.last; ++leaf) {
    const std::int64_t begin = leaf * kLeafPoints, n = std::min(kLeafPoints, centers.count - begin);
    for (std::int64_t q = 0; q < n; ++q) each[q].start(task, ball, scratch, begin + q);
    Region region = region_of_leaf(centers, leaf, {ball.reach});
    const auto visit = [&](LeafList& some) {
      region.bound.end = 0;
      for (std::int64_t q = 0; q < n; ++q) {
        each[q].visit(points, some, ball.count, scratch);
        region.bound.end = std::max(region.bound.end, each[q].end());
      }
    };
    walk(points, region, list, visit);
    visit(list);
    for (std::int64_t q = 0; q < n; ++q) each[q].finish(ball, task.cloud, centers.index[begin + q]);
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(count_within_radius);
HWY_EXPORT(fill_within_radius);
HWY_EXPORT(ball_query_of_leaves);

RaggedView within_radius(const Context& context, const Clouds& points, const Clouds& queries, float radius2,
                         Arena& result, std::int64_t& dropped) {
  Arena& arena = *context.arena;
  const Arena::Mark mark = arena.mark();
  const SearchTasks tasks = make_tasks(context, points, queries);
  dropped = tasks.dropped;
  RadiusSearch search{radius2, result.allocate<std::int64_t>(queries.points.count + 1), nullptr, nullptr};
  search.splits[0] = 0;
  auto* most = arena.allocate<std::int64_t>(tasks.count);
  const auto count_within_radius = HWY_DYNAMIC_DISPATCH(count_within_radius);
  parallel_for(context, tasks.count,
               [&](std::int64_t i, int) { most[i] = count_within_radius(tasks.tasks[i], search); });
  for_skipped_queries(queries, tasks, [&](std::int64_t i, std::int64_t) { search.splits[i + 1] = 0; });
  std::int64_t total = 0;
  for (std::int64_t i = 0; i <= queries.points.count; ++i) search.splits[i] = total += search.splits[i];

  search.indices = result.allocate<std::int32_t>(total);
  search.distances = result.allocate<float>(total);
  const std::int64_t capacity = tasks.count > 0 ? *std::max_element(most, most + tasks.count) : 0;
  const CandidateScratch* scratch = allocate_candidates(arena, tasks.threads, queries.points.count, capacity);
  const auto fill_within_radius = HWY_DYNAMIC_DISPATCH(fill_within_radius);
  parallel_for(context, tasks.count,
               [&](std::int64_t i, int thread) { fill_within_radius(tasks.tasks[i], search, scratch[thread]); });
  arena.rewind(mark);
  return {search.splits, search.indices, search.distances};
}

void ball_query(const Context& context, const Clouds& points, const Clouds& centers, float radius2, std::int64_t count,
                std::int32_t* indices) {
  Arena& arena = *context.arena;
  const Arena::Mark mark = arena.mark();
  const SearchTasks tasks = make_tasks(context, points, centers);
  const std::int64_t capacity = 2 * std::min(count, points.points.count) + 4 * kLeafPoints;
  const CandidateScratch* scratch = allocate_candidates(arena, tasks.threads, centers.points.count, capacity);
  const BallSearch ball{std::nextafter(radius2, -1.0f), count, points.splits, indices};
  const auto ball_query_of_leaves = HWY_DYNAMIC_DISPATCH(ball_query_of_leaves);
  parallel_for(context, tasks.count,
               [&](std::int64_t i, int thread) { ball_query_of_leaves(tasks.tasks[i], ball, scratch[thread]); });
  for_skipped_queries(centers, tasks, [&](std::int64_t i, std::int64_t b) {
    std::fill_n(indices + i * count, count, ball.fallback(b));
  });
  arena.rewind(mark);
}

}  // namespace voxshift::cpu
#endif
