// Quantiles against sorted times, and the budget.
#include <gtest/gtest.h>
#include <voxshift/ros/latency.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <random>
#include <vector>

namespace voxshift::ros {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

TEST(LatencyHistogram, NothingWithoutTimes) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.quantile(0.5), 0ns);
  EXPECT_EQ(histogram.most(), 0ns);
  EXPECT_EQ(histogram.least(), 0ns);
}

TEST(LatencyHistogram, TakesFixedMemory) { EXPECT_LE(sizeof(LatencyHistogram), 8192U + 32U); }

TEST(LatencyHistogram, QuantilesOfSortedTimes) {
  std::mt19937_64 random(5);
  for (const int bits : {3, 10, 20, 27, 34, 45}) {
    LatencyHistogram histogram;
    std::vector<std::int64_t> times;
    for (int i = 0; i < 1000; ++i) {
      // spread over all magnitudes up to 2^bits
      const auto ns = static_cast<std::int64_t>(random() >> (64 - bits) >> random() % static_cast<unsigned>(bits));
      times.push_back(ns);
      histogram.add(nanoseconds(ns));
    }
    std::ranges::sort(times);
    EXPECT_EQ(histogram.count(), 1000);
    EXPECT_EQ(histogram.least().count(), times.front());
    EXPECT_EQ(histogram.most().count(), times.back());
    for (int permille = 0; permille <= 1000; ++permille) {
      const std::int64_t exact = times[static_cast<std::size_t>(std::max(permille, 1) - 1)];
      const std::int64_t found = histogram.quantile(permille / 1000.0).count();
      ASSERT_GE(found, exact) << permille << " of " << bits;
      ASSERT_LE(found, exact + exact / 32 + 1000) << permille << " of " << bits;
      ASSERT_LE(found, times.back());
    }
  }
}

TEST(LatencyHistogram, FewTimesByNearestRank) {
  LatencyHistogram histogram;
  for (const int us : {10, 20, 30, 40}) histogram.add(std::chrono::microseconds(us));
  EXPECT_EQ(histogram.quantile(0.25), 11us);
  EXPECT_EQ(histogram.quantile(0.26), 21us);
  EXPECT_EQ(histogram.quantile(0.75), 31us);
  EXPECT_EQ(histogram.quantile(0.76), 40us);
  EXPECT_EQ(histogram.quantile(-1), 11us);
  EXPECT_EQ(histogram.quantile(2), 40us);
}

TEST(LatencyHistogram, TimesOutOfItsRange) {
  LatencyHistogram histogram;
  histogram.add(-5ms);
  EXPECT_EQ(histogram.least(), 0ns);
  EXPECT_EQ(histogram.quantile(1), 0ns);
  histogram.add(100h);
  histogram.add(nanoseconds::max());
  EXPECT_EQ(histogram.quantile(1), nanoseconds::max());
  EXPECT_EQ(histogram.count(), 3);
}

TEST(LatencyBudget, CountsWhatIsLate) {
  LatencyBudget latency;
  EXPECT_EQ(latency.budget(), 100ms);
  for (const nanoseconds time : {nanoseconds(99ms), nanoseconds(100ms), nanoseconds(100ms) + 1ns, nanoseconds(3s)})
    latency.add(time);
  EXPECT_EQ(latency.late(), 2);
  EXPECT_EQ(latency.times().count(), 4);
  EXPECT_THROW(LatencyBudget{0ns}, InvalidArgument);
  EXPECT_THROW(LatencyBudget{-1ms}, InvalidArgument);
}

TEST(LatencyBudget, OneLine) {
  LatencyBudget latency(25ms);
  EXPECT_EQ(latency.text(), "0 frames, 0 later than 25.0 ms; p50 0.0 ms, p90 0.0 ms, p99 0.0 ms, most 0.0 ms");
  latency.add(41260us);
  EXPECT_EQ(latency.text(), "1 frames, 1 later than 25.0 ms; p50 41.3 ms, p90 41.3 ms, p99 41.3 ms, most 41.3 ms");
}

}  // namespace
}  // namespace voxshift::ros
