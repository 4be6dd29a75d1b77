// The library of dense products: cuBLASLt (dense_cublas.cu), in the emulation plain loops, and none where a build knows
// none (no_dense_library.cu).
#pragma once

#include <voxshift/kernels_cuda/dense_call.h>
#include <voxshift/kernels_cuda/queue.h>

namespace voxshift::cuda {

/// Queues the call. False, and nothing was queued, where there is no library or no algorithm for such a call: that
/// depends on the machine, on shapes, dtypes and alignments, of a product not on the number of rows.
bool library_multiplies(const Queue&, const DenseProduct&);
bool library_multiplies(const Queue&, const DenseGradient&);

/// Of the queue's device: 90 for sm_90; 0 in the emulation.
int architecture(const Queue&);

}  // namespace voxshift::cuda
