// Rows picked by index, alone and relative to a center.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/group.h>

#include <random>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Matrix;
using Indices = std::vector<std::int32_t>;

class GroupTest : public DeviceTest {
 protected:
  Array indices(const Indices& values, Shape shape) const { return Array::from(values, std::move(shape)).to(device()); }

  /// One in eight is -1.
  static Indices random_indices(std::size_t count, std::size_t rows, unsigned seed) {
    std::mt19937 random(seed);
    Indices result(count, -1);
    for (std::int32_t& i : result)
      if (random() % 8 != 0) i = static_cast<std::int32_t>(random() % rows);
    return result;
  }

  static void expect_values(const Array& actual, const Shape& shape, const std::vector<double>& expected) {
    ASSERT_EQ(actual.shape(), shape);
    ASSERT_EQ(actual.dtype(), DType::kF32);
    const auto values = host<float>(actual);
    ASSERT_EQ(values.size(), expected.size());
    for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], expected[i]) << "element " << i;
  }

  static std::vector<double> gathered(const Matrix& features, const Indices& picked) {
    std::vector<double> result;
    for (const std::int32_t i : picked)
      for (std::size_t c = 0; c < features.cols; ++c)
        result.push_back(i < 0 ? 0 : features.at(static_cast<std::size_t>(i), c));
    return result;
  }

  static std::vector<double> grouped(const Matrix& points, const Matrix& centers, const Indices& picked, std::size_t u,
                                     const Matrix* features) {
    std::vector<double> result;
    for (std::size_t j = 0; j < picked.size(); ++j) {
      const bool none = picked[j] < 0;
      const auto i = static_cast<std::size_t>(none ? 0 : picked[j]);
      for (std::size_t a = 0; a < 3; ++a)
        result.push_back(none ? 0 : static_cast<float>(points.at(i, a)) - static_cast<float>(centers.at(j / u, a)));
      for (std::size_t c = 0; features != nullptr && c < features->cols; ++c)
        result.push_back(none ? 0 : features->at(i, c));
    }
    return result;
  }
};
VOXSHIFT_FOR_EACH_DEVICE(GroupTest);

TEST_P(GroupTest, GatherOfOneAndTwoAxes) {
  const Matrix features = test_data::real(500, 7, 1);
  const Indices picked = random_indices(6000, 500, 2);
  expect_values(gather(array(features), indices(picked, {6000})), {6000, 7}, gathered(features, picked));
  expect_values(gather(array(features), indices(picked, {1500, 4})), {1500, 4, 7}, gathered(features, picked));
}

TEST_P(GroupTest, GatherAtAllChannelCounts) {
  for (std::size_t channels = 0; channels <= 67; ++channels) {
    const Matrix features = test_data::whole(9, channels, 3);
    const Indices picked = random_indices(20, 9, 4);
    expect_values(gather(array(features), indices(picked, {20})), {20, static_cast<std::int64_t>(channels)},
                  gathered(features, picked));
  }
}

TEST_P(GroupTest, PositionsRelativeToTheCenterThenFeatures) {
  const Matrix points = test_data::real(400, 5, 5), centers = test_data::real(90, 3, 6);
  for (const std::size_t u : {1, 7, 64}) {
    const Indices picked = random_indices(90 * u, 400, 7);
    const auto count = static_cast<std::int64_t>(u);
    const Array at = indices(picked, {90, count});
    expect_values(group(array(points), array(centers), at), {90, count, 3},
                  grouped(points, centers, picked, u, nullptr));
    for (const std::size_t channels : {0, 1, 16, 35}) {
      const Matrix features = test_data::real(400, channels, 8);
      expect_values(group(array(points), array(centers), at, array(features)),
                    {90, count, 3 + static_cast<std::int64_t>(channels)},
                    grouped(points, centers, picked, u, &features));
    }
  }
}

TEST_P(GroupTest, MinusOneGivesZeros) {
  const Matrix points = test_data::real(2, 3, 9);
  expect_values(gather(array(points), indices({-1, -1}, {2})), {2, 3}, std::vector<double>(6, 0));
  expect_values(group(array(points), array(points), indices({-1, -1}, {2, 1}), array(points)), {2, 1, 6},
                std::vector<double>(12, 0));
}

TEST_P(GroupTest, NothingToPick) {
  const Array none = array(Matrix(), {0, 3}), some = array(test_data::real(4, 3, 10));
  EXPECT_EQ(gather(some, indices({}, {0})).shape(), (Shape{0, 3}));
  EXPECT_EQ(gather(some, indices({}, {2, 0})).shape(), (Shape{2, 0, 3}));
  EXPECT_EQ(group(some, none, indices({}, {0, 8}), some).shape(), (Shape{0, 8, 6}));
  EXPECT_EQ(group(some, some, indices({}, {4, 0})).shape(), (Shape{4, 0, 3}));
  expect_values(gather(none, indices({-1}, {1})), {1, 3}, {0, 0, 0});
  expect_values(group(none, some, indices(Indices(4, -1), {4, 1}), none), {4, 1, 6}, std::vector<double>(24, 0));
}

TEST_P(GroupTest, SameBitsOnAnyNumberOfThreads) {
  const Array points = array(test_data::real(3000, 4, 11)), centers = array(test_data::real(1000, 3, 12));
  const Array picked = indices(random_indices(16000, 3000, 13), {1000, 16});
  set_num_threads(1);
  const Array expected = group(points, centers, picked, points), rows = gather(points, picked);
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    expect_same_bits(group(points, centers, picked, points), expected);
    expect_same_bits(gather(points, picked), rows);
  }
}

TEST_P(GroupTest, IndicesOutsideAreRefused) {
  const Array points = array(test_data::real(10, 3, 14)), centers = array(test_data::real(2, 3, 15));
  expect_throw([&] { gather(points, indices({0, 9, 10}, {3})); }, {"[gather] indices[2]", "[-1, 10)", "found 10"});
  expect_throw([&] { gather(points, indices({0, -2, 10}, {3})); }, {"[gather] indices[1]", "found -2"});
  expect_throw([&] { gather(points, indices({0, 1, 2, 3, 4, 11}, {2, 3})); }, {"[gather] indices[1, 2]", "found 11"});
  expect_throw([&] { gather(array(Matrix(), {0, 3}), indices({0}, {1})); }, {"[gather] indices[0]", "[-1, 0)"});
  expect_throw(
      [&] {
        group(points, centers, indices({0, 1, 2, 2147483647}, {2, 2}));
      },
      {"[group] indices[1, 1]", "[-1, 10)", "found 2147483647"});
}

TEST_P(GroupTest, WrongOperandsAreRefused) {
  const Array points = array(test_data::real(10, 3, 16)), centers = array(test_data::real(2, 3, 17));
  const Array flat = array(test_data::real(10, 2, 18)), whole({10, 3}, DType::kI32, device());
  const Array picked = indices({0, 1, 2, 3}, {2, 2});
  expect_throw([&] { gather(whole, picked); }, {"[gather]", "features expects f32", "[N, C]", "i32"});
  expect_throw([&] { gather(vector({1, 2}), picked); }, {"[gather]", "features", "[2]"});
  expect_throw([&] { gather(points, points); }, {"[gather]", "indices expects i32", "f32"});
  expect_throw([&] { gather(points, indices({0}, {1, 1, 1})); }, {"[gather]", "[M, U]", "[1, 1, 1]"});
  expect_throw([&] { group(flat, centers, picked); }, {"[group]", "points", "C >= 3", "[10, 2]"});
  expect_throw([&] { group(whole, centers, picked); }, {"[group]", "points", "f32", "i32"});
  expect_throw([&] { group(points, flat, picked); }, {"[group]", "centers", "C >= 3", "[10, 2]"});
  expect_throw([&] { group(points, points, picked); }, {"[group]", "indices expects i32 [10, U]", "[2, 2]"});
  expect_throw([&] { group(points, centers, indices({0, 1}, {2})); }, {"[group]", "indices", "[2, U]", "[2]"});
  expect_throw([&] { group(points, centers, centers); }, {"[group]", "indices", "i32", "f32"});
  expect_throw([&] { group(points, centers, picked, centers); }, {"[group]", "features", "10", "[2, 3]"});
  expect_throw([&] { group(points, centers, picked, whole); }, {"[group]", "features", "f32", "i32"});
}

}  // namespace
}  // namespace voxshift
