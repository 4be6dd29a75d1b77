// Rows that numbers select.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/tensor/row_view.h>

namespace voxshift::cuda {

/// RowKernels::above.
void above(const Queue& queue, const ConstRowView& in, float threshold, std::uint8_t* mask);

/// RowKernels::top.
void top(const Queue& queue, const ConstRowView& in, const std::int32_t* segment, std::int64_t count,
         std::uint8_t* mask);

}  // namespace voxshift::cuda
