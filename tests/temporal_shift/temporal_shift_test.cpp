// The temporal shift of clips, and frame by frame.
#include <gtest/gtest.h>
#include <voxshift/temporal_shift/kernels.h>
#include <voxshift/temporal_shift/temporal_shift.h>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Matrix;

// The definition of TSM on x [clips * n_segment * pixels, C], frame by frame.
Matrix shifted(const Matrix& x, std::size_t n_segment, std::size_t pixels, std::size_t shift_div, bool bidirectional) {
  const std::size_t fold = x.cols / shift_div;
  Matrix out(x.rows, x.cols);
  for (std::size_t r = 0; r < x.rows; ++r) {
    const std::size_t frame = r / pixels % n_segment;
    for (std::size_t c = 0; c < x.cols; ++c) {
      const bool from_next = bidirectional && c < fold;
      const bool from_previous = bidirectional ? c >= fold && c < 2 * fold : c < fold;
      if (from_next) {
        out.at(r, c) = frame + 1 < n_segment ? x.at(r + pixels, c) : 0;
      } else if (from_previous) {
        out.at(r, c) = frame > 0 ? x.at(r - pixels, c) : 0;
      } else {
        out.at(r, c) = x.at(r, c);
      }
    }
  }
  return out;
}

class TemporalShiftTest : public DeviceTest {
 protected:
  void expect_shift(std::int64_t clips, std::int64_t n_segment, std::int64_t height, std::int64_t width,
                    std::int64_t channels, const TemporalShift& shift) const {
    SCOPED_TRACE(std::to_string(channels) + " channels by " + std::to_string(shift.shift_div));
    const Matrix x = test_data::real(static_cast<std::size_t>(clips * n_segment * height * width),
                                     static_cast<std::size_t>(channels), 1);
    const Matrix expected = shifted(x, static_cast<std::size_t>(n_segment), static_cast<std::size_t>(height * width),
                                    static_cast<std::size_t>(shift.shift_div), shift.bidirectional);
    const Shape shape{clips * n_segment, height, width, channels};
    const Array out = temporal_shift(array(x, shape), n_segment, shift);
    ASSERT_EQ(out.shape(), shape);
    expect_equal(out.reshaped({clips * n_segment * height * width, channels}), expected);
  }
};
VOXSHIFT_FOR_EACH_DEVICE(TemporalShiftTest);

TEST_P(TemporalShiftTest, ClipsInBothDirections) {
  for (std::int64_t channels = 2; channels <= 67; ++channels)
    for (const std::int64_t shift_div : {2, 3, 8})
      if (shift_div <= channels) {
        expect_shift(2, 8, 2, 3, channels, {shift_div, true});
        expect_shift(2, 8, 2, 3, channels, {shift_div, false});
      }
}

TEST_P(TemporalShiftTest, ImagesOfManyTasks) { expect_shift(1, 3, 64, 65, 9, {8, true}); }

TEST_P(TemporalShiftTest, AllChannelsMayMove) {
  expect_shift(2, 3, 1, 2, 5, {1, false});
  expect_shift(2, 3, 1, 2, 6, {2, true});
  expect_shift(2, 3, 1, 2, 1, {1, false});
}

TEST_P(TemporalShiftTest, OneFrameIsShiftedAgainstZeros) { expect_shift(3, 1, 2, 2, 16, {8, true}); }

TEST_P(TemporalShiftTest, BothDirectionsByEightIsTheDefault) {
  const Array x = array(test_data::real(32, 16, 2), {8, 4, 16});
  expect_same_bits(temporal_shift(x, 8), temporal_shift(x, 8, {8, true}));
}

TEST_P(TemporalShiftTest, AStreamIsTheClipInOneDirection) {
  constexpr std::int64_t kFrames = 40, kPixels = 6;
  for (const std::int64_t channels : {1, 3, 8, 16, 24, 40, 67})
    for (const std::int64_t shift_div : {1, 3, 8}) {
      if (shift_div > channels) continue;
      const Matrix x =
          test_data::real(static_cast<std::size_t>(kFrames * kPixels), static_cast<std::size_t>(channels), 3);
      const Array clip = temporal_shift(array(x, {kFrames, 2, 3, channels}), kFrames, {shift_div, false});
      const auto expected = host<float>(clip);
      StreamingShift stream(shift_div);
      const std::int64_t count = kPixels * channels;
      for (std::int64_t frame = 0; frame < kFrames; ++frame) {
        const auto begin = x.values.begin() + frame * count;
        const Array out = stream.push(array(std::vector<double>(begin, begin + count), {2, 3, channels}));
        ASSERT_EQ(out.shape(), (Shape{2, 3, channels}));
        const auto values = host<float>(out);
        for (std::int64_t i = 0; i < count; ++i)
          ASSERT_EQ(values[static_cast<std::size_t>(i)], expected[static_cast<std::size_t>(frame * count + i)])
              << "frame " << frame << ", value " << i;
      }
    }
}

TEST_P(TemporalShiftTest, ResetForgetsTheFrameAndTheShape) {
  const Array x = array(test_data::real(6, 8, 4), {6, 8});
  StreamingShift stream(4);
  const Array first = stream.push(x);
  EXPECT_EQ(host<float>(first)[1], 0.0F);
  const Array second = stream.push(x);
  expect_same_bits(second, x);
  stream.reset();
  expect_same_bits(stream.push(x), first);
  stream.reset();
  EXPECT_EQ(stream.push(array(test_data::real(2, 5, 5), {1, 2, 5})).shape(), (Shape{1, 2, 5}));
}

// What was pushed may change afterwards.
TEST_P(TemporalShiftTest, AStreamKeepsItsOwnCopy) {
  StreamingShift stream(1);
  Array x = array(test_data::whole(2, 3, 6));
  const auto values = host<float>(x);
  stream.push(x);
  std::vector<float> zeros(6);
  runtime(device()).copy_from_host(device(), x.memory(), zeros.data(), x.bytes());
  EXPECT_EQ(host<float>(stream.push(x)), values);
}

TEST_P(TemporalShiftTest, RunsOfAFrameAreNotCopied) {
  const Array frame = array(test_data::real(4, 10, 7)), previous = array(test_data::real(4, 2, 8));
  const TemporalShift shift{5, false};
  const ChannelRuns runs = shifted_runs(shift, rows_of(frame), rows_of(previous), {}, nullptr);
  ASSERT_EQ(runs.count, 2);
  EXPECT_EQ(runs.channels(), 10);
  EXPECT_EQ(runs.runs[0].base, previous.data<float>());
  EXPECT_EQ(runs.runs[1].base, frame.data<float>() + 2);
  EXPECT_EQ(runs.runs[1].row_stride, 10);
  const Array zeros = vector({0, 0});
  const ChannelRuns first = shifted_runs(shift, rows_of(frame), {}, {}, zeros.data<float>());
  EXPECT_EQ(first.runs[0].base, zeros.data<float>());
  EXPECT_EQ(first.runs[0].row_stride, 0);
}

TEST_P(TemporalShiftTest, OnlyListedRowsAreRemembered) {
  const Matrix x = test_data::whole(9, 7, 9);
  Array cache = array(oracle::apply(Matrix(9, 3), [](double) { return 99.0; }));
  const Array rows = Array::from(std::vector<std::int32_t>{1, 4, 8}, {3}).to(device());
  const Context context{device(), nullptr, 2, nullptr};
  const Array in = array(x);
  temporal_shift_kernels(device()).remember(context, rows_of(in), rows.data<std::int32_t>(), 3, rows_of(cache));
  Matrix expected(9, 3);
  for (std::size_t r = 0; r < 9; ++r)
    for (std::size_t c = 0; c < 3; ++c) expected.at(r, c) = r == 1 || r == 4 || r == 8 ? x.at(r, c) : 99;
  expect_equal(cache, expected);
}

TEST_P(TemporalShiftTest, NoFrames) {
  EXPECT_EQ(temporal_shift(Array({0, 2, 8}, DType::kF32, device()), 8).shape(), (Shape{0, 2, 8}));
}

TEST_P(TemporalShiftTest, WrongOperandsAreRefused) {
  const Array x = array(test_data::whole(12, 8, 1));
  expect_throw([&] { temporal_shift(x, 5); }, {"[temporal_shift]", "n_segment", "12 frames", "found 5"});
  expect_throw([&] { temporal_shift(x, 0); }, {"[temporal_shift]", "n_segment", "found 0"});
  expect_throw([&] { temporal_shift(x, -4); }, {"[temporal_shift]", "n_segment", "found -4"});
  expect_throw([&] { temporal_shift(x, 4, {9, true}); }, {"[temporal_shift]", "2 to the 8 channels", "found 9"});
  expect_throw([&] { temporal_shift(x, 4, {1, true}); }, {"[temporal_shift]", "shift_div", "found 1"});
  expect_throw([&] { temporal_shift(x, 4, {0, false}); }, {"[temporal_shift]", "shift_div", "found 0"});
  expect_throw([&] { temporal_shift(vector({1, 2}), 1); }, {"[temporal_shift]", "[N * n_segment, .., C]", "[2]"});
  expect_throw([&] { temporal_shift(Array({4, 8}, DType::kU8, device()), 4); }, {"[temporal_shift]", "u8"});
  expect_throw([] { StreamingShift(0); }, {"[StreamingShift]", "shift_div", "found 0"});
  StreamingShift stream(8);
  expect_throw([&] { stream.push(array(test_data::whole(4, 7, 1))); }, {"[StreamingShift]", "7 channels", "found 8"});
  expect_throw([&] { stream.push(Array({4, 8}, DType::kI32, device())); }, {"[StreamingShift]", "i32"});
  stream.push(x);
  expect_throw([&] { stream.push(array(test_data::whole(6, 8, 1))); },
               {"[StreamingShift]", "[12, 8]", "[6, 8]", "reset()"});
  expect_same_bits(stream.push(x), x);  // what was refused left no trace
}

}  // namespace
}  // namespace voxshift
