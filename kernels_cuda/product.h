// The matrix product under convolutions and linear layers: rows picked by a map, times weights, with an epilogue.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/kernels_cuda/row_table.h>
#include <voxshift/kernels_cuda/weights.h>
#include <voxshift/tensor/epilogue.h>

#include <cstdint>

namespace voxshift::cuda {

/// out[o] = act(sum_k in[table[o, k]] W[k] + bias + residual[o]): one accumulator per output, offsets in order, then
/// input channels, so that tiles do not change the bits. f16 is summed in f32; f32 is multiplied to its own precision;
/// i8 as QuantizedWeights says.
void product(const Queue& queue, const ConstRowView& in, const RowTable& table, const DeviceWeights& weights,
             const Epilogue& epilogue, const RowView& out);

}  // namespace voxshift::cuda
