// Video networks in f16 on CUDA: nearly the logits of f32, and among themselves the same bits whatever is skipped.
#include "stream_cases.h"

namespace voxshift {
namespace {

class HalfNetworkTest : public StreamTest {
 protected:
  VideoNetwork half(const Network& network) const {
    return network_of(network, kStreamHeight, kStreamWidth, DType::kF16);
  }
  VideoNetwork wide(const Network& network) const { return network_of(network, kStreamHeight, kStreamWidth); }
};
INSTANTIATE_TEST_SUITE_P(Devices, HalfNetworkTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(HalfNetworkTest, StreamsAgreeWithFloat) {
  for (const Network& plain : {tiny_network(), resnet(1.0 / 8), mobilenet(1.0)}) {
    SCOPED_TRACE(plain.graph.nodes.size());
    const VideoNetwork narrow = half(plain), network = wide(plain);
    EXPECT_EQ(narrow.dtype(), DType::kF16);
    Recognizer stream(narrow), expected(network);
    EXPECT_EQ(2 * stream.state_bytes(), expected.state_bytes());
    const Clip clip = tiny_clip(2);
    for (std::size_t f = 0; f < clip.count(); ++f) {
      const Seen seen = push(stream, clip.frame(f)), want = push(expected, clip.frame(f));
      EXPECT_LE(relative_change(seen.logits, want.logits), 2e-2) << "frame " << f;
      EXPECT_EQ(seen.label, want.label);
      EXPECT_NE(seen.logits, want.logits);
    }
  }
}

TEST_P(HalfNetworkTest, ClipsAgreeWithFloat) {
  const Network plain = tiny_network({4, true});
  const Clip clip = tiny_clip(3);
  const Array logits = recognize_frames(half(plain), clip.array()), want = recognize_frames(wide(plain), clip.array());
  ASSERT_EQ(logits.shape(), want.shape());
  EXPECT_EQ(logits.dtype(), DType::kF32);
  EXPECT_LE(relative_change(floats(logits.values<float>()), floats(want.values<float>())), 2e-2);
}

// Dense frames are recorded and replayed where the device can; those of the others are not.
TEST_P(HalfNetworkTest, ExactIsTheDenseResult) {
  for (const Network& plain : {tiny_network(), mobilenet(0.25)}) {
    const VideoNetwork network = half(plain);
    Recognizer off(network), exact(network, always(options_of(Skip::kExact)));
    Recognizer zero(network, options_of(Skip::kThreshold, 0));
    const Clip clip = tiny_clip(6, 2);
    for (std::size_t f = 0; f < clip.count(); ++f) {
      SCOPED_TRACE("frame " + std::to_string(f));
      if (f == 4) off.reset(), exact.reset(), zero.reset();
      const Seen dense = push(off, clip.frame(f)), masked = push(exact, clip.frame(f));
      expect_same(masked, dense);
      expect_same(push(zero, clip.frame(f)), dense);
      EXPECT_TRUE(f % 4 == 0 || masked.cost.macs < dense.cost.macs);
    }
  }
}

// Memory grows with the first frame only.
TEST_P(HalfNetworkTest, StreamsKeepTheirSize) {
  const VideoNetwork network = half(tiny_network());
  for (const Skip skip : {Skip::kOff, Skip::kThreshold}) {
    Recognizer stream(network, options_of(skip, 0.2f));
    const Clip clip = tiny_clip(4);
    push(stream, clip.frame(0));
    const std::size_t bytes = stream.bytes();
    for (std::size_t f = 1; f < clip.count(); ++f) push(stream, clip.frame(f));
    EXPECT_EQ(stream.bytes(), bytes);
  }
}

TEST_P(HalfNetworkTest, KeptValuesStayWithinTheThreshold) {
  const VideoNetwork network = half(tiny_network());
  Recognizer exact(network, always(options_of(Skip::kExact)));
  Recognizer loose(network, always(options_of(Skip::kThreshold, 0.2f)));
  const Clip clip = tiny_clip(4).add_noise(3);
  for (std::size_t f = 0; f < clip.count(); ++f) push(exact, clip.frame(f)), push(loose, clip.frame(f));
  EXPECT_LT(loose.cost().macs, exact.cost().macs);
  const Array dense = exact.layer_output("classes"), kept = loose.layer_output("classes");
  EXPECT_EQ(dense.shape(), (Shape{1, 1, 5}));
  EXPECT_EQ(dense.dtype(), DType::kF32);
  EXPECT_LE(relative_change(floats(kept.values<float>()), floats(dense.values<float>())), 0.1);
}

TEST_P(HalfNetworkTest, AutoIsF16) {
  const Model model = video_model(tiny_network(), kStreamHeight, kStreamWidth);
  EXPECT_EQ(VideoNetwork(model, device()).dtype(), DType::kF16);
  expect_throw<BackendUnavailable>([&] { VideoNetwork(model, device(), DType::kBF16); },
                                   {"[video]", "f32, f16 or i8, not in bf16"});
}

TEST(VideoNetworkDtype, IsF32UnlessAnotherIsWanted) {
  const Model model = video_model(tiny_network(), kStreamHeight, kStreamWidth);
  EXPECT_EQ(VideoNetwork(model).dtype(), DType::kF32);
  expect_throw<InvalidArgument>([&] { VideoNetwork(model, Device::cpu(), DType::kI8); },
                                {"[video] the network has no scales for i8", "`voxshift quantize`"});
}

}  // namespace
}  // namespace voxshift
