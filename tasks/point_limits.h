// The points of a scan that a detector is given: those in its range, and of them what hard voxelisation keeps.
#pragma once

#include <voxshift/tasks/profile.h>
#include <voxshift/tensor/row_view.h>

#include <cstdint>
#include <vector>

namespace voxshift {

/// Chooses points as the voxel generators of spconv and mmdetection3d do. Keeps its memory from scan to scan.
class PointLimits {
 public:
  /// Rows of points f32 on the CPU, in their order: finite in the first `columns`, within the profile's range, of each
  /// voxel the first max_points, of the voxels those max_voxels whose first points come first.
  const std::vector<std::int32_t>& choose(const ConstRowView& points, const Profile& profile, std::int64_t columns);

 private:
  struct Voxel {
    std::int64_t key = -1;
    std::int64_t points = 0;
  };
  Voxel& find(std::int64_t key);

  std::vector<Voxel> table_;  // open addressing, a power of two
  std::vector<std::int32_t> chosen_;
};

}  // namespace voxshift
