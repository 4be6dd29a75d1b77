#include <voxshift/point_voxel/kernels.h>
#include <voxshift/point_voxel/neighbors.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/result_size.h>
#include <voxshift/tensor/runtime.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

namespace voxshift {
namespace {

/// Two checked sets of as many clouds.
struct Search {
  PointSet points, queries;

  Search(const PointSet& points_in, const PointSet& queries_in, const char* op, const char* queries_name,
         const char* names)
      : points(checked(points_in, op, "points")), queries(checked(queries_in, op, queries_name)) {
    check_same_clouds(points, queries, op, names);
  }

  Device device() const { return points.points.device(); }
  std::int64_t count() const { return queries.points.dim(0); }
};

void check_radius(float radius, const char* op) {
  check(std::isfinite(radius) && radius >= 0, "[", op,
        "] radius must be a finite number of metres of at least 0, found ", radius);
}

void check_neighbors(std::int64_t neighbors, const char* op, const char* what) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  check(neighbors >= 1 && neighbors <= kMost, "[", op, "] ", what, " must be 1 to 2^31 - 1, found ", neighbors);
}

NearestNeighbors nearest(const Search& search, const char* op, std::int64_t k, float radius2) {
  check_size(op, "queries:", search.count(), k);
  Arena scratch(search.device());
  const Context context{search.device(), nullptr, num_threads(), &scratch};
  NearestNeighbors result{Array({search.count(), k}, DType::kI32, search.device()),
                          Array({search.count(), k}, DType::kF32, search.device())};
  result.dropped = point_voxel_kernels(search.device())
                       .nearest(context, clouds_of(search.points), clouds_of(search.queries), k, radius2,
                                result.indices.data<std::int32_t>(), result.distances.data<float>());
  return result;
}

}  // namespace

NearestNeighbors knn_search(const PointSet& points, const PointSet& queries, std::int64_t k) {
  check_neighbors(k, "knn_search", "k");
  return nearest({points, queries, "knn_search", "queries", "points and queries"}, "knn_search", k,
                 std::numeric_limits<float>::infinity());
}

NearestNeighbors hybrid_search(const PointSet& points, const PointSet& queries, float radius,
                               std::int64_t max_neighbors) {
  check_radius(radius, "hybrid_search");
  check_neighbors(max_neighbors, "hybrid_search", "max_neighbors");
  return nearest({points, queries, "hybrid_search", "queries", "points and queries"}, "hybrid_search", max_neighbors,
                 radius * radius);
}

RaggedNeighbors fixed_radius_search(const PointSet& points, const PointSet& queries, float radius) {
  check_radius(radius, "fixed_radius_search");
  const Search search(points, queries, "fixed_radius_search", "queries", "points and queries");
  const Device device = search.device();
  Arena scratch(device);
  const auto memory = std::make_shared<Arena>(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  RaggedNeighbors result;
  const RaggedView view = point_voxel_kernels(device).within_radius(
      context, clouds_of(search.points), clouds_of(search.queries), radius * radius, *memory, result.dropped);
  // The arrays are pieces of the arena's memory and keep it alive.
  const auto piece = [&](const void* data, std::int64_t count, DType dtype) {
    return Array(const_cast<void*>(data), {count}, dtype, device, memory);
  };
  std::int64_t total = 0;
  runtime(device).copy_to_host(device, &total, view.splits + search.count(), sizeof(total));
  result.indices = piece(view.indices, total, DType::kI32);
  result.row_splits = piece(view.splits, search.count() + 1, DType::kI64);
  result.distances = piece(view.distances, total, DType::kF32);
  return result;
}

Array ball_query(const PointSet& points, const PointSet& centers, float radius, std::int64_t num_neighbors) {
  check_radius(radius, "ball_query");
  check_neighbors(num_neighbors, "ball_query", "num_neighbors");
  const Search search(points, centers, "ball_query", "centers", "points and centers");
  Arena scratch(search.device());
  const Context context{search.device(), nullptr, num_threads(), &scratch};
  check_size("ball_query", "centers:", search.count(), num_neighbors);
  Array indices({search.count(), num_neighbors}, DType::kI32, search.device());
  point_voxel_kernels(search.device())
      .ball_query(context, clouds_of(search.points), clouds_of(search.queries), radius * radius, num_neighbors,
                  indices.data<std::int32_t>());
  return indices;
}

}  // namespace voxshift
