#include <voxshift/models/json.h>
#include <voxshift/models/profile.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

namespace voxshift {
namespace {

using nlohmann::json;

constexpr std::pair<Rounding, const char*> kRoundings[] = {
    {Rounding::kHalfEven, "half_even"}, {Rounding::kHalfAwayFrom0, "half_away"}, {Rounding::kFloor, "floor"}};
constexpr std::pair<Reduce, const char*> kFeatures[] = {
    {Reduce::kFirst, "first"}, {Reduce::kMean, "mean"}, {Reduce::kMax, "max"}, {Reduce::kSum, "sum"}};

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
  Profile profile{"spvnas", {}, {1, 1, 1, 1}};
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

}  // namespace

const std::vector<Profile>& known_profiles() {
  static const std::vector<Profile> profiles{spvnas(), pointcept(), nuscenes()};
  return profiles;
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
  std::ifstream file(name_or_path);
  const json document = json::parse(file, nullptr, false);
  check<IoError>(!document.is_discarded(), name_or_path, ": is not JSON, expected a preprocessing profile");
  try {
    return profile_from_json(document);
  } catch (const InvalidArgument& error) {
    throw IoError(name_or_path + ": " + error.what());
  }
}

json to_json(const Profile& profile) {
  const VoxelizeOptions& v = profile.voxelize;
  json document{{"name", profile.name},
                {"voxel_size", v.voxel_size},
                {"rounding", word_of(kRoundings, v.rounding)},
                {"features", word_of(kFeatures, v.reduce)},
                {"origin", v.from_lowest ? "lowest" : "sensor"},
                {"row_order", "lexicographic"},
                {"scale", profile.scale}};
  if (v.range) document["range"] = {{"lowest", v.range->lowest}, {"highest", v.range->highest}};
  return document;
}

Profile profile_from_json(const json& document) try {
  Profile profile;
  profile.name = document.at("name").get<std::string>();
  profile.scale = document.at("scale").get<std::vector<float>>();
  profile.voxelize.voxel_size = document.at("voxel_size").get<float>();
  profile.voxelize.rounding = value_of(kRoundings, "rounding", document.at("rounding").get<std::string>());
  profile.voxelize.reduce = value_of(kFeatures, "features", document.at("features").get<std::string>());
  const std::string origin = document.value("origin", "sensor");
  check(origin == "lowest" || origin == "sensor", "[profile] origin expects lowest or sensor, found \"", origin, "\"");
  profile.voxelize.from_lowest = origin == "lowest";
  const std::string order = document.value("row_order", "lexicographic");
  check(order == "lexicographic", "[profile] row_order expects lexicographic, found \"", order, "\"");
  check(std::isfinite(profile.voxelize.voxel_size) && profile.voxelize.voxel_size > 0,
        "[profile] voxel_size must be a positive number of metres");
  check(profile.scale.size() >= 3, "[profile] scale expects a factor for x, y, z and every further column");
  if (const auto range = document.find("range"); range != document.end() && !range->is_null())
    profile.voxelize.range =
        Range{range->at("lowest").get<std::array<float, 3>>(), range->at("highest").get<std::array<float, 3>>()};
  return profile;
} catch (const json::exception& error) {
  throw InvalidArgument(std::string("[profile] ") + error.what());
}

}  // namespace voxshift
