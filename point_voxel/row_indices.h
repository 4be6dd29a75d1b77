// The check that row indices lie in bounds.
#pragma once

#include <voxshift/tensor/array.h>

#include <cstdint>

namespace voxshift {

/// Throws InvalidArgument, with `op` and `what` in front, unless all `indices` i32 lie in [-1, rows): kernels read what
/// an index says.
void check_row_indices(const Array& indices, std::int64_t rows, const char* op, const char* what);

}  // namespace voxshift
