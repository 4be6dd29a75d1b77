// The gradient of a product's weight from rows of halves, on tensor cores.
#pragma once

#include <voxshift/kernels_cuda/kernel_map.h>
#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/tensor/row_view.h>

namespace voxshift::cuda {

/// weight_gradient() of f16 or bf16 rows: products of halves are exact, their sums f32.
void half_weight_gradient(const Queue& queue, const ConstRowView& in, const ConstRowView& grad, const PairLists* lists,
                          int volume, float* out);

}  // namespace voxshift::cuda
