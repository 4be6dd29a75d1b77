// Pooling on sparse tensors.
#pragma once

#include <voxshift/sparse_conv/conv.h>
#include <voxshift/sparse_conv/pooling.h>

namespace voxshift {

/// out[o] = max, mean or sum of the inputs present in the window of o; coordinates as in conv() with the same
/// kernel_size, stride, dilation, padding and semantics (the other options are not read). The mean divides by the
/// inputs present (MinkowskiEngine's average pooling; spconv's divides likewise).
SparseTensor pool(const SparseTensor& x, Pooling pooling, const ConvOptions& options);

/// Max, mean or sum over all rows of a batch: f32 [B, C] with B = highest batch + 1; 0 for a batch without rows.
Array global_pool(const SparseTensor& x, Pooling pooling);

}  // namespace voxshift
