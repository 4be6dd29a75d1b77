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

  // Whole numbers of [-8, 8] are themselves in f16.
  Array half(const oracle::Matrix& m) const { return converted(array(m), DType::kF16); }
  Array half(std::size_t rows, std::size_t cols) const {
    return {{static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols)}, DType::kF16, device()};
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

  // f16 has 11 bits: a result is within 2^-11 of the f32 one, which is within `slack`.
  void expect_half(const Array& actual, const oracle::Matrix& expected, double slack = 1e-6) const {
    ASSERT_EQ(actual.dtype(), DType::kF16);
    const auto values = host<float>(converted(actual, DType::kF32));
    ASSERT_EQ(values.size(), expected.values.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(values[i], expected.values[i], std::abs(expected.values[i]) * 0x1p-11 + slack)
          << "row " << i / expected.cols << ", channel " << i % expected.cols;
  }

 private:
  std::unique_ptr<Arena> scratch_;
};

}  // namespace voxshift
