// Labelled synthetic clips: shapes in motion.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace voxshift {

/// The motions, in the order of the labels: no single frame tells them apart.
const std::vector<std::string>& synth_video_classes();

struct SynthVideoOptions {
  std::int64_t frames = 32;
  std::int64_t height = 224, width = 224;
  double frames_per_second = 25;  ///< at a lower rate things move farther from frame to frame
  int label = -1;                 ///< of synth_video_classes(); -1: by the seed
  bool panning_camera = false;    ///< else static
  double noise = 2;               ///< standard deviation of the sensor's noise, in grey levels
};

struct SynthClip {
  std::vector<std::uint8_t> frames;  ///< [T, height, width, 3] RGB
  std::int64_t count = 0, height = 0, width = 0;
  int label = 0;
};

/// One textured shape over a textured background, light on dark or dark on light: in 1/25 s it moves left, right, up or
/// down by 1 to 4 pixels (of 224; a shape that leaves on one side enters on the other), turns clockwise or
/// counterclockwise by 2 to 6 degrees, grows or shrinks by 1 to 3 %; or it keeps still. A panning camera moves the
/// background alone. Clips of one seed and several labels differ in the motion alone. The same seed gives the same bits
/// on every run. Throws InvalidArgument for options out of range.
SynthClip synth_video(std::uint64_t seed, const SynthVideoOptions& options = {});

}  // namespace voxshift
