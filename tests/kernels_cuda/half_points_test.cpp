// Voxelising, mixing and picking rows of halves, and their gradients, against plain loops in double on the same rounded
// numbers. Sums of whole numbers and of quarters of them are exact in f32, so results are the rounded ones bit by bit.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/dense_grid.h>
#include <voxshift/point_voxel/group.h>
#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/point_voxel/voxelize.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "half_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coords;
using oracle::Matrix;
using Rows = std::vector<std::int32_t>;

constexpr DType kHalves[] = {DType::kF16, DType::kBF16};
constexpr std::size_t kChannels[] = {1, 2, 7, 8, 16, 21};  // packs of one, two and eight, and none

// n rows of [0, rows), and -1.
Rows picked(std::size_t n, std::size_t rows, std::uint64_t seed) {
  const Matrix m = test_data::real(n, 1, seed);
  Rows result;
  for (const double x : m.values) {
    const auto row = static_cast<std::int32_t>(std::abs(x) * 1e5) % static_cast<std::int32_t>(rows + 1);
    result.push_back(row - 1);
  }
  return result;
}

/// Rows `of` times the weights `by`, added into rows `to`; -1 on either side is none.
Matrix spread(const Matrix& from, const Rows& of, const Rows& to, const std::vector<double>& by, std::size_t rows) {
  Matrix out(rows, from.cols);
  for (std::size_t e = 0; e < of.size(); ++e)
    for (std::size_t c = 0; c < from.cols && of[e] >= 0 && to[e] >= 0; ++c)
      out.at(static_cast<std::size_t>(to[e]), c) += by[e] * from.at(static_cast<std::size_t>(of[e]), c);
  return out;
}

// 0, 0, .. 1, 1, .. `each` times
Rows repeated(std::size_t n, std::size_t each) {
  Rows rows;
  for (std::size_t e = 0; e < n * each; ++e) rows.push_back(static_cast<std::int32_t>(e / each));
  return rows;
}

struct Mixture {
  Rows indices;
  std::vector<double> weights;  // quarters

  Mixture(std::size_t n, std::size_t k, std::size_t rows)
      : indices(picked(n * k, rows, 3)), weights(test_data::whole(n * k, 1, 4).values) {
    for (double& w : weights) w /= 4;
  }
};

class HalfPointsTest : public HalfTest {
 protected:
  Array rows_at(const Rows& rows, const Shape& shape) const { return Array::from(rows, shape).to(device()); }
  Array rows_at(const Rows& rows) const { return rows_at(rows, {static_cast<std::int64_t>(rows.size())}); }

  Interpolation interpolation(const Mixture& m, std::size_t k, std::size_t rows) const {
    const Shape shape{static_cast<std::int64_t>(m.indices.size() / k), static_cast<std::int64_t>(k)};
    return {rows_at(m.indices, shape), vector(m.weights).reshaped(shape), static_cast<std::int64_t>(rows)};
  }

  // Half a unit in the last place, and what f32 loses of numbers below 8.
  void expect_near(const Array& actual, const Matrix& expected, DType dtype) const {
    ASSERT_EQ(actual.dtype(), dtype);
    ASSERT_EQ(actual.count(), static_cast<std::int64_t>(expected.values.size()));
    const Matrix found = numbers(actual);
    const double unit = dtype == DType::kF16 ? 0x1p-11 : 0x1p-8;
    for (std::size_t i = 0; i < found.values.size(); ++i)
      ASSERT_NEAR(found.values[i], expected.values[i], unit * std::abs(expected.values[i]) + 4e-6) << "number " << i;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, HalfPointsTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(HalfPointsTest, MixturesAndTheirGradient) {
  constexpr std::size_t kRows = 23, kPoints = 150;
  for (const DType dtype : kHalves)
    for (const std::size_t k : {1, 3, 8})
      for (const std::size_t channels : kChannels) {
        SCOPED_TRACE(std::to_string(k) + " of " + std::to_string(channels) + " channels, " + name(dtype));
        const Mixture m(kPoints, k, kRows);
        const Interpolation mixture = interpolation(m, k, kRows);
        const Matrix in = test_data::whole(kRows, channels, 1), grad = test_data::whole(kPoints, channels, 2);
        const Rows points = repeated(kPoints, k);
        expect_numbers(interpolate(converted(array(in), dtype), mixture),
                       spread(in, m.indices, points, m.weights, kPoints), dtype);
        expect_numbers(interpolate_backward(mixture, converted(array(grad), dtype)),
                       spread(grad, points, m.indices, m.weights, kRows), dtype);
      }
}

// More than a half can count to, and where its steps are more than what is added.
TEST_P(HalfPointsTest, SumsAreWide) {
  constexpr std::size_t kPoints = 3001;
  for (const DType dtype : kHalves) {
    Matrix ones(kPoints, 3), sums(2, 3);
    std::fill(ones.values.begin(), ones.values.end(), 1.0);
    for (std::size_t c = 0; c < 3; ++c) sums.at(1, c) = kPoints;
    const Array grad = converted(array(ones), dtype), rows = rows_at(Rows(kPoints, 1));
    const Interpolation all{rows.reshaped({kPoints, 1}), vector(std::vector<double>(kPoints, 1)).reshaped({kPoints, 1}),
                            2};
    expect_numbers(interpolate_backward(all, grad), sums, dtype);
    expect_numbers(gather_backward(rows, grad, 2), sums, dtype);
    expect_numbers(voxelize_features(grad, rows, 2, Reduce::kSum), sums, dtype);
    for (double& sum : sums.values) sum = sum > 0 ? 1 : 0;
    expect_numbers(voxelize_features(grad, rows, 2, Reduce::kMean), sums, dtype);
  }
}

TEST_P(HalfPointsTest, PickedRowsAndTheirGradient) {
  constexpr std::size_t kRows = 19, kPicked = 120;
  const Rows rows = picked(kPicked, kRows, 5), own = repeated(kPicked, 1);
  const std::vector<double> ones(kPicked, 1);
  for (const DType dtype : kHalves)
    for (const std::size_t channels : kChannels) {
      SCOPED_TRACE(std::to_string(channels) + " channels, " + name(dtype));
      const Matrix in = test_data::whole(kRows, channels, 6), grad = test_data::whole(kPicked, channels, 7);
      const Array x = converted(array(in), dtype), g = converted(array(grad), dtype);
      const auto width = static_cast<std::int64_t>(channels);
      for (const Shape& shape : {Shape{120}, Shape{40, 3}}) {
        Shape whole = shape;
        whole.push_back(width);
        const Array indices = rows_at(rows, shape), found = gather(x, indices);
        EXPECT_EQ(found.shape(), whole);
        expect_numbers(found, spread(in, rows, own, ones, kPicked), dtype);
        expect_numbers(gather_backward(indices, g.reshaped(whole), kRows), spread(grad, own, rows, ones, kRows), dtype);
      }
    }
}

TEST_P(HalfPointsTest, FeaturesOfVoxelsAndTheirGradient) {
  constexpr std::size_t kPoints = 140, kVoxels = 31;
  const Rows inverse = picked(kPoints, kVoxels - 2, 8);  // the last voxels are empty
  std::vector<std::vector<std::size_t>> voxels(kVoxels);
  for (std::size_t i = 0; i < kPoints; ++i)
    if (inverse[i] >= 0) voxels[static_cast<std::size_t>(inverse[i])].push_back(i);
  for (const DType dtype : kHalves)
    for (const std::size_t channels : kChannels)
      for (const Reduce reduce : {Reduce::kFirst, Reduce::kMean, Reduce::kMax, Reduce::kSum}) {
        SCOPED_TRACE(std::to_string(channels) + " channels, " + name(dtype));
        const Matrix in = test_data::whole(kPoints, channels, 9), grad = test_data::whole(kVoxels, channels, 10);
        Matrix out(kVoxels, channels), back(kPoints, channels);
        for (std::size_t v = 0; v < kVoxels; ++v)
          for (std::size_t c = 0; c < channels && !voxels[v].empty(); ++c) {
            std::size_t winner = voxels[v][0];
            double sum = 0;
            for (const std::size_t i : voxels[v]) {
              if (reduce == Reduce::kMax && in.at(i, c) > in.at(winner, c)) winner = i;
              sum += in.at(i, c);
            }
            const bool sums = reduce == Reduce::kMean || reduce == Reduce::kSum;
            const double share = reduce == Reduce::kMean ? 1.0 / static_cast<double>(voxels[v].size()) : 1;
            out.at(v, c) = sums ? sum * share : in.at(winner, c);
            for (const std::size_t i : voxels[v]) back.at(i, c) = sums || i == winner ? share * grad.at(v, c) : 0;
          }
        const Array x = converted(array(in), dtype), g = converted(array(grad), dtype), rows = rows_at(inverse);
        const Array found = voxelize_features(x, rows, kVoxels, reduce);
        const Array gradient = voxelize_features_backward(x, rows, g, reduce);
        if (reduce == Reduce::kMean) {
          expect_near(found, out, dtype);
          expect_near(gradient, back, dtype);
        } else {
          expect_numbers(found, out, dtype);
          expect_numbers(gradient, back, dtype);
        }
      }
}

// The corners and weights are those of f32; the mixture is of halves.
TEST_P(HalfPointsTest, FeaturesOfVoxelsAtPoints) {
  const Coords coords = test_data::cloud(3, 200, 11);
  Matrix places(60, 4);
  for (std::size_t i = 0; i < 60; ++i) {
    places.at(i, 0) = coords[i][0];
    for (std::size_t a = 1; a < 4; ++a) places.at(i, a) = coords[i][a] + 0.25 * static_cast<double>((i * a) % 4);
  }
  const Array points = array(places);
  for (const DType dtype : kHalves) {
    const Matrix in = rounded(test_data::real(200, 9, 12), dtype), grad = rounded(test_data::real(60, 9, 13), dtype);
    const SparseTensor x(array(coords, 3), converted(array(in), dtype));
    const Interpolation corners = trilinear(x.coordinates(), points);
    const Rows rows = host<std::int32_t>(corners.indices), own = repeated(60, 8);
    std::vector<double> weights;
    for (const float w : host<float>(corners.weights)) weights.push_back(w);
    expect_near(devoxelize(x, points), spread(in, rows, own, weights, 60), dtype);
    expect_near(devoxelize_backward(x.coordinates(), points, converted(array(grad), dtype)),
                spread(grad, own, rows, weights, 200), dtype);
  }
}

// Coordinates are quarters, so that weights and sums are exact.
TEST_P(HalfPointsTest, DenseGridsAndTheirGradient) {
  constexpr std::size_t kPoints = 130, kSide = 4, kCells = kSide * kSide * kSide, kWidth = 9;
  Matrix places = test_data::whole(kPoints, 3, 17);
  for (double& x : places.values) x = std::fmod(std::abs(x) * 1.25, 3.25);
  Rows cell(kPoints), corners, points = repeated(kPoints, 8);
  std::vector<double> weights, shares;
  for (std::size_t i = 0; i < kPoints; ++i) {
    std::size_t nearest = 0;
    for (std::size_t a = 0; a < 3; ++a)
      nearest = nearest * kSide + static_cast<std::size_t>(std::nearbyint(places.at(i, a)));
    cell[i] = static_cast<std::int32_t>(nearest);
    for (std::size_t corner = 0; corner < 8; ++corner) {
      double weight = 1;
      std::size_t at = 0;
      for (std::size_t a = 0; a < 3; ++a) {
        const double low = std::floor(places.at(i, a)), part = places.at(i, a) - low;
        const bool above = (corner >> a & 1) != 0;
        weight *= above ? part : 1 - part;
        at = at * kSide + std::min(static_cast<std::size_t>(low) + above, kSide - 1);
      }
      corners.push_back(static_cast<std::int32_t>(at));
      weights.push_back(weight);
    }
  }
  for (std::size_t i = 0; i < kPoints; ++i)
    shares.push_back(1.0 / static_cast<double>(std::count(cell.begin(), cell.end(), cell[i])));
  const Shape shape{1, kSide, kSide, kSide, kWidth};
  const PointSet coords{array(places), std::nullopt};
  const Rows own = repeated(kPoints, 1);
  for (const DType dtype : kHalves) {
    const Matrix rows = test_data::whole(kPoints, kWidth, 18), grid = test_data::whole(kCells, kWidth, 19);
    const Array x = converted(array(rows), dtype), g = converted(array(grid), dtype).reshaped(shape);
    expect_near(voxelize_dense(x, coords, kSide), spread(rows, own, cell, shares, kCells), dtype);
    expect_near(voxelize_dense_backward(coords, g), spread(grid, cell, own, shares, kPoints), dtype);
    expect_numbers(devoxelize_dense(g, coords), spread(grid, corners, points, weights, kPoints), dtype);
    expect_numbers(devoxelize_dense_backward(coords, x, kSide), spread(rows, points, corners, weights, kCells), dtype);
  }
}

TEST_P(HalfPointsTest, Nothing) {
  for (const DType dtype : kHalves) {
    const Array none({0, 3}, dtype, device()), some = converted(array(test_data::whole(4, 3, 1)), dtype);
    expect_numbers(gather(some, rows_at({})), Matrix(0, 3), dtype);
    expect_numbers(gather_backward(rows_at({}), none, 2), Matrix(2, 3), dtype);
    expect_numbers(voxelize_features(none, rows_at({}), 2, Reduce::kMean), Matrix(2, 3), dtype);
    expect_numbers(interpolate_backward({rows_at({}, {0, 3}), Array({0, 3}, DType::kF32, device()), 2}, none),
                   Matrix(2, 3), dtype);
  }
}

TEST_P(HalfPointsTest, TheSameBitsOnEveryRun) {
  constexpr std::size_t kRows = 40, kPoints = 1500;
  const Mixture m(kPoints, 3, kRows);
  for (const DType dtype : kHalves) {
    const Interpolation mixture = interpolation(m, 3, kRows);
    const Array x = converted(array(test_data::real(kRows, 6, 14)), dtype);
    const Array points = converted(array(test_data::real(kPoints, 6, 15)), dtype);
    const Array rows = rows_at(picked(kPoints, kRows, 16));
    const auto run = [&] {
      return std::vector<Array>{interpolate(x, mixture), interpolate_backward(mixture, points),
                                gather_backward(rows, points, kRows),
                                voxelize_features(points, rows, kRows, Reduce::kMean),
                                voxelize_features_backward(points, rows, x, Reduce::kMax)};
    };
    const auto first = run();
    for (int again = 1; again < 10; ++again) {
      const auto results = run();
      for (std::size_t i = 0; i < results.size(); ++i) expect_same_bits(results[i], first[i]);
    }
  }
}

TEST_P(HalfPointsTest, Errors) {
  const Array x = half(test_data::whole(4, 3, 1)), bytes({4, 3}, DType::kI8, device()), rows = rows_at({0, 1, -1, 3});
  const Interpolation mixture{rows.reshaped({4, 1}), vector({1, 1, 1, 1}).reshaped({4, 1}), 4};
  expect_throw([&] { interpolate(bytes, mixture); },
               {"[interpolate] features expects f32, f16 or bf16 [4, C], found i8 [4, 3]"});
  expect_throw([&] { interpolate_backward(mixture, bytes); },
               {"[interpolate_backward] grad expects f32, f16 or bf16 [4, C], found i8 [4, 3]"});
  expect_throw([&] { gather(bytes, rows); }, {"[gather] features expects f32, f16 or bf16 [N, C], found i8 [4, 3]"});
  expect_throw([&] { gather_backward(rows, bytes, 4); },
               {"[gather_backward] grad expects f32, f16 or bf16 [4, C], found i8 [4, 3]"});
  expect_throw([&] { voxelize_features(bytes, rows, 4); },
               {"[voxelize_features] features expects f32, f16 or bf16 [N, C], found i8 [4, 3]"});
  expect_throw([&] { voxelize_features_backward(std::nullopt, rows, bytes); },
               {"[voxelize_features_backward] grad expects f32, f16 or bf16 [voxels, C], found i8 [4, 3]"});
  expect_throw([&] { voxelize_features_backward(array(Matrix(4, 3)), rows, x, Reduce::kMax); },
               {"[voxelize_features_backward] features expects f16 [4, 3], found f32 [4, 3]"});
}

TEST(HalfPointsCpuTest, TakesF32Alone) {
  const Array x({2, 3}, DType::kF16), rows = Array::from(Rows{0, 1}, {2});
  const Interpolation mixture{rows.reshaped({2, 1}), Array::from(std::vector<float>{1, 1}, {2, 1}), 2};
  expect_throw([&] { interpolate(x, mixture); }, {"[interpolate] features expects f32 [2, C], found f16 [2, 3]"});
  expect_throw([&] { interpolate_backward(mixture, x); },
               {"[interpolate_backward] grad expects f32 [2, C], found f16 [2, 3]"});
  expect_throw([&] { gather(x, rows); }, {"[gather] features expects f32 [N, C], found f16 [2, 3]"});
  expect_throw([&] { gather_backward(rows, x, 2); }, {"[gather_backward] grad expects f32 [2, C], found f16 [2, 3]"});
  expect_throw([&] { voxelize_features(x, rows, 2); },
               {"[voxelize_features] features expects f32 [N, C], found f16 [2, 3]"});
  expect_throw([&] { voxelize_features_backward(std::nullopt, rows, x); },
               {"[voxelize_features_backward] grad expects f32 [voxels, C], found f16 [2, 3]"});
  const PointSet coords{Array::from(std::vector<float>(6), {2, 3}), std::nullopt};
  expect_throw([&] { voxelize_dense(x, coords, 2); },
               {"[voxelize_dense] features expects f32 [2, C], found f16 [2, 3]"});
  expect_throw(
      [&] {
        devoxelize_dense(Array({1, 2, 2, 2, 3}, DType::kF16), coords);
      },
      {"[devoxelize_dense] grid expects f32 [B, R, R, R, C], found f16"});
}

}  // namespace
}  // namespace voxshift
