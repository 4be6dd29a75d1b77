// How far sums of products may be from exact ones on the CPU.
#pragma once

#include <voxshift/kernels_cpu/narrow_product.h>

#include <algorithm>
#include <string>

namespace voxshift {

/// Of `terms` products of numbers of the dtype, as a share of the sum of their sizes: every addition rounds to f32, or
/// to f16 where a CPU multiplies by f16 arithmetic, 64 channels at a time.
inline double rounding_of_sums(DType dtype, double terms) {
  const bool halves = dtype == DType::kF16 && cpu::narrow_product(dtype).name == std::string("NEON f16");
  return terms * 0x1p-24 + (halves ? std::min(terms, 64.0) * 0x1p-11 : 0);
}

}  // namespace voxshift
