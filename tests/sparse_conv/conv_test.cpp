// Convolutions on sparse tensors; each is taken back on its map by the transposed one.
#include <gtest/gtest.h>
#include <voxshift/sparse_conv/conv.h>
#include <voxshift/sparse_conv/kernels.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coords;
using oracle::Matrix;

class ConvTest : public DeviceTest {
 protected:
  SparseTensor tensor_in(const Coords& coords, const Matrix& features, const std::vector<int>& shape) const {
    SparseTensor::Options options;
    if (!shape.empty()) options.shape = extents(shape);
    return tensor(coords, features, options);
  }

  // conv and then conv_transpose back with another window of the same stride, both of whole numbers.
  void expect_conv(const Coords& coords, const oracle::Window& w, std::size_t cin, std::size_t cout,
                   const std::vector<int>& shape = {}) const {
    SCOPED_TRACE(describe(w) + ", " + std::to_string(cin) + " -> " + std::to_string(cout));
    const Matrix in = test_data::whole(coords.size(), cin, 1);
    const Matrix weights = test_data::whole(oracle::volume(w) * cin, cout, 2);
    const SparseTensor x = tensor_in(coords, in, shape);
    const SparseTensor y = conv(x, weight(weights, oracle::volume(w)), options_of(w));

    const Coords outputs = oracle::outputs(coords, w, shape);
    ASSERT_EQ(coords_of(y.coords()), outputs);
    const auto pairs = oracle::pairs(coords, outputs, w);
    const Matrix expected = oracle::conv(in, pairs, weights, outputs.size());
    expect_equal(y.features(), expected);
    for (std::size_t d = 0; d < w.stride.size(); ++d) ASSERT_EQ(y.stride()[d], w.stride[d]);

    const Matrix back = test_data::whole(oracle::volume(w) * cin, cout, 3);
    const SparseTensor g = y.with_features(array(test_data::whole(outputs.size(), cin, 4)));
    const SparseTensor z = conv_transpose(g, weight(back, oracle::volume(w)), options_of(w));
    ASSERT_EQ(z.map(), x.map());
    ASSERT_EQ(z.stride(), x.stride());
    ASSERT_EQ(z.shape(), x.shape());
    expect_equal(z.features(),
                 oracle::conv(test_data::whole(outputs.size(), cin, 4), oracle::swapped(pairs), back, coords.size()));
  }
};
VOXSHIFT_FOR_EACH_DEVICE(ConvTest);

TEST_P(ConvTest, FloorWindowsOnEveryDimension) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const auto& w : test_data::floor_windows(dims)) expect_conv(test_data::cloud(dims, 120, 1), w, 3, 5);
}

TEST_P(ConvTest, BoundedWindowsOnEveryDimension) {
  for (int dims = 1; dims <= 4; ++dims) {
    const auto coords = test_data::cloud(dims, 90, 2, 0);
    for (const auto& w : test_data::bounded_windows(dims)) expect_conv(coords, w, 3, 5, test_data::shape_of(coords));
  }
}

// Every pair of channel counts from 1 to 67: below, at and above each multiple of the vector's and the panel's width.
TEST_P(ConvTest, AllChannelCounts) {
  const auto w = test_data::cube(1, 3);
  const auto coords = test_data::cloud(1, 17, 3);
  const auto pairs = oracle::pairs(coords, coords, w);
  const Matrix all = test_data::whole(coords.size(), 67, 1), weights = test_data::whole(3 * 67 * 67, 1, 2);
  const SparseTensor x = tensor(coords, Matrix(coords.size(), 1));
  for (std::size_t cin = 1; cin <= 67; ++cin) {
    Matrix in(coords.size(), cin);
    std::copy_n(all.values.begin(), in.values.size(), in.values.begin());
    const SparseTensor features = x.with_features(array(in));
    for (std::size_t cout = 1; cout <= 67; ++cout) {
      if (left_out(cin, cout)) continue;
      Matrix part(3 * cin, cout);
      std::copy_n(weights.values.begin(), part.values.size(), part.values.begin());
      SCOPED_TRACE(std::to_string(cin) + " -> " + std::to_string(cout));
      expect_equal(conv(features, weight(part, 3), options_of(w)).features(),
                   oracle::conv(in, pairs, part, coords.size()));
    }
  }
}

// Lists of 1 to 50 pairs against 1 to 7 panels: every remainder of every register tile.
TEST_P(ConvTest, EveryTileRemainder) {
  const auto w = test_data::cube(1, 1);
  for (std::size_t rows = 1; rows <= 50; rows += emulated() ? 7 : 1)
    for (const std::size_t cout : {16, 17, 48, 64, 80, 96, 112}) expect_conv(test_data::cloud(1, rows, 4), w, 2, cout);
}

TEST_P(ConvTest, MoreThanOneBlock) {
  const auto coords = test_data::cloud(3, emulated() ? 503 : 5003, 5);
  expect_conv(coords, test_data::cube(3, 3), 5, 20);
  expect_conv(coords, test_data::cube(3, 3), 3, 163);
  expect_conv(coords, test_data::cube(3, 2, 2), 5, 40);
}

// Rows whose number is next to a multiple of a split or block.
TEST_P(ConvTest, RowsAroundTheBlock) {
  for (const std::size_t rows : emulated() ? std::vector{255, 256, 257} : std::vector{255, 256, 257, 2047, 2048, 2049})
    expect_conv(test_data::cloud(2, rows, 6), test_data::cube(2, 3), 2, 3);
}

TEST_P(ConvTest, RealNumbersWithinTheTolerance) {
  const auto coords = test_data::cloud(3, 3000, 7);
  const auto w = test_data::cube(3, 3);
  const auto pairs = oracle::pairs(coords, coords, w);
  for (const auto& [cin, cout] : {std::pair<std::size_t, std::size_t>{32, 32}, {61, 40}, {96, 20}}) {
    const Matrix in = test_data::real(coords.size(), cin, 8), weights = test_data::real(27 * cin, cout, 9);
    expect_close(conv(tensor(coords, in), weight(weights, 27)).features(),
                 oracle::conv(in, pairs, weights, coords.size()));
  }
}

// Sums that only grow: what a machine cuts off instead of rounding adds up.
TEST_P(ConvTest, LongSumsOfOneSign) {
  Coords coords;
  for (int i = 0; i < 27; ++i) coords.push_back({0, i / 9, i / 3 % 3, i % 3});
  const auto w = test_data::cube(3, 3);
  Matrix in = test_data::real(coords.size(), 256, 8), weights = test_data::real(27 * 256, 24, 9);
  for (double& x : in.values) x = std::abs(x);
  for (double& x : weights.values) x = std::abs(x);
  expect_close(conv(tensor(coords, in), weight(weights, 27)).features(),
               oracle::conv(in, oracle::pairs(coords, coords, w), weights, coords.size()));
}

TEST_P(ConvTest, BiasResidualAndActivation) {
  const auto coords = test_data::cloud(3, 400, 10);
  const auto w = test_data::cube(3, 3);
  for (const std::size_t cout : {1, 16, 19, 32, 67}) {
    const Matrix in = test_data::whole(coords.size(), 4, 11), weights = test_data::whole(27 * 4, cout, 12);
    const Matrix bias = test_data::whole(1, cout, 13), residual = test_data::whole(coords.size(), cout, 14);
    const SparseTensor x = tensor(coords, in);
    const Matrix plain = oracle::conv(in, oracle::pairs(coords, coords, w), weights, coords.size());
    using Kind = Activation::Kind;
    const std::vector<std::pair<Activation, std::function<double(double)>>> activations = {
        {{Kind::kNone, 0}, [](double v) { return v; }},
        {{Kind::kRelu, 0}, [](double v) { return v > 0 ? v : 0; }},
        {{Kind::kRelu6, 0}, [](double v) { return v > 6   ? 6
                                                  : v > 0 ? v
                                                          : 0; }},
        {{Kind::kLeakyRelu, 0.25F}, [](double v) { return v > 0 ? v : v / 4; }},
        {{Kind::kLeakyRelu, 2.0F}, [](double v) { return v > 0 ? v : v * 2; }}};
    for (const auto& [activation, function] : activations)
      for (const bool with_bias : {false, true})
        for (const bool with_residual : {false, true}) {
          ConvOptions options = options_of(w);
          options.activation = activation;
          if (with_bias) options.bias = vector(bias.values);
          if (with_residual) options.residual = x.with_features(array(residual));
          Matrix expected = with_bias ? oracle::plus_bias(plain, bias.values) : plain;
          if (with_residual) expected = oracle::plus(expected, residual);
          expect_equal(conv(x, weight(weights, 27), options).features(), oracle::apply(expected, function));
        }
  }
}

// 163 channels make blocks of 512 rows.
TEST_P(ConvTest, BiasAndResidualInEveryBlock) {
  const auto coords = test_data::cloud(3, 1500, 38);
  const auto w = test_data::cube(3, 3);
  const Matrix in = test_data::whole(coords.size(), 2, 39), weights = test_data::whole(27 * 2, 163, 40);
  const Matrix bias = test_data::whole(1, 163, 41), residual = test_data::whole(coords.size(), 163, 42);
  const SparseTensor x = tensor(coords, in);
  ConvOptions options = options_of(w);
  options.bias = vector(bias.values);
  options.residual = x.with_features(array(residual));
  const Matrix sum = oracle::conv(in, oracle::pairs(coords, coords, w), weights, coords.size());
  expect_equal(conv(x, weight(weights, 27), options).features(),
               oracle::plus(oracle::plus_bias(sum, bias.values), residual));
}

TEST_P(ConvTest, ARowWithoutPairsIsTheBias) {
  const SparseTensor x = tensor({{0, 1}, {0, 4}}, test_data::whole(2, 3, 1));  // cell 0 has input 1 alone, not 0
  ConvOptions options = options_of(test_data::cube(1, 1, 2));
  options.bias = vector({3, -5});
  options.activation = {Activation::Kind::kRelu, 0};
  const SparseTensor y = conv(x, weight(test_data::whole(3, 2, 2), 1), options);
  ASSERT_EQ(coords_of(y.coords()), (Coords{{0, 0}, {0, 2}}));
  EXPECT_EQ(host<float>(y.features())[0], 3.0F);
  EXPECT_EQ(host<float>(y.features())[1], 0.0F);
}

TEST_P(ConvTest, StridesMultiplyAndShapesFollow) {
  SparseTensor::Options options;
  options.shape = extents({9, 8, 3});
  options.stride = extents({2, 1, 4});
  const SparseTensor x = tensor({{0, 8, 7, 2}, {1, 0, 0, 0}}, test_data::whole(2, 1, 1), options);
  oracle::Window w{{3, 2, 3}, {2, 3, 1}, {1, 1, 1}, {0, 0, 0}, false};
  const SparseTensor floor = conv(x, weight(test_data::whole(18, 1, 2), 18), options_of(w));
  EXPECT_EQ(floor.stride(), extents({4, 3, 4}));
  EXPECT_EQ(floor.shape(), extents({5, 3, 3}));
  w.bounded = true;
  w.pad = {1, 0, 1};
  const SparseTensor spconv = conv(x, weight(test_data::whole(18, 1, 2), 18), options_of(w));
  EXPECT_EQ(spconv.stride(), extents({4, 3, 4}));
  EXPECT_EQ(spconv.shape(), extents(oracle::bounded_shape({9, 8, 3}, w)));

  options.shape = extents({0, 0, 5});
  const SparseTensor none(array(Coords{}, 3), array(Matrix(), {0, 1}), options);
  const SparseTensor down = conv(none, weight(test_data::whole(8, 1, 2), 8), options_of(test_data::cube(3, 2, 2)));
  EXPECT_EQ(down.shape(), extents({0, 0, 3}));
}

TEST_P(ConvTest, TranslationMovesTheOutput) {
  const auto coords = test_data::cloud(3, 900, 21);
  const Matrix in = test_data::real(coords.size(), 5, 22);
  for (const auto& w : {test_data::cube(3, 3), test_data::cube(3, 3, 2), test_data::cube(3, 2, 3)}) {
    const auto weights = weight(test_data::real(oracle::volume(w) * 5, 18, 23), oracle::volume(w));
    Coords moved = coords;
    const oracle::Coord shift = {0, 6 * 100003, -6 * 5, 6};
    for (auto& c : moved)
      for (std::size_t a = 0; a < 4; ++a) c[a] += shift[a];
    const SparseTensor y = conv(tensor(coords, in), weights, options_of(w));
    const SparseTensor z = conv(tensor(moved, in), weights, options_of(w));
    expect_same_bits(y.features(), z.features());
    Coords expected = coords_of(y.coords());
    for (auto& c : expected)
      for (std::size_t a = 0; a < 4; ++a) c[a] += shift[a] / w.stride[0];
    EXPECT_EQ(coords_of(z.coords()), expected);
  }
}

TEST_P(ConvTest, OrderOfTheGivenRowsDoesNotMatter) {
  const auto coords = test_data::cloud(3, 900, 24);
  const Matrix in = test_data::real(coords.size(), 5, 25);
  std::vector<std::size_t> order(coords.size());
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(26));
  Coords shuffled;
  Matrix rows(in.rows, in.cols);
  for (std::size_t i = 0; i < order.size(); ++i) {
    shuffled.push_back(coords[order[i]]);
    for (std::size_t c = 0; c < in.cols; ++c) rows.at(i, c) = in.at(order[i], c);
  }
  const auto weights = weight(test_data::real(27 * 5, 18, 27), 27);
  expect_same_bits(conv(tensor(coords, in), weights).features(), conv(tensor(shuffled, rows), weights).features());
}

TEST_P(ConvTest, SameBitsOnAnyNumberOfThreads) {
  const auto coords = test_data::cloud(3, emulated() ? 500 : 6000, 28);
  const Matrix in = test_data::real(coords.size(), 20, 29);
  const auto weights = weight(test_data::real(27 * 20, 40, 30), 27);
  const auto down = weight(test_data::real(8 * 40, 20, 31), 8);
  const auto run = [&] {
    const SparseTensor y = conv(conv(tensor(coords, in), weights), down, options_of(test_data::cube(3, 2, 2)));
    return conv_transpose(y, weight(test_data::real(8 * 20, 20, 32), 8), options_of(test_data::cube(3, 2, 2)))
        .features();
  };
  set_num_threads(1);
  const Array expected = run();
  for (const int threads : thread_counts())
    for (int repeat = 0; repeat < repeats(); ++repeat) {
      set_num_threads(threads);
      expect_same_bits(run(), expected);
    }
}

// Kernels read and write column slices of wider rows, and nothing beside them.
TEST_P(ConvTest, ColumnSlicesOfWiderRows) {
  const auto coords = test_data::cloud(3, 600, 33);
  const auto w = test_data::cube(3, 3);
  const Matrix in = test_data::whole(coords.size(), 30, 34), weights = test_data::whole(27 * 9, 21, 35);
  Matrix slice(coords.size(), 9);
  for (std::size_t r = 0; r < in.rows; ++r)
    for (std::size_t c = 0; c < 9; ++c) slice.at(r, c) = in.at(r, 4 + c);
  const SparseTensor x = tensor(coords, in);
  const auto map = x.cache()->kernel_map(x.map(), x.map(), make_window("test", 3, options_of(w)));
  Arena scratch(device());
  const Context context{device(), nullptr, 2, &scratch};
  const auto& kernels = sparse_conv_kernels(device());
  const auto packed = kernels.pack(context, weight(weights, 27).data<float>(), 27, 9, 21, DType::kF32);
  EXPECT_GE(packed->bytes(), 27U * 9 * 21 * sizeof(float));
  Array wide = array(oracle::apply(Matrix(coords.size(), 40), [](double) { return 77.0; }));
  kernels.conv(context, rows_of(x.features()).columns(4, 9), map->forward(), *packed, {}, rows_of(wide).columns(3, 21));
  const Matrix expected = oracle::conv(slice, oracle::pairs(coords, coords, w), weights, coords.size());
  Matrix whole = oracle::apply(Matrix(coords.size(), 40), [](double) { return 77.0; });
  for (std::size_t r = 0; r < whole.rows; ++r)
    for (std::size_t c = 0; c < 21; ++c) whole.at(r, 3 + c) = expected.at(r, c);
  expect_equal(wide, whole);
}

TEST_P(ConvTest, EmptyOneVoxelAndNoChannels) {
  const SparseTensor none(array(Coords{}, 3), array(Matrix(0, 4), {0, 4}));
  for (const auto& w : {test_data::cube(3, 3), test_data::cube(3, 2, 2)}) {
    const auto weights = weight(test_data::whole(oracle::volume(w) * 4, 6, 1), oracle::volume(w));
    const SparseTensor y = conv(none, weights, options_of(w));
    EXPECT_EQ(y.features().shape(), (Shape{0, 6}));
    EXPECT_EQ(y.coords().shape(), (Shape{0, 4}));
    EXPECT_EQ(conv_transpose(y.with_features(array(Matrix(0, 4), {0, 4})), weights, options_of(w)).size(), 0);
  }
  expect_conv({{0, 5, -5, 5}}, test_data::cube(3, 3), 4, 6);
  expect_conv({{0, 5, -5, 5}}, test_data::cube(3, 2, 2), 4, 6);
  const SparseTensor one = tensor({{0, 0, 0, 0}}, test_data::whole(1, 4, 1));
  EXPECT_EQ(conv(one, array(Matrix(0, 0), {27, 4, 0})).features().shape(), (Shape{1, 0}));
  const SparseTensor flat = one.with_features(array(Matrix(0, 0), {1, 0}));
  expect_equal(conv(flat, array(Matrix(0, 0), {27, 0, 5})).features(), Matrix(1, 5));
}

TEST_P(ConvTest, WrongOperandsAreRefused) {
  const auto coords = test_data::cloud(3, 20, 36, 0);
  const SparseTensor x = tensor(coords, test_data::whole(20, 4, 1));
  const auto good = weight(test_data::whole(27 * 4, 6, 2), 27);
  expect_throw([&] { conv(x, weight(test_data::whole(27 * 5, 6, 2), 27)); },
               {"[conv]", "weight expects 5 channels, tensor has 4"});
  expect_throw([&] { conv(x, weight(test_data::whole(8 * 4, 6, 2), 8)); }, {"[conv]", "[27, Cin, Cout]", "[8, 4, 6]"});
  expect_throw([&] { conv(x, good.reshaped({27 * 4, 6})); }, {"[conv]", "[108, 6]"});
  expect_throw([&] { conv(x, Array({27, 4, 6}, DType::kI32, device())); }, {"[conv]", "f32", "i32"});
  ConvOptions options;
  options.bias = vector({1, 2, 3});
  expect_throw([&] { conv(x, good, options); }, {"[conv]", "bias expects f32 [6]", "[3]"});
  options.bias = Array({6}, DType::kI32, device());
  expect_throw([&] { conv(x, good, options); }, {"[conv]", "bias", "i32"});
  options = {};
  options.residual = x;
  expect_throw([&] { conv(x, good, options); }, {"[conv]", "residual expects 6 channels", "4"});
  options.residual = tensor({{0, 0, 0, 0}}, test_data::whole(1, 6, 3));
  expect_throw([&] { conv(x, good, options); }, {"[conv]", "residual", "1 rows"});
  options = {};
  options.kernel_size = {0};
  expect_throw([&] { conv(x, good, options); }, {"[conv]", "kernel size"});
  options = {};
  options.semantics = Semantics::kBounded;
  expect_throw([&] { conv(x, good, options); }, {"[conv]", "shape"});
  SparseTensor::Options coarse;
  coarse.stride = extents({1, 1 << 30, 1});
  options = options_of(test_data::cube(3, 3, 2));
  expect_throw(
      [&] {
        conv(tensor({{0, 0, 0, 0}}, test_data::whole(1, 4, 1), coarse), good, options);
      },
      {"[conv]", "stride 1073741824 on axis 1"});
  options = {};
  options.semantics = Semantics::kBounded;
  const SparseTensor small = tensor_in({{0, 0, 0, 0}}, test_data::whole(1, 4, 1), {5, 2, 5});
  expect_throw([&] { conv(small, good, options); }, {"[conv]", "extent 2 of axis 1"});
}

}  // namespace
}  // namespace voxshift
