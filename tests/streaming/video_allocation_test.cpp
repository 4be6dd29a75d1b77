// A stream calls the allocator for nothing once it has seen a frame.
#include <voxshift/tensor/half.h>

#include "counting_allocator.h"
#include "video_cases.h"

namespace voxshift {
namespace {

class VideoAllocation : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!kCanCount) GTEST_SKIP() << "a sanitizer, or another libc than glibc, has the allocator";
  }
};

INSTANTIATE_TEST_SUITE_P(Threads, VideoAllocation, ::testing::Values(1, 2));

TEST_P(VideoAllocation, TheCounterCounts) {
  EXPECT_EQ(calls_in([] {}), 0);
  EXPECT_GE(calls_in([] { Array({3}, DType::kF32); }), 1);
}

TEST_P(VideoAllocation, NothingAfterTheFirstFrame) {
  struct Case {
    const char* name;
    Network network;
    std::int64_t size;
  };
  for (const Case& c : {Case{"tiny", tiny_network(), 40},
                        Case{"mobilenet", make_tsm_mobilenetv2({1.0, 5, {}}, 1), GetParam() == 1 ? 224 : 64},
                        Case{"resnet", resnet(0.25), 64}}) {
    SCOPED_TRACE(c.name);
    const VideoNetwork network(video_model(c.network, c.size, c.size));
    // Frames that are alike, frames too noisy to compare, and again ones that are alike.
    Clip clip(c.size, c.size, 4, 2);
    const Clip noisy = Clip(c.size, c.size, 7).add_noise(60);
    clip.frames.insert(clip.frames.end(), noisy.frames.begin(), noisy.frames.end());
    clip.frames.insert(clip.frames.end(), 7, noisy.frames.back());
    SkipThresholds thresholds{0.2f, {}, 1};
    for (const FrameLayer& layer : network.layers()) thresholds.layers[layer.name] = 0.2f;
    for (const Skip skip : {Skip::kOff, Skip::kExact, Skip::kThreshold, Skip::kAuto}) {
      SCOPED_TRACE(static_cast<int>(skip));
      StreamOptions options = options_of(skip, 0.2f, GetParam());
      options.thresholds = thresholds;
      Recognizer stream(network, options);
      int turns = 0;
      bool dense = true;
      for (std::size_t f = 0; f < clip.count(); ++f) {
        const Array frame = clip.frame(f);
        const long calls_of_frame = calls_in([&] { stream.push(frame); });
        turns += dense != stream.cost().dense;
        dense = stream.cost().dense;
        EXPECT_TRUE(f == 0 || calls_of_frame == 0) << calls_of_frame << " calls, frame " << f;
      }
      EXPECT_GE(turns, skip == Skip::kOff ? 0 : 3);
      const Array frame = clip.frame(0);
      EXPECT_EQ(calls_in([&] {
                  stream.reset();
                  stream.push(frame);
                }),
                0);
    }
  }
}

// As the results of a network in f16 come to the host.
TEST(VideoAllocationOfHalves, HalvesComeAsFloatsWithoutMemory) {
  const std::vector<std::uint16_t> halves{0x3C00, 0xC100, 0x0001, 0x7BFF, 0x8000, 0x3555, 0x0400};
  std::vector<float> floats(halves.size());
  const auto copy = [&] {
    copy_floats_to_host(Device::cpu(), floats.data(), halves.data(), DType::kF16,
                        static_cast<std::int64_t>(halves.size()));
  };
  copy();
  EXPECT_EQ(floats, (std::vector<float>{1, -2.5f, 0x1p-24f, 65504, -0.0f, 0x1.554p-2f, 0x1p-14f}));
  EXPECT_EQ(calls_in(copy), 0);
}

}  // namespace
}  // namespace voxshift
