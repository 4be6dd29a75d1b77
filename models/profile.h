// How points become a network's input: preprocessing that belongs to a checkpoint.
#pragma once

#include <voxshift/point_voxel/voxelize.h>

#include <optional>
#include <string>
#include <vector>

namespace voxshift {

/// Preprocessing of one model. Rows are in lexicographic order of the cells; features are the first `scale.size()`
/// columns of the points, each multiplied by its scale.
struct Profile {
  std::string name;
  VoxelizeOptions voxelize;
  std::vector<float> scale;  ///< one factor per input channel

  std::int64_t channels() const { return static_cast<std::int64_t>(scale.size()); }
};

/// Profiles that the library knows: "spvnas" (0.05 m, nearest cell, ties to even, first point of a voxel, x y z
/// remission), "pointcept" (0.05 m, floor, points within +-35.2 m and -4..2 m of height), "nuscenes" (as spvnas, 0.1 m,
/// intensity / 255).
const std::vector<Profile>& known_profiles();

/// A known profile by name, or one from a JSON file. Throws InvalidArgument when it is neither, IoError for a bad file.
Profile find_profile(const std::string& name_or_path);

}  // namespace voxshift
