// Sums over rows, channel by channel, batch normalisation and its gradient.
#pragma once

#include <voxshift/rows/kernels.h>

namespace voxshift::cpu {

/// The methods of RowKernels of these names. Rows are cut into chunks of a fixed size whose sums are added in order, in
/// double precision: the same bits for any number of threads.
void sum_rows(const Context& context, const ConstRowView& in, float* out);
void batch_norm(const Context& context, const ConstRowView& in, const BatchNormLayer& layer,
                const ConstRowView& residual, const RowView& out, float* mean, float* variance);
void batch_norm_backward(const Context& context, const BatchNormBackward& norm, const RowView& grad_in,
                         const RowView& grad_residual, float* grad_weight, float* grad_bias);

}  // namespace voxshift::cpu
