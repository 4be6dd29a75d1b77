// Batch normalisation, pooling and sums of halves, and their gradients, against plain loops in double on the same
// rounded numbers. What is computed in f32 from few numbers is rounded once more when it is written.
#include <gtest/gtest.h>
#include <voxshift/rows/training.h>
#include <voxshift/sparse_conv/combine.h>
#include <voxshift/sparse_conv/pool.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "half_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coords;
using oracle::Matrix;
using Kind = Activation::Kind;
using Segments = std::vector<std::vector<std::size_t>>;

constexpr DType kHalves[] = {DType::kF16, DType::kBF16};

const std::vector<std::pair<Pooling, oracle::Pool>> kKinds = {{Pooling::kMax, oracle::Pool::kMax},
                                                              {Pooling::kAverage, oracle::Pool::kAverage},
                                                              {Pooling::kSum, oracle::Pool::kSum}};

double activated(const Activation& activation, double v) {
  if (activation.kind == Kind::kNone) return v;
  if (activation.kind == Kind::kLeakyRelu) return v > 0 ? v : activation.slope * v;
  return activation.kind == Kind::kRelu6 ? std::min(std::max(v, 0.0), 6.0) : std::max(v, 0.0);
}

double slope_at(const Activation& activation, double v) {
  if (activation.kind == Kind::kNone) return 1;
  if (activation.kind == Kind::kLeakyRelu) return v > 0 ? 1 : activation.slope;
  return v > 0 && (activation.kind == Kind::kRelu || v < 6) ? 1 : 0;
}

/// The layer and its gradient in double.
struct Norm {
  Matrix out, before, input, residual;  // before: the argument of the activation
  std::vector<double> mean, variance, weight, bias;

  Norm(const Matrix& x, const std::vector<double>& scale, const std::vector<double>& shift, const Matrix& other,
       const Matrix& grad, const Activation& activation, double eps)
      : out(x), before(x), input(x), residual(x), mean(x.cols), variance(x.cols), weight(x.cols), bias(x.cols) {
    const auto n = static_cast<double>(x.rows);
    for (std::size_t c = 0; c < x.cols; ++c) {
      for (std::size_t r = 0; r < x.rows; ++r) mean[c] += x.at(r, c) / n;
      for (std::size_t r = 0; r < x.rows; ++r) variance[c] += std::pow(x.at(r, c) - mean[c], 2) / n;
      const double inverse = 1 / std::sqrt(variance[c] + eps);
      const auto hat = [&](std::size_t r) { return (x.at(r, c) - mean[c]) * inverse; };
      for (std::size_t r = 0; r < x.rows; ++r) {
        before.at(r, c) = scale[c] * hat(r) + shift[c] + (other.rows > 0 ? other.at(r, c) : 0);
        out.at(r, c) = activated(activation, before.at(r, c));
        residual.at(r, c) = grad.at(r, c) * slope_at(activation, before.at(r, c));
        bias[c] += residual.at(r, c);
        weight[c] += residual.at(r, c) * hat(r);
      }
      for (std::size_t r = 0; r < x.rows; ++r)
        input.at(r, c) = scale[c] * inverse * (residual.at(r, c) - bias[c] / n - hat(r) * weight[c] / n);
    }
  }
};

Matrix row_of(const std::vector<double>& values) {
  Matrix m(1, values.size());
  m.values = values;
  return m;
}

class HalfTrainingTest : public HalfTest {
 protected:
  // Half a unit in the last place, and `slack` for f32's roundings.
  void expect_near(const Array& actual, const Matrix& expected, DType dtype, double slack) const {
    ASSERT_EQ(actual.dtype(), dtype);
    ASSERT_EQ(actual.count(), static_cast<std::int64_t>(expected.values.size()));
    const Matrix found = numbers(actual);
    const double unit = dtype == DType::kF32 ? 0 : dtype == DType::kF16 ? 0x1p-11 : 0x1p-8;
    for (std::size_t i = 0; i < found.values.size(); ++i)
      ASSERT_NEAR(found.values[i], expected.values[i], unit * std::abs(expected.values[i]) + slack) << "number " << i;
  }

  void expect_norm(std::size_t rows, std::size_t channels, const Activation& activation, bool with_residual,
                   DType dtype) const {
    SCOPED_TRACE(std::to_string(rows) + " rows, " + std::to_string(channels) + " channels, " + name(dtype));
    constexpr double kSlack = 2e-5;  // of f32: numbers are below 8, as is the factor of what was lost
    const Matrix x = rounded(test_data::real(rows, channels, 1), dtype);
    const Matrix grad = rounded(test_data::real(rows, channels, 2), dtype);
    const Matrix other = with_residual ? rounded(test_data::real(rows, channels, 3), dtype) : Matrix();
    const auto scale = test_data::real(1, channels, 4).values, shift = test_data::real(1, channels, 5).values;
    const Norm expected(x, scale, shift, other, grad, activation, 1e-3);
    BatchNormOptions options{1e-3F, std::nullopt, activation};
    if (with_residual) options.residual = converted(array(other), dtype);
    const Array in = converted(array(x), dtype), g = converted(array(grad), dtype);
    const BatchNorm norm = batch_norm(in, vector(scale), vector(shift), options);
    expect_near(norm.out, expected.out, dtype, kSlack);
    expect_near(norm.mean, row_of(expected.mean), DType::kF32, kSlack);
    expect_near(norm.variance, row_of(expected.variance), DType::kF32, kSlack);
    const auto gradients = batch_norm_backward(in, vector(scale), norm, g, 1e-3F, activation, with_residual,
                                               with_residual ? std::nullopt : std::optional<Array>(vector(shift)));
    const double sum_slack = kSlack * static_cast<double>(rows);
    expect_near(gradients.input, expected.input, dtype, 4 * kSlack);
    expect_near(gradients.weight, row_of(expected.weight), DType::kF32, sum_slack);
    expect_near(gradients.bias, row_of(expected.bias), DType::kF32, sum_slack);
    if (with_residual) expect_near(*gradients.residual, expected.residual, dtype, 0);
  }

  static Matrix pool_gradient(const Matrix& in, const Matrix& grad, const Segments& segments, oracle::Pool kind) {
    Matrix gradient(in.rows, in.cols);
    for (std::size_t o = 0; o < segments.size(); ++o)
      for (std::size_t c = 0; c < in.cols && !segments[o].empty(); ++c) {
        std::size_t most = segments[o][0];
        for (const std::size_t i : segments[o])
          if (in.at(i, c) > in.at(most, c)) most = i;
        if (kind == oracle::Pool::kMax) gradient.at(most, c) += grad.at(o, c);
        const double share = kind == oracle::Pool::kAverage ? 1.0 / static_cast<double>(segments[o].size()) : 1;
        if (kind != oracle::Pool::kMax)
          for (const std::size_t i : segments[o]) gradient.at(i, c) += share * grad.at(o, c);
      }
    return gradient;
  }

  void expect_kind(const Array& actual, const Matrix& expected, oracle::Pool kind, DType dtype) const {
    if (kind == oracle::Pool::kAverage) {
      expect_near(actual, expected, dtype, 1e-4);
    } else {
      expect_numbers(actual, expected, dtype);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, HalfTrainingTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(HalfTrainingTest, BatchNormAtAllChannelCounts) {
  for (const DType dtype : kHalves)
    for (std::size_t channels = 1; channels <= 67; ++channels)
      expect_norm(37, channels, {channels % 2 == 0 ? Kind::kRelu : Kind::kNone, 0}, false, dtype);
}

TEST_P(HalfTrainingTest, BatchNormOfManyRowsAndAllActivations) {
  for (const DType dtype : kHalves)
    for (const Activation& activation :
         {Activation{Kind::kNone, 0}, {Kind::kRelu, 0}, {Kind::kRelu6, 0}, {Kind::kLeakyRelu, 0.25F}})
      for (const bool residual : {false, true}) expect_norm(1100, 9, activation, residual, dtype);
}

// The mean of numbers that halves hold is no half: statistics stay f32, as do sums of more than a half can be.
TEST_P(HalfTrainingTest, StatisticsAndSumsAreWide) {
  for (const DType dtype : kHalves) {
    Matrix x(3000, 2);
    for (std::size_t r = 0; r < 3000; ++r) x.at(r, 0) = r % 3 == 0 ? 2048 : 2064, x.at(r, 1) = r % 2 == 0 ? 1 : 1.5;
    x = rounded(x, dtype);
    const Norm expected(x, {1, 1}, {0, 0}, {}, x, {}, 1e-5);
    const Array in = converted(array(x), dtype);
    const BatchNorm norm = batch_norm(in, vector({1, 1}), vector({0, 0}));
    for (std::size_t c = 0; c < 2; ++c) {
      EXPECT_EQ(host<float>(norm.mean)[c], static_cast<float>(expected.mean[c]));
      EXPECT_NEAR(host<float>(norm.variance)[c], expected.variance[c], 1e-4 * expected.variance[c]);
    }
    Matrix sum(1, 2);
    for (std::size_t r = 0; r < 3000; ++r)
      for (std::size_t c = 0; c < 2; ++c) sum.values[c] += x.at(r, c);
    expect_numbers(sum_rows(in), sum, DType::kF32);
  }
}

TEST_P(HalfTrainingTest, SumOfRows) {
  for (const DType dtype : kHalves)
    for (const std::size_t rows : {0, 1, 511, 512, 513, 3000})
      for (const std::size_t channels : {1, 7, 32, 67}) {
        const Matrix x = test_data::whole(rows, channels, 17);
        Matrix sum(1, channels);
        for (std::size_t r = 0; r < rows; ++r)
          for (std::size_t c = 0; c < channels; ++c) sum.values[c] += x.at(r, c);
        expect_numbers(sum_rows(converted(array(x), dtype)), sum, DType::kF32);
      }
}

TEST_P(HalfTrainingTest, NoRowsAndOneRow) {
  for (const DType dtype : kHalves) {
    const Array none({0, 3}, dtype, device());
    const BatchNorm empty = batch_norm(none, vector({1, 1, 1}), vector({0, 0, 0}));
    expect_numbers(empty.mean, Matrix(1, 3), DType::kF32);
    const auto gradients = batch_norm_backward(none, vector({1, 1, 1}), empty, none);
    expect_numbers(gradients.weight, Matrix(1, 3), DType::kF32);
    const BatchNorm one = batch_norm(converted(array(row_of({5, -2, 8})), dtype), vector({1, 1, 1}), vector({1, 2, 3}));
    expect_numbers(one.out, row_of({1, 2, 3}), dtype);
  }
}

TEST_P(HalfTrainingTest, PoolAndItsGradient) {
  const Coords coords = test_data::cloud(3, 400, 6);
  for (const DType dtype : kHalves)
    for (const auto& w : {test_data::cube(3, 2, 2), test_data::cube(3, 3)})
      for (const std::size_t channels : {1, 8, 21}) {
        SCOPED_TRACE(describe(w) + ", " + std::to_string(channels) + " channels, " + name(dtype));
        const Coords outputs = oracle::outputs(coords, w, {});
        Segments segments(outputs.size());
        for (const oracle::Pair& p : oracle::pairs(coords, outputs, w)) segments[p.out].push_back(p.in);
        const Matrix in = test_data::whole(coords.size(), channels, 7);
        const Matrix grad = test_data::whole(outputs.size(), channels, 8);
        const SparseTensor x(array(coords, 3), converted(array(in), dtype));
        for (const auto& [pooling, kind] : kKinds) {
          expect_kind(pool(x, pooling, options_of(w)).features(), oracle::pool(in, segments, kind), kind, dtype);
          expect_kind(pool_backward(x, converted(array(grad), dtype), pooling, options_of(w)),
                      pool_gradient(in, grad, segments, kind), kind, dtype);
        }
      }
}

TEST_P(HalfTrainingTest, PoolOfWholeClouds) {
  for (const DType dtype : kHalves)
    for (const std::size_t rows : {7, 2003}) {
      const Coords coords = test_data::cloud(3, rows, 9);  // batch 2 has no rows
      Segments batches(4);
      for (std::size_t i = 0; i < rows; ++i) batches[static_cast<std::size_t>(coords[i][0])].push_back(i);
      const Matrix in = test_data::whole(rows, 5, 10), grad = test_data::whole(4, 5, 11);
      const SparseTensor x(array(coords, 3), converted(array(in), dtype));
      for (const auto& [pooling, kind] : kKinds) {
        expect_kind(global_pool(x, pooling), oracle::pool(in, batches, kind), kind, dtype);
        expect_kind(global_pool_backward(x, converted(array(grad), dtype), pooling),
                    pool_gradient(in, grad, batches, kind), kind, dtype);
      }
    }
}

TEST_P(HalfTrainingTest, TensorsAreCombined) {
  const Coords coords = test_data::cloud(2, 90, 15), part(coords.begin(), coords.begin() + 40);
  const Matrix a = test_data::whole(90, 5, 16), b = test_data::whole(90, 5, 17);
  for (const DType dtype : kHalves) {
    const SparseTensor x(array(coords, 2), converted(array(a), dtype)), y = x.with_features(converted(array(b), dtype));
    Matrix both(90, 10), first(40, 5), sum = oracle::plus(a, b);
    for (std::size_t r = 0; r < 90; ++r)
      for (std::size_t c = 0; c < 5; ++c) both.at(r, c) = a.at(r, c), both.at(r, 5 + c) = b.at(r, c);
    std::copy_n(a.values.begin(), first.values.size(), first.values.begin());
    expect_numbers(cat({x, y}).features(), both, dtype);
    expect_numbers(add(x, y, {}).features(), sum, dtype);
    std::vector<std::uint8_t> mask(90, 0);
    std::fill_n(mask.begin(), 40, std::uint8_t{1});
    const SparseTensor selected = select_rows(x, Array::from(mask, {90}).to(device()));
    expect_numbers(selected.features(), first, dtype);
    Matrix united = b;
    for (std::size_t i = 0; i < first.values.size(); ++i) united.values[i] += first.values[i];
    expect_numbers(union_add(y, selected).features(), united, dtype);
    const SparseTensor wide = tensor(coords, a);
    expect_throw([&] { add(x, wide, {}); }, {"[add] tensors must have one dtype, found ", "f32"});
    expect_throw([&] { cat({wide, x}); }, {"[cat] tensors must have one dtype"});
    expect_throw([&] { union_add(wide, x); }, {"[union_add] tensors must have one dtype"});
  }
}

TEST_P(HalfTrainingTest, TheSameBitsOnEveryRun) {
  for (const DType dtype : kHalves) {
    const Array x = converted(array(test_data::real(1500, 6, 12)), dtype);
    const Array grad = converted(array(test_data::real(1500, 6, 13)), dtype);
    const Array weight = vector(test_data::real(1, 6, 14).values);
    const auto run = [&] {
      const BatchNorm norm = batch_norm(x, weight, weight, {1e-5F, std::nullopt, {Kind::kRelu, 0}});
      const auto gradients = batch_norm_backward(x, weight, norm, grad, 1e-5F, {Kind::kRelu, 0});
      return std::vector<Array>{norm.out,         norm.mean,      norm.variance, gradients.input,
                                gradients.weight, gradients.bias, sum_rows(x)};
    };
    const auto first = run();
    for (int again = 1; again < 10; ++again) {
      const auto results = run();
      for (std::size_t i = 0; i < results.size(); ++i) expect_same_bits(results[i], first[i]);
    }
  }
}

TEST_P(HalfTrainingTest, Errors) {
  const Array x = half(test_data::whole(4, 3, 1)), three = vector({1, 1, 1});
  expect_throw([&] { batch_norm(x, half(Matrix(1, 3)).reshaped({3}), three); },
               {"[batch_norm] weight expects f32 [3], found f16 [3]"});
  expect_throw(
      [&] {
        batch_norm(x, three, three, {1e-5F, array(Matrix(4, 3)), {}});
      },
      {"[batch_norm] residual expects f16 [4, 3], found f32"});
  const BatchNorm norm = batch_norm(x, three, three);
  expect_throw([&] { batch_norm_backward(x, three, norm, array(Matrix(4, 3))); },
               {"[batch_norm_backward] grad expects f16 [4, 3], found f32"});
  expect_throw(
      [&] {
        batch_norm_backward(x, three, {array(Matrix(4, 3)), norm.mean, norm.variance}, x);
      },
      {"[batch_norm_backward] out expects f16 [4, 3], found f32"});
  const SparseTensor tensor(array(Coords{{0, 1}, {0, 2}, {0, 3}, {0, 4}}, 1), x);
  expect_throw([&] { global_pool_backward(tensor, array(Matrix(1, 3)), Pooling::kSum); },
               {"[global_pool_backward] grad expects f16 [1, 3], found f32"});
}

}  // namespace
}  // namespace voxshift
