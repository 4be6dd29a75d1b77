// Convolving and shifting images of halves, and their gradients, against plain loops in double on the same rounded
// numbers. Sums of whole numbers are exact in f32, so results are the rounded ones bit by bit.
#include <gtest/gtest.h>
#include <voxshift/temporal_shift/temporal_shift.h>
#include <voxshift/video/conv2d_backward.h>

#include <algorithm>
#include <vector>

#include "half_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Matrix;

constexpr DType kHalves[] = {DType::kF16, DType::kBF16};

/// A stack of images: pixels are rows of x [images * height * width, inputs].
struct Case {
  std::size_t images, height, width, inputs, outputs, kernel, stride, padding, groups;

  std::size_t out(std::size_t size) const { return (size + 2 * padding - kernel) / stride + 1; }
  std::size_t in_rows() const { return images * height * width; }
  std::size_t out_rows() const { return images * out(height) * out(width); }
  std::size_t taps() const { return kernel * kernel; }
  std::size_t inputs_of_group() const { return inputs / groups; }

  /// f(input row, output row, input channel of its group, channel, output channel, tap) for every product.
  template <class F>
  void for_products(const F& f) const {
    for (std::size_t q = 0; q < out_rows(); ++q)
      for (std::size_t tap = 0; tap < taps(); ++tap) {
        const std::size_t plane = out(height) * out(width), place = q % plane;
        const std::size_t y = place / out(width) * stride + tap / kernel,
                          x = place % out(width) * stride + tap % kernel;
        if (y < padding || x < padding || y - padding >= height || x - padding >= width) continue;
        const std::size_t p = (q / plane * height + y - padding) * width + x - padding;
        for (std::size_t o = 0; o < outputs; ++o)
          for (std::size_t i = 0; i < inputs_of_group(); ++i)
            f(p, q, i, o / (outputs / groups) * inputs_of_group() + i, o, tap);
      }
  }
};

class HalfImagesTest : public HalfTest {
 protected:
  Array images(const Matrix& rows, std::size_t count, std::size_t height, std::size_t width, DType dtype) const {
    return converted(array(rows), dtype)
        .reshaped({static_cast<std::int64_t>(count), static_cast<std::int64_t>(height),
                   static_cast<std::int64_t>(width), static_cast<std::int64_t>(rows.cols)});
  }

  void expect_case(const Case& c, DType dtype) const {
    SCOPED_TRACE(std::to_string(c.inputs) + " -> " + std::to_string(c.outputs) + " by " + std::to_string(c.kernel) +
                 ", groups " + std::to_string(c.groups) + ", stride " + std::to_string(c.stride) + ", " + name(dtype));
    const Matrix in = test_data::whole(c.in_rows(), c.inputs, 1), grad = test_data::whole(c.out_rows(), c.outputs, 2);
    const Matrix weight = test_data::whole(c.outputs, c.inputs_of_group() * c.taps(), 3);
    const Matrix bias = test_data::whole(1, c.outputs, 4);
    Matrix out(c.out_rows(), c.outputs), of_in(c.in_rows(), c.inputs), of_weight(weight.rows, weight.cols);
    for (std::size_t q = 0; q < out.rows; ++q)
      for (std::size_t o = 0; o < out.cols; ++o) out.at(q, o) = bias.values[o];
    c.for_products([&](auto p, auto q, auto i, auto channel, auto o, auto tap) {
      out.at(q, o) += in.at(p, channel) * weight.at(o, i * c.taps() + tap);
      of_in.at(p, channel) += grad.at(q, o) * weight.at(o, i * c.taps() + tap);
      of_weight.at(o, i * c.taps() + tap) += in.at(p, channel) * grad.at(q, o);
    });
    const Array x = images(in, c.images, c.height, c.width, dtype);
    const Array g = images(grad, c.images, c.out(c.height), c.out(c.width), dtype);
    const auto k = static_cast<std::int64_t>(c.kernel);
    const Array w =
        array(weight, {static_cast<std::int64_t>(c.outputs), static_cast<std::int64_t>(c.inputs_of_group()), k, k});
    const Conv2dOptions options{static_cast<std::int64_t>(c.stride),
                                static_cast<std::int64_t>(c.padding),
                                static_cast<std::int64_t>(c.groups),
                                {}};
    expect_numbers(conv2d(x, w, vector(bias.values), options), out, dtype);
    const Conv2dGradients gradients = conv2d_backward(x, w, g, options);
    expect_numbers(*gradients.input, of_in, dtype);
    expect_numbers(*gradients.weight, of_weight, DType::kF32);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, HalfImagesTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(HalfImagesTest, Convolutions) {
  for (const DType dtype : kHalves)
    for (const Case& c : std::vector<Case>{{2, 6, 5, 3, 8, 3, 1, 1, 1},
                                           {2, 7, 6, 16, 8, 3, 2, 1, 1},
                                           {1, 5, 5, 8, 5, 1, 1, 0, 1},
                                           {2, 6, 6, 9, 16, 2, 2, 0, 1},
                                           {1, 9, 8, 7, 67, 5, 1, 2, 1}})
      expect_case(c, dtype);
}

TEST_P(HalfImagesTest, GroupsOfChannels) {
  for (const DType dtype : kHalves)
    for (const Case& c : std::vector<Case>{{2, 6, 5, 16, 32, 3, 1, 1, 2},  // slices of whole chunks
                                           {2, 5, 4, 6, 9, 3, 1, 1, 3},    // and of none
                                           {1, 5, 4, 10, 14, 1, 1, 0, 2}})
      expect_case(c, dtype);
}

TEST_P(HalfImagesTest, DepthwiseConvolutions) {
  for (const DType dtype : kHalves)
    for (const Case& c : std::vector<Case>{{2, 6, 5, 8, 8, 3, 1, 1, 8},
                                           {2, 7, 6, 5, 5, 3, 2, 1, 5},
                                           {1, 8, 8, 16, 16, 5, 1, 2, 16},
                                           {1, 4, 5, 3, 3, 2, 1, 0, 3}})
      expect_case(c, dtype);
}

// Of more pixels than a half can count, in several shares.
TEST_P(HalfImagesTest, SumsAreWide) {
  for (const DType dtype : kHalves) {
    Matrix ones(3000, 8);
    std::fill(ones.values.begin(), ones.values.end(), 1.0);
    const Array x = images(ones, 1, 60, 50, dtype);
    const auto all = [](std::size_t columns) {
      Matrix expected(8, columns);
      std::fill(expected.values.begin(), expected.values.end(), 3000.0);
      return expected;
    };
    const Array weight = array(Matrix(8, 8), {8, 8, 1, 1}), each = array(Matrix(8, 1), {8, 1, 1, 1});
    expect_numbers(*conv2d_backward(x, weight, x).weight, all(8), DType::kF32);
    expect_numbers(*conv2d_backward(x, each, x, {1, 0, 8, {}}).weight, all(1), DType::kF32);
  }
}

TEST_P(HalfImagesTest, TheShiftMovesWords) {
  constexpr std::size_t kFrames = 6, kSegment = 3, kPixels = 4, kChannels = 10, kFold = 2;
  for (const DType dtype : kHalves)
    for (const bool both : {false, true}) {
      const Matrix in = rounded(test_data::real(kFrames * kPixels, kChannels, 5), dtype);
      Matrix shifted(in.rows, in.cols), back(in.rows, in.cols);
      for (std::size_t r = 0; r < in.rows; ++r)
        for (std::size_t c = 0; c < kChannels; ++c) {
          const std::size_t frame = r / kPixels % kSegment;
          const bool next = both && c < kFold, previous = !next && c < (both ? 2 : 1) * kFold;
          const bool has_next = frame + 1 < kSegment, has_previous = frame > 0;
          const auto other = [&](bool later) { return in.at(later ? r + kPixels : r - kPixels, c); };
          if (!next && !previous) {
            shifted.at(r, c) = back.at(r, c) = in.at(r, c);
          } else {
            shifted.at(r, c) = (next ? has_next : has_previous) ? other(next) : 0;
            back.at(r, c) = (next ? has_previous : has_next) ? other(!next) : 0;
          }
        }
      const Array x = images(in, kFrames, 2, 2, dtype);
      expect_numbers(temporal_shift(x, kSegment, {5, both}), shifted, dtype);
      expect_numbers(temporal_shift_backward(x, kSegment, {5, both}), back, dtype);
    }
}

TEST_P(HalfImagesTest, TheSameBitsOnEveryRun) {
  for (const DType dtype : kHalves) {
    const Array x = images(test_data::real(900, 6, 6), 1, 30, 30, dtype),
                g = images(test_data::real(900, 6, 7), 1, 30, 30, dtype);
    const Array weight = array(test_data::real(6, 54, 8), {6, 6, 3, 3}),
                each = array(test_data::real(6, 9, 9), {6, 1, 3, 3});
    const auto run = [&] {
      const auto whole = conv2d_backward(x, weight, g, {1, 1, 1, {}}),
                 depthwise = conv2d_backward(x, each, g, {1, 1, 6, {}});
      return std::vector<Array>{conv2d(x, weight, {}, {1, 1, 1, {}}), *whole.input, *whole.weight, *depthwise.input,
                                *depthwise.weight};
    };
    const auto first = run();
    for (int again = 1; again < 10; ++again) {
      const auto results = run();
      for (std::size_t i = 0; i < results.size(); ++i) expect_same_bits(results[i], first[i]);
    }
  }
}

TEST_P(HalfImagesTest, Errors) {
  const Array x = images(test_data::whole(4, 3, 1), 1, 2, 2, DType::kF16),
              wide = array(test_data::whole(4, 3, 1), {1, 2, 2, 3});
  const Array weight = array(Matrix(5, 3), {5, 3, 1, 1}), bytes({1, 2, 2, 3}, DType::kI8, device());
  expect_throw([&] { conv2d(bytes, weight); },
               {"[conv2d] x expects f32, f16 or bf16 [H, W, C] or [N, H, W, C], found i8 [1, 2, 2, 3]"});
  expect_throw(
      [&] {
        conv2d_backward(x, weight, array(Matrix(4, 5), {1, 2, 2, 5}));
      },
      {"[conv2d_backward] grad expects f16 [1, 2, 2, 5], found f32 [1, 2, 2, 5]"});
  expect_throw(
      [&] {
        conv2d(x, converted(array(Matrix(5, 3)), DType::kF16).reshaped({5, 3, 1, 1}));
      },
      {"[conv2d] weight expects f32 [Cout, Cin / groups, k, k], found f16"});
  expect_throw(
      [&] {
        temporal_shift(bytes, 1, {2, true});
      },
      {"[temporal_shift] x expects f32, f16 or bf16 [N * n_segment, .., C], found i8 [1, 2, 2, 3]"});
}

TEST(HalfImagesCpuTest, TakesF32Alone) {
  const Array x({1, 2, 2, 3}, DType::kF16), weight = Array::from(std::vector<float>(3), {1, 3, 1, 1});
  expect_throw([&] { conv2d(x, weight); },
               {"[conv2d] x expects f32 [H, W, C] or [N, H, W, C], found f16 [1, 2, 2, 3]"});
  expect_throw([&] { conv2d_backward(x, weight, x); }, {"[conv2d_backward] x expects f32 [H, W, C]"});
  expect_throw([&] { temporal_shift(x, 1); }, {"[temporal_shift] x expects f32 [N * n_segment, .., C], found f16"});
}

}  // namespace
}  // namespace voxshift
