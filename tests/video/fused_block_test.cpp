// convolution -> depthwise -> pointwise in one pass: every shape against plain loops, some pixels against all of them.
#include <gtest/gtest.h>
#include <voxshift/tensor/arena.h>
#include <voxshift/video/kernels.h>

#include <numeric>
#include <utility>

#include "image_fixture.h"

namespace voxshift {
namespace {

using oracle::Image;
using oracle::Square;

struct Shape3 {
  std::int64_t height, width, in, hidden, out;
};

struct Case {
  Shape3 shape;
  Square first, depthwise;
  bool residual = false;
  std::vector<std::int64_t> runs = {};  // channels of each run of the input; empty: one
};

double relu6(double x) { return std::min(6.0, std::max(0.0, x)); }

Window2d window_of(const Square& w) { return {w.kernel, w.stride, w.padding}; }

// A block of whole numbers, whose sums are exact in float32: activations keep them below 7.
struct Block {
  Block(const Case& given, Device device, const VideoKernels& kernels)
      : c(given), input(whole_image(c.shape.height, c.shape.width, c.shape.in, 1)) {
    const auto [height, width, in, hidden_channels, out_channels] = c.shape;
    const auto weight = [&](std::int64_t count, unsigned seed) { return whole_numbers(count, seed); };
    const auto w1 = weight(hidden_channels * in * c.first.kernel * c.first.kernel, 2), b1 = weight(hidden_channels, 3);
    const auto w2 = weight(hidden_channels * c.depthwise.kernel * c.depthwise.kernel, 4),
               b2 = weight(hidden_channels, 5);
    const auto w3 = weight(out_channels * hidden_channels, 6), b3 = weight(out_channels, 7);
    const Image hidden = oracle::apply(oracle::conv2d(input, w1, b1, hidden_channels, c.first).value, relu6);
    const Image filtered =
        oracle::apply(oracle::conv2d(hidden, w2, b2, hidden_channels, c.depthwise, hidden_channels).value, relu6);
    expected = oracle::conv2d(filtered, w3, b3, out_channels, {1, 1, 0}).value;
    residual = whole_image(expected.height, expected.width, out_channels, 8);
    if (c.residual)
      for (std::size_t i = 0; i < expected.values.size(); ++i) expected.values[i] += residual.values[i];

    const auto on_device = [&](const std::vector<double>& v) {
      return Array::from(std::vector<float>(v.begin(), v.end()), {static_cast<std::int64_t>(v.size())}).to(device);
    };
    const Context context{device};
    const Activation six{Activation::Kind::kRelu6, 0};
    block.in = {height, width};
    block.first = {window_of(c.first), in, hidden_channels,
                   kernels.pack_conv2d(context, on_device(w1).data<float>(), on_device(b1).data<float>(),
                                       c.first.kernel, in, hidden_channels, DType::kF32),
                   six};
    block.depthwise = {window_of(c.depthwise), hidden_channels, hidden_channels,
                       kernels.pack_depthwise(context, on_device(w2).data<float>(), on_device(b2).data<float>(),
                                              c.depthwise.kernel, hidden_channels, DType::kF32),
                       six};
    block.project = {{},
                     hidden_channels,
                     out_channels,
                     kernels.pack_conv2d(context, on_device(w3).data<float>(), on_device(b3).data<float>(), 1,
                                         hidden_channels, out_channels, DType::kF32),
                     {}};
  }

  Case c;
  Image input, residual, expected;
  FusedBlock block;
};

class FusedBlockTest : public ImageTest {
 protected:
  const VideoKernels& kernels() const { return video_kernels(device()); }

  // The outputs at `pixels` (null: all), of which `hidden` is needed; [count, out channels].
  Array run(const Block& b, const std::vector<std::int32_t>* pixels, const std::vector<std::uint8_t>* hidden,
            int threads) const {
    Arena arena(device());
    const Context context{device(), nullptr, threads, &arena};
    const std::int64_t border = b.c.first.kernel > 1 ? b.c.first.padding : 0;
    std::vector<Array> memory;
    ImageView view;
    if (b.c.first.kernel > 1) {
      Image bordered(b.input.height + 2 * border, b.input.width + 2 * border, b.input.channels);
      for (std::int64_t y = 0; y < b.input.height; ++y)
        for (std::int64_t x = 0; x < b.input.width; ++x)
          for (std::int64_t k = 0; k < b.input.channels; ++k)
            bordered.at(y + border, x + border, k) = b.input.at(y, x, k);
      memory.push_back(array(bordered));
      view.border = border;
      view.pitch = bordered.width * bordered.channels;
      view.rows.add({memory[0].data<float>() + border * view.pitch + border * bordered.channels, bordered.channels,
                     bordered.channels});
    } else {
      const std::vector<std::int64_t> runs = b.c.runs.empty() ? std::vector{b.input.channels} : b.c.runs;
      memory.reserve(runs.size());
      std::int64_t first = 0;
      for (const std::int64_t channels : runs) {
        Image part(b.input.height, b.input.width, channels);
        for (std::int64_t y = 0; y < part.height; ++y)
          for (std::int64_t x = 0; x < part.width; ++x)
            for (std::int64_t k = 0; k < channels; ++k) part.at(y, x, k) = b.input.at(y, x, first + k);
        first += channels;
        memory.push_back(array(part));
        view.rows.add({memory.back().data<float>(), channels, channels});
      }
    }
    const Array residual = array(b.residual);
    const std::int64_t channels = b.expected.channels;
    const std::int64_t all = b.expected.height * b.expected.width;
    ConstRowView added;
    if (b.c.residual) added = {residual.memory(), channels, all, channels, DType::kF32};
    const std::int64_t count = pixels != nullptr ? static_cast<std::int64_t>(pixels->size()) : all;
    Array out({count, channels}, DType::kF32, device()), mask, list;
    if (hidden != nullptr) mask = Array::from(*hidden, {static_cast<std::int64_t>(hidden->size())}).to(device());
    if (pixels != nullptr) list = Array::from(*pixels, {count}).to(device());
    kernels().fused_block(context, b.block, view, added, hidden != nullptr ? mask.data<std::uint8_t>() : nullptr,
                          {pixels != nullptr ? list.data<std::int32_t>() : nullptr, count}, rows_of(out));
    return out;
  }

  // Every pixel of the dense block equals the oracle's; some pixels have the bits of all of them.
  void expect_block(const Case& c) const {
    SCOPED_TRACE(std::to_string(c.shape.height) + " x " + std::to_string(c.shape.width) + ", " +
                 std::to_string(c.shape.in) + " -> " + std::to_string(c.shape.hidden) + " -> " +
                 std::to_string(c.shape.out) + ", kernels " + std::to_string(c.first.kernel) + " and " +
                 std::to_string(c.depthwise.kernel) + ", strides " + std::to_string(c.first.stride) + " and " +
                 std::to_string(c.depthwise.stride));
    const Block b(c, device(), kernels());
    const Shape shape{b.expected.height, b.expected.width, b.expected.channels};
    for (const int threads : {1, 2, 3}) {
      SCOPED_TRACE(threads);
      expect_equal(run(b, nullptr, nullptr, threads).reshaped(shape), b.expected);
    }
    for (const unsigned keep : {1u, 3u, 17u}) {
      std::vector<std::int32_t> pixels;
      std::vector<std::uint8_t> hidden(static_cast<std::size_t>(b.block.hidden().pixels()), 0);
      for (std::int32_t p = 0; p < b.expected.height * b.expected.width; ++p) {
        if ((static_cast<unsigned>(p) * 7 + static_cast<unsigned>(p) / 5) % keep != 0) continue;
        pixels.push_back(p);
        const std::int64_t y = p / b.expected.width, x = p % b.expected.width;
        oracle::for_taps(b.block.hidden().height, b.block.hidden().width, c.depthwise,
                         [&](auto out_y, auto out_x, auto from_y, auto from_x, auto, auto) {
                           if (out_y == y && out_x == x)
                             hidden[static_cast<std::size_t>(from_y * b.block.hidden().width + from_x)] = 1;
                         });
      }
      for (const int threads : {1, 3}) {
        const auto some = host<float>(run(b, &pixels, &hidden, threads));
        for (std::size_t i = 0; i < pixels.size(); ++i)
          for (std::int64_t k = 0; k < b.expected.channels; ++k)
            ASSERT_EQ(some[i * static_cast<std::size_t>(b.expected.channels) + static_cast<std::size_t>(k)],
                      b.expected.at(pixels[i] / b.expected.width, pixels[i] % b.expected.width, k))
                << "pixel " << pixels[i] << ", channel " << k << ", one of " << keep << ", threads " << threads;
      }
    }
  }
};
VOXSHIFT_FOR_EACH_DEVICE(FusedBlockTest);

constexpr Square kPoint{1, 1, 0};

TEST_P(FusedBlockTest, DepthwiseWindows) {
  for (const Square& depthwise : {Square{3, 1, 1}, Square{3, 2, 1}, Square{5, 1, 2}, Square{5, 2, 2}, Square{3, 1, 0}})
    for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{5, 5}, {7, 7}, {6, 11}, {15, 8}})
      expect_block({{height, width, 6, 40, 9}, kPoint, depthwise});
}

TEST_P(FusedBlockTest, ImagesSmallerThanTheWindow) {
  for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {1, 4}, {2, 2}, {3, 1}})
    expect_block({{height, width, 3, 17, 4}, kPoint, {5, 1, 2}});
}

TEST_P(FusedBlockTest, ChannelCounts) {
  for (const std::int64_t hidden : {1, 15, 16, 17, 31, 32, 33, 48, 67})
    for (const std::int64_t out : {1, 8, 24, 33}) expect_block({{4, 6, 5, hidden, out}, kPoint, {3, 1, 1}});
}

TEST_P(FusedBlockTest, ResidualAndRunsOfChannels) {
  expect_block({{9, 10, 16, 96, 16}, kPoint, {3, 1, 1}, true, {2, 14}});
  expect_block({{9, 10, 16, 96, 16}, kPoint, {3, 1, 1}, true, {2, 2, 12}});
  expect_block({{9, 10, 9, 20, 9}, kPoint, {3, 1, 1}, true, {1, 8}});
}

TEST_P(FusedBlockTest, FirstConvolutionOfABorderedImage) {
  for (const Square& first : {Square{3, 2, 1}, Square{3, 1, 1}, Square{7, 2, 3}, Square{5, 1, 2}})
    for (const std::int64_t height : {9, 16}) expect_block({{height, 13, 3, 32, 16}, first, {3, 1, 1}});
}

// Rings that go round many times, tiles of every height.
TEST_P(FusedBlockTest, WideAndHighImages) {
  expect_block({{40, 61, 8, 48, 8}, kPoint, {3, 1, 1}, true});
  expect_block({{41, 118, 4, 33, 8}, kPoint, {3, 2, 1}});
}

}  // namespace
}  // namespace voxshift
