#include <voxshift/kernels_cpu/packed_conv2d.h>

#include <algorithm>

namespace voxshift::cpu {

PackedConv2d::PackedConv2d(const float* weight, const float* given_bias, std::int64_t kernel, std::int64_t inputs,
                           std::int64_t outputs)
    : PackedWeights(kernel * kernel, inputs, outputs),
      data(static_cast<float*>(runtime().allocate(Device::cpu(), bytes()))),
      bias(data + panels() * depth() * kPanel) {
  std::fill_n(data, bytes() / sizeof(float), 0.0f);
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t c = 0; c < inputs; ++c)
      for (std::int64_t t = 0; t < volume; ++t)
        data[(o / kPanel * depth() + t * inputs + c) * kPanel + o % kPanel] = *weight++;
  if (given_bias != nullptr) std::copy_n(given_bias, outputs, bias);
}

PackedConv2d::~PackedConv2d() { runtime().free(Device::cpu(), data, bytes()); }

std::size_t PackedConv2d::bytes() const {
  return static_cast<std::size_t>(panels() * (depth() + 1) * kPanel) * sizeof(float);
}

PackedDepthwise::PackedDepthwise(const float* weight, const float* bias, std::int64_t kernel, std::int64_t channels)
    : PackedWeights(kernel * kernel, 1, channels),
      data(static_cast<float*>(runtime().allocate(Device::cpu(), bytes()))) {
  std::fill_n(data, bytes() / sizeof(float), 0.0f);
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t t = 0; t < volume; ++t) data[t * stride() + c] = *weight++;
  if (bias != nullptr) std::copy_n(bias, channels, data + volume * stride());
}

PackedDepthwise::~PackedDepthwise() { runtime().free(Device::cpu(), data, bytes()); }

std::size_t PackedDepthwise::bytes() const { return static_cast<std::size_t>((volume + 1) * stride()) * sizeof(float); }

}  // namespace voxshift::cpu
