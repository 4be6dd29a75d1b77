// Threads of ops that are called one by one.
#include <voxshift/tensor/runtime.h>

#include <atomic>
#include <cstdlib>
#include <thread>

namespace voxshift {
namespace {

int default_threads() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  const int wanted = text ? std::atoi(text) : 0;
  if (wanted > 0) return wanted;
  const unsigned processors = std::thread::hardware_concurrency();
  return processors > 0 ? static_cast<int>(processors) : 1;
}

std::atomic<int>& threads() {
  static std::atomic<int> count{default_threads()};
  return count;
}

}  // namespace

void set_num_threads(int count) {
  constexpr int kMostThreads = 1024;  // OpenMP ends the process where the system refuses a thread
  check(count >= 1 && count <= kMostThreads, "[set_num_threads] expected 1 to ", kMostThreads, " threads, found ",
        count);
  threads() = count;
}

int num_threads() { return threads(); }

void set_memory_cache(std::size_t bytes, Device device) { runtime(device).set_memory_cache(device, bytes); }

}  // namespace voxshift
