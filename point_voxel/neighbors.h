// Which points are near: k nearest, all within a radius, the first within a radius.
//
// Squared distances are fma(dz, dz, fma(dy, dy, dx * dx)) in float32. Indices are rows of `points` (not counted from
// the start of the cloud); clouds of a batch see only each other. A point that is not finite is never a neighbour, a
// query that is not finite has none; both are counted in `dropped`. Each call builds its own k-d tree: a scan is seen
// once.
#pragma once

#include <voxshift/point_voxel/point_set.h>

namespace voxshift {

/// The same number of neighbours for every query.
struct NearestNeighbors {
  Array indices;             ///< i32 [M, k], ascending by (squared distance, index); -1 where there are fewer
  Array distances;           ///< f32 [M, k], squared; +infinity where there are fewer
  std::int64_t dropped = 0;  ///< points and queries that are not finite
};

/// Neighbours of query i are the entries [row_splits[i], row_splits[i + 1]), ascending by (squared distance, index).
struct RaggedNeighbors {
  Array indices;     ///< i32 [total]
  Array row_splits;  ///< i64 [M + 1]
  Array distances;   ///< f32 [total], squared
  std::int64_t dropped = 0;
};

/// The k nearest points of every query (Open3D's knn_search). k >= 1. A query that is one of the points finds itself.
NearestNeighbors knn_search(const PointSet& points, const PointSet& queries, std::int64_t k);

/// All points with d^2 <= radius^2 (Open3D's fixed_radius_search). radius >= 0, metres; radius^2 is rounded to float32.
RaggedNeighbors fixed_radius_search(const PointSet& points, const PointSet& queries, float radius);

/// The at most max_neighbors nearest points with d^2 <= radius^2 (Open3D's hybrid_search).
NearestNeighbors hybrid_search(const PointSet& points, const PointSet& queries, float radius,
                               std::int64_t max_neighbors);

/// The first num_neighbors points by index with d^2 < radius^2 (PointNet++), i32 [M, num_neighbors]. Fewer are filled
/// up with the first one; where there is none, with the first row of the query's cloud, or -1 when the cloud is empty.
Array ball_query(const PointSet& points, const PointSet& centers, float radius, std::int64_t num_neighbors);

}  // namespace voxshift
