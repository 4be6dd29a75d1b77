// Links between levels: the parent of every fine coordinate and the coarse corners around it.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/point_voxel/kernels.h>

#include "corner_oracle.h"
#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coord;
using oracle::Coords;
using oracle::Matrix;

class LinkTest : public DeviceTest {
 protected:
  struct Links {
    std::vector<std::int32_t> parents, indices;
    std::vector<float> weights;
  };
  Links links(const SparseTensor& fine, const SparseTensor& coarse, const Window::Extents& stride) const {
    const std::int64_t n = fine.size();
    Array parents({n}, DType::kI32, device()), same({n}, DType::kI32, device());
    Array indices({n, 8}, DType::kI32, device()), weights({n, 8}, DType::kF32, device());
    Arena arena(device());
    const Context context{device(), nullptr, num_threads(), &arena};
    const auto& kernels = point_voxel_kernels(device());
    kernels.link(context, fine.map()->level(), coarse.map()->level(), stride, parents.data<std::int32_t>(),
                 indices.data<std::int32_t>(), weights.data<float>());
    kernels.link(context, fine.map()->level(), coarse.map()->level(), stride, same.data<std::int32_t>(), nullptr,
                 nullptr);
    expect_same_bits(same, parents);
    return {host<std::int32_t>(parents), host<std::int32_t>(indices), host<float>(weights)};
  }

  void expect_links(const Coords& fine, const Coords& coarse, const std::array<int, 3>& stride) const {
    const auto rows = oracle::rows_by_coord(coarse);
    oracle::Mixtures expected;
    std::vector<std::int32_t> parents;
    for (const Coord& c : fine) {
      std::array<double, 3> q{};
      for (std::size_t axis = 0; axis < 3; ++axis) q[axis] = static_cast<double>(c[axis + 1]) / stride[axis];
      oracle::add_corners(expected, rows, c[0], q, true);
      parents.push_back(expected.indices[expected.indices.size() - 8]);
    }
    const Links found = links(tensor(fine, Matrix(fine.size(), 1)), tensor(coarse, Matrix(coarse.size(), 1)),
                              {stride[0], stride[1], stride[2], 1});
    ASSERT_EQ(found.parents, parents);
    oracle::expect_mixtures(found.indices, found.weights, expected);
  }
};
VOXSHIFT_FOR_EACH_DEVICE(LinkTest);

TEST_P(LinkTest, LinksAgainstTheOracle) {
  for (const auto& stride : std::vector<std::array<int, 3>>{{1, 1, 1}, {2, 2, 2}, {4, 4, 4}, {16, 16, 16}, {3, 1, 2}})
    for (const std::size_t n : {1, 500, 9000}) {
      const Coords fine = test_data::cloud(3, n, 4);
      oracle::Window window = test_data::cube(3, 2);
      window.stride.assign(stride.begin(), stride.end());
      expect_links(fine, oracle::floor_outputs(fine, window), stride);
    }
}

// A coarse level that is not the floor of the fine one: without some parents, with other batches, far away, or empty.
TEST_P(LinkTest, LinksToAnyLevel) {
  const Coords fine = test_data::cloud(3, 700, 5);
  Coords some, moved;
  for (const Coord& c : oracle::floor_outputs(fine, test_data::cube(3, 2, 2)))
    if (some.size() % 3 != 0 || (c[1] + c[2]) % 2 == 0) some.push_back(c);
  some.erase(some.begin(), some.begin() + 20);
  expect_links(fine, some, {2, 2, 2});
  for (Coord c : some) moved.push_back({c[0] + 1, c[1], c[2], c[3] + 1000000});
  expect_links(fine, moved, {2, 2, 2});
  expect_links(moved, fine, {2, 2, 2});
  const SparseTensor none(array(Coords{}, 3), array(Matrix(0, 1), {0, 1}));
  const Links found = links(tensor(fine, Matrix(fine.size(), 1)), none, {4, 4, 4, 1});
  EXPECT_EQ(found.parents, std::vector<std::int32_t>(fine.size(), -1));
  EXPECT_EQ(found.indices, std::vector<std::int32_t>(8 * fine.size(), -1));
  EXPECT_EQ(found.weights, std::vector<float>(8 * fine.size(), 0));
  EXPECT_TRUE(links(none, none, {4, 4, 4, 1}).parents.empty());
}

TEST_P(LinkTest, ALinkIsTrilinearAtTheFineCoordinates) {
  const Coords fine = test_data::cloud(3, 5003, 6, -900);
  for (const int stride : {1, 2, 4, 16}) {
    const Coords coarse = oracle::floor_outputs(fine, test_data::cube(3, 2, stride));
    SparseTensor::Options options;
    options.stride = {stride, stride, stride, 1};
    const SparseTensor x = tensor(coarse, Matrix(coarse.size(), 1), options);
    Matrix points(fine.size(), 4);
    for (std::size_t i = 0; i < fine.size(); ++i)
      for (std::size_t axis = 0; axis < 4; ++axis) points.at(i, axis) = static_cast<double>(fine[i][axis]);
    const Interpolation at_points = trilinear(x, array(points));
    const Links found = links(tensor(fine, Matrix(fine.size(), 1)), x, {stride, stride, stride, 1});
    EXPECT_EQ(found.indices, host<std::int32_t>(at_points.indices));
    EXPECT_EQ(found.weights, host<float>(at_points.weights));
  }
}

TEST_P(LinkTest, SameBitsOnAnyNumberOfThreads) {
  const Coords fine = test_data::cloud(3, 9000, 12);
  const Coords coarse = oracle::floor_outputs(fine, test_data::cube(3, 2, 4));
  const SparseTensor x = tensor(fine, Matrix(fine.size(), 1)), y = tensor(coarse, Matrix(coarse.size(), 1));
  set_num_threads(1);
  const Links expected = links(x, y, {4, 4, 4, 1});
  for (const int threads : {1, 2, 3})
    for (int repeat = 0; repeat < 3; ++repeat) {
      set_num_threads(threads);
      const Links again = links(x, y, {4, 4, 4, 1});
      EXPECT_EQ(again.parents, expected.parents);
      EXPECT_EQ(again.indices, expected.indices);
      EXPECT_EQ(again.weights, expected.weights);
    }
}

}  // namespace
}  // namespace voxshift
