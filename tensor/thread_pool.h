// The threads that kernels of the CPU run on.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace voxshift {

/// Threads that compute beside the one that calls. A session or stream has a pool of its own or shares one; ops called
/// one by one use the process's. Threads start when they are first needed, stay awake for some microseconds after their
/// work, then sleep, and end with the pool. Results do not depend on them: not on their number, nor on which of them
/// the system lets run. Any thread may call; while one computes, another one that shares the pool computes alone. A
/// child of fork() has threads of its own.
class ThreadPool {
 public:
  static constexpr int kMostThreads = 1024;

  /// Computes on `threads` threads, the calling one among them; on fewer where the system refuses to start one.
  /// `cpus`: the pool's i-th thread stays on processor cpus[i % cpus.size()], i >= 1, and the calling thread is left
  /// where it is; empty: none is pinned. Throws InvalidArgument outside 1..kMostThreads and for a processor that this
  /// process may not use, BackendUnavailable where the system cannot pin threads.
  explicit ThreadPool(int threads, std::vector<int> cpus = {});

  /// Nothing may be running on it.
  ~ThreadPool();

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  /// Ends the pool's threads once they have done what they are at. What runs on it now or later is done by those who
  /// call.
  void close();

  /// Calls call(body, task, thread) once for every task of [0, tasks), with thread in [0, min(threads, this->threads(),
  /// tasks)) and never twice at a time for the same thread; returns when all are done. Thread t begins with the t-th
  /// part of the tasks, so that what one run wrote is still in that core's cache at the next one of as many tasks, and
  /// then takes what others have not begun. `call` must not throw, and must not depend on which thread it is on.
  using Call = void (*)(const void* body, std::int64_t task, int thread);
  void run(int threads, std::int64_t tasks, Call call, const void* body);

  /// That of ops called one by one, for as many threads as they ask for.
  static ThreadPool& process();

 private:
  class Crew;
  struct Registry;

  void replace_crew();

  const int threads_;
  const std::vector<int> cpus_;
  Crew* crew_;  // in a child of fork() another one
};

/// What a session or stream is to compute on: a pool of its own with `count` threads, 0 for num_threads(), or a pool
/// that it shares. Throws InvalidArgument outside 0..ThreadPool::kMostThreads.
class Threads {
 public:
  Threads(int count = 0);                       // NOLINT(google-explicit-constructor)
  Threads(std::shared_ptr<ThreadPool> shared);  // NOLINT(google-explicit-constructor)

  /// The pool that is shared, else a new one.
  std::shared_ptr<ThreadPool> pool() const;

 private:
  int count_ = 0;
  std::shared_ptr<ThreadPool> shared_;
};

/// Threads used by ops called one by one (sessions have their own number). At first the processors that this process
/// may use, or OMP_NUM_THREADS where that is set. Throws InvalidArgument outside 1..ThreadPool::kMostThreads.
void set_num_threads(int threads);
int num_threads();

}  // namespace voxshift
