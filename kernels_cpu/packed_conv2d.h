// Weights of 2-D convolutions on the CPU.
#pragma once

#include <voxshift/kernels_cpu/packed_narrow.h>
#include <voxshift/kernels_cpu/packed_panels.h>
#include <voxshift/kernels_cpu/row_quads.h>
#include <voxshift/tensor/narrow.h>
#include <voxshift/tensor/row_view.h>
#include <voxshift/video/kernels.h>

#include <algorithm>
#include <vector>

namespace voxshift::cpu {

/// A dense convolution as one product: input number (i * kernel + j) * in_channels + c of a row of the panels is tap
/// (i, j), channel c. `bias` [panels * 16] is 0 beyond the last channel.
struct PackedConv2d final : PackedWeights {
  /// weight [out, in, k, k], bias [out] or null. Weights for features of f16 or bf16 are f32 that have been rounded to
  /// the dtype: what the CPU computes in f32.
  PackedConv2d(const float* weight, const float* bias, std::int64_t kernel, std::int64_t inputs, std::int64_t outputs,
               DType features = DType::kF32);
  ~PackedConv2d() override;

  std::size_t bytes() const override;
  std::int64_t panels() const { return panels_of(out_channels); }
  std::int64_t depth() const { return volume * in_channels; }  ///< numbers that one output sums

  const float* panel(std::int64_t p) const { return data + p * depth() * kPanel; }

  DType dtype;  ///< of the features
  float* data;
  float* bias;
};

/// The same of narrow numbers: a matrix [depth, out].
struct PackedNarrowConv2d final : PackedWeights {
  /// weight f32 [out, in, k, k], which is rounded to `dtype`, f16 or bf16; bias [out] or null.
  PackedNarrowConv2d(const Context& context, DType dtype, const float* weight, const float* bias, std::int64_t kernel,
                     std::int64_t inputs, std::int64_t outputs);
  /// Of i8.
  PackedNarrowConv2d(const Context& context, const QuantizedWeights& weights, const float* bias, std::int64_t kernel,
                     std::int64_t inputs, std::int64_t outputs);

  std::size_t bytes() const override { return matrix.bytes() + bias.size() * sizeof(float); }
  std::int64_t panels() const { return matrix.panels(); }
  const NarrowProduct& product() const { return matrix.product; }
  const std::byte* panel(std::int64_t p) const { return matrix.offset(0) + p * matrix.panel_bytes(); }

  PackedNarrow matrix;
  std::vector<float> bias;  ///< [panels * 16], 0 beyond the last channel
  bool finite;              ///< what finite_epilogue() says; false where sums are f32
};

/// data[t * stride() + c] for tap t = i * kernel + j and channel c; row kernel^2 is the bias. 0 beyond the last
/// channel. Of i8 the weights are whole numbers, row kernel^2 is 0, and two more are the multiplier and the bias.
/// Weights of f16 and bf16 are f32 that have been rounded to them.
struct PackedDepthwise final : PackedWeights {
  /// weight f32 [channels, 1, k, k], bias [channels] or null.
  PackedDepthwise(const float* weight, const float* bias, std::int64_t kernel, std::int64_t channels,
                  DType features = DType::kF32);
  PackedDepthwise(const QuantizedWeights& weights, const float* bias, std::int64_t kernel, std::int64_t channels);
  ~PackedDepthwise() override;

  std::size_t bytes() const override;
  std::int64_t stride() const { return panels_of(out_channels) * kPanel; }
  bool whole() const { return dtype == DType::kI8; }
  const float* multiplier() const { return whole() ? data + (volume + 1) * stride() : nullptr; }
  const float* bias() const { return data + (volume + (whole() ? 2 : 0)) * stride(); }
  /// Null where there are none.
  const std::byte* quads(std::int64_t panel) const {
    return whole() && volume == 9
               ? reinterpret_cast<const std::byte*>(data + (volume + 3) * stride()) + panel * kQuadPanelBytes
               : nullptr;
  }

  DType dtype;
  float* data;
  bool finite = false;  ///< what finite_epilogue() says
};

/// Whether features of the dtype become f32 before they are multiplied: the CPU has no instruction for them.
inline bool computed_in_f32(DType dtype) {
  return dtype == DType::kF32 || (dtype != DType::kI8 && narrow_product(dtype).staged_size == sizeof(float));
}

/// The weights of a convolution of f32, or of narrow numbers.
inline const PackedConv2d& conv2d_weights(const char* op, const Conv2dLayer& layer) {
  const std::int64_t volume = layer.window.kernel * layer.window.kernel;
  return packed_as<PackedConv2d>(op, *layer.weights, volume, layer.in_channels, layer.out_channels);
}

inline const PackedNarrowConv2d& narrow_weights(const char* op, const Conv2dLayer& layer) {
  const std::int64_t volume = layer.window.kernel * layer.window.kernel;
  return packed_as<PackedNarrowConv2d>(op, *layer.weights, volume, layer.in_channels, layer.out_channels);
}

/// Throws InvalidArgument where weights for features of `packed` are given others.
inline void check_features(const char* op, DType packed, DType features) {
  check(packed == features, "[", op, "] the weights were packed for ", name(packed), ", found ", name(features));
}

/// The dtype of the features that a dense convolution was packed for.
inline DType features_of(const char* op, const Conv2dLayer& layer) {
  if (const auto* const wide = dynamic_cast<const PackedConv2d*>(layer.weights.get())) return wide->dtype;
  return narrow_weights(op, layer).product().dtype;
}

inline const PackedDepthwise& depthwise_weights(const char* op, const Conv2dLayer& layer) {
  const std::int64_t volume = layer.window.kernel * layer.window.kernel;
  return packed_as<PackedDepthwise>(op, *layer.weights, volume, 1, layer.out_channels);
}

/// The columns of `rows` that panels [panel, last) give.
inline RowView panel_columns(const RowView& rows, std::int64_t panel, std::int64_t last) {
  return rows.columns(panel * kPanel, std::min(last * kPanel, rows.channels) - panel * kPanel);
}

}  // namespace voxshift::cpu
