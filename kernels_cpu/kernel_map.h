// Kernel maps by cursors over sorted keys.
#pragma once

#include <voxshift/tensor/kernels.h>

namespace voxshift::cpu {

/// One map of CoordinateKernels::maps.
KernelMapViews kernel_map(const Context&, const Level& fine, const Level& coarse, const Window&, Arena& result);

}  // namespace voxshift::cpu
