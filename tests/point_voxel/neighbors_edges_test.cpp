// Neighbour searches where clouds are empty, equal, far, crowded or not finite, on any number of threads, and errors.
#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "neighbors_fixture.h"

namespace voxshift {
namespace {

using NeighborsEdgesTest = NeighborsTest;
VOXSHIFT_FOR_EACH_DEVICE(NeighborsEdgesTest);

TEST_P(NeighborsEdgesTest, NothingAmongNothing) {
  const Batch none{{}}, some{cloud(20, 1, whole)};
  expect_searches(none, none);
  expect_searches(none, some);
  expect_searches(some, none);
  const NearestNeighbors nearest = knn_search(set(none), set(some), 2);
  EXPECT_EQ(host<std::int32_t>(nearest.indices), std::vector<std::int32_t>(40, -1));
  EXPECT_EQ(host<float>(nearest.distances), std::vector<float>(40, kInf));
  EXPECT_EQ(host<std::int64_t>(fixed_radius_search(set(none), set(none), 1).row_splits), std::vector<std::int64_t>{0});
}

TEST_P(NeighborsEdgesTest, AllPointsEqual) {
  const Batch points{Cloud(1000, Point{3, -2, 7})}, queries{{{3, -2, 7}, {4, -2, 7}, {0, 0, 0}}};
  expect_searches(points, points, {1, 16, 40});
  expect_searches(points, queries, {1, 16, 40});
  EXPECT_EQ(host<std::int32_t>(knn_search(set(points), set(queries), 3).indices),
            (std::vector<std::int32_t>{0, 1, 2, 0, 1, 2, 0, 1, 2}));
}

// 3^2 + 4^2 = 5^2: the search by distance holds its border, the ball does not.
TEST_P(NeighborsEdgesTest, PointsAtTheBorder) {
  const PointSet points = set({{{3, 4, 0}, {0, 0, 5}, {0, 0, 0}, {0, 0, 5.5}, {4, 0, 2}}}), center = set({{{0, 0, 0}}});
  EXPECT_EQ(host<std::int32_t>(fixed_radius_search(points, center, 5).indices),
            (std::vector<std::int32_t>{2, 4, 0, 1}));
  EXPECT_EQ(host<float>(fixed_radius_search(points, center, 5).distances), (std::vector<float>{0, 20, 25, 25}));
  EXPECT_EQ(host<std::int32_t>(hybrid_search(points, center, 5, 6).indices),
            (std::vector<std::int32_t>{2, 4, 0, 1, -1, -1}));
  EXPECT_EQ(host<std::int32_t>(ball_query(points, center, 5, 4)), (std::vector<std::int32_t>{2, 4, 2, 2}));
  EXPECT_EQ(host<std::int32_t>(ball_query(points, center, 6, 4)), (std::vector<std::int32_t>{0, 1, 2, 3}));
}

TEST_P(NeighborsEdgesTest, RadiusZero) {
  const PointSet points = set({{{1, 1, 1}, {2, 0, 0}, {1, 1, 1}}}), queries = set({{{1, 1, 1}, {9, 9, 9}}});
  const RaggedNeighbors within = fixed_radius_search(points, queries, 0);
  EXPECT_EQ(host<std::int32_t>(within.indices), (std::vector<std::int32_t>{0, 2}));
  EXPECT_EQ(host<std::int64_t>(within.row_splits), (std::vector<std::int64_t>{0, 2, 2}));
  EXPECT_EQ(host<std::int32_t>(hybrid_search(points, queries, 0, 1).indices), (std::vector<std::int32_t>{0, -1}));
  EXPECT_EQ(host<std::int32_t>(ball_query(points, queries, 0, 2)), (std::vector<std::int32_t>{0, 0, 0, 0}));
}

TEST_P(NeighborsEdgesTest, WhatIsNotFiniteHasNoNeighborsAndIsNone) {
  Batch points{cloud(100, 1, whole), {{kNan, 0, 0}, {0, kInf, 0}}, cloud(30, 2, whole)};
  Batch queries{cloud(50, 3, whole), cloud(4, 4, whole), cloud(10, 5, whole)};
  points[0][0] = {kNan, kNan, kNan};
  points[0][40] = {1, 2, -kInf};
  points[2][29] = {kInf, 0, 0};
  queries[0][49] = {kNan, 0, 0};
  queries[2][0] = {0, -kInf, 0};
  expect_searches(points, queries);
  expect_searches(points, points);
  EXPECT_EQ(knn_search(set(points), set(queries), 2).dropped, 7);
  EXPECT_EQ(hybrid_search(set(points), set(queries), 9, 2).dropped, 7);
  EXPECT_EQ(fixed_radius_search(set(points), set(queries), 9).dropped, 7);
}

// Squares overflow to infinity, which is a distance as any other: behind all that are finite, in order of the index.
TEST_P(NeighborsEdgesTest, DistancesThatOverflow) {
  const Batch points{{{3e38F, 0, 0}, {0, 0, 0}, {-3e38F, 3e38F, 0}, {1, 0, 0}, {0, -1e30F, 2}}};
  expect_searches(points, points, {1, 3, 5, 7});
  EXPECT_EQ(host<std::int32_t>(knn_search(set(points), set({{{0, 0, 0}}}), 6).indices),
            (std::vector<std::int32_t>{1, 3, 0, 2, 4, -1}));
  const Lists lists = all_pairs(points, points);
  expect_within(fixed_radius_search(set(points), set(points), 1e30F), lists, kInf);
  expect_ball(ball_query(set(points), set(points), 1e30F, 3), lists, points, points, kInf, 3);
}

// Then no leaf is the nearest, and where a search begins must be one of the cloud's own, not of the cloud before it.
TEST_P(NeighborsEdgesTest, NoDistanceIsFinite) {
  const Point here{-3e38F, 0, 0};
  for (const std::size_t n : {1, 20, 300}) {
    const Batch points{Cloud(64, here), Cloud(n, Point{3e38F, 0, 0})}, queries{{}, {here}};
    const Lists lists = all_pairs(points, queries);
    for (const std::int64_t k : {1, 5, 16}) expect_nearest(knn_search(set(points), set(queries), k), lists, k);
    expect_three(three_nearest(set(queries), set(points)), lists, points, queries);
    if (HasFatalFailure()) return;
  }
}

TEST_P(NeighborsEdgesTest, OneFarPointAndACloud) {
  Batch points{cloud(500, 1, real)};
  points[0][123] = {1e6F, -1e6F, 1e6F};
  expect_searches(points, points);
  expect_searches(points, {{{1e6F, -1e6F, 0}, {0, 0, 0}, {-1e9F, 0, 0}}});
}

// One cell holds 100,000 points, equal or a fraction of a millimetre apart, the others are spread.
TEST_P(NeighborsEdgesTest, CrowdedCell) {
  constexpr std::size_t kCrowd = 100000, kOthers = 2000;
  for (const bool equal : {true, false}) {
    SCOPED_TRACE(equal ? "equal" : "nearly equal");
    std::mt19937 random(11);
    Cloud points = cloud(kCrowd + kOthers, 12, whole);
    for (std::size_t i = 0; i < kCrowd; ++i)
      for (float& x : points[i]) x = equal ? 8 : 8 + static_cast<float>(random() % 1024) / (1 << 20);
    std::shuffle(points.begin(), points.end(), random);
    const NearestNeighbors self = knn_search(set({points}), set({points}), 8);
    Cloud sample(points.begin(), points.begin() + 12);
    const Lists lists = all_pairs({points}, {sample});
    const auto indices = host<std::int32_t>(self.indices);
    for (std::size_t q = 0; q < sample.size(); ++q)
      for (std::size_t j = 0; j < 8; ++j) ASSERT_EQ(indices[8 * q + j], lists[q][j].index) << "query " << q;
    expect_searches({points}, {sample}, {32});
    expect_within(fixed_radius_search(set({points}), set({sample}), 1), lists, 1);
    expect_ball(ball_query(set({points}), set({sample}), 1, 32), lists, {points}, {sample}, 1, 32);
  }
}

TEST_P(NeighborsEdgesTest, SameBitsOnAnyNumberOfThreads) {
  Batch batch{cloud(20000, 1, scattered), cloud(3000, 2, real), {}, cloud(900, 3, few_whole)};
  batch[1][5] = {kNan, 0, 0};
  const PointSet points = set(batch), queries = set({cloud(2000, 4, real), cloud(50, 5, real), {}, cloud(9, 6, whole)});
  const auto run = [&] {
    const RaggedNeighbors within = fixed_radius_search(points, points, 0.25F);
    const NearestNeighbors nearest = knn_search(points, points, 7), hybrid = hybrid_search(points, queries, 1, 5);
    const Interpolation three = three_nearest(points, queries);
    return std::vector<Array>{
        within.indices, within.row_splits, within.distances, nearest.indices, nearest.distances,
        hybrid.indices, hybrid.distances,  three.indices,    three.weights,   ball_query(points, queries, 1, 6)};
  };
  set_num_threads(1);
  const auto expected = run();
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    const auto again = run();
    for (std::size_t i = 0; i < again.size(); ++i) expect_same_bits(again[i], expected[i]);
  }
}

TEST_P(NeighborsEdgesTest, WrongArgumentsAreRefused) {
  const PointSet points = set({cloud(4, 1, real)});
  const PointSet two = set({cloud(4, 1, real), cloud(2, 2, real)});
  for (const std::int64_t k : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 40}) {
    expect_throw([&] { knn_search(points, points, k); }, {"[knn_search]", "k must be", std::to_string(k)});
    expect_throw([&] { hybrid_search(points, points, 1, k); }, {"[hybrid_search]", "max_neighbors"});
    expect_throw([&] { ball_query(points, points, 1, k); }, {"[ball_query]", "num_neighbors"});
  }
  for (const float radius : {-1.0F, kInf, kNan}) {
    expect_throw([&] { fixed_radius_search(points, points, radius); }, {"[fixed_radius_search]", "radius"});
    expect_throw([&] { hybrid_search(points, points, radius, 1); }, {"[hybrid_search]", "radius"});
    expect_throw([&] { ball_query(points, points, radius, 1); }, {"[ball_query]", "radius"});
  }
  expect_throw([&] { knn_search(points, two, 1); }, {"[knn_search]", "points and queries", "1 and 2"});
  expect_throw([&] { hybrid_search(two, points, 1, 1); }, {"[hybrid_search]", "points and queries", "2 and 1"});
  expect_throw([&] { fixed_radius_search(points, two, 1); }, {"[fixed_radius_search]", "points and queries"});
  expect_throw([&] { ball_query(points, two, 1, 1); }, {"[ball_query]", "points and centers"});
  expect_throw([&] { three_nearest(points, two); }, {"[three_nearest]", "points and centers"});
  const PointSet flat{Array::from(std::vector<float>{1, 2, 3, 4}, {2, 2}).to(device()), {}};
  expect_throw([&] { knn_search(flat, points, 1); }, {"[knn_search]", "points", "C >= 3"});
  expect_throw([&] { knn_search(points, flat, 1); }, {"[knn_search]", "queries", "C >= 3"});
  expect_throw([&] { ball_query(points, flat, 1, 1); }, {"[ball_query]", "centers", "C >= 3"});
}

}  // namespace
}  // namespace voxshift
