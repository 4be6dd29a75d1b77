// What every neighbour search begins with: trees over points and queries, and the queries in spatial order.
#pragma once

#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/point_tree.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace voxshift::cpu {

constexpr std::int64_t kLeafPoints = 16;  // one AVX-512 vector of points

/// Leaves [first, last) of the queries of one cloud.
struct SearchTask {
  const PointTree* points;
  const PointTree* queries;
  std::int64_t cloud, first, last;
};

struct SearchTasks {
  SearchTask* tasks;
  std::int64_t count;
  int threads;                   ///< that have something to do
  std::int64_t skipped_queries;  ///< not finite: they are in no task
  std::int64_t dropped;          ///< points and queries that are not finite
};

inline bool same_clouds(const Clouds& a, const Clouds& b) {
  return a.points.base == b.points.base && a.points.row_stride == b.points.row_stride &&
         a.points.count == b.points.count && std::equal(a.splits, a.splits + a.count + 1, b.splits);
}

/// Memory is taken from context.arena. Points that search themselves share one tree.
inline SearchTasks make_tasks(const Context& context, const Clouds& points, const Clouds& queries) {
  constexpr std::int64_t kTaskLeaves = 16;
  const PointTree* trees = build_trees(context, points, kLeafPoints);
  const PointTree* query_trees = same_clouds(points, queries) ? trees : build_trees(context, queries, kLeafPoints);
  SearchTasks result{};
  std::int64_t finite_points = 0, finite_queries = 0, most = 0;
  for (std::int64_t b = 0; b < points.count; ++b) {
    finite_points += trees[b].count;
    finite_queries += query_trees[b].count;
    most += (query_trees[b].leaves() + kTaskLeaves - 1) / kTaskLeaves;
  }
  result.skipped_queries = queries.points.count - finite_queries;
  result.dropped = points.points.count - finite_points + result.skipped_queries;
  result.tasks = context.arena->allocate<SearchTask>(most);
  for (std::int64_t b = 0; b < points.count; ++b) {
    const std::int64_t leaves = query_trees[b].leaves();
    for (std::int64_t first = 0; first < leaves; first += kTaskLeaves)
      result.tasks[result.count++] = {trees + b, query_trees + b, b, first, std::min(first + kTaskLeaves, leaves)};
  }
  result.threads = static_cast<int>(std::clamp<std::int64_t>(result.count, 1, context.threads));
  return result;
}

/// Calls body(i, cloud) for every query that is not finite.
template <class Body>
void for_skipped_queries(const Clouds& queries, const SearchTasks& tasks, const Body& body) {
  if (tasks.skipped_queries == 0) return;
  for (std::int64_t b = 0; b < queries.count; ++b)
    for (std::int64_t i = queries.splits[b]; i < queries.splits[b + 1]; ++i) {
      const float* p = static_cast<const float*>(queries.points.base) + i * queries.points.row_stride;
      if (!std::isfinite(p[0]) || !std::isfinite(p[1]) || !std::isfinite(p[2])) body(i, b);
    }
}

}  // namespace voxshift::cpu
