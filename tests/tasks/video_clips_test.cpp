// Real clips as a stream: what did not change may be left out without a trace.
#include <gtest/gtest.h>
#include <voxshift/tasks/recognizer.h>
#include <voxshift/video/frame_source.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "sanitized.h"

namespace voxshift {
namespace {

constexpr std::int64_t kMostFrames = kSanitized ? 40 : 1000;

class VideoClips : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const char* const data = std::getenv("VOXSHIFT_DATA");
    if (data == nullptr) GTEST_SKIP() << "VOXSHIFT_DATA is not set: no real clips";
    path_ = (std::filesystem::path(data) / "video" / GetParam()).string();
  }

  FrameSource open(const Model& model) const {
    const FrameProfile& profile = *model.profile().frames;
    FrameSourceOptions options;
    options.size = {profile.height, profile.width};
    options.resize = profile.resize;
    return {path_, options};
  }

  std::string path_;
};

Model network_of(double width) {
  ModelSpec spec;
  spec.arch = "tsm-mobilenetv2";
  spec.width = width;
  spec.seed = 6;
  return Model::create(spec);
}

Recognizer stream_of(const VideoNetwork& network, Skip skip, int threads) {
  StreamOptions options;
  options.skip = skip;
  options.threads = threads;
  return Recognizer(network, options);
}

// On another number of threads, too.
TEST_P(VideoClips, exact_gives_the_bits_of_off_on_every_frame) {
  const VideoNetwork network(network_of(0.35));
  Recognizer dense = stream_of(network, Skip::kOff, 2), exact = stream_of(network, Skip::kExact, 1);
  FrameSource source = open(network.model());
  std::int64_t frames = 0;
  float least = 0, most = 0;
  while (const auto frame = frames < kMostFrames ? source.next() : std::nullopt) {
    const FrameResult expected = dense.push(frame->pixels), found = exact.push(frame->pixels);
    ASSERT_EQ(found.logits.size(), expected.logits.size());
    ASSERT_EQ(std::memcmp(found.logits.data(), expected.logits.data(), expected.logits.size_bytes()), 0)
        << "frame " << frames;
    ASSERT_EQ(found.label, expected.label);
    ASSERT_EQ(found.cost.skipped, false);
    ASSERT_LE(found.cost.macs, found.cost.dense_macs);
    if (frames++ == 0) least = most = expected.logits[0];
    least = std::min(least, expected.logits[0]), most = std::max(most, expected.logits[0]);
  }
  EXPECT_GE(frames, std::min<std::int64_t>(kMostFrames, 100));
  EXPECT_GT(most - least, 1e-3f);  // not one answer for all frames
}

INSTANTIATE_TEST_SUITE_P(, VideoClips, testing::Values("bikes.mp4", "carphone.mp4"),
                         [](const auto& test) { return std::filesystem::path(test.param).stem().string(); });

}  // namespace
}  // namespace voxshift
