// Tests of kernels on rows of i8, f16 and bf16, on the CPU: the fixture, and what is expected of rows.
#pragma once

#include <voxshift/tensor/arena.h>
#include <voxshift/tensor/runtime.h>

#include <string>

#include "cpu_targets.h"
#include "narrow_images.h"

namespace voxshift {

using narrow_images::Rows;

constexpr DType kNumberTypes[] = {DType::kI8, DType::kF16, DType::kBF16, DType::kF32};

/// float(a * b) and float(a + b), rounded each, whatever the compiler fuses: products of f32 are exact in double, and
/// so is what decides how their sum is rounded.
inline float times(float a, float b) { return static_cast<float>(static_cast<double>(a) * static_cast<double>(b)); }
inline float plus(float a, float b) { return static_cast<float>(static_cast<double>(a) + static_cast<double>(b)); }
inline float over(float a, float b) { return static_cast<float>(static_cast<double>(a) / static_cast<double>(b)); }

class NarrowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string target = wanted_cpu_target();
    if (!target.empty() && !cpu_has(target)) GTEST_SKIP() << "this CPU has no " << target;
  }

  Context context(int threads = 1) { return {Device::cpu(), nullptr, threads, &arena_}; }

  /// What rows hold of x in channel c: of i8 a whole number.
  static double stored(const Rows& rows, std::int64_t c, float x) {
    if (rows.dtype() == DType::kI8) return narrow_images::whole_of(x, rows.inverse()[c]);
    return narrow_images::as(rows.dtype(), static_cast<double>(x));
  }

  static void expect_number(const Rows& rows, std::int64_t i, std::int64_t c, double expected) {
    const double found = rows.number(i, c);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(found)) << "row " << i << ", channel " << c;
    } else {
      ASSERT_EQ(found, expected) << "row " << i << ", channel " << c << ", " << name(rows.dtype());
    }
  }

  /// Rows hold what `x(row, channel)`, in f32, is in their dtype, and nothing was written beside them.
  template <class X>
  static void expect_rows(const Rows& rows, const X& x) {
    for (std::int64_t i = 0; i < rows.count(); ++i)
      for (std::int64_t c = 0; c < rows.channels(); ++c) expect_number(rows, i, c, stored(rows, c, x(i, c)));
    expect_gaps(rows);
  }

  /// Of sums whose products are fused or not: f16 and bf16 to half a unit in the last place and n 2^-24 of the sum of
  /// sizes, f32 to the latter alone.
  template <class X, class Size>
  static void expect_near_rows(const Rows& rows, const X& x, const Size& size, double terms) {
    for (std::int64_t i = 0; i < rows.count(); ++i)
      for (std::int64_t c = 0; c < rows.channels(); ++c) {
        const double exact = x(i, c), slack = terms * 0x1p-24 * size(i, c);
        const int bits = rows.dtype() == DType::kF16 ? 11 : rows.dtype() == DType::kBF16 ? 8 : 24;
        const double least = rows.dtype() == DType::kF16 ? 0x1p-24 : 0;  // subnormal ones are multiples of it
        const double unit =
            exact == 0 ? 0 : std::max(least, std::ldexp(1.0, std::ilogb(std::abs(exact) + slack) - bits + 1));
        ASSERT_NEAR(rows.number(i, c), exact, unit / 2 + slack) << "row " << i << ", channel " << c;
      }
    expect_gaps(rows);
  }

  static void expect_gaps(const Rows& rows) {
    const auto* memory = static_cast<const unsigned char*>(std::as_const(rows).view().base);
    const std::size_t size = size_of(rows.dtype());
    for (std::int64_t i = 0; i < rows.count(); ++i)
      for (std::size_t b = static_cast<std::size_t>(i * rows.stride() + rows.channels()) * size;
           b < static_cast<std::size_t>((i + 1) * rows.stride()) * size; ++b)
        ASSERT_EQ(memory[b], 0x5A) << "after row " << i;
  }

 private:
  Arena arena_;
};

}  // namespace voxshift
