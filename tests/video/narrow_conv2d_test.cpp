// 2-D convolution of i8, f16 and bf16 on the CPU, and of f32 to them, of all pixels and of some.
#include <gtest/gtest.h>
#include <voxshift/tensor/arena.h>
#include <voxshift/video/kernels.h>

#include <optional>
#include <string>

#include "cpu_targets.h"
#include "narrow_images.h"
#include "narrow_sums.h"
#include "sanitized.h"

namespace voxshift {
namespace {

using narrow_images::Rows;
using narrow_images::Weights;
using oracle::Square;
using Kind = Activation::Kind;

struct Dtypes {
  DType in, out;
  std::optional<DType> residual = {};
};

struct Case {
  Extent2d extent;
  std::int64_t inputs, outputs;
  Square square;
  Dtypes dtypes;
  Activation activation = {Kind::kNone, 0};
  std::vector<std::int64_t> runs = {};  // channels of each run; empty: one
  bool depthwise = false, bordered = false;
};

std::string describe(const Case& c) {
  return std::to_string(c.extent.height) + " x " + std::to_string(c.extent.width) + ", " + std::to_string(c.inputs) +
         " -> " + std::to_string(c.outputs) + ", kernel " + std::to_string(c.square.kernel) + ", stride " +
         std::to_string(c.square.stride) + ", padding " + std::to_string(c.square.padding) + ", " + name(c.dtypes.in) +
         " -> " + name(c.dtypes.out) + (c.dtypes.residual ? std::string(" + ") + name(*c.dtypes.residual) : "") +
         (c.depthwise ? ", depthwise" : "");
}

constexpr DType kTypes[] = {DType::kI8, DType::kF16, DType::kBF16, DType::kF32};

class NarrowConv2dTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string target = wanted_cpu_target();
    if (!target.empty() && !cpu_has(target)) GTEST_SKIP() << "this CPU has no " << target;
  }

  static const VideoKernels& kernels() { return video_kernels(Device::cpu()); }

  static std::shared_ptr<const PackedWeights> pack(const Weights& w, DType dtype) {
    const Context context{Device::cpu(), nullptr, 1, nullptr};
    if (dtype == DType::kI8) {
      const auto numbers = w.i8();
      const QuantizedWeights weights{numbers.data(), w.multiplier.data()};
      return w.depthwise
                 ? kernels().pack_depthwise_i8(context, weights, w.bias.data(), w.square.kernel, w.outputs)
                 : kernels().pack_conv2d_i8(context, weights, w.bias.data(), w.square.kernel, w.inputs, w.outputs);
    }
    const auto numbers = w.f32();
    return w.depthwise
               ? kernels().pack_depthwise(context, numbers.data(), w.bias.data(), w.square.kernel, w.outputs, dtype)
               : kernels().pack_conv2d(context, numbers.data(), w.bias.data(), w.square.kernel, w.inputs, w.outputs,
                                       dtype);
  }

  // An image in runs of channels, or with a border of zeros.
  struct Input {
    std::vector<Rows> parts;
    ImageView view;
  };
  static Input input_of(const Case& c, const Rows& in) {
    Input input;
    input.view.rows.dtype = c.dtypes.in;
    const std::int64_t border = c.bordered ? c.square.padding : 0;
    const Extent2d extent{c.extent.height + 2 * border, c.extent.width + 2 * border};
    const auto runs = c.runs.empty() ? std::vector{c.inputs} : c.runs;
    input.parts.reserve(runs.size());
    std::int64_t first = 0;
    for (const std::int64_t channels : runs) {
      Rows& part = input.parts.emplace_back(c.dtypes.in, extent.pixels(), channels, 0, c.bordered ? 0 : 5);
      for (std::int64_t p = 0; p < extent.pixels(); ++p)
        for (std::int64_t k = 0; k < channels; ++k) {
          const std::int64_t y = p / extent.width - border, x = p % extent.width - border;
          const bool inside = y >= 0 && y < c.extent.height && x >= 0 && x < c.extent.width;
          part.set(p, k, inside ? in.number(y * c.extent.width + x, first + k) : 0);
        }
      first += channels;
      const ConstRowView rows = std::as_const(part).view();
      const std::int64_t corner = border * extent.width + border;
      input.view.rows.add({rows.rows(corner, 1).base, rows.row_stride, channels});
      input.view.border = border;
      input.view.pitch = border > 0 ? extent.width * rows.row_stride : 0;
    }
    return input;
  }

  static void run(const Case& c, const Conv2dLayer& layer, const Input& input, const std::optional<Rows>& residual,
                  const Pixels& pixels, int threads, Rows& out) {
    Arena arena;
    const Context context{Device::cpu(), nullptr, threads, &arena};
    const ConstRowView added = residual ? residual->view() : ConstRowView{};
    if (c.depthwise) return kernels().depthwise(context, layer, c.extent, input.parts[0].view(), pixels, out.view());
    kernels().conv2d(context, layer, c.extent, input.view, added, pixels, out.view());
  }

  // Whole numbers: sums are exact in f32, so that every dtype has one right result.
  static void expect_conv(const Case& c) {
    const Window2d window{c.square.kernel, c.square.stride, c.square.padding};
    const Extent2d extent = window.out(c.extent);
    if (c.extent.height + 2 * window.padding < window.kernel || c.extent.width + 2 * window.padding < window.kernel)
      return;
    SCOPED_TRACE(describe(c));
    Rows in(c.dtypes.in, c.extent.pixels(), c.inputs);
    in.fill(1);
    const Weights weights(c.inputs, c.outputs, c.square, c.depthwise, c.dtypes.in, 2);
    std::optional<Rows> residual;
    if (c.dtypes.residual) {
      residual.emplace(*c.dtypes.residual, extent.pixels(), c.outputs, 9);
      residual->fill(3);
    }
    Rows all(c.dtypes.out, extent.pixels(), c.outputs, 4);
    std::vector<double> expected;
    for (std::int64_t p = 0; p < extent.pixels(); ++p)
      for (std::int64_t o = 0; o < c.outputs; ++o) {
        const auto sum =
            narrow_images::sum_at(weights, c.extent, p / extent.width, p % extent.width, o,
                                  [&](auto y, auto x, auto k) { return in.number(y * c.extent.width + x, k); });
        const float added = residual ? residual->value(p, o) : 0;
        const float y = narrow_images::finished(weights, c.dtypes.in == DType::kI8, sum, o, residual ? &added : nullptr,
                                                c.activation);
        expected.push_back(narrow_images::number_of(all, y, o));
      }
    const Conv2dLayer layer{window, c.inputs, c.outputs, pack(weights, c.dtypes.in), c.activation};
    const Input input = input_of(c, in);
    const auto same = [&](const Rows& out, std::int64_t row, std::int64_t pixel) {
      for (std::int64_t o = 0; o < c.outputs; ++o)
        ASSERT_EQ(out.number(row, o), expected[static_cast<std::size_t>(pixel * c.outputs + o)])
            << "pixel " << pixel << ", channel " << o;
    };
    for (const int threads : {1, 3}) {
      run(c, layer, input, residual, {nullptr, extent.pixels()}, threads, all);
      for (std::int64_t p = 0; p < extent.pixels(); ++p) same(all, p, p);
    }
    std::vector<std::int32_t> some;
    for (std::int32_t p = 0; p < extent.pixels(); p += p % 3 + 1) some.push_back(p);
    const auto count = static_cast<std::int64_t>(some.size());
    Rows listed(c.dtypes.out, count, c.outputs, 4);
    run(c, layer, input, residual, {some.data(), count}, 2, listed);
    for (std::int64_t i = 0; i < count; ++i) same(listed, i, some[static_cast<std::size_t>(i)]);
  }
};

const std::vector<Dtypes> kDtypes = {
    {DType::kI8, DType::kI8},   {DType::kBF16, DType::kBF16}, {DType::kF16, DType::kF16}, {DType::kI8, DType::kF32},
    {DType::kI8, DType::kBF16}, {DType::kF32, DType::kI8},    {DType::kF32, DType::kF16}, {DType::kF32, DType::kBF16},
    {DType::kBF16, DType::kI8}, {DType::kF16, DType::kF32}};

TEST_F(NarrowConv2dTest, EveryWindow) {
  for (const Square& w : {Square{1, 1, 0}, Square{1, 2, 0}, Square{3, 1, 1}, Square{3, 2, 1}, Square{3, 1, 0},
                          Square{5, 1, 2}, Square{5, 2, 2}, Square{7, 2, 3}, Square{2, 2, 0}})
    for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {7, 7}, {6, 11}})
      for (const Dtypes& d : kDtypes) {
        expect_conv({{height, width}, 19, 21, w, d});
        expect_conv({{height, width}, 37, 37, w, d, {Kind::kRelu6, 0}, {}, true});
      }
}

TEST_F(NarrowConv2dTest, AllChannelCounts) {
  for (std::int64_t channels = 1; channels <= 67; channels += kSanitized ? 5 : 1)
    for (const Dtypes& d : {kDtypes[0], kDtypes[1], kDtypes[2], kDtypes[5]}) {
      expect_conv({{3, 5}, channels, 68 - channels, {1, 1, 0}, d});
      expect_conv({{3, 5}, channels, channels, {3, 1, 1}, d});
      for (const std::int64_t kernel : {2, 3, 5})
        expect_conv({{4, 7}, channels, channels, {kernel, 1, kernel / 2}, d, {Kind::kNone, 0}, {}, true});
    }
}

TEST_F(NarrowConv2dTest, ResidualsAndActivations) {
  Activation clip{Kind::kFunction, 0};
  clip.function = {Elementwise::Kind::kClip, -1.5f, 2.5f};
  for (const Activation& activation : {Activation{Kind::kNone, 0}, Activation{Kind::kRelu, 0},
                                       Activation{Kind::kRelu6, 0}, Activation{Kind::kLeakyRelu, 0.25f}, clip})
    for (const DType in : kTypes)
      for (const DType out : kTypes) {
        if (in == DType::kF32 && out == DType::kF32) continue;
        for (const DType residual : kTypes) expect_conv({{5, 6}, 9, 35, {3, 1, 1}, {in, out, residual}, activation});
        expect_conv({{5, 6}, 35, 35, {3, 1, 1}, {in, out}, activation, {}, true});
      }
}

TEST_F(NarrowConv2dTest, RunsOfChannelsAndBorders) {
  for (const DType in : kTypes)
    for (const Square& w : {Square{1, 1, 0}, Square{3, 1, 1}, Square{3, 2, 1}}) {
      const Dtypes d{in, DType::kI8, DType::kI8};
      expect_conv({{9, 10}, 24, 33, w, d, {Kind::kNone, 0}, {3, 21}});
      expect_conv({{9, 10}, 24, 33, w, d, {Kind::kNone, 0}, {1, 2, 21}});
      expect_conv({{9, 10}, 130, 20, w, d, {Kind::kNone, 0}, {65, 64, 1}});
      if (w.padding == 0) continue;
      expect_conv({{9, 10}, 3, 32, w, d, {Kind::kRelu, 0}, {}, false, true});
      expect_conv({{9, 10}, 20, 7, w, d, {Kind::kRelu, 0}, {}, false, true});
    }
}

TEST_F(NarrowConv2dTest, ImagesOfManyTasks) {
  for (const Dtypes& d : kDtypes) {
    expect_conv({{23, 31}, 40, 24, {1, 1, 0}, d});
    expect_conv({{7, 7}, 64, 340, {1, 1, 0}, d});
    expect_conv({{23, 31}, 24, 24, {3, 1, 1}, d, {Kind::kRelu6, 0}, {}, true});
  }
}

// Real numbers: within half a unit of the dtype and the roundings of the sum.
TEST_F(NarrowConv2dTest, RealNumbersWithinTheRoundings) {
  for (const DType dtype : {DType::kF16, DType::kBF16})
    for (const bool depthwise : {false, true}) {
      SCOPED_TRACE(name(dtype));
      const Extent2d extent{11, 12};
      const Square square{3, 1, 1};
      Rows in(dtype, extent.pixels(), 40), out(DType::kF32, extent.pixels(), 40), narrow(dtype, extent.pixels(), 40);
      in.fill(1, true);
      const Weights weights(40, 40, square, depthwise, dtype, 2, true);
      const Case c{extent, 40, 40, square, {dtype, DType::kF32}, {Kind::kNone, 0}, {}, depthwise};
      const Conv2dLayer layer{{3, 1, 1}, 40, 40, pack(weights, dtype), c.activation};
      const Input input = input_of(c, in);
      run(c, layer, input, {}, {nullptr, extent.pixels()}, 1, out);
      run(c, layer, input, {}, {nullptr, extent.pixels()}, 1, narrow);
      for (std::int64_t p = 0; p < extent.pixels(); ++p)
        for (std::int64_t o = 0; o < 40; ++o) {
          const auto sum =
              narrow_images::sum_at(weights, extent, p / extent.width, p % extent.width, o,
                                    [&](auto y, auto x, auto k) { return in.number(y * extent.width + x, k); });
          const double bias = weights.bias[static_cast<std::size_t>(o)], terms = depthwise ? 9 : 360;
          const double rounding = rounding_of_sums(depthwise ? DType::kF32 : dtype, terms + 1);
          ASSERT_NEAR(out.number(p, o), sum.value + bias, rounding * (sum.magnitude + std::abs(bias)));
          ASSERT_EQ(narrow.number(p, o), narrow_images::as(dtype, out.number(p, o)));
        }
    }
}

// What the arithmetic is where a product is infinite, or a bias no number.
TEST_F(NarrowConv2dTest, NumbersThatAreNone) {
  for (const bool depthwise : {false, true}) {
    Rows in(DType::kI8, 6, 20);
    in.fill(1);
    Weights weights(20, 20, {1, 1, 0}, depthwise, DType::kI8, 2);
    weights.multiplier[0] = INFINITY;
    weights.multiplier[1] = 3e38f;
    weights.multiplier[2] = NAN;
    weights.bias[3] = -INFINITY;
    weights.bias[4] = NAN;
    weights.multiplier[5] = 0;
    const Case c{{1, 6}, 20, 20, {1, 1, 0}, {DType::kI8, DType::kI8}, {Kind::kRelu6, 0}, {}, depthwise};
    const Conv2dLayer layer{{1, 1, 0}, 20, 20, pack(weights, DType::kI8), c.activation};
    Rows out(DType::kI8, 6, 20);
    run(c, layer, input_of(c, in), {}, {nullptr, 6}, 1, out);
    for (std::int64_t p = 0; p < 6; ++p)
      for (std::int64_t o = 0; o < 20; ++o) {
        const auto sum =
            narrow_images::sum_at(weights, c.extent, 0, p, o, [&](auto, auto x, auto k) { return in.number(x, k); });
        float y = static_cast<float>(sum.value) * weights.multiplier[static_cast<std::size_t>(o)] +
                  weights.bias[static_cast<std::size_t>(o)];
        y = y < 0 ? 0 : y > 6 ? 6 : y;  // NaN stays
        ASSERT_EQ(out.number(p, o), narrow_images::whole_of(y, out.inverse()[o])) << "pixel " << p << ", channel " << o;
      }
  }
}

}  // namespace
}  // namespace voxshift
