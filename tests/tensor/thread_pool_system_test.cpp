// Threads of the CPU, where the system stops, forks, refuses or pins them.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/sanitizers.h>
#include <voxshift/tensor/thread_pool.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "pool_tasks.h"
#include "sanitized.h"

namespace voxshift {
namespace {

/// Whether `body` ends with 0 in a child of fork().
template <class Body>
bool succeeds_in_child(const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(body() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool all_done_in(ThreadPool& pool, int threads) { return times_done(pool, threads, 100) == std::vector<int>(100, 1); }

constexpr const char* kWhyNoFork =
    "sanitizers do not follow a process with threads through fork(): locks of their allocator may stay held in a child";

TEST(ThreadPoolOfTheSystemTest, ThreadsEndWithTheirPool) {
  const auto threads_now = [] {
    std::int64_t count = 0;
    const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen("/proc/self/status", "r"), fclose);
    char line[256];
    while (file && fgets(line, sizeof line, file.get()) != nullptr) sscanf(line, "Threads: %ld", &count);
    return count;
  };
  // The system counts a thread for a moment after it was joined: asked again until no more than `expected` are left.
  const auto threads_left = [&](std::int64_t expected) {
    for (int asked = 0; threads_now() > expected && asked < 5'000; ++asked) std::this_thread::yield();
    return threads_now();
  };
  std::thread([] {}).join();  // a sanitizer begins a thread of its own beside a process's first one
  const std::int64_t before = threads_left(1);
  if (before == 0) GTEST_SKIP() << "needs /proc/self/status";
  {
    ThreadPool pool(4);
    EXPECT_EQ(threads_now(), before) << "started before they were needed";
    expect_all_done(pool, 4, 100);
    EXPECT_EQ(threads_now(), before + 3);
  }
  EXPECT_EQ(threads_left(before), before);
}

/// A signal's handler in which a thread stands still until it is released, as one does that the system has stopped.
namespace stopping {
std::atomic<int> standing{0}, release{0};
void stand(int) {
  ++standing;
  while (release == 0) usleep(100);
  --standing;
}
void install() {
  release = 0;
  struct sigaction action = {};
  action.sa_handler = stand;
  sigaction(SIGUSR1, &action, nullptr);
}
}  // namespace stopping

TEST(ThreadPoolOfTheSystemTest, AThreadThatStandsStillOutsideIsNotWaitedFor) {
#ifdef VOXSHIFT_TSAN
  GTEST_SKIP()
      << "ThreadSanitizer gives a signal to a thread that calls the C library, not to one that waits in the kernel";
#endif
  stopping::install();
  ThreadPool pool(2);
  std::atomic<pthread_t> helper{};
  std::atomic<bool> known{false};
  run(pool, 2, 2, [&](std::int64_t task, int thread) {
    if (thread == 1) {
      helper = pthread_self();
      known = true;
    }
    while (task == 0 && !known) std::this_thread::yield();
  });
  pthread_kill(helper, SIGUSR1);
  while (stopping::standing == 0) std::this_thread::yield();
  for (int i = 0; i < 100; ++i) expect_all_done(pool, 2, 20);
  stopping::release = 1;
  while (stopping::standing != 0) std::this_thread::yield();
  expect_all_done(pool, 2, 100);
}

TEST(ThreadPoolOfTheSystemTest, AThreadThatStandsStillInsideLosesNothing) {
  stopping::install();
  ThreadPool pool(2);
  std::atomic<int> done{0};
  std::atomic<bool> stopped{false};
  std::thread releaser([&] {
    while (!stopped || stopping::standing == 0 || done < 99) std::this_thread::yield();
    stopping::release = 1;
  });
  run(pool, 2, 100, [&](std::int64_t task, int thread) {
    if (thread == 1 && !stopped.exchange(true)) pthread_kill(pthread_self(), SIGUSR1);
    while (task == 0 && !stopped) std::this_thread::yield();
    ++done;
  });
  EXPECT_EQ(done, 100);
  releaser.join();
}

TEST(ThreadPoolOfTheSystemTest, TheWholeProcessStoppedInARegionAndContinued) {
  if (kSanitized) GTEST_SKIP() << kWhyNoFork;
  int inside[2], go_on[2];
  ASSERT_EQ(pipe(inside), 0);
  ASSERT_EQ(pipe(go_on), 0);
  constexpr int kRounds = 10;
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    ThreadPool pool(3);
    bool right = true;
    for (int round = 0; round < kRounds; ++round) {
      right = right && all_done_in(pool, 3);
      run(pool, 3, 3, [&](std::int64_t task, int) {
        char byte = 'x';
        if (task == 1) right = right && write(inside[1], &byte, 1) == 1 && read(go_on[0], &byte, 1) == 1;
      });
    }
    _exit(right ? 0 : 1);
  }
  int status = -1;
  for (int round = 0; round < kRounds; ++round) {
    char byte = 'x';
    ASSERT_EQ(read(inside[0], &byte, 1), 1);
    kill(child, SIGSTOP);
    ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
    ASSERT_TRUE(WIFSTOPPED(status));
    kill(child, SIGCONT);
    ASSERT_EQ(write(go_on[1], &byte, 1), 1);
  }
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  for (const int file : {inside[0], inside[1], go_on[0], go_on[1]}) close(file);
}

TEST(ThreadPoolOfTheSystemTest, AChildOfForkHasThreadsOfItsOwn) {
  if (kSanitized) GTEST_SKIP() << kWhyNoFork;
  ThreadPool pool(3), closed(3);
  expect_all_done(pool, 3, 100);
  closed.close();
  expect_all_done(ThreadPool::process(), 3, 100);
  const auto works = [&] {
    std::atomic<bool> helped{false};
    run(pool, 3, 2, [&](std::int64_t task, int thread) {
      if (thread > 0) helped = true;
      while (task == 0 && !helped) std::this_thread::yield();
    });
    return all_done_in(pool, 3) && all_done_in(ThreadPool::process(), 3) && all_done_in(closed, 3);
  };
  EXPECT_TRUE(succeeds_in_child(works));
  EXPECT_TRUE(succeeds_in_child([&] { return works() && succeeds_in_child(works); })) << "a child's child";
  expect_all_done(pool, 3, 100);

  // While another thread computes.
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) times_done(pool, 3, 50);
  });
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(succeeds_in_child(works));
  stop = true;
  busy.join();
}

TEST(ThreadPoolOfTheSystemTest, FewerThreadsWhereTheSystemRefuses) {
  if (kSanitized) GTEST_SKIP() << kWhyNoFork;
  EXPECT_TRUE(succeeds_in_child([] {
    if (geteuid() == 0 && setuid(65534) != 0) return false;  // the limit does not hold for root
    const rlimit none{0, 0};
    setrlimit(RLIMIT_NPROC, &none);
    try {
      std::thread([] {}).join();
      return false;  // not refused: the test would show nothing
    } catch (const std::system_error&) {
    }
    ThreadPool pool(4);
    return all_done_in(pool, 4) && all_done_in(pool, 4) && all_done_in(ThreadPool::process(), 2);
  }));
}

TEST(ThreadPoolOfTheSystemTest, PinnedThreadsStayWhereTheyAre) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  int last = CPU_SETSIZE - 1, forbidden = -1;
  while (!CPU_ISSET(static_cast<std::size_t>(last), &allowed)) forbidden = last--;
  ThreadPool pool(2, {last});
  std::atomic<int> elsewhere{0}, there{0};
  for (int round = 0; round < 100; ++round)
    run(pool, 2, 10, [&](std::int64_t task, int thread) {
      cpu_set_t mine;
      if (thread == 1) sched_getaffinity(0, sizeof mine, &mine);
      if (thread == 1)
        ++(CPU_COUNT(&mine) == 1 && CPU_ISSET(static_cast<std::size_t>(last), &mine) ? there : elsewhere);
      while (task == 0 && there + elsewhere == 0) std::this_thread::yield();
    });
  EXPECT_EQ(elsewhere, 0);
  EXPECT_GT(there, 0);
  if (forbidden >= 0) {
    EXPECT_THROW(ThreadPool(2, {last, forbidden}), InvalidArgument);
  }
  EXPECT_THROW(ThreadPool(2, {-1}), InvalidArgument);
  EXPECT_THROW(ThreadPool(2, {1 << 20}), InvalidArgument);
}

}  // namespace
}  // namespace voxshift
