// A simulated LiDAR: one labelled scan of a random street.
#pragma once

#include <voxshift/synth/synth_object.h>

#include <cstdint>
#include <vector>

namespace voxshift {

struct SynthLidarOptions {
  /// Else an HDL-64E 1.73 m over the road, as KITTI's. Varied: height, tilt, number and angles of the beams, noise,
  /// lost returns and gain of the remission differ from seed to seed, as training for an unknown sensor wants them.
  bool vary_sensor = false;
};

/// One simulated scan in the layout of SemanticKITTI's .bin and .label files: beam by beam from the top, each turning
/// once from straight ahead to the left.
struct SynthScan {
  std::vector<float> points;          ///< [N, 4] row-major: x y z in metres in the sensor's frame, remission in [0, 1]
  std::vector<std::uint32_t> labels;  ///< [N] raw SemanticKITTI ids; 99 (other object) for things without a class
  /// The cars, vans, trucks, persons and bicyclists that have a point of the scan, in the order in which the street got
  /// them. A tilted sensor's points tilt with it, which boxes follow by their centres and stay upright.
  std::vector<SynthObject> objects;
  std::vector<std::int32_t> object;  ///< [N] index into objects of what the point lies on, -1 for the rest
};

/// Scans a random street scene (make_street). The same seed and options give the same bits on every run.
SynthScan synth_lidar(std::uint64_t seed, const SynthLidarOptions& options = {});

}  // namespace voxshift
