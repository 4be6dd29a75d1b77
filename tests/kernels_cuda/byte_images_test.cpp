// 2-D convolutions of i8 images on CUDA, and of images between dtypes, to the bit of plain loops; some pixels have the
// bits that they have among all of them.
#include <gtest/gtest.h>
#include <voxshift/video/kernels.h>

#include <optional>

#include "byte_fixture.h"
#include "narrow_images.h"

namespace voxshift {
namespace {

using narrow_images::Rows;
using narrow_images::Weights;
using oracle::Square;

constexpr DType kI8 = DType::kI8, kF32 = DType::kF32, kF16 = DType::kF16;
constexpr Activation kNone{Activation::Kind::kNone, 0}, kRelu6{Activation::Kind::kRelu6, 0};

struct Case {
  Extent2d extent;
  std::int64_t inputs, outputs;
  Square square;
  DType in = kI8, out = kI8;
  std::optional<DType> residual = {};
  Activation activation = kRelu6;
  std::vector<std::int64_t> runs = {};  // channels of each run; empty: one
  bool depthwise = false, bordered = false;
};

std::string describe(const Case& c) {
  return std::to_string(c.extent.height) + " x " + std::to_string(c.extent.width) + ", " + std::to_string(c.inputs) +
         " -> " + std::to_string(c.outputs) + ", kernel " + std::to_string(c.square.kernel) + ", stride " +
         std::to_string(c.square.stride) + ", padding " + std::to_string(c.square.padding) + ", " + name(c.in) +
         " -> " + name(c.out) + (c.residual ? std::string(" + ") + name(*c.residual) : "") +
         (c.depthwise ? ", depthwise" : "");
}

Window2d window_of(const Square& w) { return {w.kernel, w.stride, w.padding}; }

class ByteImagesTest : public ByteTest {
 protected:
  // Rows with the same strides in the device's memory.
  struct There {
    Array bytes, scales;
    RowView view;
  };
  There there(const Rows& rows) const {
    const ConstRowView from = rows.view();
    const auto count = rows.count() * rows.stride() * static_cast<std::int64_t>(size_of(rows.dtype()));
    const auto* const bytes = static_cast<const std::uint8_t*>(from.base);
    There result{on_device(std::vector<std::uint8_t>(bytes, bytes + count), {count}), {}, {}};
    result.view = {result.bytes.memory(), from.row_stride, from.count, from.channels, from.dtype};
    if (from.scales.scale == nullptr) return result;
    std::vector<float> both(from.scales.scale, from.scales.scale + from.channels);
    both.insert(both.end(), from.scales.inverse, from.scales.inverse + from.channels);
    result.scales = on_device(both);
    result.view.scales = {result.scales.data<float>(), result.scales.data<float>() + from.channels};
    return result;
  }
  static void back(const There& from, Rows& to) {
    const Array copy = from.bytes.to(Device::cpu());
    std::memcpy(to.view().base, copy.memory(), copy.bytes());
  }

  std::shared_ptr<const PackedWeights> pack(const Weights& w, DType dtype) const {
    const auto& kernels = video_kernels(device());
    const Array bias = on_device(w.bias), multiplier = on_device(w.multiplier);
    const auto* const biases = bias.data<float>();
    if (dtype == kI8) {
      const auto numbers = w.i8();
      const Array weight = on_device(numbers, {static_cast<std::int64_t>(numbers.size())});
      const QuantizedWeights whole{weight.data<std::int8_t>(), multiplier.data<float>()};
      if (w.depthwise) return kernels.pack_depthwise_i8(context(), whole, biases, w.square.kernel, w.outputs);
      return kernels.pack_conv2d_i8(context(), whole, biases, w.square.kernel, w.inputs, w.outputs);
    }
    const Array weight = on_device(w.f32());
    const auto* const numbers = weight.data<float>();
    if (w.depthwise) return kernels.pack_depthwise(context(), numbers, biases, w.square.kernel, w.outputs, dtype);
    return kernels.pack_conv2d(context(), numbers, biases, w.square.kernel, w.inputs, w.outputs, dtype);
  }

  // `rows` in runs of channels, each in an array of its own, or with a border of zeros. The first run has rows that all
  // begin at 16 bytes where it can.
  struct Input {
    std::vector<There> parts;
    ImageView view;
  };
  Input input_of(const Case& c, const Rows& rows) const {
    Input input;
    input.view.rows.dtype = c.in;
    const std::int64_t border = c.bordered ? c.square.padding : 0;
    const Extent2d extent{c.extent.height + 2 * border, c.extent.width + 2 * border};
    std::int64_t first = 0;
    for (const std::int64_t channels : c.runs.empty() ? std::vector{c.inputs} : c.runs) {
      Rows part(c.in, extent.pixels(), channels, 0, c.bordered || first > 0 ? 0 : (64 - channels % 16) % 16);
      for (std::int64_t p = 0; p < extent.pixels(); ++p)
        for (std::int64_t k = 0; k < channels; ++k) {
          const std::int64_t y = p / extent.width - border, x = p % extent.width - border;
          const bool inside = y >= 0 && y < c.extent.height && x >= 0 && x < c.extent.width;
          part.set(p, k, inside ? rows.number(y * c.extent.width + x, first + k) : 0);
        }
      first += channels;
      const There& on = input.parts.emplace_back(there(part));
      const ConstRowView corner = ConstRowView(on.view).rows(border * extent.width + border, 1);
      input.view.rows.add({corner.base, corner.row_stride, channels});
      input.view.border = border;
      input.view.pitch = border > 0 ? extent.width * corner.row_stride : 0;
    }
    return input;
  }

  // What loops give of whole numbers, whose sums are exact.
  static void convolve(const Weights& w, Extent2d extent, const Rows& in, const Activation& activation, Rows& out,
                       const Rows* residual = nullptr) {
    const std::int64_t width = window_of(w.square).out(extent).width;
    for (std::int64_t p = 0; p < out.count(); ++p)
      for (std::int64_t o = 0; o < out.channels(); ++o) {
        const auto sum = narrow_images::sum_at(w, extent, p / width, p % width, o, [&](auto y, auto x, auto k) {
          return in.number(y * extent.width + x, k);
        });
        const float added = residual != nullptr ? residual->value(p, o) : 0;
        out.set(p, o,
                narrow_images::number_of(out,
                                         narrow_images::finished(w, in.dtype() == kI8, sum, o,
                                                                 residual != nullptr ? &added : nullptr, activation),
                                         o));
      }
  }

  // run(pixels, view) of all pixels gives the expected ones, and of some, in a list, those of them. On as many pixels
  // as a list has there may be other tiles than on all of them; some rows take no chunks.
  void expect_pixels(const Rows& expected, const std::function<void(const Pixels&, const RowView&)>& run) const {
    for (const std::int32_t step : {0, 1, 5}) {
      std::vector<std::int32_t> pixels;
      for (std::int32_t p = step / 2; p < expected.count(); p += std::max(step, 1)) pixels.push_back(p);
      const auto count = static_cast<std::int64_t>(pixels.size());
      const Array list = on_device(pixels, {count});
      Rows found(expected.dtype(), count, expected.channels(), 7, step == 1 ? 3 : 0);
      const There out = there(found);
      run({step == 0 ? nullptr : list.data<std::int32_t>(), count}, out.view);
      back(out, found);
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t o = 0; o < expected.channels(); ++o) {
          const std::int32_t p = pixels[static_cast<std::size_t>(i)];
          ASSERT_EQ(found.number(i, o), expected.number(p, o)) << "pixel " << p << ", channel " << o;
        }
    }
  }

  void expect_conv(const Case& c) const {
    SCOPED_TRACE(describe(c));
    const std::int64_t pixels = window_of(c.square).out(c.extent).pixels();
    Rows in(c.in, c.extent.pixels(), c.inputs), expected(c.out, pixels, c.outputs, 7);
    in.fill(1);
    const Weights weights(c.inputs, c.outputs, c.square, c.depthwise, c.in, 2);
    std::optional<Rows> residual;
    std::optional<There> added;
    if (c.residual) {
      residual.emplace(*c.residual, pixels, c.outputs, 9, 0);
      residual->fill(3);
      added = there(*residual);
    }
    convolve(weights, c.extent, in, c.activation, expected, residual ? &*residual : nullptr);
    const Conv2dLayer layer{window_of(c.square), c.inputs, c.outputs, pack(weights, c.in), c.activation};
    const Input input = input_of(c, in);
    expect_pixels(expected, [&](const Pixels& list, const RowView& out) {
      const auto& kernels = video_kernels(device());
      if (c.depthwise) return kernels.depthwise(context(), layer, c.extent, input.parts[0].view, list, out);
      kernels.conv2d(context(), layer, c.extent, input.view, added ? ConstRowView(added->view) : ConstRowView(), list,
                     out);
    });
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, ByteImagesTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(ByteImagesTest, ConvOfAllChannelCounts) {
  for (std::int64_t channels = 1; channels <= 67; channels += emulated() ? 3 : 1) {
    expect_conv({{3, 4}, channels, 1 + channels * 5 % 19, {3, 1, 1}});
    expect_conv({{2, 5}, 1 + channels * 7 % 23, channels, {1, 1, 0}, kI8, kI8, kI8});
    expect_conv({{4, 5}, channels, channels, {3, 1, 1}, kI8, kI8, {}, kRelu6, {}, true});
  }
  for (const std::int64_t channels : {16, 32, 48, 64}) expect_conv({{3, 5}, channels, channels, {3, 1, 1}});
}

TEST_P(ByteImagesTest, ConvOfManyWindows) {
  for (const Square& w : {Square{1, 1, 0}, Square{1, 2, 0}, Square{2, 2, 0}, Square{3, 1, 0}, Square{3, 2, 1},
                          Square{5, 1, 2}, Square{5, 2, 2}, Square{7, 2, 3}, Square{9, 1, 4}})
    for (const std::int64_t channels : {3, 16}) {
      expect_conv({{9, 10}, channels, 12, w});
      expect_conv({{9, 10}, channels, channels, w, kI8, kI8, {}, kRelu6, {}, true});
    }
}

// Runs as the shift makes them, whose borders lie inside chunks, and at them; borders of zeros.
TEST_P(ByteImagesTest, RunsOfChannelsAndBorders) {
  for (const auto& [channels, fold] :
       {std::pair<std::int64_t, std::int64_t>{24, 3}, {32, 4}, {64, 16}, {96, 32}, {35, 4}}) {
    expect_conv({{5, 7}, channels, 24, {1, 1, 0}, kI8, kI8, {}, kRelu6, {fold, channels - fold}});
    expect_conv({{3, 4}, channels, 17, {1, 1, 0}, kI8, kI8, {}, kRelu6, {fold, fold, channels - 2 * fold}});
  }
  for (const std::int64_t channels : {3, 16})
    expect_conv({{6, 7}, channels, 20, {3, 2, 1}, kI8, kI8, {}, kRelu6, {}, false, true});
}

// Enough pixels and channels for the largest tiles, of which the last ones are partly empty; deep sums.
TEST_P(ByteImagesTest, ConvInLargeTiles) {
  expect_conv({{15, 19}, 24, 72, {1, 1, 0}, kI8, kI8, kI8});
  expect_conv({{9, 15}, 32, 36, {3, 1, 1}, kI8, kI8, kF16});
  expect_conv({{1, 1}, 1280, 27, {1, 1, 0}, kI8, kF32});
}

TEST_P(ByteImagesTest, DtypesAndActivations) {
  Activation clip{Activation::Kind::kFunction, 0};
  clip.function = {Elementwise::Kind::kClip, -1.5f, 2.5f};
  for (const Activation& activation : {kNone, Activation{Activation::Kind::kLeakyRelu, 0.25f}, kRelu6, clip})
    for (const DType in : {kI8, kF16, kF32})
      for (const DType out : {kI8, kF16, kF32}) {
        for (const DType residual : {kI8, kF16, kF32})
          expect_conv({{4, 5}, 16, 24, {3, 1, 1}, in, out, residual, activation});
        expect_conv({{4, 5}, 16, 16, {3, 1, 1}, in, out, {}, activation, {}, true});
        expect_conv({{4, 5}, 7, 7, {5, 2, 2}, in, out, {}, activation, {}, true});
      }
}

// convolution -> depthwise -> pointwise, whose hidden values are rounded to i8, or to what the next convolution reads.
TEST_P(ByteImagesTest, FusedBlocks) {
  struct Dtypes {
    DType first, depthwise, project, out;
  };
  for (const Dtypes& d : {Dtypes{kI8, kI8, kI8, kI8},
                          {kF32, kI8, kI8, kI8},
                          {kF16, kI8, kI8, kF32},
                          {kI8, kI8, kF16, kF16},
                          {kI8, kF16, kI8, kI8}})
    for (const auto& [hidden, stride] : {std::pair<std::int64_t, std::int64_t>{48, 1}, {33, 2}}) {
      SCOPED_TRACE(std::string(name(d.first)) + ", " + name(d.depthwise) + ", " + name(d.project) + " -> " +
                   name(d.out) + ", " + std::to_string(hidden) + " hidden");
      const Case c{{7, 9}, 16, 20, {1, 1, 0}, d.first, d.out, kI8};
      const Square filter{3, stride, 1};
      const Extent2d extent = window_of(filter).out(c.extent);
      const Weights first(16, hidden, {1, 1, 0}, false, d.first, 2),
          middle(hidden, hidden, filter, true, d.depthwise, 3), last(hidden, 20, {1, 1, 0}, false, d.project, 4);
      Rows in(d.first, c.extent.pixels(), 16), expanded(d.depthwise, c.extent.pixels(), hidden, 5),
          filtered(d.project, extent.pixels(), hidden, 6), expected(d.out, extent.pixels(), 20, 7),
          residual(kI8, extent.pixels(), 20, 8);
      in.fill(1);
      residual.fill(9);
      convolve(first, c.extent, in, kRelu6, expanded);
      convolve(middle, c.extent, expanded, kRelu6, filtered);
      convolve(last, extent, filtered, kNone, expected, &residual);
      const There added = there(residual), of_hidden = there(expanded), of_filtered = there(filtered);
      const Input input = input_of(c, in);
      FusedBlock block;
      block.in = c.extent;
      block.first = {{}, 16, hidden, pack(first, d.first), kRelu6};
      block.depthwise = {window_of(filter), hidden, hidden, pack(middle, d.depthwise), kRelu6};
      block.project = {{}, hidden, 20, pack(last, d.project), kNone};
      block.hidden_scales = of_hidden.view.scales;
      block.filtered_scales = of_filtered.view.scales;
      const Array wanted =
          on_device(std::vector<std::uint8_t>(static_cast<std::size_t>(c.extent.pixels()), 1), {c.extent.pixels()});
      expect_pixels(expected, [&](const Pixels& pixels, const RowView& out) {
        video_kernels(device()).fused_block(context(), block, input.view, added.view,
                                            pixels.rows == nullptr ? nullptr : wanted.data<std::uint8_t>(), pixels,
                                            out);
      });
    }
}

TEST_P(ByteImagesTest, WeightsOfAnotherOpAreRefused) {
  const Weights dense(16, 16, {3, 1, 1}, false, kI8, 1), filters(16, 16, {3, 1, 1}, true, kI8, 1);
  const Rows rows(kI8, 20, 16);
  const There in = there(rows), out = there(rows);
  ImageView view;
  view.rows = ConstRowView(in.view);
  const auto& kernels = video_kernels(device());
  expect_throw(
      [&] {
        kernels.depthwise(context(), {{3, 1, 1}, 16, 16, pack(dense, kI8), {}}, {4, 5}, in.view, {nullptr, 20},
                          out.view);
      },
      {"[depthwise]"});
  expect_throw(
      [&] {
        kernels.conv2d(context(), {{3, 1, 1}, 16, 16, pack(dense, kF32), {}}, {4, 5}, view, {}, {nullptr, 20},
                       out.view);
      },
      {"[conv2d]", "i8", "f32"});
}

}  // namespace
}  // namespace voxshift
