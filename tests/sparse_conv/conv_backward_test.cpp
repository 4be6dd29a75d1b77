// Gradients of the convolutions on sparse tensors. Whole numbers: every sum is exact in float32 whatever its order.
#include <gtest/gtest.h>
#include <voxshift/sparse_conv/conv_backward.h>

#include <algorithm>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coords;
using oracle::Matrix;
using oracle::Pair;

// input[i] += grad[o] W[k]^T
Matrix input_gradient(const Matrix& grad, const std::vector<Pair>& pairs, const Matrix& weights, std::size_t rows,
                      std::size_t cin) {
  Matrix gradient(rows, cin);
  for (const Pair& p : pairs)
    for (std::size_t i = 0; i < cin; ++i)
      for (std::size_t o = 0; o < weights.cols; ++o)
        gradient.at(p.in, i) += grad.at(p.out, o) * weights.at(p.k * cin + i, o);
  return gradient;
}

// weight[k] += in[i]^T grad[o]
Matrix weight_gradient(const Matrix& in, const Matrix& grad, const std::vector<Pair>& pairs, std::size_t volume) {
  Matrix gradient(volume * in.cols, grad.cols);
  for (const Pair& p : pairs)
    for (std::size_t i = 0; i < in.cols; ++i)
      for (std::size_t o = 0; o < grad.cols; ++o)
        gradient.at(p.k * in.cols + i, o) += in.at(p.in, i) * grad.at(p.out, o);
  return gradient;
}

Array flat(const Array& weight) { return weight.reshaped({weight.dim(0) * weight.dim(1), weight.dim(2)}); }

class ConvBackwardTest : public DeviceTest {
 protected:
  void expect_gradients(const ConvGradients& gradients, const Matrix& in, const Matrix& grad, const Matrix& weights,
                        const std::vector<Pair>& pairs, std::size_t volume) const {
    expect_equal(*gradients.input, input_gradient(grad, pairs, weights, in.rows, in.cols));
    expect_equal(flat(*gradients.weight), weight_gradient(in, grad, pairs, volume));
  }

  // Of a convolution, and of a transposed one back on its map.
  void expect_backward(const Coords& coords, const oracle::Window& w, std::size_t cin, std::size_t cout,
                       const std::vector<int>& shape = {}) const {
    SCOPED_TRACE(describe(w) + ", " + std::to_string(cin) + " -> " + std::to_string(cout));
    const std::size_t volume = oracle::volume(w);
    const Matrix in = test_data::whole(coords.size(), cin, 1), weights = test_data::whole(volume * cin, cout, 2);
    SparseTensor::Options options;
    if (!shape.empty()) options.shape = extents(shape);
    const SparseTensor x = tensor(coords, in, options);
    const Coords outputs = oracle::outputs(coords, w, shape);
    const auto pairs = oracle::pairs(coords, outputs, w);
    const Matrix grad = test_data::whole(outputs.size(), cout, 3);
    expect_gradients(conv_backward(x, weight(weights, volume), array(grad), options_of(w)), in, grad, weights, pairs,
                     volume);

    const SparseTensor y = conv(x, weight(weights, volume), options_of(w));
    const Matrix coarse = test_data::whole(outputs.size(), cin, 4),
                 fine_grad = test_data::whole(coords.size(), cout, 5);
    expect_gradients(conv_transpose_backward(y.with_features(array(coarse)), weight(weights, volume), array(fine_grad),
                                             options_of(w)),
                     coarse, fine_grad, weights, oracle::swapped(pairs), volume);
  }
};
VOXSHIFT_FOR_EACH_DEVICE(ConvBackwardTest);

TEST_P(ConvBackwardTest, FloorWindowsOnEveryDimension) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const auto& w : test_data::floor_windows(dims)) expect_backward(test_data::cloud(dims, 60, 1), w, 3, 5);
}

TEST_P(ConvBackwardTest, BoundedWindowsOnEveryDimension) {
  for (int dims = 1; dims <= 4; ++dims) {
    const auto coords = test_data::cloud(dims, 50, 2, 0);
    for (const auto& w : test_data::bounded_windows(dims))
      expect_backward(coords, w, 3, 5, test_data::shape_of(coords));
  }
}

TEST_P(ConvBackwardTest, AllChannelCounts) {
  const auto w = test_data::cube(1, 2);
  const auto coords = test_data::cloud(1, 17, 3);
  const auto pairs = oracle::pairs(coords, coords, w);
  const Matrix all = test_data::whole(coords.size(), 67, 1), more = test_data::whole(coords.size(), 67, 2);
  const Matrix numbers = test_data::whole(2 * 67 * 67, 1, 3);
  const SparseTensor x = tensor(coords, Matrix(coords.size(), 1));
  for (std::size_t cin = 1; cin <= 67; ++cin)
    for (std::size_t cout = 1; cout <= 67; ++cout) {
      if (left_out(cin, cout)) continue;
      Matrix in(coords.size(), cin), grad(coords.size(), cout), weights(2 * cin, cout);
      std::copy_n(all.values.begin(), in.values.size(), in.values.begin());
      std::copy_n(more.values.begin(), grad.values.size(), grad.values.begin());
      std::copy_n(numbers.values.begin(), weights.values.size(), weights.values.begin());
      SCOPED_TRACE(std::to_string(cin) + " -> " + std::to_string(cout));
      expect_gradients(conv_backward(x.with_features(array(in)), weight(weights, 2), array(grad), options_of(w)), in,
                       grad, weights, pairs, 2);
    }
}

// More pairs of an offset than one chunk has, and numbers of pairs around a block's 128.
TEST_P(ConvBackwardTest, ManyPairs) {
  for (const std::size_t rows :
       emulated() ? std::vector{127, 128, 129, 8193} : std::vector{127, 128, 129, 8191, 8192, 8193, 16500})
    expect_backward(test_data::cloud(2, rows, 4), test_data::cube(2, rows > 1000 ? 1 : 3), 3, 18);
}

TEST_P(ConvBackwardTest, WideLayers) {
  const auto coords = test_data::cloud(3, emulated() ? 150 : 700, 5);
  expect_backward(coords, test_data::cube(3, 3), 163, 96);
  expect_backward(coords, test_data::cube(3, 2, 2), 40, 128);
}

TEST_P(ConvBackwardTest, Generative) {
  for (int dims = 1; dims <= 4; ++dims) {
    const auto w = test_data::cube(dims, 3, 2);
    const std::size_t volume = oracle::volume(w);
    const auto coords = test_data::cloud(dims, 40, 6), fine = oracle::generated(coords, w);
    const Matrix in = test_data::whole(coords.size(), 3, 1), weights = test_data::whole(volume * 3, 5, 2);
    const Matrix grad = test_data::whole(fine.size(), 5, 3);
    SparseTensor::Options options;
    options.stride = extents(w.stride);
    expect_gradients(generative_conv_transpose_backward(tensor(coords, in, options), weight(weights, volume),
                                                        array(grad), options_of(w)),
                     in, grad, weights, oracle::swapped(oracle::pairs(fine, coords, w)), volume);
  }
}

TEST_P(ConvBackwardTest, GenerativeWithinBounds) {
  auto w = test_data::bounded(test_data::cube(3, 3, 2), 1);
  w.output_pad = 1;
  const std::size_t volume = oracle::volume(w);
  const auto coords = test_data::cloud(3, 40, 6, 0);
  const auto shape = test_data::shape_of(coords);
  const auto fine = oracle::generated_within(coords, w, oracle::finer_shape(shape, w));
  const Matrix in = test_data::whole(coords.size(), 3, 1), weights = test_data::whole(volume * 3, 5, 2);
  const Matrix grad = test_data::whole(fine.size(), 5, 3);
  SparseTensor::Options options;
  options.stride = extents(w.stride);
  options.shape = extents(shape);
  expect_gradients(generative_conv_transpose_backward(tensor(coords, in, options), weight(weights, volume), array(grad),
                                                      options_of(w)),
                   in, grad, weights, oracle::swapped(oracle::pairs(fine, coords, w)), volume);
}

// <grad, conv(x)> = <input, x> = <weight, W>: the convolution is linear in both.
TEST_P(ConvBackwardTest, IsTheAdjoint) {
  const auto coords = test_data::cloud(3, 700, 7);
  for (const auto& w : {test_data::cube(3, 3), test_data::cube(3, 2, 2), test_data::cube(3, 3, 1, 2)}) {
    const std::size_t volume = oracle::volume(w);
    const Matrix in = test_data::whole(coords.size(), 6, 8), weights = test_data::whole(volume * 6, 9, 9);
    const SparseTensor x = tensor(coords, in);
    const SparseTensor y = conv(x, weight(weights, volume), options_of(w));
    const Matrix grad = test_data::whole(static_cast<std::size_t>(y.size()), 9, 10);
    const auto gradients = conv_backward(x, weight(weights, volume), array(grad), options_of(w));
    const auto dot = [](const Array& a, const std::vector<double>& b) {
      const auto values = host<float>(a);
      double sum = 0;
      for (std::size_t i = 0; i < b.size(); ++i) sum += values[i] * b[i];
      return sum;
    };
    const double expected = dot(y.features(), grad.values);
    EXPECT_EQ(dot(*gradients.input, in.values), expected);
    EXPECT_EQ(dot(*gradients.weight, weights.values), expected);
  }
}

TEST_P(ConvBackwardTest, RealNumbersWithinTheTolerance) {
  const auto coords = test_data::cloud(3, 3000, 11);
  const auto w = test_data::cube(3, 3);
  const auto pairs = oracle::pairs(coords, coords, w);
  const Matrix in = test_data::real(coords.size(), 32, 12), weights = test_data::real(27 * 32, 24, 13);
  const Matrix grad = test_data::real(coords.size(), 24, 14);
  const auto gradients = conv_backward(tensor(coords, in), weight(weights, 27), array(grad), options_of(w));
  expect_close(*gradients.input, input_gradient(grad, pairs, weights, coords.size(), 32));
  expect_close(flat(*gradients.weight), weight_gradient(in, grad, pairs, 27));
}

TEST_P(ConvBackwardTest, TheSameBitsOnAnyNumberOfThreads) {
  const auto coords = test_data::cloud(3, 10000, 15);
  const Array weights = weight(test_data::real(27 * 20, 20, 17), 27),
              grad = array(test_data::real(coords.size(), 20, 18));
  const SparseTensor x = tensor(coords, test_data::real(coords.size(), 20, 16));
  set_num_threads(1);
  const auto expected = conv_backward(x, weights, grad);
  for (const int threads : {2, 3, 5}) {
    set_num_threads(threads);
    const auto gradients = conv_backward(x, weights, grad);
    expect_same_bits(*gradients.input, *expected.input);
    expect_same_bits(*gradients.weight, *expected.weight);
  }
}

TEST_P(ConvBackwardTest, GivesWhatIsWanted) {
  const SparseTensor x = tensor({{0, 1}, {0, 2}}, test_data::whole(2, 3, 1));
  const Array weights = weight(test_data::whole(9, 4, 2), 3), grad = array(test_data::whole(2, 4, 3));
  const auto input = conv_backward(x, weights, grad, {}, {true, false});
  EXPECT_TRUE(input.input && !input.weight);
  const auto weight_only = conv_backward(x, weights, grad, {}, {false, true});
  EXPECT_TRUE(!weight_only.input && weight_only.weight);
}

TEST_P(ConvBackwardTest, AddsTheGradientOfAnotherUse) {
  const auto coords = test_data::cloud(3, 500, 19);
  const auto w = test_data::cube(3, 3);
  const Matrix in = test_data::whole(coords.size(), 5, 20), weights = test_data::whole(27 * 5, 7, 21),
               grad = test_data::whole(coords.size(), 7, 22), other = test_data::whole(coords.size(), 5, 23);
  Matrix expected = input_gradient(grad, oracle::pairs(coords, coords, w), weights, coords.size(), 5);
  for (std::size_t i = 0; i < expected.values.size(); ++i) expected.values[i] += other.values[i];
  const auto gradients =
      conv_backward(tensor(coords, in), weight(weights, 27), array(grad), options_of(w), {}, array(other));
  expect_equal(*gradients.input, expected);
}

TEST_P(ConvBackwardTest, EmptyTensorAndNoChannels) {
  const SparseTensor none(array(Coords{}, 3), array(Matrix(), {0, 4}));
  const auto gradients = conv_backward(none, weight(test_data::whole(27 * 4, 2, 1), 27), array(Matrix(), {0, 2}));
  EXPECT_EQ(gradients.input->shape(), (Shape{0, 4}));
  expect_equal(flat(*gradients.weight), Matrix(27 * 4, 2));
  const SparseTensor bare = tensor({{0, 1}, {0, 2}}, Matrix(2, 0));
  EXPECT_EQ(conv_backward(bare, array(Matrix(), {3, 0, 5}), array(Matrix(2, 5))).weight->shape(), (Shape{3, 0, 5}));
  const SparseTensor x = tensor({{0, 1}, {0, 2}}, test_data::whole(2, 4, 2));
  const auto nothing = conv_backward(x, array(Matrix(), {3, 4, 0}), array(Matrix(), {2, 0}));
  expect_equal(*nothing.input, Matrix(2, 4));
  EXPECT_EQ(nothing.weight->shape(), (Shape{3, 4, 0}));
}

TEST_P(ConvBackwardTest, Errors) {
  const SparseTensor x = tensor({{0, 1}, {0, 2}}, test_data::whole(2, 3, 1));
  const Array weights = weight(test_data::whole(9, 4, 2), 3);
  expect_throw([&] { conv_backward(x, weights, array(Matrix(2, 5))); },
               {"[conv_backward] grad expects f32 [2, 4]", "[2, 5]"});
  expect_throw([&] { conv_backward(x, weights, array(Matrix(3, 4))); }, {"[conv_backward] grad", "[3, 4]"});
  expect_throw([&] { conv_backward(x, weight(test_data::whole(6, 4, 2), 3), array(Matrix(2, 4))); },
               {"[conv_backward] weight expects 2 channels, tensor has 3"});
  expect_throw([&] { conv_backward(x, weights, array(Matrix(2, 4)), {}, {}, array(Matrix(2, 4))); },
               {"[conv_backward] added expects f32 [2, 3]", "[2, 4]"});
  expect_throw([&] { conv_transpose_backward(x, weights, array(Matrix(2, 4)), options_of(test_data::cube(1, 3, 2))); },
               {"[conv_transpose_backward]", "cannot go up"});
}

}  // namespace
}  // namespace voxshift
