// Preprocessing of video frames: resizing, cutting and normalisation.
#pragma once

#include <array>
#include <cstdint>

namespace voxshift {

/// Preprocessing of video: the shorter side is scaled to `resize` pixels, the middle `height` x `width` are cut out,
/// and channel c (red, green, blue) becomes (x / 255 - mean[c]) / std[c].
struct FrameProfile {
  std::int64_t height = 224, width = 224;
  std::int64_t resize = 256;
  std::array<float, 3> mean{0.485f, 0.456f, 0.406f};
  std::array<float, 3> std{0.229f, 0.224f, 0.225f};
  std::int64_t segments = 8;  ///< frames of a clip when it is recognised as a whole

  /// Of channel c, a byte of 0 to 255: x * scale()[c] + shift()[c].
  std::array<float, 3> scale() const { return {1 / (255 * std[0]), 1 / (255 * std[1]), 1 / (255 * std[2])}; }
  std::array<float, 3> shift() const { return {-mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2]}; }

  bool operator==(const FrameProfile&) const = default;
};

}  // namespace voxshift
