#include "peak_memory.h"

#include <fstream>
#include <string>

#if __has_include(<sys/resource.h>)
#include <sys/resource.h>
#endif

namespace voxshift::bench {
namespace {

/// /proc/self/status, "VmHWM:   12345 kB".
std::int64_t high_water_mark() {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::int64_t kilobytes = 0;
  while (status >> word)
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  return 0;
}

std::int64_t since_the_start() {
#if __has_include(<sys/resource.h>)
  struct rusage usage {};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
  return usage.ru_maxrss;
#else
  return usage.ru_maxrss * std::int64_t{1024};
#endif
#else
  return 0;
#endif
}

}  // namespace

void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

std::int64_t peak_bytes() {
  const std::int64_t mark = high_water_mark();
  return mark > 0 ? mark : since_the_start();
}

}  // namespace voxshift::bench
