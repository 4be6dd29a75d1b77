// Tasks for tests of thread pools.
#pragma once

#include <gtest/gtest.h>
#include <voxshift/tensor/thread_pool.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace voxshift {

template <class Body>
void run(ThreadPool& pool, int threads, std::int64_t tasks, const Body& body) {
  pool.run(
      threads, tasks,
      [](const void* b, std::int64_t task, int thread) { (*static_cast<const Body*>(b))(task, thread); }, &body);
}

/// How often each task was done; counts tasks that met another one of the same thread as -1.
inline std::vector<int> times_done(ThreadPool& pool, int threads, std::int64_t tasks) {
  const auto most = static_cast<std::size_t>(std::max<std::int64_t>(1, std::min<std::int64_t>(threads, tasks)));
  std::vector<std::atomic<bool>> inside(most);
  std::vector<std::atomic<int>> done(static_cast<std::size_t>(tasks));
  run(pool, threads, tasks, [&](std::int64_t task, int thread) {
    const auto t = static_cast<std::size_t>(thread);
    const bool alone = t < most && !inside[t].exchange(true);
    done[static_cast<std::size_t>(task)] += alone ? 1 : -1000;
    if (t < most) inside[t] = false;
  });
  return {done.begin(), done.end()};
}

inline void expect_all_done(ThreadPool& pool, int threads, std::int64_t tasks) {
  EXPECT_EQ(times_done(pool, threads, tasks), std::vector<int>(static_cast<std::size_t>(tasks), 1))
      << threads << " threads, " << tasks << " tasks";
}

}  // namespace voxshift
