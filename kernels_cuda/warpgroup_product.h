// The product of f16 rows by Hopper's warpgroups.
#pragma once

#include <voxshift/kernels_cuda/product_operands.h>
#include <voxshift/kernels_cuda/queue.h>

namespace voxshift::cuda {

/// product() of rows in whole chunks, with the same order of sums, tiles `split` or not; false, and nothing is done,
/// where the device has no warpgroups or the library was not built for them.
bool warpgroup_product(const Queue& queue, const ProductOperands<half_t, Rows<const half_t>, Rows<half_t>>& x,
                       bool split);

}  // namespace voxshift::cuda
