#include <voxshift/kernels_cpu/processors.h>

#include <cstdint>

#ifndef _WIN32
#include <pthread.h>
#endif
#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace voxshift::cpu {

#ifdef __linux__

std::vector<int> allowed_processors() {
  std::vector<int> processors;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return processors;
  for (int processor = 0; processor < CPU_SETSIZE; ++processor)
    if (CPU_ISSET(static_cast<std::size_t>(processor), &set)) processors.push_back(processor);
  return processors;
}

void pin_this_thread(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(processor), &set);
  sched_setaffinity(0, sizeof(set), &set);
}

#else

std::vector<int> allowed_processors() { return {}; }

void pin_this_thread(int) {}

#endif

void ask_for_short_slices() {
#if defined(__linux__) && defined(SYS_sched_setattr) && !defined(__ANDROID__)  // Android ends who calls it
  struct {
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime, deadline, period;
  } attributes{};
  constexpr std::uint64_t kShortest = 100'000;  // nanoseconds
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0) return;
  attributes.size = sizeof(attributes);
  attributes.runtime = kShortest;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
#endif
}

#ifdef _WIN32
void at_fork(void (*)(), void (*)(), void (*)()) {}
#else
void at_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) { pthread_atfork(before, in_parent, in_child); }
#endif

}  // namespace voxshift::cpu
