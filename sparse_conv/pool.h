// Pooling on sparse tensors.
#pragma once

#include <voxshift/sparse_conv/conv.h>
#include <voxshift/sparse_conv/pooling.h>

namespace voxshift {

/// out[o] = max, mean or sum of the inputs present in the window of o; coordinates as in conv() with the same
/// kernel_size, stride, dilation, padding and semantics (the other options are not read). The mean divides by the
/// inputs present (MinkowskiEngine's average pooling; spconv's divides likewise).
SparseTensor pool(const SparseTensor& x, Pooling pooling, const ConvOptions& options);

/// Gradient [N, C] of x's features for grad [No, C], that of the features of pool(x, pooling, options): a sum
/// hands grad[o] to every input in its window, a mean 1 / their number of it, a maximum, channel by channel, all of it
/// to the input that has it; among equal ones to the first in the order of the offsets. The kernel map is the one that
/// the forward op left in x's cache. Both have the dtype of x, f32 or, on CUDA, f16 or bf16; sums are f32. Throws
/// InvalidArgument for another grad, and BackendUnavailable for halves where they have no gradients.
Array pool_backward(const SparseTensor& x, const Array& grad, Pooling pooling, const ConvOptions& options);

/// Max, mean or sum over all rows of a batch: [B, C] of x's dtype with B = highest batch + 1; 0 for a batch without
/// rows. Throws InvalidArgument where B is more than 65,536 and more than x has rows.
Array global_pool(const SparseTensor& x, Pooling pooling);

/// Gradient [N, C] of x's features for grad [B, C], that of global_pool(x, pooling). Among equal maxima of a batch the
/// lowest row has it. dtypes and errors are those of pool_backward().
Array global_pool_backward(const SparseTensor& x, const Array& grad, Pooling pooling);

}  // namespace voxshift
