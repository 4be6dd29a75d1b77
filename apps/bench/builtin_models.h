// The models that are part of the program: VOXSHIFT_BENCH_MODELS of CMake.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace voxshift::bench {

struct BuiltinModel {
  std::string name;
  std::span<const std::byte> bytes;  ///< of the .safetensors file
};

std::span<const BuiltinModel> builtin_models();

}  // namespace voxshift::bench
