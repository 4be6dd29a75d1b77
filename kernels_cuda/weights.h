// Weights of the CUDA kernels.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/tensor/array.h>
#include <voxshift/tensor/narrow.h>
#include <voxshift/tensor/packed_weights.h>

namespace voxshift::cuda {

/// How the numbers given to pack() lie: [volume, in, out], [volume, out, in], or torch's [out, in, volume] and, of a
/// depthwise convolution, [channels, 1, volume].
enum class WeightOrder { kInOut, kOutIn, kOutInVolume, kChannelVolume };

/// What reads the weights: products of rows, of images (kOutInVolume), or channel by channel (kChannelVolume).
enum class WeightUse { kRows, kImages, kChannels };

/// weight[k, i, o] lies at data[(k * padded_in + i) * padded_out + o], of i8 products at
/// data[(k * padded_out + o) * padded_in + i]; the rest is 0. Padded for the chunks in which the products take them,
/// but for the inputs of a 2-D convolution, whose products go through the inputs of all offsets without a gap: i8 ones
/// of output o lie at data[o * padded_in + k * inputs + i].
struct DeviceWeights final : PackedWeights {
  DeviceWeights(const Context& context, const float* weight, const float* bias_or_null, std::int64_t offsets,
                std::int64_t inputs, std::int64_t outputs, DType dtype, WeightOrder order);
  DeviceWeights(const Context& context, const QuantizedWeights& weights, const float* bias_or_null,
                std::int64_t offsets, std::int64_t inputs, std::int64_t outputs, WeightOrder order);

  std::size_t bytes() const override { return data.bytes() + bias.bytes() + multiplier.bytes(); }
  const float* bias_or_null() const { return bias.count() > 0 ? bias.data<float>() : nullptr; }
  WeightUse use() const;

  WeightOrder order;
  std::int64_t padded_in, padded_out;
  Array data;        ///< f32, f16, bf16 or i8
  Array bias;        ///< f32 [out]; empty: none
  Array multiplier;  ///< f32 [out] of i8
};

/// The weights that a kernel of `op` reads; InvalidArgument where they were packed elsewhere, for features of another
/// dtype or for another kind of product, and for other extents.
const DeviceWeights& device_weights(const char* op, const PackedWeights& weights, std::int64_t volume,
                                    std::int64_t inputs, std::int64_t outputs, DType dtype, Device device,
                                    WeightUse use);

/// The dtype of the features that the weights are for.
DType dtype_of_weights(const char* op, const PackedWeights& weights);

}  // namespace voxshift::cuda
