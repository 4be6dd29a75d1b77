// The one user of OpenMP.
#pragma once

#include <omp.h>

#include <cstdint>

namespace voxshift::cpu {

/// Calls body(task, thread) for every task of [0, tasks) on up to `threads` threads; idle threads take the next task.
/// `body` must not throw, and must not depend on which thread runs it.
template <class Body>
void parallel_for(int threads, std::int64_t tasks, const Body& body) {
  if (threads <= 1 || tasks <= 1) {
    for (std::int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (std::int64_t task = 0; task < tasks; ++task) body(task, omp_get_thread_num());
}

/// Calls body(strip) for every strip of [0, strips), each always on the same one of `threads` threads: what one call
/// wrote is still in that core's cache at the next. `body` must not throw.
template <class Body>
void parallel_strips(int threads, std::int64_t strips, const Body& body) {
  if (threads <= 1 || strips <= 1) {
    for (std::int64_t strip = 0; strip < strips; ++strip) body(strip);
    return;
  }
#pragma omp parallel for schedule(static, 1) num_threads(threads)
  for (std::int64_t strip = 0; strip < strips; ++strip) body(strip);
}

/// Splits [0, n) into pieces of `grain` and calls body(first, last, piece) for each.
template <class Body>
void parallel_ranges(int threads, std::int64_t n, std::int64_t grain, const Body& body) {
  parallel_for(threads, (n + grain - 1) / grain, [&](std::int64_t piece, int) {
    const std::int64_t first = piece * grain;
    body(first, first + grain < n ? first + grain : n, piece);
  });
}

}  // namespace voxshift::cpu
