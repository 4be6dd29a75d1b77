// Features between their places: trilinear corners and the mixture of rows.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/point_voxel/kernels.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "corner_oracle.h"
#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coord;
using oracle::Coords;
using oracle::Matrix;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

oracle::Mixtures corners(const Coords& voxels, const std::array<float, 3>& stride, const Matrix& points,
                         bool renormalize) {
  const auto rows = oracle::rows_by_coord(voxels);
  oracle::Mixtures m;
  for (std::size_t i = 0; i < points.rows; ++i) {
    std::array<double, 3> q{};
    for (std::size_t axis = 0; axis < 3; ++axis) q[axis] = static_cast<float>(points.at(i, axis + 1)) / stride[axis];
    oracle::add_corners(m, rows, static_cast<std::int64_t>(points.at(i, 0)), q, renormalize);
  }
  return m;
}

// Points within 1.25 cells of some voxel, in its cloud or another one, some on the lattice.
Matrix points_around(const Coords& voxels, std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  Matrix m = test_data::real(n, 4, seed);
  for (std::size_t i = 0; i < n; ++i) {
    const Coord& c = voxels[random() % voxels.size()];
    m.at(i, 0) = static_cast<double>(i % 7 == 0 ? i % 5 : static_cast<std::size_t>(c[0]));
    for (std::size_t axis = 1; axis < 4; ++axis) {
      const auto x = static_cast<float>(static_cast<double>(c[axis]) + 1.25 * m.at(i, axis));
      m.at(i, axis) = i % 5 == axis ? std::floor(x) : x;
    }
  }
  return m;
}

class InterpolateTest : public DeviceTest {
 protected:
  SparseTensor strided(const Coords& coords, const Matrix& features, const std::array<int, 3>& stride) const {
    SparseTensor::Options options;
    std::copy(stride.begin(), stride.end(), options.stride.begin());
    return tensor(coords, features, options);
  }

  Interpolation interpolation(const std::vector<std::int32_t>& indices, const std::vector<float>& weights,
                              std::int64_t k, std::int64_t rows) const {
    const Shape shape{static_cast<std::int64_t>(indices.size()) / k, k};
    return {Array::from(indices, shape).to(device()), Array::from(weights, shape).to(device()), rows};
  }
};
VOXSHIFT_FOR_EACH_DEVICE(InterpolateTest);

const Coords kCube = {{0, 0, 0, 0}, {0, 0, 0, 1}, {0, 0, 1, 0}, {0, 0, 1, 1},
                      {0, 1, 0, 0}, {0, 1, 0, 1}, {0, 1, 1, 0}, {0, 1, 1, 1}};

TEST_P(InterpolateTest, CornersRunWithZFastest) {
  const SparseTensor cube = tensor(kCube, test_data::whole(8, 1, 1));
  const Interpolation found = trilinear(cube, array({0, 0.5, 0.25, 0.125}, {1, 4}), Trilinear::kRaw);
  EXPECT_EQ(found.rows, 8);
  EXPECT_EQ(found.indices.shape(), (Shape{1, 8}));
  EXPECT_EQ(host<std::int32_t>(found.indices), (std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  std::vector<float> weights;
  for (const float x : {0.5F, 0.5F})
    for (const float y : {0.75F, 0.25F})
      for (const float z : {0.875F, 0.125F}) weights.push_back(x * y * z);
  EXPECT_EQ(host<float>(found.weights), weights);
}

TEST_P(InterpolateTest, MissingCornersRawAndRenormalized) {
  const SparseTensor x = tensor({{0, 0, 0, 0}, {0, 1, 1, 1}}, test_data::whole(2, 1, 1));
  const Array point = array({0, 0.5, 0.5, 0.75}, {1, 4});
  const Interpolation raw = trilinear(x, point, Trilinear::kRaw), renormalized = trilinear(x, point);
  const std::vector<std::int32_t> indices = {0, -1, -1, -1, -1, -1, -1, 1};
  EXPECT_EQ(host<std::int32_t>(raw.indices), indices);
  EXPECT_EQ(host<std::int32_t>(renormalized.indices), indices);
  EXPECT_EQ(host<float>(raw.weights), (std::vector<float>{0.0625F, 0, 0, 0, 0, 0, 0, 0.1875F}));
  oracle::expect_mixtures(host<std::int32_t>(renormalized.indices), host<float>(renormalized.weights),
                          {indices, {0.25, 0, 0, 0, 0, 0, 0, 0.75}});
}

TEST_P(InterpolateTest, TrilinearAgainstTheOracle) {
  const std::vector<std::array<int, 3>> strides = {{1, 1, 1}, {4, 4, 4}, {16, 2, 3}};
  for (const std::size_t n : {1, 300, 9000})
    for (const auto& stride : strides)
      for (const Trilinear mode : {Trilinear::kRaw, Trilinear::kRenormalized}) {
        const Coords voxels = test_data::cloud(3, 900, 1);
        const SparseTensor x = strided(voxels, test_data::real(voxels.size(), 3, 2), stride);
        Matrix points = points_around(voxels, n, 3);
        for (std::size_t i = 0; i < n; ++i)
          for (std::size_t axis = 0; axis < 3; ++axis) points.at(i, axis + 1) *= stride[axis];
        const oracle::Mixtures expected = corners(
            voxels, {static_cast<float>(stride[0]), static_cast<float>(stride[1]), static_cast<float>(stride[2])},
            points, mode == Trilinear::kRenormalized);
        const auto missing = std::count(expected.indices.begin(), expected.indices.end(), -1);
        ASSERT_TRUE(n == 1 || (missing > std::int64_t(n) && missing < 7 * std::int64_t(n)));
        const Interpolation found = trilinear(x, array(points), mode);
        oracle::expect_mixtures(host<std::int32_t>(found.indices), host<float>(found.weights), expected);
        expect_same_bits(devoxelize(x, array(points), mode), interpolate(x.features(), found));
      }
}

TEST_P(InterpolateTest, AllChannelCountsAndWidths) {
  std::mt19937 random(1);
  for (const std::int64_t k : {1, 3, 8})
    for (std::size_t channels = 1; channels <= 67; ++channels) {
      const Matrix in = test_data::whole(50, channels, 2);
      oracle::Mixtures m;
      for (std::int64_t i = 0; i < 90 * k; ++i) {
        m.indices.push_back(static_cast<std::int32_t>(random() % 51) - 1);
        m.weights.push_back(static_cast<double>(random() % 9) / 4 - 1);  // exact, 0 among them
      }
      const std::vector<float> weights(m.weights.begin(), m.weights.end());
      expect_equal(interpolate(array(in), interpolation(m.indices, weights, k, 50)),
                   oracle::mixed(in, m, static_cast<std::size_t>(k)));
    }
}

// An output larger than the caches, whose rows are aligned or not.
TEST_P(InterpolateTest, LargeOutputs) {
  std::mt19937 random(2);
  for (const std::size_t channels : {64, 72, 65}) {
    const std::size_t n = 70000;
    const Matrix in = test_data::whole(300, channels, 3);
    std::vector<std::int32_t> indices(2 * n);
    for (std::int32_t& i : indices) i = static_cast<std::int32_t>(random() % 300);
    const auto out =
        host<float>(interpolate(array(in), interpolation(indices, std::vector<float>(2 * n, 0.5F), 2, 300)));
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t c = 0; c < channels; ++c)
        ASSERT_EQ(out[i * channels + c], (in.at(static_cast<std::size_t>(indices[2 * i]), c) +
                                          in.at(static_cast<std::size_t>(indices[2 * i + 1]), c)) /
                                             2);
  }
}

// Columns of wider rows, as the parts of a concatenation are.
TEST_P(InterpolateTest, ColumnsOfWiderRows) {
  constexpr std::int64_t kWide = 80, kFirst = 16, kChannels = 50;
  std::mt19937 random(3);
  for (const std::int64_t n : {200, 60000}) {
    const Array in = array(test_data::whole(300, 64, 4));
    std::vector<std::int32_t> rows(static_cast<std::size_t>(n));
    for (std::int32_t& row : rows) row = static_cast<std::int32_t>(random() % 300);
    const Interpolation one = interpolation(rows, std::vector<float>(rows.size(), 2.0F), 1, 300);
    Array out = array(std::vector<double>(static_cast<std::size_t>(n * kWide), -1), {n, kWide});
    Arena arena(device());
    const Context context{device(), nullptr, num_threads(), &arena};
    point_voxel_kernels(device()).interpolate(context, rows_of(in).columns(3, kChannels),
                                              one.indices.data<std::int32_t>(), one.weights.data<float>(), 1,
                                              rows_of(out).columns(kFirst, kChannels));
    const auto values = host<float>(out), from = host<float>(in);
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t c = 0; c < kWide; ++c) {
        const bool written = c >= kFirst && c < kFirst + kChannels;
        const auto source = static_cast<std::size_t>(64 * rows[static_cast<std::size_t>(i)] + c - kFirst + 3);
        ASSERT_EQ(values[static_cast<std::size_t>(i * kWide + c)], written ? 2 * from[source] : -1) << i << ", " << c;
      }
  }
}

TEST_P(InterpolateTest, PointsOnTheLatticeTakeTheirVoxel) {
  const Coords voxels = test_data::cloud(3, 2000, 7);
  const SparseTensor x = strided(voxels, test_data::real(voxels.size(), 19, 8), {4, 4, 4});
  Matrix points(voxels.size(), 4);
  for (std::size_t i = 0; i < voxels.size(); ++i)
    for (std::size_t axis = 0; axis < 4; ++axis)
      points.at(i, axis) = static_cast<double>(voxels[i][axis] * (axis == 0 ? 1 : 4));
  for (const Trilinear mode : {Trilinear::kRaw, Trilinear::kRenormalized})
    expect_same_bits(devoxelize(x, array(points), mode), x.features());
}

TEST_P(InterpolateTest, AConstantStaysWhereAnyCornerIs) {
  const Coords voxels = test_data::cloud(3, 400, 9);
  const Matrix ones = oracle::apply(Matrix(voxels.size(), 5), [](double) { return 3.0; });
  const Matrix points = points_around(voxels, 3000, 10);
  const auto values = host<float>(devoxelize(tensor(voxels, ones), array(points)));
  const oracle::Mixtures m = corners(voxels, {1, 1, 1}, points, false);
  std::size_t constant = 0;
  for (std::size_t i = 0; i < points.rows; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < 8; ++j) sum += m.weights[8 * i + j];
    if (sum > 0 && sum < 0.01) continue;  // 1e-8 counts there
    constant += sum > 0;
    for (std::size_t c = 0; c < 5; ++c) ASSERT_NEAR(values[5 * i + c], sum > 0 ? 3.0 : 0.0, 1e-5);
  }
  EXPECT_GT(constant, 1000U);
  EXPECT_LT(constant, 3000U);
}

// On a full lattice, affine functions are their own interpolation.
TEST_P(InterpolateTest, AffineFunctionsStayThemselves) {
  Coords voxels;
  Matrix values(6 * 6 * 6, 1);
  const auto f = [](double x, double y, double z) { return 1 + 2 * x - 3 * y + 0.5 * z; };
  for (int x = -3; x < 3; ++x)
    for (int y = -3; y < 3; ++y)
      for (int z = -3; z < 3; ++z) {
        values.at(voxels.size(), 0) = f(x, y, z);
        voxels.push_back({0, x, y, z});
      }
  Matrix points = test_data::real(500, 4, 11), expected(500, 1);
  for (std::size_t i = 0; i < points.rows; ++i) {
    points.at(i, 0) = 0;
    for (std::size_t axis = 1; axis < 4; ++axis) points.at(i, axis) = static_cast<float>(points.at(i, axis) * 2);
    expected.at(i, 0) = f(points.at(i, 1), points.at(i, 2), points.at(i, 3));
  }
  for (const Trilinear mode : {Trilinear::kRaw, Trilinear::kRenormalized}) {
    const auto found = host<float>(devoxelize(tensor(voxels, values), array(points), mode));
    for (std::size_t i = 0; i < points.rows; ++i) ASSERT_NEAR(found[i], expected.at(i, 0), 1e-5);
  }
}

TEST_P(InterpolateTest, NoPointsNoVoxels) {
  const SparseTensor cube = tensor(kCube, test_data::whole(8, 3, 1));
  const SparseTensor none(array(Coords{}, 3), array(Matrix(0, 3), {0, 3}));
  EXPECT_EQ(devoxelize(cube, array(Matrix(), {0, 4})).shape(), (Shape{0, 3}));
  EXPECT_EQ(devoxelize(none, array(Matrix(), {0, 4})).shape(), (Shape{0, 3}));
  const Array at_nothing = devoxelize(none, array(Matrix(3, 4)));
  expect_equal(at_nothing, Matrix(3, 3));
  EXPECT_EQ(interpolate(array(Matrix(), {0, 3}), interpolation({-1, -1}, {1, 2}, 2, 0)).shape(), (Shape{1, 3}));
  EXPECT_EQ(interpolate(array(Matrix(), {2, 0}), interpolation({0, 1}, {1, 2}, 2, 2)).shape(), (Shape{1, 0}));
}

TEST_P(InterpolateTest, PointsThatHaveNoCorner) {
  const SparseTensor cube = tensor(kCube, test_data::whole(8, 1, 1));
  const std::vector<double> points = {
      kNan, 0, 0, 0,   0,  kNan, 0, 0, 0, 0, kInf, 0, 0,    0, 0, -kInf, -1,           0, 0, 0,    1,
      0,    0, 0, 0.5, 0,  0,    0, 0, 5, 0, 0,    0, 3e38, 0, 0, 0,     -3e38,        0, 0, 3e38, 0,
      0,    0, 0, 0,   -2, 0,    0, 0, 0, 2, kInf, 0, 0,    0, 0, 0,     4294967296.0, 0, 0, 0,    -4294967296.0,
      0};
  const auto n = static_cast<std::int64_t>(points.size() / 4);
  for (const Trilinear mode : {Trilinear::kRaw, Trilinear::kRenormalized}) {
    const Interpolation found = trilinear(cube, array(points, {n, 4}), mode);
    EXPECT_EQ(host<std::int32_t>(found.indices), std::vector<std::int32_t>(points.size() * 2, -1));
    EXPECT_EQ(host<float>(found.weights), std::vector<float>(points.size() * 2, 0));
  }
}

// Points outside of the voxels' box that a packed key could confuse with one inside.
TEST_P(InterpolateTest, PointsBesideTheBox) {
  const SparseTensor x = tensor({{0, 0, 0, 0}, {0, 8, 9, 5}}, test_data::whole(2, 1, 1));
  const Array points = array({0, 8, 9, 5, 0, 8, 8, 21, 0, 7, 41, 5, 0, 8, 10, -11, 0, 9, -23, 5, 1, -24, 9, 5}, {6, 4});
  const auto indices = host<std::int32_t>(trilinear(x, points).indices);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(indices[8 * i], i == 0 ? 1 : -1) << i;
}

// A million metres in cells of 5 cm, and the ends of int32.
TEST_P(InterpolateTest, FarCoordinates) {
  const SparseTensor far = tensor({{0, 0, 0, 0}, {0, 20000000, -20000000, 7}}, test_data::whole(2, 1, 1));
  const Interpolation found = trilinear(
      far, array({0, 20000000, -20000000, 7, 0, 20000000, -20000002, 7, 256, 20000000, -20000000, 7}, {3, 4}));
  const auto indices = host<std::int32_t>(found.indices);
  EXPECT_EQ((std::vector<std::int32_t>{indices[0], indices[8], indices[16]}), (std::vector<std::int32_t>{1, -1, -1}));
  const SparseTensor edge = tensor({{0, 2147483520, 0, -2147483647 - 1}}, test_data::whole(1, 1, 1));
  const auto at_edge = host<std::int32_t>(
      trilinear(edge, array({0, 2147483520, 0, -2147483648.0, 0, 2147483648.0, 0, -2147483648.0}, {2, 4})).indices);
  EXPECT_EQ((std::vector<std::int32_t>{at_edge[0], at_edge[8]}), (std::vector<std::int32_t>{0, -1}));
}

TEST_P(InterpolateTest, RowsOfWeightZeroAddNothing) {
  const Array in = vector({kNan, 2, kInf}).reshaped({3, 1});
  const auto out = host<float>(interpolate(in, interpolation({0, 1, 2, 1, -1, 1}, {0, 1, 0, 3, 5, 7}, 3, 3)));
  EXPECT_EQ(out, (std::vector<float>{2, 20}));
}

TEST_P(InterpolateTest, SameBitsOnAnyNumberOfThreads) {
  const Coords fine = test_data::cloud(3, 9000, 12);
  const Coords coarse = oracle::floor_outputs(fine, test_data::cube(3, 2, 4));
  const SparseTensor x = strided(coarse, test_data::real(coarse.size(), 33, 13), {4, 4, 4});
  const Array points = array(points_around(fine, 9000, 14));
  set_num_threads(1);
  const Array expected = devoxelize(x, points);
  for (const int threads : {1, 2, 3})
    for (int repeat = 0; repeat < 3; ++repeat) {
      set_num_threads(threads);
      expect_same_bits(devoxelize(x, points), expected);
    }
}

TEST_P(InterpolateTest, WrongArgumentsAreRefused) {
  const SparseTensor cube = tensor(kCube, test_data::whole(8, 1, 1));
  expect_throw([&] { trilinear(cube, array(Matrix(2, 3))); }, {"[trilinear]", "points", "[N, 4]", "[2, 3]"});
  expect_throw([&] { trilinear(cube, vector({1, 2, 3, 4})); }, {"[trilinear]", "points", "[4]"});
  expect_throw([&] { devoxelize(cube, Array({2, 4}, DType::kI32, device())); }, {"[trilinear]", "points", "i32"});
  const SparseTensor plane = tensor({{0, 1, 1}}, test_data::whole(1, 1, 1));
  expect_throw([&] { trilinear(plane, array(Matrix(2, 4))); }, {"[trilinear]", "voxels", "3 dimensions", "2"});

  const Array in = array(Matrix(4, 2));
  const auto good = [&] { return interpolation({0, 3, -1, 1}, {1, 1, 1, 1}, 2, 4); };
  EXPECT_EQ(interpolate(in, good()).shape(), (Shape{2, 2}));
  expect_throw([&] { interpolate(array(Matrix(3, 2)), good()); }, {"[interpolate]", "4 rows", "features has 3"});
  expect_throw(
      [&] {
        interpolate(Array({4, 2}, DType::kI32, device()), good());
      },
      {"[interpolate]", "features", "i32"});
  for (const std::int32_t index : {4, -2, 2147483647, -2147483647 - 1}) {
    const Interpolation bad = interpolation({0, 3, index, 1}, {1, 1, 1, 1}, 2, 4);
    expect_throw([&] { interpolate(in, bad); }, {"[interpolate]", "indices", "[-1, 4)", std::to_string(index)});
  }
  Interpolation bad = good();
  bad.weights = array(Matrix(2, 3));
  expect_throw([&] { interpolate(in, bad); }, {"[interpolate]", "weights", "[2, 2]", "[2, 3]"});
  bad.weights = bad.indices;
  expect_throw([&] { interpolate(in, bad); }, {"[interpolate]", "weights", "i32"});
  bad = good();
  bad.indices = bad.weights;
  expect_throw([&] { interpolate(in, bad); }, {"[interpolate]", "indices", "f32"});
  for (const std::int64_t k : {0, 9}) {
    bad.indices = Array({1, k}, DType::kI32, device());
    expect_throw([&] { interpolate(in, bad); }, {"[interpolate]", "indices", "K = 1..8", std::to_string(k)});
  }
}

}  // namespace
}  // namespace voxshift
