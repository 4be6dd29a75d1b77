// Limits of the machine: the peak is the runtime's own, the bandwidth that of memcpy.
#include "limits.h"

#include <voxshift/tensor/runtime.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <thread>
#include <vector>

namespace voxshift::bench {

double fma_peak(int threads) { return runtime(Device::cpu()).fma_peak(Device::cpu(), threads); }

double copy_bandwidth(int threads) {
  constexpr std::size_t kBytes = std::size_t{1} << 28;  // beyond the last-level caches of today
  static const std::vector<std::byte> from(kBytes, std::byte{1});
  static std::vector<std::byte> to(kBytes);
  const std::size_t share = kBytes / static_cast<std::size_t>(threads);
  double best = 0;
  for (int repeat = 0; repeat < 4; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    {
      std::vector<std::jthread> workers;  // joined at the end of the block
      for (int t = 0; t < threads; ++t)
        workers.emplace_back(
            [&, first = share * static_cast<std::size_t>(t)] { std::memcpy(&to[first], &from[first], share); });
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * static_cast<double>(share) * threads / seconds.count());
  }
  return best;
}

}  // namespace voxshift::bench
