#include <voxshift/kernels_cpu/finish_sums.h>
#include <voxshift/kernels_cpu/packed_conv2d.h>
#include <voxshift/tensor/half.h>

#include <algorithm>
#include <vector>

namespace voxshift::cpu {
namespace {

float rounded_to(DType dtype, float x) {
  if (dtype == DType::kF16) return from_half(to_half(x));
  if (dtype == DType::kBF16) return from_bfloat(to_bfloat(x));
  return x;
}

/// weight [outputs, inputs, taps] as [taps, inputs, outputs].
template <class T>
std::vector<T> by_depth(const T* weight, std::int64_t taps, std::int64_t inputs, std::int64_t outputs) {
  std::vector<T> matrix(static_cast<std::size_t>(taps * inputs * outputs));
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t c = 0; c < inputs; ++c)
      for (std::int64_t t = 0; t < taps; ++t)
        matrix[static_cast<std::size_t>((t * inputs + c) * outputs + o)] = *weight++;
  return matrix;
}

std::vector<float> in_panels(const float* bias, std::int64_t channels) {
  std::vector<float> padded(static_cast<std::size_t>(panels_of(channels) * kPanel));
  if (bias != nullptr) std::copy_n(bias, channels, padded.data());
  return padded;
}

}  // namespace

PackedConv2d::PackedConv2d(const float* weight, const float* given_bias, std::int64_t kernel, std::int64_t inputs,
                           std::int64_t outputs, DType features)
    : PackedWeights(kernel * kernel, inputs, outputs),
      dtype(features),
      data(static_cast<float*>(runtime().allocate(Device::cpu(), bytes()))),
      bias(data + panels() * depth() * kPanel) {
  std::fill_n(data, bytes() / sizeof(float), 0.0f);
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t c = 0; c < inputs; ++c)
      for (std::int64_t t = 0; t < volume; ++t)
        data[(o / kPanel * depth() + t * inputs + c) * kPanel + o % kPanel] = rounded_to(dtype, *weight++);
  if (given_bias != nullptr) std::copy_n(given_bias, outputs, bias);
}

PackedConv2d::~PackedConv2d() { runtime().free(Device::cpu(), data, bytes()); }

std::size_t PackedConv2d::bytes() const {
  return static_cast<std::size_t>(panels() * (depth() + 1) * kPanel) * sizeof(float);
}

PackedNarrowConv2d::PackedNarrowConv2d(const Context& context, DType dtype, const float* weight,
                                       const float* given_bias, std::int64_t kernel, std::int64_t inputs,
                                       std::int64_t outputs)
    : PackedWeights(kernel * kernel, inputs, outputs),
      matrix(context, narrow_product(dtype), by_depth(weight, kernel * kernel, inputs, outputs).data(), 1,
             kernel * kernel * inputs, outputs),
      bias(in_panels(given_bias, outputs)),
      finite(false) {}

PackedNarrowConv2d::PackedNarrowConv2d(const Context& context, const QuantizedWeights& weights, const float* given_bias,
                                       std::int64_t kernel, std::int64_t inputs, std::int64_t outputs)
    : PackedWeights(kernel * kernel, inputs, outputs),
      matrix(context, narrow_product(DType::kI8),
             {by_depth(weights.weight, kernel * kernel, inputs, outputs).data(), weights.multiplier}, 1,
             kernel * kernel * inputs, outputs),
      bias(in_panels(given_bias, outputs)),
      finite(finite_epilogue(weights.multiplier, given_bias, outputs)) {}

PackedDepthwise::PackedDepthwise(const float* weight, const float* given_bias, std::int64_t kernel,
                                 std::int64_t channels, DType features)
    : PackedWeights(kernel * kernel, 1, channels),
      dtype(features),
      data(static_cast<float*>(runtime().allocate(Device::cpu(), bytes()))) {
  std::fill_n(data, bytes() / sizeof(float), 0.0f);
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t t = 0; t < volume; ++t) data[t * stride() + c] = rounded_to(dtype, *weight++);
  if (given_bias != nullptr) std::copy_n(given_bias, channels, data + volume * stride());
}

PackedDepthwise::PackedDepthwise(const QuantizedWeights& weights, const float* given_bias, std::int64_t kernel,
                                 std::int64_t channels)
    : PackedWeights(kernel * kernel, 1, channels),
      dtype(DType::kI8),
      data(static_cast<float*>(runtime().allocate(Device::cpu(), bytes()))) {
  std::fill_n(data, bytes() / sizeof(float), 0.0f);
  const std::int8_t* weight = weights.weight;
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t t = 0; t < volume; ++t) data[t * stride() + c] = *weight++;
  if (quads(0) != nullptr) {
    auto* const bytes = reinterpret_cast<std::int8_t*>(data + (volume + 3) * stride());
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t t = 0; t < volume; ++t)  // tap t = 3 i + j
        bytes[c / kPanel * kQuadPanelBytes + t % 3 * 64 + c % kPanel * 4 + t / 3] = weights.weight[c * volume + t];
  }
  std::copy_n(weights.multiplier, channels, data + (volume + 1) * stride());
  if (given_bias != nullptr) std::copy_n(given_bias, channels, data + (volume + 2) * stride());
  finite = finite_epilogue(multiplier(), bias(), channels);
}

PackedDepthwise::~PackedDepthwise() { runtime().free(Device::cpu(), data, bytes()); }

std::size_t PackedDepthwise::bytes() const {
  const std::int64_t quad_bytes = whole() && volume == 9 ? stride() / kPanel * kQuadPanelBytes : 0;
  return static_cast<std::size_t>((volume + (whole() ? 3 : 1)) * stride()) * sizeof(float) +
         static_cast<std::size_t>(quad_bytes);
}

}  // namespace voxshift::cpu
