// Products of narrow rows that are picked by index: staged, multiplied and added to rows of sums.
#pragma once

#include <voxshift/kernels_cpu/packed_narrow.h>
#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/row_view.h>

#include <cstdint>

namespace voxshift::cpu {

/// What a thread needs to multiply rows by some weights: memory for staged rows and the tile's scratch.
class NarrowScratch {
 public:
  /// Bytes of one thread, a multiple of 64.
  static std::int64_t bytes(const PackedNarrow& weights);

  NarrowScratch(const PackedNarrow& weights, std::byte* memory) : weights_(weights), memory_(memory) {}

  /// sums[out_rows[p] - first_out] += in[in_rows[p]] times the weights of offset k, for all p of [0, count); null lists
  /// are 0, 1, ... Sums are int32 where features are i8, else f32; their rows are panels * 16 numbers. The next call is
  /// likely to read the rows next[0 .. next_count).
  void multiply(const ConstRowView& in, std::int64_t k, const std::int32_t* in_rows, const std::int32_t* out_rows,
                std::int64_t count, std::int64_t first_out, void* sums, const std::int32_t* next = nullptr,
                std::int64_t next_count = 0) const;

 private:
  const PackedNarrow& weights_;
  std::byte* memory_;
};

/// Sums before the first product: of i8 0, else the bias, or 0.
void start_narrow_sums(const PackedNarrow& weights, const float* bias, std::int64_t rows, void* sums);

}  // namespace voxshift::cpu
