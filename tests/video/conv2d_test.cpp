// 2-D convolution on images: dense, depthwise and grouped, of all pixels and of some.
#include <gtest/gtest.h>
#include <voxshift/video/conv2d.h>
#include <voxshift/video/grouped_conv2d.h>
#include <voxshift/video/kernels.h>

#include "image_fixture.h"

namespace voxshift {
namespace {

using oracle::Image;
using oracle::Square;
using Kind = Activation::Kind;

Conv2dOptions options_of(const Square& w, std::int64_t groups = 1) { return {w.stride, w.padding, groups, {}}; }

class Conv2dTest : public ImageTest {
 protected:
  Array weights_of(const std::vector<double>& weight, std::int64_t out_channels, const Square& w) const {
    const auto count = static_cast<std::int64_t>(weight.size());
    return DeviceTest::array(weight, {out_channels, count / (out_channels * w.kernel * w.kernel), w.kernel, w.kernel});
  }

  // Of whole numbers: exact.
  void expect_conv(const Image& in, std::int64_t out_channels, const Square& w, std::int64_t groups = 1) const {
    if (oracle::out_size(in.height, w) == 0 || oracle::out_size(in.width, w) == 0) return;
    SCOPED_TRACE(describe(in, w) + ", " + std::to_string(out_channels) + " outputs, " + std::to_string(groups) +
                 " groups");
    const auto weight = whole_numbers(out_channels * in.channels / groups * w.kernel * w.kernel, 2);
    const auto bias = whole_numbers(out_channels, 3);
    const Array weights = weights_of(weight, out_channels, w);
    expect_equal(conv2d(array(in), weights, vector(bias), options_of(w, groups)),
                 oracle::conv2d(in, weight, bias, out_channels, w, groups).value);
    expect_equal(conv2d(array(in), weights, {}, options_of(w, groups)),
                 oracle::conv2d(in, weight, {}, out_channels, w, groups).value);
  }
};
VOXSHIFT_FOR_EACH_DEVICE(Conv2dTest);

struct Channels {
  std::int64_t in, out, groups;
};

// Dense, depthwise, of depth multiplier 2, and 2 to 4 groups.
const std::vector<Channels> kChannels = {{3, 8, 1},    {8, 16, 1}, {24, 3, 1}, {3, 3, 3}, {16, 16, 16}, {24, 24, 24},
                                         {40, 40, 40}, {5, 10, 5}, {8, 16, 2}, {9, 6, 3}, {16, 24, 4},  {40, 40, 4}};

TEST_P(Conv2dTest, EveryWindowOnEveryImage) {
  int combination = 0;
  for (const auto& [height, width] : kExtents)
    for (const Square& w : kSquares)
      for (const Channels& c : kChannels)
        if (combination++ % (emulated() ? 5 : 1) == 0)
          expect_conv(whole_image(height, width, c.in, 1), c.out, w, c.groups);
}

TEST_P(Conv2dTest, AllChannelCounts) {
  const Square w{3, 1, 1};
  for (std::int64_t channels = 1; channels <= 67; channels += emulated() ? 3 : 1) {
    expect_conv(whole_image(4, 5, channels, 1), 5, w);
    expect_conv(whole_image(4, 5, 5, 1), channels, w);
    for (const std::int64_t kernel : {2, 3, 5})
      expect_conv(whole_image(5, 6, channels, 1), channels, {kernel, 1, kernel / 2}, channels);
  }
  for (const std::int64_t channels : {1, 3, 16, 24, 67})
    for (std::int64_t out = 1; out <= 67; out += emulated() ? 3 : 1)
      expect_conv(whole_image(3, 5, channels, 1), out, {1, 1, 0});
}

TEST_P(Conv2dTest, ImagesOfManyTasks) {
  expect_conv(whole_image(45, 67, 3, 1), 24, {3, 2, 1});
  expect_conv(whole_image(45, 67, 8, 1), 24, {1, 1, 0});
  expect_conv(whole_image(45, 67, 24, 1), 24, {3, 1, 1}, 24);
  expect_conv(whole_image(45, 67, 24, 1), 24, {5, 2, 2}, 24);
  expect_conv(whole_image(7, 7, 5, 1), 340, {1, 1, 0});
}

TEST_P(Conv2dTest, RealNumbersWithinTheTolerance) {
  for (const Channels& c : kChannels)
    for (const Square& w : {Square{1, 1, 0}, Square{3, 2, 1}, Square{5, 1, 2}, Square{7, 2, 3}}) {
      const Image in = real_image(17, 14, c.in, 4);
      const auto weight = real_numbers(c.out * c.in / c.groups * w.kernel * w.kernel, 5), bias = real_numbers(c.out, 6);
      expect_close(conv2d(array(in), weights_of(weight, c.out, w), vector(bias), options_of(w, c.groups)),
                   oracle::conv2d(in, weight, bias, c.out, w, c.groups));
    }
}

TEST_P(Conv2dTest, Activations) {
  const std::vector<std::pair<Activation, std::function<double(double)>>> activations = {
      {{Kind::kNone, 0}, [](double v) { return v; }},
      {{Kind::kRelu, 0}, [](double v) { return std::max(v, 0.0); }},
      {{Kind::kRelu6, 0}, [](double v) { return std::clamp(v, 0.0, 6.0); }},
      {{Kind::kLeakyRelu, 0.25F}, [](double v) { return v > 0 ? v : v / 4; }},
      {{Kind::kLeakyRelu, 2.0F}, [](double v) { return v > 0 ? v : v * 2; }}};
  for (const Channels& c : kChannels)
    for (const auto& [activation, function] : activations) {
      const Square w{3, 1, 1};
      const Image in = whole_image(6, 7, c.in, 7);
      const auto weight = whole_numbers(c.out * c.in / c.groups * 9, 8), bias = whole_numbers(c.out, 9);
      Conv2dOptions options = options_of(w, c.groups);
      options.activation = activation;
      expect_equal(conv2d(array(in), weights_of(weight, c.out, w), vector(bias), options),
                   oracle::apply(oracle::conv2d(in, weight, bias, c.out, w, c.groups).value, function));
    }
}

TEST_P(Conv2dTest, IntoGivenMemory) {
  const Image in = whole_image(6, 7, 4, 10);
  const auto weight = whole_numbers(5 * 4 * 9, 11);
  const Square w{3, 2, 1};
  Array out({3, 4, 5}, DType::kF32, device());
  const void* memory = std::as_const(out).memory();
  conv2d_into(out, array(in), weights_of(weight, 5, w), {}, options_of(w));
  EXPECT_EQ(std::as_const(out).memory(), memory);
  expect_equal(out, oracle::conv2d(in, weight, {}, 5, w).value);
}

// Some pixels of the output, into columns [2, 2 + C) of rows of C + 5: what stands beside them stays, and each has the
// bits that it has among all pixels.
TEST_P(Conv2dTest, PixelListsHaveTheBitsOfTheWholeImage) {
  for (const Channels& c : kChannels)
    for (const Square& w : kSquares) {
      const Image in = real_image(13, 18, c.in, 12);
      SCOPED_TRACE(describe(in, w) + ", " + std::to_string(c.groups) + " groups");
      const auto weight = real_numbers(c.out * c.in / c.groups * w.kernel * w.kernel, 13),
                 bias = real_numbers(c.out, 14);
      const Array x = array(in), weights = weights_of(weight, c.out, w);
      Conv2dOptions options = options_of(w, c.groups);
      options.activation = {Kind::kRelu6, 0};
      const auto all = host<float>(conv2d(x, weights, vector(bias), options));
      std::vector<std::int32_t> pixels;
      const std::int64_t count = oracle::out_size(13, w) * oracle::out_size(18, w);
      for (std::int32_t p = 0; p < count; ++p)
        if (p % 11 < 4 || p % 7 == 0) pixels.push_back(p);
      const auto listed = static_cast<std::int64_t>(pixels.size());
      const Array list = Array::from(pixels, {listed}).to(device());
      Array out = DeviceTest::array(std::vector<double>(pixels.size() * static_cast<std::size_t>(c.out + 5), 99.0),
                                    {listed, c.out + 5});
      Arena scratch(device());
      const GroupedConv2d conv("conv2d", weights, vector(bias), options);
      const ConstRowView rows{x.memory(), c.in, 13 * 18, c.in};
      conv.run({device(), nullptr, 2, &scratch}, {13, 18}, rows, {list.data<std::int32_t>(), listed},
               rows_of(out).columns(2, c.out));
      const auto values = host<float>(out);
      for (std::int64_t i = 0; i < listed; ++i)
        for (std::int64_t o = 0; o < c.out + 5; ++o) {
          const float value = values[static_cast<std::size_t>(i * (c.out + 5) + o)];
          const bool inside = o >= 2 && o < c.out + 2;
          const std::int64_t p = pixels[static_cast<std::size_t>(i)];
          ASSERT_EQ(value, inside ? all[static_cast<std::size_t>(p * c.out + o - 2)] : 99) << "pixel " << p;
        }
    }
}

// Three to five panels of 16 outputs, on more pixels than a tile, and a task, takes: each tile of a panel begins where
// the last one ended. All pixels and some, with a residual and without, of one run of channels and of two.
TEST_P(Conv2dTest, ManyPanelsOnManyPixels) {
  const VideoKernels& kernels = video_kernels(device());
  const Image in = whole_image(29, 31, 7, 17);
  const Array x = array(in);
  ImageView one, two;
  one.rows.add({x.data<float>(), 7, 7});
  const Context packing{device()};
  two.rows.add({x.data<float>(), 7, 3});
  two.rows.add({x.data<float>() + 3, 7, 4});
  for (const Square& w : {Square{1, 1, 0}, Square{1, 2, 0}, Square{3, 1, 1}, Square{3, 2, 1}})
    for (const std::int64_t channels : emulated() ? std::vector{33, 48} : std::vector{33, 40, 48, 49, 80}) {
      SCOPED_TRACE(describe(in, w) + ", " + std::to_string(channels) + " outputs");
      const auto weight = whole_numbers(channels * 7 * w.kernel * w.kernel, 18), bias = whole_numbers(channels, 19);
      const Image expected = oracle::conv2d(in, weight, bias, channels, w).value;
      const Image residual = whole_image(expected.height, expected.width, channels, 20);
      const Array added = array(residual), weights = vector(weight), biases = vector(bias);
      const Conv2dLayer layer{
          {w.kernel, w.stride, w.padding},
          7,
          channels,
          kernels.pack_conv2d(packing, weights.data<float>(), biases.data<float>(), w.kernel, 7, channels, DType::kF32),
          {}};
      const std::int64_t count = expected.height * expected.width;
      const ConstRowView sums{added.memory(), channels, count, channels, DType::kF32};
      std::vector<std::int32_t> all, most;
      for (std::int32_t p = 0; p < count; ++p) {
        all.push_back(p);
        if (p % 13 != 4) most.push_back(p);
      }
      const Array list = Array::from(most, {static_cast<std::int64_t>(most.size())}).to(device());
      for (const bool some : {false, true})
        for (const bool add : {false, true})
          for (const ImageView* view : {&one, &two})
            for (const int threads : emulated() ? std::vector{1} : std::vector{1, 2}) {
              const std::vector<std::int32_t>& pixels = some ? most : all;
              const auto rows = static_cast<std::int64_t>(pixels.size());
              Arena scratch(device());
              Array out({rows, channels}, DType::kF32, device());
              kernels.conv2d({device(), nullptr, threads, &scratch}, layer, {29, 31}, *view,
                             add ? sums : ConstRowView{}, {some ? list.data<std::int32_t>() : nullptr, rows},
                             rows_of(out));
              const auto values = host<float>(out);
              for (std::size_t i = 0; i < values.size(); ++i) {
                const std::size_t c = i % static_cast<std::size_t>(channels);
                const std::size_t at =
                    static_cast<std::size_t>(pixels[i / static_cast<std::size_t>(channels)] * channels) + c;
                ASSERT_EQ(values[i], expected.values[at] + (add ? residual.values[at] : 0))
                    << "channel " << c << ", some " << some << ", residual " << add << ", " << threads << " threads";
              }
            }
    }
}

TEST_P(Conv2dTest, SameBitsOnAnyNumberOfThreads) {
  for (const Channels& c : kChannels) {
    const Square w{3, 1, 1};
    const Array x = array(real_image(31, 29, c.in, 15));
    const Array weights = weights_of(real_numbers(c.out * c.in / c.groups * 9, 16), c.out, w);
    set_num_threads(1);
    const Array expected = conv2d(x, weights, {}, options_of(w, c.groups));
    for (const int threads : {1, 2, 3})
      for (int run = 0; run < 5; ++run) {
        set_num_threads(threads);
        expect_same_bits(conv2d(x, weights, {}, options_of(w, c.groups)), expected);
      }
  }
}

TEST_P(Conv2dTest, WrongOperandsAreRefused) {
  const Array x = array(whole_image(5, 6, 4, 1));
  const Array weights = weights_of(whole_numbers(8 * 4 * 9, 2), 8, {3, 1, 0});
  const auto refused = [&](const Conv2dOptions& options, const std::vector<std::string>& parts) {
    expect_throw([&] { conv2d(x, weights, {}, options); }, parts);
  };
  refused({0, 0, 1, {}}, {"[conv2d]", "stride", "found 0"});
  refused({1, -1, 1, {}}, {"[conv2d]", "padding", "found -1"});
  refused({1, std::int64_t{1} << 62, 1, {}}, {"[conv2d]", "padding"});
  refused({1, 1 << 30, 1, {}}, {"[conv2d]", "2^31 - 1 pixels"});
  refused({1, 0, 0, {}}, {"[conv2d]", "groups", "8 output channels", "found 0"});
  refused({1, 0, 3, {}}, {"[conv2d]", "groups", "found 3"});
  refused({1, 0, 2, {}}, {"[conv2d]", "weight expects 8 channels, x has 4"});
  refused({1, 0, std::int64_t{1} << 62, {}}, {"[conv2d]", "groups"});
  expect_throw([&] { conv2d(array(whole_image(2, 6, 4, 1)), weights); }, {"[conv2d]", "kernel 3", "2 x 6"});
  expect_throw(
      [&] {
        conv2d(DeviceTest::array(whole_numbers(6, 1), {2, 3}), weights);
      },
      {"[conv2d]", "[H, W, C]", "[2, 3]"});
  expect_throw([&] { conv2d(Array({5, 6, 4}, DType::kU8, device()), weights); }, {"[conv2d]", "u8"});
  expect_throw([&] { conv2d(Array({0, 6, 4}, DType::kF32, device()), weights); }, {"[conv2d]", "[0, 6, 4]"});
  expect_throw([&] { conv2d(x, vector({1, 2})); }, {"[conv2d]", "weight", "[2]"});
  expect_throw(
      [&] {
        conv2d(x, DeviceTest::array(whole_numbers(24, 1), {1, 4, 2, 3}));
      },
      {"[conv2d]", "weight", "[1, 4, 2, 3]"});
  expect_throw(
      [&] {
        conv2d(x, DeviceTest::array(whole_numbers(4 * 144, 1), {1, 4, 12, 12}));
      },
      {"[conv2d]", "kernel", "found 12"});
  expect_throw([&] { conv2d(x, weights, vector({1, 2})); }, {"[conv2d]", "bias expects f32 [8]", "[2]"});
  Array out({3, 4, 7}, DType::kF32, device());
  expect_throw([&] { conv2d_into(out, x, weights, {}, {}); }, {"[conv2d]", "out expects f32 [3, 4, 8]", "[3, 4, 7]"});
}

}  // namespace
}  // namespace voxshift
