// What the scores of detections share: their checks, types in any case, distances.
#pragma once

#include <voxshift/tasks/detection_score.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace voxshift {

/// Throws InvalidArgument as score_kitti says it.
void check_scans(std::span<const ScoredScan> scans, double max_distance);

/// Whether both are the same word, in any case of its letters.
bool same_type(std::string_view a, std::string_view b);

/// Whether there is a truth whose type is_wanted.
template <class IsWanted>
bool has_truth(std::span<const ScoredScan> scans, const IsWanted& is_wanted) {
  return std::ranges::any_of(scans, [&](const ScoredScan& scan) {
    return std::ranges::any_of(scan.truths, [&](const LabelledBox& truth) { return is_wanted(truth.type); });
  });
}

/// Metres from the sensor, seen from above.
inline double distance_of(const Box3d& box) { return std::hypot(static_cast<double>(box.x), box.y); }

}  // namespace voxshift
