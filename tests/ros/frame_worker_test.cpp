// The newest frame waits, older ones are dropped, all are counted; a frame that fails is not the last.
#include <gtest/gtest.h>
#include <voxshift/ros/frame_worker.h>
#include <voxshift/tensor/error.h>

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <vector>

namespace voxshift::ros {
namespace {

using namespace std::chrono_literals;

TEST(LatestFrame, TheNewestWaits) {
  LatestFrame<int> place;
  for (const int frame : {1, 2, 3}) EXPECT_TRUE(place.give(frame));
  EXPECT_EQ(place.take(), 3);
  place.give(4);
  EXPECT_EQ(place.take(), 4);
  const auto counts = place.counts();
  EXPECT_EQ(counts.given, 4);
  EXPECT_EQ(counts.taken, 2);
  EXPECT_EQ(counts.dropped, 2);
}

TEST(LatestFrame, AClosedPlaceGivesWhatWaitsAndTakesNothing) {
  LatestFrame<int> place;
  place.give(1);
  place.close();
  EXPECT_FALSE(place.give(2));
  EXPECT_EQ(place.take(), 1);
  EXPECT_EQ(place.take(), std::nullopt);
  EXPECT_EQ(place.counts().dropped, 1);
}

TEST(LatestFrame, AFrameThatIsDroppedIsLetGo) {
  LatestFrame<std::shared_ptr<int>> place;
  const auto first = std::make_shared<int>(1);
  place.give(first);
  EXPECT_EQ(first.use_count(), 2);
  place.give(std::make_shared<int>(2));
  EXPECT_EQ(first.use_count(), 1);
}

TEST(LatestFrame, ManyThreadsLoseNoFrameUncounted) {
  constexpr int kFrames = 20000, kGivers = 3, kTakers = 2;
  LatestFrame<int> place;
  std::atomic<std::int64_t> taken{0};
  std::atomic<bool> in_order{true};
  std::vector<std::thread> takers, givers;
  for (int t = 0; t < kTakers; ++t)
    takers.emplace_back([&] {
      std::vector<int> last(kGivers, -1);
      while (const auto frame = place.take()) {
        ++taken;
        int& before = last[static_cast<std::size_t>(*frame / kFrames)];
        if (*frame % kFrames <= before) in_order = false;  // of one giver each frame is newer, and comes once
        before = *frame % kFrames;
      }
    });
  for (int g = 0; g < kGivers; ++g)
    givers.emplace_back([&place, g] {
      for (int f = 0; f < kFrames; ++f) place.give(g * kFrames + f);
    });
  for (std::thread& giver : givers) giver.join();
  place.close();
  for (std::thread& taker : takers) taker.join();
  const auto counts = place.counts();
  EXPECT_EQ(counts.given, kGivers * kFrames);
  EXPECT_EQ(counts.taken, taken);
  EXPECT_EQ(counts.taken + counts.dropped, counts.given);
  EXPECT_TRUE(in_order);
}

TEST(FrameWorker, WorksOnTheFirstAndThenOnTheNewest) {
  std::vector<int> worked;
  std::promise<void> started, released;
  FrameWorker<int> worker(
      [&](int& frame) {
        worked.push_back(frame);
        if (frame != 1) return;
        started.set_value();
        released.get_future().wait();
      },
      [](const std::string&) {});
  worker.give(1);
  started.get_future().wait();
  for (const int frame : {2, 3, 4, 5}) worker.give(frame);
  released.set_value();
  worker.finish();
  EXPECT_EQ(worked, (std::vector<int>{1, 5}));
  EXPECT_FALSE(worker.give(6));
  const FrameReport report = worker.report();
  EXPECT_EQ(report.given, 6);
  EXPECT_EQ(report.done, 2);
  EXPECT_EQ(report.dropped, 4);
  EXPECT_EQ(report.failed, 0);
  EXPECT_EQ(report.latency.times().count(), 2);
}

TEST(FrameWorker, AFrameThatFailsIsToldAndNotTheLast) {
  std::vector<int> worked;
  std::vector<std::string> told;
  std::promise<void> failed;
  FrameWorker<int> worker(
      [&](int& frame) {
        if (frame == 1) throw InvalidArgument("[cloud2] is bad");
        worked.push_back(frame);
      },
      [&](const std::string& text) {
        told.push_back(text);
        failed.set_value();
      });
  worker.give(1);
  failed.get_future().wait();
  worker.give(2);
  worker.finish();
  EXPECT_EQ(worked, std::vector<int>{2});
  EXPECT_EQ(told, std::vector<std::string>{"[cloud2] is bad"});
  const FrameReport report = worker.report();
  EXPECT_EQ(report.failed, 1);
  EXPECT_EQ(report.done, 1);
  EXPECT_EQ(report.latency.times().count(), 1);
}

TEST(FrameWorker, LatencyIsFromGivingToTheEndOfTheWork) {
  std::atomic<std::int64_t> now{1000};
  FrameWorker<int> worker([&](int& ms) { now += ms * 1'000'000; }, [](const std::string&) {}, 100ms,
                          [&] { return std::chrono::nanoseconds(now); });
  std::int64_t done = 0;
  for (const int ms : {40, 100, 101, 250}) {
    worker.give(ms);
    ++done;
    while (worker.report().done < done) std::this_thread::yield();
  }
  const FrameReport report = worker.report();
  EXPECT_EQ(report.latency.late(), 2);
  EXPECT_EQ(report.latency.times().least(), 40ms);
  EXPECT_EQ(report.latency.times().most(), 250ms);
  EXPECT_EQ(report.text().substr(0, 66), "4 given, 0 dropped, 0 failed; 4 frames, 2 later than 100.0 ms; p50");
}

TEST(FrameWorker, TheOneThatWaitsIsDoneBeforeTheEnd) {
  int last = 0;
  {
    FrameWorker<std::unique_ptr<int>> worker([&](std::unique_ptr<int>& frame) { last = *frame; },
                                             [](const std::string&) {});
    for (int frame = 1; frame <= 100; ++frame) worker.give(std::make_unique<int>(frame));
  }
  EXPECT_EQ(last, 100);
}

TEST(FrameWorker, ABudgetOfNothing) {
  EXPECT_THROW(FrameWorker<int>([](int&) {}, [](const std::string&) {}, 0ms), InvalidArgument);
}

}  // namespace
}  // namespace voxshift::ros
