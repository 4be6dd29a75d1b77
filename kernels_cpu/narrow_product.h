// Products of narrow numbers, i8, bf16 and f16, as the CPU's instructions do them. Each instruction set that has some
// is a table of functions in a file of its own; narrow_product() picks.
//
// A product goes in three steps, all in the cache. A few dozen input rows are staged: copied into the form that the
// instructions take, in which `group` neighbouring channels are multiplied and summed at once. Register tiles multiply
// them by packed weights and add to rows of sums, int32 or f32. When all offsets have been added, the epilogue makes
// numbers of the sums. Staging costs two instructions per 64 bytes of a row, and every output channel uses them again.
#pragma once

#include <voxshift/kernels_cpu/packed_panels.h>
#include <voxshift/tensor/dtype.h>

#include <cstdint>

namespace voxshift::cpu {

/// sums[r] += staged[r] W for rows r, of all panels.
struct NarrowTile {
  const std::byte* staged;  ///< row r starts at staged + r * NarrowProduct::row_bytes(channels)
  std::int64_t rows;
  std::int64_t channels;   ///< of the inputs
  const std::byte* panel;  ///< the first one of an offset; the others follow, each panel_bytes(channels) long
  std::int64_t panels;
  void* sums;  ///< int32 or f32, 64-byte aligned rows of sums_stride >= 16 * panels numbers
  std::int64_t sums_stride;
  /// Row r adds to row sum_rows[r] - first_sum_row; null: to row r.
  const std::int32_t* sum_rows = nullptr;
  std::int64_t first_sum_row = 0;
  void* scratch = nullptr;  ///< scratch_bytes(channels)
};

/// How one instruction set multiplies numbers of one dtype.
///
/// A panel of weights is a head of 16 int32, what each sum of int32 starts from, and after it weight[i, o] as number
/// (i / group * 16 + o) * group + i % group, 0 where i is beyond the last channel or o beyond the last output.
struct NarrowProduct {
  const char* name;  ///< "AVX-512 VNNI"
  DType dtype;       ///< of features and of weights as they are given
  int group;
  int staged_size;  ///< bytes of a staged number
  int weight_size;  ///< bytes of a packed weight

  /// `to` = the channels of a row, then zeros up to a whole row of row_bytes(channels).
  void (*stage)(const void* from, std::int64_t channels, std::byte* to);

  /// The weights of one panel, weight[i * stride + o] for `outputs` <= 16 of them, i8 or f32.
  void (*pack)(const void* weight, std::int64_t stride, std::int64_t channels, std::int64_t outputs, std::byte* to);

  void (*multiply)(const NarrowTile& tile);

  std::int64_t (*scratch_bytes)(std::int64_t channels) = nullptr;  ///< null: 0

  constexpr std::int64_t groups(std::int64_t channels) const { return (channels + group - 1) / group; }
  /// A multiple of 64.
  constexpr std::int64_t row_bytes(std::int64_t channels) const {
    return (groups(channels) * group * staged_size + 63) / 64 * 64;
  }
  constexpr std::int64_t panel_bytes(std::int64_t channels) const {
    return kPanel * 4 + (groups(channels) * group * kPanel * weight_size + 63) / 64 * 64;
  }
};

/// The fastest that this CPU has for the dtype, or what VOXSHIFT_CPU allows of it; picked once.
const NarrowProduct& narrow_product(DType dtype);

}  // namespace voxshift::cpu
