// Products of narrow rows that are picked by index: staged, multiplied and added to rows of sums.
#pragma once

#include <voxshift/kernels_cpu/packed_narrow.h>
#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/row_view.h>
#include <voxshift/tensor/runtime.h>

#include <cstdint>

namespace voxshift::cpu {

/// Weights as a call multiplies by them: as they were packed, or widened into memory of the arena. With them a thread
/// has memory for staged rows and the tile's scratch.
class NarrowWeights {
 public:
  /// `many`: whether every offset is multiplied by several times.
  NarrowWeights(const Context& context, const PackedNarrow& weights, bool many);

  /// Bytes of one thread, a multiple of 64.
  std::int64_t scratch_bytes() const;

  /// sums[out_rows[p] - first_out] += in[in_rows[p]] times the weights of offset k, for all p of [0, count); null lists
  /// are 0, 1, ... Sums are int32 where features are i8, else f32; their rows are panels * 16 numbers. The next call is
  /// likely to read the rows next[0 .. next_count).
  void multiply(const ConstRowView& in, std::int64_t k, const std::int32_t* in_rows, const std::int32_t* out_rows,
                std::int64_t count, std::int64_t first_out, void* sums, std::byte* scratch,
                const std::int32_t* next = nullptr, std::int64_t next_count = 0) const;

 private:
  const NarrowProduct* product_;
  const std::byte* data_;
  std::int64_t channels_, panels_;
};

/// Sums before the first product: of i8 0, else the bias, or 0.
void start_narrow_sums(const PackedNarrow& weights, const float* bias, std::int64_t rows, void* sums);

}  // namespace voxshift::cpu
