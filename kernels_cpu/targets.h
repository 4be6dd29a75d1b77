// Which instruction set the kernels run on.
#pragma once

#include <cstdint>
#include <string>

namespace voxshift::cpu {

/// Applies the environment variable VOXSHIFT_CPU (avx512, avx2, sse4, neon), once, before the first kernel is picked.
/// Throws InvalidArgument when it names a set that this build or this CPU does not have, BackendUnavailable where the
/// CPU has none that kernels are compiled for.
void choose_target();

/// Throws BackendUnavailable where the CPU has none of Highway's targets `compiled`.
void check_cpu(std::int64_t compiled);

/// "avx512", "avx2", "sse4", "neon".
std::string target_name();

}  // namespace voxshift::cpu
