// Weights of 2-D convolutions on the CPU.
#pragma once

#include <voxshift/kernels_cpu/packed_panels.h>
#include <voxshift/tensor/row_view.h>
#include <voxshift/video/kernels.h>

#include <algorithm>

namespace voxshift::cpu {

/// A dense convolution as one product: input number (i * kernel + j) * in_channels + c of a row of the panels is tap
/// (i, j), channel c. `bias` [panels * 16] is 0 beyond the last channel.
struct PackedConv2d final : PackedWeights {
  /// weight [out, in, k, k], bias [out] or null.
  PackedConv2d(const float* weight, const float* bias, std::int64_t kernel, std::int64_t inputs, std::int64_t outputs);
  ~PackedConv2d() override;

  std::size_t bytes() const override;
  std::int64_t panels() const { return panels_of(out_channels); }
  std::int64_t depth() const { return volume * in_channels; }  ///< numbers that one output sums

  const float* panel(std::int64_t p) const { return data + p * depth() * kPanel; }

  float* data;
  float* bias;
};

/// data[t * stride() + c] for tap t = i * kernel + j and channel c; row kernel^2 is the bias. 0 beyond the last
/// channel.
struct PackedDepthwise final : PackedWeights {
  /// weight [channels, 1, k, k], bias [channels] or null.
  PackedDepthwise(const float* weight, const float* bias, std::int64_t kernel, std::int64_t channels);
  ~PackedDepthwise() override;

  std::size_t bytes() const override;
  std::int64_t stride() const { return panels_of(out_channels) * kPanel; }

  float* data;
};

inline const PackedConv2d& conv2d_weights(const char* op, const Conv2dLayer& layer) {
  const std::int64_t volume = layer.window.kernel * layer.window.kernel;
  return packed_as<PackedConv2d>(op, *layer.weights, volume, layer.in_channels, layer.out_channels);
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
