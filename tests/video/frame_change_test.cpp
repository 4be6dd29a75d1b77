// Frames: normalised, compared pixel by pixel and as a whole.
#include <gtest/gtest.h>
#include <voxshift/video/kernels.h>

#include <random>

#include "image_fixture.h"

namespace voxshift {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes noise(std::int64_t pixels, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(static_cast<std::size_t>(3 * pixels));
  for (auto& b : bytes) b = static_cast<std::uint8_t>(random());
  return bytes;
}

// `frame` with some pixels a few levels away in one channel, some of them at the ends of the range.
Bytes disturbed(Bytes frame, int most, unsigned seed) {
  std::mt19937 random(seed);
  for (std::size_t p = 0; p < frame.size() / 3; ++p)
    if (random() % 3 == 0) {
      auto& b = frame[3 * p + random() % 3];
      const int step = static_cast<int>(random() % static_cast<unsigned>(2 * most + 1)) - most;
      b = static_cast<std::uint8_t>(std::clamp(b + step, 0, 255));
    }
  return frame;
}

class FrameChangeTest : public DeviceTest {
 protected:
  Context context() { return {device(), nullptr, 2, &scratch_}; }
  Array bytes(const Bytes& values) const {
    return Array::from(values, {static_cast<std::int64_t>(values.size())}).to(device());
  }
  const VideoKernels& kernels() const { return video_kernels(device()); }

  FrameDifference difference(const Bytes& a, const Bytes& b, Extent2d extent) {
    const Array x = bytes(a), y = bytes(b);
    return kernels().frame_difference(context(), x.data<std::uint8_t>(), y.data<std::uint8_t>(), extent);
  }

  void expect_difference(const Bytes& a, const Bytes& b, Extent2d extent) {
    SCOPED_TRACE(std::to_string(extent.height) + " x " + std::to_string(extent.width));
    double total = 0, largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) total += std::abs(int{a[i]} - int{b[i]});
    for (std::int64_t top = 0; top < extent.height; top += 16)
      for (std::int64_t left = 0; left < extent.width; left += 16)
        for (std::int64_t c = 0; c < 3; ++c) {
          double sum_a = 0, sum_b = 0, count = 0;
          for (std::int64_t y = top; y < std::min(top + 16, extent.height); ++y)
            for (std::int64_t x = left; x < std::min(left + 16, extent.width); ++x) {
              const auto at = static_cast<std::size_t>((y * extent.width + x) * 3 + c);
              sum_a += a[at];
              sum_b += b[at];
              ++count;
            }
          largest = std::max(largest, std::abs(sum_a - sum_b) / count);
        }
    const FrameDifference found = difference(a, b, extent);
    EXPECT_EQ(found.mean, static_cast<float>(total / static_cast<double>(a.size())));
    EXPECT_EQ(found.block, static_cast<float>(largest));
  }

 private:
  Arena scratch_{GetParam()};
};
VOXSHIFT_FOR_EACH_DEVICE(FrameChangeTest);

const std::vector<Extent2d> kFrames = {{1, 1}, {1, 7}, {7, 1}, {13, 9}, {16, 16}, {17, 33}, {40, 65}, {64, 96}};

TEST_P(FrameChangeTest, NormalizesAllPixelsOfAPitchedImage) {
  const float scale[] = {1 / 58.395F, 1 / 57.12F, 1 / 57.375F}, shift[] = {-2.1179F, -2.0357F, -1.8044F};
  for (const Extent2d& extent : kFrames) {
    const Bytes frame = noise(extent.pixels(), 1);
    const std::int64_t pitch = 3 * extent.width + 6;
    Array out =
        array(oracle::apply(oracle::Matrix(static_cast<std::size_t>(extent.height), static_cast<std::size_t>(pitch)),
                            [](double) { return 99.0; }));
    const Array pixels = bytes(frame);
    kernels().normalize(context(), pixels.data<std::uint8_t>(), extent, scale, shift, {nullptr, extent.pixels()},
                        out.memory(), DType::kF32, pitch);
    const auto values = host<float>(out);
    for (std::int64_t y = 0; y < extent.height; ++y)
      for (std::int64_t i = 0; i < pitch; ++i) {
        const float value = values[static_cast<std::size_t>(y * pitch + i)];
        if (i >= 3 * extent.width) {
          ASSERT_EQ(value, 99);
          continue;
        }
        const double x = frame[static_cast<std::size_t>(y * 3 * extent.width + i)], s = scale[i % 3], t = shift[i % 3];
        ASSERT_LE(std::abs(value - (x * s + t)), 1e-6 * (x * s + std::abs(t)));
      }
  }
}

TEST_P(FrameChangeTest, NormalizesListedPixelsToTheSameBits) {
  const float scale[] = {1 / 58.395F, 1 / 57.12F, 1 / 57.375F}, shift[] = {-2.1179F, -2.0357F, -1.8044F};
  const Extent2d extent{19, 70};
  const Array frame = bytes(noise(extent.pixels(), 2));
  Array all({extent.pixels() * 3}, DType::kF32, device());
  kernels().normalize(context(), frame.data<std::uint8_t>(), extent, scale, shift, {nullptr, extent.pixels()},
                      all.memory(), DType::kF32, 3 * extent.width);
  std::vector<std::int32_t> rows;
  for (std::int32_t p = 0; p < extent.pixels(); ++p)
    if (p % 5 == 0 || p % 90 < 60) rows.push_back(p);
  const Array list = Array::from(rows, {static_cast<std::int64_t>(rows.size())}).to(device());
  Array some = vector(std::vector<double>(static_cast<std::size_t>(extent.pixels()) * 3, 99.0));
  kernels().normalize(context(), frame.data<std::uint8_t>(), extent, scale, shift,
                      {list.data<std::int32_t>(), list.count()}, some.memory(), DType::kF32, 3 * extent.width);
  auto expected = std::vector<float>(static_cast<std::size_t>(extent.pixels()) * 3, 99.0F);
  const auto values = host<float>(all);
  for (const std::int32_t p : rows)
    for (std::size_t i = static_cast<std::size_t>(p) * 3; i < static_cast<std::size_t>(p) * 3 + 3; ++i)
      expected[i] = values[i];
  EXPECT_EQ(host<float>(some), expected);
}

TEST_P(FrameChangeTest, ChangedPixelsByThreshold) {
  const std::vector<std::vector<float>> thresholds = {{0, 0, 0},    {0.5, 0.5, 0.5}, {1, 1, 1},      {3, 2.75, 8},
                                                      {17, 0, 254}, {254.5, 1, 255}, {1e9, 300, 256}};
  for (const std::int64_t pixels : {1, 2, 15, 16, 63, 64, 65, 200, 1027})
    for (const auto& threshold : thresholds)
      for (const int most : {1, 9, 255}) {
        const Bytes old = noise(pixels, 3), frame = disturbed(old, most, 4);
        Bytes expected_kept = old, expected_mask;
        for (std::size_t p = 0; p < static_cast<std::size_t>(pixels); ++p) {
          bool changed = false;
          for (std::size_t c = 0; c < 3; ++c)
            changed = changed || std::abs(int{frame[3 * p + c]} - int{old[3 * p + c]}) > threshold[c];
          expected_mask.push_back(changed);
          for (std::size_t c = 0; c < 3 && changed; ++c) expected_kept[3 * p + c] = frame[3 * p + c];
        }
        const Array given = bytes(frame);
        Array kept = bytes(old), mask = bytes(Bytes(static_cast<std::size_t>(pixels), 7));
        const std::int64_t active =
            kernels().changed_pixels(context(), given.data<std::uint8_t>(), kept.data<std::uint8_t>(), pixels,
                                     threshold.data(), mask.data<std::uint8_t>());
        ASSERT_EQ(host<std::uint8_t>(mask), expected_mask);
        ASSERT_EQ(host<std::uint8_t>(kept), expected_kept);
        ASSERT_EQ(active, std::count(expected_mask.begin(), expected_mask.end(), 1));
      }
}

// A pixel that creeps is noticed once it is far from what was kept, not from the last frame.
TEST_P(FrameChangeTest, SlowChangesAddUp) {
  const float threshold[] = {4, 4, 4};
  Array kept = bytes({100, 100, 100}), mask = bytes({0});
  for (int step = 1; step <= 10; ++step) {
    const Array frame = bytes({static_cast<std::uint8_t>(100 + step), 100, 100});
    const std::int64_t active = kernels().changed_pixels(
        context(), frame.data<std::uint8_t>(), kept.data<std::uint8_t>(), 1, threshold, mask.data<std::uint8_t>());
    EXPECT_EQ(active, step % 5 == 0) << "step " << step;
  }
}

TEST_P(FrameChangeTest, DifferenceOfFrames) {
  for (const Extent2d& extent : kFrames) {
    const Bytes a = noise(extent.pixels(), 5);
    expect_difference(a, noise(extent.pixels(), 6), extent);
    expect_difference(a, disturbed(a, 9, 7), extent);
    expect_difference(a, a, extent);
    expect_difference(Bytes(a.size(), 255), Bytes(a.size(), 0), extent);
    expect_difference(Bytes(a.size(), 0), Bytes(a.size(), 255), extent);
  }
}

TEST_P(FrameChangeTest, OneBlockAndChannelAloneIsSeen) {
  const Extent2d extent{40, 65};
  for (const auto& [y, x] : {std::pair<std::int64_t, std::int64_t>{0, 0}, {17, 40}, {39, 64}, {33, 15}})
    for (std::int64_t c = 0; c < 3; ++c) {
      const Bytes a = noise(extent.pixels(), 8);
      Bytes b = a;
      auto& value = b[static_cast<std::size_t>((y * extent.width + x) * 3 + c)];
      value = static_cast<std::uint8_t>(value ^ 128);
      EXPECT_GT(difference(a, b, extent).block, 0);
      expect_difference(a, b, extent);
    }
}

}  // namespace
}  // namespace voxshift
