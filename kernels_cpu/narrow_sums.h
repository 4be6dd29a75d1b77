// Rows that become one, by their maximum or their sum, where not all numbers are f32.
#pragma once

#include <voxshift/tensor/row_view.h>

#include <cstdint>

namespace voxshift::cpu {

/// Maxima and sums of numbers are f32. Sums of i8 are of whole numbers, int32, which are exact: the order of the rows
/// changes nothing, and the scale multiplies once. More rows than kMostWholeRows could be too much for int32.
struct Merging {
  bool max = false;
  bool whole = false;

  static constexpr std::int64_t kMostWholeRows = std::int64_t{1} << 24;

  Merging(const ConstRowView& in, bool is_max, std::int64_t rows)
      : max(is_max), whole(!is_max && in.dtype == DType::kI8 && rows <= kMostWholeRows) {}
};

/// Rows on their way: row r of `rows` is the merger of present[r] rows, f32 or int32.
struct MergedRows {
  void* rows;
  std::int64_t stride;    ///< numbers of 4 bytes
  std::int32_t* present;  ///< 0 to begin with
};

/// merged[out_rows[p] - first_out] takes in row in_rows[p] of `in`, for p of [0, count) in order. out_rows null: all go
/// to row 0.
void merge_rows(const ConstRowView& in, Merging merging, const std::int32_t* in_rows, const std::int32_t* out_rows,
                std::int64_t count, std::int64_t first_out, const MergedRows& merged);

/// out[first + r] = merged[r], divided by present[r] where `mean`, for r of [0, rows); without rows 0.
void finish_merged(const MergedRows& merged, const ConstRowView& in, Merging merging, bool mean, const RowView& out,
                   std::int64_t first, std::int64_t rows);

}  // namespace voxshift::cpu
