// Features in f16 and bf16, to and from numbers of tests.
#pragma once

#include <voxshift/rows/kernels.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "device_fixture.h"

namespace voxshift {

/// x to the nearest number of `dtype`, ties to even: f16 has 11 bits and no step below 2^-24, bf16 8 and 2^-133.
inline double rounded(double x, DType dtype) {
  if (dtype == DType::kF32) return static_cast<float>(x);
  int exponent = 0;
  std::frexp(x, &exponent);
  const double step =
      std::ldexp(1.0, dtype == DType::kBF16 ? std::max(exponent - 8, -133) : std::max(exponent - 11, -24));
  return std::nearbyint(x / step) * step;
}
inline oracle::Matrix rounded(oracle::Matrix m, DType dtype) {
  for (double& x : m.values) x = rounded(x, dtype);
  return m;
}

class HalfTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    scratch_ = std::make_unique<Arena>(device());
  }

  Context context() const { return {device(), nullptr, 1, scratch_.get()}; }

  /// The dtype of half(): f16, but in tests that try both.
  DType narrow() const { return narrow_; }
  template <class Test>
  void in_f16_and_bf16(const Test& test) {
    for (const DType dtype : {DType::kF16, DType::kBF16}) {
      SCOPED_TRACE(name(dtype));
      narrow_ = dtype;
      test();
    }
  }

  // Whole numbers of [-8, 8] are themselves in f16 and bf16.
  Array half(const oracle::Matrix& m) const { return converted(array(m), narrow_); }
  Array half(std::size_t rows, std::size_t cols) const {
    return {{static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols)}, narrow_, device()};
  }
  Array converted(const Array& x, DType dtype) const {
    Array result(x.shape(), dtype, device());
    row_kernels(device()).affine(context(), rows_of(x), nullptr, nullptr, {}, {}, rows_of(result));
    return result;
  }

  // All numbers of an array, in one column.
  oracle::Matrix numbers(const Array& x) const {
    const auto values = host<float>(converted(x.reshaped({x.count(), 1}), DType::kF32));
    oracle::Matrix m(values.size(), 1);
    m.values.assign(values.begin(), values.end());
    return m;
  }

  // Exact sums, rounded once.
  void expect_numbers(const Array& actual, const oracle::Matrix& expected, DType dtype) const {
    ASSERT_EQ(actual.dtype(), dtype);
    ASSERT_EQ(actual.count(), static_cast<std::int64_t>(expected.values.size()));
    const oracle::Matrix found = numbers(actual);
    for (std::size_t i = 0; i < found.values.size(); ++i)
      ASSERT_EQ(found.values[i], rounded(expected.values[i], dtype)) << "number " << i;
  }

  // f16 has 11 bits, bf16 8: a result is within 2^-11 or 2^-8 of the f32 one, which is within `slack`.
  void expect_half(const Array& actual, const oracle::Matrix& expected, double slack = 1e-6) const {
    ASSERT_EQ(actual.dtype(), narrow_);
    const double step = narrow_ == DType::kF16 ? 0x1p-11 : 0x1p-8;
    const auto values = host<float>(converted(actual, DType::kF32));
    ASSERT_EQ(values.size(), expected.values.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(values[i], expected.values[i], std::abs(expected.values[i]) * step + slack)
          << "row " << i / expected.cols << ", channel " << i % expected.cols;
  }

 private:
  std::unique_ptr<Arena> scratch_;
  DType narrow_ = DType::kF16;
};

}  // namespace voxshift
