// Rows of features as kernels see them: no ownership, any distance between rows.
#pragma once

#include <voxshift/tensor/array.h>

#include <cstdint>
#include <type_traits>

namespace voxshift {

/// What the whole numbers of i8 values stand for: n of -127..127 in channel c is n * scale[c]. inverse[c] = 1 /
/// scale[c], as f32 division gives it. Null for values of other dtypes.
struct Scales {
  const float *scale = nullptr, *inverse = nullptr;  ///< [channels]

  bool operator==(const Scales&) const = default;
};

/// `count` rows of `channels` elements; row i starts `i * row_stride` elements after `base`.
template <class Void>
struct BasicRowView {
  Void* base = nullptr;
  std::int64_t row_stride = 0;
  std::int64_t count = 0;
  std::int64_t channels = 0;
  DType dtype = DType::kF32;
  Scales scales = {};  ///< of i8

  /// The columns [first, first + width) of the same rows.
  BasicRowView columns(std::int64_t first, std::int64_t width) const {
    using Byte = std::conditional_t<std::is_const_v<Void>, const char, char>;
    BasicRowView view = *this;
    view.base = static_cast<Byte*>(base) + first * static_cast<std::int64_t>(size_of(dtype));
    view.channels = width;
    if (scales.scale != nullptr) view.scales = {scales.scale + first, scales.inverse + first};
    return view;
  }

  /// The rows [first, first + number).
  BasicRowView rows(std::int64_t first, std::int64_t number) const {
    BasicRowView view = columns(first * row_stride, channels);
    view.count = number;
    view.scales = scales;
    return view;
  }

  operator BasicRowView<const void>() const { return {base, row_stride, count, channels, dtype, scales}; }
};

using RowView = BasicRowView<void>;
using ConstRowView = BasicRowView<const void>;

/// All rows of an array [N, C].
inline RowView rows_of(Array& array) {
  return {array.memory(), array.dim(1), array.dim(0), array.dim(1), array.dtype()};
}
inline ConstRowView rows_of(const Array& array) {
  return {array.memory(), array.dim(1), array.dim(0), array.dim(1), array.dtype()};
}

}  // namespace voxshift
