// Numbers as f16 in files and on devices, f32 on the host.
#include <voxshift/graph/half.h>
#include <voxshift/graph/safetensors.h>
#include <voxshift/tensor/runtime.h>

#include <bit>
#include <cmath>
#include <cstring>

namespace voxshift {
namespace {

constexpr float kLargestHalf = 65504;

// IEEE 754 binary32 to binary16, to nearest, ties to even, for |x| <= 65504 after rounding.
std::uint16_t to_half(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = bits >> 16 & 0x8000;
  const float size = std::abs(x);
  // Subnormal halves are multiples of 2^-24; 2^-1 has an ulp of 2^-24, so the addition rounds to one.
  if (size < 0x1p-14f)
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(size + 0.5f) - 0x3F000000));
  const std::uint32_t magnitude = bits & 0x7FFFFFFF;
  const std::uint32_t rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
  return static_cast<std::uint16_t>(sign | ((rounded >> 13) - (112 << 10)));
}

Array halved(const std::string& name, const Array& tensor) {
  if (tensor.dtype() != DType::kF32) return tensor;
  Array half(tensor.shape(), DType::kF16);
  auto* to = static_cast<std::uint16_t*>(half.memory());
  for (const float x : tensor.values<float>()) {
    check(std::abs(x) <= kLargestHalf, "[save] tensor \"", name, "\" has the value ", x, ", beyond f16's +-65504");
    *to++ = to_half(x);
  }
  return half;
}

Array widened(const Array& tensor) {
  if (tensor.dtype() != DType::kF16) return tensor;
  Array wide(tensor.shape(), DType::kF32);
  const auto* from = static_cast<const std::uint16_t*>(tensor.memory());
  for (std::int64_t i = 0; i < tensor.count(); ++i) wide.data<float>()[i] = from_half(from[i]);
  return wide;
}

}  // namespace

void copy_floats_to_host(Device device, float* to, const void* from, DType dtype, std::int64_t count) {
  const auto bytes = static_cast<std::size_t>(count) * size_of(dtype);
  if (dtype == DType::kF32) return runtime(device).copy_to_host(device, to, from, bytes);
  // Halves come to the end of the memory: each is read before a float is written over it.
  auto* const floats = reinterpret_cast<unsigned char*>(to);
  const unsigned char* const halves = floats + bytes;
  runtime(device).copy_to_host(device, floats + bytes, from, bytes);
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, halves + i * sizeof(half), sizeof(half));
    const float value = from_half(half);
    std::memcpy(floats + i * sizeof(value), &value, sizeof(value));
  }
}

std::map<std::string, Array> halved(const std::map<std::string, Array>& tensors) {
  std::map<std::string, Array> result;
  for (const auto& [name, tensor] : tensors) result.emplace(name, halved(name, tensor));
  return result;
}

std::map<std::string, Array> widened(const std::map<std::string, Array>& tensors) {
  std::map<std::string, Array> result;
  for (const auto& [name, tensor] : tensors) result.emplace(name, widened(tensor));
  return result;
}

}  // namespace voxshift
