// Dense products as a library of them is given them: plain numbers and pointers.
#pragma once

#include <voxshift/tensor/dtype.h>

#include <cstdint>

namespace voxshift::cuda {

/// Rows that a library reads or writes; row i starts i * stride elements after `base`.
template <class Void>
struct DenseRows {
  Void* base;
  std::int64_t stride;
  DType dtype;

  /// The largest power of two, at most 16, whose multiples are all addresses of rows: that of any run of the rows, too.
  std::int64_t alignment() const {
    const auto bits = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(base)) |
                      stride * static_cast<std::int64_t>(size_of(dtype)) | 16;
    return bits & -bits;
  }
};

/// out [rows, columns] = act(in [rows, depth] W [depth, columns] + bias), act(x) = relu ? max(x, 0) : x. `in` and W are
/// f32 or both f16, `out` of that dtype or f32, the bias (null: none) of out's. Sums are f32.
struct DenseProduct {
  std::int64_t rows, depth, columns;
  DenseRows<const void> in, weight;
  const void* bias;
  bool relu;
  DenseRows<void> out;
};

/// out [in_channels, grad_channels] = in^T grad, summed over the rows in f32, `out` without gaps. `in` and `grad` are
/// f32 or both f16.
struct DenseGradient {
  std::int64_t rows, in_channels, grad_channels;
  DenseRows<const void> in, grad;
  float* out;
};

}  // namespace voxshift::cuda
