// A small network, frames for it, and results of streams that are compared.
#pragma once

#include <cstring>
#include <map>

#include "device_fixture.h"
#include "video_cases.h"

namespace voxshift {

constexpr std::int64_t kStreamHeight = 26, kStreamWidth = 34;

constexpr int kTinyShifts = 2;  ///< of tiny_network()

/// Networks of tests that run every frame several times; where kernels are emulated the small one alone.
inline std::vector<Network> stream_networks(bool emulated) {
  std::vector<Network> networks{tiny_network()};
  if (!emulated) networks.push_back(mobilenet(0.25));
  return networks;
}

/// tiny_network() on frames of 26 x 34, in f32.
inline const VideoNetwork& tiny(Device device) {
  static std::map<Device::Kind, VideoNetwork> networks;
  const auto found = networks.find(device.kind);
  if (found != networks.end()) return found->second;
  const Model model = video_model(tiny_network(), kStreamHeight, kStreamWidth);
  return networks.emplace(device.kind, VideoNetwork(model, device, DType::kF32)).first->second;
}

class StreamTest : public DeviceTest {
 protected:
  const VideoNetwork& tiny() const { return voxshift::tiny(device()); }
  VideoNetwork network_of(const Network& network, std::int64_t height, std::int64_t width,
                          DType dtype = DType::kF32) const {
    return VideoNetwork(video_model(network, height, width), device(), dtype);
  }
};

inline Clip tiny_clip(int frames, int still = 1) { return {kStreamHeight, kStreamWidth, frames, still}; }

/// Frames that brighten by 5 grey levels every `still` frames, with noise.
inline Clip brightening_clip(int frames, int still, int noise) {
  Clip clip = tiny_clip(frames, frames);
  for (int f = 0; f < frames; ++f)
    for (std::uint8_t& x : clip.frames[static_cast<std::size_t>(f)])
      x = static_cast<std::uint8_t>(x / 2 + f / still * 5);
  return clip.add_noise(noise);
}

/// The same thresholds for all layers, as SkipThresholds.
inline SkipThresholds thresholds_of(const VideoNetwork& network, float frame, float layers, float whole_frame) {
  SkipThresholds result{frame, {}, whole_frame};
  for (const FrameLayer& layer : network.layers()) result.layers[layer.name] = layers;
  return result;
}

inline StreamOptions auto_options(const SkipThresholds& thresholds) {
  StreamOptions options = options_of(Skip::kAuto);
  options.thresholds = thresholds;
  return options;
}

struct Seen {
  std::vector<float> logits, scores;
  int label;
  FrameCost cost;
};

inline Seen push(Recognizer& stream, const Array& frame) {
  const FrameResult result = stream.push(frame);
  return {floats(result.logits), floats(result.scores), result.label, result.cost};
}

inline void expect_same(const Seen& a, const Seen& b) {
  ASSERT_EQ(a.logits.size(), b.logits.size());
  EXPECT_EQ(std::memcmp(a.logits.data(), b.logits.data(), a.logits.size() * sizeof(float)), 0);
  EXPECT_EQ(a.label, b.label);
}

inline void expect_same_cost(const FrameCost& a, const FrameCost& b) {
  EXPECT_EQ(a.macs, b.macs);
  EXPECT_EQ(a.skipped, b.skipped);
  EXPECT_EQ(a.key_frame, b.key_frame);
  EXPECT_EQ(a.changed_pixels, b.changed_pixels);
}

/// Pushes the frame so often that a stream over tiny() may skip whole frames from the next processed one on.
inline void settle(Recognizer& stream, const Array& frame) {
  for (int f = 0; f < kTinyShifts; ++f) EXPECT_FALSE(stream.push(frame).cost.skipped);
}

/// A frame of one grey level.
inline Array grey(std::uint8_t level) {
  return Array::from(std::vector<std::uint8_t>(static_cast<std::size_t>(kStreamHeight * kStreamWidth * 3), level),
                     {kStreamHeight, kStreamWidth, 3});
}

}  // namespace voxshift
