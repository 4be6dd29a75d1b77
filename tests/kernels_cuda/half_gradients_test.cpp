// Convolutions and linear layers on halves, and their gradients, against plain loops in double on the same rounded
// numbers. Sums of whole numbers are exact in f32, so results are the rounded ones bit by bit.
#include <gtest/gtest.h>
#include <voxshift/rows/ops.h>
#include <voxshift/rows/training.h>
#include <voxshift/sparse_conv/conv_backward.h>
#include <voxshift/sparse_conv/kernels.h>

#include <vector>

#include "half_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coords;
using oracle::Matrix;
using oracle::Pair;

constexpr DType kHalves[] = {DType::kF16, DType::kBF16};

Matrix transposed(const Matrix& m) {
  Matrix result(m.cols, m.rows);
  for (std::size_t r = 0; r < m.rows; ++r)
    for (std::size_t c = 0; c < m.cols; ++c) result.at(c, r) = m.at(r, c);
  return result;
}

// W[k]^T below each other
Matrix transposed(const Matrix& weights, std::size_t volume) {
  const std::size_t cin = weights.rows / volume;
  Matrix result(volume * weights.cols, cin);
  for (std::size_t k = 0; k < volume; ++k)
    for (std::size_t i = 0; i < cin; ++i)
      for (std::size_t o = 0; o < weights.cols; ++o) result.at(k * weights.cols + o, i) = weights.at(k * cin + i, o);
  return result;
}

// weight[k] = sum of in[i]^T grad[o], and the same of sizes.
Matrix weight_gradient(const Matrix& in, const Matrix& grad, const std::vector<Pair>& pairs, std::size_t volume,
                       bool sizes = false) {
  Matrix gradient(volume * in.cols, grad.cols);
  for (const Pair& p : pairs)
    for (std::size_t i = 0; i < in.cols; ++i)
      for (std::size_t o = 0; o < grad.cols; ++o) {
        const double term = in.at(p.in, i) * grad.at(p.out, o);
        gradient.at(p.k * in.cols + i, o) += sizes ? std::abs(term) : term;
      }
  return gradient;
}

Matrix part(const Matrix& m, std::size_t rows, std::size_t cols) {
  Matrix result(rows, cols);
  std::copy_n(m.values.begin(), result.values.size(), result.values.begin());
  return result;
}

class HalfGradientsTest : public HalfTest {
 protected:
  void expect_gradients(const ConvGradients& gradients, const Matrix& in, const Matrix& grad, const Matrix& weights,
                        const std::vector<Pair>& pairs, std::size_t volume, DType dtype) const {
    expect_numbers(*gradients.input, oracle::conv(grad, oracle::swapped(pairs), transposed(weights, volume), in.rows),
                   dtype);
    expect_numbers(*gradients.weight, weight_gradient(in, grad, pairs, volume), DType::kF32);
  }

  // Of a convolution, and of a transposed one back on its map.
  void expect_backward(const Coords& coords, const oracle::Window& w, std::size_t cin, std::size_t cout,
                       DType dtype) const {
    SCOPED_TRACE(describe(w) + ", " + std::to_string(cin) + " -> " + std::to_string(cout) + ", " + name(dtype));
    const std::size_t volume = oracle::volume(w);
    const Matrix in = test_data::whole(coords.size(), cin, 1), weights = test_data::whole(volume * cin, cout, 2);
    const SparseTensor x(array(coords, static_cast<int>(coords[0].size()) - 1), converted(array(in), dtype));
    const Coords outputs = oracle::outputs(coords, w, {});
    const auto pairs = oracle::pairs(coords, outputs, w);
    const Matrix grad = test_data::whole(outputs.size(), cout, 3);
    const Array kernel = weight(weights, volume);
    const SparseTensor y = conv(x, kernel, options_of(w));
    expect_numbers(y.features(), oracle::conv(in, pairs, weights, outputs.size()), dtype);
    expect_gradients(conv_backward(x, kernel, converted(array(grad), dtype), options_of(w)), in, grad, weights, pairs,
                     volume, dtype);

    const Matrix coarse = test_data::whole(outputs.size(), cin, 4), fine = test_data::whole(coords.size(), cout, 5);
    const SparseTensor down = y.with_features(converted(array(coarse), dtype));
    const auto back = oracle::swapped(pairs);
    expect_numbers(conv_transpose(down, kernel, options_of(w)).features(),
                   oracle::conv(coarse, back, weights, coords.size()), dtype);
    expect_gradients(conv_transpose_backward(down, kernel, converted(array(fine), dtype), options_of(w)), coarse, fine,
                     weights, back, volume, dtype);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, HalfGradientsTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(HalfGradientsTest, ManyWindows) {
  const auto coords = test_data::cloud(3, 300, 1);
  for (const DType dtype : kHalves)
    for (const auto& w : {test_data::cube(3, 1), test_data::cube(3, 2, 2), test_data::cube(3, 3, 2),
                          test_data::cube(3, 3, 1, 2), test_data::cube(3, 3)})
      expect_backward(coords, w, 16, 24, dtype);
}

// Below, at and above what a thread copies, a warp multiplies and a block owns.
TEST_P(HalfGradientsTest, AllChannelCounts) {
  const Matrix all = test_data::whole(41, 67, 6), more = test_data::whole(41, 67, 7);
  const Matrix numbers = test_data::whole(67 * 67, 1, 8);
  for (const DType dtype : kHalves)
    for (std::size_t cin = 1; cin <= 67; ++cin)
      for (std::size_t cout = 1; cout <= 67; ++cout) {
        if (left_out(cin, cout)) continue;
        SCOPED_TRACE(std::to_string(cin) + " -> " + std::to_string(cout) + ", " + name(dtype));
        const Matrix in = part(all, 41, cin), grad = part(more, 41, cout), weights = part(numbers, cin, cout);
        const Array x = converted(array(in), dtype), matrix = array(weights);
        expect_numbers(linear(x, matrix), oracle::linear(in, weights), dtype);
        const auto gradients = linear_backward(x, matrix, converted(array(grad), dtype));
        expect_numbers(*gradients.input, oracle::linear(grad, transposed(weights)), dtype);
        expect_numbers(*gradients.weight, oracle::linear(transposed(in), grad), DType::kF32);
      }
}

TEST_P(HalfGradientsTest, WideLayers) {
  const auto coords = test_data::cloud(3, emulated() ? 150 : 700, 9);
  for (const DType dtype : kHalves) {
    expect_backward(coords, test_data::cube(3, 3), 163, 96, dtype);
    expect_backward(coords, test_data::cube(3, 2, 2), 40, 130, dtype);
  }
}

// Around the pairs of a stage, of the stages under way, and of the least share of a block.
TEST_P(HalfGradientsTest, NumbersOfRows) {
  for (const DType dtype : kHalves)
    for (const std::size_t rows : {0, 1, 2, 31, 32, 33, 95, 96, 97, 129, 1023, 1024, 1025, 2600}) {
      SCOPED_TRACE(rows);
      const Matrix in = test_data::whole(rows, 12, 10), grad = test_data::whole(rows, 40, 11);
      const Matrix weights = test_data::whole(12, 40, 12);
      const auto gradients =
          linear_backward(converted(array(in), dtype), array(weights), converted(array(grad), dtype));
      expect_numbers(*gradients.input, oracle::linear(grad, transposed(weights)), dtype);
      expect_numbers(*gradients.weight, oracle::linear(transposed(in), grad), DType::kF32);
    }
}

TEST_P(HalfGradientsTest, Generative) {
  const auto w = test_data::cube(2, 3, 2);
  const auto coords = test_data::cloud(2, 60, 13), fine = oracle::generated(coords, w);
  const auto pairs = oracle::swapped(oracle::pairs(fine, coords, w));
  const Matrix in = test_data::whole(coords.size(), 9, 14), weights = test_data::whole(9 * 9, 17, 15);
  const Matrix grad = test_data::whole(fine.size(), 17, 16);
  SparseTensor::Options options;
  options.stride = extents(w.stride);
  for (const DType dtype : kHalves) {
    const SparseTensor x(array(coords, 2), converted(array(in), dtype), options);
    expect_numbers(generative_conv_transpose(x, weight(weights, 9), options_of(w)).features(),
                   oracle::conv(in, pairs, weights, fine.size()), dtype);
    expect_gradients(
        generative_conv_transpose_backward(x, weight(weights, 9), converted(array(grad), dtype), options_of(w)), in,
        grad, weights, pairs, 9, dtype);
  }
}

// Products of halves are exact in f32. Of n terms a stage adds 32 and rounds or cuts off each, the stages follow.
TEST_P(HalfGradientsTest, RealNumbersWithinTheTolerance) {
  const std::size_t rows = emulated() ? 700 : 30000;
  const auto coords = test_data::cloud(3, rows, 17);
  const auto w = test_data::cube(3, 3);
  const auto pairs = oracle::pairs(coords, coords, w);
  for (const DType dtype : kHalves) {
    const Matrix in = rounded(test_data::real(rows, 24, 18), dtype),
                 grad = rounded(test_data::real(rows, 40, 19), dtype);
    const Matrix weights = test_data::real(27 * 24, 40, 20);  // the op rounds them
    const SparseTensor x(array(coords, 3), converted(array(in), dtype));
    const auto gradients = conv_backward(x, weight(weights, 27), converted(array(grad), dtype), options_of(w));
    const Matrix expected = weight_gradient(in, grad, pairs, 27), sizes = weight_gradient(in, grad, pairs, 27, true);
    const Matrix found = numbers(*gradients.weight);
    const double adds = 32 + static_cast<double>(rows) / 32;
    for (std::size_t i = 0; i < expected.values.size(); ++i)
      ASSERT_NEAR(found.values[i], expected.values[i], adds * 0x1p-23 * sizes.values[i]) << "number " << i;

    const Matrix turned = transposed(rounded(weights, dtype), 27);
    const auto back = oracle::swapped(pairs);
    const auto size = [](const Matrix& m) { return oracle::apply(m, [](double v) { return std::abs(v); }); };
    const Matrix input = oracle::conv(grad, back, turned, rows),
                 input_sizes = oracle::conv(size(grad), back, size(turned), rows);
    const Matrix input_found = numbers(*gradients.input);
    const double half = dtype == DType::kF16 ? 0x1p-11 : 0x1p-8;
    for (std::size_t i = 0; i < input.values.size(); ++i)
      ASSERT_NEAR(input_found.values[i], input.values[i],
                  half * std::abs(input.values[i]) + 27 * 40 * 0x1p-23 * input_sizes.values[i])
          << "number " << i;
  }
}

TEST_P(HalfGradientsTest, TheSameBitsOnEveryRun) {
  const std::size_t rows = 2100;
  const auto coords = test_data::cloud(2, rows, 21);
  for (const DType dtype : kHalves) {
    const SparseTensor x(array(coords, 2), converted(array(test_data::real(rows, 20, 22)), dtype));
    const Array kernel = weight(test_data::real(2 * 20, 12, 23), 2), matrix = array(test_data::real(20, 12, 24));
    const Array grad = converted(array(test_data::real(rows, 12, 25)), dtype);
    const auto w = oracle::Window{{1, 2}, {1, 1}, {1, 1}, {0, 0}};
    const auto first = conv_backward(x, kernel, grad, options_of(w));
    const auto first_linear = linear_backward(x.features(), matrix, grad);
    for (int run = 1; run < 10; ++run) {
      const auto again = conv_backward(x, kernel, grad, options_of(w));
      const auto again_linear = linear_backward(x.features(), matrix, grad);
      expect_same_bits(*again.input, *first.input);
      expect_same_bits(*again.weight, *first.weight);
      expect_same_bits(*again_linear.input, *first_linear.input);
      expect_same_bits(*again_linear.weight, *first_linear.weight);
    }
  }
}

TEST_P(HalfGradientsTest, AddsTheGradientOfAnotherUse) {
  const auto coords = test_data::cloud(3, 200, 26);
  const auto w = test_data::cube(3, 3);
  const Matrix in = test_data::whole(200, 5, 27), weights = test_data::whole(27 * 5, 7, 28);
  const Matrix grad = test_data::whole(200, 7, 29), other = test_data::whole(200, 5, 30);
  const auto back = oracle::swapped(oracle::pairs(coords, coords, w));
  for (const DType dtype : kHalves) {
    const SparseTensor x(array(coords, 3), converted(array(in), dtype));
    const auto gradients = conv_backward(x, weight(weights, 27), converted(array(grad), dtype), options_of(w), {},
                                         converted(array(other), dtype));
    expect_numbers(*gradients.input, oracle::plus(oracle::conv(grad, back, transposed(weights, 27), 200), other),
                   dtype);
  }
}

// Slices whose rows are no multiples of 16 bytes, beside each other in wider rows.
TEST_P(HalfGradientsTest, SlicesOfColumns) {
  const Matrix wide = test_data::whole(70, 50, 31), grad = test_data::whole(70, 18, 32);
  for (const DType dtype : kHalves)
    for (const std::size_t first : {8U, 3U}) {
      const Array rows = converted(array(wide), dtype), grads = converted(array(grad), dtype);
      Array out({20, 18}, DType::kF32, device());
      row_kernels(device()).weight_gradient(context(), rows_of(rows).columns(static_cast<std::int64_t>(first), 20),
                                            rows_of(grads), out.data<float>());
      Matrix slice(70, 20);
      for (std::size_t r = 0; r < 70; ++r)
        for (std::size_t c = 0; c < 20; ++c) slice.at(r, c) = wide.at(r, first + c);
      expect_numbers(out, oracle::linear(transposed(slice), grad), DType::kF32);
    }
}

TEST_P(HalfGradientsTest, EmptyTensorAndNoChannels) {
  for (const DType dtype : kHalves) {
    const auto empty = [&](Shape shape) { return Array(std::move(shape), dtype, device()); };
    const SparseTensor none(array(Coords{}, 3), empty({0, 4}));
    const auto gradients = conv_backward(none, weight(test_data::whole(27 * 4, 2, 1), 27), empty({0, 2}));
    EXPECT_EQ(gradients.input->shape(), (Shape{0, 4}));
    expect_numbers(*gradients.weight, Matrix(27 * 4, 2), DType::kF32);
    const SparseTensor bare(array(Coords{{0, 1}, {0, 2}}, 1), empty({2, 0}));
    EXPECT_EQ(conv_backward(bare, array(Matrix(), {3, 0, 5}), converted(array(Matrix(2, 5)), dtype)).weight->shape(),
              (Shape{3, 0, 5}));
    const SparseTensor x(array(Coords{{0, 1}, {0, 2}}, 1), converted(array(test_data::whole(2, 4, 2)), dtype));
    const auto nothing = conv_backward(x, array(Matrix(), {3, 4, 0}), empty({2, 0}));
    expect_numbers(*nothing.input, Matrix(2, 4), dtype);
  }
}

TEST_P(HalfGradientsTest, Errors) {
  const Coords coords{{0, 1}, {0, 2}};
  const Matrix in = test_data::whole(2, 3, 1), weights = test_data::whole(9, 4, 2);
  const SparseTensor x(array(coords, 1), half(in));
  const Array kernel = weight(weights, 3);
  expect_throw([&] { conv_backward(x, kernel, array(Matrix(2, 4))); },
               {"[conv_backward] grad expects f16 [2, 4], found f32 [2, 4]"});
  expect_throw([&] { conv_backward(x, kernel, half(Matrix(2, 4)), {}, {}, array(in)); },
               {"[conv_backward] added expects f16 [2, 3], found f32 [2, 3]"});
  expect_throw([&] { conv(x, half(weights).reshaped({3, 3, 4})); }, {"[conv] weight expects f32", "f16"});
  ConvOptions options;
  options.residual = tensor(coords, Matrix(2, 4));
  expect_throw([&] { conv(x, kernel, options); }, {"[conv] residual expects f16, found f32"});
  expect_throw([&] { linear_backward(half(in), array(Matrix(3, 5)), array(Matrix(2, 5))); },
               {"[linear_backward] grad expects f16 [2, 5], found f32 [2, 5]"});
}

}  // namespace
}  // namespace voxshift
