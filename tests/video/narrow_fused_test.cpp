// convolution -> depthwise -> pointwise of i8, f16 and bf16 in one pass on the CPU: the bits of the three one by one,
// of all pixels and of some.
#include <gtest/gtest.h>
#include <voxshift/tensor/arena.h>
#include <voxshift/video/kernels.h>

#include <optional>
#include <string>
#include <utility>

#include "cpu_targets.h"
#include "narrow_images.h"
#include "sanitized.h"

namespace voxshift {
namespace {

using narrow_images::Rows;
using narrow_images::Weights;
using oracle::Square;

/// What the three convolutions read, what the last one writes, and what is added to it.
struct Dtypes {
  DType first, depthwise, project, out;
  std::optional<DType> residual = {};
};

struct Case {
  Extent2d extent;
  std::int64_t inputs, hidden, outputs;
  Square first, depthwise;
  Dtypes dtypes;
  std::vector<std::int64_t> runs = {};
  Activation activation = {Activation::Kind::kRelu6, 0};  // of the first two
};

std::string describe(const Case& c) {
  return std::to_string(c.extent.height) + " x " + std::to_string(c.extent.width) + ", " + std::to_string(c.inputs) +
         " -> " + std::to_string(c.hidden) + " -> " + std::to_string(c.outputs) + ", kernels " +
         std::to_string(c.first.kernel) + " and " + std::to_string(c.depthwise.kernel) + ", strides " +
         std::to_string(c.first.stride) + " and " + std::to_string(c.depthwise.stride) + ", " + name(c.dtypes.first) +
         ", " + name(c.dtypes.depthwise) + ", " + name(c.dtypes.project) + " -> " + name(c.dtypes.out);
}

Window2d window_of(const Square& w) { return {w.kernel, w.stride, w.padding}; }

constexpr DType kI8 = DType::kI8, kF32 = DType::kF32, kF16 = DType::kF16, kBF16 = DType::kBF16;

class Block {
 public:
  explicit Block(const Case& given)
      : c(given),
        input(c.dtypes.first, c.extent.pixels(), c.inputs),
        first(c.inputs, c.hidden, c.first, false, c.dtypes.first, 2),
        depthwise(c.hidden, c.hidden, c.depthwise, true, c.dtypes.depthwise, 3),
        project(c.hidden, c.outputs, {1, 1, 0}, false, c.dtypes.project, 4),
        hidden_extent(window_of(c.first).out(c.extent)),
        out_extent(window_of(c.depthwise).out(hidden_extent)),
        hidden(c.dtypes.depthwise == kI8 ? kI8 : kF32, hidden_extent.pixels(), c.hidden, 5),
        filtered(c.dtypes.project, out_extent.pixels(), c.hidden, 6),
        expected(c.dtypes.out, out_extent.pixels(), c.outputs, 7) {
    input.fill(1);
    if (c.dtypes.residual) {
      residual.emplace(*c.dtypes.residual, out_extent.pixels(), c.outputs, 8);
      residual->fill(9);
    }
    convolve(first, c.dtypes.first, c.extent, input, hidden_extent, c.activation, hidden);
    convolve(depthwise, c.dtypes.depthwise, hidden_extent, hidden, out_extent, c.activation, filtered);
    convolve(project, c.dtypes.project, out_extent, filtered, out_extent, {Activation::Kind::kNone, 0}, expected,
             residual ? &*residual : nullptr);
    block.in = c.extent;
    block.first = {window_of(c.first), c.inputs, c.hidden, pack(first, c.dtypes.first), c.activation};
    block.depthwise = {window_of(c.depthwise), c.hidden, c.hidden, pack(depthwise, c.dtypes.depthwise), c.activation};
    block.project = {{}, c.hidden, c.outputs, pack(project, c.dtypes.project), {}};
    block.hidden_scales = hidden.scales();
    block.filtered_scales = filtered.scales();
  }

  Case c;
  Rows input;
  Weights first, depthwise, project;
  Extent2d hidden_extent, out_extent;
  Rows hidden, filtered, expected;
  std::optional<Rows> residual;
  FusedBlock block;

 private:
  static void convolve(const Weights& w, DType dtype, Extent2d extent, const Rows& in, Extent2d out_extent,
                       const Activation& activation, Rows& out, const Rows* residual = nullptr) {
    for (std::int64_t p = 0; p < out.count(); ++p)
      for (std::int64_t o = 0; o < out.channels(); ++o) {
        const auto sum =
            narrow_images::sum_at(w, extent, p / out_extent.width, p % out_extent.width, o,
                                  [&](auto y, auto x, auto k) { return in.number(y * extent.width + x, k); });
        const float added = residual != nullptr ? residual->value(p, o) : 0;
        const float y =
            narrow_images::finished(w, dtype == kI8, sum, o, residual != nullptr ? &added : nullptr, activation);
        out.set(p, o, narrow_images::number_of(out, y, o));
      }
  }

  static std::shared_ptr<const PackedWeights> pack(const Weights& w, DType dtype) {
    const auto& kernels = video_kernels(Device::cpu());
    const Context context{Device::cpu(), nullptr, 1, nullptr};
    const float* const bias = w.bias.data();
    if (dtype == kI8) {
      const auto numbers = w.i8();
      const QuantizedWeights weights{numbers.data(), w.multiplier.data()};
      if (w.depthwise) return kernels.pack_depthwise_i8(context, weights, bias, w.square.kernel, w.outputs);
      return kernels.pack_conv2d_i8(context, weights, bias, w.square.kernel, w.inputs, w.outputs);
    }
    const auto numbers = w.f32();
    if (w.depthwise) return kernels.pack_depthwise(context, numbers.data(), bias, w.square.kernel, w.outputs, dtype);
    return kernels.pack_conv2d(context, numbers.data(), bias, w.square.kernel, w.inputs, w.outputs, dtype);
  }
};

class NarrowFusedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string target = wanted_cpu_target();
    if (!target.empty() && !cpu_has(target)) GTEST_SKIP() << "this CPU has no " << target;
  }

  // The block's input in runs of channels; where the first convolution is larger than a pixel, with a border of zeros.
  struct Input {
    std::vector<Rows> parts;
    ImageView view;
  };
  static Input input_of(const Block& b) {
    Input input;
    input.view.rows.dtype = b.c.dtypes.first;
    const std::int64_t border = b.c.first.padding;
    const Extent2d extent{b.c.extent.height + 2 * border, b.c.extent.width + 2 * border};
    const auto runs = b.c.runs.empty() ? std::vector{b.c.inputs} : b.c.runs;
    input.parts.reserve(runs.size());
    std::int64_t first = 0;
    for (const std::int64_t channels : runs) {
      Rows& part = input.parts.emplace_back(b.c.dtypes.first, extent.pixels(), channels, 0, border > 0 ? 0 : 5);
      for (std::int64_t p = 0; p < extent.pixels(); ++p)
        for (std::int64_t k = 0; k < channels; ++k) {
          const std::int64_t y = p / extent.width - border, x = p % extent.width - border;
          const bool inside = y >= 0 && y < b.c.extent.height && x >= 0 && x < b.c.extent.width;
          part.set(p, k, inside ? b.input.number(y * b.c.extent.width + x, first + k) : 0);
        }
      first += channels;
      const ConstRowView rows = std::as_const(part).view();
      input.view.rows.add({rows.rows(border * extent.width + border, 1).base, rows.row_stride, channels});
      input.view.border = border;
      input.view.pitch = border > 0 ? extent.width * rows.row_stride : 0;
    }
    return input;
  }

  static Rows run(const Block& b, const std::vector<std::int32_t>* pixels, const std::vector<std::uint8_t>* mask,
                  int threads) {
    Arena arena;
    const Context context{Device::cpu(), nullptr, threads, &arena};
    const Input input = input_of(b);
    const ConstRowView added = b.residual ? b.residual->view() : ConstRowView{};
    const std::int64_t count = pixels != nullptr ? static_cast<std::int64_t>(pixels->size()) : b.out_extent.pixels();
    Rows out(b.c.dtypes.out, count, b.c.outputs, 7);
    video_kernels(Device::cpu())
        .fused_block(context, b.block, input.view, added, mask != nullptr ? mask->data() : nullptr,
                     {pixels != nullptr ? pixels->data() : nullptr, count}, out.view());
    return out;
  }

  /// Every `keep`th output pixel or so, and the hidden pixels that they read.
  static std::pair<std::vector<std::int32_t>, std::vector<std::uint8_t>> some_of(const Block& b, unsigned keep) {
    std::vector<std::int32_t> pixels;
    std::vector<std::uint8_t> mask(static_cast<std::size_t>(b.hidden_extent.pixels()), 0);
    for (std::int32_t p = 0; p < b.out_extent.pixels(); ++p)
      if ((static_cast<unsigned>(p) * 7 + static_cast<unsigned>(p) / 5) % keep == 0) pixels.push_back(p);
    oracle::for_taps(b.hidden_extent.height, b.hidden_extent.width, b.c.depthwise,
                     [&](auto y, auto x, auto from_y, auto from_x, auto, auto) {
                       const auto p = static_cast<std::int32_t>(y * b.out_extent.width + x);
                       if (std::binary_search(pixels.begin(), pixels.end(), p))
                         mask[static_cast<std::size_t>(from_y * b.hidden_extent.width + from_x)] = 1;
                     });
    return {pixels, mask};
  }

  // Sums are of whole numbers, exact in any order.
  static void expect_block(const Case& c) {
    SCOPED_TRACE(describe(c));
    const Block b(c);
    const auto same = [&](const Rows& out, std::int64_t row, std::int64_t pixel) {
      for (std::int64_t o = 0; o < c.outputs; ++o)
        ASSERT_EQ(out.number(row, o), b.expected.number(pixel, o)) << "pixel " << pixel << ", channel " << o;
    };
    for (const int threads : {1, 2, 3}) {
      SCOPED_TRACE(threads);
      const Rows all = run(b, nullptr, nullptr, threads);
      for (std::int64_t p = 0; p < all.count(); ++p) same(all, p, p);
    }
    for (const unsigned keep : {1u, 3u, 17u}) {
      const auto [pixels, mask] = some_of(b, keep);
      if (pixels.empty()) continue;
      for (const int threads : {1, 3}) {
        const Rows some = run(b, &pixels, &mask, threads);
        for (std::int64_t i = 0; i < some.count(); ++i) same(some, i, pixels[static_cast<std::size_t>(i)]);
      }
    }
  }
};

constexpr Square kPoint{1, 1, 0};
constexpr Dtypes kAllI8{kI8, kI8, kI8, kI8, kI8};
// The first block of a network reads f32, the last one writes it, and what is sensitive stays in f16 or f32.
const std::vector<Dtypes> kDtypes = {kAllI8,
                                     {kBF16, kBF16, kBF16, kBF16, kBF16},
                                     {kF16, kF16, kF16, kF16, kF16},
                                     {kF32, kI8, kI8, kI8},
                                     {kI8, kI8, kI8, kF32},
                                     {kF32, kF32, kF32, kI8, kI8},
                                     {kF32, kF32, kBF16, kBF16, kF32},
                                     {kBF16, kBF16, kF32, kF32, kBF16},
                                     {kF32, kF32, kI8, kF16}};

TEST_F(NarrowFusedTest, DepthwiseWindows) {
  for (const Square& depthwise : {Square{3, 1, 1}, Square{3, 2, 1}, Square{5, 1, 2}, Square{5, 2, 2}, Square{3, 1, 0}})
    for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{5, 5}, {6, 11}, {15, 8}})
      for (const Dtypes& d : kDtypes) expect_block({{height, width}, 6, 40, 9, kPoint, depthwise, d});
}

TEST_F(NarrowFusedTest, ImagesSmallerThanTheWindow) {
  for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {1, 4}, {2, 2}, {3, 1}})
    for (const Dtypes& d : kDtypes) expect_block({{height, width}, 3, 17, 4, kPoint, {5, 1, 2}, d});
}

TEST_F(NarrowFusedTest, ChannelCounts) {
  for (const std::int64_t hidden : {1, 15, 16, 17, 31, 32, 33, 48, 67})
    for (const std::int64_t out : {1, 8, 24, 67})
      for (const Dtypes& d : {kDtypes[0], kDtypes[1], kDtypes[3]})
        expect_block({{4, 6}, 5, hidden, out, kPoint, {3, 1, 1}, d});
}

TEST_F(NarrowFusedTest, RunsOfChannels) {
  for (const Dtypes& d : kDtypes) {
    expect_block({{9, 10}, 16, 96, 16, kPoint, {3, 1, 1}, d, {2, 14}});
    expect_block({{9, 10}, 16, 96, 16, kPoint, {3, 1, 1}, d, {2, 2, 12}});
    expect_block({{9, 10}, 9, 20, 9, kPoint, {3, 1, 1}, d, {1, 8}});
  }
}

TEST_F(NarrowFusedTest, FirstConvolutionOfABorderedImage) {
  for (const Square& first : {Square{3, 2, 1}, Square{3, 1, 1}, Square{7, 2, 3}})
    for (const Dtypes& d : kDtypes) expect_block({{9, 13}, 3, 32, 16, first, {3, 1, 1}, d});
}

// Rings that go round many times, groups of more rows than are staged together.
TEST_F(NarrowFusedTest, WideAndHighImages) {
  for (const Dtypes& d : {kDtypes[0], kDtypes[1], kDtypes[3]}) {
    expect_block({{40, 61}, 8, 48, 8, kPoint, {3, 1, 1}, d});
    expect_block({{41, 118}, 4, 33, 8, kPoint, {3, 2, 1}, d});
  }
}

TEST_F(NarrowFusedTest, Activations) {
  Activation clip{Activation::Kind::kFunction, 0};
  clip.function = {Elementwise::Kind::kClip, -1.0f, 3.0f};
  for (const Activation& activation : {Activation{Activation::Kind::kNone, 0}, Activation{Activation::Kind::kRelu, 0},
                                       Activation{Activation::Kind::kLeakyRelu, 0.25f}, clip})
    for (const Dtypes& d : {kDtypes[0], kDtypes[3]})
      expect_block({{6, 7}, 5, 40, 9, kPoint, {3, 1, 1}, d, {}, activation});
}

}  // namespace
}  // namespace voxshift
