// Tensors as f16 or bf16 in files, f32 on the host.
#include <voxshift/graph/safetensors.h>
#include <voxshift/tensor/half.h>

#include <algorithm>
#include <cmath>

namespace voxshift {
namespace {

constexpr float kLargestHalf = 65504;

Array narrowed(const std::string& name, const Array& tensor, DType dtype) {
  Array result(tensor.shape(), dtype);
  auto* to = static_cast<std::uint16_t*>(result.memory());
  for (const float x : tensor.values<float>()) {
    check(dtype == DType::kBF16 || std::abs(x) <= kLargestHalf, "[save] tensor \"", name, "\" has the value ", x,
          ", beyond f16's +-65504");
    *to++ = dtype == DType::kF16 ? to_half(x) : to_bfloat(x);
  }
  return result;
}

Array widened(const Array& tensor) {
  if (tensor.dtype() != DType::kF16 && tensor.dtype() != DType::kBF16) return tensor;
  Array wide(tensor.shape(), DType::kF32);
  const auto* from = static_cast<const std::uint16_t*>(tensor.memory());
  const auto widen = tensor.dtype() == DType::kF16 ? from_half : from_bfloat;
  std::transform(from, from + tensor.count(), wide.data<float>(), widen);
  return wide;
}

}  // namespace

std::map<std::string, Array> narrowed(const std::map<std::string, Array>& tensors, DType dtype,
                                      const std::set<std::string>& kept) {
  check(dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16,
        "[save] expected f32, f16 or bf16, found ", voxshift::name(dtype));
  std::map<std::string, Array> result;
  for (const auto& [name, tensor] : tensors) {
    const bool stays = dtype == DType::kF32 || tensor.dtype() != DType::kF32 || kept.contains(name);
    result.emplace(name, stays ? tensor : narrowed(name, tensor, dtype));
  }
  return result;
}

std::map<std::string, Array> widened(const std::map<std::string, Array>& tensors) {
  std::map<std::string, Array> result;
  for (const auto& [name, tensor] : tensors) result.emplace(name, widened(tensor));
  return result;
}

}  // namespace voxshift
