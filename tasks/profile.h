// How points become a network's input: preprocessing that belongs to a checkpoint.
#pragma once

#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/streaming/frame_profile.h>
#include <voxshift/tasks/cloud_blocks.h>

#include <optional>
#include <string>
#include <vector>

namespace voxshift {

/// Where the zero of the points lies that a network was trained on.
enum class RelativeTo {
  kSensor,  ///< the sensor that made the scan
  kTile,    ///< the middle of the tile along x and y, and its ground: airborne and mobile mapping
};

/// Points for networks that make voxels of them themselves, as detectors and Cylinder3D do: the scan as a whole, the
/// points of the profile's range. Limits are those of the hard voxelisation that such networks were trained with.
struct CloudOptions {
  std::int64_t max_points = 0;  ///< of one voxel, in the order of the points; 0: any number
  std::int64_t max_voxels = 0;  ///< in the order of their first points; 0: any number
  std::int64_t sweeps = 1;      ///< scans that are given at once; of several the last column is the age in seconds
  float remission = 1;          ///< of a perfect reflector, in the fourth column

  bool operator==(const CloudOptions&) const = default;
};

/// Preprocessing of one model. Features are the first `scale.size()` columns of the points, each multiplied by its
/// scale. Networks on voxels take them in lexicographic order of the cells, networks on points block by block.
struct Profile {
  std::string name;
  VoxelizeOptions voxelize;                      ///< networks on voxels
  std::vector<float> scale;                      ///< one factor per column that is used
  std::optional<BlockOptions> blocks;            ///< networks on points
  std::optional<FrameProfile> frames = {};       ///< networks on video, which take nothing of the above
  RelativeTo relative_to = RelativeTo::kSensor;  ///< networks on voxels
  std::optional<CloudOptions> cloud = {};        ///< of whole scans; with voxel_size and range of `voxelize`

  /// Columns of the points that are used, and channels of the network's input.
  std::int64_t columns() const { return static_cast<std::int64_t>(scale.size()); }
  std::int64_t channels() const { return frames ? 3 : columns() + (blocks && blocks->room_coordinates ? 3 : 0); }
};

/// Profiles that the library knows: "spvnas" (0.05 m, nearest cell, ties to even, first point of a voxel, x y z
/// remission), "pointcept" (0.05 m, floor, points within +-35.2 m and -4..2 m of height), "nuscenes" (as spvnas, 0.1 m,
/// intensity / 255), "waymo" (as spvnas, 0.1 m, points within 75.2 m along each axis; the 4th column is the tanh of
/// Waymo's unbounded intensity, taken when the scan was converted), and for networks on points "s3dis" (blocks of 1.5
/// m, at most 4,096 points, x y z r g b, colours / 255, room coordinates), "s3dis-8192" (the same with 8,192),
/// "shapenet" (one object, x y z, normal and 16 columns that are 1 for the object's category), "kitti-blocks" (blocks
/// of 20 m, x y z remission, room coordinates), for detectors "kitti-voxels" (0.05 x 0.05 x 0.1 m, 70.4 m ahead and 40
/// m to each side, x y z remission), "kitti-pillars" (0.16 m), "nuscenes-voxels" (0.1 x 0.1 x 0.2 m, 51.2 m around, ten
/// sweeps with their age in the fifth column), "nuscenes-voxels-0.075" (54 m around), "nuscenes-pillars" (0.2 m),
/// "nuscenes-pillars-0.25" (50 m around), "lidar" (pillars of 0.32 m, 51.2 m around, of any sensor), and for networks
/// on video "jester" and "kinetics" (224 x 224 from a shorter side of 256, mean and deviation of ImageNet, clips of 8
/// frames) and "motions" (128 x 128 from a shorter side of 128, for the clips of synth_video()).
const std::vector<Profile>& known_profiles();

constexpr std::int64_t kMostColumns = 1024;
constexpr std::int64_t kMostBlockPoints = 1 << 20;
constexpr std::int64_t kMostCloudVoxels = 1 << 24;
constexpr std::int64_t kMostSweeps = 100;

/// Throws InvalidArgument "[profile] .." for numbers that a profile's file cannot hold: not finite or out of range.
void check_valid(const Profile& profile);

/// Throws InvalidArgument "[profile] .." for a size below 1 or above 2048, a crop that is larger than the shorter side,
/// a mean or std that is not finite, a std that is not above 0, and segments outside 1..1024.
void check_valid(const FrameProfile& frames);

/// The profile as the JSON that find_profile() reads from a file, indented.
std::string to_text(const Profile& profile);

/// The profile of such JSON. Throws InvalidArgument.
Profile profile_from_text(const std::string& text);

/// A known profile by name, or one from a JSON file. Throws InvalidArgument when it is neither, IoError for a bad file.
Profile find_profile(const std::string& name_or_path);

}  // namespace voxshift
