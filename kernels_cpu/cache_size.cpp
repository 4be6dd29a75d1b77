#include <voxshift/kernels_cpu/cache_size.h>

#include <algorithm>

#ifdef __linux__
#include <unistd.h>
#endif

namespace voxshift::cpu {
namespace {

/// Of a core's L2 cache, 0 where the system does not tell: of x86 the C library asks the processor.
std::int64_t second_cache_bytes() {
#ifdef _SC_LEVEL2_CACHE_SIZE
  return std::max<std::int64_t>(sysconf(_SC_LEVEL2_CACHE_SIZE), 0);
#else
  return 0;
#endif
}

}  // namespace

std::int64_t block_bytes() {
  static const std::int64_t bytes = [] {
    const std::int64_t cache = second_cache_bytes();
    return cache == 0 ? 256 * 1024 : std::clamp<std::int64_t>(cache / 4, 128 * 1024, 512 * 1024);
  }();
  return bytes;
}

}  // namespace voxshift::cpu
