// The nearest points of every query. A squared distance that overflows to infinity is one as any other: it comes behind
// all that are finite, in order of the index.
#include <voxshift/kernels_cpu/candidates.h>
#include <voxshift/kernels_cpu/point_voxel.h>
#include <voxshift/kernels_cpu/search_tasks.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <tuple>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/nearest.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/tree_search.h>

#ifndef VOXSHIFT_KERNELS_CPU_NEAREST
#define VOXSHIFT_KERNELS_CPU_NEAREST
namespace voxshift::cpu {

struct NearestSearch {
  std::int64_t k;
  float radius2;
  std::int32_t* indices;  ///< [queries, k]
  float* distances;
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {
namespace search {

/// Leaves whose points give a query its first bound: of 2 k to 4 k points.
inline std::int64_t leaves_of_first_bound(std::int64_t k) {
  return static_cast<std::int64_t>(
      std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(4 * k / kLeafPoints, 1))));
}

/// The search of one query.
class Nearest {
 public:
  /// Bounds what is of interest by the points around `leaf`; `guess` is the bound of a query nearby.
  void start(const SearchTask& task, const NearestSearch& search, const CandidateScratch& scratch, std::int64_t place,
             std::int64_t leaf, float guess) {
    const Floats d;
    const std::int64_t leaves = leaves_of_first_bound(search.k);
    const std::int64_t first = leaf & ~(leaves - 1), last = std::min(first + leaves, task.points->leaves());
    const std::int64_t n = (last - first) * kLeafPoints;
    candidates_ = scratch.row(place % kLeafPoints);
    region_ = region_of_point(*task.queries, place, {search.radius2});
    for (std::int64_t i = 0; i < n; i += kLanes)
      hn::StoreU(distances(*task.points, first * kLeafPoints + i, region_.low), d, candidates_.distances + i);
    region_.bound.reach = bound_of_kth(candidates_.distances, n, search.k, search.radius2, guess);
  }

  void visit(const PointTree& points, LeafList& list, std::int64_t k, const CandidateScratch& scratch) {
    for_near(list, region_, [&](std::int32_t leaf) {
      take_leaf(points, leaf, region_.low, region_.bound.reach, candidates_);
      const bool full = candidates_.count > scratch.capacity - kLeafPoints;
      if (full) tighten(k, scratch);
      return full;
    });
  }

  /// Keeps the k nearest candidates; only what comes before the last of them is still of interest.
  void tighten(std::int64_t k, const CandidateScratch& scratch) {
    std::uint64_t* keys = scratch.keys;
    if (candidates_.count <= k) return;
    make_keys(candidates_, keys);
    std::nth_element(keys, keys + k - 1, keys + candidates_.count);
    for (std::int64_t i = 0; i < k; ++i) {
      candidates_.distances[i] = distance_of(keys[i]);
      candidates_.indices[i] = index_of(keys[i]);
    }
    candidates_.count = k;
    region_.bound.reach = distance_of(keys[k - 1]);
    region_.bound.tie = index_of(keys[k - 1]);
  }

  /// Writes the neighbours to row `row`.
  void finish(const NearestSearch& search, const CandidateScratch& scratch, std::int64_t row) {
    const std::int64_t k = search.k, n = std::min(candidates_.count, k);
    if (candidates_.count > k + k / 2) keep_about(candidates_, k, region_.bound.reach);
    std::int32_t* indices = search.indices + row * k;
    float* distances = search.distances + row * k;
    sort_candidates(candidates_, scratch.keys, k, indices, distances);
    std::fill(indices + n, indices + k, -1);
    std::fill(distances + n, distances + k, std::numeric_limits<float>::infinity());
  }

  const Bound& bound() const { return region_.bound; }

 private:
  Region region_;
  Candidates candidates_;
};

}  // namespace search

void nearest_of_leaves(const SearchTask& task, const NearestSearch& search, const CandidateScratch& scratch) {
  using namespace search;
  const PointTree &points = *task.points, &queries = *task.queries;
  LeafList list;
  Nearest each[kLeafPoints];
  for (std::int64_t leaf = task.first; leaf < task.last; ++leaf) {
    const std::int64_t begin = leaf * kLeafPoints, n = std::min(kLeafPoints, queries.count - begin);
    float guess = search.radius2;
    for (std::int64_t q = 0; q < n; ++q) {
      const Region one = region_of_point(queries, begin + q, {});
      each[q].start(task, search, scratch, begin + q, &points == &queries ? leaf : descend(points, one.low), guess);
      guess = each[q].bound().reach;
    }
    const auto widest = [&] {
      return std::max_element(each, each + n,
                              [](const Nearest& a, const Nearest& b) {
                                return std::tie(a.bound().reach, a.bound().tie) <
                                       std::tie(b.bound().reach, b.bound().tie);
                              })
          ->bound();
    };
    Region region = region_of_leaf(queries, leaf, widest());
    walk(points, region, list, [&](LeafList& some) {
      for (std::int64_t q = 0; q < n; ++q) {
        each[q].visit(points, some, search.k, scratch);
        each[q].tighten(search.k, scratch);
      }
      region.bound = widest();
    });
    for (std::int64_t q = 0; q < n; ++q) {
      each[q].visit(points, list, search.k, scratch);
      each[q].finish(search, scratch, queries.index[begin + q]);
    }
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(nearest_of_leaves);
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

std::int64_t nearest(const Context& context, const Clouds& points, const Clouds& queries, std::int64_t k, float radius2,
                     std::int32_t* indices, float* distances) {
  Arena& arena = *context.arena;
  const Arena::Mark mark = arena.mark();
  const SearchTasks tasks = make_tasks(context, points, queries);
  const auto nearest_of_leaves = HWY_DYNAMIC_DISPATCH(nearest_of_leaves);
  const std::int64_t capacity = 4 * std::min(k, points.points.count) + 12 * kLeafPoints;
  const CandidateScratch* scratch = allocate_candidates(arena, tasks.threads, queries.points.count, capacity);
  const NearestSearch search{k, radius2, indices, distances};
  parallel_for(context, tasks.count,
               [&](std::int64_t i, int thread) { nearest_of_leaves(tasks.tasks[i], search, scratch[thread]); });
  for_skipped_queries(queries, tasks, [&](std::int64_t i, std::int64_t) {
    std::fill_n(indices + i * k, k, -1);
    std::fill_n(distances + i * k, k, kInfinity);
  });
  arena.rewind(mark);
  return tasks.dropped;
}

void three_nearest(const Context& context, const Clouds& points, const Clouds& centers, std::int32_t* indices,
                   float* weights) {
  nearest(context, centers, points, 3, kInfinity, indices, weights);
  for (std::int64_t b = 0; b < points.count; ++b) {
    const std::int64_t first = points.splits[b], last = points.splits[b + 1];
    const auto first_center = static_cast<std::int32_t>(centers.splits[b]);
    parallel_ranges(context, last - first, 4096, [&](std::int64_t begin, std::int64_t end, std::int64_t) {
      for (std::int64_t i = first + begin; i < first + end; ++i) {
        std::int32_t* index = indices + 3 * i;
        float* weight = weights + 3 * i;
        if (index[0] < 0) {
          std::fill_n(weight, 3, 0.0f);
          continue;
        }
        float sum = 0;
        for (int j = 0; j < 3; ++j) {
          if (index[j] < 0) index[j] = first_center;
          weight[j] = 1 / std::clamp(weight[j], 1e-10f, 1e10f);
          sum += weight[j];
        }
        for (int j = 0; j < 3; ++j) weight[j] /= sum;
      }
    });
  }
}

}  // namespace voxshift::cpu
#endif
