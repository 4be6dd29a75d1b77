// Batch normalisation in training mode, its gradient, and sums of rows.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/rows/kernels.h>

namespace voxshift::cuda {

void sum_rows(const Queue& queue, const ConstRowView& in, float* out);
void batch_norm(const Queue& queue, const ConstRowView& in, const BatchNormLayer& layer, const ConstRowView& residual,
                const RowView& out, float* mean, float* variance);
void batch_norm_backward(const Queue& queue, const BatchNormBackward& backward, const RowView& grad_in,
                         const RowView& grad_residual, float* grad_weight, float* grad_bias);

}  // namespace voxshift::cuda
