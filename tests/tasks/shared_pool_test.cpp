// Sessions and streams on pools of their own, shared, pinned and closed: the same bits everywhere.
#include <gtest/gtest.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/synth/video.h>
#include <voxshift/tasks/recognizer.h>
#include <voxshift/tasks/segmenter.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace voxshift {
namespace {

using Bytes = std::vector<std::uint8_t>;

// Every fiftieth point: enough for several blocks at the finest level.
Array some_points() {
  const SynthScan scan = synth_lidar(3);
  std::vector<float> points;
  for (std::size_t i = 0; i + 4 <= scan.points.size(); i += 200)
    points.insert(points.end(), scan.points.begin() + static_cast<std::ptrdiff_t>(i),
                  scan.points.begin() + static_cast<std::ptrdiff_t>(i) + 4);
  return Array::from(points, {static_cast<std::int64_t>(points.size() / 4), 4});
}

const Model& lidar_model() {
  static const Model model = Model::create({.arch = "minkunet", .width = 0.125, .seed = 2});
  return model;
}

Bytes scores_of(Segmenter& segmenter, const Array& points) {
  const Array scores = segmenter.segment(points, true).scores;
  const auto* bytes = static_cast<const std::uint8_t*>(scores.memory());
  return {bytes, bytes + scores.bytes()};
}

Bytes scores_on(const Threads& threads, const Array& points) {
  Segmenter segmenter(lidar_model(), Device::cpu(), threads);
  return scores_of(segmenter, points);
}

const VideoNetwork& video_network() {
  static const VideoNetwork network(Model::create({.arch = "tsm-mobilenetv2", .width = 0.25, .classes = 5, .seed = 1}));
  return network;
}

// The logits of two frames, which differ in a part.
Bytes logits_on(const Threads& threads, Skip skip) {
  StreamOptions options;
  options.skip = skip;
  options.threads = threads;
  Recognizer stream(video_network(), options);
  Bytes all;
  for (int f = 0; f < 2; ++f) {
    Array frame({224, 224, 3}, DType::kU8);
    for (std::int64_t i = 0; i < frame.count(); ++i)
      frame.data<std::uint8_t>()[i] =
          static_cast<std::uint8_t>((i * 7 + i / 672 * 13 + (i < 20000 ? f * 31 : 0)) % 251);
    const auto logits = stream.push(frame).logits;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(logits.data());
    all.insert(all.end(), bytes, bytes + logits.size_bytes());
  }
  return all;
}

TEST(SharedPoolTest, TheSameBitsOnAnyPool) {
  const Array points = some_points();
  const Bytes scan = scores_on(1, points), dense = logits_on(1, Skip::kOff), exact = logits_on(1, Skip::kExact);
  EXPECT_EQ(dense, exact);
  const auto shared = std::make_shared<ThreadPool>(3), closed = std::make_shared<ThreadPool>(3);
  closed->close();
  for (const Threads& threads :
       {Threads(2), Threads(3), Threads(7), Threads(shared), Threads(shared), Threads(closed)}) {
    EXPECT_EQ(scores_on(threads, points), scan);
    EXPECT_EQ(logits_on(threads, Skip::kOff), dense);
    EXPECT_EQ(logits_on(threads, Skip::kExact), exact);
  }
}

TEST(SharedPoolTest, SessionsAtOnceOnOnePool) {
  const Array points = some_points();
  const Bytes expected = scores_on(1, points), frames = logits_on(1, Skip::kExact);
  const auto pool = std::make_shared<ThreadPool>(2);
  std::atomic<int> wrong{0};
  std::vector<std::thread> users;
  for (int u = 0; u < 3; ++u)
    users.emplace_back([&, u] {
      for (int i = 0; i < 2; ++i)
        wrong += (u < 2 ? scores_on(pool, points) == expected : logits_on(pool, Skip::kExact) == frames) ? 0 : 1;
    });
  for (std::thread& user : users) user.join();
  EXPECT_EQ(wrong, 0);
}

TEST(SharedPoolTest, AClosedPoolLeavesItsSessionToTheCaller) {
  const Array points = some_points();
  const Bytes expected = scores_on(1, points);
  const auto pool = std::make_shared<ThreadPool>(3);
  Segmenter segmenter(lidar_model(), Device::cpu(), pool);
  EXPECT_EQ(segmenter.session().threads(), 3);
  std::atomic<bool> running{false};
  std::thread closing([&] {
    while (!running) std::this_thread::yield();
    pool->close();
  });
  running = true;
  EXPECT_EQ(scores_of(segmenter, points), expected);
  closing.join();
  EXPECT_EQ(scores_of(segmenter, points), expected);
}

TEST(SharedPoolTest, NegativeThreads) {
  EXPECT_THROW(Segmenter(lidar_model(), Device::cpu(), -1), InvalidArgument);
  EXPECT_THROW(Segmenter(lidar_model(), Device::cpu(), 1'000'000), InvalidArgument);
  StreamOptions options;
  EXPECT_THROW(options.threads = -2, InvalidArgument);
}

}  // namespace
}  // namespace voxshift
