// Sums over rows, channel by channel, and the gradient of batch normalisation.
#pragma once

#include <voxshift/rows/kernels.h>

namespace voxshift::cpu {

/// The methods of RowKernels of these names. Rows are cut into chunks of a fixed size whose sums are added in order, in
/// double precision: the same bits for any number of threads.
void sum_rows(const Context& context, const ConstRowView& in, float* out);
void moments(const Context& context, const ConstRowView& in, float* mean, float* variance);
void batch_norm_backward(const Context& context, const BatchNormBackward& norm, const RowView& grad_in,
                         const RowView& grad_residual, float* grad_weight, float* grad_bias);

}  // namespace voxshift::cpu
