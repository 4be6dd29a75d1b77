// Images of i8, f16, bf16 and f32 of tests of video, and what convolutions of them are, in plain loops. What is rounded
// is rounded here: nothing of the library is called.
#pragma once

#include <gtest/gtest.h>
#include <voxshift/tensor/row_view.h>
#include <voxshift/video/layers.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "image_oracle.h"

namespace voxshift::narrow_images {

/// x to the nearest number of `bits` bits of which none is worth less than `least`; infinite from 2^128 or `most` on.
inline double rounded(double x, int bits, double least, double most) {
  if (x == 0 || !std::isfinite(x)) return x;
  const double unit = std::max(std::ldexp(1.0, std::ilogb(x) - bits + 1), least);
  const double near = std::nearbyint(x / unit) * unit;
  return std::abs(near) > most ? std::copysign(HUGE_VAL, x) : near;
}

inline double as(DType dtype, double x) {
  if (dtype == DType::kF16) return rounded(x, 11, 0x1p-24, 65504);
  if (dtype == DType::kBF16) return rounded(x, 8, 0x1p-133, 0x1.FEp127);
  return static_cast<float>(x);
}

/// x * inverse, ties to even, within +-127; 0 for NaN.
inline int whole_of(float x, float inverse) {
  const float scaled = x * inverse;
  if (std::isnan(scaled)) return 0;
  return static_cast<int>(std::nearbyint(std::min(127.0f, std::max(-127.0f, scaled))));
}

/// Rows of numbers of one dtype, a few numbers apart. Numbers of i8 have a scale per channel.
class Rows {
 public:
  Rows(DType dtype, std::int64_t count, std::int64_t channels, unsigned seed = 0, std::int64_t gap = 5)
      : dtype_(dtype),
        count_(count),
        channels_(channels),
        gap_(gap),
        memory_(static_cast<std::size_t>(count * stride()) * size_of(dtype) + 1, std::byte{0x5A}) {
    std::mt19937 random(seed + 77);
    for (std::int64_t c = 0; c < channels; ++c) {
      scale_.push_back(0.02f * static_cast<float>(1 + random() % 90));
      inverse_.push_back(1 / scale_.back());
    }
  }

  std::int64_t stride() const { return channels_ + gap_; }
  std::int64_t channels() const { return channels_; }
  std::int64_t count() const { return count_; }
  DType dtype() const { return dtype_; }
  const float* inverse() const { return inverse_.data(); }

  RowView view() { return {memory_.data(), stride(), count_, channels_, dtype_, scales()}; }
  ConstRowView view() const { return {memory_.data(), stride(), count_, channels_, dtype_, scales()}; }
  Scales scales() const { return dtype_ == DType::kI8 ? Scales{scale_.data(), inverse_.data()} : Scales{}; }

  /// Of i8: the whole number. Of others: the number.
  double number(std::int64_t row, std::int64_t c) const {
    if (dtype_ == DType::kF32) return at<float>(row, c);
    if (dtype_ == DType::kI8) return at<std::int8_t>(row, c);
    const auto bits = at<std::uint16_t>(row, c);
    if (dtype_ == DType::kBF16) {
      const std::uint32_t wide = std::uint32_t{bits} << 16;
      float x = 0;
      std::memcpy(&x, &wide, 4);
      return x;
    }
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const double size = exponent == 0    ? std::ldexp(mantissa, -24)
                        : exponent == 31 ? (mantissa != 0 ? NAN : HUGE_VAL)
                                         : std::ldexp(1024 + mantissa, exponent - 25);
    return bits >> 15 ? -size : size;
  }
  float value(std::int64_t row, std::int64_t c) const {
    const auto x = static_cast<float>(number(row, c));
    return dtype_ == DType::kI8 ? x * scale_[static_cast<std::size_t>(c)] : x;
  }

  /// x must be a number of the dtype.
  void set(std::int64_t row, std::int64_t c, double x) {
    if (dtype_ == DType::kF32) return put(row, c, static_cast<float>(x));
    if (dtype_ == DType::kI8) return put(row, c, static_cast<std::int8_t>(x));
    const auto narrow = static_cast<float>(x);
    std::uint32_t bits = 0;
    std::memcpy(&bits, &narrow, 4);
    if (dtype_ == DType::kBF16) return put(row, c, static_cast<std::uint16_t>(bits >> 16));
    const double size = std::abs(x);
    const auto half =
        size < 0x1p-14 ? static_cast<std::uint32_t>(size * 0x1p24) : ((bits & 0x7FFFFFFF) >> 13) - (112u << 10);
    put(row, c, static_cast<std::uint16_t>((bits >> 16 & 0x8000) | half));
  }

  /// Numbers of [-8, 8], of i8 up to +-127, or real ones.
  void fill(unsigned seed, bool real = false) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (std::int64_t r = 0; r < count_; ++r)
      for (std::int64_t c = 0; c < channels_; ++c) {
        if (dtype_ == DType::kI8) {
          set(r, c, static_cast<double>(random() % 255) - 127);
        } else {
          set(r, c, real ? as(dtype_, uniform(random)) : static_cast<double>(random() % 17) - 8);
        }
      }
  }

 private:
  std::size_t index(std::int64_t row, std::int64_t c) const { return static_cast<std::size_t>(row * stride() + c); }
  template <class T>
  T at(std::int64_t row, std::int64_t c) const {
    T x;
    std::memcpy(&x, memory_.data() + index(row, c) * sizeof(T), sizeof(T));
    return x;
  }
  template <class T>
  void put(std::int64_t row, std::int64_t c, T x) {
    std::memcpy(memory_.data() + index(row, c) * sizeof(T), &x, sizeof(T));
  }

  DType dtype_;
  std::int64_t count_, channels_, gap_;
  std::vector<std::byte> memory_;
  std::vector<float> scale_, inverse_;
};

/// A convolution's weights [out, in / groups, k, k], of i8 whole numbers and what their sums are multiplied by.
struct Weights {
  std::int64_t inputs, outputs;
  oracle::Square square;
  bool depthwise;
  std::vector<double> numbers;
  std::vector<float> multiplier, bias;

  Weights(std::int64_t in, std::int64_t out, const oracle::Square& w, bool is_depthwise, DType dtype, unsigned seed,
          bool real = false)
      : inputs(in), outputs(out), square(w), depthwise(is_depthwise) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (std::int64_t i = 0; i < out * (depthwise ? 1 : in) * w.kernel * w.kernel; ++i)
      numbers.push_back(dtype == DType::kI8 ? static_cast<double>(random() % 255) - 127
                        : real              ? as(dtype, uniform(random))
                                            : static_cast<double>(random() % 17) - 8);
    for (std::int64_t o = 0; o < out; ++o) {
      multiplier.push_back(1e-5f * static_cast<float>(1 + random() % 100));
      bias.push_back(static_cast<float>(random() % 17) - 8);
    }
  }

  double at(std::int64_t o, std::int64_t i, std::int64_t y, std::int64_t x) const {
    const std::int64_t in = depthwise ? 0 : i, width = depthwise ? 1 : inputs;
    return numbers[static_cast<std::size_t>(((o * width + in) * square.kernel + y) * square.kernel + x)];
  }
  std::vector<float> f32() const { return {numbers.begin(), numbers.end()}; }
  std::vector<std::int8_t> i8() const {
    std::vector<std::int8_t> bytes;
    for (const double x : numbers) bytes.push_back(static_cast<std::int8_t>(x));
    return bytes;
  }
};

inline float activated(const Activation& activation, float x) {
  switch (activation.kind) {
    case Activation::Kind::kNone:
      return x;
    case Activation::Kind::kRelu:
      return std::max(x, 0.0f);
    case Activation::Kind::kRelu6:
      return std::min(std::max(x, 0.0f), 6.0f);
    case Activation::Kind::kLeakyRelu:
      return x > 0 ? x : x * activation.slope;
    case Activation::Kind::kFunction:
      break;
  }
  EXPECT_EQ(activation.function.kind, Elementwise::Kind::kClip) << "the oracle knows no other function";
  return std::min(std::max(x, activation.function.a), activation.function.b);
}

/// What is summed at output (y, x), channel o, and the sum of the terms' magnitudes.
struct Sum {
  double value = 0, magnitude = 0;
};

/// in(y, x, c) for pixels inside the image.
inline Sum sum_at(const Weights& w, Extent2d extent, std::int64_t y, std::int64_t x, std::int64_t o,
                  const std::function<double(std::int64_t, std::int64_t, std::int64_t)>& in) {
  Sum sum;
  for (std::int64_t i = 0; i < w.square.kernel; ++i)
    for (std::int64_t j = 0; j < w.square.kernel; ++j) {
      const std::int64_t from_y = y * w.square.stride - w.square.padding + i;
      const std::int64_t from_x = x * w.square.stride - w.square.padding + j;
      if (from_y < 0 || from_y >= extent.height || from_x < 0 || from_x >= extent.width) continue;
      for (std::int64_t c = w.depthwise ? o : 0; c < (w.depthwise ? o + 1 : w.inputs); ++c) {
        const double term = in(from_y, from_x, c) * w.at(o, c, i, j);
        sum.value += term;
        sum.magnitude += std::abs(term);
      }
    }
  return sum;
}

/// act(sum * multiplier + bias + residual) of i8 inputs, else act(sum + bias + residual), in f32.
inline float finished(const Weights& w, bool whole, const Sum& sum, std::int64_t o, const float* residual,
                      const Activation& activation) {
  const auto channel = static_cast<std::size_t>(o);
  volatile float y = static_cast<float>(sum.value);
  if (whole) y = y * w.multiplier[channel];
  y = y + w.bias[channel];
  if (residual != nullptr) y = y + *residual;
  return activated(activation, y);
}

/// y as a number of `rows`, of i8 a whole one.
inline double number_of(const Rows& rows, float y, std::int64_t c) {
  return rows.dtype() == DType::kI8 ? whole_of(y, rows.inverse()[c]) : as(rows.dtype(), y);
}

}  // namespace voxshift::narrow_images
