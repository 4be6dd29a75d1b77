// Numbers of f16, bf16 and i8 as every kernel of the CPU reads and writes them, in plain changes of dtype.
#include <voxshift/rows/kernels.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "narrow_rows.h"

namespace voxshift {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class NumbersTest : public NarrowTest {
 protected:
  static constexpr std::int64_t kPatterns = 1 << 16;

  void convert(const ConstRowView& from, const RowView& to) {
    cpu::row_kernels().affine(context(), from, nullptr, nullptr, {}, {}, to);
  }

  std::vector<float> read(DType dtype, const std::vector<std::uint16_t>& bits, std::int64_t channels) {
    const auto rows = static_cast<std::int64_t>(bits.size()) / channels;
    std::vector<float> numbers(bits.size());
    convert({bits.data(), channels, rows, channels, dtype}, {numbers.data(), channels, rows, channels});
    return numbers;
  }

  std::vector<std::uint16_t> write(DType dtype, const std::vector<float>& numbers, std::int64_t channels) {
    const auto rows = static_cast<std::int64_t>(numbers.size()) / channels;
    std::vector<std::uint16_t> bits(numbers.size());
    convert({numbers.data(), channels, rows, channels}, {bits.data(), channels, rows, channels, dtype});
    return bits;
  }

  static std::vector<std::uint16_t> all_patterns() {
    std::vector<std::uint16_t> bits(kPatterns);
    std::iota(bits.begin(), bits.end(), std::uint16_t{0});
    return bits;
  }
};

// The number of a pattern by its definition: `mantissa` bits after an exponent that is `bias` for 1.
double number_of(std::uint16_t bits, int mantissa, int bias) {
  const int exponents = (1 << (15 - mantissa)) - 1, exponent = bits >> mantissa & exponents;
  const int fraction = bits & ((1 << mantissa) - 1);
  const double size = exponent == exponents ? (fraction != 0 ? NAN : HUGE_VAL)
                      : exponent == 0       ? std::ldexp(fraction, 1 - bias - mantissa)
                                            : std::ldexp(fraction + (1 << mantissa), exponent - bias - mantissa);
  return bits >> 15 ? -size : size;
}

double half_of(std::uint16_t bits) { return number_of(bits, 10, 15); }
double bfloat_of(std::uint16_t bits) { return number_of(bits, 7, 127); }

void expect_same(double found, double expected, std::size_t pattern) {
  if (std::isnan(expected)) {
    ASSERT_TRUE(std::isnan(found)) << pattern;
  } else {
    ASSERT_EQ(found, expected) << pattern;
    ASSERT_EQ(std::signbit(found), std::signbit(expected)) << pattern;
  }
}

TEST_F(NumbersTest, EveryPatternIsReadExactly) {
  const auto bits = all_patterns();
  for (const std::int64_t channels : {64, 4}) {
    const auto halves = read(DType::kF16, bits, channels), bfloats = read(DType::kBF16, bits, channels);
    for (std::size_t i = 0; i < bits.size(); ++i) {
      expect_same(static_cast<double>(halves[i]), half_of(bits[i]), i);
      expect_same(static_cast<double>(bfloats[i]), bfloat_of(bits[i]), i);
    }
  }
}

// Every number, the middle to the next one, and the f32 just below and above it: ties go to the even pattern. Beyond
// the largest number the next one would be is infinity.
TEST_F(NumbersTest, FloatsAreRoundedToTheNearest) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const bool half = dtype == DType::kF16;
    const int infinity = half ? 0x7C00 : 0x7F80;
    const auto value = [&](int p) {
      if (p == infinity) return half ? 65536.0 : 0x1p128;
      return half ? half_of(static_cast<std::uint16_t>(p)) : bfloat_of(static_cast<std::uint16_t>(p));
    };
    std::vector<float> numbers;
    std::vector<int> expected;
    for (int p = 0; p < infinity; ++p) {
      const double middle = (value(p) + value(p + 1)) / 2;
      const auto tie = static_cast<float>(middle);
      ASSERT_EQ(static_cast<double>(tie), middle);
      numbers.insert(numbers.end(),
                     {static_cast<float>(value(p)), std::nextafter(tie, 0.0f), tie, std::nextafter(tie, kInfinity)});
      expected.insert(expected.end(), {p, p, p + p % 2, p + 1});
    }
    for (const float sign : {1.0f, -1.0f}) {
      std::vector<float> signed_numbers;
      for (const float x : numbers) signed_numbers.push_back(sign * x);
      const auto bits = write(dtype, signed_numbers, 4);
      for (std::size_t i = 0; i < bits.size(); ++i)
        ASSERT_EQ(bits[i], expected[i] | (sign < 0 ? 0x8000 : 0)) << name(dtype) << " of " << signed_numbers[i];
    }
  }
}

TEST_F(NumbersTest, WhatIsNoNumber) {
  const float quiet = std::numeric_limits<float>::quiet_NaN(), tiny = std::numeric_limits<float>::denorm_min();
  const std::vector<float> numbers{kInfinity, -kInfinity, quiet, -quiet, 0.0f, -0.0f, 3e38f, tiny};
  const auto halves = write(DType::kF16, numbers, 4), bfloats = write(DType::kBF16, numbers, 4);
  const double expected_half[] = {HUGE_VAL, -HUGE_VAL, NAN, NAN, 0.0, -0.0, HUGE_VAL, 0.0};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    expect_same(half_of(halves[i]), expected_half[i], i);
    if (i < 6) expect_same(bfloat_of(bfloats[i]), expected_half[i], i);
  }
  // A NaN whose bits are all beyond those that remain stays one, and does not round to infinity or to a zero.
  for (const std::uint32_t bits : {0x7F800001u, 0xFF80FFFFu, 0x7FFFFFFFu}) {
    const std::vector<float> number(4, std::bit_cast<float>(bits));
    EXPECT_TRUE(std::isnan(bfloat_of(write(DType::kBF16, number, 4)[0]))) << bits;
    EXPECT_TRUE(std::isnan(half_of(write(DType::kF16, number, 4)[0]))) << bits;
  }
}

// n * scale, one rounding; x * inverse to the nearest, ties to even, not beyond +-127.
TEST_F(NumbersTest, BytesAreReadAndRounded) {
  std::vector<std::int8_t> all(255);
  std::iota(all.begin(), all.end(), static_cast<std::int8_t>(-127));
  for (const float scale : {1.0f, 0.1f, 3.7e-5f, 1e30f, 1e-38f}) {
    const std::vector<float> scales(all.size(), scale), inverses(all.size(), 1 / scale);
    const Scales s{scales.data(), inverses.data()};
    std::vector<float> numbers(all.size());
    convert({all.data(), 255, 1, 255, DType::kI8, s}, {numbers.data(), 255, 1, 255});
    for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(numbers[i], times(all[i], scale)) << int{all[i]};
    std::vector<std::int8_t> back(all.size());
    convert({numbers.data(), 255, 1, 255}, {back.data(), 255, 1, 255, DType::kI8, s});
    ASSERT_EQ(back, all) << scale;
  }
  const std::vector<float> numbers{0.5f,      1.5f,       2.5f, -0.5f, -1.5f,   126.5f, 127.49f, 128.0f,
                                   kInfinity, -kInfinity, NAN,  -0.0f, -127.5f, 1e-40f, 2e9f,    -2e10f};
  const std::vector<std::int8_t> expected{0, 2, 2, 0, -2, 126, 127, 127, 127, -127, 0, 0, -127, 0, 127, -127};
  const std::vector<float> ones(numbers.size(), 1.0f);
  for (const std::int64_t channels : {16, 8, 1}) {
    std::vector<std::int8_t> found(numbers.size());
    convert({numbers.data(), channels, 16 / channels, channels},
            {found.data(), channels, 16 / channels, channels, DType::kI8, {ones.data(), ones.data()}});
    EXPECT_EQ(found, expected) << channels;
  }
}

TEST_F(NumbersTest, EveryDtypeToEveryOtherForEveryWidth) {
  for (const DType from : kNumberTypes)
    for (const DType to : kNumberTypes)
      for (std::int64_t channels = 1; channels <= 67; ++channels) {
        Rows in(from, 3, channels, 1), out(to, 3, channels, 2);
        in.fill(static_cast<unsigned>(channels), true);
        convert(std::as_const(in).view(), out.view());
        expect_rows(out, [&](std::int64_t i, std::int64_t c) { return in.value(i, c); });
      }
}

// The same dtype and scales, or none: not a bit changes, of NaN neither, and -128 stays.
TEST_F(NumbersTest, CopiesKeepTheirBytes) {
  const auto bits = all_patterns();
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    std::vector<std::uint16_t> copy(bits.size());
    convert({bits.data(), 64, kPatterns / 64, 64, dtype}, {copy.data(), 64, kPatterns / 64, 64, dtype});
    EXPECT_EQ(copy, bits) << name(dtype);
  }
  std::vector<std::int8_t> bytes(256);
  std::iota(bytes.begin(), bytes.end(), static_cast<std::int8_t>(-128));
  const std::vector<float> scale(64, 0.3f), same(64, 0.3f), inverse(64, 1 / 0.3f);
  const auto copied = [&](const Scales& a, const Scales& b) {
    std::vector<std::int8_t> copy(bytes.size());
    convert({bytes.data(), 64, 4, 64, DType::kI8, a}, {copy.data(), 64, 4, 64, DType::kI8, b});
    return copy;
  };
  EXPECT_EQ(copied({}, {}), bytes);
  EXPECT_EQ(copied({scale.data(), inverse.data()}, {scale.data(), inverse.data()}), bytes);
  EXPECT_EQ(copied({scale.data(), inverse.data()}, {same.data(), inverse.data()}), bytes);
}

}  // namespace
}  // namespace voxshift
