// PVCNN's dense grid: coordinates in the cube, means of cells, and mixtures of the cells around a point.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/dense_grid.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Matrix;
using Splits = std::vector<std::int64_t>;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool is_finite(const Matrix& points, std::size_t i) {
  return std::isfinite(points.at(i, 0)) && std::isfinite(points.at(i, 1)) && std::isfinite(points.at(i, 2));
}

// The definition in double.
Matrix grid_coords(const Matrix& points, const Splits& splits, const DenseGridOptions& options) {
  const auto resolution = static_cast<double>(options.resolution);
  Matrix coords(points.rows, 3);
  for (std::size_t b = 0; b + 1 < splits.size(); ++b) {
    const auto first = static_cast<std::size_t>(splits[b]), last = static_cast<std::size_t>(splits[b + 1]);
    std::array<double, 3> mean{};
    double count = 0, furthest = 0;
    for (std::size_t i = first; i < last; ++i)
      if (is_finite(points, i)) {
        for (std::size_t a = 0; a < 3; ++a) mean[a] += points.at(i, a);
        ++count;
      }
    for (double& m : mean) m /= count;
    for (std::size_t i = first; i < last; ++i)
      if (is_finite(points, i))
        furthest = std::max(
            furthest, std::hypot(points.at(i, 0) - mean[0], points.at(i, 1) - mean[1], points.at(i, 2) - mean[2]));
    for (std::size_t i = first; i < last; ++i)
      for (std::size_t a = 0; a < 3; ++a) {
        const double p = points.at(i, a) - mean[a], width = 2 * furthest + options.eps;
        const double unit = options.normalize ? (width > 0 ? p / width : 0) + 0.5 : (p + 1) / 2;
        coords.at(i, a) = is_finite(points, i) ? std::clamp(unit * resolution, 0.0, resolution - 1) : kNan;
      }
  }
  return coords;
}

double half_even(double x) {
  const double low = std::floor(x), rest = x - low;
  return rest > 0.5 || (rest == 0.5 && std::fmod(low, 2) != 0) ? low + 1 : low;
}

std::size_t cell_of(std::size_t cloud, std::size_t resolution, double x, double y, double z) {
  const auto at = [](double c) { return static_cast<std::size_t>(c); };
  return ((cloud * resolution + at(x)) * resolution + at(y)) * resolution + at(z);
}

// [B R^3, C]
Matrix means(const Matrix& features, const Matrix& coords, const Splits& splits, std::size_t resolution) {
  std::vector<std::vector<std::size_t>> members((splits.size() - 1) * resolution * resolution * resolution);
  for (std::size_t b = 0; b + 1 < splits.size(); ++b)
    for (auto i = static_cast<std::size_t>(splits[b]); i < static_cast<std::size_t>(splits[b + 1]); ++i)
      if (is_finite(coords, i))
        members[cell_of(b, resolution, half_even(coords.at(i, 0)), half_even(coords.at(i, 1)),
                        half_even(coords.at(i, 2)))]
            .push_back(i);
  return oracle::pool(features, members, oracle::Pool::kAverage);
}

Matrix mixtures(const Matrix& grid, const Matrix& coords, const Splits& splits, std::size_t resolution) {
  Matrix out(coords.rows, grid.cols);
  for (std::size_t b = 0; b + 1 < splits.size(); ++b)
    for (auto i = static_cast<std::size_t>(splits[b]); i < static_cast<std::size_t>(splits[b + 1]); ++i)
      for (int corner = 0; corner < 8 && is_finite(coords, i); ++corner) {
        double weight = 1;
        std::array<double, 3> c{};
        for (std::size_t a = 0; a < 3; ++a) {
          const bool above = (corner >> a & 1) != 0;
          const double low = std::floor(coords.at(i, a)), fraction = coords.at(i, a) - low;
          c[a] = low + above;
          weight *= above ? fraction : 1 - fraction;
        }
        for (std::size_t k = 0; k < grid.cols && weight > 0; ++k)
          out.at(i, k) += weight * grid.at(cell_of(b, resolution, c[0], c[1], c[2]), k);
      }
  return out;
}

// Float32 coordinates of [0, R - 1]: anywhere, on cells, half way between them; some are NaN.
Matrix coords_in(std::size_t n, std::size_t resolution, unsigned seed) {
  std::mt19937 random(seed);
  Matrix coords(n, 3);
  const auto highest = static_cast<double>(resolution - 1);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t a = 0; a < 3; ++a) {
      const double x = static_cast<float>(highest * static_cast<double>(random() >> 8) / (1 << 24));
      coords.at(i, a) = i % 4 == 0 ? std::floor(x) : i % 4 == 1 ? std::min(std::floor(x) + 0.5, highest) : x;
      if (i % 31 == 30 && a == i % 3) coords.at(i, a) = kNan;
    }
  return coords;
}

class DenseGridTest : public DeviceTest {
 protected:
  PointSet set(const Matrix& points, const Splits& splits) const {
    return {array(points), Array::from(splits, {static_cast<std::int64_t>(splits.size())})};
  }
  PointSet set(const Matrix& points) const { return {array(points), std::nullopt}; }

  static Array rows(const Array& grid) { return grid.reshaped({grid.count() / grid.dim(4), grid.dim(4)}); }

  void expect_coords(const Matrix& points, const Splits& splits, const DenseGridOptions& options) const {
    const Array found = dense_grid_coords(set(points, splits), options);
    ASSERT_EQ(found.shape(), (Shape{static_cast<std::int64_t>(points.rows), 3}));
    const auto values = host<float>(found);
    const Matrix expected = grid_coords(points, splits, options);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(expected.values[i])) {
        ASSERT_TRUE(std::isnan(values[i])) << i;
      } else {
        ASSERT_NEAR(values[i], expected.values[i], 2e-6 * static_cast<double>(options.resolution)) << i;
      }
    }
  }
};
VOXSHIFT_FOR_EACH_DEVICE(DenseGridTest);

const Splits kUnequal = {0, 0, 7, 4000, 4000, 5001};

TEST_P(DenseGridTest, CellsRunWithZFastestPerCloud) {
  const Array grid = voxelize_dense(array({1, 2, 3, 4}, {4, 1}),
                                    set(
                                        [] {
                                          Matrix m(4, 3);
                                          m.values = {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1};
                                          return m;
                                        }(),
                                        {0, 3, 4}),
                                    2);
  EXPECT_EQ(grid.shape(), (Shape{2, 2, 2, 2, 1}));
  EXPECT_EQ(host<float>(grid), (std::vector<float>{0, 3, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4}));
}

TEST_P(DenseGridTest, CoordsAgainstTheOracle) {
  Matrix points = test_data::real(5001, 5, 1);
  for (double& x : points.values) x = static_cast<float>(30 * x);
  for (std::size_t i = 5; i < points.rows; i += 97) points.at(i, i % 3) = i % 2 == 0 ? kNan : -kInf;
  for (const std::int64_t resolution : {1, 2, 13, 32, 256})
    for (const bool normalize : {true, false})
      for (const float eps : {0.0F, 0.5F}) expect_coords(points, kUnequal, {resolution, normalize, eps});
}

TEST_P(DenseGridTest, MeansAndMixturesAgainstTheOracle) {
  for (const std::size_t resolution : {1, 2, 7, 16}) {
    const Matrix coords = coords_in(5001, resolution, 2), features = test_data::whole(5001, 6, 3);
    const Array grid = voxelize_dense(array(features), set(coords, kUnequal), static_cast<std::int64_t>(resolution));
    const Matrix expected = means(features, coords, kUnequal, resolution);
    expect_close(rows(grid), expected);
    expect_close(devoxelize_dense(grid, set(coords, kUnequal)), mixtures(expected, coords, kUnequal, resolution));
  }
}

TEST_P(DenseGridTest, AllChannelCounts) {
  const Matrix coords = coords_in(60, 3, 4);
  for (std::size_t channels = 1; channels <= 67; ++channels) {
    const Matrix features = test_data::whole(60, channels, 5);
    const Array grid = voxelize_dense(array(features), set(coords), 3);
    const Matrix expected = means(features, coords, {0, 60}, 3);
    expect_close(rows(grid), expected);
    expect_close(devoxelize_dense(grid, set(coords)), mixtures(expected, coords, {0, 60}, 3));
  }
}

TEST_P(DenseGridTest, BordersGoToTheEvenCell) {
  Matrix coords(6, 3);
  for (std::size_t i = 0; i < 6; ++i) coords.at(i, 2) = static_cast<double>(i) + (i < 5 ? 0.5 : 0.0);
  const auto grid = host<float>(voxelize_dense(array({1, 2, 3, 4, 5, 6}, {6, 1}), set(coords), 6));
  EXPECT_EQ((std::vector<float>(grid.begin(), grid.begin() + 6)), (std::vector<float>{1, 0, 2.5, 0, 4.5, 6}));
}

TEST_P(DenseGridTest, APointOnACellTakesItsFeatures) {
  const Matrix features = test_data::real(2 * 125, 9, 6);
  Matrix coords(features.rows, 3);
  for (std::size_t i = 0; i < coords.rows; ++i)
    for (std::size_t a = 0, rest = i; a < 3; ++a, rest /= 5) coords.at(i, a) = static_cast<double>(rest % 5);
  const PointSet points = set(coords, {0, 125, 250});
  expect_same_bits(devoxelize_dense(voxelize_dense(array(features), points, 5), points), array(features));
}

TEST_P(DenseGridTest, AConstantStays) {
  const Array grid = array(std::vector<double>(512 * 3, 2.5), {1, 8, 8, 8, 3});
  const auto values = host<float>(devoxelize_dense(grid, set(coords_in(30, 8, 7))));
  for (const float x : values) EXPECT_NEAR(x, 2.5, 1e-6);
}

TEST_P(DenseGridTest, MovedAndScaledCloudsHaveTheSameCoords) {
  Matrix points = test_data::whole(256, 3, 8), moved = points;
  for (double& x : moved.values) x = 4 * x + 1024;
  expect_same_bits(dense_grid_coords(set(moved), {}), dense_grid_coords(set(points), {}));
}

TEST_P(DenseGridTest, EqualPointsLieInTheCentre) {
  for (const double place : {0.0, -7.3, 1e6}) {
    const Matrix points = oracle::apply(Matrix(1000, 3), [&](double) { return place; });
    for (const bool normalize : {true, false}) {
      EXPECT_EQ(host<float>(dense_grid_coords(set(points), {32, normalize, 0})), std::vector<float>(3000, 16));
      EXPECT_EQ(host<float>(dense_grid_coords(set(points), {1, normalize, 0})), std::vector<float>(3000, 0));
    }
  }
}

TEST_P(DenseGridTest, CoordinatesOfAMillionMetres) {
  Matrix points = test_data::real(800, 3, 9);
  for (double& x : points.values) x = static_cast<float>(1e6 + 10 * x);
  const Array coords = dense_grid_coords(set(points), {});
  for (const float c : host<float>(coords)) {
    EXPECT_GE(c, 0);
    EXPECT_LE(c, 31);
  }
  const Matrix in = oracle::apply(Matrix(800, 2), [](double) { return 1.0; });
  const Array back = devoxelize_dense(voxelize_dense(array(in), {coords, std::nullopt}, 32), {coords, std::nullopt});
  EXPECT_EQ(back.shape(), (Shape{800, 2}));
}

TEST_P(DenseGridTest, NoPoints) {
  for (const Splits& splits : {Splits{0, 0}, Splits{0, 0, 0}}) {
    const std::int64_t clouds = static_cast<std::int64_t>(splits.size()) - 1;
    const PointSet none{array(Matrix(), {0, 3}), Array::from(splits, {clouds + 1})};
    EXPECT_EQ(dense_grid_coords(none, {}).shape(), (Shape{0, 3}));
    const Array grid = voxelize_dense(array(Matrix(), {0, 4}), none, 3);
    EXPECT_EQ(grid.shape(), (Shape{clouds, 3, 3, 3, 4}));
    EXPECT_EQ(host<float>(grid), std::vector<float>(static_cast<std::size_t>(clouds) * 108, 0));
    EXPECT_EQ(devoxelize_dense(grid, none).shape(), (Shape{0, 4}));
  }
}

TEST_P(DenseGridTest, PointsThatAreNotFiniteTakeNoPart) {
  Matrix points = test_data::real(300, 3, 10), with = points;
  for (const double bad : {kNan, kInf, -kInf}) {
    with.values.insert(with.values.end(), {0.5, bad, 0.25});
    ++with.rows;
  }
  const Array coords = dense_grid_coords(set(points), {}), with_coords = dense_grid_coords(set(with), {});
  auto kept = host<float>(with_coords);
  for (std::size_t i = 900; i < 909; ++i) EXPECT_TRUE(std::isnan(kept[i]));
  kept.resize(900);
  EXPECT_EQ(kept, host<float>(coords));
  const Matrix features = test_data::whole(303, 2, 11);
  const Array grid = voxelize_dense(array(features), {with_coords, std::nullopt}, 32);
  Matrix first(300, 2);
  std::copy_n(features.values.begin(), 600, first.values.begin());
  expect_same_bits(grid, voxelize_dense(array(first), {coords, std::nullopt}, 32));
  const auto out = host<float>(devoxelize_dense(grid, {with_coords, std::nullopt}));
  EXPECT_EQ(std::vector<float>(out.end() - 6, out.end()), std::vector<float>(6, 0));
}

TEST_P(DenseGridTest, SameBitsOnAnyNumberOfThreads) {
  const Matrix points = test_data::real(5001, 3, 12), features = test_data::real(5001, 35, 13);
  const auto run = [&] {
    const Array coords = dense_grid_coords(set(points, kUnequal), {16, true, 0});
    const PointSet at{coords, set(points, kUnequal).row_splits};
    const Array grid = voxelize_dense(array(features), at, 16);
    return std::array<Array, 3>{coords, grid, devoxelize_dense(grid, at)};
  };
  set_num_threads(1);
  const auto expected = run();
  for (const int threads : {1, 2, 3})
    for (int repeat = 0; repeat < 3; ++repeat) {
      set_num_threads(threads);
      const auto again = run();
      for (std::size_t i = 0; i < expected.size(); ++i) expect_same_bits(again[i], expected[i]);
    }
}

TEST_P(DenseGridTest, WrongArgumentsAreRefused) {
  const PointSet points = set(Matrix(4, 3));
  const Array features = array(Matrix(4, 2));
  for (const std::int64_t resolution : {-1, 0, 257}) {
    const auto found = std::to_string(resolution);
    expect_throw([&] { dense_grid_coords(points, {resolution, true, 0}); }, {"[dense_grid_coords]", "1..256", found});
    expect_throw([&] { voxelize_dense(features, points, resolution); }, {"[voxelize_dense]", "resolution", found});
  }
  for (const float eps : {-1.0F, std::nanf(""), static_cast<float>(kInf)})
    expect_throw([&] { dense_grid_coords(points, {32, true, eps}); }, {"[dense_grid_coords]", "eps"});
  expect_throw([&] { dense_grid_coords({vector({1, 2, 3}), {}}, {}); }, {"[dense_grid_coords]", "points", "[3]"});
  expect_throw([&] { dense_grid_coords(set(Matrix(4, 3), {0, 5}), {}); }, {"[dense_grid_coords]", "row_splits"});

  const Splits many(130, 0);
  const PointSet too_many{array(Matrix(), {0, 3}), Array::from(many, {130})};
  expect_throw(
      [&] {
        voxelize_dense(array(Matrix(), {0, 2}), too_many, 256);
      },
      {"[voxelize_dense]", "129 clouds", "256^3", "2^31 - 1"});

  for (const double bad : {-0.1, 2.1, kInf, -kInf}) {
    Matrix coords(4, 3);
    coords.at(2, 1) = bad;
    expect_throw([&] { voxelize_dense(features, set(coords), 3); }, {"[voxelize_dense]", "coords", "[0, 2]"});
    expect_throw(
        [&] {
          devoxelize_dense(array(Matrix(27, 2), {1, 3, 3, 3, 2}), set(coords));
        },
        {"[devoxelize_dense]", "coords", "[0, 2]"});
  }
  expect_throw([&] { voxelize_dense(array(Matrix(3, 2)), points, 3); }, {"[voxelize_dense]", "features", "[4, C]"});
  expect_throw(
      [&] {
        voxelize_dense(Array({4, 2}, DType::kI32, device()), points, 3);
      },
      {"[voxelize_dense]", "features", "i32"});
  expect_throw([&] { voxelize_dense(features, set(Matrix(4, 4)), 3); }, {"[voxelize_dense]", "coords", "[4, 4]"});

  const Array grid = array(Matrix(27, 2), {1, 3, 3, 3, 2});
  expect_throw(
      [&] {
        devoxelize_dense(grid, set(Matrix(4, 3), {0, 2, 4}));
      },
      {"[devoxelize_dense]", "grid has 1 clouds", "coords has 2"});
  expect_throw(
      [&] {
        devoxelize_dense(grid.reshaped({1, 3, 9, 1, 2}), points);
      },
      {"[devoxelize_dense]", "grid", "[B, R, R, R, C]", "[1, 3, 9, 1, 2]"});
  expect_throw([&] { devoxelize_dense(grid.reshaped({27, 2}), points); }, {"[devoxelize_dense]", "grid", "[27, 2]"});
  expect_throw(
      [&] {
        devoxelize_dense(Array({1, 3, 3, 3, 2}, DType::kI32, device()), points);
      },
      {"[devoxelize_dense]", "grid", "i32"});
}

}  // namespace
}  // namespace voxshift
