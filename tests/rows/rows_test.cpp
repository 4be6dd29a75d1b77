// Ops on rows: linear, affine, argmax; and the kernels under them on column slices.
#include <gtest/gtest.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/rows/ops.h>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Matrix;
using Kind = Activation::Kind;

const std::vector<std::pair<Activation, std::function<double(double)>>> kActivations = {
    {{Kind::kNone, 0}, [](double v) { return v; }},
    {{Kind::kRelu, 0}, [](double v) { return v > 0 ? v : 0; }},
    {{Kind::kRelu6, 0}, [](double v) { return v > 6   ? 6
                                              : v > 0 ? v
                                                      : 0; }},
    {{Kind::kLeakyRelu, 0.5F}, [](double v) { return v > 0 ? v : v / 2; }}};

Matrix scaled(Matrix m, const std::vector<double>& scale) {
  for (std::size_t r = 0; r < m.rows; ++r)
    for (std::size_t c = 0; c < m.cols; ++c) m.at(r, c) *= scale[c];
  return m;
}

class RowsTest : public DeviceTest {
 protected:
  Context context() { return {device(), nullptr, 2, &scratch_}; }

 private:
  Arena scratch_{GetParam()};
};
VOXSHIFT_FOR_EACH_DEVICE(RowsTest);

TEST_P(RowsTest, LinearAtAllChannelCounts) {
  const Matrix all = test_data::whole(13, 67, 1), pool = test_data::whole(67 * 67, 1, 2);
  for (std::size_t cin = 1; cin <= 67; ++cin)
    for (std::size_t cout = 1; cout <= 67; ++cout) {
      if (left_out(cin, cout)) continue;
      Matrix in(13, cin), weights(cin, cout);
      std::copy_n(all.values.begin(), in.values.size(), in.values.begin());
      std::copy_n(pool.values.begin(), weights.values.size(), weights.values.begin());
      SCOPED_TRACE(std::to_string(cin) + " -> " + std::to_string(cout));
      expect_equal(linear(array(in), array(weights)), oracle::linear(in, weights));
    }
}

TEST_P(RowsTest, LinearWithBiasAndActivationOnManyRows) {
  for (const std::size_t rows : {1, 255, 256, 257, 3001}) {
    const Matrix in = test_data::whole(rows, 5, 3), weights = test_data::whole(5, 19, 4);
    const Matrix bias = test_data::whole(1, 19, 5);
    for (const auto& [activation, function] : kActivations)
      expect_equal(linear(array(in), array(weights), vector(bias.values), activation),
                   oracle::apply(oracle::plus_bias(oracle::linear(in, weights), bias.values), function));
  }
}

TEST_P(RowsTest, LinearOfRealNumbersWithinTheTolerance) {
  const Matrix in = test_data::real(500, 163, 6), weights = test_data::real(163, 61, 7);
  expect_close(linear(array(in), array(weights)), oracle::linear(in, weights));
}

TEST_P(RowsTest, LinearHasTheSameBitsOnAnyNumberOfThreads) {
  const Array x = array(test_data::real(5000, 20, 8)), weights = array(test_data::real(20, 20, 9));
  set_num_threads(1);
  const Array expected = linear(x, weights);
  for (const int threads : {1, 2, 3})
    for (int run = 0; run < repeats(); ++run) {
      set_num_threads(threads);
      expect_same_bits(linear(x, weights), expected);
    }
}

TEST_P(RowsTest, AffineAtAllChannelCounts) {
  for (std::size_t channels = 1; channels <= 67; ++channels) {
    const Matrix in = test_data::whole(7, channels, 10);
    const auto scale = test_data::whole(1, channels, 11).values, shift = test_data::whole(1, channels, 12).values;
    for (const auto& [activation, function] : kActivations) {
      expect_equal(affine(array(in), vector(scale), vector(shift), activation),
                   oracle::apply(oracle::plus_bias(scaled(in, scale), shift), function));
      expect_equal(affine(array(in), {}, vector(shift), activation),
                   oracle::apply(oracle::plus_bias(in, shift), function));
      expect_equal(affine(array(in), vector(scale), {}, activation), oracle::apply(scaled(in, scale), function));
      expect_equal(affine(array(in), {}, {}, activation), oracle::apply(in, function));
    }
  }
}

TEST_P(RowsTest, ArgmaxTakesTheLowestOfEqualChannels) {
  for (const std::size_t channels : {1, 2, 19, 67, 256}) {
    const Matrix in = test_data::whole(3000, channels, 13);  // 17 values: ties are common
    std::vector<std::uint8_t> expected;
    for (std::size_t r = 0; r < in.rows; ++r) {
      std::size_t best = 0;
      for (std::size_t c = 1; c < channels; ++c)
        if (in.at(r, c) > in.at(r, best)) best = c;
      expected.push_back(static_cast<std::uint8_t>(best));
    }
    EXPECT_EQ(host<std::uint8_t>(argmax(array(in))), expected);
  }
}

// The kernels' results lie in columns [2, 2 + C) of rows of C + 5; the columns beside them stay.
TEST_P(RowsTest, ColumnSlicesOfWiderRows) {
  constexpr std::size_t kRows = 300;
  for (const std::size_t channels : {3, 16, 21}) {
    const Matrix wide_in = test_data::whole(kRows, channels + 5, 14), other = test_data::whole(kRows, channels, 15);
    const Matrix weights = test_data::whole(channels, channels, 16);
    Matrix in(kRows, channels);
    for (std::size_t r = 0; r < kRows; ++r)
      for (std::size_t c = 0; c < channels; ++c) in.at(r, c) = wide_in.at(r, 2 + c);
    const auto expect_slice = [&](const Array& wide, const Matrix& expected) {
      Matrix all = wide_in;
      for (std::size_t r = 0; r < kRows; ++r)
        for (std::size_t c = 0; c < channels; ++c) all.at(r, 2 + c) = expected.at(r, c);
      expect_equal(wide, all);
    };
    const auto width = static_cast<std::int64_t>(channels);
    const auto& kernels = row_kernels(device());
    const Array b = array(other);

    Array wide = array(wide_in);
    kernels.affine(context(), rows_of(b), nullptr, nullptr, {}, {}, rows_of(wide).columns(2, width));
    expect_slice(wide, other);

    wide = array(wide_in);  // in place
    kernels.affine(context(), rows_of(wide).columns(2, width), nullptr, nullptr, rows_of(b), {},
                   rows_of(wide).columns(2, width));
    expect_slice(wide, oracle::plus(in, other));

    wide = array(wide_in);
    kernels.affine(context(), rows_of(b), nullptr, nullptr, rows_of(wide).columns(2, width), {},
                   rows_of(wide).columns(2, width));
    expect_slice(wide, oracle::plus(in, other));

    wide = array(wide_in);
    kernels.affine(context(), rows_of(wide).columns(2, width), nullptr, nullptr, {}, {Kind::kRelu, 0},
                   rows_of(wide).columns(2, width));
    expect_slice(wide, oracle::apply(in, [](double v) { return v > 0 ? v : 0; }));

    wide = array(wide_in);
    Epilogue epilogue;
    epilogue.residual = rows_of(b);
    const Array source = array(wide_in), w = array(weights);
    const auto packed = kernels.pack(context(), w.data<float>(), width, width, DType::kF32);
    kernels.linear(context(), rows_of(source).columns(2, width), *packed, epilogue, rows_of(wide).columns(2, width));
    expect_slice(wide, oracle::plus(oracle::linear(in, weights), other));

    wide = array(wide_in);
    std::vector<std::int32_t> rows(kRows);
    Matrix gathered(kRows, channels);
    for (std::size_t r = 0; r < kRows; ++r) {
      const bool none = r % 5 == 3;  // zeros
      rows[r] = none ? -1 : static_cast<std::int32_t>(r * 7 % 11);
      for (std::size_t c = 0; c < channels; ++c) gathered.at(r, c) = none ? 0 : other.at(r * 7 % 11, c);
    }
    const Array picked = Array::from(rows, {static_cast<std::int64_t>(kRows)}).to(device());
    kernels.gather(context(), rows_of(b), picked.data<std::int32_t>(), rows_of(wide).columns(2, width));
    expect_slice(wide, gathered);
  }
}

TEST_P(RowsTest, NoRows) {
  const Array none = array(Matrix(), {0, 5});
  EXPECT_EQ(linear(none, array(test_data::whole(5, 7, 1))).shape(), (Shape{0, 7}));
  EXPECT_EQ(affine(none, {}, {}).shape(), (Shape{0, 5}));
  EXPECT_EQ(argmax(none).shape(), (Shape{0}));
  EXPECT_EQ(linear(array(Matrix(2, 3)), array(Matrix(), {3, 0})).shape(), (Shape{2, 0}));
}

TEST_P(RowsTest, WrongOperandsAreRefused) {
  const Array x = array(test_data::whole(2, 3, 1)), weights = array(test_data::whole(3, 4, 2));
  const Array whole_numbers({2, 3}, DType::kI32, device());
  expect_throw([&] { linear(vector({1, 2, 3}), weights); }, {"[linear]", "[N, C]", "[3]"});
  expect_throw([&] { linear(whole_numbers, weights); }, {"[linear]", "i32"});
  expect_throw([&] { linear(x, array(test_data::whole(4, 4, 2))); }, {"[linear]", "f32 [3, Cout]", "[4, 4]"});
  expect_throw([&] { linear(x, vector({1, 2, 3})); }, {"[linear]", "weight", "[3]"});
  expect_throw([&] { linear(x, weights, vector({1, 2, 3})); }, {"[linear]", "bias expects f32 [4]", "[3]"});
  expect_throw([&] { affine(whole_numbers, {}, {}); }, {"[affine]", "i32"});
  expect_throw([&] { affine(x, vector({1, 2}), {}); }, {"[affine]", "scale expects f32 [3]", "[2]"});
  expect_throw([&] { affine(x, {}, vector({1, 2, 3, 4})); }, {"[affine]", "shift expects f32 [3]", "[4]"});
  expect_throw([&] { argmax(whole_numbers); }, {"[argmax]", "i32"});
  expect_throw([&] { argmax(array(Matrix(1, 257))); }, {"[argmax]", "257"});
  expect_throw([&] { argmax(array(Matrix(), {2, 0})); }, {"[argmax]", "0"});
}

}  // namespace
}  // namespace voxshift
