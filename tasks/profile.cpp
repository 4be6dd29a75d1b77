#include <voxshift/files/read_bytes.h>
#include <voxshift/tasks/profile.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <system_error>

namespace voxshift {
namespace {

constexpr std::int64_t kMostPixels = 2048;  // along one axis of a frame
constexpr std::int64_t kMostSegments = 1024;

Profile spvnas() {
  Profile profile{"spvnas", {}, {1, 1, 1, 1}, std::nullopt};
  profile.voxelize.from_lowest = true;
  return profile;
}

Profile pointcept() {
  Profile profile = spvnas();
  profile.name = "pointcept";
  profile.voxelize.rounding = Rounding::kFloor;
  profile.voxelize.range = Range{{-35.2f, -35.2f, -4.0f}, {35.2f, 35.2f, 2.0f}};
  return profile;
}

Profile nuscenes() {
  Profile profile = spvnas();
  profile.name = "nuscenes";
  profile.voxelize.voxel_size = 0.1f;
  profile.scale[3] = 1.0f / 255;
  return profile;
}

Profile waymo() {
  constexpr float kReach = 75.2f;
  Profile profile = spvnas();
  profile.name = "waymo";
  profile.voxelize.voxel_size = 0.1f;
  profile.voxelize.range = Range{{-kReach, -kReach, -kReach}, {kReach, kReach, kReach}};
  return profile;
}

Profile s3dis(const char* name, std::int64_t points) {
  constexpr float kColour = 1.0f / 255;
  return {name, {}, {1, 1, 1, kColour, kColour, kColour}, BlockOptions{1.5f, points, true}};
}

Profile shapenet() {
  constexpr std::size_t kColumns = 3 + 3 + 16;  // position, normal, category
  return {"shapenet", {}, std::vector<float>(kColumns, 1.0f), BlockOptions{0, 2048, false}};
}

Profile kitti_blocks() { return {"kitti-blocks", {}, {1, 1, 1, 1}, BlockOptions{20, 4096, true}}; }

Profile cloud(const char* name, const std::array<float, 3>& voxel_size, const Range& range, std::int64_t columns,
              const CloudOptions& options) {
  Profile profile{name, {}, std::vector<float>(static_cast<std::size_t>(columns), 1.0f), std::nullopt};
  profile.voxelize.voxel_size = VoxelSize(voxel_size);
  profile.voxelize.rounding = Rounding::kFloor;
  profile.voxelize.reduce = Reduce::kMean;
  profile.voxelize.range = range;
  profile.cloud = options;
  return profile;
}

// The settings of mmdetection3d, at test time.
Profile kitti_voxels() {
  return cloud("kitti-voxels", {0.05f, 0.05f, 0.1f}, {{0, -40, -3}, {70.4f, 40, 1}}, 4, {5, 40000, 1});
}
Profile kitti_pillars() {
  return cloud("kitti-pillars", {0.16f, 0.16f, 4}, {{0, -39.68f, -3}, {69.12f, 39.68f, 1}}, 4, {32, 40000, 1});
}
Profile nuscenes_cloud(const char* name, const std::array<float, 3>& voxel_size, float reach,
                       const CloudOptions& options) {
  return cloud(name, voxel_size, {{-reach, -reach, -5}, {reach, reach, 3}}, 5, options);
}

Profile video(const char* name) { return {name, {}, {}, std::nullopt, FrameProfile{}}; }

// Small frames of the simulated clips, which fill them.
Profile motions() {
  Profile profile = video("motions");
  FrameProfile& frames = *profile.frames;
  frames.height = frames.width = frames.resize = 128;
  frames.mean = {0.5f, 0.5f, 0.5f};
  frames.std = {0.25f, 0.25f, 0.25f};
  return profile;
}

}  // namespace

const std::vector<Profile>& known_profiles() {
  static const std::vector<Profile> profiles{
      spvnas(),
      pointcept(),
      nuscenes(),
      waymo(),
      s3dis("s3dis", 4096),
      s3dis("s3dis-8192", 8192),
      shapenet(),
      kitti_blocks(),
      kitti_voxels(),
      kitti_pillars(),
      nuscenes_cloud("nuscenes-voxels", {0.1f, 0.1f, 0.2f}, 51.2f, {10, 120000, 10, 255}),
      nuscenes_cloud("nuscenes-voxels-0.075", {0.075f, 0.075f, 0.2f}, 54, {10, 160000, 10, 255}),
      nuscenes_cloud("nuscenes-pillars", {0.2f, 0.2f, 8}, 51.2f, {20, 40000, 10, 255}),
      nuscenes_cloud("nuscenes-pillars-0.25", {0.25f, 0.25f, 8}, 50, {64, 40000, 10, 255}),
      cloud("lidar", {0.32f, 0.32f, 7}, {{-51.2f, -51.2f, -4}, {51.2f, 51.2f, 3}}, 4, {0, 0, 1}),
      video("jester"),
      video("kinetics"),
      motions()};
  return profiles;
}

void check_valid(const FrameProfile& frames) {
  const auto in_range = [](const char* what, std::int64_t value, std::int64_t most) {
    check(value >= 1 && value <= most, "[profile] ", what, " of frames expects 1 to ", most, ", found ", value);
  };
  in_range("height", frames.height, kMostPixels);
  in_range("width", frames.width, kMostPixels);
  in_range("resize", frames.resize, kMostPixels);
  in_range("segments", frames.segments, kMostSegments);
  check(std::max(frames.height, frames.width) <= frames.resize, "[profile] frames of ", frames.height, " x ",
        frames.width, " do not fit into a shorter side of ", frames.resize);
  for (std::size_t c = 0; c < frames.mean.size(); ++c)
    check(std::isfinite(frames.mean[c]) && std::isfinite(frames.std[c]) && frames.std[c] > 0,
          "[profile] mean and std of frames expect numbers, std above 0; found ", frames.mean[c], " and ",
          frames.std[c]);
}

void check_valid(const Profile& profile) {
  if (profile.frames) return check_valid(*profile.frames);
  const auto is_number = [](float value) { return std::isfinite(value); };
  check(profile.scale.size() >= 3 && static_cast<std::int64_t>(profile.scale.size()) <= kMostColumns &&
            std::ranges::all_of(profile.scale, is_number),
        "[profile] scale expects 3 to ", kMostColumns, " factors, found ", profile.scale.size(), " or no numbers");
  if (const auto& blocks = profile.blocks) {
    check(is_number(blocks->size) && blocks->size >= 0, "[profile] size of blocks expects metres, or 0 for one object");
    check(blocks->points >= 1 && blocks->points <= kMostBlockPoints, "[profile] points of blocks expects 1 to ",
          kMostBlockPoints, ", found ", blocks->points);
    return;
  }
  const VoxelizeOptions& v = profile.voxelize;
  for (const float extent : v.voxel_size.each)
    check(is_number(extent) && extent > 0, "[profile] voxel_size expects metres above 0, found ", extent);
  if (v.range) check_valid(*v.range, "profile");
  if (const auto& points = profile.cloud) {
    check(v.range.has_value() && v.axes == CellAxes::kCartesian && profile.relative_to == RelativeTo::kSensor,
          "[profile] cloud expects a range, cartesian axes and points relative to the sensor");
    const auto in_range = [](const char* what, std::int64_t value, std::int64_t least, std::int64_t most) {
      check(value >= least && value <= most, "[profile] ", what, " of cloud expects ", least, " to ", most, ", found ",
            value);
    };
    in_range("max_points", points->max_points, 0, kMostBlockPoints);
    in_range("max_voxels", points->max_voxels, 0, kMostCloudVoxels);
    in_range("sweeps", points->sweeps, 1, kMostSweeps);
    check(is_number(points->remission) && points->remission > 0,
          "[profile] remission of cloud expects a number above 0, found ", points->remission);
    check(std::ranges::count(profile.scale, 1.0f) == std::ssize(profile.scale),
          "[profile] cloud expects a scale of 1 for every column");
  }
  check(v.range || v.axes == CellAxes::kCartesian, "[profile] axes expects a range where it is cylindrical");
}

Profile find_profile(const std::string& name_or_path) {
  std::string known;
  for (const Profile& profile : known_profiles()) {
    if (profile.name == name_or_path) return profile;
    known += profile.name + ", ";
  }
  std::error_code ignored;
  check(std::filesystem::is_regular_file(name_or_path, ignored), "[profile] expected ", known,
        "or a JSON file, found \"", name_or_path, "\"");
  const std::string text = read_bytes(name_or_path, "a preprocessing profile");
  try {
    return profile_from_text(text);
  } catch (const InvalidArgument& error) {
    throw IoError(name_or_path + ": " + error.what());
  }
}

}  // namespace voxshift
