// Preprocessing profiles: the known ones, JSON and back, and files.
#include <voxshift/tasks/profile.h>
#include <voxshift/tasks/profile_json.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "device_fixture.h"
#include "file_test.h"

namespace voxshift {
namespace {

using nlohmann::json;
using ProfileFile = FileTest;

void expect_same(const Profile& a, const Profile& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.scale, b.scale);
  EXPECT_TRUE(a.blocks == b.blocks);
  EXPECT_TRUE(a.frames == b.frames);
  EXPECT_TRUE(a.cloud == b.cloud);
  EXPECT_EQ(a.voxelize.voxel_size, b.voxelize.voxel_size);
  EXPECT_EQ(a.voxelize.axes, b.voxelize.axes);
  EXPECT_EQ(a.voxelize.rounding, b.voxelize.rounding);
  EXPECT_EQ(a.voxelize.reduce, b.voxelize.reduce);
  EXPECT_EQ(a.voxelize.from_lowest, b.voxelize.from_lowest);
  ASSERT_EQ(a.voxelize.range.has_value(), b.voxelize.range.has_value());
  if (!a.voxelize.range) return;
  EXPECT_EQ(a.voxelize.range->lowest, b.voxelize.range->lowest);
  EXPECT_EQ(a.voxelize.range->highest, b.voxelize.range->highest);
}

TEST(Profile, TheDefaultIsThatOfSpvnas) {
  const Profile& profile = known_profiles().front();
  EXPECT_EQ(profile.name, "spvnas");
  EXPECT_EQ(profile.voxelize.voxel_size, 0.05f);
  EXPECT_EQ(profile.voxelize.rounding, Rounding::kHalfEven);
  EXPECT_EQ(profile.voxelize.reduce, Reduce::kFirst);
  EXPECT_TRUE(profile.voxelize.from_lowest);
  EXPECT_FALSE(profile.voxelize.range.has_value());
  EXPECT_EQ(profile.scale, std::vector<float>(4, 1.0f));
}

TEST(Profile, TheOthersByName) {
  EXPECT_TRUE(find_profile("pointcept").voxelize.range.has_value());
  EXPECT_EQ(find_profile("pointcept").voxelize.rounding, Rounding::kFloor);
  EXPECT_EQ(find_profile("nuscenes").voxelize.voxel_size, 0.1f);
  EXPECT_EQ(find_profile("nuscenes").scale[3], 1.0f / 255);
  EXPECT_EQ(find_profile("waymo").voxelize.voxel_size, 0.1f);
  EXPECT_EQ(find_profile("waymo").voxelize.range->highest, (std::array<float, 3>{75.2f, 75.2f, 75.2f}));
  EXPECT_EQ(find_profile("waymo").scale, std::vector<float>(4, 1.0f));
  expect_throw([] { find_profile("kitti"); }, {"spvnas, pointcept, nuscenes, waymo", "\"kitti\""});
  expect_throw([] { find_profile(""); }, {"expected"});
  expect_throw([] { find_profile("/"); }, {"expected"});
  expect_throw([] { find_profile("/dev/zero"); }, {"expected"});
  expect_throw([] { find_profile(std::string(5000, 'x')); }, {"expected"});
}

TEST(Profile, Video) {
  for (const char* name : {"jester", "kinetics"}) {
    const Profile profile = find_profile(name);
    EXPECT_EQ(profile.frames, FrameProfile{}) << name;
    EXPECT_EQ(profile.channels(), 3) << name;
    EXPECT_EQ(profile.columns(), 0) << name;
  }
  const FrameProfile usual;
  EXPECT_EQ(usual.height, 224);
  EXPECT_EQ(usual.width, 224);
  EXPECT_EQ(usual.resize, 256);
  EXPECT_EQ(usual.segments, 8);
  Profile own{"own", {}, {}, {}, FrameProfile{96, 128, 130, {0.1f, 1.0f / 3, -2}, {0.5f, 1e-3f, 7}, 16}};
  expect_same(profile_from_json(json::parse(to_json(own).dump())), own);
}

TEST(Profile, VideoRefused) {
  const json good = to_json(find_profile("jester"));
  const auto with = [&](const std::string& key, const std::string& value, const std::vector<std::string>& parts) {
    json document = good;
    document["frames"][key] = json::parse(value);
    SCOPED_TRACE(key + " = " + value);
    expect_throw([&] { profile_from_json(document); }, parts);
  };
  for (const char* key : {"height", "width", "resize"}) {
    with(key, "0", {key, "1 to 2048", "found 0"});
    with(key, "-1", {key, "found -1"});
    with(key, "2049", {key, "found 2049"});
  }
  with("height", "223.5", {"height", "whole", "223.5"});
  with("width", R"("wide")", {"width", "whole"});
  with("height", "257", {"257 x 224", "256"});
  with("width", "257", {"224 x 257", "256"});
  with("segments", "0", {"segments", "found 0"});
  with("segments", "1025", {"segments", "found 1025"});
  with("mean", "[0, 0]", {"mean of frames", "three numbers", "[0,0]"});
  with("mean", "[0, 0, 1e300]", {"mean"});
  with("std", "[1, 1, 0]", {"std", "above 0"});
  with("std", "[1, -1, 1]", {"std", "above 0"});
  with("std", "null", {"[profile]"});
  for (const char* key : {"height", "width", "resize", "mean", "std", "segments"}) {
    json document = good;
    document["frames"].erase(key);
    expect_throw([&] { profile_from_json(document); }, {key});
  }
  json document = good;
  document["frames"] = 3;
  expect_throw([&] { profile_from_json(document); }, {"[profile]"});
  FrameProfile frames;
  frames.std[1] = std::nanf("");
  expect_throw([&] { check_valid(frames); }, {"std", "nan"});
}

TEST(Profile, JsonRoundTrip) {
  for (const Profile& profile : known_profiles()) expect_same(profile_from_json(to_json(profile)), profile);
  for (const Rounding rounding : {Rounding::kHalfEven, Rounding::kHalfAwayFrom0, Rounding::kFloor})
    for (const Reduce reduce : {Reduce::kFirst, Reduce::kMean, Reduce::kMax, Reduce::kSum}) {
      Profile profile{"own", {}, {0.5f, 0.1f, 1, 1.0f / 3, 7}, {}};
      profile.voxelize.voxel_size = 0.1f;
      profile.voxelize.rounding = rounding;
      profile.voxelize.reduce = reduce;
      profile.voxelize.range = Range{{-0.1f, -2, -3}, {1e-3f, 1e6f, 5}};
      expect_same(profile_from_json(json::parse(to_json(profile).dump())), profile);
    }
}

TEST(Profile, CylindricalCells) {
  json document = to_json(find_profile("spvnas"));
  document["axes"] = "cylindrical";
  document["voxel_size"] = {0.1f, 0.02f, 0.2f};
  expect_throw([&] { profile_from_json(document); }, {"axes", "a range", "\"cylindrical\""});
  document["range"] = {{"lowest", {0, -3.2, -4}}, {"highest", {50, 3.2, 2}}};
  const Profile profile = profile_from_json(document);
  EXPECT_EQ(profile.voxelize.axes, CellAxes::kCylindrical);
  EXPECT_EQ(profile.voxelize.voxel_size.each, (std::array<float, 3>{0.1f, 0.02f, 0.2f}));
  expect_same(profile_from_json(json::parse(to_json(profile).dump())), profile);
}

TEST(Profile, WholeScans) {
  const json good = to_json(find_profile("nuscenes-pillars"));
  EXPECT_EQ(good.at("cloud"),
            json::parse(R"({"max_points": 20, "max_voxels": 40000, "sweeps": 10, "remission": 255.0})"));
  const auto with = [&](const char* key, const char* value, const std::vector<std::string>& parts) {
    json document = good;
    document["cloud"][key] = json::parse(value);
    SCOPED_TRACE(key);
    expect_throw([&] { profile_from_json(document); }, parts);
  };
  with("max_points", "-1", {"max_points of cloud", "found -1"});
  with("max_voxels", "1.5", {"max_voxels of cloud", "whole"});
  with("sweeps", "0", {"sweeps of cloud", "1 to 100", "found 0"});
  with("remission", "0", {"remission of cloud", "above 0"});
  with("points", "3", {"unknown key \"points\""});
  json document = good;
  document.erase("range");
  expect_throw([&] { profile_from_json(document); }, {"cloud", "a range"});
  document = good;
  document["scale"] = {1, 1, 1, 0.5, 1};
  expect_throw([&] { profile_from_json(document); }, {"cloud", "scale of 1"});
  document = good;
  document["relative_to"] = "tile";
  expect_throw([&] { profile_from_json(document); }, {"cloud", "sensor"});
}

TEST(Profile, WordsInTheFile) {
  const json document = to_json(find_profile("pointcept"));
  EXPECT_EQ(document.at("rounding"), "floor");
  EXPECT_EQ(document.at("features"), "first");
  EXPECT_EQ(document.at("origin"), "lowest");
  EXPECT_EQ(document.at("row_order"), "lexicographic");
  EXPECT_EQ(to_json(find_profile("spvnas")).at("rounding"), "half_even");
  EXPECT_FALSE(to_json(find_profile("spvnas")).contains("range"));
}

TEST(Profile, Refused) {
  const json good = to_json(find_profile("pointcept"));
  const auto with = [&](const char* key, const std::string& value, const std::vector<std::string>& parts) {
    json document = good;
    document[key] = json::parse(value);
    SCOPED_TRACE(key + (" = " + value));
    expect_throw([&] { profile_from_json(document); }, parts);
  };
  with("rounding", R"("up")", {"rounding", "half_even, half_away, floor", "\"up\""});
  with("features", R"("last")", {"features", "first, mean, max, sum", "\"last\""});
  with("origin", R"("car")", {"origin", "\"car\""});
  with("row_order", R"("hash")", {"row_order", "\"hash\""});
  with("voxel_size", "0", {"voxel_size"});
  with("voxel_size", "[0.1, 0.2]", {"voxel_size", "three numbers", "[0.1,0.2]"});
  with("voxel_size", "[0.1, 0.2, 0]", {"voxel_size", "metres above 0", "[0.1,0.2,0]"});
  with("axes", R"("polar")", {"axes", "cartesian, cylindrical", "\"polar\""});
  with("voxel_size", "-0.05", {"voxel_size"});
  with("voxel_size", "1e300", {"voxel_size"});
  with("voxel_size", R"("small")", {"[profile]"});
  with("scale", "[1, 1]", {"scale"});
  with("scale", "3", {"[profile]"});
  with("range", R"({"lowest": [0, 0, 0]})", {"highest"});
  with("range", R"({"lowest": [0, 0], "highest": [1, 1, 1]})", {"[profile]"});
  with("range", "[1]", {"range", "an object", "[1]"});
  with("range", R"({"lowest": [0, 0, 0], "highest": [1, 1, 1], "top": 2})", {"range", "\"top\"", "highest, lowest"});
  with("voxelsize", "0.1", {"unknown key \"voxelsize\"", "voxel_size"});
  with("scale", "[1, 1, true]", {"scale", "factor", "true"});
  with("voxel_size", "true", {"voxel_size", "metres", "true"});
  with("name", "7", {"name", "a text", "7"});
  with("relative_to", R"("map")", {"relative_to", "sensor, tile", "\"map\""});
  with("range", R"({"lowest": [0, 0, 1], "highest": [1, 1, 0]})", {"[profile]", "range", "found 1 to 0 along z"});
  for (const char* key : {"name", "scale", "voxel_size", "rounding", "features"}) {
    json document = good;
    document.erase(key);
    expect_throw([&] { profile_from_json(document); }, {key});
  }
  expect_throw([] { profile_from_json(json::parse("[]")); }, {"[profile]"});
  json blocks = to_json(find_profile("s3dis"));
  for (const char* value : {"1.5", "1e300", "true", "18446744073709551615"}) {
    blocks["blocks"]["points"] = json::parse(value);
    expect_throw([&] { profile_from_json(blocks); },
                 {"points of blocks expects a whole number", value[0] == '1' ? "1" : "true"});
  }
}

TEST_F(ProfileFile, ReadOrRefused) {
  Profile profile = find_profile("nuscenes");
  profile.name = "own";
  expect_same(find_profile(put("own.json", to_json(profile).dump()).string()), profile);
  for (const std::string text : {"", "{", "not JSON", "{\"name\": 3}", "[]"}) {
    const fs::path path = put("bad.json", text);
    EXPECT_FALSE(io_error(path, [&] { find_profile(path.string()); }).empty()) << text;
  }
}

}  // namespace
}  // namespace voxshift
