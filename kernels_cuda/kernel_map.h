// Kernel maps on the device.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/tensor/kernels.h>

namespace voxshift::cuda {

/// CoordinateKernels::maps.
void kernel_maps(const Queue& queue, std::span<const MapRequest> requests, Arena& result,
                 std::span<KernelMapViews> views);

/// The pairs of a map, offset by offset and ascending in out rows.
struct PairLists {
  const std::int32_t *in, *out;  ///< [pairs]
  const std::int64_t* starts;    ///< [volume + 1], device memory
};

/// In the queue's arena, with room for out_rows * volume pairs.
PairLists pair_lists(const Queue& queue, const KernelMapView& map);

std::int64_t pair_count(const Queue& queue, const KernelMapView& map);
void list_pairs(const Queue& queue, const KernelMapView& map, std::int32_t* pairs);

}  // namespace voxshift::cuda
