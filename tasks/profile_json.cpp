// Profiles as JSON. docs/scans.md has a page with every key.
#include <voxshift/graph/json_text.h>
#include <voxshift/tasks/profile_json.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <utility>

namespace voxshift {
namespace {

using nlohmann::json;

template <class T>
using Words = std::initializer_list<std::pair<T, const char*>>;

constexpr Words<Rounding> kRoundings{
    {Rounding::kHalfEven, "half_even"}, {Rounding::kHalfAwayFrom0, "half_away"}, {Rounding::kFloor, "floor"}};
constexpr Words<Reduce> kFeatures{
    {Reduce::kFirst, "first"}, {Reduce::kMean, "mean"}, {Reduce::kMax, "max"}, {Reduce::kSum, "sum"}};
constexpr Words<bool> kCellOrigins{{true, "lowest"}, {false, "sensor"}};
constexpr Words<RelativeTo> kRelativeTo{{RelativeTo::kSensor, "sensor"}, {RelativeTo::kTile, "tile"}};
constexpr Words<CellAxes> kAxes{{CellAxes::kCartesian, "cartesian"}, {CellAxes::kCylindrical, "cylindrical"}};
constexpr Words<bool> kRowOrders{{true, "lexicographic"}};

template <class T>
const char* word_of(const Words<T>& words, T value) {
  return std::ranges::find(words, value, &std::pair<T, const char*>::first)->second;
}

/// An object of a profile, key by key: every error names the key, what it expects and what was found, and so does a key
/// that nobody asked for.
class ProfileObject {
 public:
  ProfileObject(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    check(object_.is_object(), "[profile] ", where_, " expects an object, found ", Quoted{object_});
  }

  bool has(const char* key) {
    known_.insert(key);
    return object_.contains(key) && !object_.at(key).is_null();
  }

  ProfileObject object(const char* key) {
    return {value(key, "an object"), where_ == kProfile ? key : where_ + "." + key};
  }

  std::string text(const char* key) {
    const json& found = value(key, "a text");
    expect(found.is_string(), key, "a text", found);
    return found.get<std::string>();
  }

  std::int64_t whole(const char* key) {
    return whole_number(value(key, "a whole number"), "[profile] " + name_of(key));
  }

  float number(const char* key, const char* expected = "a number") {
    const json& found = value(key, expected);
    expect(is_float(found), key, expected, found);
    return found.get<float>();
  }

  bool flag(const char* key) {
    const json& found = value(key, "true or false");
    expect(found.is_boolean(), key, "true or false", found);
    return found.get<bool>();
  }

  std::vector<float> numbers(const char* key, const char* expected) {
    const json& found = value(key, expected);
    expect(found.is_array() && std::ranges::all_of(found, is_float), key, expected, found);
    return found.get<std::vector<float>>();
  }

  std::array<float, 3> three(const char* key) {
    const auto values = numbers(key, "three numbers");
    expect(values.size() == 3, key, "three numbers", object_.at(key));
    return {values[0], values[1], values[2]};
  }

  template <class T>
  T word(const char* key, const Words<T>& words) {
    std::string expected = "one of";
    for (const auto& [known, word] : words) expected += std::string(known == words.begin()->first ? " " : ", ") + word;
    const json& found = value(key, expected);
    for (const auto& [known, word] : words)
      if (found == word) return known;
    expect(false, key, expected, found);
    return words.begin()->first;
  }

  void expect_no_more() const {
    for (const auto& [key, ignored] : object_.items()) {
      std::string known;
      for (const std::string& name : known_) known += (known.empty() ? "" : ", ") + name;
      check(known_.contains(key), "[profile] ", where_, " has the unknown key ", Quoted{key}, ", expected ", known);
    }
  }

  void expect(bool condition, const std::string& key, const std::string& expected, const json& found) const {
    check(condition, "[profile] ", name_of(key), " expects ", expected, ", found ", Quoted{found});
  }

  static constexpr const char* kProfile = "the profile";

 private:
  static bool is_float(const json& value) {
    constexpr double kMost = std::numeric_limits<float>::max();
    return value.is_number() && std::abs(value.get<double>()) <= kMost;
  }

  std::string name_of(const std::string& key) const { return where_ == kProfile ? key : key + " of " + where_; }

  const json& value(const char* key, const std::string& expected) {
    check(has(key), "[profile] ", name_of(key), " is missing, expected ", expected);
    return object_.at(key);
  }

  const json& object_;
  std::string where_;
  std::set<std::string> known_;
};

FrameProfile frames_from(ProfileObject document) {
  FrameProfile frames;
  frames.height = document.whole("height");
  frames.width = document.whole("width");
  frames.resize = document.whole("resize");
  frames.mean = document.three("mean");
  frames.std = document.three("std");
  frames.segments = document.whole("segments");
  document.expect_no_more();
  check_valid(frames);
  return frames;
}

BlockOptions blocks_from(ProfileObject document) {
  const BlockOptions blocks{document.number("size"), document.whole("points"), document.flag("room_coordinates")};
  document.expect_no_more();
  document.expect(blocks.size >= 0, "size", "metres, or 0 for one object", blocks.size);
  document.expect(blocks.points >= 1 && blocks.points <= kMostBlockPoints, "points",
                  "1 to " + std::to_string(kMostBlockPoints), blocks.points);
  return blocks;
}

VoxelSize voxel_size_from(ProfileObject& document, const json& given) {
  constexpr const char* kKey = "voxel_size";
  const bool each = document.has(kKey) && given.at(kKey).is_array();
  const VoxelSize size = each ? VoxelSize(document.three(kKey)) : VoxelSize(document.number(kKey, "metres above 0"));
  document.expect(std::ranges::all_of(size.each, [](float extent) { return extent > 0; }), kKey, "metres above 0",
                  given.at(kKey));
  return size;
}

Range range_from(ProfileObject document) {
  const Range range{document.three("lowest"), document.three("highest")};
  document.expect_no_more();
  check_valid(range, "profile");
  return range;
}

}  // namespace

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
                {"voxel_size", v.voxel_size.is_cube() ? json(v.voxel_size.each[0]) : json(v.voxel_size.each)},
                {"rounding", word_of(kRoundings, v.rounding)},
                {"features", word_of(kFeatures, v.reduce)},
                {"origin", word_of(kCellOrigins, v.from_lowest)},
                {"axes", word_of(kAxes, v.axes)},
                {"row_order", "lexicographic"},
                {"relative_to", word_of(kRelativeTo, profile.relative_to)},
                {"scale", profile.scale}};
  if (v.range) document["range"] = {{"lowest", v.range->lowest}, {"highest", v.range->highest}};
  return document;
}

std::string to_text(const Profile& profile) {
  return to_json(profile).dump(2, ' ', false, json::error_handler_t::replace);
}

Profile profile_from_text(const std::string& text) {
  const JsonDocument document = parse_json(text);
  check(!document.value.is_discarded(), "[profile] is not JSON, expected a preprocessing profile");
  return profile_from_json(document.value);
}

Profile profile_from_json(const json& given) {
  ProfileObject document(given, ProfileObject::kProfile);
  Profile profile;
  profile.name = document.text("name");
  if (document.has("frames")) {
    profile.frames = frames_from(document.object("frames"));
    document.expect_no_more();
    return profile;
  }
  profile.scale = document.numbers("scale", "a factor for x, y, z and every further column");
  document.expect(profile.scale.size() >= 3 && static_cast<std::int64_t>(profile.scale.size()) <= kMostColumns, "scale",
                  "3 to " + std::to_string(kMostColumns) + " factors", profile.scale);
  if (document.has("blocks")) {
    profile.blocks = blocks_from(document.object("blocks"));
    document.expect_no_more();
    return profile;
  }
  profile.voxelize.voxel_size = voxel_size_from(document, given);
  profile.voxelize.rounding = document.word("rounding", kRoundings);
  profile.voxelize.reduce = document.word("features", kFeatures);
  if (document.has("origin")) profile.voxelize.from_lowest = document.word("origin", kCellOrigins);
  if (document.has("row_order")) document.word("row_order", kRowOrders);
  if (document.has("relative_to")) profile.relative_to = document.word("relative_to", kRelativeTo);
  if (document.has("axes")) profile.voxelize.axes = document.word("axes", kAxes);
  if (document.has("range")) profile.voxelize.range = range_from(document.object("range"));
  document.expect(profile.voxelize.range || profile.voxelize.axes == CellAxes::kCartesian, "axes",
                  "a range where it is cylindrical", given.value("axes", json()));
  document.expect_no_more();
  return profile;
}

}  // namespace voxshift
