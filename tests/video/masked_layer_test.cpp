// Layers that compute only where their input changed, against the oracle and against the dense layer.
#include <gtest/gtest.h>
#include <voxshift/video/masked_layer.h>

#include <limits>
#include <random>
#include <set>

#include "image_fixture.h"

namespace voxshift {
namespace {

using oracle::Image;
using oracle::Square;

struct Case {
  std::int64_t height, width, in, out, groups;
  Square w;
};

const std::vector<Case> kCases = {
    {13, 9, 3, 8, 1, {3, 2, 1}},    {13, 9, 8, 16, 1, {1, 1, 0}},  {7, 7, 24, 24, 24, {3, 1, 1}},
    {13, 9, 16, 16, 16, {5, 2, 2}}, {13, 9, 24, 40, 4, {3, 1, 1}}, {1, 7, 4, 6, 2, {3, 1, 1}},
    {1, 1, 5, 7, 1, {1, 1, 0}},     {19, 31, 3, 5, 1, {7, 2, 3}},  {19, 31, 40, 40, 40, {3, 2, 1}}};

class MaskedLayerTest : public ImageTest {
 protected:
  struct Conv {
    std::vector<double> weight, bias;
    Array weights, biases;
    Conv2dOptions options;
  };
  Conv conv_of(const Case& c) const {
    Conv conv;
    conv.weight = real_numbers(c.out * c.in / c.groups * c.w.kernel * c.w.kernel, 1);
    conv.bias = real_numbers(c.out, 2);
    conv.weights = DeviceTest::array(conv.weight, {c.out, c.in / c.groups, c.w.kernel, c.w.kernel});
    conv.biases = vector(conv.bias);
    conv.options = {c.w.stride, c.w.padding, c.groups, {Activation::Kind::kRelu6, 0}};
    return conv;
  }
  static std::string describe_case(const Case& c) {
    return describe(Image(c.height, c.width, c.in), c.w) + ", " + std::to_string(c.groups) + " groups";
  }

  // Some pixels of `image`: the tensor that tells of them.
  SparseTensor pixels_of(const Image& image, const std::set<std::int64_t>& pixels) const {
    std::vector<std::int32_t> coords;
    std::vector<float> features;
    for (const std::int64_t p : pixels) {
      const std::int64_t y = p / image.width, x = p % image.width;
      coords.insert(coords.end(), {0, static_cast<std::int32_t>(y), static_cast<std::int32_t>(x)});
      for (std::int64_t c = 0; c < image.channels; ++c) features.push_back(static_cast<float>(image.at(y, x, c)));
    }
    const auto n = static_cast<std::int64_t>(pixels.size());
    return {Array::from(coords, {n, 3}).to(device()), Array::from(features, {n, image.channels}).to(device())};
  }
  static std::set<std::int64_t> all_of(const Image& image) {
    std::set<std::int64_t> pixels;
    for (std::int64_t p = 0; p < image.height * image.width; ++p) pixels.insert(p);
    return pixels;
  }

  // Gives a few pixels of a patch other values, far ones or near ones, and returns which.
  static std::set<std::int64_t> change(Image& image, std::mt19937& random) {
    const auto below = [&](std::int64_t n) { return static_cast<std::int64_t>(random() % static_cast<unsigned>(n)); };
    const std::int64_t top = below(image.height), left = below(image.width);
    const float size = random() % 2 == 0 ? 1.0F : 0.02F;
    std::set<std::int64_t> pixels;
    for (std::int64_t y = top; y < std::min(top + 3, image.height); ++y)
      for (std::int64_t x = left; x < std::min(left + 4, image.width); ++x) {
        if (random() % 4 == 0) continue;
        pixels.insert(y * image.width + x);
        for (std::int64_t c = 0; c < image.channels; ++c) {
          const float step = (static_cast<float>(random() % 2001) / 1000 - 1) * size;
          image.at(y, x, c) = static_cast<float>(image.at(y, x, c)) + step;
        }
      }
    return pixels;
  }

  // The outputs whose windows hold one of the pixels.
  static std::set<std::int64_t> reached(const Image& image, const Square& w, const std::set<std::int64_t>& pixels) {
    std::set<std::int64_t> outputs;
    const std::int64_t width = oracle::out_size(image.width, w);
    oracle::for_taps(image.height, image.width, w, [&](auto y, auto x, auto from_y, auto from_x, auto, auto) {
      if (pixels.count(from_y * image.width + from_x) > 0) outputs.insert(y * width + x);
    });
    return outputs;
  }

  // What a push gave, against the output before and after it: exactly the pixels that differ, with their values.
  static void expect_difference(const SparseTensor& given, const std::vector<float>& before,
                                const std::vector<float>& after, std::int64_t height, std::int64_t width) {
    const std::size_t channels = after.size() / static_cast<std::size_t>(height * width);
    ASSERT_EQ(given.shape(), extents({static_cast<int>(height), static_cast<int>(width)}));
    oracle::Coords expected;
    std::vector<float> values;
    for (std::int64_t p = 0; p < height * width; ++p) {
      const auto first = static_cast<std::ptrdiff_t>(p) * static_cast<std::ptrdiff_t>(channels);
      const auto last = first + static_cast<std::ptrdiff_t>(channels);
      if (std::equal(before.begin() + first, before.begin() + last, after.begin() + first)) continue;
      expected.push_back({0, p / width, p % width});
      values.insert(values.end(), after.begin() + first, after.begin() + last);
    }
    ASSERT_EQ(coords_of(given.coords()), expected);
    ASSERT_EQ(host<float>(given.features()), values);
  }
};
VOXSHIFT_FOR_EACH_DEVICE(MaskedLayerTest);

TEST_P(MaskedLayerTest, TheFirstPushIsDense) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(describe_case(c));
    const Conv conv = conv_of(c);
    auto layer = MaskedLayer::conv2d({c.height, c.width}, conv.weights, conv.biases, conv.options, 0.5F);
    const Image image = real_image(c.height, c.width, c.in, 3);
    const SparseTensor out = layer.push(pixels_of(image, all_of(image)));
    const Array dense = conv2d(array(image), conv.weights, conv.biases, conv.options);
    expect_same_bits(layer.output(), dense);
    ASSERT_EQ(out.size(), dense.dim(0) * dense.dim(1));
    expect_same_bits(out.features(), dense.reshaped({out.size(), c.out}));
    const std::int64_t macs = out.size() * c.w.kernel * c.w.kernel * (c.in / c.groups) * c.out;
    EXPECT_EQ(layer.macs(), macs);
    EXPECT_EQ(layer.dense_macs(), macs);
  }
}

// 30 changes at threshold 0: the dense result of the whole image, bit by bit, and what came out is what differs.
TEST_P(MaskedLayerTest, ThresholdZeroEqualsTheDenseLayer) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(describe_case(c));
    const Conv conv = conv_of(c);
    auto layer = MaskedLayer::conv2d({c.height, c.width}, conv.weights, conv.biases, conv.options, 0);
    Image image = real_image(c.height, c.width, c.in, 4);
    layer.push(pixels_of(image, all_of(image)));
    std::mt19937 random(5);
    for (int push = 0; push < 30; ++push) {
      const auto before = host<float>(layer.output());
      const auto changed = change(image, random);
      const SparseTensor out = layer.push(pixels_of(image, changed));
      const Array dense = conv2d(array(image), conv.weights, conv.biases, conv.options);
      expect_same_bits(layer.output(), dense);
      expect_difference(out, before, host<float>(dense), dense.dim(0), dense.dim(1));
      const auto outputs = static_cast<std::int64_t>(reached(image, c.w, changed).size());
      ASSERT_EQ(layer.macs(), outputs * c.w.kernel * c.w.kernel * (c.in / c.groups) * c.out);
      if (HasFatalFailure()) return;
    }
  }
}

// 30 changes: every kept value is within the threshold of the layer recomputed from the whole input.
TEST_P(MaskedLayerTest, KeptValuesStayWithinTheThreshold) {
  for (const float threshold : {0.01F, 0.2F}) {
    std::int64_t kept_old = 0;
    for (const Case& c : kCases) {
      SCOPED_TRACE(describe_case(c));
      const Conv conv = conv_of(c);
      auto layer = MaskedLayer::conv2d({c.height, c.width}, conv.weights, conv.biases, conv.options, threshold);
      Image image = real_image(c.height, c.width, c.in, 6);
      layer.push(pixels_of(image, all_of(image)));
      std::mt19937 random(7);
      for (int push = 0; push < 30; ++push) {
        const auto before = host<float>(layer.output());
        const auto changed = change(image, random);
        const SparseTensor out = layer.push(pixels_of(image, changed));
        const auto after = host<float>(layer.output());
        const oracle::Sums dense = oracle::conv2d(image, conv.weight, conv.bias, c.out, c.w, c.groups);
        for (std::size_t i = 0; i < after.size(); ++i)
          ASSERT_LE(std::abs(after[i] - std::clamp(dense.value.values[i], 0.0, 6.0)),
                    static_cast<double>(threshold) + 1e-5 * dense.magnitude.values[i]);
        expect_difference(out, before, after, dense.value.height, dense.value.width);
        if (HasFatalFailure()) return;
        kept_old += static_cast<std::int64_t>(reached(image, c.w, changed).size()) - out.size();
      }
    }
    EXPECT_GT(kept_old, 0) << "no value was kept at threshold " << threshold;
  }
}

TEST_P(MaskedLayerTest, Pooling) {
  for (const bool max : {true, false})
    for (const float threshold : {0.0F, 0.1F}) {
      const Square w{3, 2, 1};
      const Window2d window{3, 2, 1};
      auto layer = max ? MaskedLayer::max_pool2d({13, 9}, 21, window, threshold, device())
                       : MaskedLayer::avg_pool2d({13, 9}, 21, window, threshold, device());
      Image image = real_image(13, 9, 21, 8);
      EXPECT_EQ(layer.push(pixels_of(image, all_of(image))).size(), 35);
      std::mt19937 random(9);
      for (int push = 0; push < 30; ++push) {
        layer.push(pixels_of(image, change(image, random)));
        const Array dense = max ? max_pool2d(array(image), window) : avg_pool2d(array(image), window);
        if (threshold == 0) expect_same_bits(layer.output(), dense);
        const Image expected = max ? oracle::max_pool2d(image, w) : oracle::avg_pool2d(image, w).value;
        const auto values = host<float>(layer.output());
        for (std::size_t i = 0; i < values.size(); ++i)
          ASSERT_LE(std::abs(values[i] - expected.values[i]), static_cast<double>(threshold) + 1e-5);
      }
      EXPECT_EQ(layer.macs(), 0);
      EXPECT_EQ(layer.dense_macs(), 0);
    }
}

// Errors do not add up: a value that creeps away is propagated once it is further than the threshold from the kept one.
TEST_P(MaskedLayerTest, SlowChangesAddUp) {
  const Array identity = DeviceTest::array(std::vector<double>{1}, {1, 1, 1, 1});
  auto layer = MaskedLayer::conv2d({1, 2}, identity, {}, {}, 0.5F);
  Image image(1, 2, 1);
  layer.push(pixels_of(image, all_of(image)));
  for (int step = 1; step <= 20; ++step) {
    image.at(0, 1, 0) = step * 0.125;
    EXPECT_EQ(layer.push(pixels_of(image, {1})).size(), step % 5 == 0 ? 1 : 0) << "step " << step;
    const int updates = step / 5;
    EXPECT_EQ(host<float>(layer.output()), (std::vector<float>{0, static_cast<float>(updates) * 0.625F}));
  }
}

TEST_P(MaskedLayerTest, NothingChangedCostsNothing) {
  const Case c = kCases[0];
  const Conv conv = conv_of(c);
  auto layer = MaskedLayer::conv2d({c.height, c.width}, conv.weights, conv.biases, conv.options, 0);
  const Image image = real_image(c.height, c.width, c.in, 10);
  layer.push(pixels_of(image, all_of(image)));
  const auto before = host<float>(layer.output());
  EXPECT_EQ(layer.push(pixels_of(image, {})).size(), 0);
  EXPECT_EQ(layer.macs(), 0);
  EXPECT_EQ(layer.push(pixels_of(image, {0, 5, 17})).size(), 0);  // told, but the same
  EXPECT_EQ(layer.macs(), 0);
  EXPECT_EQ(host<float>(layer.output()), before);
}

// What is not told is zero.
TEST_P(MaskedLayerTest, ResetForgetsEverything) {
  const Case c = kCases[0];
  const Conv conv = conv_of(c);
  auto layer = MaskedLayer::conv2d({c.height, c.width}, conv.weights, conv.biases, conv.options, 0.1F);
  const Image image = real_image(c.height, c.width, c.in, 11);
  layer.push(pixels_of(image, all_of(image)));
  layer.reset();
  EXPECT_EQ(layer.macs(), 0);
  Image sparse(c.height, c.width, c.in);
  for (std::int64_t ch = 0; ch < c.in; ++ch) sparse.at(1, 4, ch) = image.at(1, 4, ch);
  const SparseTensor out = layer.push(pixels_of(sparse, {c.width + 4}));
  const Array dense = conv2d(array(sparse), conv.weights, conv.biases, conv.options);
  EXPECT_EQ(out.size(), dense.dim(0) * dense.dim(1));
  expect_same_bits(layer.output(), dense);
}

TEST_P(MaskedLayerTest, SameBitsOnAnyNumberOfThreads) {
  for (const Case& c : kCases) {
    const Conv conv = conv_of(c);
    std::vector<Array> outputs;
    for (const int threads : {1, 2, 3}) {
      set_num_threads(threads);
      auto layer = MaskedLayer::conv2d({c.height, c.width}, conv.weights, conv.biases, conv.options, 0.05F);
      Image image = real_image(c.height, c.width, c.in, 12);
      layer.push(pixels_of(image, all_of(image)));
      std::mt19937 random(13);
      for (int push = 0; push < 5; ++push) layer.push(pixels_of(image, change(image, random)));
      outputs.push_back(layer.output());
      expect_same_bits(outputs.back(), outputs.front());
    }
  }
}

TEST_P(MaskedLayerTest, WrongOperandsAreRefused) {
  const Case c = kCases[0];
  const Conv conv = conv_of(c);
  const auto make = [&](Extent2d extent, const Conv2dOptions& options, float threshold) {
    MaskedLayer::conv2d(extent, conv.weights, conv.biases, options, threshold);
  };
  expect_throw([&] { make({13, 9}, conv.options, -1); }, {"[MaskedLayer]", "threshold", "found -1"});
  expect_throw(
      [&] {
        make({13, 9}, conv.options, std::numeric_limits<float>::quiet_NaN());
      },
      {"[MaskedLayer]", "threshold", "nan"});
  expect_throw([&] { make({0, 9}, conv.options, 0); }, {"[MaskedLayer]", "0 x 9"});
  expect_throw([&] { make({1, 9}, {1, 0, 1, {}}, 0); }, {"[MaskedLayer]", "kernel 3"});
  expect_throw([&] { make({13, 9}, {1, 0, 3, {}}, 0); }, {"[MaskedLayer]", "groups", "found 3"});
  expect_throw([] { MaskedLayer::max_pool2d({4, 4}, 2, {3, 1, 2}, 0); }, {"[MaskedLayer]", "half the kernel"});
  expect_throw([] { MaskedLayer::max_pool2d({20, 20}, 2, {12, 1, 0}, 0); }, {"[MaskedLayer]", "kernel", "found 12"});
  expect_throw([] { MaskedLayer::avg_pool2d({4, 4}, 0, {3, 1, 1}, 0); }, {"[MaskedLayer]", "channels", "found 0"});

  auto layer = MaskedLayer::conv2d({13, 9}, conv.weights, conv.biases, conv.options, 0);
  const Image image = real_image(13, 9, 3, 14);
  layer.push(pixels_of(image, all_of(image)));
  const auto before = host<float>(layer.output());
  const auto refused = [&](const oracle::Coords& coords, std::size_t channels, const std::vector<std::string>& parts) {
    expect_throw([&] { layer.push(tensor(coords, test_data::whole(coords.size(), channels, 1))); }, parts);
  };
  refused({{0, 2, 9}}, 3, {"[MaskedLayer]", "(0, 2, 9)"});
  refused({{0, 0, 0}, {0, 13, 0}}, 3, {"[MaskedLayer]", "(0, 13, 0)"});
  refused({{0, -1, 0}}, 3, {"[MaskedLayer]", "(0, -1, 0)"});
  refused({{1, 0, 0}}, 3, {"[MaskedLayer]", "(1, 0, 0)"});
  refused({{0, 0, 0}}, 4, {"[MaskedLayer]", "3 channels", "4 channels"});
  refused({{0, 0}}, 3, {"[MaskedLayer]", "1 axes"});
  EXPECT_EQ(layer.push(pixels_of(image, {})).size(), 0);
  EXPECT_EQ(host<float>(layer.output()), before);
}

}  // namespace
}  // namespace voxshift
