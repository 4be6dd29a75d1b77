// What is guessed of points from elsewhere, and that ordinary ones are left alone.
#include <voxshift/synth/lidar.h>
#include <voxshift/tasks/prepare_points.h>
#include <voxshift/tasks/segmenter.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "device_fixture.h"
#include "network_cases.h"

namespace voxshift {
namespace {

using Points = std::vector<float>;

const Points& street() {
  static const Points points = synth_lidar(3).points;
  return points;
}

Points changed(Points points, const std::function<void(float*)>& change) {
  for (std::size_t i = 0; i < points.size(); i += 4) change(points.data() + i);
  return points;
}

Points with_remission(float factor) {
  return changed(street(), [&](float* point) { point[3] *= factor; });
}

Points moved(float x, float y, float z) {
  return changed(street(), [&](float* point) { point[0] += x, point[1] += y, point[2] += z; });
}

struct Prepared {
  Points points;
  std::vector<std::string> notes;
  bool needed;
};

Prepared prepare(const Points& points, const std::string& profile = "spvnas", const PrepareOptions& options = {}) {
  Preparation preparation;
  preparation.examine(points, 4, find_profile(profile), options);
  Prepared result{Points(points.size()), preparation.notes(), preparation.needed()};
  preparation.apply(points, result.points);
  return result;
}

Points column(const Points& points, std::size_t c) {
  Points values;
  for (std::size_t i = c; i < points.size(); i += 4) values.push_back(points[i]);
  return values;
}

#define EXPECT_ONE_NOTE(prepared, part)             \
  ASSERT_EQ((prepared).notes.size(), 1U) << (part); \
  EXPECT_NE((prepared).notes[0].find(part), std::string::npos) << (prepared).notes[0]

TEST(PreparePoints, OrdinaryPointsAreLeftAlone) {
  for (const char* profile : {"spvnas", "pointcept", "waymo", "kitti-blocks"}) {
    const Prepared prepared = prepare(street(), profile);
    EXPECT_FALSE(prepared.needed) << profile;
    EXPECT_TRUE(prepared.notes.empty()) << profile;
    EXPECT_EQ(prepared.points, street());
  }
  EXPECT_FALSE(prepare(with_remission(255), "nuscenes").needed);
  EXPECT_FALSE(prepare({}).needed);
  EXPECT_FALSE(prepare({1, 2, -1, 0.5f}).needed);
}

TEST(PreparePoints, RemissionInAnotherUnit) {
  for (const float full : {255.0f, 65535.0f}) {
    const Prepared prepared = prepare(with_remission(full));
    const std::string unit = full == 255 ? "0..255" : "0..65535";
    EXPECT_ONE_NOTE(prepared, unit);
    const Points got = column(prepared.points, 3), expected = column(street(), 3);
    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-6);
  }
  const Prepared up = prepare(street(), "nuscenes");
  EXPECT_ONE_NOTE(up, "0..1");
  EXPECT_NEAR(column(up.points, 3)[7], 255 * column(street(), 3)[7], 1e-3);
  const Prepared none = prepare(with_remission(0));
  EXPECT_ONE_NOTE(none, "remission is 0");
  EXPECT_FALSE(none.needed);
}

// A few values beyond what is usual tell nothing of the rest.
TEST(PreparePoints, JunkIsNoUnit) {
  Points points = street();
  points[3] = 1e30f, points[7] = 255, points[11] = std::numeric_limits<float>::quiet_NaN();
  points[15] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(prepare(points).needed);
}

TEST(PreparePoints, WhatIsGivenIsNotGuessed) {
  PrepareOptions options;
  options.full_remission = 1;
  const Prepared as_is = prepare(with_remission(255), "spvnas", options);
  EXPECT_FALSE(as_is.needed);
  EXPECT_TRUE(as_is.notes.empty());
  options = {};
  options.sensor = find_sensor("livox");
  const Prepared livox = prepare(with_remission(255), "spvnas", options);
  EXPECT_TRUE(livox.notes.empty());
  EXPECT_NEAR(column(livox.points, 3)[7], column(street(), 3)[7], 1e-6);
  options.sensor = find_sensor("waymo");
  EXPECT_FLOAT_EQ(column(prepare(with_remission(8), "spvnas", options).points, 3)[7],
                  std::tanh(8 * column(street(), 3)[7]));
  options = {};
  options.origin = {{3, -2, 0.5}};
  const Prepared origin = prepare(street(), "spvnas", options);
  EXPECT_TRUE(origin.notes.empty());
  EXPECT_EQ(origin.points[0], street()[0] - 3);
  EXPECT_EQ(origin.points[1], street()[1] + 2);
  EXPECT_EQ(origin.points[2], street()[2] - 0.5f);
}

TEST(PreparePoints, TheSensorIsFound) {
  const Prepared far = prepare(moved(200, -300, 50));
  EXPECT_ONE_NOTE(far, "no points around the origin");
  for (std::size_t i = 0; i < street().size(); i += 4) {
    ASSERT_NEAR(far.points[i], street()[i], 2);
    ASSERT_NEAR(far.points[i + 1], street()[i + 1], 2);
    ASSERT_NEAR(far.points[i + 2], street()[i + 2], 0.4);
  }
  // Returns that are missing are often zeros.
  Points with_zeros = moved(200, -300, 50);
  with_zeros.resize(with_zeros.size() * 2, 0.0f);
  EXPECT_ONE_NOTE(prepare(with_zeros), "no points around the origin");
  // A file whose zero is elsewhere has its sensor nowhere near it, whatever lies there.
  PrepareOptions options;
  options.frame = {500000, 4300000, 0};
  const Prepared utm = prepare(moved(10, 20, 0), "spvnas", options);
  EXPECT_ONE_NOTE(utm, "50001");
  EXPECT_NEAR(utm.points[0], street()[0], 2);
}

TEST(PreparePoints, TilesHaveTheirMiddle) {
  Profile profile = find_profile("spvnas");
  profile.relative_to = RelativeTo::kTile;
  Points tile;
  for (int i = 0; i <= 100; ++i)
    for (int j = 0; j <= 100; ++j)
      tile.insert(tile.end(),
                  {100 + static_cast<float>(i), -50 + static_cast<float>(j), 7 + 0.01f * static_cast<float>(j), 0.5f});
  Preparation preparation;
  preparation.examine(tile, 4, profile);
  Points prepared(tile.size());
  preparation.apply(tile, prepared);
  EXPECT_TRUE(preparation.notes().empty());
  EXPECT_NEAR(prepared[0], -50, 1);
  EXPECT_NEAR(prepared[1], -50, 1);
  EXPECT_NEAR(prepared[2], 0, 0.02);
}

TEST(PreparePoints, StraysAreLeftOutAndCounted) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const bool first : {true, false}) {
    Points points = street();
    const Points strays = {1e6f, 1e6f, 1e6f, 0, 0, -3e38f, 0, 0, 0, 0, kInfinity, 0};
    points.insert(first ? points.begin() : points.end(), strays.begin(), strays.end());
    const Prepared prepared = prepare(points);
    EXPECT_ONE_NOTE(prepared, "2 points");
    std::size_t dropped = 0;
    for (std::size_t i = 0; i < points.size(); i += 4) dropped += std::isnan(prepared.points[i]);
    EXPECT_EQ(dropped, 3U);                                   // infinity is no stray, and dropped in any case
    EXPECT_TRUE(prepare(points, "pointcept").notes.empty());  // its range does that
  }
}

TEST(PreparePoints, BeyondASensorsRangeNothingIsAReturn) {
  Points points = street();
  points.insert(points.end(), {0, 140, 0, 0, 100, 100, 0, 0, -130, 0, 200, 0, 2000, 0, 0, 0});
  PrepareOptions options;
  options.full_remission = 1;
  EXPECT_TRUE(prepare(points, "spvnas", options).notes.empty());
  options.sensor = find_sensor("kitti");
  const Prepared prepared = prepare(points, "spvnas", options);
  EXPECT_ONE_NOTE(prepared, "2 points further than 131 m from the sensor");
  const Points x = column(prepared.points, 0);
  const std::size_t n = x.size();
  EXPECT_EQ(std::ranges::count_if(x, [](float value) { return std::isnan(value); }), 2);
  EXPECT_TRUE(std::isnan(x[n - 4]) && std::isnan(x[n - 1]));
  options.origin = {{0, 20, 0}};
  EXPECT_ONE_NOTE(prepare(points, "spvnas", options), "1 points");
  EXPECT_TRUE(prepare(points, "pointcept", options).notes.empty());  // its range does that
}

TEST(PreparePoints, SessionsPrepare) {
  NetworkWriter network(4);
  const Model model = network.model(network.linear(network.conv(kGraphInput, 8), 5));
  Segmenter segmenter(model);
  // 1/64 m, so that moving by whole metres rounds nothing.
  const Points coarse = changed(street(), [](float* point) {
    for (int axis = 0; axis < 3; ++axis) point[axis] = std::round(point[axis] * 64) / 64;
  });
  const auto labels = [&](const Points& points, const PrepareOptions& options = {}, std::int64_t columns = 4) {
    const auto n = static_cast<std::int64_t>(points.size()) / columns;
    const Array result = segmenter.segment(Array::from(points, {n, columns}), false, options).labels;
    return std::vector<std::uint8_t>(result.values<std::uint8_t>().begin(), result.values<std::uint8_t>().end());
  };
  const auto expected = labels(coarse);
  EXPECT_TRUE(segmenter.report().notes.empty());
  PrepareOptions options;
  options.origin = {{1000, -500, 20}};
  const Points far = changed(coarse, [](float* point) { point[0] += 1000, point[1] -= 500, point[2] += 20; });
  EXPECT_EQ(labels(far, options), expected);
  Points with_stray = coarse;
  with_stray.insert(with_stray.end(), {1e6f, 1e6f, 1e6f, 0});
  auto with_dropped = expected;
  with_dropped.push_back(kUnlabelled);
  EXPECT_EQ(labels(with_stray), with_dropped);
  EXPECT_EQ(segmenter.report().dropped_points, 1);
  EXPECT_EQ(segmenter.report().notes.size(), 1U);
  // Without a column of remission it is 0.
  Points xyz;
  for (std::size_t i = 0; i < coarse.size(); i += 4) xyz.insert(xyz.end(), &coarse[i], &coarse[i] + 3);
  EXPECT_EQ(labels(xyz, {}, 3), labels(changed(coarse, [](float* point) { point[3] = 0; })));
  EXPECT_EQ(segmenter.report().notes.size(), 1U);
  labels(coarse);
  EXPECT_TRUE(segmenter.report().notes.empty());
}

TEST(PreparePoints, SensorsByName) {
  EXPECT_EQ(find_sensor("nuscenes").columns, 5);
  expect_throw([] { find_sensor("velodyne"); }, {"kitti, nuscenes, waymo, ouster, livox", "velodyne"});
}

}  // namespace
}  // namespace voxshift
