// Gradients of pooling over kernel maps and over segments.
#pragma once

#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/tensor/kernels.h>

namespace voxshift::cpu {

/// SparseConvKernels::pool_backward
void pool_backward(const Context&, const ConstRowView& in, const ConstRowView& grad, const KernelMapViews&, Pooling,
                   const RowView& out);

/// CoordinateKernels::reduce_backward
void reduce_backward(const Context&, const ConstRowView& in, const std::int32_t* segment, Reduce,
                     const ConstRowView& grad, const RowView& out);

}  // namespace voxshift::cpu
