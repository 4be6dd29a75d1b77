// Reduction of the rows of segments.
#pragma once

#include <voxshift/tensor/kernels.h>

namespace voxshift::cpu {

/// CoordinateKernels::reduce.
void reduce(const Context&, const ConstRowView& in, const std::int32_t* segment, Reduce, const RowView& out);

}  // namespace voxshift::cpu
