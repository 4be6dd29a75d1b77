// What the tests' library in cuBLASLt's place says of the calls that it got.
#pragma once

#include <cstdint>

namespace voxshift {

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
