// Contract of convolution and pooling on sparse tensors.
#pragma once

#include <voxshift/sparse_conv/pooling.h>
#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/kernel_map.h>
#include <voxshift/tensor/packed_weights.h>
#include <voxshift/tensor/runtime.h>

#include <memory>

namespace voxshift {

/// Kernels of sparse convolution; features are f32, on CUDA also f16: all views of a call of one dtype, sums in f32.
class SparseConvKernels {
 public:
  virtual ~SparseConvKernels() = default;

  /// Packs weight f32 [volume, in_channels, out_channels] (device memory, row-major) for features of `dtype`.
  virtual std::shared_ptr<const PackedWeights> pack(const Context&, const float* weight, std::int64_t volume,
                                                    std::int64_t in_channels, std::int64_t out_channels,
                                                    DType dtype) const = 0;

  /// Packs W for f32 from the transposes of its offsets, f32 [volume, out_channels, in_channels].
  virtual std::shared_ptr<const PackedWeights> pack_transposed(const Context&, const float* weight, std::int64_t volume,
                                                               std::int64_t in_channels,
                                                               std::int64_t out_channels) const = 0;

  /// out[o] = act(sum_k sum_{(i, o) in map_k} in[i] W[k] + bias + residual[o]). One accumulator per output element:
  /// offsets in order, then input channels. An output row without pairs is act(bias + residual).
  virtual void conv(const Context&, const ConstRowView& in, const KernelMapView&, const PackedWeights&, const Epilogue&,
                    const RowView& out) const = 0;

  /// out[k] = sum_{(i, o) in map_k} in[i]^T grad[o], f32 [volume, in.channels, grad.channels]: the gradient of conv()'s
  /// weight. That of its input is conv() on the map in the other direction with transposed weights.
  virtual void weight_gradient(const Context&, const ConstRowView& in, const ConstRowView& grad, const KernelMapView&,
                               float* out) const = 0;

  /// out[o] = max, sum or mean of in[i] over all pairs (i, o), offsets in order; the mean divides by the pairs present.
  /// An output row without pairs is 0.
  virtual void pool(const Context&, const ConstRowView& in, const KernelMapView&, Pooling,
                    const RowView& out) const = 0;

  /// out[i] = sum over the pairs (i, o), offsets in order, of i's share of grad[o], the gradient of pool(in)[o]: all of
  /// it for a sum, 1 / the pairs of o for a mean; for a maximum, channel by channel, all of it where i is the first
  /// pair of o, offsets in order, that has the maximum. A row without pairs is 0. `in` is read for the maximum only.
  virtual void pool_backward(const Context&, const ConstRowView& in, const ConstRowView& grad, const KernelMapViews&,
                             Pooling, const RowView& out) const = 0;
};

namespace cpu {
const SparseConvKernels& sparse_conv_kernels();
}
namespace cuda {
const SparseConvKernels& sparse_conv_kernels();
}

inline const SparseConvKernels& sparse_conv_kernels(Device device) {
  return on<SparseConvKernels>(device, cpu::sparse_conv_kernels, cuda::sparse_conv_kernels);
}

}  // namespace voxshift
