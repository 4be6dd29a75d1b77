// Video networks in f16 and bf16 on CUDA: nearly the logits of f32, and among themselves the same bits whatever is
// skipped.
#include "stream_cases.h"

namespace voxshift {
namespace {

constexpr DType kHalves[] = {DType::kF16, DType::kBF16};

/// How far logits may be from those of f32: bf16 rounds by 8 times as much as f16.
double tolerance(DType dtype) { return dtype == DType::kF16 ? 2e-2 : 8 * 2e-2; }

class HalfNetworkTest : public StreamTest {
 protected:
  VideoNetwork half(const Network& network, DType dtype) const {
    return network_of(network, kStreamHeight, kStreamWidth, dtype);
  }
  VideoNetwork wide(const Network& network) const { return network_of(network, kStreamHeight, kStreamWidth); }
};
INSTANTIATE_TEST_SUITE_P(Devices, HalfNetworkTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(HalfNetworkTest, StreamsAgreeWithFloat) {
  for (const Network& plain : {tiny_network(), resnet(1.0 / 8), mobilenet(1.0)})
    for (const DType dtype : kHalves) {
      SCOPED_TRACE(std::to_string(plain.graph.nodes.size()) + " nodes, " + name(dtype));
      const VideoNetwork narrow = half(plain, dtype), network = wide(plain);
      EXPECT_EQ(narrow.dtype(), dtype);
      Recognizer stream(narrow), expected(network);
      EXPECT_EQ(2 * stream.state_bytes(), expected.state_bytes());
      const Clip clip = tiny_clip(2);
      for (std::size_t f = 0; f < clip.count(); ++f) {
        const Seen seen = push(stream, clip.frame(f)), want = push(expected, clip.frame(f));
        EXPECT_LE(relative_change(seen.logits, want.logits), tolerance(dtype)) << "frame " << f;
        EXPECT_EQ(seen.label, want.label);
        EXPECT_NE(seen.logits, want.logits);
      }
    }
}

// The CPU computes the same values in f32 and rounds the same of them, but for the hidden ones of MobileNetV2's blocks.
// A sum in another order is now and then rounded to the neighbour, which is less than what all rounding does.
TEST_P(HalfNetworkTest, Bf16IsTheCpus) {
  for (const Network& plain : {tiny_network(), resnet(1.0 / 8)}) {
    SCOPED_TRACE(plain.graph.nodes.size());
    const VideoNetwork network = half(plain, DType::kBF16), exact = wide(plain);
    const VideoNetwork other(video_model(plain, kStreamHeight, kStreamWidth), Device::cpu(), DType::kBF16);
    Recognizer stream(network), cpu(other), unrounded(exact);
    const Clip clip = tiny_clip(3);
    for (std::size_t f = 0; f < clip.count(); ++f) {
      const Seen want = push(cpu, clip.frame(f));
      const double lost = relative_change(push(unrounded, clip.frame(f)).logits, want.logits);
      EXPECT_LE(relative_change(push(stream, clip.frame(f)).logits, want.logits), lost) << "frame " << f;
    }
  }
}

TEST_P(HalfNetworkTest, ClipsAgreeWithFloat) {
  const Network plain = tiny_network({4, true});
  const Clip clip = tiny_clip(3);
  const Array want = recognize_frames(wide(plain), clip.array());
  for (const DType dtype : kHalves) {
    SCOPED_TRACE(name(dtype));
    const Array logits = recognize_frames(half(plain, dtype), clip.array());
    ASSERT_EQ(logits.shape(), want.shape());
    EXPECT_EQ(logits.dtype(), DType::kF32);
    EXPECT_LE(relative_change(floats(logits.values<float>()), floats(want.values<float>())), tolerance(dtype));
  }
}

// Dense frames are recorded and replayed where the device can; those of the others are not.
TEST_P(HalfNetworkTest, ExactIsTheDenseResult) {
  for (const Network& plain : {tiny_network(), mobilenet(0.25)})
    for (const DType dtype : kHalves) {
      SCOPED_TRACE(name(dtype));
      const VideoNetwork network = half(plain, dtype);
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
  for (const DType dtype : kHalves)
    for (const Skip skip : {Skip::kOff, Skip::kThreshold}) {
      const VideoNetwork network = half(tiny_network(), dtype);
      Recognizer stream(network, options_of(skip, 0.2f));
      const Clip clip = tiny_clip(4);
      push(stream, clip.frame(0));
      const std::size_t bytes = stream.bytes();
      for (std::size_t f = 1; f < clip.count(); ++f) push(stream, clip.frame(f));
      EXPECT_EQ(stream.bytes(), bytes) << name(dtype);
    }
}

TEST_P(HalfNetworkTest, KeptValuesStayWithinTheThreshold) {
  for (const DType dtype : kHalves) {
    SCOPED_TRACE(name(dtype));
    const VideoNetwork network = half(tiny_network(), dtype);
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
}

TEST_P(HalfNetworkTest, AutoIsF16) {
  const Model model = video_model(tiny_network(), kStreamHeight, kStreamWidth);
  EXPECT_EQ(VideoNetwork(model, device()).dtype(), DType::kF16);
  expect_throw<BackendUnavailable>([&] { VideoNetwork(model, device(), DType::kI64); },
                                   {"[video]", "f32, f16, bf16 or i8, not in i64"});
}

TEST(VideoNetworkDtype, IsF32UnlessAnotherIsWanted) {
  const Model model = video_model(tiny_network(), kStreamHeight, kStreamWidth);
  EXPECT_EQ(VideoNetwork(model).dtype(), DType::kF32);
  expect_throw<InvalidArgument>([&] { VideoNetwork(model, Device::cpu(), DType::kI8); },
                                {"[video] the network has no scales for i8", "`voxshift quantize`"});
}

}  // namespace
}  // namespace voxshift
