// Profiles as JSON. docs/scans.md has a page with every key.
#include <voxshift/tasks/json_object.h>
#include <voxshift/tasks/profile_json.h>

#include <algorithm>
#include <string>

namespace voxshift {
namespace {

using nlohmann::json;

constexpr Words<Rounding> kRoundings{
    {Rounding::kHalfEven, "half_even"}, {Rounding::kHalfAwayFrom0, "half_away"}, {Rounding::kFloor, "floor"}};
constexpr Words<Reduce> kFeatures{
    {Reduce::kFirst, "first"}, {Reduce::kMean, "mean"}, {Reduce::kMax, "max"}, {Reduce::kSum, "sum"}};
constexpr Words<bool> kCellOrigins{{true, "lowest"}, {false, "sensor"}};
constexpr Words<RelativeTo> kRelativeTo{{RelativeTo::kSensor, "sensor"}, {RelativeTo::kTile, "tile"}};
constexpr Words<CellAxes> kAxes{{CellAxes::kCartesian, "cartesian"}, {CellAxes::kCylindrical, "cylindrical"}};
constexpr Words<bool> kRowOrders{{true, "lexicographic"}};

FrameProfile frames_from(JsonObject document) {
  FrameProfile frames;
  frames.height = document.whole("height");
  frames.width = document.whole("width");
  frames.resize = document.whole("resize");
  frames.mean = document.array<3>("mean");
  frames.std = document.array<3>("std");
  frames.segments = document.whole("segments");
  document.expect_no_more();
  check_valid(frames);
  return frames;
}

BlockOptions blocks_from(JsonObject document) {
  const BlockOptions blocks{document.number("size"), document.whole("points"), document.flag("room_coordinates")};
  document.expect_no_more();
  document.expect(blocks.size >= 0, "size", "metres, or 0 for one object", blocks.size);
  document.expect(blocks.points >= 1 && blocks.points <= kMostBlockPoints, "points",
                  "1 to " + std::to_string(kMostBlockPoints), blocks.points);
  return blocks;
}

CloudOptions cloud_from(JsonObject document) {
  const CloudOptions cloud{document.whole("max_points"), document.whole("max_voxels"), document.whole("sweeps"),
                           document.number("remission")};
  document.expect_no_more();
  return cloud;
}

VoxelSize voxel_size_from(JsonObject& document, const json& given) {
  constexpr const char* kKey = "voxel_size";
  const bool each = document.has(kKey) && given.at(kKey).is_array();
  const VoxelSize size = each ? VoxelSize(document.array<3>(kKey)) : VoxelSize(document.number(kKey, "metres above 0"));
  document.expect(std::ranges::all_of(size.each, [](float extent) { return extent > 0; }), kKey, "metres above 0",
                  given.at(kKey));
  return size;
}

Range range_from(JsonObject document) {
  const Range range{document.array<3>("lowest"), document.array<3>("highest")};
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
  if (const auto& cloud = profile.cloud)
    document["cloud"] = {{"max_points", cloud->max_points},
                         {"max_voxels", cloud->max_voxels},
                         {"sweeps", cloud->sweeps},
                         {"remission", cloud->remission}};
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
  JsonObject document("profile", given);
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
  if (document.has("cloud")) profile.cloud = cloud_from(document.object("cloud"));
  document.expect(profile.voxelize.range || profile.voxelize.axes == CellAxes::kCartesian, "axes",
                  "a range where it is cylindrical", given.value("axes", json()));
  document.expect_no_more();
  if (profile.cloud) check_valid(profile);
  return profile;
}

}  // namespace voxshift
