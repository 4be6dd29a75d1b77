#include <voxshift/files/read_bytes.h>
#include <voxshift/models/json.h>
#include <voxshift/models/json_text.h>
#include <voxshift/models/profile.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

namespace voxshift {
namespace {

using nlohmann::json;

constexpr std::int64_t kMostPoints = 1 << 20;  // of a block
constexpr std::int64_t kMostPixels = 2048;     // along one axis of a frame
constexpr std::int64_t kMostSegments = 1024;

constexpr std::pair<Rounding, const char*> kRoundings[] = {
    {Rounding::kHalfEven, "half_even"}, {Rounding::kHalfAwayFrom0, "half_away"}, {Rounding::kFloor, "floor"}};
constexpr std::pair<Reduce, const char*> kFeatures[] = {
    {Reduce::kFirst, "first"}, {Reduce::kMean, "mean"}, {Reduce::kMax, "max"}, {Reduce::kSum, "sum"}};

constexpr std::pair<RelativeTo, const char*> kFrames[] = {{RelativeTo::kSensor, "sensor"}, {RelativeTo::kTile, "tile"}};

template <class T, std::size_t N>
const char* word_of(const std::pair<T, const char*> (&words)[N], T value) {
  for (const auto& [candidate, word] : words)
    if (candidate == value) return word;
  return "";
}

template <class T, std::size_t N>
T value_of(const std::pair<T, const char*> (&words)[N], const char* what, const std::string& wanted) {
  std::string known;
  for (const auto& [value, word] : words) {
    if (word == wanted) return value;
    if (!known.empty()) known += ", ";
    known += word;
  }
  throw InvalidArgument(std::string("[profile] ") + what + " expects one of " + known + ", found \"" + wanted + "\"");
}

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

Profile video(const char* name) { return {name, {}, {}, std::nullopt, FrameProfile{}}; }

FrameProfile frames_from_json(const json& document) {
  const auto whole = [&](const char* key) {
    const json& value = document.at(key);
    check(value.is_number_integer(), "[profile] ", key, " of frames expects a whole number, found ", Quoted{value});
    return value.get<std::int64_t>();
  };
  FrameProfile frames;
  frames.height = whole("height");
  frames.width = whole("width");
  frames.resize = whole("resize");
  frames.mean = document.at("mean").get<std::array<float, 3>>();
  frames.std = document.at("std").get<std::array<float, 3>>();
  frames.segments = whole("segments");
  check_valid(frames);
  return frames;
}

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
  static const std::vector<Profile> profiles{spvnas(),
                                             pointcept(),
                                             nuscenes(),
                                             waymo(),
                                             s3dis("s3dis", 4096),
                                             s3dis("s3dis-8192", 8192),
                                             shapenet(),
                                             kitti_blocks(),
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

Profile find_profile(const std::string& name_or_path) {
  std::string known;
  for (const Profile& profile : known_profiles()) {
    if (profile.name == name_or_path) return profile;
    known += profile.name + ", ";
  }
  std::error_code ignored;
  check(std::filesystem::is_regular_file(name_or_path, ignored), "[profile] expected ", known,
        "or a JSON file, found \"", name_or_path, "\"");
  const json document = parse_json(read_bytes(name_or_path, "a preprocessing profile"));
  check<IoError>(!document.is_discarded(), name_or_path, ": is not JSON, expected a preprocessing profile");
  try {
    return profile_from_json(document);
  } catch (const InvalidArgument& error) {
    throw IoError(name_or_path + ": " + error.what());
  }
}

json to_json(const Profile& profile) {
  if (const auto& frames = profile.frames)
    return {{"name", profile.name},
            {"frames",
             {{"height", frames->height},
              {"width", frames->width},
              {"resize", frames->resize},
              {"mean", frames->mean},
              {"std", frames->std},
              {"segments", frames->segments}}}};
  if (profile.blocks)
    return {{"name", profile.name},
            {"blocks",
             {{"size", profile.blocks->size},
              {"points", profile.blocks->points},
              {"room_coordinates", profile.blocks->room_coordinates}}},
            {"scale", profile.scale}};
  const VoxelizeOptions& v = profile.voxelize;
  json document{{"name", profile.name},
                {"voxel_size", v.voxel_size},
                {"rounding", word_of(kRoundings, v.rounding)},
                {"features", word_of(kFeatures, v.reduce)},
                {"origin", v.from_lowest ? "lowest" : "sensor"},
                {"row_order", "lexicographic"},
                {"relative_to", word_of(kFrames, profile.relative_to)},
                {"scale", profile.scale}};
  if (v.range) document["range"] = {{"lowest", v.range->lowest}, {"highest", v.range->highest}};
  return document;
}

Profile profile_from_json(const json& document) try {
  Profile profile;
  profile.name = document.at("name").get<std::string>();
  if (const auto frames = document.find("frames"); frames != document.end()) {
    profile.frames = frames_from_json(*frames);
    return profile;
  }
  profile.scale = document.at("scale").get<std::vector<float>>();
  check(profile.scale.size() >= 3, "[profile] scale expects a factor for x, y, z and every further column");
  if (const auto blocks = document.find("blocks"); blocks != document.end()) {
    profile.blocks = BlockOptions{blocks->at("size").get<float>(), blocks->at("points").get<std::int64_t>(),
                                  blocks->at("room_coordinates").get<bool>()};
    check(std::isfinite(profile.blocks->size) && profile.blocks->size >= 0,
          "[profile] the size of blocks expects metres, or 0 for one object");
    check(profile.blocks->points >= 1 && profile.blocks->points <= kMostPoints,
          "[profile] points of a block expects 1 to ", kMostPoints, ", found ", profile.blocks->points);
    return profile;
  }
  profile.voxelize.voxel_size = document.at("voxel_size").get<float>();
  profile.voxelize.rounding = value_of(kRoundings, "rounding", document.at("rounding").get<std::string>());
  profile.voxelize.reduce = value_of(kFeatures, "features", document.at("features").get<std::string>());
  const std::string origin = document.value("origin", "sensor");
  check(origin == "lowest" || origin == "sensor", "[profile] origin expects lowest or sensor, found \"", origin, "\"");
  profile.voxelize.from_lowest = origin == "lowest";
  const std::string order = document.value("row_order", "lexicographic");
  check(order == "lexicographic", "[profile] row_order expects lexicographic, found \"", order, "\"");
  profile.relative_to = value_of(kFrames, "relative_to", document.value("relative_to", "sensor"));
  check(std::isfinite(profile.voxelize.voxel_size) && profile.voxelize.voxel_size > 0,
        "[profile] voxel_size must be a positive number of metres");
  if (const auto range = document.find("range"); range != document.end() && !range->is_null())
    profile.voxelize.range =
        Range{range->at("lowest").get<std::array<float, 3>>(), range->at("highest").get<std::array<float, 3>>()};
  if (profile.voxelize.range) check_valid(*profile.voxelize.range, "profile");
  return profile;
} catch (const json::exception& error) {
  throw InvalidArgument(std::string("[profile] ") + error.what());
}

}  // namespace voxshift
