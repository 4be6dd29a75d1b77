// A kernel map as CUDA keeps it: by output rows.
#pragma once

#include <voxshift/kernels_cuda/device.h>

#include <cstdint>

namespace voxshift::cuda {

/// KernelMapView::layout of CUDA.
struct RowTable {
  const std::int32_t* table = nullptr;   ///< [out_rows, volume]: in rows, -1 for none; null: row i meets row i
  const std::uint32_t* masks = nullptr;  ///< [out_rows, words]: bit k of a row says whether it has a pair at offset k
  const std::int32_t* order = nullptr;   ///< [out_rows]: rows with similar masks are neighbours; null: as they are
  bool mirrored = false;                 ///< offset k stands in the place of volume - 1 - k

  static constexpr int words(int volume) { return (volume + 31) / 32; }

  /// The row at a place of the order, of so many; -1 beyond the last.
  __device__ std::int32_t row(std::int64_t at, std::int64_t count) const {
    return at >= count ? -1 : order != nullptr ? order[at] : static_cast<std::int32_t>(at);
  }
};

}  // namespace voxshift::cuda
