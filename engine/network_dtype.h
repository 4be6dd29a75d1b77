// The dtype that a network runs in.
#pragma once

#include <voxshift/graph/quantized.h>
#include <voxshift/tensor/device.h>
#include <voxshift/tensor/dtype.h>
#include <voxshift/tensor/error.h>

#include <optional>
#include <string>

namespace voxshift {

/// dtype of features and weights on the device: where none is wanted that of an i8 network i8, else f32 on the CPU and
/// f16 on CUDA. Of i8 networks, what has no scale is f32. Throws, naming `op`, BackendUnavailable for one that networks
/// do not run in; InvalidArgument for i8 where the network has no scales.
inline DType network_dtype(const char* op, Device device, std::optional<DType> wanted, const Graph& graph) {
  const bool cpu = device.kind == Device::Kind::kCpu, quantized = is_quantized(graph);
  const DType dtype = wanted.value_or(quantized ? DType::kI8 : cpu ? DType::kF32 : DType::kF16);
  const bool known = dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kI8;
  check<BackendUnavailable>(known, "[", op, "] ", name(device), " runs networks in f32, f16, bf16 or i8, not in ",
                            name(dtype));
  check(dtype != DType::kI8 || quantized, "[", op,
        "] the network has no scales for i8; `voxshift quantize` makes a model that has");
  return dtype;
}

/// What people write for it: "auto" (none), "f32", "f16", "bf16" or "i8". Throws InvalidArgument, which names `op`.
inline std::optional<DType> parse_network_dtype(const char* op, const std::string& word) {
  if (word == "auto") return std::nullopt;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8})
    if (word == name(dtype)) return dtype;
  throw InvalidArgument(std::string("[") + op +
                        "] dtype expects \"auto\", \"f32\", \"f16\", \"bf16\" or \"i8\", found \"" + word + "\"");
}

}  // namespace voxshift
