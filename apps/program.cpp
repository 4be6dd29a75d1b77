#include <cstdint>

#include "heap.h"
#include "run_command.h"

// Highway's shared library measures the clock of its own benchmarks whenever a program starts, for 3 ms. This one,
// which the linker finds first, is for them; nobody calls them here.
namespace hwy::platform {
std::uint64_t TimerResolution() { return 1; }  // NOLINT(readability-identifier-naming): Highway's
}  // namespace hwy::platform

int main(int argc, char** argv) {
  voxshift::keep_heap();
  return voxshift::run_command(argc, argv);
}
