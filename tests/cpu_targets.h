// The instruction set asked for by VOXSHIFT_CPU, and what the compiler's run time says about this CPU.
#pragma once

#include <cstdlib>
#include <string>

namespace voxshift {

inline std::string wanted_cpu_target() {
  const char* text = std::getenv("VOXSHIFT_CPU");
  return text != nullptr ? text : "";
}

inline bool cpu_has(const std::string& target) {
#if defined(__x86_64__)
  if (target == "sse4") return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("aes");
  if (target == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (target == "avx512")
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#elif defined(__aarch64__)
  if (target == "neon") return true;
#endif
  return false;
}

}  // namespace voxshift
