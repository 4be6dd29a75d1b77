// Prints the machine's limits: FMA peak and copy bandwidth per number of threads. `peak [THREADS...]`, default 1 and 2.
#include <voxshift/tensor/runtime.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include "limits.h"

int main(int argc, char** argv) try {
  using namespace voxshift;
  std::vector<int> counts;
  for (int i = 1; i < argc; ++i) counts.push_back(std::atoi(argv[i]));
  if (counts.empty()) counts = {1, 2};
  std::printf("%-8s %8s %18s %16s\n", "target", "threads", "FMA peak GFLOP/s", "copy GB/s");
  for (const int threads : counts) {
    check(threads >= 1, "usage: peak [THREADS...]");
    std::printf("%-8s %8d %18.0f %16.1f\n", runtime(Device::cpu()).target(Device::cpu()).c_str(), threads,
                2 * bench::fma_peak(threads) / 1e9, bench::copy_bandwidth(threads) / 1e9);
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "peak: %s\n", error.what());
  return 1;
}
