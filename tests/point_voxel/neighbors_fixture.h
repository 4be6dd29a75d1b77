// Neighbour searches on every device, and plain loops over all pairs beside them.
#pragma once

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

inline bool is_finite(const Point& p) {
  return std::all_of(p.begin(), p.end(), [](float x) { return std::isfinite(x); });
}

inline Cloud cloud(std::size_t n, unsigned seed, float (*coordinate)(std::mt19937&)) {
  std::mt19937 random(seed);
  Cloud points(n);
  for (Point& p : points)
    for (float& x : p) x = coordinate(random);
  return points;
}

// Many points share a place, and many distances are equal.
inline float few_whole(std::mt19937& random) { return static_cast<float>(random() % 6); }
inline float whole(std::mt19937& random) { return static_cast<float>(random() % 200) - 100; }
inline float real(std::mt19937& random) { return static_cast<float>(random() >> 8) / (1 << 20) - 8; }
// Steps of 1/16 m at a million metres are what float32 holds.
inline float far_away(std::mt19937& random) { return 1e6F + static_cast<float>(random() % 400) / 16; }
// From millimetres to kilometres, as density falls with the distance from a scanner.
inline float scattered(std::mt19937& random) {
  const float x = std::ldexp(1.0F + static_cast<float>(random() % 1024) / 1024, static_cast<int>(random() % 20) - 10);
  return random() % 2 == 0 ? x : -x;
}

[[maybe_unused]] constexpr std::array kCoordinates = {few_whole, whole, real, far_away, scattered};

inline std::vector<float> flat(const Batch& batch, std::size_t columns) {
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

}  // namespace voxshift
