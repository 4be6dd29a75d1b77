// Threads of the CPU: every task once, whoever runs it and whatever becomes of the others.
#include <gtest/gtest.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/thread_pool.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "pool_tasks.h"

namespace voxshift {
namespace {

TEST(ThreadPoolTest, EveryTaskOnce) {
  for (const int size : {1, 2, 3, 5}) {
    ThreadPool pool(size);
    EXPECT_EQ(pool.threads(), size);
    for (const int threads : {1, 2, 4, 7})
      for (const std::int64_t tasks : {0, 1, 2, 3, 8, 1000}) expect_all_done(pool, threads, tasks);
  }
}

TEST(ThreadPoolTest, AMillionRegions) {
  ThreadPool pool(3);
  std::vector<std::int64_t> sums(4);
  for (std::int64_t region = 0; region < 1'000'000; ++region)
    run(pool, 3, 4, [&](std::int64_t task, int) { sums[static_cast<std::size_t>(task)] += region ^ task; });
  for (std::int64_t task = 0; task < 4; ++task) {
    std::int64_t expected = 0;
    for (std::int64_t region = 0; region < 1'000'000; ++region) expected += region ^ task;
    EXPECT_EQ(sums[static_cast<std::size_t>(task)], expected);
  }
}

TEST(ThreadPoolTest, WhatATaskWroteTheCallerReads) {
  ThreadPool pool(4);
  std::vector<std::int64_t> values(4096);
  for (std::int64_t round = 1; round <= 200; ++round) {
    run(pool, 4, 64, [&](std::int64_t task, int) {
      for (std::int64_t i = task * 64; i < (task + 1) * 64; ++i) values[static_cast<std::size_t>(i)] += i * round;
    });
    const std::int64_t sum = std::accumulate(values.begin(), values.end(), std::int64_t{0});
    ASSERT_EQ(sum, 4095 * 4096 / 2 * round * (round + 1) / 2);
  }
}

TEST(ThreadPoolTest, OthersTakeWhatALateThreadLeaves) {
  ThreadPool pool(2);
  // The first task lasts until all others are done: they are done by whoever does not have it.
  std::atomic<int> others{0};
  run(pool, 2, 50, [&](std::int64_t task, int) {
    if (task > 0) ++others;
    while (task == 0 && others < 49) std::this_thread::yield();
  });
  EXPECT_EQ(others, 49);
}

TEST(ThreadPoolTest, ARegionInARegionIsDoneByItsCaller) {
  ThreadPool pool(3);
  std::atomic<int> inner{0}, elsewhere{0};
  run(pool, 3, 6, [&](std::int64_t, int) {
    const auto self = std::this_thread::get_id();
    run(pool, 3, 10, [&](std::int64_t, int thread) {
      ++inner;
      if (thread != 0 || std::this_thread::get_id() != self) ++elsewhere;
    });
  });
  EXPECT_EQ(inner, 60);
  EXPECT_EQ(elsewhere, 0);
}

TEST(ThreadPoolTest, CallersThatShareAPool) {
  ThreadPool pool(2);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int i = 0; i < 500; ++i) wrong += times_done(pool, 2, 17) == std::vector<int>(17, 1) ? 0 : 1;
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ThreadPoolTest, ClosedBeforeDuringAndAfter) {
  ThreadPool unused(4);
  unused.close();
  expect_all_done(unused, 4, 100);

  for (int round = 0; round < 20; ++round) {
    ThreadPool pool(3);
    std::atomic<bool> started{false}, closed{false};
    int wrong = 0;
    std::thread user([&] {
      while (!closed) {
        wrong += times_done(pool, 3, 50) == std::vector<int>(50, 1) ? 0 : 1;
        started = true;
      }
    });
    while (!started) std::this_thread::yield();
    pool.close();
    closed = true;
    user.join();
    EXPECT_EQ(wrong, 0);
    pool.close();
    expect_all_done(pool, 3, 100);
  }
}

TEST(ThreadPoolTest, NumbersThatAreNone) {
  for (const int threads : {-1, 0, 1025, 1'000'000}) {
    EXPECT_THROW(ThreadPool{threads}, InvalidArgument) << threads;
    EXPECT_THROW(set_num_threads(threads), InvalidArgument) << threads;
    if (threads != 0) {
      EXPECT_THROW(Threads{threads}, InvalidArgument) << threads;
    }
  }
  const int before = num_threads();
  set_num_threads(3);
  EXPECT_EQ(num_threads(), 3);
  EXPECT_EQ(Threads().pool()->threads(), 3);
  set_num_threads(before);
}

TEST(ThreadPoolTest, ThreadsAreOwnOrShared) {
  const Threads two(2);
  EXPECT_EQ(two.pool()->threads(), 2);
  EXPECT_NE(two.pool(), two.pool());
  const auto pool = std::make_shared<ThreadPool>(4);
  const Threads shared(pool);
  EXPECT_EQ(shared.pool(), pool);
}

}  // namespace
}  // namespace voxshift
