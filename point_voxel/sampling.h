// Furthest point sampling.
#pragma once

#include <voxshift/point_voxel/point_set.h>

namespace voxshift {

/// Which of several furthest points is taken.
enum class Ties {
  kLowest,  ///< the lowest index
  kPvcnn,   ///< the lowest (k mod 512), then the lowest k, with k counted in the cloud: what PVCNN's kernel gives
};

/// Rows of `points`, i32 [B, num_samples], of furthest point sampling in each cloud: the first finite point, then
/// always the one whose squared distance (float32, as in neighbors.h) to the chosen ones is largest. When all are
/// chosen the distances are 0 and the tie rule repeats its first. A point that is not finite is never chosen; a cloud
/// without points gives -1. Source: Qi et al., PointNet++ (NeurIPS 2017). num_samples >= 1.
Array furthest_point_sample(const PointSet& points, std::int64_t num_samples, Ties ties = Ties::kLowest);

}  // namespace voxshift
