// Convolutions and linear maps of rows of i8, bf16, f16 and f32 to rows of any dtype, with residuals of any dtype, on
// the CPU, by every table of products that it has: equal to the bit to plain loops, or within the bound of real
// numbers.
#include <gtest/gtest.h>
#include <voxshift/kernels_cpu/packed_narrow.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/kernels.h>

#include <cstring>
#include <optional>

#include "device_fixture.h"
#include "narrow_images.h"
#include "narrow_sums.h"
#include "test_data.h"

namespace voxshift {
namespace {

using cpu::NarrowProduct;
using narrow_images::activated;
using narrow_images::Rows;

constexpr DType kNone = DType::kU8;  // of a residual: there is none

struct Case {
  std::int64_t inputs, outputs;
  DType in, out;
  DType residual = kNone;
  bool residual_last = false, bias = true, real = false;
  Activation activation = {};
  int threads = 1;
};

std::string described(const Case& c) {
  return std::to_string(c.inputs) + " -> " + std::to_string(c.outputs) + ", " + name(c.in) + " -> " + name(c.out) +
         (c.residual == kNone ? "" : std::string(" + ") + name(c.residual) + (c.residual_last ? " last" : "")) +
         (c.bias ? ", bias" : "") + ", activation " + std::to_string(static_cast<int>(c.activation.kind)) + ", " +
         std::to_string(c.threads) + " threads";
}

/// A convolution of 3 per axis, or without an axis a linear map.
struct Layer {
  std::int64_t rows;
  std::size_t volume;
  std::vector<oracle::Pair> pairs;
  std::shared_ptr<const KernelMap> map;
  std::optional<SparseTensor> x;  // whose map it is
};

Layer layer(int dims, std::size_t rows) {
  const oracle::Coords coords = test_data::cloud(dims, rows, 1);
  const oracle::Window w = test_data::cube(dims, 3);
  std::vector<std::int32_t> values;
  for (const auto& c : coords) values.insert(values.end(), c.begin(), c.end());
  const auto count = static_cast<std::int64_t>(coords.size());
  const SparseTensor x(Array::from(values, {count, dims + 1}),
                       Array::from(std::vector<float>(coords.size()), {count, 1}));
  return {count, oracle::volume(w), oracle::pairs(coords, coords, w),
          x.cache()->kernel_map(x.map(), x.map(), make_window("test", dims, options_of(w))), x};
}

/// Weights [volume, inputs, outputs], whole numbers or real ones, with multipliers and a bias.
struct Weights {
  std::vector<double> numbers;
  std::vector<float> multiplier, bias;
};

Weights weights_of(const Case& c, std::size_t volume) {
  std::mt19937 random(static_cast<unsigned>(c.inputs * 131 + c.outputs));
  std::uniform_real_distribution<double> uniform(-1, 1);
  Weights w;
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(volume) * c.inputs * c.outputs; ++i)
    w.numbers.push_back(c.in == DType::kI8 ? static_cast<double>(random() % 255) - 127
                        : c.real           ? narrow_images::as(c.in, uniform(random))
                                           : static_cast<double>(random() % 17) - 8);
  for (std::int64_t o = 0; o < c.outputs; ++o) {
    w.multiplier.push_back(1e-5f * static_cast<float>(1 + random() % 100));
    w.bias.push_back(static_cast<float>(random() % 17) - 8);
  }
  return w;
}

/// What one output sums, and the magnitude of its terms.
struct Sums {
  std::vector<double> value, magnitude;
};

Sums sums_of(const Case& c, const Layer& l, const Rows& in, const Weights& w) {
  const auto outputs = static_cast<std::size_t>(c.outputs), inputs = static_cast<std::size_t>(c.inputs);
  Sums sums{std::vector<double>(static_cast<std::size_t>(l.rows) * outputs), {}};
  sums.magnitude = sums.value;
  for (const oracle::Pair& p : l.pairs)
    for (std::size_t i = 0; i < inputs; ++i) {
      const double x = in.number(static_cast<std::int64_t>(p.in), static_cast<std::int64_t>(i));
      for (std::size_t o = 0; o < outputs; ++o) {
        const double term = x * w.numbers[(p.k * inputs + i) * outputs + o];
        sums.value[p.out * outputs + o] += term;
        sums.magnitude[p.out * outputs + o] += std::abs(term);
      }
    }
  return sums;
}

float activated_by(const Case& c, float x) { return activated(c.activation, x); }

/// What row r, channel o is, in f32: one operation after the other.
float expected_value(const Case& c, const Weights& w, double sum, std::int64_t r, std::int64_t o,
                     const Rows& residual) {
  volatile float y = static_cast<float>(sum);
  const auto channel = static_cast<std::size_t>(o);
  if (c.in == DType::kI8) y = y * w.multiplier[channel];
  if (c.bias) y = y + w.bias[channel];
  if (c.residual != kNone && !c.residual_last) y = y + residual.value(r, o);
  y = activated_by(c, y);
  if (c.residual != kNone && c.residual_last) y = y + residual.value(r, o);
  return y;
}

class NarrowConvTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string target = wanted_cpu_target();
    if (!target.empty() && !cpu_has(target)) GTEST_SKIP() << "this CPU has no " << target;
  }

  /// Of the table, or null: of the one that is picked.
  std::shared_ptr<const PackedWeights> packed(const Case& c, std::size_t volume, const Weights& w, bool linear,
                                              const NarrowProduct* table) {
    const std::vector<float> f32(w.numbers.begin(), w.numbers.end());
    std::vector<std::int8_t> i8(c.in == DType::kI8 ? w.numbers.size() : 0);
    for (std::size_t i = 0; i < i8.size(); ++i) i8[i] = static_cast<std::int8_t>(w.numbers[i]);
    const QuantizedWeights quantized{i8.data(), w.multiplier.data()};
    const auto offsets = static_cast<std::int64_t>(volume);
    const Context context{Device::cpu(), nullptr, c.threads, &arena_};
    if (table != nullptr && c.in == DType::kI8)
      return std::make_shared<cpu::PackedNarrow>(context, *table, quantized, offsets, c.inputs, c.outputs);
    if (table != nullptr)
      return std::make_shared<cpu::PackedNarrow>(context, *table, f32.data(), offsets, c.inputs, c.outputs);
    if (linear)
      return c.in == DType::kI8 ? rows_.pack_i8(context, quantized, c.inputs, c.outputs)
                                : rows_.pack(context, f32.data(), c.inputs, c.outputs, c.in);
    return c.in == DType::kI8 ? convs_.pack_i8(context, quantized, offsets, c.inputs, c.outputs)
                              : convs_.pack(context, f32.data(), offsets, c.inputs, c.outputs, c.in);
  }

  Rows run(const Case& c, const Layer& l, const Rows& in, const Rows& residual, const Weights& w,
           const NarrowProduct* table) {
    const bool linear = l.map == nullptr;
    Rows out(c.out, l.rows, c.outputs, 3);
    Epilogue epilogue;
    if (c.bias) epilogue.bias = w.bias.data();
    if (c.residual != kNone) epilogue.residual = residual.view();
    epilogue.activation = c.activation;
    epilogue.residual_last = c.residual_last;
    const auto weights = packed(c, l.volume, w, linear, table);
    const Context context{Device::cpu(), nullptr, c.threads, &arena_};
    const Rows& features = in;
    if (linear) {
      rows_.linear(context, features.view(), *weights, epilogue, out.view());
    } else {
      convs_.conv(context, features.view(), l.map->forward(), *weights, epilogue, out.view());
    }
    return out;
  }

  void check(const Case& c, const Layer& l, const NarrowProduct* table = nullptr) {
    SCOPED_TRACE(described(c) + (table != nullptr ? std::string(", ") + table->name : ""));
    Rows in(c.in, l.rows, c.inputs, 1), residual(c.residual == kNone ? DType::kF32 : c.residual, l.rows, c.outputs, 2);
    in.fill(1, c.real);
    residual.fill(2, c.real);
    const Weights w = weights_of(c, l.volume);
    const Sums sums = sums_of(c, l, in, w);
    const Rows out = run(c, l, in, residual, w, table);
    for (std::int64_t r = 0; r < l.rows; ++r)
      for (std::int64_t o = 0; o < c.outputs; ++o) {
        const auto i = static_cast<std::size_t>(r * c.outputs + o);
        const float y = expected_value(c, w, sums.value[i], r, o, residual);
        if (!c.real) {
          const double expected =
              c.out == DType::kI8 ? narrow_images::whole_of(y, out.inverse()[o]) : narrow_images::as(c.out, y);
          ASSERT_EQ(out.number(r, o), expected) << "row " << r << ", channel " << o << " of " << y;
          continue;
        }
        const double terms = static_cast<double>(l.volume) * static_cast<double>(c.inputs) + 2;
        const double bound = rounding_of_sums(c.in, terms) * (sums.magnitude[i] + 16);
        ASSERT_LE(std::abs(out.number(r, o) - y), bound +
                                                      std::abs(y) * (c.out == DType::kF32   ? 0x1p-24
                                                                     : c.out == DType::kF16 ? 0x1p-11
                                                                                            : 0x1p-8) +
                                                      0x1p-25)
            << "row " << r << ", channel " << o << " of " << y;
      }
  }

  Arena arena_{Device::cpu()};
  const SparseConvKernels& convs_ = sparse_conv_kernels(Device::cpu());
  const RowKernels& rows_ = row_kernels(Device::cpu());
};

Layer linear_map(std::int64_t rows) {
  Layer l{rows, 1, {}, nullptr, {}};
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) l.pairs.push_back({0, r, r});
  return l;
}

constexpr DType kDTypes[] = {DType::kI8, DType::kBF16, DType::kF16, DType::kF32};

TEST_F(NarrowConvTest, EveryTableGivesTheBitsOfPlainLoops) {
  const Layer l = layer(3, 70);
  for (const NarrowProduct* table : cpu::narrow_products())
    for (std::int64_t channels = 1; channels <= 67; channels += kSanitized ? 11 : 1) {
      check({channels, 68 - channels, table->dtype, table->dtype}, l, table);
      if (HasFatalFailure()) return;
    }
}

TEST_F(NarrowConvTest, EveryNumberOfAxes) {
  for (int dims = 1; dims <= 4; ++dims) {
    const Layer l = layer(dims, 90);
    for (const DType dtype : kDTypes) check({13, 21, dtype, dtype}, l);
  }
}

TEST_F(NarrowConvTest, EveryDTypeToEveryOtherPlusEveryResidual) {
  const Layer l = layer(2, 40), flat = linear_map(40);
  for (const DType in : kDTypes)
    for (const DType out : kDTypes)
      for (const DType residual : {kNone, DType::kI8, DType::kBF16, DType::kF16, DType::kF32})
        for (const bool last : {false, true}) {
          Case c{6, 35, in, out, residual, last};
          c.activation.kind = Activation::Kind::kRelu;
          check(c, l);
          check(c, flat);
          if (HasFatalFailure()) return;
        }
}

TEST_F(NarrowConvTest, EveryActivationWithAndWithoutBias) {
  const Layer l = layer(2, 40);
  Activation clip{Activation::Kind::kFunction};
  clip.function = {Elementwise::Kind::kClip, -3, 5};
  for (const Activation& activation :
       {Activation{}, Activation{Activation::Kind::kRelu}, Activation{Activation::Kind::kRelu6},
        Activation{Activation::Kind::kLeakyRelu, 0.1f}, clip})
    for (const DType in : kDTypes)
      for (const DType out : kDTypes)
        for (const DType residual : {kNone, DType::kI8, DType::kF32})
          for (const bool last : {false, true})
            for (const bool bias : {false, true}) {
              Case c{5, 19, in, out, residual, last, bias};
              c.activation = activation;
              check(c, l);
              if (HasFatalFailure()) return;
            }
}

TEST_F(NarrowConvTest, RealNumbersAreWithinTheBoundOfSumsOfF32) {
  const Layer l = layer(3, 60), flat = linear_map(60);
  for (const NarrowProduct* table : cpu::narrow_products()) {
    if (table->dtype == DType::kI8) continue;
    for (const std::int64_t channels : {1, 2, 15, 32, 67})
      for (const DType out : {DType::kF32, DType::kF16, DType::kBF16}) {
        Case c{channels, 33, table->dtype, out};
        c.real = true;
        check(c, l, table);
        check(c, flat, table);
        if (HasFatalFailure()) return;
      }
  }
}

TEST_F(NarrowConvTest, ManyBlocks) {
  const Layer l = layer(2, 4500), flat = linear_map(700);
  for (const DType dtype : kDTypes) {
    check({9, 6, dtype, dtype, dtype}, l);
    check({9, 6, dtype, dtype, dtype}, flat);
  }
}

TEST_F(NarrowConvTest, TheSameBitsOnAnyNumberOfThreads) {
  const Layer l = layer(2, 9000), flat = linear_map(9000);
  for (const DType dtype : kDTypes)
    for (const Layer* run_on : {&l, &flat}) {
      Case c{33, 40, dtype, dtype, dtype};
      c.real = true;
      Rows in(c.in, l.rows, c.inputs, 1), residual(c.residual, l.rows, c.outputs, 2);
      in.fill(1, true);
      residual.fill(2, true);
      const Weights w = weights_of(c, run_on->volume);
      const Rows once = run(c, *run_on, in, residual, w, nullptr);
      for (const int threads : {2, 3, 3, 5}) {
        c.threads = threads;
        const Rows again = run(c, *run_on, in, residual, w, nullptr);
        const auto bytes = static_cast<std::size_t>(once.stride() * l.rows) * size_of(dtype);
        EXPECT_EQ(std::memcmp(once.view().base, again.view().base, bytes), 0) << described(c);
      }
    }
}

TEST_F(NarrowConvTest, ResultsBeyondI8AreItsEnds) {
  const Layer flat = linear_map(3);
  Case c{1, 1, DType::kI8, DType::kI8};
  c.bias = false;
  Rows in(DType::kI8, 3, 1, 1);
  in.set(0, 0, 127);
  in.set(1, 0, -127);
  in.set(2, 0, 0);
  const Rows out = run(c, flat, in, in, {{127}, {1000}, {}}, nullptr);
  EXPECT_EQ(out.number(0, 0), 127);
  EXPECT_EQ(out.number(1, 0), -127);
  EXPECT_EQ(out.number(2, 0), 0);
  const Rows nan = run(c, flat, in, in, {{1}, {NAN}, {}}, nullptr);
  EXPECT_EQ(nan.number(0, 0), 0);
}

TEST_F(NarrowConvTest, WeightsOfAnotherDTypeAreRefused) {
  const Layer flat = linear_map(2);
  const Case c{4, 4, DType::kBF16, DType::kF32};
  const auto weights = packed(c, 1, weights_of(c, 1), true, nullptr);
  const Rows in(DType::kI8, 2, 4), floats(DType::kF32, 2, 4);
  Rows out(DType::kF32, 2, 4);
  const Context context{Device::cpu(), nullptr, 1, &arena_};
  const auto refused = [&](const Rows& features, const std::string& part) {
    try {
      rows_.linear(context, features.view(), *weights, {}, out.view());
      ADD_FAILURE() << "taken";
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  refused(in, "[linear] the weights were packed for bf16, found features of i8");
  refused(floats, "[linear] the weights were packed for another op or device");
}

}  // namespace
}  // namespace voxshift
