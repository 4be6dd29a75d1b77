// What becomes of the sums of a product: numbers of any dtype.
#pragma once

#include <voxshift/tensor/epilogue.h>
#include <voxshift/video/kernels.h>

#include <cstdint>

namespace voxshift::cpu {

/// Row r of `out` is act(sums[r] * multiplier + bias + residual), one operation after the other, for `rows` rows of
/// out.channels sums. Sums, multiplier and bias have whole panels, of which `out` may have a part.
struct FinishSums {
  void* sums;  ///< 64-byte aligned rows of `stride` numbers; spoilt
  std::int64_t stride, rows;
  bool whole = false;                 ///< the sums are int32, else f32
  const float* multiplier = nullptr;  ///< null: 1, of f32
  const float* bias = nullptr;        ///< null: the sums have it
  /// No sum times multiplier plus bias is infinite or NaN (finite_epilogue()).
  bool finite = false;
  const Activation& activation;
  ConstRowView residual = {};                   ///< null base: none
  const std::int32_t* residual_rows = nullptr;  ///< row r of the sums gets this one; null: row r
  RowView out = {};
  const std::int32_t* out_rows = nullptr;  ///< row r goes here; null: to row r
  /// Where `out` is f32: its numbers are whole, to_i8() of what is said above with this inverse. Null: they are not.
  const float* inverse = nullptr;
};

void finish_sums(const FinishSums& sums);

/// Adds columns [column, column + end.out.channels) of the residual at the `end.rows` entries of `pixels` from `first`
/// on; it has a row for every pixel of the image.
inline void add_residual(FinishSums& end, const ConstRowView& residual, const Pixels& pixels, std::int64_t first,
                         std::int64_t column) {
  if (residual.base == nullptr) return;
  end.residual = residual.columns(column, end.out.channels);
  if (pixels.rows != nullptr) {
    end.residual_rows = pixels.rows + first;
  } else {
    end.residual = end.residual.rows(first, end.rows);
  }
}

/// Whether q * multiplier[o] + bias[o] is finite for every int32 q.
bool finite_epilogue(const float* multiplier, const float* bias, std::int64_t channels);

}  // namespace voxshift::cpu
