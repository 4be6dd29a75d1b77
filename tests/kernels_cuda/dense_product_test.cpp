// Products of all rows by one matrix by a library, cuBLASLt or the emulation's plain loops: what it is given, what
// stays our kernel's, and that a row has the same bits whatever others there are.
#include <gtest/gtest.h>
#include <voxshift/kernels_cuda/dense_choice.h>
#include <voxshift/rows/ops.h>
#include <voxshift/rows/training.h>
#include <voxshift/video/kernels.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>

#include "half_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using cuda::DenseChoice;
using oracle::Matrix;
using Kind = Activation::Kind;

class DenseProductTest : public HalfTest {
 protected:
  void TearDown() override {
    cuda::set_dense_choice(before_);
    cuda::set_dense_wins(wins_);
    HalfTest::TearDown();
  }

  template <class F>
  static Array by(DenseChoice choice, const F& f) {
    cuda::set_dense_choice(choice);
    return f();
  }
  // Both ways give these bits: our kernel computes it.
  template <class F>
  void expect_own(const F& f) const {
    expect_same_bits(by(DenseChoice::kCublasLt, f), by(DenseChoice::kOwn, f));
  }

  // The emulated library: one accumulator, fused.
  static std::vector<float> loops(const Matrix& in, const Matrix& weight, const std::vector<double>& bias, bool relu) {
    std::vector<float> result;
    for (std::size_t i = 0; i < in.rows; ++i)
      for (std::size_t o = 0; o < weight.cols; ++o) {
        float sum = 0;
        for (std::size_t c = 0; c < in.cols; ++c)
          sum = std::fma(static_cast<float>(in.at(i, c)), static_cast<float>(weight.at(c, o)), sum);
        if (!bias.empty()) sum += static_cast<float>(bias[o]);
        result.push_back(relu && sum < 0 ? 0.0f : sum);
      }
    return result;
  }

  // linear() of rows of any dtype and with any epilogue.
  Array product(const Array& in, const Array& weight, const Epilogue& epilogue, DType out_dtype) const {
    const auto& kernels = row_kernels(device());
    const auto packed = kernels.pack(context(), weight.data<float>(), weight.dim(0), weight.dim(1), in.dtype());
    Array out({in.dim(0), weight.dim(1)}, out_dtype, device());
    kernels.linear(context(), rows_of(in), *packed, epilogue, rows_of(out));
    return out;
  }

 private:
  const DenseChoice before_ = cuda::dense_choice();
  const std::span<const cuda::DenseWin> wins_ = cuda::dense_wins();
};
INSTANTIATE_TEST_SUITE_P(Devices, DenseProductTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(DenseProductTest, LinearHasBiasAndActivation) {
  for (const std::size_t rows : {1u, 65u, 300u})
    for (const auto& [cin, cout] : {std::pair{4u, 12u}, {64u, 20u}, {40u, 96u}}) {
      const Matrix in = test_data::whole(rows, cin, 1), weight = test_data::whole(cin, cout, 2);
      const Matrix bias = test_data::whole(1, cout, 3);
      const Matrix sums = oracle::linear(in, weight), biased = oracle::plus_bias(sums, bias.values);
      cuda::set_dense_choice(DenseChoice::kCublasLt);
      expect_equal(linear(array(in), array(weight)), sums);
      expect_equal(linear(array(in), array(weight), vector(bias.values)), biased);
      expect_equal(linear(array(in), array(weight), vector(bias.values), {Kind::kRelu}),
                   oracle::apply(biased, [](double v) { return v > 0 ? v : 0; }));
      expect_equal(
          linear(array(in), array(weight), std::nullopt, {Kind::kFunction, 0, {Elementwise::Kind::kClip, -20, 30}}),
          oracle::apply(sums, [](double v) { return std::min(std::max(v, -20.0), 30.0); }));
    }
}

// So the library is what computes.
TEST_P(DenseProductTest, BitsAreTheLibrarys) {
  const Matrix in = test_data::real(50, 72, 4), weight = test_data::real(72, 20, 5), bias = test_data::real(1, 20, 6);
  const auto call = [&] { return linear(array(in), array(weight), vector(bias.values), {Kind::kRelu}); };
  const Array by_library = by(DenseChoice::kCublasLt, call);
  const std::int64_t calls = cuda::dense_calls();
  by(DenseChoice::kOwn, call);
  EXPECT_EQ(cuda::dense_calls(), calls);
  expect_close(by_library, oracle::apply(oracle::plus_bias(oracle::linear(in, weight), bias.values),
                                         [](double v) { return v > 0 ? v : 0; }));
  if (emulated()) {
    by(DenseChoice::kCublasLt, call);
    EXPECT_EQ(cuda::dense_calls(), calls + 1);
    EXPECT_EQ(host<float>(by_library), loops(in, weight, bias.values, true));
    EXPECT_NE(host<float>(by_library), host<float>(by(DenseChoice::kOwn, call)));
  }
}

TEST_P(DenseProductTest, ARowHasTheSameBitsAloneAndAmongOthers) {
  constexpr std::int64_t kRows = 333;
  const Array weight = array(test_data::real(96, 40, 8)), bias = array(test_data::real(1, 40, 9), {40});
  const Matrix values = test_data::real(static_cast<std::size_t>(kRows), 96, 7);
  cuda::set_dense_choice(DenseChoice::kCublasLt);
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    const Array in = converted(array(values), dtype);
    const auto packed = row_kernels(device()).pack(context(), weight.data<float>(), 96, 40, dtype);
    const Epilogue epilogue{bias.data<float>(), {}, {Kind::kRelu}};
    Array all({kRows, 40}, dtype, device()), runs({kRows, 40}, dtype, device());
    row_kernels(device()).linear(context(), rows_of(in), *packed, epilogue, rows_of(all));
    for (std::int64_t first = 0, count = 1; first < kRows; first += count, count = 2 * count + 1) {
      const std::int64_t number = std::min(count, kRows - first);
      row_kernels(device()).linear(context(), rows_of(std::as_const(in)).rows(first, number), *packed, epilogue,
                                   rows_of(runs).rows(first, number));
    }
    expect_same_bits(runs, all);
  }
}

TEST_P(DenseProductTest, HalvesAreRoundedOnceAndMayComeOutAsFloats) {
  const Matrix in = test_data::whole(70, 48, 10), weight = test_data::whole(48, 24, 11);
  const Matrix bias = test_data::whole(1, 24, 12);
  const Array biases = array(bias);
  const Matrix sums = oracle::plus_bias(oracle::linear(in, weight), bias.values);
  const Epilogue epilogue{biases.data<float>(), {}, {}};
  cuda::set_dense_choice(DenseChoice::kCublasLt);
  expect_half(product(half(in), array(weight), epilogue, DType::kF16), sums);
  expect_equal(product(half(in), array(weight), epilogue, DType::kF32), sums);
}

// The first call of its kind, which asks for an algorithm, may be one that is recorded.
TEST_P(DenseProductTest, RecordedProductsReadWhatIsThereThen) {
  const Matrix first = test_data::whole(50, 56, 34), second = test_data::whole(50, 56, 35);
  const Array weight = array(test_data::whole(56, 72, 36)), bias = array(test_data::whole(1, 72, 37), {72});
  const auto packed = row_kernels(device()).pack(context(), weight.data<float>(), 56, 72, DType::kF16);
  cuda::set_dense_choice(DenseChoice::kCublasLt);
  context().arena->allocate_bytes(std::size_t{64} << 20);  // so that the arena need not grow
  context().arena->reset();
  Array in = half(first), out = half(50, 72);
  const Epilogue epilogue{bias.data<float>(), {}, {Kind::kRelu}};
  const auto recording = runtime(device()).record(context(), [&](const Context& recorded) {
    row_kernels(device()).linear(recorded, rows_of(std::as_const(in)), *packed, epilogue, rows_of(out));
  });
  for (const Matrix& now : {first, second}) {
    const Array source = half(now);
    runtime(device()).copy(device(), in.memory(), source.memory(), in.bytes());
    recording->replay();
    expect_same_bits(out, product(in, weight, epilogue, DType::kF16));
  }
}

TEST_P(DenseProductTest, NotANumberPassesRelu) {
  Matrix in = test_data::whole(9, 8, 13);
  in.at(4, 3) = std::nan("");
  cuda::set_dense_choice(DenseChoice::kCublasLt);
  const auto values = host<float>(linear(array(in), array(test_data::whole(8, 8, 14)), std::nullopt, {Kind::kRelu}));
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(std::isnan(values[i]), i / 8 == 4) << i;
}

TEST_P(DenseProductTest, WhatTheLibraryHasNotIsOurKernels) {
  const Array in = array(test_data::real(70, 40, 15)), weight = array(test_data::real(40, 24, 16));
  const Array other = array(test_data::real(70, 24, 17));
  Epilogue residual;
  residual.residual = rows_of(other);
  expect_own([&] { return product(in, weight, residual, DType::kF32); });
  for (const Activation& activation : {Activation{Kind::kRelu6}, Activation{Kind::kLeakyRelu, 0.1f}})
    expect_own([&] { return product(in, weight, {nullptr, {}, activation}, DType::kF32); });
  expect_own([&] { return product(in, weight, {}, DType::kF16); });  // rounded once, from f32
  // Rows that begin anywhere, and ones that do not.
  const Array odd = array(test_data::real(70, 39, 18)), few = array(test_data::real(40, 19, 19));
  expect_own([&] { return linear(odd, array(test_data::real(39, 24, 20))); });
  expect_own([&] { return linear(in, few); });
}

TEST_P(DenseProductTest, NoRowsAndNoChannels) {
  cuda::set_dense_choice(DenseChoice::kCublasLt);
  EXPECT_EQ(linear(Array({0, 8}, DType::kF32, device()), array(test_data::whole(8, 8, 21))).dim(0), 0);
  const LinearGradients none = linear_backward(Array({0, 8}, DType::kF32, device()), array(test_data::whole(8, 8, 22)),
                                               Array({0, 8}, DType::kF32, device()));
  expect_equal(*none.weight, Matrix(8, 8));
}

TEST_P(DenseProductTest, WeightGradientsSumOverRows) {
  for (const std::size_t rows : {1u, 700u, 1100u}) {
    const Matrix in = test_data::whole(rows, 12, 23), grad = test_data::whole(rows, 20, 24);
    Matrix transposed(12, rows);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t c = 0; c < 12; ++c) transposed.at(c, i) = in.at(i, c);
    const auto call = [&] { return *linear_backward(array(in), array(Matrix(12, 20)), array(grad)).weight; };
    expect_equal(by(DenseChoice::kCublasLt, call), oracle::linear(transposed, grad));
  }
  constexpr std::size_t kRows = 1500;
  const Matrix in = test_data::real(kRows, 8, 25), grad = test_data::real(kRows, 12, 26);
  Matrix transposed(8, kRows);
  for (std::size_t i = 0; i < kRows; ++i)
    for (std::size_t c = 0; c < 8; ++c) transposed.at(c, i) = in.at(i, c);
  const auto call = [&] { return *linear_backward(array(in), array(Matrix(8, 12)), array(grad)).weight; };
  const Array by_library = by(DenseChoice::kCublasLt, call);
  expect_close(by_library, oracle::linear(transposed, grad));
  for (int i = 0; i < repeats(); ++i) expect_same_bits(call(), by_library);
  if (emulated()) {
    EXPECT_EQ(host<float>(by_library), loops(transposed, grad, {}, false));
    EXPECT_NE(host<float>(by_library), host<float>(by(DenseChoice::kOwn, call)));
  }
}

class DensePixelsTest : public DenseProductTest {
 protected:
  static constexpr std::size_t kIn = 48, kOut = 24;
  static constexpr Extent2d kImage{6, 7};

  // Numbers of f16 whose sums of products f32 rounds.
  static Matrix numbers(std::size_t rows, std::size_t cols, unsigned seed) {
    Matrix m = test_data::real(rows, cols, seed);
    for (std::size_t i = 0; i < m.values.size(); ++i)
      m.values[i] = std::floor(m.values[i] * 1024) / (i % 3 == 0 ? 16 : 1024);
    return m;
  }

  // [kIn, kOut], as a product of rows has it.
  Matrix transposed_weight() const {
    Matrix result(kIn, kOut);
    for (std::size_t o = 0; o < kOut; ++o)
      for (std::size_t c = 0; c < kIn; ++c) result.at(c, o) = weight_.at(o, c);
    return result;
  }

  // relu(conv2d) of f16 that comes out in f32.
  Array pixels(const Window2d& window, const Pixels& wanted) const {
    const auto taps = static_cast<std::size_t>(window.kernel * window.kernel);
    const Array x = half(in_), bias = vector(bias_.values);
    const Array w = array(taps == 1 ? weight_ : numbers(kOut, kIn * taps, 4));
    const auto& kernels = video_kernels(device());
    Conv2dLayer layer;
    layer.window = window;
    layer.in_channels = kIn;
    layer.out_channels = kOut;
    layer.weights =
        kernels.pack_conv2d(context(), w.data<float>(), bias.data<float>(), window.kernel, kIn, kOut, DType::kF16);
    layer.activation.kind = Kind::kRelu;
    ImageView image;
    image.rows = ConstRowView(rows_of(x));
    Array out({wanted.count, kOut}, DType::kF32, device());
    kernels.conv2d(context(), layer, kImage, image, {}, wanted, rows_of(out));
    return out;
  }

  const Matrix in_ = numbers(42, kIn, 1), weight_ = numbers(kOut, kIn, 2), bias_ = numbers(1, kOut, 3);
};
INSTANTIATE_TEST_SUITE_P(Devices, DensePixelsTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(DensePixelsTest, PointwiseConvolutionsOfAllPixels) {
  const auto all = [&] { return pixels({1, 1, 0}, {nullptr, 42}); };
  const Array by_library = by(DenseChoice::kCublasLt, all), own = by(DenseChoice::kOwn, all);
  const auto relu = [](double v) { return v > 0 ? v : 0; };
  expect_close(by_library,
               oracle::apply(oracle::plus_bias(oracle::linear(in_, transposed_weight()), bias_.values), relu));
  if (emulated()) {
    EXPECT_EQ(host<float>(by_library), loops(in_, transposed_weight(), bias_.values, true));
    EXPECT_NE(host<float>(by_library), host<float>(own));
  }
  // Strides and larger windows read other pixels.
  expect_own([&] { return pixels({1, 2, 0}, {nullptr, 12}); });
  expect_own([&] { return pixels({3, 1, 1}, {nullptr, 42}); });
}

// Streams compute pixels now among all, now in a list.
TEST_P(DensePixelsTest, PixelsThatAreAlsoListedAreOurKernels) {
  expect_own([&] { return pixels({1, 1, 0}, {nullptr, 42, true}); });
  std::vector<std::int32_t> every(42);
  for (std::size_t i = 0; i < every.size(); ++i) every[i] = static_cast<std::int32_t>(i);
  const Array list_of_all = Array::from(every, {42}).to(device());
  expect_own([&] { return pixels({1, 1, 0}, {list_of_all.data<std::int32_t>(), 42}); });
  const std::vector<std::int32_t> wanted{2, 3, 11, 41};
  const Array list = Array::from(wanted, {4}).to(device());
  cuda::set_dense_choice(DenseChoice::kCublasLt);
  const auto all = host<float>(pixels({1, 1, 0}, {nullptr, 42, true}));
  const auto some = host<float>(pixels({1, 1, 0}, {list.data<std::int32_t>(), 4}));
  for (std::size_t i = 0; i < wanted.size(); ++i)
    for (std::size_t c = 0; c < kOut; ++c)
      ASSERT_EQ(some[i * kOut + c], all[static_cast<std::size_t>(wanted[i]) * kOut + c]) << i << ", " << c;
}

TEST_P(DenseProductTest, WeightGradientsOfHalves) {
  const Matrix in = test_data::whole(300, 16, 38), grad = test_data::whole(300, 24, 39);
  Matrix transposed(16, 300);
  for (std::size_t i = 0; i < 300; ++i)
    for (std::size_t c = 0; c < 16; ++c) transposed.at(c, i) = in.at(i, c);
  const Array x = half(in), g = half(grad);
  Array out({16, 24}, DType::kF32, device());
  cuda::set_dense_choice(DenseChoice::kCublasLt);
  const std::int64_t calls = cuda::dense_calls();
  row_kernels(device()).weight_gradient(context(), rows_of(x), rows_of(g), out.data<float>());
  expect_equal(out, oracle::linear(transposed, grad));
  if (emulated()) {
    EXPECT_EQ(cuda::dense_calls(), calls + 1);
  }
  // Of two dtypes, or of bf16: our kernel.
  const Array floats = array(in), b = converted(x, DType::kBF16), gb = converted(g, DType::kBF16);
  row_kernels(device()).weight_gradient(context(), rows_of(b), rows_of(gb), out.data<float>());
  expect_equal(out, oracle::linear(transposed, grad));
  if (emulated()) {
    EXPECT_EQ(cuda::dense_calls(), calls + 1);
  }
}

TEST_P(DenseProductTest, MeasuredWinsDecideByShapeAndDevice) {
  if (!emulated()) GTEST_SKIP() << "wins of this device are measured";
  const Array in = array(test_data::real(40, 72, 32)), weight = array(test_data::real(72, 20, 33));
  const auto call = [&] { return linear(in, weight); };
  const auto own = host<float>(by(DenseChoice::kOwn, call)), library = host<float>(by(DenseChoice::kCublasLt, call));
  ASSERT_NE(own, library);
  EXPECT_EQ(host<float>(by(DenseChoice::kMeasured, call)), own);  // nothing was measured yet
  const cuda::DenseWin win{0, cuda::DenseOp::kProduct, DType::kF32, 72, 20};
  const auto with = [&](const cuda::DenseWin& found) {
    const std::array wins{cuda::DenseWin{0, cuda::DenseOp::kProduct, DType::kF32, 1, 1}, found};
    cuda::set_dense_wins(wins);
    auto result = host<float>(by(DenseChoice::kMeasured, call));
    cuda::set_dense_wins({});
    return result;
  };
  EXPECT_EQ(with(win), library);
  for (const cuda::DenseWin& other :
       {cuda::DenseWin{90, win.op, win.dtype, 72, 20},
        cuda::DenseWin{0, cuda::DenseOp::kWeightGradient, win.dtype, 72, 20},
        cuda::DenseWin{0, win.op, DType::kF16, 72, 20}, cuda::DenseWin{0, win.op, win.dtype, 72, 24}})
    EXPECT_EQ(with(other), own);
}

TEST(DenseChoiceTest, NamesOfChoices) {
  EXPECT_EQ(cuda::dense_choice_of(""), DenseChoice::kMeasured);
  EXPECT_EQ(cuda::dense_choice_of("measured"), DenseChoice::kMeasured);
  EXPECT_EQ(cuda::dense_choice_of("own"), DenseChoice::kOwn);
  EXPECT_EQ(cuda::dense_choice_of("cublaslt"), DenseChoice::kCublasLt);
  expect_throw([] { cuda::dense_choice_of("cuBLAS"); }, {"VOXSHIFT_DENSE", "measured, own or cublaslt", "cuBLAS"});
}

}  // namespace
}  // namespace voxshift
