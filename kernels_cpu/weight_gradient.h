// The gradient of a weight: the sum of in[i]^T grad[o] over the pairs (i, o) of each offset.
#pragma once

#include <voxshift/kernels_cpu/pair_lists.h>
#include <voxshift/tensor/row_view.h>
#include <voxshift/tensor/runtime.h>

#include <cstdint>

namespace voxshift::cpu {

/// out[k] = A_k^T G_k, f32 [volume, in.channels, grad.channels]: sums of in[i]^T grad[o] over the pairs (i, o) of list
/// k in order, which ascends in both columns. Null columns of a list stand for the rows 0 .. count - 1. The rows are
/// cut into parts by their number and the weights' alone, whose sums are added in order: the same bits for any number
/// of threads.
void weight_gradient(const Context& context, const ConstRowView& in, const ConstRowView& grad, const PairList* lists,
                     int volume, float* out);

}  // namespace voxshift::cpu
