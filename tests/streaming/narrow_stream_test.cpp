// Streams of networks in i8, bf16 and f16: what a stream remembers of a frame has the dtype and the scales of the
// value.
#include <voxshift/quantize/quantize.h>

#include "stream_cases.h"

namespace voxshift {
namespace {

class NarrowStreamTest : public StreamTest {
 protected:
  /// A network that shifts, in every narrow dtype.
  std::vector<VideoNetwork> networks(const Network& plain) const {
    const Model model = video_model(plain, kStreamHeight, kStreamWidth);
    CalibrationData data;
    add_clip(data, model, tiny_clip(4).array());
    QuantizeOptions options;
    options.sensitivity = false;
    const Model i8 = quantize(model, data, options).model;
    return {VideoNetwork(i8, device()), VideoNetwork(model, device(), DType::kBF16),
            VideoNetwork(model, device(), DType::kF16)};
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, NarrowStreamTest, ::testing::Values(Device::cpu()), device_name);

// In a clip the shift is an op of its own, which remembers nothing.
TEST_P(NarrowStreamTest, FramesAreThoseOfTheClip) {
  for (const Network& plain : {tiny_network(), mobilenet(0.25)})
    for (const VideoNetwork& network : networks(plain)) {
      SCOPED_TRACE(name(network.dtype()));
      const Clip clip = tiny_clip(4);
      const std::vector<float> want = floats(recognize_frames(network, clip.array()).values<float>());
      Recognizer stream(network);
      std::vector<float> found;
      for (std::size_t f = 0; f < clip.count(); ++f)
        for (const float x : push(stream, clip.frame(f)).logits) found.push_back(x);
      EXPECT_EQ(found, want);
    }
}

TEST_P(NarrowStreamTest, ExactIsTheDenseResult) {
  for (const Network& plain : {tiny_network(), mobilenet(0.25)})
    for (const VideoNetwork& network : networks(plain)) {
      SCOPED_TRACE(name(network.dtype()));
      Recognizer off(network), exact(network, options_of(Skip::kExact)), zero(network, options_of(Skip::kThreshold, 0));
      const Clip clip = tiny_clip(6, 2);
      for (std::size_t f = 0; f < clip.count(); ++f) {
        SCOPED_TRACE("frame " + std::to_string(f));
        if (f == 4) off.reset(), exact.reset(), zero.reset();
        const Seen dense = push(off, clip.frame(f));
        expect_same(push(exact, clip.frame(f)), dense);
        expect_same(push(zero, clip.frame(f)), dense);
      }
    }
}

// A byte of i8 and two of the others for each channel that is remembered.
TEST_P(NarrowStreamTest, RemembersNarrowNumbers) {
  const std::vector<VideoNetwork> narrow = networks(tiny_network());
  const std::size_t wide = Recognizer(tiny()).state_bytes();
  EXPECT_LT(Recognizer(narrow[0]).state_bytes(), wide);
  EXPECT_EQ(2 * Recognizer(narrow[1]).state_bytes(), wide);
  EXPECT_EQ(2 * Recognizer(narrow[2]).state_bytes(), wide);
}

}  // namespace
}  // namespace voxshift
