// Which instruction set the kernels run on.
#pragma once

#include <string>

namespace voxshift::cpu {

/// Applies the environment variable VOXSHIFT_CPU (avx512, avx2, sse4, neon), once, before the first kernel is picked.
/// Throws InvalidArgument when it names a set that this build or this CPU does not have.
void choose_target();

/// "avx512", "avx2", "sse4", "sse2", "neon".
std::string target_name();

}  // namespace voxshift::cpu
