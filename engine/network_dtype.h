// The dtype of a network's features and weights: f32, or f16 on CUDA.
#pragma once

#include <voxshift/tensor/device.h>
#include <voxshift/tensor/dtype.h>
#include <voxshift/tensor/error.h>

#include <optional>
#include <string>

namespace voxshift {

/// dtype of features and weights on the device: where none is wanted f32 on the CPU, f16 on CUDA. Throws
/// BackendUnavailable, which names `op`, for one that the device has not: f16 on the CPU.
inline DType network_dtype(const char* op, Device device, std::optional<DType> wanted) {
  const bool cpu = device.kind == Device::Kind::kCpu;
  const DType dtype = wanted.value_or(cpu ? DType::kF32 : DType::kF16);
  check<BackendUnavailable>(dtype == DType::kF32 || (dtype == DType::kF16 && !cpu), "[", op, "] ", name(device),
                            " runs networks in f32", cpu ? "" : " or f16", ", not in ", name(dtype));
  return dtype;
}

/// What people write for it: "auto" (none), "f32" or "f16". Throws InvalidArgument, which names `op`.
inline std::optional<DType> parse_network_dtype(const char* op, const std::string& word) {
  check(word == "auto" || word == "f32" || word == "f16", "[", op,
        "] dtype expects \"auto\", \"f32\" or \"f16\", found \"", word, "\"");
  if (word == "auto") return std::nullopt;
  return word == "f16" ? DType::kF16 : DType::kF32;
}

}  // namespace voxshift
