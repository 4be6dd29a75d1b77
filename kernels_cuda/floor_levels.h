// The coordinates of several coarser strides, made from the finest in one pass.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/tensor/kernels.h>

namespace voxshift::cuda {

/// CoordinateKernels::floor_levels.
void floor_levels(const Queue& queue, const Level& fine, std::span<const Window::Extents> strides,
                  std::span<Level> levels);

}  // namespace voxshift::cuda
