// What runs on any CPU: other sources that choose_target() meets are compiled for SSE4.
#include <hwy/targets.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/tensor/error.h>

namespace voxshift::cpu {

void check_cpu(std::int64_t compiled) {
  if ((hwy::SupportedTargets() & compiled) == 0)
    throw BackendUnavailable("[cpu] expected a CPU with SSE4, AVX2, AVX-512 or NEON, found one without");
}

}  // namespace voxshift::cpu
