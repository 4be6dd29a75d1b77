// The colours of a scan in the window, and how much of it is shown.
#include "scan_colours.h"

#include <gtest/gtest.h>

#include <limits>

#include "scan_extent.h"

namespace voxshift {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// The pixel of point i.
Bytes colour(const Bytes& rgb, std::size_t i) {
  return {rgb.begin() + static_cast<std::ptrdiff_t>(3 * i), rgb.begin() + static_cast<std::ptrdiff_t>(3 * i + 3)};
}

/// 1000 points whose remission ascends and whose height descends.
PointCloud ramp(bool has_remission) {
  PointCloud scan;
  scan.has_remission = has_remission;
  for (int i = 0; i < 1000; ++i)
    for (const float value : {0.0f, 0.0f, static_cast<float>(-i), static_cast<float>(i)}) scan.points.push_back(value);
  return scan;
}

TEST(ScanColours, ClassesAndGreyWhereThereIsNone) {
  const std::vector<ClassInfo> classes = {{"road", 40, {1, 2, 3}}, {"car", 10, {4, 5, 6}}};
  const Bytes labels = {1, 0, kUnlabelled, 2};
  EXPECT_EQ(class_colours(labels, classes), (Bytes{4, 5, 6, 1, 2, 3, 128, 128, 128, 128, 128, 128}));
}

TEST(ScanColours, OwnOnesThenRemissionThenHeight) {
  PointCloud scan = ramp(true);
  const ScanColours remission = own_colours(scan);
  EXPECT_EQ(remission.source, "remission");
  scan.has_remission = false;
  const ScanColours height = own_colours(scan);
  EXPECT_EQ(height.source, "height");
  EXPECT_NE(height.rgb, remission.rgb);
  scan.rgb = Bytes(3000, 7);
  EXPECT_EQ(own_colours(scan).source, "the file's own colours");
  EXPECT_EQ(own_colours(scan).rgb, scan.rgb);
}

TEST(ScanColours, ValuesFromBlueOverGreenToRed) {
  const Bytes rgb = own_colours(ramp(true)).rgb;
  ASSERT_EQ(rgb.size(), 3000u);
  EXPECT_EQ(colour(rgb, 0), (Bytes{70, 110, 255}));
  EXPECT_EQ(colour(rgb, 494), (Bytes{90, 220, 90}));  // between 9 and 979
  EXPECT_EQ(colour(rgb, 999), (Bytes{240, 60, 40}));
  EXPECT_EQ(colour(rgb, 9), colour(rgb, 0)) << "the lowest 1 % are alike";
  EXPECT_NE(colour(rgb, 15), colour(rgb, 0));
  EXPECT_EQ(colour(rgb, 979), colour(rgb, 999)) << "the highest 2 % are alike";
  EXPECT_NE(colour(rgb, 970), colour(rgb, 999));
  EXPECT_EQ(colour(own_colours(ramp(false)).rgb, 0), colour(rgb, 999)) << "heights of the ramp descend";
}

TEST(ScanColours, OneValueNoValueAndNaN) {
  PointCloud scan;
  EXPECT_TRUE(own_colours(scan).rgb.empty());
  scan.points = {0, 0, 1, 0, 0, 0, 1, 0, 0, 0, std::numeric_limits<float>::quiet_NaN(), 0};
  const Bytes rgb = own_colours(scan).rgb;
  ASSERT_EQ(rgb.size(), 9u);
  EXPECT_EQ(colour(rgb, 0), colour(rgb, 2));
}

TEST(ScanExtent, StraysDoNotMakeItLarge) {
  std::vector<float> xs, ys;
  for (int i = 0; i < 1000; ++i) {
    xs.push_back(static_cast<float>(i % 21 - 10));
    ys.push_back(static_cast<float>(i % 11 - 5));
  }
  xs[500] = 5000;
  const ScanExtent extent = extent_of(xs, ys, std::vector<float>(1000, 3));
  EXPECT_TRUE(extent.has_sensor);
  EXPECT_EQ(extent.x, 0);
  EXPECT_EQ(extent.z, 3);
  EXPECT_NEAR(extent.half, 10.5, 1e-6);
}

TEST(ScanExtent, FarFromTheOriginItIsAroundThePoints) {
  const ScanExtent extent = extent_of({1000, 1010, 1020}, {-10, 0, 10}, {1, 2, 3});
  EXPECT_FALSE(extent.has_sensor);
  EXPECT_NEAR(extent.x, 1005, 6);
  EXPECT_EQ(extent.z, 2);
  EXPECT_EQ(extent_of({}, {}, {}).half, 50);
}

}  // namespace
}  // namespace voxshift
