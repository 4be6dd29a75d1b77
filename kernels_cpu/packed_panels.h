// Weights of the CPU kernels: panels of 16 output channels, the same on every instruction set.
#pragma once

#include <voxshift/tensor/packed_weights.h>
#include <voxshift/tensor/runtime.h>

#include <cstdint>

namespace voxshift::cpu {

constexpr std::int64_t kPanel = 16;

constexpr std::int64_t panels_of(std::int64_t channels) { return (channels + kPanel - 1) / kPanel; }

/// How the numbers given to pack() lie: [volume, in, out], or [volume, out, in], the transpose of every offset.
enum class WeightOrder { kInOut, kOutIn };

/// weight[k, i, o] lies at data[((k * panels + o / 16) * in_channels + i) * 16 + o % 16]; channels beyond the last are
/// 0.
struct PackedPanels final : PackedWeights {
  PackedPanels(const Context& context, const float* weight, std::int64_t offsets, std::int64_t inputs,
               std::int64_t outputs, WeightOrder order = WeightOrder::kInOut);
  ~PackedPanels() override;

  std::size_t bytes() const override;
  std::int64_t panels() const { return panels_of(out_channels); }
  const float* offset(std::int64_t k) const { return data + k * panels() * in_channels * kPanel; }

  float* data;
};

}  // namespace voxshift::cpu
