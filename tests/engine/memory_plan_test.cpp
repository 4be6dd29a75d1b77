// Places of buffers in one piece of memory.
#include <gtest/gtest.h>
#include <voxshift/engine/memory_plan.h>

#include <algorithm>
#include <random>

namespace voxshift {
namespace {

Buffer lifetime(int first, int last) { return {0, 1, first, last, DType::kF32}; }

/// Most bytes that are alive at one step: no plan can do with less.
std::int64_t lower_bound(const std::vector<Buffer>& buffers, const std::vector<std::int64_t>& bytes) {
  std::int64_t most = 0;
  for (int step = 0; step < 200; ++step) {
    std::int64_t alive = 0;
    for (std::size_t b = 0; b < buffers.size(); ++b)
      if (buffers[b].first <= step && step <= buffers[b].last) alive += (bytes[b] + 63) / 64 * 64;
    most = std::max(most, alive);
  }
  return most;
}

void expect_valid(const MemoryPlan& plan, std::int64_t total, const std::vector<Buffer>& buffers,
                  const std::vector<std::int64_t>& bytes) {
  for (std::size_t a = 0; a < buffers.size(); ++a) {
    const std::int64_t begin = plan.offset(static_cast<int>(a)), end = begin + bytes[a];
    ASSERT_EQ(begin % 64, 0);
    ASSERT_GE(begin, 0);
    ASSERT_LE(end, total);
    for (std::size_t b = 0; b < a; ++b) {
      const bool together = buffers[a].first <= buffers[b].last && buffers[b].first <= buffers[a].last;
      const std::int64_t other = plan.offset(static_cast<int>(b));
      ASSERT_TRUE(!together || end <= other || other + bytes[b] <= begin || bytes[a] == 0 || bytes[b] == 0)
          << "buffers " << a << " and " << b;
    }
  }
}

TEST(MemoryPlan, NothingNeedsNothing) {
  MemoryPlan plan;
  EXPECT_EQ(plan.place({}, {}), 0);
  EXPECT_EQ(plan.place({lifetime(0, 3)}, {0}), 0);
}

TEST(MemoryPlan, AChainTakesTwoBuffers) {
  std::vector<Buffer> buffers;
  for (int i = 0; i < 10; ++i) buffers.push_back(lifetime(i, i + 1));
  MemoryPlan plan;
  EXPECT_EQ(plan.place(buffers, std::vector<std::int64_t>(10, 640)), 1280);
}

TEST(MemoryPlan, AllAliveTakeTheirSum) {
  MemoryPlan plan;
  EXPECT_EQ(plan.place({lifetime(0, 2), lifetime(2, 2), lifetime(1, 9)}, {64, 100, 1}), 64 + 128 + 64);
}

TEST(MemoryPlan, OneAfterTheOtherTakeTheLargest) {
  MemoryPlan plan;
  EXPECT_EQ(plan.place({lifetime(0, 0), lifetime(1, 1), lifetime(2, 2)}, {64, 6400, 640}), 6400);
}

TEST(MemoryPlan, SmallOnesFillTheGapOfADeadLargeOne) {
  // The skip connection (0) lives throughout, the large one (1) dies before 2 and 3 begin.
  const std::vector<Buffer> buffers{lifetime(0, 9), lifetime(1, 3), lifetime(4, 6), lifetime(5, 7)};
  MemoryPlan plan;
  EXPECT_EQ(plan.place(buffers, {640, 1280, 640, 640}), 640 + 1280);
}

TEST(MemoryPlan, RandomLifetimesNeverOverlap) {
  std::mt19937 random(11);
  MemoryPlan plan;  // used again and again, as a session does
  double worst = 0;
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<Buffer> buffers(1 + random() % 40);
    std::vector<std::int64_t> bytes;
    for (Buffer& b : buffers) {
      b.first = static_cast<int>(random() % 100);
      b.last = b.first + static_cast<int>(random() % (1 + random() % 40));
      bytes.push_back(random() % 8 == 0 ? 0 : static_cast<std::int64_t>(random() % (1 << (random() % 20))));
    }
    const std::int64_t total = plan.place(buffers, bytes), least = lower_bound(buffers, bytes);
    ASSERT_GE(total, least);
    ASSERT_NO_FATAL_FAILURE(expect_valid(plan, total, buffers, bytes));
    if (least > 0) worst = std::max(worst, static_cast<double>(total) / static_cast<double>(least));
  }
  EXPECT_LE(worst, 2.0);  // the greedy order has no better proof; these 300 need less
}

}  // namespace
}  // namespace voxshift
