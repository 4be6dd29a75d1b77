// The gradient of the temporal shift of clips.
#include <gtest/gtest.h>
#include <voxshift/temporal_shift/temporal_shift.h>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Matrix;

// Where TSM's definition reads x [clips * n_segment * pixels, C], the gradient is written.
Matrix shift_gradient(const Matrix& grad, std::size_t n_segment, std::size_t pixels, const TemporalShift& shift) {
  const std::size_t fold = grad.cols / static_cast<std::size_t>(shift.shift_div);
  Matrix x(grad.rows, grad.cols);
  for (std::size_t r = 0; r < grad.rows; ++r) {
    const std::size_t frame = r / pixels % n_segment;
    for (std::size_t c = 0; c < grad.cols; ++c) {
      const bool from_next = shift.bidirectional && c < fold;
      const bool from_previous = shift.bidirectional ? c >= fold && c < 2 * fold : c < fold;
      if (from_next && frame + 1 < n_segment) x.at(r + pixels, c) += grad.at(r, c);
      if (from_previous && frame > 0) x.at(r - pixels, c) += grad.at(r, c);
      if (!from_next && !from_previous) x.at(r, c) += grad.at(r, c);
    }
  }
  return x;
}

class TemporalShiftBackwardTest : public DeviceTest {
 protected:
  void expect_gradient(std::int64_t clips, std::int64_t n_segment, std::int64_t height, std::int64_t width,
                       std::int64_t channels, const TemporalShift& shift) const {
    SCOPED_TRACE(std::to_string(channels) + " channels by " + std::to_string(shift.shift_div));
    const std::int64_t rows = clips * n_segment * height * width;
    const Matrix grad = test_data::whole(static_cast<std::size_t>(rows), static_cast<std::size_t>(channels), 1);
    const Matrix x = test_data::whole(static_cast<std::size_t>(rows), static_cast<std::size_t>(channels), 2);
    const Shape shape{clips * n_segment, height, width, channels};
    const Array found = temporal_shift_backward(array(grad, shape), n_segment, shift);
    ASSERT_EQ(found.shape(), shape);
    expect_equal(found.reshaped({rows, channels}), shift_gradient(grad, static_cast<std::size_t>(n_segment),
                                                                  static_cast<std::size_t>(height * width), shift));
    // <grad, shift(x)> = <gradient, x>, exactly: the numbers are whole and small.
    const auto out = host<float>(temporal_shift(array(x, shape), n_segment, shift)), gradient = host<float>(found);
    double forward = 0, backward = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      forward += grad.values[i] * double{out[i]};
      backward += double{gradient[i]} * x.values[i];
    }
    EXPECT_EQ(forward, backward);
  }
};
VOXSHIFT_FOR_EACH_DEVICE(TemporalShiftBackwardTest);

TEST_P(TemporalShiftBackwardTest, ClipsInBothDirections) {
  for (std::int64_t channels = 1; channels <= 67; ++channels)
    for (const std::int64_t shift_div : {1, 2, 3, 8}) {
      if (shift_div > channels) continue;
      if (shift_div > 1) expect_gradient(2, 5, 2, 3, channels, {shift_div, true});
      expect_gradient(2, 5, 2, 3, channels, {shift_div, false});
    }
}

TEST_P(TemporalShiftBackwardTest, ImagesOfManyTasks) {
  expect_gradient(1, 3, 64, 65, 9, {8, true});
  expect_gradient(1, 3, 64, 65, 9, {8, false});
}

TEST_P(TemporalShiftBackwardTest, OneFrameKeepsOnlyWhatStayed) {
  expect_gradient(3, 1, 2, 2, 16, {8, true});
  expect_gradient(3, 1, 2, 2, 16, {8, false});
}

TEST_P(TemporalShiftBackwardTest, NoFrames) {
  EXPECT_EQ(temporal_shift_backward(Array({0, 2, 8}, DType::kF32, device()), 8).shape(), (Shape{0, 2, 8}));
}

TEST_P(TemporalShiftBackwardTest, SameBitsOnAnyNumberOfThreads) {
  const Array grad = array(test_data::real(9 * 3000, 17, 3), {9, 3000, 17});
  set_num_threads(1);
  const Array expected = temporal_shift_backward(grad, 3);
  for (const int threads : {2, 3}) {
    set_num_threads(threads);
    expect_same_bits(temporal_shift_backward(grad, 3), expected);
  }
}

TEST_P(TemporalShiftBackwardTest, WrongOperandsAreRefused) {
  const Array grad = array(test_data::whole(12, 8, 1));
  expect_throw([&] { temporal_shift_backward(grad, 5); },
               {"[temporal_shift_backward]", "n_segment", "12 frames of grad", "found 5"});
  expect_throw(
      [&] {
        temporal_shift_backward(grad, 4, {1, true});
      },
      {"[temporal_shift_backward]", "shift_div", "2 to the 8 channels of grad", "found 1"});
  expect_throw(
      [&] {
        temporal_shift_backward(Array({4, 8}, DType::kU8, device()), 4);
      },
      {"[temporal_shift_backward]", "grad", "u8"});
}

}  // namespace
}  // namespace voxshift
