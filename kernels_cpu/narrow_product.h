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

#include <cstddef>
#include <cstdint>
#include <span>

namespace voxshift::cpu {

/// Rows of `channels` narrow numbers that are to be staged.
struct NarrowRows {
  const std::byte* from;     ///< row 0
  std::int64_t stride;       ///< bytes between rows
  const std::int32_t* rows;  ///< [count], or null: the first ones
  std::int64_t count;
  std::int64_t channels;
  std::byte* to;           ///< staged row i goes to to + i * to_stride
  std::int64_t to_stride;  ///< row_bytes(channels) at least
};

/// sums[r] += staged[r] W for rows r, of all panels.
struct NarrowTile {
  const std::byte* staged;     ///< 64-byte aligned
  std::int64_t staged_stride;  ///< bytes from row to row, a multiple of 64
  std::int64_t rows;
  std::int64_t groups;        ///< of the inputs: NarrowProduct::groups(channels)
  const std::byte* panel;     ///< the first one of an offset, 64-byte aligned
  std::int64_t panel_stride;  ///< bytes from panel to panel: panel_bytes(channels)
  std::int64_t panels;
  void*
      sums;  ///< int32 where the product is of i8, else f32: 64-byte aligned rows of sums_stride >= 16 * panels numbers
  std::int64_t sums_stride;
  /// Row r adds to row sum_rows[r] - first_sum_row, every one once; null: to row r.
  const std::int32_t* sum_rows = nullptr;
  std::int64_t first_sum_row = 0;
  void* scratch = nullptr;  ///< 64-byte aligned, scratch_bytes(channels)
  bool fresh = false;       ///< sums[r] = staged[r] W, where NarrowProduct::fresh says that multiply() can
  /// Rows that are likely to be staged next, or null. Picked by index they are no pattern that hardware foresees, so
  /// that they are asked for, a few with every tile.
  const NarrowRows* next = nullptr;
};

/// How one instruction set multiplies numbers of one dtype.
///
/// A panel of weights is a head of 16 int32, added to every row of sums together with the panel, and after it
/// weight[i, o] as number (i / group * 16 + o) * group + i % group, 0 where i is beyond the last channel or o beyond
/// the last output. Weights of i8 are i8, or i16 where weight_size is 2; others have the dtype.
struct NarrowProduct {
  const char* name;  ///< "AVX-512 VNNI"
  DType dtype;       ///< of features and of weights as they are given
  int group;
  int staged_size;  ///< bytes of a staged number
  int weight_size;  ///< bytes of a packed weight
  int zero;  ///< a staged i8 number is this much more than what it stands for: head[o] = -zero * sum_i weight[i, o]
  int staged_rows;  ///< rows that are well staged together: they are used again while they are in the cache

  /// Copies rows; after their channels up to row_bytes() what gives nothing, weights being 0 there.
  void (*stage)(const NarrowRows& rows);

  void (*multiply)(const NarrowTile& tile);
  std::int64_t scratch_channel_bytes = 0;  ///< of NarrowTile::scratch, for each channel

  /// Where weights are widened before they are multiplied: how that is done in advance, for many rows. A panel becomes
  /// one of the product `wide` at `to`.
  const NarrowProduct* wide = nullptr;
  void (*widen)(const std::byte* panel, std::int64_t channels, std::byte* to) = nullptr;

  bool fresh = false;           ///< multiply() knows NarrowTile::fresh
  int head_bytes = kPanel * 4;  ///< or 0: panels have no head

  constexpr std::int64_t groups(std::int64_t channels) const { return (channels + group - 1) / group; }
  /// A multiple of 64.
  constexpr std::int64_t row_bytes(std::int64_t channels) const {
    return (groups(channels) * group * staged_size + 63) / 64 * 64;
  }
  /// A multiple of 64.
  constexpr std::int64_t panel_bytes(std::int64_t channels) const {
    return head_bytes + (groups(channels) * group * kPanel * weight_size + 63) / 64 * 64;
  }
  constexpr std::int64_t scratch_bytes(std::int64_t channels) const { return channels * scratch_channel_bytes; }
};

/// The fastest that this CPU has for the dtype (i8, bf16 or f16), or what VOXSHIFT_CPU allows of it; picked once.
const NarrowProduct& narrow_product(DType dtype);

/// All that this CPU has, the fastest of a dtype first, whatever VOXSHIFT_CPU says; but for those that compute in f32.
std::span<const NarrowProduct* const> narrow_products();

}  // namespace voxshift::cpu
