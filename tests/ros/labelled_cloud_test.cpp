// Messages with labels, byte by byte.
#include <gtest/gtest.h>
#include <voxshift/ros/labelled_cloud.h>
#include <voxshift/tensor/error.h>

#include <functional>
#include <limits>

#include "message_bytes.h"

namespace voxshift::ros {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

const std::vector<ClassInfo>& classes() {
  static const std::vector<ClassInfo> table{
      {"road", 40, {255, 0, 254}}, {"car", 10, {1, 2, 3}}, {"bus", 259, {9, 8, 7}}};
  return table;
}

OwnedCloud organised(bool big = false) {
  return cloud_of({{"x", 0, kFloat32}, {"y", 4, kFloat32}, {"z", 8, kFloat32}, {"intensity", 13, kUint16}},
                  {{1, 2, 3, 1000}, {kNaN, 0, 0, 7}, {4, 5, 6, 65535}, {7, 8, 9, 0}, {0, kNaN, 0, 5}, {10, 11, 12, 1}},
                  16, big, 2, 3);
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "none";
}

TEST(LabelledCloud, AFieldBehindTheOthers) {
  for (const bool big : {false, true}) {
    for (const LabelIds ids : {LabelIds::kTrain, LabelIds::kRaw}) {
      const bool raw = ids == LabelIds::kRaw;
      SCOPED_TRACE(testing::Message() << "big " << big << ", raw " << raw);
      const OwnedCloud cloud = organised(big);
      const PointCloud2 from = cloud.message();
      CloudPoints points;
      points.read(from);
      LabelledCloud writer(classes(), {.ids = ids, .field = "class_id"});
      const PointCloud2& to = writer.write(from, points, std::vector<std::uint8_t>{2, 0, 1, 255});
      ASSERT_EQ(to.height, 2U);
      ASSERT_EQ(to.width, 3U);
      EXPECT_EQ(to.is_bigendian, big);
      EXPECT_EQ(to.is_dense, from.is_dense);
      EXPECT_EQ(to.point_step, raw ? 18U : 17U);
      EXPECT_EQ(to.row_step, 3 * to.point_step);
      EXPECT_EQ(to.data.size(), 6 * to.point_step);
      ASSERT_EQ(to.fields.size(), 5U);
      EXPECT_EQ(to.fields[3].name, "intensity");
      EXPECT_EQ(to.fields[3].offset, 13U);
      EXPECT_EQ(to.fields[4].name, "class_id");
      EXPECT_EQ(to.fields[4].offset, 16U);
      EXPECT_EQ(to.fields[4].datatype, raw ? kUint16 : kUint8);
      EXPECT_EQ(to.fields[4].count, 1U);
      const std::vector<int> expected =
          raw ? std::vector<int>{259, 0, 40, 10, 0, 0} : std::vector<int>{2, 255, 0, 1, 255, 255};
      for (std::size_t i = 0; i < 6; ++i) {
        const std::size_t at = place_of(to, i);
        for (std::size_t byte = 0; byte < 16; ++byte)
          EXPECT_EQ(to.data[at + byte], from.data[place_of(from, i) + byte]);
        EXPECT_EQ(raw ? number_at<std::uint16_t>(to, at + 16) : number_at<std::uint8_t>(to, at + 16), expected[i]) << i;
      }
      EXPECT_NO_THROW(checked(to));
    }
  }
}

TEST(LabelledCloud, AFieldThatIsThereIsWrittenOver) {
  const OwnedCloud cloud = cloud_of({{"x", 0, kFloat32}, {"label", 4, kUint8}, {"y", 5, kFloat32}, {"z", 9, kFloat32}},
                                    {{1, 77, 2, 3}, {4, 77, 5, 6}}, 13);
  CloudPoints points;
  points.read(cloud.message());
  LabelledCloud writer(classes());
  const PointCloud2& kept = writer.write(cloud.message(), points, std::vector<std::uint8_t>{1, 0});
  EXPECT_EQ(kept.point_step, 13U);
  ASSERT_EQ(kept.fields.size(), 4U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(kept.data[13 * i + 4], 1 - i);
    EXPECT_EQ(number_at<float>(kept, 13 * i + 5), static_cast<float>(2 + 3 * i));
  }
  LabelledCloud raw(classes(), {.ids = LabelIds::kRaw});
  EXPECT_EQ(error_of([&] {
              raw.write(cloud.message(), points, std::vector<std::uint8_t>{1, 0});
            }),
            "[cloud2] field label is there with another type than uint16: give another name");
}

TEST(LabelledCloud, ColouredPoints) {
  for (const LabelIds ids : {LabelIds::kTrain, LabelIds::kRaw}) {
    const OwnedCloud cloud = organised(true);
    CloudPoints points;
    points.read(cloud.message());
    LabelledCloud writer(classes(), {CloudForm::kColoured, ids});
    const PointCloud2& to = writer.write(cloud.message(), points, std::vector<std::uint8_t>{2, 0, 1, 255});
    ASSERT_EQ(to.points(), 4);
    EXPECT_EQ(to.height, 1U);
    EXPECT_EQ(to.point_step, 20U);
    EXPECT_TRUE(to.is_dense);
    EXPECT_FALSE(to.is_bigendian);
    const char* const names[] = {"x", "y", "z", "rgb", "label"};
    ASSERT_EQ(to.fields.size(), 5U);
    for (std::size_t f = 0; f < 5; ++f) {
      EXPECT_EQ(to.fields[f].name, names[f]);
      EXPECT_EQ(to.fields[f].offset, 4 * f);
      EXPECT_EQ(to.fields[f].datatype, f < 4 ? kFloat32 : ids == LabelIds::kRaw ? kUint16 : kUint8);
    }
    const float xyz[4][3] = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}};
    const std::uint32_t rgb[] = {0x090807, 0xFF00FE, 0x010203, 0};
    const int raw[] = {259, 40, 10, 0}, train[] = {2, 0, 1, 255};
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t axis = 0; axis < 3; ++axis) EXPECT_EQ(number_at<float>(to, 20 * i + 4 * axis), xyz[i][axis]);
      EXPECT_EQ(number_at<std::uint32_t>(to, 20 * i + 12), rgb[i]);
      if (ids == LabelIds::kRaw) {
        EXPECT_EQ(number_at<std::uint16_t>(to, 20 * i + 16), raw[i]);
      } else {
        EXPECT_EQ(number_at<std::uint8_t>(to, 20 * i + 16), train[i]);
      }
    }
    EXPECT_NO_THROW(checked(to));
  }
}

TEST(LabelledCloud, ColouredPointsFarAwayAreFloat64) {
  const OwnedCloud cloud = cloud_of({{"x", 0, kFloat64}, {"y", 8, kFloat64}, {"z", 16, kFloat64}},
                                    {{412345.625, 5412345.5, 112}, {412346.25, 5412340.5, 99}}, 24);
  CloudPoints points;
  points.read(cloud.message());
  LabelledCloud writer(classes(), {.form = CloudForm::kColoured});
  const PointCloud2& to = writer.write(cloud.message(), points, std::vector<std::uint8_t>{0, 1});
  EXPECT_EQ(to.point_step, 32U);
  EXPECT_EQ(to.fields[1].datatype, kFloat64);
  EXPECT_EQ(number_at<double>(to, 0), 412345.625);
  EXPECT_EQ(number_at<double>(to, 32 + 8), 5412340.5);
  EXPECT_EQ(number_at<std::uint32_t>(to, 32 + 24), 0x010203U);
  EXPECT_EQ(number_at<std::uint8_t>(to, 32 + 28), 1);
}

TEST(LabelledCloud, OneWriterForMessagesOfAnySize) {
  LabelledCloud writer(classes());
  for (const std::size_t n : {5, 1, 0, 9}) {
    const OwnedCloud cloud = cloud_of({{"x", 0, kFloat32}, {"y", 4, kFloat32}, {"z", 8, kFloat32}},
                                      std::vector<std::vector<double>>(n, {1, 2, 3}), 12);
    CloudPoints points;
    points.read(cloud.message());
    const PointCloud2& to = writer.write(cloud.message(), points, std::vector<std::uint8_t>(n, 1));
    ASSERT_EQ(to.data.size(), 13 * n);
    ASSERT_EQ(to.width, n);
    for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(to.data[13 * i + 12], 1);
  }
}

TEST(LabelledCloud, AStyleByItsWords) {
  const CloudStyle style = cloud_style("coloured", "train", "class_id");
  EXPECT_EQ(style.form, CloudForm::kColoured);
  EXPECT_EQ(style.ids, LabelIds::kTrain);
  EXPECT_EQ(style.field, "class_id");
  EXPECT_EQ(cloud_style("fields", "raw", "label").form, CloudForm::kFields);
  EXPECT_EQ(cloud_style("fields", "raw", "label").ids, LabelIds::kRaw);
  EXPECT_EQ(error_of([] { cloud_style("color", "raw", ""); }), "[cloud2] form expects fields or coloured, found color");
  EXPECT_EQ(error_of([] { cloud_style("fields", "all", ""); }), "[cloud2] ids expects train or raw, found all");
}

TEST(LabelledCloud, WhatDoesNotBelongTogether) {
  const OwnedCloud cloud = organised();
  CloudPoints points;
  points.read(cloud.message());
  LabelledCloud writer(classes());
  EXPECT_EQ(error_of([&] { writer.write(cloud.message(), points, std::vector<std::uint8_t>(3)); }),
            "[cloud2] labels expects 4, one per point, found 3");
  const OwnedCloud other = cloud_of({{"x", 0, kFloat32}, {"y", 4, kFloat32}, {"z", 8, kFloat32}}, {{1, 2, 3}}, 12);
  EXPECT_EQ(error_of([&] { writer.write(other.message(), points, std::vector<std::uint8_t>(4)); }),
            "[cloud2] expects the message that the points were read from, of 6 points, found one of 1");
  EXPECT_EQ(error_of([] { LabelledCloud(classes(), {.field = ""}); }), "[cloud2] the labels' field expects a name");
  EXPECT_EQ(error_of([] { LabelledCloud(classes(), {.field = "rgb"}); }),
            "[cloud2] the labels' field expects a name of its own, found rgb");
  EXPECT_EQ(error_of([] { LabelledCloud(std::vector<ClassInfo>(256)); }),
            "[cloud2] expects at most 255 classes, found 256");
  const std::vector<ClassInfo> large{{"moon", 65536, {}}};
  EXPECT_EQ(error_of([&] { LabelledCloud(large, {.ids = LabelIds::kRaw}); }),
            "[cloud2] labels of uint16 expect raw ids below 65536, found 65536 of moon");
  EXPECT_EQ(error_of([&] { LabelledCloud{large}; }), "none");
}

}  // namespace
}  // namespace voxshift::ros
