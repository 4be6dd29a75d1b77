// What becomes of the sums of a product: rows of numbers of any dtype, by the epilogue.
#pragma once

#include <voxshift/tensor/epilogue.h>

#include <cstdint>

namespace voxshift::cpu {

/// Rows of sums, each 64-byte aligned and sums_stride numbers, a multiple of 16, after the one before. They are f32 and
/// hold the bias, or int32 sums of i8 products, which `multiplier` (tensor/narrow.h), padded to a multiple of 16, makes
/// numbers of.
struct FinishedRows {
  const Epilogue& epilogue;
  void* sums;
  std::int64_t sums_stride, first, rows;
  const RowView& out;
  const float* multiplier = nullptr;
};

/// out[first + r] = act(sums[r] + residual[first + r]), or act(sums[r]) + residual[first + r], for r of [0, rows): in
/// f32, and rounded once to the dtype of `out`. The sums may be overwritten.
void finish_rows(const FinishedRows& rows);

}  // namespace voxshift::cpu
