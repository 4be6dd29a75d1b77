// The gradient of a product's weight.
#pragma once

#include <voxshift/kernels_cuda/kernel_map.h>
#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/tensor/row_view.h>

namespace voxshift::cuda {

/// out[k] = sum over the pairs (i, o) of offset k of in[i]^T grad[o], f32 [volume, in.channels, grad.channels]; null
/// lists: one offset, at which row i meets row i. `in` and `grad` are both f32, both f16 or both bf16; sums are f32.
void weight_gradient(const Queue& queue, const ConstRowView& in, const ConstRowView& grad, const PairLists* lists,
                     int volume, float* out);

}  // namespace voxshift::cuda
