// Depthwise convolution of sparse tensors.
#pragma once

#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/kernel_map.h>
#include <voxshift/tensor/runtime.h>

namespace voxshift::cpu {

/// SparseConvKernels::depthwise.
void sparse_depthwise(const Context&, const ConstRowView& in, const KernelMapView&, const float* weight,
                      const Epilogue&, const RowView& out);

}  // namespace voxshift::cpu
