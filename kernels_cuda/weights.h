// Weights of the CUDA kernels.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/tensor/array.h>
#include <voxshift/tensor/packed_weights.h>

namespace voxshift::cuda {

/// How the numbers given to pack() lie: [volume, in, out], [volume, out, in], or torch's [out, in, volume].
enum class WeightOrder { kInOut, kOutIn, kOutInVolume };

/// weight[k, i, o] lies at data[(k * padded_in + i) * padded_out + o], f32 or f16; the rest is 0. Padded for the chunks
/// in which the products take them, but for the inputs of a 2-D convolution (kOutInVolume), whose products go through
/// the inputs of all offsets without a gap.
struct DeviceWeights final : PackedWeights {
  DeviceWeights(const Context& context, const float* weight, const float* bias_or_null, std::int64_t offsets,
                std::int64_t inputs, std::int64_t outputs, DType dtype, WeightOrder order);

  std::size_t bytes() const override { return data.bytes() + bias.bytes(); }
  const float* bias_or_null() const { return bias.count() > 0 ? bias.data<float>() : nullptr; }

  WeightOrder order;
  std::int64_t padded_in, padded_out;
  Array data;
  Array bias;  ///< f32 [out]; empty: none
};

/// The weights that a kernel of `op` reads; InvalidArgument where they were packed elsewhere, for features of another
/// dtype or for another kind of product, and for other extents. `image`: a 2-D convolution's.
const DeviceWeights& device_weights(const char* op, const PackedWeights& weights, std::int64_t volume,
                                    std::int64_t inputs, std::int64_t outputs, DType dtype, Device device, bool image);

}  // namespace voxshift::cuda
