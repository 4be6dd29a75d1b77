// Parallel loops of the CPU kernels, on the threads of the context.
#pragma once

#include <voxshift/tensor/runtime.h>

#include <algorithm>
#include <cstdint>

namespace voxshift::cpu {

/// The context for about `macs` multiply-adds in all: the calling thread alone where they take no longer than handing a
/// part of them over, a microsecond or two.
inline Context for_work(Context context, std::int64_t macs) {
  constexpr std::int64_t kHandOver = std::int64_t{64} << 10;
  if (macs < kHandOver) context.threads = 1;
  return context;
}

/// Calls body(task, thread) for every task of [0, tasks) on the threads of the context, as ThreadPool::run does.
template <class Body>
void parallel_for(const Context& context, std::int64_t tasks, const Body& body) {
  if (context.threads <= 1 || tasks <= 1) {
    for (std::int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  ThreadPool& pool = context.pool != nullptr ? *context.pool : ThreadPool::process();
  pool.run(
      context.threads, tasks,
      [](const void* b, std::int64_t task, int thread) { (*static_cast<const Body*>(b))(task, thread); }, &body);
}

/// Splits [0, n) into pieces of `grain` and calls body(first, last, piece) for each. A piece should be worth some
/// microseconds: that is what handing it to another thread costs, and what fits one piece stays with the caller.
template <class Body>
void parallel_ranges(const Context& context, std::int64_t n, std::int64_t grain, const Body& body) {
  parallel_for(context, (n + grain - 1) / grain, [&](std::int64_t piece, int) {
    const std::int64_t first = piece * grain;
    body(first, std::min(first + grain, n), piece);
  });
}

}  // namespace voxshift::cpu
