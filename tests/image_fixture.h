// Images of tests of video: made, and compared with those of the oracle.
#pragma once

#include "device_fixture.h"
#include "image_oracle.h"
#include "test_data.h"

namespace voxshift {

class ImageTest : public DeviceTest {
 protected:
  Array array(const oracle::Image& image) const {
    return DeviceTest::array(image.values, {image.height, image.width, image.channels});
  }
  using DeviceTest::array;
};

/// Whole numbers, whose sums are exact in float32.
inline oracle::Image whole_image(std::int64_t height, std::int64_t width, std::int64_t channels, unsigned seed) {
  return {height, width, channels,
          test_data::whole(static_cast<std::size_t>(height * width), static_cast<std::size_t>(channels), seed).values};
}

inline oracle::Image real_image(std::int64_t height, std::int64_t width, std::int64_t channels, unsigned seed) {
  return {height, width, channels,
          test_data::real(static_cast<std::size_t>(height * width), static_cast<std::size_t>(channels), seed).values};
}

inline std::vector<double> whole_numbers(std::int64_t count, unsigned seed) {
  return test_data::whole(1, static_cast<std::size_t>(count), seed).values;
}

inline std::vector<double> real_numbers(std::int64_t count, unsigned seed) {
  return test_data::real(1, static_cast<std::size_t>(count), seed).values;
}

inline void expect_equal(const Array& actual, const oracle::Image& expected) {
  ASSERT_EQ(actual.shape(), (Shape{expected.height, expected.width, expected.channels}));
  const auto values = host<float>(actual);
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], expected.values[i]) << "value " << i;
}

/// Every value is within 1e-5 of the sum of its terms' magnitudes.
inline void expect_close(const Array& actual, const oracle::Sums& expected) {
  const oracle::Image& value = expected.value;
  ASSERT_EQ(actual.shape(), (Shape{value.height, value.width, value.channels}));
  const auto values = host<float>(actual);
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_LE(std::abs(values[i] - value.values[i]), 1e-5 * expected.magnitude.values[i]) << "value " << i;
}

inline std::string describe(const oracle::Image& image, const oracle::Square& w) {
  return std::to_string(image.height) + " x " + std::to_string(image.width) + " x " + std::to_string(image.channels) +
         ", kernel " + std::to_string(w.kernel) + ", stride " + std::to_string(w.stride) + ", padding " +
         std::to_string(w.padding);
}

/// Kernels 1 to 7, strides 1 to 3, any padding.
inline const std::vector<oracle::Square> kSquares = {{1, 1, 0}, {1, 2, 0}, {2, 2, 0}, {2, 1, 1}, {3, 1, 1},
                                                     {3, 1, 0}, {3, 2, 1}, {3, 3, 2}, {4, 1, 2}, {5, 1, 2},
                                                     {5, 2, 2}, {5, 1, 4}, {7, 1, 3}, {7, 2, 3}};

/// Height and width: one pixel, one row, square, odd, and more pixels than a task takes.
inline const std::vector<std::pair<std::int64_t, std::int64_t>> kExtents = {{1, 1}, {1, 7}, {7, 7}, {13, 9}, {19, 31}};

}  // namespace voxshift
