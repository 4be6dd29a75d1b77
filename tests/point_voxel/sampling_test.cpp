// Furthest point sampling against its definition: order, ties, batches, points that are not finite.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/sampling.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using Indices = std::vector<std::int32_t>;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Points {
  std::vector<float> values;
  std::size_t channels = 3;

  std::size_t size() const { return values.size() / channels; }
  const float* operator[](std::size_t i) const { return values.data() + i * channels; }
  float* operator[](std::size_t i) { return values.data() + i * channels; }
};

class SamplingTest : public DeviceTest {
 protected:
  PointSet set(const Points& points, const std::vector<std::int64_t>& splits = {}) const {
    const Shape shape = {static_cast<std::int64_t>(points.size()), static_cast<std::int64_t>(points.channels)};
    PointSet result{Array::from(points.values, shape).to(device()), std::nullopt};
    if (!splits.empty()) result.row_splits = Array::from(splits, {static_cast<std::int64_t>(splits.size())});
    return result;
  }

  // Instruction sets without fused multiply-add round each product.
  float square_distance(const float* p, const float* q) const {
    const float x = p[0] - q[0], y = p[1] - q[1], z = p[2] - q[2];
    if (fused_) return std::fma(z, z, std::fma(y, y, x * x));
    const float xx = x * x, yy = y * y, zz = z * z;
    return zz + (yy + xx);
  }

  // The definition for the cloud [first, last), appended to `indices`.
  void sample(const Points& points, std::size_t first, std::size_t last, std::size_t samples, Ties ties,
              Indices& indices) const {
    const auto usable = [&](std::size_t i) {
      return std::isfinite(points[i][0]) && std::isfinite(points[i][1]) && std::isfinite(points[i][2]);
    };
    const auto before = [&](std::size_t a, std::size_t b) {
      const std::size_t i = (a - first) % 512, j = (b - first) % 512;
      return ties == Ties::kPvcnn && i != j ? i < j : a < b;
    };
    std::size_t next = first;
    while (next < last && !usable(next)) ++next;
    if (next == last) return indices.resize(indices.size() + samples, -1);
    std::vector<float> distances(last - first, kInf);
    for (std::size_t s = 0; s < samples; ++s) {
      indices.push_back(static_cast<std::int32_t>(next));
      const float* chosen = points[next];
      for (std::size_t i = first; i < last; ++i)
        distances[i - first] = std::min(distances[i - first], square_distance(points[i], chosen));
      for (std::size_t i = first; i < last; ++i) {
        const float distance = distances[i - first], most = distances[next - first];
        if (usable(i) && (distance > most || (distance == most && before(i, next)))) next = i;
      }
    }
  }

  void expect_samples(const Points& points, std::size_t samples, const std::vector<std::int64_t>& splits = {}) const {
    for (const Ties ties : {Ties::kLowest, Ties::kPvcnn}) {
      SCOPED_TRACE(std::to_string(points.size()) + " points, " + std::to_string(samples) + " samples, ties " +
                   (ties == Ties::kPvcnn ? "pvcnn" : "lowest"));
      Indices expected;
      const std::vector<std::int64_t> all = {0, static_cast<std::int64_t>(points.size())};
      const auto& s = splits.empty() ? all : splits;
      for (std::size_t b = 0; b + 1 < s.size(); ++b)
        sample(points, static_cast<std::size_t>(s[b]), static_cast<std::size_t>(s[b + 1]), samples, ties, expected);
      const Array actual = furthest_point_sample(set(points, splits), static_cast<std::int64_t>(samples), ties);
      ASSERT_EQ(actual.shape(), (Shape{static_cast<std::int64_t>(s.size()) - 1, static_cast<std::int64_t>(samples)}));
      ASSERT_EQ(host<std::int32_t>(actual), expected);
    }
  }

  static Points real(std::size_t n, std::size_t channels, unsigned seed, double scale = 1) {
    const auto values = test_data::real(n, channels, seed).values;
    Points points{std::vector<float>(values.size()), channels};
    std::transform(values.begin(), values.end(), points.values.begin(),
                   [scale](double x) { return static_cast<float>(x * scale); });
    return points;
  }

  // Density falls with the square of the range, as on a scan.
  static Points scan(std::size_t n, unsigned seed) {
    Points points = real(n, 3, seed);
    for (std::size_t i = 0; i < n; ++i) {
      float* p = points[i];
      const float range = std::exp(2 + 2 * p[0]), angle = 3 * p[1];
      p[0] = range * std::cos(angle);
      p[1] = range * std::sin(angle);
    }
    return points;
  }

  // The points of side^3, in random order: distances are whole numbers and most of them are shared.
  static Points lattice(int side, unsigned seed) {
    std::vector<int> cells(static_cast<std::size_t>(side * side * side));
    std::iota(cells.begin(), cells.end(), 0);
    std::shuffle(cells.begin(), cells.end(), std::mt19937(seed));
    Points points;
    for (const int c : cells)
      for (const int x : {c / (side * side), c / side % side, c % side}) points.values.push_back(static_cast<float>(x));
    return points;
  }

 private:
  const bool fused_ =
      runtime(GetParam()).available(GetParam()) && runtime(GetParam()).target(GetParam()).substr(0, 3) != "sse";
};
VOXSHIFT_FOR_EACH_DEVICE(SamplingTest);

TEST_P(SamplingTest, FirstThenTheFurthest) {
  const Points line{{5, 0, 0, 0, 0, 0, 1, 0, 0, 10, 0, 0, 7, 0, 0}};
  EXPECT_EQ(host<std::int32_t>(furthest_point_sample(set(line), 5)), (Indices{0, 1, 3, 4, 2}));
}

TEST_P(SamplingTest, AllSizes) {
  for (const std::size_t n : {1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 1100})
    expect_samples(real(n, 3, static_cast<unsigned>(n)), n + 3);
}

TEST_P(SamplingTest, AgainstTheDefinition) {
  expect_samples(real(8000, 5, 1, 50), 200);
  expect_samples(scan(20000, 2), 300);
}

// On a sphere around the first point squared distances differ in their last bits only.
TEST_P(SamplingTest, RoundingDecides) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    Points points = real(500, 3, 20 + seed);
    for (std::size_t i = 0; i < points.size(); ++i) {
      float* p = points[i];
      const float length = std::sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);
      for (int axis = 0; axis < 3; ++axis) p[axis] /= length;
    }
    std::fill_n(points[0], 3, 0.0F);
    expect_samples(points, 10);
  }
}

// Boxes of one point each: the least distance to a box is that of its points.
TEST_P(SamplingTest, ManyPointsInEachPlace) {
  const Points places = real(300, 3, 40);
  Points points;
  for (std::size_t i = 0; i < 64 * places.size(); ++i) {
    const float* p = places[i % places.size()];
    points.values.insert(points.values.end(), p, p + 3);
  }
  expect_samples(points, 310);
}

TEST_P(SamplingTest, TiesOnALattice) {
  const Points points = lattice(12, 3);
  expect_samples(points, points.size() + 20);
  EXPECT_NE(host<std::int32_t>(furthest_point_sample(set(points), 600, Ties::kLowest)),
            host<std::int32_t>(furthest_point_sample(set(points), 600, Ties::kPvcnn)));
}

TEST_P(SamplingTest, CloudsOfUnequalSizes) {
  expect_samples(lattice(12, 4), 200, {0, 0, 3, 700, 700, 701, 1727, 1728, 1728});
  expect_samples(scan(5000, 5), 50, {0, 64, 65, 4000, 5000});
  expect_samples(Points{}, 4, {0, 0, 0});
}

TEST_P(SamplingTest, CloudsAreSampledOneByOne) {
  const Points points = scan(3000, 6);
  const Array together = furthest_point_sample(set(points, {0, 1000, 3000}), 100);
  Points second{{points.values.begin() + 3000, points.values.end()}};
  Indices alone = host<std::int32_t>(furthest_point_sample(set(second), 100));
  for (std::int32_t& i : alone) i += 1000;
  const Indices both = host<std::int32_t>(together);
  EXPECT_EQ(Indices(both.begin() + 100, both.end()), alone);
}

TEST_P(SamplingTest, MoreSamplesThanPointsRepeatTheFirstOfTheTieRule) {
  EXPECT_EQ(host<std::int32_t>(furthest_point_sample(set(Points{{0, 0, 0, 1, 0, 0, 3, 0, 0}}), 6)),
            (Indices{0, 2, 1, 0, 0, 0}));
  Points points = real(600, 3, 7);
  points[0][1] = kNan;
  expect_samples(points, 610);
  EXPECT_EQ(host<std::int32_t>(furthest_point_sample(set(points), 610, Ties::kLowest)).back(), 1);
  EXPECT_EQ(host<std::int32_t>(furthest_point_sample(set(points), 610, Ties::kPvcnn)).back(), 512);
}

TEST_P(SamplingTest, PointsThatAreNotFiniteAreNeverChosen) {
  Points points = real(3000, 4, 8);
  std::mt19937 random(9);
  for (int i = 0; i < 500; ++i) points[random() % 3000][random() % 3] = i % 3 == 0 ? kNan : i % 3 == 1 ? kInf : -kInf;
  points[0][2] = kNan;
  points[10][3] = kNan;  // not a coordinate
  expect_samples(points, 200, {0, 1000, 1001, 3000});
  for (float& x : points.values) x = kNan;
  EXPECT_EQ(host<std::int32_t>(furthest_point_sample(set(points), 2)), (Indices{-1, -1}));
}

TEST_P(SamplingTest, AHundredThousandPointsInOnePlace) {
  const std::int64_t samples = emulated() ? 64 : 4096;
  Points points{std::vector<float>(300000, 1.5F)};
  Indices expected(static_cast<std::size_t>(samples), 0);
  EXPECT_EQ(host<std::int32_t>(furthest_point_sample(set(points), samples)), expected);
  points[70000][0] = 2;
  expected[1] = 70000;
  EXPECT_EQ(host<std::int32_t>(furthest_point_sample(set(points), samples)), expected);
}

TEST_P(SamplingTest, FarFromTheOrigin) {
  Points points = scan(3000, 10);
  for (std::size_t i = 0; i < points.size(); ++i) points[i][0] += 1e6F, points[i][1] -= 1e6F;
  expect_samples(points, 500);
  expect_samples(real(1000, 3, 11, 1e30), 100);  // squared distances overflow
  expect_samples(real(1000, 3, 12, 3e38), 100);  // differences do, too
  expect_samples(real(1000, 3, 13, 1e-22), 100);
}

TEST_P(SamplingTest, SameBitsOnAnyNumberOfThreads) {
  const std::int64_t unit = emulated() ? 20 : 100, samples = 4 * unit;
  const PointSet one = set(scan(static_cast<std::size_t>(300 * unit), 14)),
                 many = set(scan(static_cast<std::size_t>(300 * unit), 15),
                            {0, 90 * unit, 90 * unit, 91 * unit, 210 * unit, 300 * unit});
  set_num_threads(1);
  const Array expected_one = furthest_point_sample(one, samples), expected_many = furthest_point_sample(many, samples);
  for (const int threads : thread_counts())
    for (int run = 0; run < 2; ++run) {
      set_num_threads(threads);
      expect_same_bits(furthest_point_sample(one, samples), expected_one);
      expect_same_bits(furthest_point_sample(many, samples), expected_many);
    }
}

TEST_P(SamplingTest, WrongOperandsAreRefused) {
  const PointSet points = set(real(4, 3, 16));
  expect_throw([&] { furthest_point_sample(points, 0); }, {"[furthest_point_sample]", "num_samples", "found 0"});
  expect_throw([&] { furthest_point_sample(points, -3); }, {"[furthest_point_sample]", "num_samples", "found -3"});
  expect_throw([&] { furthest_point_sample(set(real(4, 2, 17)), 1); },
               {"[furthest_point_sample]", "points", "[N, C]", "[4, 2]"});
  expect_throw(
      [&] {
        furthest_point_sample({Array({4, 3}, DType::kI32, device()), {}}, 1);
      },
      {"[furthest_point_sample]", "points", "f32", "i32"});
  expect_throw(
      [&] {
        furthest_point_sample({vector({1, 2, 3}), {}}, 1);
      },
      {"[furthest_point_sample]", "points", "[N, C]", "[3]"});
  expect_throw(
      [&] {
        furthest_point_sample(set(real(4, 3, 18), {0, 3}), 1);
      },
      {"[furthest_point_sample]", "row_splits", "from 0 to 4"});
  expect_throw(
      [&] {
        furthest_point_sample(set(real(4, 3, 19), {0, 3, 2, 4}), 1);
      },
      {"[furthest_point_sample]", "row_splits", "ascend"});
}

}  // namespace
}  // namespace voxshift
