// Products of i8 on CUDA, and products between dtypes, to the bit of plain loops that round as tensor/narrow.h says.
#include <gtest/gtest.h>
#include <voxshift/sparse_conv/conv_plan.h>
#include <voxshift/sparse_conv/kernels.h>

#include "byte_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

/// What comes out of a product, and what is added.
struct Form {
  DType out = DType::kI8;
  std::optional<DType> residual = DType::kI8;
  bool residual_last = false;
  PlainActivation activation = plain_activations()[1];
};

class ByteFeaturesTest : public ByteTest {
 protected:
  // Weights of i8 whose sums over `terms` of them come near the ends of what i8 has.
  struct Weights {
    std::vector<std::int8_t> whole;
    std::vector<float> multiplier, bias;
    Array on_device, multipliers, biases;

    QuantizedWeights quantized() const { return {on_device.data<std::int8_t>(), multipliers.data<float>()}; }
  };
  Weights weights_of(std::size_t rows, std::size_t out, std::size_t terms, unsigned seed) const {
    Weights w{bytes_of(rows * out, seed), std::vector<float>(out), std::vector<float>(out), {}, {}, {}};
    for (std::size_t o = 0; o < out; ++o) {
      w.multiplier[o] = 2.1f / (static_cast<float>(1 + o % 5) * 5400 * std::sqrt(static_cast<float>(terms)));
      w.bias[o] = static_cast<float>(static_cast<int>(o % 9) - 4) * 0.23f;
    }
    w.on_device = ByteTest::on_device(w.whole, {static_cast<std::int64_t>(w.whole.size())});
    w.multipliers = ByteTest::on_device(w.multiplier);
    w.biases = ByteTest::on_device(w.bias);
    return w;
  }

  // The epilogue of sums that are numbers already.
  static std::vector<float> finished(std::vector<float> sums, const std::vector<float>& bias, const Form& form,
                                     const std::optional<Stored>& residual) {
    const std::size_t out = bias.size();
    for (std::size_t e = 0; e < sums.size(); ++e) {
      float y = sums[e] + bias[e % out];
      const float other = residual ? residual->at(e / out, e % out) : 0;
      if (!form.residual_last) y = y + other;
      y = form.activation.of(y);
      if (form.residual_last) y = y + other;
      sums[e] = y;
    }
    return sums;
  }

  // act(conv + bias + residual) on the map of a window, forward and back.
  void expect_conv(const oracle::Coords& coords, const oracle::Window& w, std::size_t in, std::size_t out,
                   const Form& form = {}) const {
    SCOPED_TRACE(describe(w) + ", " + std::to_string(in) + " -> " + std::to_string(out) + " " + name(form.out));
    const auto coarse = oracle::outputs(coords, w, {});
    const auto pairs = oracle::pairs(coords, coarse, w);
    const SparseTensor x = tensor(coords, oracle::Matrix(coords.size(), 1));
    const Window window = make_window("test", x.dims(), options_of(w));
    const auto map = x.cache()->kernel_map(x.map(), x.cache()->coarser(x.map(), window, {}), window);
    const std::size_t volume = oracle::volume(w);
    const Weights weights = weights_of(volume * in, out, in * 6, 2);
    const auto& kernels = sparse_conv_kernels(device());
    const auto packed = kernels.pack_i8(context(), weights.quantized(), static_cast<std::int64_t>(volume),
                                        static_cast<std::int64_t>(in), static_cast<std::int64_t>(out));
    for (const bool back : {false, true}) {
      const std::size_t rows = back ? coarse.size() : coords.size(), results = back ? coords.size() : coarse.size();
      Stored source = store(rows, in, DType::kI8, 1), result = room(results, out, form.out);
      std::optional<Stored> residual;
      if (form.residual) residual = store(results, out, *form.residual, 4, 0.015f);
      const Epilogue epilogue{weights.biases.data<float>(), residual ? ConstRowView(residual->view()) : ConstRowView(),
                              form.activation.activation, form.residual_last};
      kernels.conv(context(), source.view(), back ? map->transposed() : map->forward(), *packed, epilogue,
                   result.view());
      std::vector<std::int64_t> sums(results * out);
      for (const auto& pair : back ? oracle::swapped(pairs) : pairs)
        for (std::size_t i = 0; i < in; ++i)
          for (std::size_t o = 0; o < out; ++o)
            sums[pair.out * out + o] += static_cast<std::int64_t>(source.numbers[pair.in * in + i]) *
                                        weights.whole[(pair.k * in + i) * out + o];
      expect_rounded(result, finished(scaled(sums, weights.multiplier), weights.bias, form, residual));
    }
  }

  static std::vector<float> scaled(const std::vector<std::int64_t>& sums, const std::vector<float>& multiplier) {
    std::vector<float> result(sums.size());
    for (std::size_t e = 0; e < sums.size(); ++e)
      result[e] = static_cast<float>(sums[e]) * multiplier[e % multiplier.size()];
    return result;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, ByteFeaturesTest, ::testing::Values(Device::cuda()), device_name);

// Below, at and above the widths of chunks, stages and tiles.
TEST_P(ByteFeaturesTest, ConvOfManyChannelCounts) {
  const auto coords = test_data::cloud(3, 150, 1);
  for (const std::size_t in : {1u, 3u, 15u, 16u, 17u, 31u, 32u, 33u, 63u, 64u, 67u, 80u, 128u, 144u})
    for (const std::size_t out : {1u, 7u, 8u, 19u, 32u, 33u, 64u, 67u, 96u, 130u})
      if ((in * 7 + out) % 5 == 0 || !emulated()) expect_conv(coords, test_data::cube(3, 3), in, out);
}

// A tile whose rows share few offsets, more offsets than a word has bits, and maps that are not symmetric.
TEST_P(ByteFeaturesTest, ConvOfManyWindows) {
  const auto coords = test_data::cloud(3, emulated() ? 120 : 3000, 2);
  for (const auto& w : {test_data::cube(3, 1), test_data::cube(3, 2, 2), test_data::cube(3, 3, 2),
                        test_data::cube(3, 3, 1, 2), test_data::cube(3, 4, 1), test_data::cube(3, 5)})
    expect_conv(coords, w, 16, 24);
}

TEST_P(ByteFeaturesTest, ConvInTallTiles) {
  const auto coords = test_data::cloud(3, emulated() ? 300 : 40000, 3);
  for (const std::size_t out : {96u, 128u, 160u}) expect_conv(coords, test_data::cube(3, 3), emulated() ? 16 : 64, out);
}

// Every dtype that comes out and that is added, every activation, the residual before and after it; chunks and single
// numbers.
TEST_P(ByteFeaturesTest, EpiloguesOfAllDtypes) {
  const auto coords = test_data::cloud(3, 40, 4);
  for (const std::size_t out : {16u, 5u})
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kI8})
      for (const std::optional<DType> residual :
           {std::optional<DType>(), std::optional(DType::kF32), std::optional(DType::kF16), std::optional(DType::kI8)})
        for (const bool last : {false, true})
          for (const PlainActivation& activation : plain_activations()) {
            const bool function = activation.activation.kind == Activation::Kind::kFunction;
            if ((function || last) && out == 5) continue;
            expect_conv(coords, test_data::cube(3, 2, 2), 16, out, {dtype, residual, last, activation});
          }
}

// Columns of wider rows, at chunks and beside them, and a product without a bias.
TEST_P(ByteFeaturesTest, LinearOnSlicesOfColumns) {
  const Weights weights = weights_of(16, 24, 16, 6);
  const auto& kernels = row_kernels(device());
  const auto packed = kernels.pack_i8(context(), weights.quantized(), 16, 24);
  for (const std::int64_t first : {16, 3}) {
    Stored source = store(300, 48, DType::kI8, 5), wide = store(300, 64, DType::kI8, 7);
    kernels.linear(context(), source.view().columns(first, 16), *packed, {}, wide.view().columns(8, 24));
    std::vector<float> expected(300 * 64);
    for (std::size_t r = 0; r < 300; ++r)
      for (std::size_t c = 0; c < 64; ++c) {
        std::int64_t sum = 0;
        for (std::size_t i = 0; i < 16 && c >= 8 && c < 32; ++i)
          sum += static_cast<std::int64_t>(source.numbers[r * 48 + static_cast<std::size_t>(first) + i]) *
                 weights.whole[i * 24 + c - 8];
        expected[r * 64 + c] = c >= 8 && c < 32 ? static_cast<float>(sum) * weights.multiplier[c - 8] : wide.at(r, c);
      }
    expect_rounded(wide, expected);
  }
}

// First layers, whose weights are of the dtype of what goes in. Whole numbers, whose sums are exact.
TEST_P(ByteFeaturesTest, ProductsBetweenDtypes) {
  const auto& kernels = row_kernels(device());
  for (const std::size_t in : {4u, 32u})
    for (const std::size_t out : {32u, 40u}) {
      const oracle::Matrix whole = test_data::whole(in, out, 3);
      const Array weight = array(whole);
      for (const DType from : {DType::kF32, DType::kF16})
        for (const DType to : {DType::kF32, DType::kF16, DType::kI8})
          for (const bool residual_of_bytes : {false, true}) {
            SCOPED_TRACE(std::string(name(from)) + " to " + name(to) + ", " + std::to_string(in) + " -> " +
                         std::to_string(out));
            const auto packed = kernels.pack(context(), weight.data<float>(), static_cast<std::int64_t>(in),
                                             static_cast<std::int64_t>(out), from);
            Stored source = store(90, in, from, 1), result = room(90, out, to, 0.4f);
            Form form;
            std::optional<Stored> residual;
            if (residual_of_bytes) residual = store(90, out, DType::kI8, 2);
            const Epilogue epilogue{nullptr, residual ? ConstRowView(residual->view()) : ConstRowView(),
                                    form.activation.activation, false};
            kernels.linear(context(), source.view(), *packed, epilogue, result.view());
            std::vector<float> sums(90 * out);
            for (std::size_t r = 0; r < 90; ++r)
              for (std::size_t o = 0; o < out; ++o)
                for (std::size_t i = 0; i < in; ++i)
                  sums[r * out + o] += source.at(r, i) * static_cast<float>(whole.at(i, o));
            expect_rounded(result, finished(sums, std::vector<float>(out), form, residual));
          }
    }
}

TEST_P(ByteFeaturesTest, NoRowsAndNoChannels) {
  const auto& kernels = row_kernels(device());
  const Weights weights = weights_of(32, 8, 32, 1), none = weights_of(0, 8, 1, 1);
  Stored source = room(0, 32, DType::kI8), out = room(0, 8, DType::kI8);
  kernels.linear(context(), source.view(), *kernels.pack_i8(context(), weights.quantized(), 32, 8), {}, out.view());
  // Without inputs the epilogue is what remains.
  Stored narrow = room(9, 0, DType::kI8), rows = room(9, 8, DType::kI8);
  kernels.linear(context(), narrow.view(), *kernels.pack_i8(context(), none.quantized(), 0, 8),
                 {none.biases.data<float>(), {}, {}, false}, rows.view());
  std::vector<float> expected;
  for (std::size_t r = 0; r < 9; ++r) expected.insert(expected.end(), none.bias.begin(), none.bias.end());
  expect_rounded(rows, expected);
}

// The ends of i8, and what is no number.
TEST_P(ByteFeaturesTest, ResultsBeyondTheRange) {
  const auto& kernels = row_kernels(device());
  const float huge = std::numeric_limits<float>::max(), infinite = std::numeric_limits<float>::infinity();
  Weights weights = weights_of(64, 8, 64, 1);
  std::fill(weights.whole.begin(), weights.whole.end(), std::int8_t{127});
  weights.multiplier = {1, 1, huge, -huge, 1e-30f, 1, 1, 0};
  weights.bias = {0, -3e6f, 0, 0, 0, infinite, std::nanf(""), -infinite};
  weights.on_device = on_device(weights.whole, {64 * 8});
  weights.multipliers = on_device(weights.multiplier);
  weights.biases = on_device(weights.bias);
  const auto packed = kernels.pack_i8(context(), weights.quantized(), 64, 8);
  Stored source = store(1, 64, DType::kI8, 1), result = room(1, 8, DType::kI8);
  source.memory = on_device(std::vector<std::int8_t>(64, 127), {1, 64});
  kernels.linear(context(), source.view(), *packed, {weights.biases.data<float>(), {}, {}, false}, result.view());
  EXPECT_EQ(host<std::int8_t>(result.memory), (std::vector<std::int8_t>{127, -127, 127, -127, 0, 127, 0, -127}));
}

TEST_P(ByteFeaturesTest, WeightsOfAnotherDtypeAreRefused) {
  const auto& kernels = row_kernels(device());
  const Weights weights = weights_of(16, 8, 16, 1);
  const auto whole = kernels.pack_i8(context(), weights.quantized(), 16, 8);
  const auto plain =
      kernels.pack(context(), on_device(std::vector<float>(16 * 8), {16, 8}).data<float>(), 16, 8, DType::kF32);
  Stored source = store(3, 16, DType::kI8, 1), wide = store(3, 16, DType::kF32, 1), result = room(3, 8, DType::kI8);
  expect_throw([&] { kernels.linear(context(), source.view(), *plain, {}, result.view()); }, {"[linear]", "i8", "f32"});
  expect_throw([&] { kernels.linear(context(), wide.view(), *whole, {}, result.view()); }, {"[linear]", "f32", "i8"});
}

}  // namespace
}  // namespace voxshift
