// Transposed convolutions, on the map of a convolution and with coordinates of their own.
#include <gtest/gtest.h>
#include <voxshift/sparse_conv/conv.h>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coords;
using oracle::Matrix;

class ConvTransposeTest : public DeviceTest {};
VOXSHIFT_FOR_EACH_DEVICE(ConvTransposeTest);

TEST_P(ConvTransposeTest, AnotherKernelOfTheSameStride) {
  const auto coords = test_data::cloud(3, 500, 15);
  const auto down = test_data::cube(3, 3, 2), up = test_data::cube(3, 2, 2);
  const auto coarse = oracle::floor_outputs(coords, down);
  const SparseTensor x = tensor(coords, test_data::whole(coords.size(), 2, 1));
  const SparseTensor y = conv(x, weight(test_data::whole(27 * 2, 7, 2), 27), options_of(down));
  const Matrix g = test_data::whole(coarse.size(), 7, 3), weights = test_data::whole(8 * 7, 5, 4);
  const SparseTensor z = conv_transpose(y.with_features(array(g)), weight(weights, 8), options_of(up));
  const auto pairs = oracle::swapped(oracle::pairs(coords, coarse, up));
  expect_equal(z.features(), oracle::conv(g, pairs, weights, coords.size()));
}

TEST_P(ConvTransposeTest, GenerativeMakesEveryCellATapReaches) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const auto& w : test_data::floor_windows(dims)) {
      if (oracle::volume(w) > 125) continue;
      SCOPED_TRACE(describe(w));
      const auto coords = test_data::cloud(dims, 40, 16);
      const Matrix in = test_data::whole(coords.size(), 3, 1), weights = test_data::whole(oracle::volume(w) * 3, 5, 2);
      SparseTensor::Options options;
      options.stride = extents(w.stride);
      const SparseTensor y =
          generative_conv_transpose(tensor(coords, in, options), weight(weights, oracle::volume(w)), options_of(w));
      const auto fine = oracle::generated(coords, w);
      ASSERT_EQ(coords_of(y.coords()), fine);
      EXPECT_EQ(y.stride(), extents({1}));
      expect_equal(y.features(),
                   oracle::conv(in, oracle::swapped(oracle::pairs(fine, coords, w)), weights, fine.size()));
    }
}

// spconv's SparseConvTranspose: what the taps reach within the extent, more or less of it at the end.
TEST_P(ConvTransposeTest, GenerativeWithinBounds) {
  for (int dims = 1; dims <= 4; ++dims)
    for (auto w :
         {test_data::bounded(test_data::cube(dims, 3, 2), 1), test_data::bounded(test_data::cube(dims, 2, 3), 0),
          test_data::bounded(test_data::cube(dims, 3, 1, 2), 2)})
      for (const int more : {-1, 0, 1}) {
        SCOPED_TRACE(describe(w));
        w.output_pad = more;
        const auto coords = test_data::cloud(dims, 40, 11, 0);
        const std::vector<int> shape = test_data::shape_of(coords);
        const Matrix in = test_data::whole(coords.size(), 3, 1),
                     weights = test_data::whole(oracle::volume(w) * 3, 5, 2);
        SparseTensor::Options options;
        options.stride = extents(w.stride);
        options.shape = extents(shape);
        const SparseTensor y =
            generative_conv_transpose(tensor(coords, in, options), weight(weights, oracle::volume(w)), options_of(w));
        const std::vector<int> extent = oracle::finer_shape(shape, w);
        const auto fine = oracle::generated_within(coords, w, extent);
        ASSERT_EQ(coords_of(y.coords()), fine);
        EXPECT_EQ(y.shape(), extents(extent));
        expect_equal(y.features(),
                     oracle::conv(in, oracle::swapped(oracle::pairs(fine, coords, w)), weights, fine.size()));
      }
}

// <g, conv(x)> = <conv_transpose(g), x> with every slice of the weight transposed.
TEST_P(ConvTransposeTest, IsTheAdjoint) {
  const auto coords = test_data::cloud(3, 700, 17, 0);
  const std::size_t cin = 6, cout = 9;
  for (const auto& w : {test_data::cube(3, 3), test_data::cube(3, 2, 2), test_data::cube(3, 3, 2, 2),
                        test_data::bounded(test_data::cube(3, 3, 2), 1)}) {
    SCOPED_TRACE(describe(w));
    const std::size_t volume = oracle::volume(w);
    const Matrix in = test_data::whole(coords.size(), cin, 18), weights = test_data::whole(volume * cin, cout, 19);
    Matrix adjoint(volume * cout, cin);
    for (std::size_t k = 0; k < volume; ++k)
      for (std::size_t i = 0; i < cin; ++i)
        for (std::size_t o = 0; o < cout; ++o) adjoint.at(k * cout + o, i) = weights.at(k * cin + i, o);
    SparseTensor::Options options;
    options.shape = extents(test_data::shape_of(coords));
    const SparseTensor x = tensor(coords, in, options);
    const SparseTensor y = conv(x, weight(weights, volume), options_of(w));
    const Matrix g = test_data::whole(static_cast<std::size_t>(y.size()), cout, 20);
    const SparseTensor back = conv_transpose(y.with_features(array(g)), weight(adjoint, volume), options_of(w));
    Matrix forward = g, backward = in;
    const auto values = host<float>(y.features()), back_values = host<float>(back.features());
    forward.values.assign(values.begin(), values.end());
    backward.values.assign(back_values.begin(), back_values.end());
    EXPECT_NE(oracle::dot(g, forward), 0.0);
    EXPECT_EQ(oracle::dot(g, forward), oracle::dot(backward, in));
  }
}

TEST_P(ConvTransposeTest, NeedsWhereToGoBackTo) {
  const SparseTensor x = tensor(test_data::cloud(3, 20, 37), test_data::whole(20, 4, 1));
  const auto down = options_of(test_data::cube(3, 2, 2)), other = options_of(test_data::cube(3, 2, 3));
  const auto weights = weight(test_data::whole(8 * 4, 4, 2), 8);
  expect_throw([&] { conv_transpose(x, weights, down); }, {"[conv_transpose]", "stride 1", "2"});
  SparseTensor::Options coarse;
  coarse.stride = extents({2, 2, 2});
  const SparseTensor orphan = tensor(test_data::cloud(3, 20, 37), test_data::whole(20, 4, 1), coarse);
  expect_throw([&] { conv_transpose(orphan, weights, down); }, {"[conv_transpose]", "generative_conv_transpose"});
  const SparseTensor y = conv(x, weights, down);
  expect_throw([&] { conv_transpose(y, weights, other); }, {"[conv_transpose]", "3"});
  SparseTensor::Options third;
  third.stride = extents({3, 3, 3});
  const SparseTensor z = conv(tensor(test_data::cloud(3, 20, 37), test_data::whole(20, 4, 1), third), weights, down);
  expect_throw([&] { conv_transpose(z, weights, other); }, {"[conv_transpose]", "generative_conv_transpose"});
  expect_throw([&] { conv_transpose(y, weight(test_data::whole(8 * 3, 4, 2), 8), down); },
               {"[conv_transpose]", "weight expects 3 channels"});
  expect_throw([&] { generative_conv_transpose(x, weights, down); }, {"[generative_conv_transpose]", "stride 1"});
  ConvOptions bounded = down;
  bounded.semantics = Semantics::kBounded;
  expect_throw([&] { generative_conv_transpose(y, weights, bounded); }, {"[generative_conv_transpose]", "shape"});
  bounded.output_padding = {-30};
  SparseTensor::Options small;
  small.stride = extents({2, 2, 2});
  small.shape = extents({9, 9, 9});
  const SparseTensor inside = tensor({{0, 1, 1, 1}}, test_data::whole(1, 4, 1), small);
  expect_throw([&] { generative_conv_transpose(inside, weights, bounded); }, {"extent 9 of axis 0 would become -12"});
  expect_throw([&] { conv(inside, weights, bounded); }, {"[conv]", "output_padding belongs to generative"});
  bounded.semantics = Semantics::kFloor;
  expect_throw([&] { generative_conv_transpose(inside, weights, bounded); }, {"output_padding belongs to bounded"});
}

}  // namespace
}  // namespace voxshift
