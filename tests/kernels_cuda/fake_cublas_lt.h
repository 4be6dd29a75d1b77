// What the tests' library in cuBLASLt's place says of the calls that it got.
#pragma once

#include <voxshift/tensor/half.h>

#include <cstdint>

namespace voxshift {

/// A number of f16: GCC 11 has no type for it in C++.
struct FakeHalf {
  std::uint16_t bits = 0;

  FakeHalf() = default;
  explicit FakeHalf(float x) : bits(to_half(x)) {}
  explicit operator float() const { return from_half(bits); }
};

struct FakeReport {
  int asked = 0;                ///< for algorithms
  std::int64_t rows_asked = 0;  ///< the last time
  int compute = 0;              ///< the last cublasComputeType_t asked for
  std::uint32_t reductions = 0;
  int algorithm = 0;  ///< the last one that ran
  void* stream = nullptr;
  int alive = 0;  ///< descriptions that were not destroyed
};

}  // namespace voxshift
