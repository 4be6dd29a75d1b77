// Operators on sets of points: neighbours, sampling, grouping, interpolation, dense grids.
#include <pybind11/stl.h>
#include <voxshift/point_voxel/dense_grid.h>
#include <voxshift/point_voxel/group.h>
#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/point_voxel/neighbors.h>
#include <voxshift/point_voxel/sampling.h>

#include "arrays.h"
#include "bindings.h"
#include "options.h"
#include "pickling.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

using Splits = std::optional<Array>;

Trilinear trilinear_of(const char* op, const std::string& mode) {
  if (mode == "renormalized") return Trilinear::kRenormalized;
  check(mode == "raw", "[", op, "] mode expects \"renormalized\" or \"raw\", found \"", mode, "\"");
  return Trilinear::kRaw;
}

Ties ties_of(const std::string& ties) {
  if (ties == "lowest") return Ties::kLowest;
  check(ties == "pvcnn", "[furthest_point_sample] ties expects \"lowest\" or \"pvcnn\", found \"", ties, "\"");
  return Ties::kPvcnn;
}

constexpr const char* kSearchRules = R"(
Squared distances are float32; indices are rows of points. With row_splits int32 or int64 [B + 1] (and query_splits) rows
[s[b], s[b + 1]) are cloud b, and clouds see only each other. A point that is not finite is no neighbour, such a query
has none; `dropped` counts both. Raises ValueError for other shapes or dtypes and for unequal numbers of clouds.)";

constexpr const char* kKnnDoc = R"(The k nearest points of every query (Open3D's knn_search).

points float32 [N, C], queries float32 [M, C'], x y z first. Gives indices int32 [M, k], ascending by (squared
distance, index), -1 where there are fewer, and distances float32 [M, k], squared, infinity where there are fewer.
)";

constexpr const char* kRadiusDoc = R"(All points within a radius of every query (Open3D's fixed_radius_search).

points float32 [N, C], queries float32 [M, C'], x y z first; radius in metres, inclusive. The neighbours of query i are
indices[row_splits[i]:row_splits[i + 1]], ascending by (squared distance, index), with their squared distances.
)";

constexpr const char* kHybridDoc = R"(The at most max_neighbors nearest points within a radius (Open3D's hybrid_search).

As knn_search with k = max_neighbors, of points with squared distance <= radius ** 2.
)";

constexpr const char* kBallQueryDoc =
    R"(The first num_neighbors points by index with squared distance < radius ** 2 (PointNet++): int32 [M, num_neighbors].

Fewer are filled up with the first one; where there is none, with the first row of the query's cloud, or -1 when the
cloud is empty.
)";

constexpr const char* kFurthestDoc = R"(Furthest point sampling of each cloud (PointNet++): int32 [B, num_samples].

Rows of points float32 [N, C], x y z first: the first finite point, then always the one whose squared distance to the
chosen ones is largest. ties: "lowest" index, or "pvcnn", that code's rule (lowest index mod 512, then lowest index).
When all are chosen the rule repeats its first; a cloud without points gives -1. Raises ValueError.)";

constexpr const char* kTrilinearDoc = R"(The 8 voxels around each point and their trilinear weights.

voxels: Coordinates in 3 dimensions, or a tensor on them. points float32 [N, 4]: batch, x, y, z in cells of the network's input, divided by voxels.stride. mode: "renormalized"
over the voxels that are present (torchsparse's calc_ti_weights) or "raw" (MinkowskiEngine). Use the result again with
interpolate. Raises ValueError.)";

constexpr const char* kDevoxelizeDoc = R"(Features of the voxels at the points, trilinear: [N, C] of their dtype.

As interpolate(voxels.features, trilinear(voxels, points, mode)).)";

constexpr const char* kThreeNearestDoc = R"(The three nearest centers of each point, weights in proportion to 1 / d^2.

Weights sum to 1, d^2 is clamped to [1e-10, 1e10] (PointNet++'s three_nn). With fewer than three centers the missing
ones have d^2 = 1e10 and the index of the first. Use the result with interpolate. Raises ValueError.)";

constexpr const char* kInterpolateDoc =
    R"(out[i] = sum_j weights[i, j] * features[indices[i, j]]: [N, C] of the features' dtype.

features [interpolation.rows, C] float32 or, on CUDA, float16 or bfloat16, summed in float32; an index of -1 adds nothing. Raises ValueError.)";

constexpr const char* kDenseCoordsDoc = R"(Coordinates float32 [N, 3] of points in a dense grid around each cloud.

In [0, resolution - 1], PVCNN's Voxelization: p minus the cloud's mean, divided by twice the largest norm plus eps,
plus 0.5, times the resolution; without normalize (p + 1) / 2 times the resolution. NaN for points that are not finite.
Raises ValueError.)";

constexpr const char* kVoxelizeDenseDoc =
    R"(Mean of the features per cell of a dense grid: [B, R, R, R, C] of their dtype.

features [N, C] float32 or, on CUDA, float16 or bfloat16, summed in float32; coords of dense_grid_coords; cells are rounded half to even, empty ones are 0 (PVCNN's
avg_voxelize). Raises ValueError for coordinates outside [0, resolution - 1].)";

constexpr const char* kDevoxelizeDenseDoc =
    R"(Trilinear mixture of the cells around each coordinate: [N, C] of the grid's dtype.

grid [B, R, R, R, C] float32 or, on CUDA, float16 or bfloat16, coords of dense_grid_coords; NaN coordinates give 0 (PVCNN's trilinear_devoxelize).)";

constexpr const char* kGatherDoc =
    R"(features [N, C] at indices int32 or int64 [M] or [M, U]: [M, C] or [M, U, C] of their dtype.

They are float32 or, on CUDA, float16 or bfloat16. -1 gives zeros. Raises ValueError for an index out of range.)";

constexpr const char* kGroupDoc =
    R"(Positions of neighbours relative to their centers, then features: float32 [M, U, 3 + C].

points float32 [N, C'], centers float32 [M, C''], x y z first; indices int32 or int64 [M, U] of ball_query; features
float32 [N, C] or None (PointNet++'s QueryAndGroup). Raises ValueError.)";

constexpr const char* kDevoxelizeBackwardDoc =
    R"(Gradient [V, C] of the voxels' features for grad [N, C] of their dtype, that of devoxelize.

voxels: Coordinates, or a tensor on them. As interpolate_backward(trilinear(voxels, points, mode), grad); none of the points' places. Raises ValueError.)";

constexpr const char* kInterpolateBackwardDoc =
    R"(Gradient [rows, C] of the features for grad [N, C] of their dtype, that of interpolate.

The sum, in float32, of weights[i, j] * grad[i] over all (i, j), ascending, with indices[i, j] the row; none of the weights. Raises
ValueError.)";

constexpr const char* kVoxelizeDenseBackwardDoc =
    R"(Gradient [N, C] of the features for grad [B, R, R, R, C] of their dtype, that of voxelize_dense.

coords and row_splits as given to it; they have no gradient. Raises ValueError.)";

constexpr const char* kDevoxelizeDenseBackwardDoc =
    R"(Gradient [B, R, R, R, C] of the grid for grad [N, C] of its dtype, that of devoxelize_dense.

R is resolution; coords and row_splits as given to devoxelize_dense; they have no gradient. Raises ValueError.)";

constexpr const char* kGatherBackwardDoc =
    R"(Gradient [rows, C] of gather's features for grad [M, C] or [M, U, C] of their dtype.

The sum, in order and in float32, of the rows of grad whose index is the row; rows is the number of rows of the features. Raises
ValueError.)";

constexpr const char* kGroupBackwardDoc =
    R"(Gradient float32 [rows, C] of group's features for grad float32 [M, U, 3 + C].

As gather_backward; points and centers have none. Raises ValueError.)";

void bind_searches(py::module_& m) {
  py::class_<NearestNeighbors> nearest(m, "NearestNeighbors", "The same number of neighbours for every query.");
  nearest.def_readonly("indices", &NearestNeighbors::indices, "int32 [M, k], -1 where there are fewer.")
      .def_readonly("distances", &NearestNeighbors::distances, "float32 [M, k], squared.")
      .def_readonly("dropped", &NearestNeighbors::dropped, "Points and queries that are not finite.");
  pickle_by_fields(nearest, &NearestNeighbors::indices, &NearestNeighbors::distances, &NearestNeighbors::dropped);
  py::class_<RaggedNeighbors> ragged(m, "RaggedNeighbors", "Any number of neighbours per query.");
  ragged.def_readonly("indices", &RaggedNeighbors::indices, "int32 [total].")
      .def_readonly("row_splits", &RaggedNeighbors::row_splits,
                    "int64 [M + 1]: entries [row_splits[i], row_splits[i + 1]) belong to query i.")
      .def_readonly("distances", &RaggedNeighbors::distances, "float32 [total], squared.")
      .def_readonly("dropped", &RaggedNeighbors::dropped, "Points and queries that are not finite.");
  pickle_by_fields(ragged, &RaggedNeighbors::indices, &RaggedNeighbors::row_splits, &RaggedNeighbors::distances,
                   &RaggedNeighbors::dropped);
  const auto doc = [](const char* text) { return std::string(text) + kSearchRules; };
  m.def(
      "knn_search",
      [](const Array& points, const Array& queries, std::int64_t k, const Splits& row_splits,
         const Splits& query_splits) {
        return knn_search(point_set(points, row_splits), point_set(queries, query_splits), k);
      },
      "points"_a, "queries"_a, "k"_a, "row_splits"_a = py::none(), "query_splits"_a = py::none(), WithoutGil(),
      doc(kKnnDoc).c_str());
  m.def(
      "fixed_radius_search",
      [](const Array& points, const Array& queries, float radius, const Splits& row_splits,
         const Splits& query_splits) {
        return fixed_radius_search(point_set(points, row_splits), point_set(queries, query_splits), radius);
      },
      "points"_a, "queries"_a, "radius"_a, "row_splits"_a = py::none(), "query_splits"_a = py::none(), WithoutGil(),
      doc(kRadiusDoc).c_str());
  m.def(
      "hybrid_search",
      [](const Array& points, const Array& queries, float radius, std::int64_t max_neighbors, const Splits& row_splits,
         const Splits& query_splits) {
        return hybrid_search(point_set(points, row_splits), point_set(queries, query_splits), radius, max_neighbors);
      },
      "points"_a, "queries"_a, "radius"_a, "max_neighbors"_a, "row_splits"_a = py::none(),
      "query_splits"_a = py::none(), WithoutGil(), doc(kHybridDoc).c_str());
  m.def(
      "ball_query",
      [](const Array& points, const Array& centers, float radius, std::int64_t num_neighbors, const Splits& row_splits,
         const Splits& center_splits) {
        return ball_query(point_set(points, row_splits), point_set(centers, center_splits), radius, num_neighbors);
      },
      "points"_a, "centers"_a, "radius"_a, "num_neighbors"_a, "row_splits"_a = py::none(),
      "center_splits"_a = py::none(), WithoutGil(), doc(kBallQueryDoc).c_str());
}

void bind_interpolation(py::module_& m) {
  py::class_<Interpolation> interpolation(m, "Interpolation",
                                          "Rows to mix and their weights, as trilinear and three_nearest make them.");
  interpolation
      .def(py::init([](const Array& indices, const Array& weights, std::int64_t rows) {
             return Interpolation{as_int32("Interpolation", "indices", indices), weights, rows};
           }),
           "indices"_a, "weights"_a, "rows"_a,
           "indices int32 or int64 [N, K], K = 1..8, -1 for none; weights float32 [N, K]; rows: of the features. Those "
           "who "
           "take it check it.")
      .def_readonly("indices", &Interpolation::indices, "int32 [N, K], -1 for none.")
      .def_readonly("weights", &Interpolation::weights, "float32 [N, K].")
      .def_readonly("rows", &Interpolation::rows, "Rows of the features that the indices speak of.");
  pickle_by_fields(interpolation, &Interpolation::indices, &Interpolation::weights, &Interpolation::rows);
  m.def(
      "trilinear",
      [](const AnyCoordinates& voxels, const Array& points, const std::string& mode) {
        return trilinear(coordinates_of(voxels), points, trilinear_of("trilinear", mode));
      },
      "voxels"_a.none(false), "points"_a, "mode"_a = "renormalized", WithoutGil(), kTrilinearDoc);
  m.def(
      "devoxelize",
      [](const SparseTensor& voxels, const Array& points, const std::string& mode) {
        return devoxelize(voxels, points, trilinear_of("devoxelize", mode));
      },
      "voxels"_a, "points"_a, "mode"_a = "renormalized", WithoutGil(), kDevoxelizeDoc);
  m.def(
      "three_nearest",
      [](const Array& points, const Array& centers, const Splits& row_splits, const Splits& center_splits) {
        return three_nearest(point_set(points, row_splits), point_set(centers, center_splits));
      },
      "points"_a, "centers"_a, "row_splits"_a = py::none(), "center_splits"_a = py::none(), WithoutGil(),
      kThreeNearestDoc);
  m.def("interpolate", &interpolate, "features"_a, "interpolation"_a, WithoutGil(), kInterpolateDoc);
  m.def(
      "devoxelize_backward",
      [](const AnyCoordinates& voxels, const Array& points, const Array& grad, const std::string& mode) {
        return devoxelize_backward(coordinates_of(voxels), points, grad, trilinear_of("devoxelize_backward", mode));
      },
      "voxels"_a.none(false), "points"_a, "grad"_a, "mode"_a = "renormalized", WithoutGil(), kDevoxelizeBackwardDoc);
  m.def("interpolate_backward", &interpolate_backward, "interpolation"_a, "grad"_a, WithoutGil(),
        kInterpolateBackwardDoc);
}

void bind_dense_grids(py::module_& m) {
  m.def(
      "dense_grid_coords",
      [](const Array& points, std::int64_t resolution, bool normalize, float eps, const Splits& row_splits) {
        return dense_grid_coords(point_set(points, row_splits), {resolution, normalize, eps});
      },
      "points"_a, "resolution"_a, "normalize"_a = true, py::arg_v("eps", 0.0f, "0.0"), "row_splits"_a = py::none(),
      WithoutGil(), kDenseCoordsDoc);
  m.def(
      "voxelize_dense",
      [](const Array& features, const Array& coords, std::int64_t resolution, const Splits& row_splits) {
        return voxelize_dense(features, point_set(coords, row_splits), resolution);
      },
      "features"_a, "coords"_a, "resolution"_a, "row_splits"_a = py::none(), WithoutGil(), kVoxelizeDenseDoc);
  m.def(
      "devoxelize_dense",
      [](const Array& grid, const Array& coords, const Splits& row_splits) {
        return devoxelize_dense(grid, point_set(coords, row_splits));
      },
      "grid"_a, "coords"_a, "row_splits"_a = py::none(), WithoutGil(), kDevoxelizeDenseDoc);
  m.def(
      "voxelize_dense_backward",
      [](const Array& coords, const Array& grad, const Splits& row_splits) {
        return voxelize_dense_backward(point_set(coords, row_splits), grad);
      },
      "coords"_a, "grad"_a, "row_splits"_a = py::none(), WithoutGil(), kVoxelizeDenseBackwardDoc);
  m.def(
      "devoxelize_dense_backward",
      [](const Array& coords, const Array& grad, std::int64_t resolution, const Splits& row_splits) {
        return devoxelize_dense_backward(point_set(coords, row_splits), grad, resolution);
      },
      "coords"_a, "grad"_a, "resolution"_a, "row_splits"_a = py::none(), WithoutGil(), kDevoxelizeDenseBackwardDoc);
}

void bind_grouping(py::module_& m) {
  m.def(
      "gather",
      [](const Array& features, const Array& indices) {
        return gather(features, as_int32("gather", "indices", indices));
      },
      "features"_a, "indices"_a, WithoutGil(), kGatherDoc);
  m.def(
      "gather_backward",
      [](const Array& indices, const Array& grad, std::int64_t rows) {
        return gather_backward(as_int32("gather_backward", "indices", indices), grad, rows);
      },
      "indices"_a, "grad"_a, "rows"_a, WithoutGil(), kGatherBackwardDoc);
  m.def(
      "group",
      [](const Array& points, const Array& centers, const Array& indices, const std::optional<Array>& features) {
        return group(points, centers, as_int32("group", "indices", indices), features);
      },
      "points"_a, "centers"_a, "indices"_a, "features"_a = py::none(), WithoutGil(), kGroupDoc);
  m.def(
      "group_backward",
      [](const Array& indices, const Array& grad, std::int64_t rows) {
        return group_backward(as_int32("group_backward", "indices", indices), grad, rows);
      },
      "indices"_a, "grad"_a, "rows"_a, WithoutGil(), kGroupBackwardDoc);
}

}  // namespace

void bind_point_sets(py::module_& m) {
  bind_searches(m);
  bind_interpolation(m);
  bind_dense_grids(m);
  m.def(
      "furthest_point_sample",
      [](const Array& points, std::int64_t num_samples, const std::string& ties, const Splits& row_splits) {
        return furthest_point_sample(point_set(points, row_splits), num_samples, ties_of(ties));
      },
      "points"_a, "num_samples"_a, "ties"_a = "lowest", "row_splits"_a = py::none(), WithoutGil(), kFurthestDoc);
  bind_grouping(m);
}

}  // namespace voxshift::python
