// Neighbour searches against plain loops over all pairs.
#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "neighbors_fixture.h"

namespace voxshift {
namespace {

VOXSHIFT_FOR_EACH_DEVICE(NeighborsTest);

TEST_P(NeighborsTest, ShapesAndTypes) {
  const PointSet points = set({cloud(40, 1, real)}), queries = set({cloud(7, 2, real)});
  const NearestNeighbors nearest = knn_search(points, queries, 3);
  EXPECT_EQ(nearest.indices.dtype(), DType::kI32);
  EXPECT_EQ(nearest.distances.dtype(), DType::kF32);
  EXPECT_EQ(nearest.distances.shape(), (Shape{7, 3}));
  EXPECT_EQ(nearest.dropped, 0);
  const RaggedNeighbors within = fixed_radius_search(points, queries, 1);
  EXPECT_EQ(within.indices.dtype(), DType::kI32);
  EXPECT_EQ(within.row_splits.dtype(), DType::kI64);
  EXPECT_EQ(within.row_splits.shape(), (Shape{8}));
  EXPECT_EQ(within.distances.dtype(), DType::kF32);
  EXPECT_EQ(ball_query(points, queries, 1, 4).shape(), (Shape{7, 4}));
  const Interpolation three = three_nearest(queries, points);
  EXPECT_EQ(three.weights.shape(), (Shape{7, 3}));
  EXPECT_EQ(three.rows, 40);
}

TEST_P(NeighborsTest, PointsAmongThemselves) {
  for (const auto coordinate : kCoordinates)
    for (const std::size_t n : {1, 2, 15, 16, 17, 64, 65, 255, 600}) {
      SCOPED_TRACE(n);
      const Batch points{cloud(n, static_cast<unsigned>(n), coordinate)};
      expect_searches(points, points);
      if (HasFatalFailure()) return;
    }
}

TEST_P(NeighborsTest, OtherQueries) {
  for (const auto coordinate : kCoordinates)
    for (const auto of_queries : kCoordinates) {
      expect_searches({cloud(500, 1, coordinate)}, {cloud(60, 2, of_queries)});
      expect_searches({cloud(7, 3, coordinate)}, {cloud(100, 4, of_queries)});
      if (HasFatalFailure()) return;
    }
}

TEST_P(NeighborsTest, ManyNeighbors) {
  const Batch points{cloud(700, 5, real)}, crowded{cloud(700, 5, few_whole)};
  const std::vector<std::int64_t> ks = {17, 63, 64, 65, 200, 699, 700, 900};
  expect_searches(points, points, ks);
  expect_searches(points, {cloud(20, 6, real)}, ks);
  expect_searches(crowded, crowded, ks);
}

TEST_P(NeighborsTest, CloudsSeeOnlyThemselves) {
  const Batch points{cloud(300, 1, whole), {}, cloud(5, 2, whole), cloud(40, 3, whole), {}, cloud(1, 4, whole)};
  const Batch queries{cloud(20, 5, whole), cloud(9, 6, whole), {}, cloud(200, 7, whole), {}, cloud(3, 8, whole)};
  expect_searches(points, points);
  expect_searches(points, queries);
}

TEST_P(NeighborsTest, HybridIsTheBeginningOfFixedRadius) {
  const PointSet points = set({cloud(900, 9, real)});
  const RaggedNeighbors within = fixed_radius_search(points, points, 2);
  const NearestNeighbors hybrid = hybrid_search(points, points, 2, 10);
  const auto splits = host<std::int64_t>(within.row_splits);
  const auto all = host<std::int32_t>(within.indices), some = host<std::int32_t>(hybrid.indices);
  for (std::size_t q = 0; q < 900; ++q) {
    EXPECT_EQ(all[static_cast<std::size_t>(splits[q])], static_cast<std::int32_t>(q));
    for (std::size_t j = 0; j < 10; ++j) {
      const std::size_t at = static_cast<std::size_t>(splits[q]) + j;
      ASSERT_EQ(some[10 * q + j], at < static_cast<std::size_t>(splits[q + 1]) ? all[at] : -1);
    }
  }
}

TEST_P(NeighborsTest, MovingTheSceneChangesNothing) {
  Cloud points = cloud(800, 10, whole);
  const NearestNeighbors here = knn_search(set({points}), set({points}), 9);
  for (Point& p : points) p = {p[0] + 1000000, p[1] - 500000, p[2] + 64};
  const NearestNeighbors there = knn_search(set({points}), set({points}), 9);
  expect_same_bits(here.indices, there.indices);
  expect_same_bits(here.distances, there.distances);
}

}  // namespace
}  // namespace voxshift
