// Gradients of 2-D convolutions on stacks of images. Whole numbers: every sum is exact in float32.
#include <gtest/gtest.h>
#include <voxshift/video/conv2d_backward.h>

#include "image_fixture.h"

namespace voxshift {
namespace {

using oracle::Image;
using oracle::Square;

struct Channels {
  std::int64_t in, out, groups;
};

// Dense, depthwise, of depth multiplier 2, and grouped.
const std::vector<Channels> kChannels = {{3, 8, 1}, {17, 5, 1}, {3, 3, 3}, {24, 24, 24}, {5, 10, 5}, {8, 12, 4}};

struct Gradients {
  std::vector<double> input, weight;
};

Conv2dOptions options_of(const Square& w, std::int64_t groups) { return {w.stride, w.padding, groups, {}}; }

class Conv2dBackwardTest : public ImageTest {
 protected:
  // Of one image, term by term.
  static Gradients gradients_of(const Image& in, const std::vector<double>& weight, const Image& grad, const Square& w,
                                std::int64_t groups) {
    Gradients result{std::vector<double>(in.values.size()), std::vector<double>(weight.size())};
    const std::int64_t inputs = in.channels / groups, outputs = grad.channels / groups;
    oracle::for_taps(in.height, in.width, w, [&](auto y, auto x, auto from_y, auto from_x, auto i, auto j) {
      for (std::int64_t o = 0; o < grad.channels; ++o)
        for (std::int64_t c = 0; c < inputs; ++c) {
          const auto at = static_cast<std::size_t>(((o * inputs + c) * w.kernel + i) * w.kernel + j);
          const std::int64_t channel = o / outputs * inputs + c;
          const auto pixel = static_cast<std::size_t>((from_y * in.width + from_x) * in.channels + channel);
          result.input[pixel] += grad.at(y, x, o) * weight[at];
          result.weight[at] += grad.at(y, x, o) * in.at(from_y, from_x, channel);
        }
    });
    return result;
  }

  void expect_backward(std::int64_t images, std::int64_t height, std::int64_t width, const Channels& c,
                       const Square& w) const {
    const std::int64_t out_height = oracle::out_size(height, w), out_width = oracle::out_size(width, w);
    if (out_height == 0 || out_width == 0) return;
    SCOPED_TRACE(describe(Image(height, width, c.in), w) + ", " + std::to_string(c.out) + " outputs, " +
                 std::to_string(c.groups) + " groups, " + std::to_string(images) + " images");
    const auto weight = whole_numbers(c.out * c.in / c.groups * w.kernel * w.kernel, 1);
    std::vector<double> x, grad, input, weight_gradient(weight.size());
    for (std::int64_t image = 0; image < images; ++image) {
      const Image in = whole_image(height, width, c.in, static_cast<unsigned>(2 + image));
      const Image g = whole_image(out_height, out_width, c.out, static_cast<unsigned>(20 + image));
      const Gradients one = gradients_of(in, weight, g, w, c.groups);
      x.insert(x.end(), in.values.begin(), in.values.end());
      grad.insert(grad.end(), g.values.begin(), g.values.end());
      input.insert(input.end(), one.input.begin(), one.input.end());
      for (std::size_t i = 0; i < weight.size(); ++i) weight_gradient[i] += one.weight[i];
    }
    const auto gradients =
        conv2d_backward(DeviceTest::array(x, {images, height, width, c.in}),
                        DeviceTest::array(weight, {c.out, c.in / c.groups, w.kernel, w.kernel}),
                        DeviceTest::array(grad, {images, out_height, out_width, c.out}), options_of(w, c.groups));
    ASSERT_EQ(gradients.input->shape(), (Shape{images, height, width, c.in}));
    ASSERT_EQ(gradients.weight->shape(), (Shape{c.out, c.in / c.groups, w.kernel, w.kernel}));
    expect_values(*gradients.input, input);
    expect_values(*gradients.weight, weight_gradient);
  }

  static void expect_values(const Array& actual, const std::vector<double>& expected) {
    const auto values = host<float>(actual);
    ASSERT_EQ(values.size(), expected.size());
    for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], expected[i]) << "value " << i;
  }
};
VOXSHIFT_FOR_EACH_DEVICE(Conv2dBackwardTest);

TEST_P(Conv2dBackwardTest, EveryWindowOnStacks) {
  for (const auto& [height, width] : {std::pair{1, 1}, {2, 5}, {7, 4}, {9, 12}})
    for (const Square& w : kSquares)
      for (const Channels& c : kChannels) expect_backward(height == 7 ? 3 : 1, height, width, c, w);
}

TEST_P(Conv2dBackwardTest, AllChannelCounts) {
  for (std::int64_t channels = 1; channels <= 67; ++channels) {
    expect_backward(2, 4, 5, {channels, channels, channels}, {3, 1, 1});
    expect_backward(2, 4, 5, {channels, channels, channels}, {3, 2, 1});
    expect_backward(1, 4, 5, {channels, 3, 1}, {3, 2, 1});
    expect_backward(1, 4, 5, {2, channels, 1}, {1, 1, 0});
  }
}

// More rows than one partial sum has, and more than one task.
TEST_P(Conv2dBackwardTest, ManyRows) {
  expect_backward(5, 23, 9, {20, 20, 20}, {3, 1, 1});
  expect_backward(4, 31, 17, {3, 16, 1}, {3, 2, 1});
}

// The stack's forward, and <grad, conv(x)> = <input, x> = <weight, W>.
TEST_P(Conv2dBackwardTest, IsTheAdjointOfTheForwardOnStacks) {
  for (const Channels& c : kChannels)
    for (const Square& w : {Square{3, 2, 1}, Square{1, 1, 0}, Square{5, 1, 2}}) {
      const std::int64_t h = oracle::out_size(9, w), v = oracle::out_size(8, w);
      const auto x = whole_numbers(3 * 9 * 8 * c.in, 1), grad = whole_numbers(3 * h * v * c.out, 2);
      const auto weight = whole_numbers(c.out * c.in / c.groups * w.kernel * w.kernel, 3);
      const Array stack = DeviceTest::array(x, {3, 9, 8, c.in}), g = DeviceTest::array(grad, {3, h, v, c.out});
      const Array weights = DeviceTest::array(weight, {c.out, c.in / c.groups, w.kernel, w.kernel});
      const auto dot = [](const Array& a, const std::vector<double>& b) {
        const auto values = host<float>(a);
        double sum = 0;
        for (std::size_t i = 0; i < b.size(); ++i) sum += values[i] * b[i];
        return sum;
      };
      const auto gradients = conv2d_backward(stack, weights, g, options_of(w, c.groups));
      const double expected = dot(conv2d(stack, weights, {}, options_of(w, c.groups)), grad);
      EXPECT_EQ(dot(*gradients.input, x), expected);
      EXPECT_EQ(dot(*gradients.weight, weight), expected);
    }
}

TEST_P(Conv2dBackwardTest, TheSameBitsOnAnyNumberOfThreads) {
  for (const Channels& c : {Channels{20, 20, 20}, Channels{6, 20, 1}}) {
    const Array x = DeviceTest::array(real_numbers(5 * 21 * 13 * c.in, 1), {5, 21, 13, c.in});
    const Array grad = DeviceTest::array(real_numbers(5 * 21 * 13 * c.out, 2), {5, 21, 13, c.out});
    const Array weight =
        DeviceTest::array(real_numbers(c.out * c.in / c.groups * 9, 3), {c.out, c.in / c.groups, 3, 3});
    set_num_threads(1);
    const auto expected = conv2d_backward(x, weight, grad, {1, 1, c.groups, {}});
    for (const int threads : {2, 3, 5}) {
      set_num_threads(threads);
      const auto gradients = conv2d_backward(x, weight, grad, {1, 1, c.groups, {}});
      expect_same_bits(*gradients.input, *expected.input);
      expect_same_bits(*gradients.weight, *expected.weight);
    }
  }
}

TEST_P(Conv2dBackwardTest, Errors) {
  const Array x = DeviceTest::array(whole_numbers(4 * 5 * 3, 1), {4, 5, 3});
  const Array weight = DeviceTest::array(whole_numbers(2 * 3 * 9, 2), {2, 3, 3, 3});
  expect_throw(
      [&] {
        conv2d_backward(x, weight, DeviceTest::array(whole_numbers(24, 3), {4, 3, 2}));
      },
      {"[conv2d_backward] grad expects f32 [2, 3, 2]", "[4, 3, 2]"});
  expect_throw(
      [&] {
        conv2d_backward(weight.reshaped({2, 27}), weight, x);
      },
      {"[conv2d_backward] x expects f32", " [H, W, C] or [N, H, W, C]"});
  expect_throw(
      [&] {
        conv2d_backward(x, DeviceTest::array(whole_numbers(36, 2), {2, 2, 3, 3}), x);
      },
      {"[conv2d_backward] weight expects 2 channels, x has 3"});
  expect_throw([&] { conv2d_backward(x, weight, x, {1, 0, 3, {}}); }, {"[conv2d_backward] groups expects a divisor"});
}

}  // namespace
}  // namespace voxshift
