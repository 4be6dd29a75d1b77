// Products of all rows by one matrix by a library, where dense_choice.h says so and where it can. The bits of such a
// row differ from those of our kernel, but neither the choice nor the library's algorithm looks at the number of rows:
// a row has the same bits alone, in a batch and in a run of rows. Where a row may also be computed in a list, as in
// streams that skip pixels, it is our kernel's (Pixels::listed).
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/kernels_cuda/weights.h>
#include <voxshift/tensor/epilogue.h>

namespace voxshift::cuda {

/// out[i] = act(in[i] W + bias) but for what finish_function() does. False, and nothing was queued: our kernel is to do
/// it. Never with a residual, of i8, or with activations but relu. A bias of f16 rows is rounded to f16.
bool dense_product(const Queue&, const ConstRowView& in, const DeviceWeights& weights, const Epilogue& epilogue,
                   const RowView& out);

/// out = in^T grad, f32 [in.channels, grad.channels], of f32 or f16 rows; false as above.
bool dense_weight_gradient(const Queue&, const ConstRowView& in, const ConstRowView& grad, float* out);

}  // namespace voxshift::cuda
