// A kernel map as the CPU keeps it: per offset of the window the list of its pairs.
#pragma once

#include <cstdint>
#include <span>

namespace voxshift::cpu {

/// The pairs of one offset, ascending in `in` and, the map being monotone, ascending in `out` too.
struct PairList {
  const std::int32_t* in;
  const std::int32_t* out;
  std::int64_t count;
};

/// Lists are split at multiples of this many output rows, so that a task finds the pairs of its rows.
constexpr std::int64_t kSplitRows = 256;

/// KernelMapView::layout of the CPU. Since every list ascends in both of its columns, a map and its transpose share
/// their pairs; only the splits differ.
struct PairLists {
  const PairList* pairs;  ///< [volume]

  /// [(ceil(out_rows / kSplitRows) + 1), volume]: in list k the first pair whose out row is at least s * kSplitRows.
  const std::int32_t* splits;
};

/// Where lists start that lie one after the other: starts[k] = pairs of the lists before k. Returns those of all.
inline std::int64_t list_starts(std::span<const PairList> lists, std::int64_t* starts) {
  std::int64_t total = 0;
  for (const PairList& list : lists) {
    *starts++ = total;
    total += list.count;
  }
  return total;
}

}  // namespace voxshift::cpu
