// What a stream may leave out: the thresholds that a model was calibrated with.
#pragma once

#include <map>
#include <string>

namespace voxshift {

/// Thresholds of `--skip auto`, found by calibrate_skip() and kept in the model file. All are >= 0 and finite.
struct SkipThresholds {
  /// A pixel of the frame changed when some channel did by more than this, in units of the normalised input; grey
  /// levels are 255 * std times that.
  float frame = 0;

  /// A layer's output changed where some channel did by more than this, by the layer's name; 0 for layers that are not
  /// named.
  std::map<std::string, float> layers;

  /// A frame is skipped whole when no 16 x 16 block's mean differs from that of the last processed frame by more than
  /// so many grey levels, and once as many frames as the network has shifts have been processed since the first one or
  /// a cut: until then its result is still on the way to the new scene. 0 skips none.
  float whole_frame = 0;

  bool operator==(const SkipThresholds&) const = default;
};

/// Throws InvalidArgument "[skip] .." for a threshold that is negative, infinite or not a number.
void check_valid(const SkipThresholds& thresholds);

}  // namespace voxshift
