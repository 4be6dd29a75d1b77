// What training needs on rows: batch normalisation, its gradient, and those of linear layers and biases.
#include <gtest/gtest.h>
#include <voxshift/rows/training.h>

#include <algorithm>
#include <cmath>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Matrix;
using Kind = Activation::Kind;

const std::vector<Activation> kActivations{
    {Kind::kNone, 0}, {Kind::kRelu, 0}, {Kind::kRelu6, 0}, {Kind::kLeakyRelu, 0.25F}};

double activate(const Activation& activation, double v) {
  switch (activation.kind) {
    case Kind::kNone:
      return v;
    case Kind::kRelu:
      return std::max(v, 0.0);
    case Kind::kRelu6:
      return std::min(std::max(v, 0.0), 6.0);
    case Kind::kLeakyRelu:
      return v > 0 ? v : activation.slope * v;
    case Kind::kFunction:
      break;  // not in training
  }
  return v;
}

struct Norm {
  Matrix out;
  std::vector<double> mean, variance;
};

Norm batch_norm_of(const Matrix& x, const std::vector<double>& weight, const std::vector<double>& bias,
                   const Matrix& residual, const Activation& activation, double eps) {
  Norm norm{x, std::vector<double>(x.cols), std::vector<double>(x.cols)};
  for (std::size_t c = 0; c < x.cols; ++c) {
    for (std::size_t r = 0; r < x.rows; ++r) norm.mean[c] += x.at(r, c) / static_cast<double>(x.rows);
    for (std::size_t r = 0; r < x.rows; ++r)
      norm.variance[c] += std::pow(x.at(r, c) - norm.mean[c], 2) / static_cast<double>(x.rows);
    for (std::size_t r = 0; r < x.rows; ++r)
      norm.out.at(r, c) =
          activate(activation, weight[c] * (x.at(r, c) - norm.mean[c]) / std::sqrt(norm.variance[c] + eps) + bias[c] +
                                   (residual.rows ? residual.at(r, c) : 0));
  }
  return norm;
}

Matrix row_of(const std::vector<double>& values) {
  Matrix m(1, values.size());
  m.values = values;
  return m;
}

Array as_row(const Array& v) { return v.reshaped({1, v.count()}); }

class TrainingRowsTest : public DeviceTest {};
VOXSHIFT_FOR_EACH_DEVICE(TrainingRowsTest);

TEST_P(TrainingRowsTest, BatchNormAtAllChannelCounts) {
  for (std::size_t channels = 1; channels <= 67; ++channels) {
    const Matrix x = test_data::real(37, channels, 1), residual = test_data::real(37, channels, 2);
    const auto weight = test_data::real(1, channels, 3).values, bias = test_data::real(1, channels, 4).values;
    for (const Activation& activation : kActivations) {
      const Norm expected = batch_norm_of(x, weight, bias, residual, activation, 1e-3);
      const BatchNorm norm = batch_norm(array(x), vector(weight), vector(bias), {1e-3F, array(residual), activation});
      expect_close(norm.out, expected.out);
      expect_close(as_row(norm.mean), row_of(expected.mean));
      expect_close(as_row(norm.variance), row_of(expected.variance));
    }
  }
}

// A mean that is large beside the deviation: sums of squares would lose the variance.
TEST_P(TrainingRowsTest, VarianceFarFromZero) {
  Matrix x = test_data::real(3000, 20, 5);
  for (double& v : x.values) v = static_cast<float>(1000 + v);
  const std::vector<double> ones(20, 1), zeros(20, 0);
  const Norm expected = batch_norm_of(x, ones, zeros, {}, {}, 1e-5);
  const BatchNorm norm = batch_norm(array(x), vector(ones), vector(zeros));
  for (std::size_t c = 0; c < 20; ++c)
    EXPECT_NEAR(host<float>(norm.variance)[c], expected.variance[c], 1e-4 * expected.variance[c]);
}

// d sum(grad * out) / d input, one coordinate at a time, from the plain forward in double.
TEST_P(TrainingRowsTest, GradientIsThatOfFiniteDifferences) {
  constexpr double kStep = 1e-5, kEps = 1e-3;
  for (const std::size_t channels : {1, 3, 19}) {
    for (const Activation& activation : kActivations) {
      Matrix x = test_data::real(11, channels, 6), residual = test_data::real(11, channels, 7);
      auto weight = test_data::real(1, channels, 8).values, bias = test_data::real(1, channels, 9).values;
      const Matrix grad = test_data::real(11, channels, 10);
      const BatchNormOptions options{kEps, array(residual), activation};
      const BatchNorm forward = batch_norm(array(x), vector(weight), vector(bias), options);
      const auto gradients =
          batch_norm_backward(array(x), vector(weight), forward, array(grad), kEps, activation, true);
      const auto loss = [&] {
        return oracle::dot(grad, batch_norm_of(x, weight, bias, residual, activation, kEps).out);
      };
      const auto slopes = [&](std::vector<double>& values) {
        Matrix result(1, values.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
          const double kept = values[i];
          values[i] = kept + kStep;
          const double above = loss();
          values[i] = kept - kStep;
          result.values[i] = (above - loss()) / (2 * kStep);
          values[i] = kept;
        }
        return result;
      };
      const auto near = [&](const Array& actual, const Matrix& expected) {
        const auto values = host<float>(actual);
        ASSERT_EQ(values.size(), expected.values.size());
        for (std::size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(values[i], expected.values[i], 2e-4) << i;
      };
      near(gradients.input, slopes(x.values));
      near(gradients.weight, slopes(weight));
      near(gradients.bias, slopes(bias));
      near(*gradients.residual, slopes(residual.values));
    }
  }
}

// More rows than one chunk, by the closed form in double.
TEST_P(TrainingRowsTest, GradientOfManyRowsAtAllWidths) {
  for (const std::size_t channels : {1, 8, 16, 31, 32, 33, 64, 67, 130}) {
    const std::size_t rows = 1100;
    const Matrix x = test_data::real(rows, channels, 11), grad = test_data::real(rows, channels, 12);
    const auto weight = test_data::real(1, channels, 13).values;
    const std::vector<double> zeros(channels, 0);
    const BatchNorm forward =
        batch_norm(array(x), vector(weight), vector(zeros), {1e-5F, std::nullopt, {Kind::kRelu, 0}});
    const auto gradients = batch_norm_backward(array(x), vector(weight), forward, array(grad), 1e-5F, {Kind::kRelu, 0});
    EXPECT_FALSE(gradients.residual);
    const auto from_input = batch_norm_backward(array(x), vector(weight), {Array(), forward.mean, forward.variance},
                                                array(grad), 1e-5F, {Kind::kRelu, 0}, false, vector(zeros));
    expect_same_bits(from_input.input, gradients.input);
    expect_same_bits(from_input.weight, gradients.weight);
    expect_same_bits(from_input.bias, gradients.bias);
    const Norm norm = batch_norm_of(x, weight, zeros, {}, {}, 1e-5);
    Matrix input(rows, channels), of_weight(1, channels), of_bias(1, channels);
    for (std::size_t c = 0; c < channels; ++c) {
      const double inverse = 1 / std::sqrt(norm.variance[c] + 1e-5);
      const auto g = [&](std::size_t r) { return norm.out.at(r, c) > 0 ? grad.at(r, c) : 0.0; };
      const auto hat = [&](std::size_t r) { return (x.at(r, c) - norm.mean[c]) * inverse; };
      for (std::size_t r = 0; r < rows; ++r) {
        of_bias.values[c] += g(r);
        of_weight.values[c] += g(r) * hat(r);
      }
      for (std::size_t r = 0; r < rows; ++r)
        input.at(r, c) = weight[c] * inverse *
                         (g(r) - of_bias.values[c] / static_cast<double>(rows) -
                          hat(r) * of_weight.values[c] / static_cast<double>(rows));
    }
    expect_close(as_row(gradients.input), row_of(input.values));
    expect_close(as_row(gradients.weight), of_weight);
    expect_close(as_row(gradients.bias), of_bias);
  }
}

TEST_P(TrainingRowsTest, LinearBackwardAtAllChannelCounts) {
  const Matrix all = test_data::whole(13, 67, 14), more = test_data::whole(13, 67, 15);
  const Matrix numbers = test_data::whole(67 * 67, 1, 16);
  for (std::size_t cin = 1; cin <= 67; ++cin)
    for (std::size_t cout = 1; cout <= 67; ++cout) {
      if (left_out(cin, cout)) continue;
      Matrix x(13, cin), grad(13, cout), weight(cin, cout), transposed(cout, cin), x_transposed(cin, 13);
      std::copy_n(all.values.begin(), x.values.size(), x.values.begin());
      std::copy_n(more.values.begin(), grad.values.size(), grad.values.begin());
      std::copy_n(numbers.values.begin(), weight.values.size(), weight.values.begin());
      for (std::size_t i = 0; i < cin; ++i) {
        for (std::size_t o = 0; o < cout; ++o) transposed.at(o, i) = weight.at(i, o);
        for (std::size_t r = 0; r < 13; ++r) x_transposed.at(i, r) = x.at(r, i);
      }
      const auto gradients = linear_backward(array(x), array(weight), array(grad));
      SCOPED_TRACE(std::to_string(cin) + " -> " + std::to_string(cout));
      expect_equal(*gradients.input, oracle::linear(grad, transposed));
      expect_equal(*gradients.weight, oracle::linear(x_transposed, grad));
    }
}

TEST_P(TrainingRowsTest, SumOfRows) {
  for (const std::size_t rows : {0, 1, 511, 512, 513, 3000})
    for (const std::size_t channels : {1, 7, 32, 67}) {
      const Matrix x = test_data::whole(rows, channels, 17);
      Matrix sum(1, channels);
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < channels; ++c) sum.values[c] += x.at(r, c);
      expect_equal(as_row(sum_rows(array(x))), sum);
    }
}

TEST_P(TrainingRowsTest, TheSameBitsOnAnyNumberOfThreads) {
  const Array x = array(test_data::real(9001, 24, 18)), grad = array(test_data::real(9001, 24, 19));
  const Array weight = vector(test_data::real(1, 24, 20).values), matrix = array(test_data::real(24, 24, 21));
  const auto run = [&](int threads) {
    set_num_threads(threads);
    const BatchNorm norm = batch_norm(x, weight, weight, {1e-5F, std::nullopt, {Kind::kRelu, 0}});
    const auto of_norm = batch_norm_backward(x, weight, norm, grad, 1e-5F, {Kind::kRelu, 0});
    const auto of_linear = linear_backward(x, matrix, grad);
    return std::vector<Array>{norm.out,     norm.mean,         norm.variance,    of_norm.input, of_norm.weight,
                              of_norm.bias, *of_linear.weight, *of_linear.input, sum_rows(x)};
  };
  const auto expected = run(1);
  for (const int threads : {2, 3, 5}) {
    const auto results = run(threads);
    for (std::size_t i = 0; i < results.size(); ++i) expect_same_bits(results[i], expected[i]);
  }
}

TEST_P(TrainingRowsTest, LinearBackwardWithoutChannels) {
  for (const auto& [cin, cout] : {std::pair{0, 3}, {4, 0}, {0, 0}}) {
    SCOPED_TRACE(std::to_string(cin) + " -> " + std::to_string(cout));
    const auto gradients =
        linear_backward(array(Matrix(2, static_cast<std::size_t>(cin)), {2, cin}), array(Matrix(), {cin, cout}),
                        array(Matrix(2, static_cast<std::size_t>(cout)), {2, cout}));
    expect_equal(*gradients.input, Matrix(2, static_cast<std::size_t>(cin)));
    EXPECT_EQ(gradients.weight->shape(), (Shape{cin, cout}));
  }
}

TEST_P(TrainingRowsTest, NoRowsAndOneRow) {
  const BatchNorm none = batch_norm(array(Matrix(), {0, 3}), vector({1, 1, 1}), vector({0, 0, 0}));
  expect_equal(as_row(none.mean), Matrix(1, 3));
  expect_equal(as_row(none.variance), Matrix(1, 3));
  const auto gradients = batch_norm_backward(array(Matrix(), {0, 3}), vector({1, 1, 1}), none, array(Matrix(), {0, 3}));
  expect_equal(as_row(gradients.weight), Matrix(1, 3));
  Matrix one(1, 3);
  one.values = {5, -2, 8};
  const BatchNorm norm = batch_norm(array(one), vector({1, 1, 1}), vector({1, 2, 3}));
  Matrix bias(1, 3);
  bias.values = {1, 2, 3};
  expect_equal(norm.out, bias);
}

TEST_P(TrainingRowsTest, Errors) {
  const Array x = array(test_data::real(4, 3, 1)), three = vector({1, 1, 1}), two = vector({1, 1});
  expect_throw([&] { batch_norm(x, two, three); }, {"[batch_norm] weight expects f32 [3], found f32 [2]"});
  expect_throw([&] { batch_norm(x, three, two); }, {"[batch_norm] bias"});
  expect_throw([&] { batch_norm(x, three, three, {0.0F, std::nullopt, {}}); }, {"[batch_norm] eps must be above 0"});
  expect_throw([&] { batch_norm(x, three, three, {1e-5F, array(Matrix(3, 3)), {}}); }, {"[batch_norm] residual"});
  const BatchNorm norm = batch_norm(x, three, three);
  expect_throw([&] { batch_norm_backward(x, three, norm, array(Matrix(4, 2))); },
               {"[batch_norm_backward] grad expects f32 [4, 3]"});
  expect_throw([&] { batch_norm_backward(x, three, norm, x, 1e-5F, {}, false, two); },
               {"[batch_norm_backward] bias expects f32 [3]"});
  expect_throw([&] { batch_norm_backward(x, three, norm, x, 1e-5F, {}, true, three); },
               {"[batch_norm_backward] after a residual"});
  expect_throw(
      [&] {
        batch_norm_backward(x, three, {Array(), norm.mean, norm.variance}, x);
      },
      {"[batch_norm_backward] out expects f32 [4, 3]"});
  expect_throw([&] { linear_backward(x, array(Matrix(2, 5)), array(Matrix(4, 5))); },
               {"[linear_backward] weight expects f32 [3, 5], found f32 [2, 5]"});
  expect_throw([&] { linear_backward(x, array(Matrix(3, 5)), array(Matrix(3, 5))); },
               {"[linear_backward] grad expects f32 [4, 5]"});
  expect_throw([&] { sum_rows(three); }, {"[sum_rows] x expects f32 [N, C]"});
}

}  // namespace
}  // namespace voxshift
