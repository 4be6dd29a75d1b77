// Gradients of pooling on sparse tensors, in windows and over whole batches.
#include <gtest/gtest.h>
#include <voxshift/sparse_conv/pool.h>

#include <cmath>
#include <limits>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coords;
using oracle::Matrix;
using Segments = std::vector<std::vector<std::size_t>>;  // inputs of each output, in order

const std::vector<std::pair<Pooling, oracle::Pool>> kKinds = {{Pooling::kMax, oracle::Pool::kMax},
                                                              {Pooling::kAverage, oracle::Pool::kAverage},
                                                              {Pooling::kSum, oracle::Pool::kSum}};

Segments segments_of(const std::vector<oracle::Pair>& pairs, std::size_t outputs) {
  Segments segments(outputs);
  for (const oracle::Pair& p : pairs) segments[p.out].push_back(p.in);
  return segments;
}

Segments batches_of(const Coords& coords) {
  Segments batches(static_cast<std::size_t>(coords.back()[0]) + 1);
  for (std::size_t i = 0; i < coords.size(); ++i) batches[static_cast<std::size_t>(coords[i][0])].push_back(i);
  return batches;
}

Matrix pool_gradient(const Matrix& in, const Matrix& grad, const Segments& segments, oracle::Pool kind) {
  Matrix gradient(in.rows, in.cols);
  for (std::size_t o = 0; o < segments.size(); ++o)
    for (std::size_t c = 0; c < in.cols && !segments[o].empty(); ++c) {
      std::size_t first_of_most = segments[o][0];
      for (const std::size_t i : segments[o])
        if (in.at(i, c) > in.at(first_of_most, c)) first_of_most = i;
      if (kind == oracle::Pool::kMax) gradient.at(first_of_most, c) += grad.at(o, c);
      for (const std::size_t i : segments[o])
        if (kind == oracle::Pool::kSum) {
          gradient.at(i, c) += grad.at(o, c);
        } else if (kind == oracle::Pool::kAverage) {
          gradient.at(i, c) += grad.at(o, c) / static_cast<double>(segments[o].size());
        }
    }
  return gradient;
}

class PoolBackwardTest : public DeviceTest {
 protected:
  static void expect_gradient(const Array& actual, const Matrix& expected, oracle::Pool kind) {
    if (kind == oracle::Pool::kAverage) {
      ASSERT_EQ(actual.dim(0), static_cast<std::int64_t>(expected.rows));
      const auto values = host<float>(actual);
      for (std::size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(values[i], expected.values[i], 1e-4) << "value " << i;
    } else {
      expect_equal(actual, expected);
    }
  }

  void expect_backward(const Coords& coords, const oracle::Window& w, std::size_t channels) const {
    SCOPED_TRACE(describe(w) + ", " + std::to_string(channels) + " channels");
    const Matrix in = test_data::whole(coords.size(), channels, 1);  // 17 values: many maxima are equal
    SparseTensor::Options options;
    const auto shape = test_data::shape_of(coords);
    if (w.bounded) options.shape = extents(shape);
    const SparseTensor x = tensor(coords, in, options);
    const Coords outputs = oracle::outputs(coords, w, shape);
    const auto segments = segments_of(oracle::pairs(coords, outputs, w), outputs.size());
    const Matrix grad = test_data::whole(outputs.size(), channels, 2);
    for (const auto& [pooling, kind] : kKinds)
      expect_gradient(pool_backward(x, array(grad), pooling, options_of(w)), pool_gradient(in, grad, segments, kind),
                      kind);
  }
};
VOXSHIFT_FOR_EACH_DEVICE(PoolBackwardTest);

TEST_P(PoolBackwardTest, FloorWindowsOnEveryDimension) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const auto& w : test_data::floor_windows(dims)) expect_backward(test_data::cloud(dims, 90, 1), w, 3);
}

TEST_P(PoolBackwardTest, BoundedWindowsOnEveryDimension) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const auto& w : test_data::bounded_windows(dims)) expect_backward(test_data::cloud(dims, 70, 2, 0), w, 3);
}

TEST_P(PoolBackwardTest, AllChannelCounts) {
  for (std::size_t channels = 1; channels <= 67; ++channels)
    expect_backward(test_data::cloud(2, 40, 3), test_data::cube(2, 3, 2), channels);
}

TEST_P(PoolBackwardTest, MoreThanOneBlock) {
  expect_backward(test_data::cloud(3, 3001, 4), test_data::cube(3, 3), 5);
  expect_backward(test_data::cloud(3, 3001, 4), test_data::cube(3, 2, 2), 21);
}

TEST_P(PoolBackwardTest, OfEqualMaximaTheFirstOffsetHasIt) {
  const SparseTensor x = tensor({{0, 0}, {0, 1}, {0, 2}}, oracle::apply(Matrix(3, 1), [](double) { return 2.0; }));
  const Array grad = array(std::vector<double>{1, 10, 100}, {3, 1});
  // The windows of the outputs hold {0, 1}, {0, 1, 2} and {1, 2}.
  EXPECT_EQ(host<float>(pool_backward(x, grad, Pooling::kMax, options_of(test_data::cube(1, 3)))),
            (std::vector<float>{11, 100, 0}));
  EXPECT_EQ(host<float>(global_pool_backward(x, array(std::vector<double>{7}, {1, 1}), Pooling::kMax)),
            (std::vector<float>{7, 0, 0}));
}

// The forward op takes these, so the gradient goes where its value came from.
TEST_P(PoolBackwardTest, MaximaThatAreNotFinite) {
  constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> low{-kInf, -kInf}, not_a_number{kNan, 1};
  for (const auto& values : {low, not_a_number}) {
    const SparseTensor x(array(Coords{{0, 0}, {0, 1}}, 1), array(values, {2, 1}));
    const Array grad = array(std::vector<double>{3}, {1, 1});
    const std::vector<float> expected{3, 0};
    EXPECT_EQ(host<float>(pool_backward(x, grad, Pooling::kMax, options_of(test_data::cube(1, 2, 2)))), expected);
    EXPECT_EQ(host<float>(global_pool_backward(x, grad, Pooling::kMax)), expected);
  }
}

// <grad, pool(x)> = <pool_backward(grad), x>: sums and means are linear, and a maximum is one of its inputs.
TEST_P(PoolBackwardTest, IsTheAdjoint) {
  const Coords coords = test_data::cloud(3, 2000, 5);
  const Matrix in = test_data::real(coords.size(), 7, 6);
  const SparseTensor x = tensor(coords, in);
  const auto options = options_of(test_data::cube(3, 3, 2));
  const auto as_matrix = [](const Array& a) {
    Matrix m(static_cast<std::size_t>(a.dim(0)), static_cast<std::size_t>(a.dim(1)));
    const auto values = host<float>(a);
    m.values.assign(values.begin(), values.end());
    return m;
  };
  for (const auto& [pooling, kind] : kKinds) {
    const Matrix out = as_matrix(pool(x, pooling, options).features());
    const Matrix grad = test_data::real(out.rows, out.cols, 7);
    const double expected = oracle::dot(grad, out);
    EXPECT_NEAR(oracle::dot(as_matrix(pool_backward(x, array(grad), pooling, options)), in), expected,
                1e-5 * std::sqrt(oracle::dot(grad, grad) * oracle::dot(out, out)));
  }
}

TEST_P(PoolBackwardTest, AgreesWithDifferencesOfTheForwardOp) {
  constexpr double kStep = 1e-6;
  const Coords coords = test_data::cloud(2, 25, 8);
  const auto w = test_data::cube(2, 3, 2);
  const Coords outputs = oracle::outputs(coords, w, {});
  const auto segments = segments_of(oracle::pairs(coords, outputs, w), outputs.size());
  const Matrix in = test_data::real(coords.size(), 2, 9), grad = test_data::real(outputs.size(), 2, 10);
  for (const auto& [pooling, kind] : kKinds) {
    const auto found = host<float>(pool_backward(tensor(coords, in), array(grad), pooling, options_of(w)));
    for (std::size_t i = 0; i < in.values.size(); ++i) {
      Matrix above = in, below = in;
      above.values[i] += kStep;
      below.values[i] -= kStep;
      const double change = oracle::dot(grad, oracle::pool(above, segments, kind)) -
                            oracle::dot(grad, oracle::pool(below, segments, kind));
      ASSERT_NEAR(found[i], change / (2 * kStep), 1e-5) << "value " << i;
    }
  }
}

// Batch 2 of the cloud has no rows.
TEST_P(PoolBackwardTest, GlobalPerBatch) {
  for (const std::size_t rows : {7, 5003})
    for (const std::size_t channels : {1, 5, 16, 67}) {
      const auto coords = test_data::cloud(3, rows, 5);
      const Matrix in = test_data::whole(rows, channels, 6), grad = test_data::whole(4, channels, 7);
      const SparseTensor x = tensor(coords, in);
      for (const auto& [pooling, kind] : kKinds)
        expect_gradient(global_pool_backward(x, array(grad), pooling),
                        pool_gradient(in, grad, batches_of(coords), kind), kind);
    }
}

TEST_P(PoolBackwardTest, EmptyTensors) {
  const SparseTensor none(array(Coords{}, 3), array(Matrix(0, 4), {0, 4}));
  const SparseTensor narrow(array(Coords{{0, 1, 1, 1}}, 3), array(Matrix(1, 0), {1, 0}));
  const auto options = options_of(test_data::cube(3, 2, 2));
  for (const auto& [pooling, kind] : kKinds) {
    EXPECT_EQ(pool_backward(none, array(Matrix(0, 4), {0, 4}), pooling, options).shape(), (Shape{0, 4}));
    EXPECT_EQ(global_pool_backward(none, array(Matrix(0, 4), {0, 4}), pooling).shape(), (Shape{0, 4}));
    EXPECT_EQ(pool_backward(narrow, array(Matrix(1, 0), {1, 0}), pooling, options).shape(), (Shape{1, 0}));
    EXPECT_EQ(global_pool_backward(narrow, array(Matrix(1, 0), {1, 0}), pooling).shape(), (Shape{1, 0}));
  }
}

TEST_P(PoolBackwardTest, AnInputOutsideOfAllWindowsGetsNothing) {
  const SparseTensor x = tensor({{0, 1}, {0, 4}}, test_data::whole(2, 3, 1));
  const Array grad = array(test_data::whole(2, 3, 2));
  for (const auto& [pooling, kind] : kKinds) {
    const auto values = host<float>(pool_backward(x, grad, pooling, options_of(test_data::cube(1, 1, 2))));
    EXPECT_EQ((std::vector<float>{values[0], values[1], values[2]}), (std::vector<float>{0, 0, 0}));
  }
}

TEST_P(PoolBackwardTest, SameBitsOnAnyNumberOfThreads) {
  const auto coords = test_data::cloud(3, emulated() ? 3000 : 40000, 7);
  const SparseTensor x = tensor(coords, test_data::real(coords.size(), 9, 8));
  const auto options = options_of(test_data::cube(3, 3, 2));
  const Array grad = array(test_data::real(static_cast<std::size_t>(pool(x, Pooling::kSum, options).size()), 9, 9));
  const Array batch_grad = array(test_data::real(4, 9, 10));
  const auto run = [&](Pooling pooling) {
    return std::pair(pool_backward(x, grad, pooling, options), global_pool_backward(x, batch_grad, pooling));
  };
  for (const auto& [pooling, kind] : kKinds) {
    set_num_threads(1);
    const auto expected = run(pooling);
    for (const int threads : thread_counts()) {
      set_num_threads(threads);
      const auto again = run(pooling);
      expect_same_bits(again.first, expected.first);
      expect_same_bits(again.second, expected.second);
    }
  }
}

TEST_P(PoolBackwardTest, WrongArgumentsAreRefused) {
  const SparseTensor x = tensor({{0, 0, 0}, {1, 1, 1}}, test_data::whole(2, 2, 1));
  const auto options = options_of(test_data::cube(2, 2, 2));
  expect_throw([&] { pool_backward(x, array(Matrix(3, 2)), Pooling::kMax, options); },
               {"[pool_backward]", "grad", "[2, 2]", "[3, 2]"});
  expect_throw(
      [&] {
        pool_backward(x, Array({2, 2}, DType::kI32, device()), Pooling::kSum, options);
      },
      {"[pool_backward]", "grad", "i32"});
  expect_throw([&] { global_pool_backward(x, array(Matrix(2, 3)), Pooling::kMax); },
               {"[global_pool_backward]", "grad", "[2, 2]", "[2, 3]"});
  ConvOptions bad;
  bad.stride = {0};
  expect_throw([&] { pool_backward(x, array(Matrix(2, 2)), Pooling::kMax, bad); }, {"[pool_backward]", "stride"});
}

}  // namespace
}  // namespace voxshift
