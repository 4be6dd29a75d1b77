// Kernel maps by cursors over sorted keys.
#pragma once

#include <voxshift/tensor/kernels.h>

namespace voxshift::cpu {

/// One map of CoordinateKernels::maps.
KernelMapViews kernel_map(const Context&, const Level& fine, const Level& coarse, const Window&, Arena& result);

/// CoordinateKernels::pair_count and list_pairs.
std::int64_t pair_count(const KernelMapView& map);
void list_pairs(const KernelMapView& map, std::int32_t* pairs);

}  // namespace voxshift::cpu
