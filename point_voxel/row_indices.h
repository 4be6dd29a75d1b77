// Rows that are named by index.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cstdint>

namespace voxshift {

/// Throws InvalidArgument, with `op` and `what` in front, unless all `indices` i32 lie in [-1, rows): kernels read what
/// an index says.
inline void check_row_indices(const Array& indices, std::int64_t rows, const char* op, const char* what) {
  const Array host = indices.to(Device::cpu());
  std::int32_t lowest = 0, highest = -1;  // of all: a loop without an exit becomes vector code
  for (const std::int32_t row : host.values<std::int32_t>()) {
    lowest = std::min(lowest, row);
    highest = std::max(highest, row);
  }
  if (lowest >= -1 && highest < rows) return;
  const auto values = host.values<std::int32_t>();
  const auto wrong = std::find_if(values.begin(), values.end(), [rows](std::int32_t i) { return i < -1 || i >= rows; });
  const std::int64_t at = wrong - values.begin(), width = indices.dim(1);
  check(false, "[", op, "] ", what, to_string(indices.rank() == 2 ? Shape{at / width, at % width} : Shape{at}),
        " must lie in [-1, ", rows, "), found ", *wrong);
}

}  // namespace voxshift
