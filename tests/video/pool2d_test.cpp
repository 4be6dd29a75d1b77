// 2-D pooling on images, in windows and over all pixels.
#include <gtest/gtest.h>
#include <voxshift/video/kernels.h>
#include <voxshift/video/pool2d.h>

#include "image_fixture.h"

namespace voxshift {
namespace {

using oracle::Image;
using oracle::Square;

class Pool2dTest : public ImageTest {
 protected:
  void expect_pool(std::int64_t height, std::int64_t width, std::int64_t channels, const Square& w) const {
    if (w.padding > w.kernel / 2 || oracle::out_size(height, w) == 0 || oracle::out_size(width, w) == 0) return;
    const Image in = real_image(height, width, channels, 1);
    SCOPED_TRACE(describe(in, w));
    const Window2d window{w.kernel, w.stride, w.padding};
    expect_equal(max_pool2d(array(in), window), oracle::max_pool2d(in, w));
    expect_close(avg_pool2d(array(in), window), oracle::avg_pool2d(in, w));
  }
};
VOXSHIFT_FOR_EACH_DEVICE(Pool2dTest);

TEST_P(Pool2dTest, EveryWindowOnEveryImage) {
  for (const auto& [height, width] : kExtents)
    for (const Square& w : kSquares)
      for (const std::int64_t channels : {3, 8, 24}) expect_pool(height, width, channels, w);
}

TEST_P(Pool2dTest, AllChannelCounts) {
  for (std::int64_t channels = 1; channels <= 67; ++channels) expect_pool(5, 6, channels, {3, 2, 1});
}

TEST_P(Pool2dTest, ImagesOfManyTasks) { expect_pool(67, 45, 16, {3, 2, 1}); }

TEST_P(Pool2dTest, MaximumAtTheBorderOfNegativeValuesIsNegative) {
  const Image in = oracle::apply(Image(4, 4, 3), [](double) { return -3.0; });
  expect_equal(max_pool2d(array(in), {3, 2, 1}), oracle::apply(Image(2, 2, 3), [](double) { return -3.0; }));
}

TEST_P(Pool2dTest, GlobalAverage) {
  for (const auto& [height, width] : kExtents)
    for (std::int64_t channels = 1; channels <= 67; ++channels) {
      const Image in = real_image(height, width, channels, 2);
      const auto values = host<float>(global_avg_pool2d(array(in)));
      ASSERT_EQ(values.size(), static_cast<std::size_t>(channels));
      for (std::int64_t c = 0; c < channels; ++c) {
        double sum = 0, magnitude = 0;
        for (std::int64_t y = 0; y < height; ++y)
          for (std::int64_t x = 0; x < width; ++x) {
            sum += in.at(y, x, c);
            magnitude += std::abs(in.at(y, x, c));
          }
        const auto pixels = static_cast<double>(height * width);
        ASSERT_LE(std::abs(values[static_cast<std::size_t>(c)] - sum / pixels), 1e-5 * magnitude / pixels);
      }
    }
}

// Some pixels of the output, each with the bits that it has among all of them.
TEST_P(Pool2dTest, PixelListsHaveTheBitsOfTheWholeImage) {
  const Array x = array(real_image(13, 18, 21, 3));
  const Window2d window{3, 2, 1};
  const std::vector<std::int32_t> pixels = {0, 1, 2, 8, 9, 20, 35, 36, 61, 62};
  const Array list = Array::from(pixels, {10}).to(device());
  Arena scratch(device());
  const Context context{device(), nullptr, 2, &scratch};
  const ConstRowView rows{x.memory(), 21, 13 * 18, 21};
  for (const bool max : {true, false}) {
    const auto all = host<float>(max ? max_pool2d(x, window) : avg_pool2d(x, window));
    Array out({10, 21}, DType::kF32, device());
    const auto pool = max ? &VideoKernels::max_pool : &VideoKernels::avg_pool;
    (video_kernels(device()).*pool)(context, window, {13, 18}, rows, {list.data<std::int32_t>(), 10}, rows_of(out));
    const auto values = host<float>(out);
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(values[i], all[static_cast<std::size_t>(pixels[i / 21]) * 21 + i % 21]);
  }
}

TEST_P(Pool2dTest, SameBitsOnAnyNumberOfThreads) {
  const Array x = array(real_image(67, 45, 9, 4));
  set_num_threads(1);
  const Array max = max_pool2d(x, {3, 2, 1}), mean = avg_pool2d(x, {3, 1, 1}), global = global_avg_pool2d(x);
  for (const int threads : {1, 2, 3})
    for (int run = 0; run < 5; ++run) {
      set_num_threads(threads);
      expect_same_bits(max_pool2d(x, {3, 2, 1}), max);
      expect_same_bits(avg_pool2d(x, {3, 1, 1}), mean);
      expect_same_bits(global_avg_pool2d(x), global);
    }
}

TEST_P(Pool2dTest, WrongOperandsAreRefused) {
  const Array x = array(whole_image(5, 6, 4, 1));
  expect_throw([&] { max_pool2d(x, {0, 1, 0}); }, {"[max_pool2d]", "kernel", "found 0"});
  expect_throw([&] { max_pool2d(x, {3, 0, 0}); }, {"[max_pool2d]", "stride", "found 0"});
  expect_throw([&] { max_pool2d(x, {3, 1, 2}); }, {"[max_pool2d]", "half the kernel 3", "found 2"});
  expect_throw([&] { avg_pool2d(x, {3, 1, -1}); }, {"[avg_pool2d]", "padding", "found -1"});
  expect_throw([&] { avg_pool2d(x, {6, 1, 0}); }, {"[avg_pool2d]", "kernel 6", "5 x 6"});
  expect_throw([&] { avg_pool2d(x, {std::int64_t{1} << 62, 1, 0}); }, {"[avg_pool2d]", "kernel"});
  expect_throw([&] { max_pool2d(vector({1, 2}), {1, 1, 0}); }, {"[max_pool2d]", "[H, W, C]", "[2]"});
  expect_throw([&] { global_avg_pool2d(Array({2, 2, 2}, DType::kI32, device())); }, {"[global_avg_pool2d]", "i32"});
  expect_throw(
      [&] {
        global_avg_pool2d(Array({2, 0, 2}, DType::kF32, device()));
      },
      {"[global_avg_pool2d]", "[2, 0, 2]"});
}

}  // namespace
}  // namespace voxshift
