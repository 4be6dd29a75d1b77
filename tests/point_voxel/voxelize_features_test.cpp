// Features of voxels from those of points, by the inverse map.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/voxelize.h>

#include <limits>
#include <random>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Matrix;

class VoxelizeFeaturesTest : public DeviceTest {
 protected:
  Array rows(const std::vector<std::int32_t>& inverse) const {
    return Array::from(inverse, {static_cast<std::int64_t>(inverse.size())}).to(device());
  }
};
VOXSHIFT_FOR_EACH_DEVICE(VoxelizeFeaturesTest);

TEST_P(VoxelizeFeaturesTest, AgainstTheOracle) {
  std::mt19937 random(6);
  const auto channel_counts = {1, 2, 3, 4, 7, 16, 33, 67};
  for (const std::size_t n : {1, 900, 7000})
    for (const std::size_t channels : channel_counts) {
      const Matrix in = test_data::whole(n, channels, 7);
      std::vector<std::int32_t> inverse(n);
      std::vector<std::vector<std::size_t>> members(2500);  // the last 100 stay empty
      for (std::size_t i = 0; i < n; ++i) {
        inverse[i] = static_cast<std::int32_t>(random() % 2401) - 1;
        if (inverse[i] >= 0) members[static_cast<std::size_t>(inverse[i])].push_back(i);
      }
      const auto found = [&](Reduce reduce) { return voxelize_features(array(in), rows(inverse), 2500, reduce); };
      expect_close(voxelize_features(array(in), rows(inverse), 2500),
                   oracle::pool(in, members, oracle::Pool::kAverage));
      expect_equal(found(Reduce::kSum), oracle::pool(in, members, oracle::Pool::kSum));
      expect_equal(found(Reduce::kMax), oracle::pool(in, members, oracle::Pool::kMax));
      Matrix first(2500, channels);
      for (std::size_t v = 0; v < members.size(); ++v)
        for (std::size_t c = 0; c < channels && !members[v].empty(); ++c) first.at(v, c) = in.at(members[v][0], c);
      expect_equal(found(Reduce::kFirst), first);
    }
}

TEST_P(VoxelizeFeaturesTest, OfTheInverseOfVoxelizeIsVoxelize) {
  Matrix in = test_data::real(9000, 5, 8);
  for (std::size_t i = 7; i < in.rows; i += 100) in.at(i, i % 5) = std::numeric_limits<double>::infinity();
  VoxelizeOptions options;
  options.voxel_size = 0.2F;
  for (const Reduce reduce : {Reduce::kFirst, Reduce::kSum, Reduce::kMean, Reduce::kMax}) {
    options.reduce = reduce;
    const Voxels v = voxelize(array(in), options);
    expect_same_bits(voxelize_features(array(in), v.inverse, v.tensor.size(), reduce), v.tensor.features());
  }
  const Voxels v = voxelize(array(in), options);
  const Array ones = array(oracle::apply(Matrix(9000, 1), [](double) { return 1.0; }));
  expect_equal(voxelize_features(ones, v.inverse, v.tensor.size()),
               oracle::apply(Matrix(static_cast<std::size_t>(v.tensor.size()), 1), [](double) { return 1.0; }));
  double points = 0;
  for (const float x : host<float>(voxelize_features(ones, v.inverse, v.tensor.size(), Reduce::kSum))) points += x;
  EXPECT_EQ(points, static_cast<double>(9000 - v.dropped));
}

TEST_P(VoxelizeFeaturesTest, NoPointsNoVoxels) {
  expect_equal(voxelize_features(array(Matrix(), {0, 3}), rows({}), 4), Matrix(4, 3));
  EXPECT_EQ(voxelize_features(array(Matrix(2, 3)), rows({-1, -1}), 0).shape(), (Shape{0, 3}));
  EXPECT_EQ(voxelize_features(array(Matrix(), {2, 0}), rows({0, 1}), 2).shape(), (Shape{2, 0}));
}

TEST_P(VoxelizeFeaturesTest, SameBitsOnAnyNumberOfThreads) {
  std::mt19937 random(9);
  std::vector<std::int32_t> inverse(20000);
  for (std::int32_t& row : inverse) row = static_cast<std::int32_t>(random() % 5000);
  const Array in = array(test_data::real(20000, 21, 10));
  set_num_threads(1);
  const Array expected = voxelize_features(in, rows(inverse), 5000);
  for (const int threads : {1, 2, 3})
    for (int repeat = 0; repeat < 3; ++repeat) {
      set_num_threads(threads);
      expect_same_bits(voxelize_features(in, rows(inverse), 5000), expected);
    }
}

TEST_P(VoxelizeFeaturesTest, WrongArgumentsAreRefused) {
  const Array in = array(Matrix(3, 2));
  for (const std::int32_t bad : {-2, 4, 2147483647, -2147483647 - 1})
    expect_throw(
        [&] {
          voxelize_features(in, rows({0, bad, 1}), 4);
        },
        {"[voxelize_features]", "inverse", "[-1, 4)", std::to_string(bad)});
  expect_throw([&] { voxelize_features(in, rows({0, 1}), 4); }, {"[voxelize_features]", "inverse", "[3]", "[2]"});
  expect_throw([&] { voxelize_features(in, vector({0, 1, 2}), 4); }, {"[voxelize_features]", "inverse", "f32"});
  expect_throw(
      [&] {
        voxelize_features(rows({0, 1, 2}), rows({0, 1, 2}), 4);
      },
      {"[voxelize_features]", "features", "i32"});
  for (const std::int64_t voxels : {std::int64_t{-1}, std::int64_t{1} << 31})
    expect_throw([&] { voxelize_features(in, rows({0, 1, 2}), voxels); }, {"[voxelize_features]", "voxels"});
  expect_throw([&] { voxelize_features(in, rows({0, 1, 2}), 4, Reduce::kNone); }, {"[voxelize_features]", "reduce"});
}

}  // namespace
}  // namespace voxshift
