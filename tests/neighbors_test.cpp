// Neighbour searches against plain loops over all pairs.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/point_voxel/neighbors.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "device_fixture.h"

namespace voxshift {
namespace {

using Point = std::array<float, 3>;
using Cloud = std::vector<Point>;
using Batch = std::vector<Cloud>;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Neighbor {
  float squared;
  std::int32_t index;

  bool operator<(const Neighbor& other) const {
    return std::tie(squared, index) < std::tie(other.squared, other.index);
  }
};

using Lists = std::vector<std::vector<Neighbor>>;  // per query

bool is_finite(const Point& p) {
  return std::all_of(p.begin(), p.end(), [](float x) { return std::isfinite(x); });
}

Cloud cloud(std::size_t n, unsigned seed, float (*coordinate)(std::mt19937&)) {
  std::mt19937 random(seed);
  Cloud points(n);
  for (Point& p : points)
    for (float& x : p) x = coordinate(random);
  return points;
}

// Many points share a place, and many distances are equal.
float few_whole(std::mt19937& random) { return static_cast<float>(random() % 6); }
float whole(std::mt19937& random) { return static_cast<float>(random() % 200) - 100; }
float real(std::mt19937& random) { return static_cast<float>(random() >> 8) / (1 << 20) - 8; }
// Steps of 1/16 m at a million metres are what float32 holds.
float far_away(std::mt19937& random) { return 1e6F + static_cast<float>(random() % 400) / 16; }
// From millimetres to kilometres, as density falls with the distance from a scanner.
float scattered(std::mt19937& random) {
  const float x = std::ldexp(1.0F + static_cast<float>(random() % 1024) / 1024, static_cast<int>(random() % 20) - 10);
  return random() % 2 == 0 ? x : -x;
}

constexpr std::array kCoordinates = {few_whole, whole, real, far_away, scattered};

std::vector<float> flat(const Batch& batch, std::size_t columns) {
  std::vector<float> values;
  for (const Cloud& points : batch)
    for (const Point& p : points) {
      values.insert(values.end(), p.begin(), p.end());
      values.resize(values.size() + columns - 3, kNan);  // columns behind x y z are not looked at
    }
  return values;
}

class NeighborsTest : public DeviceTest {
 protected:
  // Instruction sets without FMA round the products.
  float squared_distance(const Point& p, const Point& q) const {
    const std::string target = runtime(device()).target(device());
    const float dx = p[0] - q[0], dy = p[1] - q[1], dz = p[2] - q[2];
    if (target == "sse4" || target == "scalar") {
      const float xx = dx * dx, yy = dy * dy, zz = dz * dz;
      return zz + (yy + xx);
    }
    return std::fma(dz, dz, std::fma(dy, dy, dx * dx));
  }

  /// All finite points of each query's cloud, ascending by (d^2, index).
  Lists all_pairs(const Batch& points, const Batch& queries) const {
    Lists lists;
    std::int32_t first = 0;
    for (std::size_t b = 0; b < points.size(); ++b) {
      for (const Point& query : queries[b]) {
        lists.emplace_back();
        if (!is_finite(query)) continue;
        for (std::size_t i = 0; i < points[b].size(); ++i)
          if (is_finite(points[b][i]))
            lists.back().push_back({squared_distance(points[b][i], query), first + static_cast<std::int32_t>(i)});
        std::sort(lists.back().begin(), lists.back().end());
      }
      first += static_cast<std::int32_t>(points[b].size());
    }
    return lists;
  }

  PointSet set(const Batch& batch, std::size_t columns = 3) const {
    std::vector<std::int64_t> splits{0};
    for (const Cloud& points : batch) splits.push_back(splits.back() + static_cast<std::int64_t>(points.size()));
    PointSet result{Array::from(flat(batch, columns), {splits.back(), static_cast<std::int64_t>(columns)}).to(device()),
                    {}};
    if (batch.size() != 1) result.row_splits = Array::from(splits, {static_cast<std::int64_t>(splits.size())});
    return result;
  }

  static void expect_nearest(const NearestNeighbors& found, const Lists& lists, std::int64_t k, float radius2 = kInf) {
    const auto n = static_cast<std::int64_t>(lists.size());
    ASSERT_EQ(found.indices.shape(), (Shape{n, k}));
    ASSERT_EQ(found.distances.shape(), (Shape{n, k}));
    const auto indices = host<std::int32_t>(found.indices);
    const auto distances = host<float>(found.distances);
    for (std::size_t q = 0; q < lists.size(); ++q)
      for (std::size_t j = 0; j < static_cast<std::size_t>(k); ++j) {
        const bool exists = j < lists[q].size() && lists[q][j].squared <= radius2;
        const Neighbor expected = exists ? lists[q][j] : Neighbor{kInf, -1};
        const std::size_t at = q * static_cast<std::size_t>(k) + j;
        ASSERT_EQ(indices[at], expected.index) << "query " << q << ", neighbour " << j;
        ASSERT_EQ(distances[at], expected.squared) << "query " << q << ", neighbour " << j;
      }
  }

  static void expect_within(const RaggedNeighbors& found, const Lists& lists, float radius2) {
    const auto splits = host<std::int64_t>(found.row_splits);
    const auto indices = host<std::int32_t>(found.indices);
    const auto distances = host<float>(found.distances);
    ASSERT_EQ(splits.size(), lists.size() + 1);
    ASSERT_EQ(splits[0], 0);
    std::size_t at = 0;
    for (std::size_t q = 0; q < lists.size(); ++q) {
      for (const Neighbor& expected : lists[q]) {
        if (!(expected.squared <= radius2)) break;
        ASSERT_LT(at, indices.size());
        ASSERT_EQ(indices[at], expected.index) << "query " << q;
        ASSERT_EQ(distances[at], expected.squared) << "query " << q;
        ++at;
      }
      ASSERT_EQ(splits[q + 1], static_cast<std::int64_t>(at)) << "query " << q;
    }
    ASSERT_EQ(indices.size(), at);
    ASSERT_EQ(distances.size(), at);
  }

  static void expect_ball(const Array& found, const Lists& lists, const Batch& points, const Batch& queries,
                          float radius2, std::size_t count) {
    ASSERT_EQ(found.shape(), (Shape{static_cast<std::int64_t>(lists.size()), static_cast<std::int64_t>(count)}));
    const auto indices = host<std::int32_t>(found);
    std::int32_t first = 0;
    std::size_t q = 0;
    for (std::size_t b = 0; b < points.size(); ++b) {
      for (std::size_t i = 0; i < queries[b].size(); ++i, ++q) {
        std::vector<std::int32_t> inside;
        for (const Neighbor& n : lists[q])
          if (n.squared < radius2) inside.push_back(n.index);
        std::sort(inside.begin(), inside.end());
        inside.resize(std::min(inside.size(), count));
        const std::int32_t filler = !inside.empty() ? inside[0] : points[b].empty() ? -1 : first;
        inside.resize(count, filler);
        ASSERT_TRUE(std::equal(inside.begin(), inside.end(), indices.begin() + static_cast<std::ptrdiff_t>(q * count)))
            << "query " << q;
      }
      first += static_cast<std::int32_t>(points[b].size());
    }
  }

  static void expect_three(const Interpolation& found, const Lists& lists, const Batch& centers, const Batch& queries) {
    const auto indices = host<std::int32_t>(found.indices);
    const auto weights = host<float>(found.weights);
    ASSERT_EQ(found.indices.shape(), (Shape{static_cast<std::int64_t>(lists.size()), 3}));
    std::size_t q = 0;
    std::int32_t first = 0;
    for (std::size_t b = 0; b < centers.size(); ++b) {
      for (std::size_t i = 0; i < queries[b].size(); ++i, ++q) {
        double inverse[3] = {}, sum = 0;
        std::int32_t index[3] = {-1, -1, -1};
        for (std::size_t j = 0; j < 3 && !lists[q].empty(); ++j) {
          const Neighbor n = j < lists[q].size() ? lists[q][j] : Neighbor{kInf, first};
          index[j] = n.index;
          sum += inverse[j] = 1 / std::clamp<double>(n.squared, 1e-10, 1e10);
        }
        for (std::size_t j = 0; j < 3; ++j) {
          ASSERT_EQ(indices[3 * q + j], index[j]) << "query " << q;
          const double weight = sum > 0 ? inverse[j] / sum : 0;
          ASSERT_NEAR(weights[3 * q + j], weight, 1e-6 * weight) << "query " << q;
        }
      }
      first += static_cast<std::int32_t>(centers[b].size());
    }
  }

  /// All searches, for a radius that holds some but not all points.
  void expect_searches(const Batch& points, const Batch& queries, const std::vector<std::int64_t>& ks = {1, 5, 16}) {
    const Lists lists = all_pairs(points, queries);
    const PointSet p = set(points, 4), q = &points == &queries ? p : set(queries);
    float radius = 1;
    for (const auto& list : lists)
      if (list.size() > 12) radius = std::sqrt(list[12].squared);
    const float radius2 = radius * radius;
    for (const std::int64_t k : ks) {
      expect_nearest(knn_search(p, q, k), lists, k);
      expect_nearest(hybrid_search(p, q, radius, k), lists, k, radius2);
      expect_ball(ball_query(p, q, radius, k), lists, points, queries, radius2, static_cast<std::size_t>(k));
      if (HasFatalFailure()) return;
    }
    expect_within(fixed_radius_search(p, q, radius), lists, radius2);
    expect_three(three_nearest(q, p), lists, points, queries);
  }
};
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

TEST_P(NeighborsTest, NothingAmongNothing) {
  const Batch none{{}}, some{cloud(20, 1, whole)};
  expect_searches(none, none);
  expect_searches(none, some);
  expect_searches(some, none);
  const NearestNeighbors nearest = knn_search(set(none), set(some), 2);
  EXPECT_EQ(host<std::int32_t>(nearest.indices), std::vector<std::int32_t>(40, -1));
  EXPECT_EQ(host<float>(nearest.distances), std::vector<float>(40, kInf));
  EXPECT_EQ(host<std::int64_t>(fixed_radius_search(set(none), set(none), 1).row_splits), std::vector<std::int64_t>{0});
}

TEST_P(NeighborsTest, AllPointsEqual) {
  const Batch points{Cloud(1000, Point{3, -2, 7})}, queries{{{3, -2, 7}, {4, -2, 7}, {0, 0, 0}}};
  expect_searches(points, points, {1, 16, 40});
  expect_searches(points, queries, {1, 16, 40});
  EXPECT_EQ(host<std::int32_t>(knn_search(set(points), set(queries), 3).indices),
            (std::vector<std::int32_t>{0, 1, 2, 0, 1, 2, 0, 1, 2}));
}

// 3^2 + 4^2 = 5^2: the search by distance holds its border, the ball does not.
TEST_P(NeighborsTest, PointsAtTheBorder) {
  const PointSet points = set({{{3, 4, 0}, {0, 0, 5}, {0, 0, 0}, {0, 0, 5.5}, {4, 0, 2}}}), center = set({{{0, 0, 0}}});
  EXPECT_EQ(host<std::int32_t>(fixed_radius_search(points, center, 5).indices),
            (std::vector<std::int32_t>{2, 4, 0, 1}));
  EXPECT_EQ(host<float>(fixed_radius_search(points, center, 5).distances), (std::vector<float>{0, 20, 25, 25}));
  EXPECT_EQ(host<std::int32_t>(hybrid_search(points, center, 5, 6).indices),
            (std::vector<std::int32_t>{2, 4, 0, 1, -1, -1}));
  EXPECT_EQ(host<std::int32_t>(ball_query(points, center, 5, 4)), (std::vector<std::int32_t>{2, 4, 2, 2}));
  EXPECT_EQ(host<std::int32_t>(ball_query(points, center, 6, 4)), (std::vector<std::int32_t>{0, 1, 2, 3}));
}

TEST_P(NeighborsTest, RadiusZero) {
  const PointSet points = set({{{1, 1, 1}, {2, 0, 0}, {1, 1, 1}}}), queries = set({{{1, 1, 1}, {9, 9, 9}}});
  const RaggedNeighbors within = fixed_radius_search(points, queries, 0);
  EXPECT_EQ(host<std::int32_t>(within.indices), (std::vector<std::int32_t>{0, 2}));
  EXPECT_EQ(host<std::int64_t>(within.row_splits), (std::vector<std::int64_t>{0, 2, 2}));
  EXPECT_EQ(host<std::int32_t>(hybrid_search(points, queries, 0, 1).indices), (std::vector<std::int32_t>{0, -1}));
  EXPECT_EQ(host<std::int32_t>(ball_query(points, queries, 0, 2)), (std::vector<std::int32_t>{0, 0, 0, 0}));
}

TEST_P(NeighborsTest, WhatIsNotFiniteHasNoNeighborsAndIsNone) {
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
TEST_P(NeighborsTest, DistancesThatOverflow) {
  const Batch points{{{3e38F, 0, 0}, {0, 0, 0}, {-3e38F, 3e38F, 0}, {1, 0, 0}, {0, -1e30F, 2}}};
  expect_searches(points, points, {1, 3, 5, 7});
  EXPECT_EQ(host<std::int32_t>(knn_search(set(points), set({{{0, 0, 0}}}), 6).indices),
            (std::vector<std::int32_t>{1, 3, 0, 2, 4, -1}));
  const Lists lists = all_pairs(points, points);
  expect_within(fixed_radius_search(set(points), set(points), 1e30F), lists, kInf);
  expect_ball(ball_query(set(points), set(points), 1e30F, 3), lists, points, points, kInf, 3);
}

// Then no leaf is the nearest, and where a search begins must be one of the cloud's own, not of the cloud before it.
TEST_P(NeighborsTest, NoDistanceIsFinite) {
  const Point here{-3e38F, 0, 0};
  for (const std::size_t n : {1, 20, 300}) {
    const Batch points{Cloud(64, here), Cloud(n, Point{3e38F, 0, 0})}, queries{{}, {here}};
    const Lists lists = all_pairs(points, queries);
    for (const std::int64_t k : {1, 5, 16}) expect_nearest(knn_search(set(points), set(queries), k), lists, k);
    expect_three(three_nearest(set(queries), set(points)), lists, points, queries);
    if (HasFatalFailure()) return;
  }
}

TEST_P(NeighborsTest, OneFarPointAndACloud) {
  Batch points{cloud(500, 1, real)};
  points[0][123] = {1e6F, -1e6F, 1e6F};
  expect_searches(points, points);
  expect_searches(points, {{{1e6F, -1e6F, 0}, {0, 0, 0}, {-1e9F, 0, 0}}});
}

// One cell holds 100,000 points, equal or a fraction of a millimetre apart, the others are spread.
TEST_P(NeighborsTest, CrowdedCell) {
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

TEST_P(NeighborsTest, SameBitsOnAnyNumberOfThreads) {
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

TEST_P(NeighborsTest, WrongArgumentsAreRefused) {
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
