// Gradients of what carries features between points and voxels: reductions by voxel, mixtures of rows, picked rows.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/dense_grid.h>
#include <voxshift/point_voxel/group.h>
#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/point_voxel/voxelize.h>

#include <cmath>
#include <limits>
#include <random>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Matrix;
using Indices = std::vector<std::int32_t>;

constexpr Reduce kReductions[] = {Reduce::kFirst, Reduce::kSum, Reduce::kMean, Reduce::kMax};

Matrix matrix_of(const Array& a) {
  const std::int64_t cols = a.shape().back();
  Matrix m(static_cast<std::size_t>(cols > 0 ? a.count() / cols : 0), static_cast<std::size_t>(cols));
  const auto values = host<float>(a);
  m.values.assign(values.begin(), values.end());
  return m;
}

/// One in eight is -1.
Indices random_indices(std::size_t count, std::size_t rows, unsigned seed) {
  std::mt19937 random(seed);
  Indices result(count, -1);
  for (std::int32_t& i : result)
    if (random() % 8 != 0) i = static_cast<std::int32_t>(random() % rows);
  return result;
}

// grad_in[i] of out[segment[i]] = reduction of in
Matrix reduce_gradient(const Matrix& in, const Indices& segment, const Matrix& grad, Reduce reduce) {
  std::vector<std::vector<std::size_t>> members(grad.rows);
  for (std::size_t i = 0; i < in.rows; ++i)
    if (segment[i] >= 0) members[static_cast<std::size_t>(segment[i])].push_back(i);
  Matrix gradient(in.rows, in.cols);
  for (std::size_t s = 0; s < members.size(); ++s)
    for (std::size_t c = 0; c < in.cols && !members[s].empty(); ++c) {
      std::size_t most = members[s][0];
      for (const std::size_t i : members[s]) {
        if (in.at(i, c) > in.at(most, c)) most = i;
        if (reduce == Reduce::kSum) gradient.at(i, c) = grad.at(s, c);
        if (reduce == Reduce::kMean) gradient.at(i, c) = grad.at(s, c) / static_cast<double>(members[s].size());
      }
      if (reduce == Reduce::kFirst) gradient.at(members[s][0], c) = grad.at(s, c);
      if (reduce == Reduce::kMax) gradient.at(most, c) = grad.at(s, c);
    }
  return gradient;
}

// grad_in[indices[i, j]] += weights[i, j] * grad[i]
Matrix mixture_gradient(const Indices& indices, const std::vector<double>& weights, const Matrix& grad,
                        std::size_t rows) {
  Matrix gradient(rows, grad.cols);
  const std::size_t k = grad.rows > 0 ? indices.size() / grad.rows : 1;
  for (std::size_t e = 0; e < indices.size(); ++e)
    for (std::size_t c = 0; c < grad.cols && indices[e] >= 0; ++c)
      gradient.at(static_cast<std::size_t>(indices[e]), c) += weights[e] * grad.at(e / k, c);
  return gradient;
}

class PointVoxelBackwardTest : public DeviceTest {
 protected:
  Array rows(const Indices& values, Shape shape) const { return Array::from(values, std::move(shape)).to(device()); }
  Array rows(const Indices& values) const { return rows(values, {static_cast<std::int64_t>(values.size())}); }

  Interpolation interpolation(const Indices& indices, const std::vector<double>& weights, std::int64_t k,
                              std::int64_t count) const {
    const Shape shape{static_cast<std::int64_t>(indices.size()) / k, k};
    return {rows(indices, shape), array(weights, shape), count};
  }

  // Points f32 [n, 4] in and around the voxels of a cloud.
  Array points_in(const oracle::Coords& voxels, std::size_t n, unsigned seed) const {
    std::mt19937 random(seed);
    Matrix m = test_data::real(n, 4, seed);
    for (std::size_t i = 0; i < n; ++i) {
      const oracle::Coord& c = voxels[random() % voxels.size()];
      m.at(i, 0) = static_cast<double>(c[0]);
      for (std::size_t axis = 1; axis < 4; ++axis)
        m.at(i, axis) = static_cast<float>(static_cast<double>(c[axis]) + 1.25 * m.at(i, axis));
    }
    return array(m);
  }

  // <grad, forward(in)> = <gradient, in>
  static void expect_adjoint(const Matrix& in, const Array& out, const Matrix& grad, const Array& gradient) {
    const Matrix result = matrix_of(out);
    ASSERT_NEAR(oracle::dot(matrix_of(gradient), in), oracle::dot(grad, result),
                1e-5 * std::sqrt(oracle::dot(grad, grad) * oracle::dot(result, result)));
  }
};
VOXSHIFT_FOR_EACH_DEVICE(PointVoxelBackwardTest);

TEST_P(PointVoxelBackwardTest, Reductions) {
  const auto channel_counts = {1, 2, 3, 4, 7, 16, 33, 67};
  for (const std::size_t n : {1, 900, 5000})
    for (const std::size_t channels : channel_counts) {
      const std::size_t voxels = 900;
      const Matrix in = test_data::whole(n, channels, 1), grad = test_data::whole(voxels, channels, 2);
      const Indices inverse = random_indices(n, voxels - 100, 3);
      for (const Reduce reduce : kReductions) {
        const Matrix expected = reduce_gradient(in, inverse, grad, reduce);
        const Array found = voxelize_features_backward(array(in), rows(inverse), array(grad), reduce);
        if (reduce == Reduce::kMean) {
          expect_close(found, expected);
        } else {
          expect_equal(found, expected);
        }
      }
    }
}

TEST_P(PointVoxelBackwardTest, AllChannelCountsOfAMaximum) {
  const Indices inverse = random_indices(90, 20, 4);
  for (std::size_t channels = 1; channels <= 67; ++channels) {
    const Matrix in = test_data::whole(90, channels, 5), grad = test_data::whole(20, channels, 6);
    expect_equal(voxelize_features_backward(array(in), rows(inverse), array(grad), Reduce::kMax),
                 reduce_gradient(in, inverse, grad, Reduce::kMax));
  }
}

TEST_P(PointVoxelBackwardTest, OnlyAMaximumNeedsTheFeatures) {
  const Matrix in = test_data::real(300, 5, 7), grad = test_data::real(40, 5, 8);
  const Indices inverse = random_indices(300, 40, 9);
  for (const Reduce reduce : {Reduce::kFirst, Reduce::kSum, Reduce::kMean})
    expect_same_bits(voxelize_features_backward({}, rows(inverse), array(grad), reduce),
                     voxelize_features_backward(array(in), rows(inverse), array(grad), reduce));
  expect_throw([&] { voxelize_features_backward({}, rows(inverse), array(grad), Reduce::kMax); },
               {"[voxelize_features_backward]", "needs the features"});
}

TEST_P(PointVoxelBackwardTest, OfEqualMaximaTheLowestRowHasIt) {
  const Array in = array(std::vector<double>{1, 5, 5, 2, 2, 2, 9}, {7, 1});
  EXPECT_EQ(host<float>(voxelize_features_backward(in, rows({0, 0, 0, 1, 1, 1, -1}),
                                                   array(std::vector<double>{3, 4, 8}, {3, 1}), Reduce::kMax)),
            (std::vector<float>{0, 3, 0, 4, 0, 0, 0}));
}

TEST_P(PointVoxelBackwardTest, ReductionsAgreeWithDifferences) {
  constexpr double kStep = 1e-6;
  const Matrix in = test_data::real(30, 2, 10), grad = test_data::real(8, 2, 11);
  const Indices inverse = random_indices(30, 8, 12);
  std::vector<std::vector<std::size_t>> members(8);
  for (std::size_t i = 0; i < 30; ++i)
    if (inverse[i] >= 0) members[static_cast<std::size_t>(inverse[i])].push_back(i);
  for (const auto& [reduce, kind] :
       {std::pair(Reduce::kMax, oracle::Pool::kMax), std::pair(Reduce::kMean, oracle::Pool::kAverage),
        std::pair(Reduce::kSum, oracle::Pool::kSum)}) {
    const auto found = host<float>(voxelize_features_backward(array(in), rows(inverse), array(grad), reduce));
    for (std::size_t i = 0; i < in.values.size(); ++i) {
      Matrix above = in, below = in;
      above.values[i] += kStep;
      below.values[i] -= kStep;
      const double change =
          oracle::dot(grad, oracle::pool(above, members, kind)) - oracle::dot(grad, oracle::pool(below, members, kind));
      ASSERT_NEAR(found[i], change / (2 * kStep), 1e-5) << "value " << i;
    }
  }
}

TEST_P(PointVoxelBackwardTest, MixturesOfAllWidthsAndChannelCounts) {
  std::mt19937 random(1);
  for (const std::size_t k : {1, 3, 8})
    for (std::size_t channels = 1; channels <= 67; ++channels) {
      const Matrix in = test_data::whole(50, channels, 2), grad = test_data::whole(90, channels, 3);
      const Indices indices = random_indices(90 * k, 45, static_cast<unsigned>(channels));  // 5 rows are in no mixture
      std::vector<double> weights(90 * k);
      for (double& w : weights) w = static_cast<double>(random() % 9) / 4 - 1;  // exact, 0 among them
      const Interpolation mixtures = interpolation(indices, weights, static_cast<std::int64_t>(k), 50);
      const Array found = interpolate_backward(mixtures, array(grad));
      expect_equal(found, mixture_gradient(indices, weights, grad, 50));
      expect_adjoint(in, interpolate(array(in), mixtures), grad, found);
    }
}

// More entries than one chunk of the sort, rows with many of them, and results beyond the caches.
TEST_P(PointVoxelBackwardTest, LargeMixtures) {
  for (const auto& [count, channels] : {std::pair<std::size_t, std::size_t>(3, 9), {5000, 33}, {70000, 64}}) {
    const Matrix grad = test_data::whole(30000, channels, 4);
    const Indices indices = random_indices(60000, count, 5);
    const std::vector<double> weights(60000, 0.5);
    const Array found =
        interpolate_backward(interpolation(indices, weights, 2, static_cast<std::int64_t>(count)), array(grad));
    expect_equal(found, mixture_gradient(indices, weights, grad, count));
  }
}

TEST_P(PointVoxelBackwardTest, GradientsOfWeightZeroAddNothing) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const Interpolation mixtures = interpolation({0, 1, 1, 0, -1, 1}, {0, 0, 3, 2, 5, 0}, 2, 2);
  EXPECT_EQ(host<float>(interpolate_backward(mixtures, array(std::vector<double>{kNan, 10, kNan}, {3, 1}))),
            (std::vector<float>{20, 30}));
}

TEST_P(PointVoxelBackwardTest, Devoxelize) {
  const auto coords = test_data::cloud(3, 800, 6);
  const Matrix in = test_data::real(coords.size(), 19, 7), grad = test_data::real(3000, 19, 8);
  const SparseTensor voxels = tensor(coords, in);
  const Array points = points_in(coords, 3000, 9);
  for (const Trilinear mode : {Trilinear::kRenormalized, Trilinear::kRaw}) {
    const Interpolation corners = trilinear(voxels, points, mode);
    const auto weights = host<float>(corners.weights);
    const Array found = devoxelize_backward(voxels, points, array(grad), mode);
    expect_close(found, mixture_gradient(host<std::int32_t>(corners.indices),
                                         std::vector<double>(weights.begin(), weights.end()), grad, coords.size()));
    expect_adjoint(in, devoxelize(voxels, points, mode), grad, found);
  }
}

TEST_P(PointVoxelBackwardTest, ThreeNearest) {
  const Matrix places = test_data::real(900, 3, 10), centers = test_data::real(70, 3, 11);
  const Interpolation nearest = three_nearest({array(places), {}}, {array(centers), {}});
  const Matrix in = test_data::real(70, 12, 12), grad = test_data::real(900, 12, 13);
  expect_adjoint(in, interpolate(array(in), nearest), grad, interpolate_backward(nearest, array(grad)));
}

TEST_P(PointVoxelBackwardTest, PickedRows) {
  for (const std::size_t channels : {1, 5, 16, 33, 67})
    for (const std::size_t u : {1, 4}) {
      const Matrix grad = test_data::whole(300 * u, channels, 14);
      const Indices indices = random_indices(300 * u, 80, 15);
      const Matrix expected = mixture_gradient(indices, std::vector<double>(indices.size(), 1), grad, 90);
      const auto n = static_cast<std::int64_t>(u), c = static_cast<std::int64_t>(channels);
      expect_equal(gather_backward(rows(indices, {300, n}), array(grad, {300, n, c}), 90), expected);
      if (u == 1) expect_equal(gather_backward(rows(indices), array(grad), 90), expected);
    }
}

TEST_P(PointVoxelBackwardTest, GroupedFeatures) {
  for (const std::size_t channels : {0, 1, 8, 29}) {
    const Matrix grad = test_data::whole(60 * 7, 3 + channels, 16);
    const Indices indices = random_indices(60 * 7, 50, 17);
    Matrix of_features(grad.rows, channels);
    for (std::size_t r = 0; r < grad.rows; ++r)
      for (std::size_t c = 0; c < channels; ++c) of_features.at(r, c) = grad.at(r, 3 + c);
    expect_equal(
        group_backward(rows(indices, {60, 7}), array(grad, {60, 7, static_cast<std::int64_t>(3 + channels)}), 50),
        mixture_gradient(indices, std::vector<double>(indices.size(), 1), of_features, 50));
  }
}

TEST_P(PointVoxelBackwardTest, DenseGrids) {
  constexpr std::int64_t kResolution = 6, kCells = kResolution * kResolution * kResolution;
  for (const std::size_t channels : {1, 16, 21}) {
    const auto c = static_cast<std::int64_t>(channels);
    Matrix places = test_data::real(900, 3, 18);
    places.at(40, 1) = std::numeric_limits<double>::quiet_NaN();
    const Array splits = Array::from(std::vector<std::int64_t>{0, 300, 300, 900}, {4});
    const PointSet coords{dense_grid_coords({array(places), splits}, {kResolution, true, 0}), splits};
    const Shape shape{3, kResolution, kResolution, kResolution, c};
    const Matrix of_points = test_data::real(900, channels, 19), of_cells = test_data::real(3 * kCells, channels, 20);

    const Array to_points = voxelize_dense_backward(coords, array(of_cells, shape));
    ASSERT_EQ(to_points.shape(), (Shape{900, c}));
    expect_adjoint(of_points, voxelize_dense(array(of_points), coords, kResolution), of_cells, to_points);
    const Array to_cells = devoxelize_dense_backward(coords, array(of_points), kResolution);
    ASSERT_EQ(to_cells.shape(), shape);
    expect_adjoint(of_cells, devoxelize_dense(array(of_cells, shape), coords), of_points, to_cells);

    // Row by row as well: the cell of a point by rounding, the mean over those that share it.
    const auto at = host<float>(coords.points);
    Indices cell(900, -1);
    for (std::size_t i = 0; i < 900; ++i) {
      std::int64_t index = i < 300 ? 0 : 2;
      for (std::size_t axis = 0; axis < 3; ++axis)
        index = index * kResolution + std::llrint(std::isnan(at[3 * i + axis]) ? 0.0F : at[3 * i + axis]);
      if (i != 40) cell[i] = static_cast<std::int32_t>(index);
    }
    expect_close(to_points, reduce_gradient(of_points, cell, of_cells, Reduce::kMean));
  }
}

TEST_P(PointVoxelBackwardTest, NoRows) {
  const Array none = array(Matrix(), {0, 3});
  for (const Reduce reduce : kReductions) {
    EXPECT_EQ(voxelize_features_backward(none, rows({}), array(Matrix(4, 3)), reduce).shape(), (Shape{0, 3}));
    expect_equal(voxelize_features_backward(array(Matrix(2, 3)), rows({-1, -1}), none, reduce), Matrix(2, 3));
    EXPECT_EQ(
        voxelize_features_backward(array(Matrix(), {2, 0}), rows({0, 0}), array(Matrix(), {1, 0}), reduce).shape(),
        (Shape{2, 0}));
  }
  expect_equal(interpolate_backward(interpolation({}, {}, 2, 4), none), Matrix(4, 3));
  EXPECT_EQ(interpolate_backward(interpolation({-1, -1}, {1, 2}, 2, 0), array(Matrix(1, 3))).shape(), (Shape{0, 3}));
  EXPECT_EQ(interpolate_backward(interpolation({0, 1}, {1, 2}, 2, 2), array(Matrix(), {1, 0})).shape(), (Shape{2, 0}));
  expect_equal(gather_backward(rows({}), none, 5), Matrix(5, 3));
}

TEST_P(PointVoxelBackwardTest, SameBitsOnAnyNumberOfThreads) {
  const std::size_t n = 40000, voxels = 5000;
  const Array in = array(test_data::real(n, 21, 21)), grad = array(test_data::real(voxels, 21, 22));
  const Indices inverse = random_indices(n, voxels, 23);
  const Matrix weights = test_data::real(n, 8, 24);
  const Interpolation mixtures = interpolation(random_indices(8 * n, voxels, 25), weights.values, 8, voxels);
  const auto run = [&] {
    std::vector<Array> results{interpolate_backward(mixtures, in)};
    for (const Reduce reduce : kReductions)
      results.push_back(voxelize_features_backward(in, rows(inverse), grad, reduce));
    return results;
  };
  set_num_threads(1);
  const auto expected = run();
  for (const int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    const auto again = run();
    for (std::size_t i = 0; i < expected.size(); ++i) expect_same_bits(again[i], expected[i]);
  }
}

TEST_P(PointVoxelBackwardTest, WrongReductionsAndMixturesAreRefused) {
  const Array grad = array(Matrix(4, 2));
  for (const std::int32_t bad : {-2, 4})
    expect_throw(
        [&] {
          voxelize_features_backward({}, rows({0, bad, 1}), grad);
        },
        {"[voxelize_features_backward]", "inverse", "[-1, 4)", std::to_string(bad)});
  expect_throw(
      [&] {
        voxelize_features_backward({}, vector({0, 1, 2}), grad);
      },
      {"[voxelize_features_backward]", "inverse", "f32"});
  expect_throw(
      [&] {
        voxelize_features_backward({}, rows({0, 1}), rows({0, 1}));
      },
      {"[voxelize_features_backward]", "grad", "i32"});
  expect_throw(
      [&] {
        voxelize_features_backward(array(Matrix(3, 2)), rows({0, 1}), grad, Reduce::kMax);
      },
      {"[voxelize_features_backward]", "features", "[2, 2]", "[3, 2]"});
  expect_throw(
      [&] {
        voxelize_features_backward({}, rows({0, 1}), grad, Reduce::kNone);
      },
      {"[voxelize_features_backward]", "reduce"});

  const Interpolation mixtures = interpolation({0, 3, -1, 1}, {1, 1, 1, 1}, 2, 4);
  expect_throw([&] { interpolate_backward(mixtures, array(Matrix(3, 2))); },
               {"[interpolate_backward]", "grad", "[2, C]", "[3, 2]"});
  expect_throw(
      [&] {
        interpolate_backward(interpolation({0, 4}, {1, 1}, 2, 4), array(Matrix(1, 2)));
      },
      {"[interpolate_backward]", "indices", "[-1, 4)", "4"});
  expect_throw(
      [&] {
        interpolate_backward(interpolation({0, 1}, {1, 1}, 2, -1), array(Matrix(1, 2)));
      },
      {"[interpolate_backward]", "-1 rows"});
  const SparseTensor voxels = tensor({{0, 0, 0, 0}}, Matrix(1, 2));
  expect_throw([&] { devoxelize_backward(voxels, array(Matrix(2, 4)), array(Matrix(3, 2))); },
               {"[devoxelize_backward]", "grad", "[2, C]", "[3, 2]"});
}

TEST_P(PointVoxelBackwardTest, WrongPicksAndGridsAreRefused) {
  expect_throw([&] { gather_backward(rows({0, 5}), array(Matrix(2, 3)), 5); }, {"[gather_backward]", "[-1, 5)", "5"});
  expect_throw(
      [&] {
        gather_backward(rows({0, 1}), array(Matrix(3, 3)), 5);
      },
      {"[gather_backward]", "grad", "[2, C]", "[3, 3]"});
  expect_throw([&] { gather_backward(rows({0, 1}), array(Matrix(2, 3)), -1); }, {"[gather_backward]", "rows", "-1"});
  expect_throw(
      [&] {
        gather_backward(vector({0, 1}), array(Matrix(2, 3)), 5);
      },
      {"[gather_backward]", "indices", "f32"});
  expect_throw(
      [&] {
        group_backward(rows({0, 1}, {1, 2}), array(Matrix(2, 2), {1, 2, 2}), 5);
      },
      {"[group_backward]", "grad", "[1, 2, 3 + C]", "[1, 2, 2]"});
  expect_throw([&] { group_backward(rows({0, 1}), array(Matrix(2, 3)), 5); }, {"[group_backward]", "[M, U]"});

  const PointSet coords{array(oracle::apply(Matrix(2, 3), [](double) { return 1.5; })), {}};
  expect_throw(
      [&] {
        voxelize_dense_backward(coords, array(Matrix(8, 3), {1, 2, 2, 2, 3}));
      },
      {"[voxelize_dense_backward]", "coords", "[0, 1]"});
  expect_throw([&] { voxelize_dense_backward(coords, array(Matrix(8, 3))); },
               {"[voxelize_dense_backward]", "grad", "[8, 3]"});
  expect_throw(
      [&] {
        voxelize_dense_backward(coords, array(Matrix(54, 3), {2, 3, 3, 3, 3}));
      },
      {"[voxelize_dense_backward]", "grad has 2 clouds"});
  expect_throw([&] { devoxelize_dense_backward(coords, array(Matrix(3, 3)), 4); },
               {"[devoxelize_dense_backward]", "grad", "[2, C]", "[3, 3]"});
  expect_throw([&] { devoxelize_dense_backward(coords, array(Matrix(2, 3)), 0); },
               {"[devoxelize_dense_backward]", "resolution"});
}

}  // namespace
}  // namespace voxshift
