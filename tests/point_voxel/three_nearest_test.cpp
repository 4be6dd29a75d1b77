// Interpolation from the three nearest centers.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/interpolate.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Matrix;
using Splits = std::vector<std::int64_t>;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool is_finite(const Matrix& points, std::size_t i) {
  return std::isfinite(points.at(i, 0)) && std::isfinite(points.at(i, 1)) && std::isfinite(points.at(i, 2));
}

float distance2(const Matrix& a, std::size_t i, const Matrix& b, std::size_t j) {
  const auto difference = [&](std::size_t axis) {
    return static_cast<float>(a.at(i, axis)) - static_cast<float>(b.at(j, axis));
  };
  return std::fma(difference(2), difference(2), std::fma(difference(1), difference(1), difference(0) * difference(0)));
}

class ThreeNearestTest : public DeviceTest {
 protected:
  PointSet set(const Matrix& points, const Splits& splits) const {
    return {array(points, {static_cast<std::int64_t>(points.rows), 3}),
            Array::from(splits, {static_cast<std::int64_t>(splits.size())})};
  }

  void expect_three_nearest(const Matrix& points, const Splits& point_splits, const Matrix& centers,
                            const Splits& center_splits) const {
    const Interpolation found = three_nearest(set(points, point_splits), set(centers, center_splits));
    ASSERT_EQ(found.rows, static_cast<std::int64_t>(centers.rows));
    ASSERT_EQ(found.indices.shape(), (Shape{static_cast<std::int64_t>(points.rows), 3}));
    const auto indices = host<std::int32_t>(found.indices);
    const auto weights = host<float>(found.weights);
    for (std::size_t b = 0; b + 1 < point_splits.size(); ++b)
      for (auto i = static_cast<std::size_t>(point_splits[b]); i < static_cast<std::size_t>(point_splits[b + 1]); ++i) {
        SCOPED_TRACE(i);
        std::vector<std::tuple<float, std::size_t>> near;
        const auto first = static_cast<std::size_t>(center_splits[b]);
        for (auto j = first; j < static_cast<std::size_t>(center_splits[b + 1]) && is_finite(points, i); ++j)
          if (is_finite(centers, j)) near.emplace_back(distance2(points, i, centers, j), j);
        std::sort(near.begin(), near.end());
        const bool any = !near.empty();
        while (near.size() < 3) near.emplace_back(1e10F, first);
        double sum = 0, weight[3];
        for (std::size_t k = 0; k < 3; ++k)
          sum += weight[k] = 1 / std::clamp(static_cast<double>(std::get<0>(near[k])), 1e-10, 1e10);
        for (std::size_t k = 0; k < 3; ++k) {
          ASSERT_EQ(indices[3 * i + k], any ? static_cast<std::int32_t>(std::get<1>(near[k])) : -1);
          ASSERT_NEAR(weights[3 * i + k], any ? weight[k] / sum : 0, 1e-6);
        }
      }
  }
};
VOXSHIFT_FOR_EACH_DEVICE(ThreeNearestTest);

TEST_P(ThreeNearestTest, AgainstTheOracle) {
  const Splits points = {0, 0, 7, 600, 600, 800}, centers = {0, 5, 7, 150, 160, 160};
  expect_three_nearest(test_data::real(800, 3, 1), points, test_data::real(160, 3, 2), centers);
  // whole numbers: many equal distances, many of them 0
  expect_three_nearest(test_data::whole(800, 3, 3), points, test_data::whole(160, 3, 4), centers);
}

TEST_P(ThreeNearestTest, FewerThanThreeCenters) {
  for (const std::size_t count : {1, 2, 3})
    expect_three_nearest(test_data::real(20, 3, 5), {0, 20}, test_data::real(count, 3, 6),
                         {0, static_cast<std::int64_t>(count)});
  expect_three_nearest(test_data::real(20, 3, 5), {0, 20}, Matrix(0, 3), {0, 0});
  expect_three_nearest(Matrix(0, 3), {0, 0}, test_data::real(4, 3, 6), {0, 4});
}

TEST_P(ThreeNearestTest, PointsThatAreNotFinite) {
  Matrix points = test_data::real(30, 3, 7), centers = test_data::real(10, 3, 8);
  points.at(4, 1) = kNan;
  centers.at(3, 0) = std::numeric_limits<double>::infinity();
  expect_three_nearest(points, {0, 30}, centers, {0, 10});
}

TEST_P(ThreeNearestTest, ACenterKeepsItsFeatures) {
  const Matrix centers = test_data::whole(1, 3, 9), features = test_data::whole(1, 5, 10);
  const Interpolation found = three_nearest(set(centers, {0, 1}), set(centers, {0, 1}));
  expect_close(interpolate(array(features), found), features);
}

TEST_P(ThreeNearestTest, WrongArgumentsAreRefused) {
  const PointSet one = set(Matrix(4, 3), {0, 4}), two = set(Matrix(4, 3), {0, 2, 4});
  expect_throw([&] { three_nearest(one, two); }, {"[three_nearest]", "same number of clouds", "1 and 2"});
  expect_throw([&] { three_nearest({array(Matrix(4, 2)), {}}, one); }, {"[three_nearest]", "points", "[4, 2]"});
  expect_throw([&] { three_nearest(one, {array(Matrix(4, 2)), {}}); }, {"[three_nearest]", "centers", "[4, 2]"});
  expect_throw(
      [&] {
        three_nearest(one, {Array({4, 3}, DType::kI32, device()), {}});
      },
      {"[three_nearest]", "centers", "i32"});
}

}  // namespace
}  // namespace voxshift
