// A simulated 64-beam LiDAR: one labelled scan of a random street.
#pragma once

#include <cstdint>
#include <vector>

namespace voxshift {

/// One simulated scan in the layout of SemanticKITTI's .bin and .label files: beam by beam from the top, each turning
/// once from straight ahead to the left.
struct SynthScan {
  std::vector<float> points;          ///< [N, 4] row-major: x y z in metres in the sensor's frame, remission in [0, 1]
  std::vector<std::uint32_t> labels;  ///< [N] raw SemanticKITTI ids
};

/// Scans a random street scene (make_street). The same seed gives the same bits on every run.
SynthScan synth_lidar(std::uint64_t seed);

}  // namespace voxshift
