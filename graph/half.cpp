// Tensors as f16 in files, f32 on the host.
#include <voxshift/graph/safetensors.h>
#include <voxshift/tensor/half.h>

#include <cmath>

namespace voxshift {
namespace {

constexpr float kLargestHalf = 65504;

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
