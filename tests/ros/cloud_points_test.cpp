// Points of messages of any layout, against the numbers that the messages were made of.
#include <gtest/gtest.h>
#include <voxshift/ros/cloud_points.h>
#include <voxshift/tensor/error.h>

#include <cmath>
#include <limits>
#include <random>

#include "message_bytes.h"

namespace voxshift::ros {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Whole numbers that every datatype holds, so that what is expected is exact.
std::vector<std::vector<double>> whole_numbers(std::size_t points, std::size_t fields) {
  std::mt19937 random(static_cast<unsigned>(points * 31 + fields));
  std::vector<std::vector<double>> values(points, std::vector<double>(fields));
  for (auto& point : values)
    for (double& value : point) value = static_cast<double>(random() % 128);
  return values;
}

std::string error_of(const OwnedCloud& cloud) {
  try {
    CloudPoints().read(cloud.message());
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "none";
}

OwnedCloud plain(const std::vector<std::vector<double>>& points) {
  return cloud_of({{"x", 0, kFloat32}, {"y", 4, kFloat32}, {"z", 8, kFloat32}}, points, 12);
}

TEST(CloudPoints, EveryDatatypeInBothByteOrders) {
  for (std::uint8_t type = kInt8; type <= kFloat64; ++type) {
    for (const bool big : {false, true}) {
      SCOPED_TRACE(testing::Message() << "datatype " << int{type} << ", big endian " << big);
      // in another order than the points', with gaps that no value is aligned by
      const std::vector<PointField> fields{{"ring", 1, type},  {"z", 11, type}, {"intensity", 19, type},
                                           {"time", 30, type}, {"x", 41, type}, {"y", 51, type}};
      const auto values = whole_numbers(12, fields.size());
      const OwnedCloud cloud = cloud_of(fields, values, 61, big, 3, 5);
      CloudPoints points;
      points.read(cloud.message());
      ASSERT_EQ(points.count(), 12);
      EXPECT_EQ(points.dropped(), 0);
      EXPECT_TRUE(points.has_remission());
      ASSERT_EQ(points.points().size(), 48U);
      ASSERT_EQ(points.ring().size(), 12U);
      ASSERT_EQ(points.time().size(), 12U);
      for (std::size_t i = 0; i < 12; ++i) {
        EXPECT_EQ(points.rows()[i], i);
        EXPECT_EQ(points.points()[4 * i], values[i][4]);
        EXPECT_EQ(points.points()[4 * i + 1], values[i][5]);
        EXPECT_EQ(points.points()[4 * i + 2], values[i][1]);
        EXPECT_EQ(points.points()[4 * i + 3], values[i][2]);
        EXPECT_EQ(points.ring()[i], values[i][0]);
        EXPECT_EQ(points.time()[i], values[i][3]);
      }
    }
  }
}

TEST(CloudPoints, TypesThatDifferFromFieldToField) {
  const OwnedCloud cloud = cloud_of({{"x", 0, kFloat64},
                                     {"y", 8, kInt16},
                                     {"z", 10, kFloat32},
                                     {"reflectivity", 14, kUint16},
                                     {"ring", 16, kUint8},
                                     {"t", 17, kUint32}},
                                    {{1.25, -7, 0.5, 65535, 200, 4e9}, {-2.5, 300, -1, 3, 0, 1}}, 21);
  CloudPoints points;
  points.read(cloud.message());
  EXPECT_EQ(std::vector(points.points().begin(), points.points().end()),
            (std::vector<float>{1.25, -7, 0.5, 65535, -2.5, 300, -1, 3}));
  EXPECT_EQ(std::vector(points.ring().begin(), points.ring().end()), (std::vector<std::int32_t>{200, 0}));
  EXPECT_EQ(std::vector(points.time().begin(), points.time().end()), (std::vector<double>{4e9, 1}));
}

TEST(CloudPoints, PointsThatAreNotThereAreDroppedAndTheOthersRemembered) {
  const OwnedCloud cloud = cloud_of({{"x", 0, kFloat32},
                                     {"y", 4, kFloat32},
                                     {"z", 8, kFloat32},
                                     {"intensity", 12, kFloat32},
                                     {"ring", 16, kUint16},
                                     {"time", 18, kFloat64}},
                                    {{kNaN, 1, 1, 1, 0, 0.0},
                                     {1, 2, 3, 4, 1, 0.1},
                                     {1, kInfinity, 1, 1, 2, 0.2},
                                     {5, 6, 7, kNaN, 3, 0.3},
                                     {1, 1, -kInfinity, 1, 4, 0.4},
                                     {9, 10, 11, 12, 5, 0.5}},
                                    26, false, 2, 3);
  CloudPoints points;
  points.read(cloud.message());
  EXPECT_EQ(points.total(), 6);
  EXPECT_EQ(points.dropped(), 3);
  EXPECT_EQ(std::vector(points.rows().begin(), points.rows().end()), (std::vector<std::uint32_t>{1, 3, 5}));
  EXPECT_EQ(std::vector(points.ring().begin(), points.ring().end()), (std::vector<std::int32_t>{1, 3, 5}));
  EXPECT_EQ(std::vector(points.time().begin(), points.time().end()), (std::vector<double>{0.1, 0.3, 0.5}));
  ASSERT_EQ(points.points().size(), 12U);
  EXPECT_TRUE(std::isnan(points.points()[7]));  // a remission is the profile's affair
  for (const std::size_t i : {0, 1, 2, 3}) EXPECT_EQ(points.points()[i], static_cast<float>(i + 1));
  for (const std::size_t i : {4, 5, 6}) EXPECT_EQ(points.points()[i], static_cast<float>(i + 1));
  for (const std::size_t i : {8, 9, 10, 11}) EXPECT_EQ(points.points()[i], static_cast<float>(i + 1));
}

TEST(CloudPoints, NamesOfDriversInAnyCase) {
  for (const char* name : {"remission", "Intensity", "REFLECTIVITY", "reflectance", "i", "amplitude"}) {
    CloudPoints points;
    points.read(
        cloud_of({{"X", 0, kFloat32}, {"y", 4, kFloat32}, {"Z", 8, kFloat32}, {name, 12, kUint8}}, {{1, 2, 3, 9}}, 13)
            .message());
    EXPECT_TRUE(points.has_remission()) << name;
    EXPECT_EQ(points.points()[3], 9) << name;
  }
  for (const char* name : {"ring", "channel", "Line", "beam"}) {
    CloudPoints points;
    points.read(
        cloud_of({{"x", 0, kFloat32}, {"y", 4, kFloat32}, {"z", 8, kFloat32}, {name, 12, kUint8}}, {{1, 2, 3, 9}}, 13)
            .message());
    ASSERT_EQ(points.ring().size(), 1U) << name;
    EXPECT_FALSE(points.has_remission());
  }
  for (const char* name : {"t", "time", "timestamp", "gps_time", "GPSTime", "offset_time", "time_offset"}) {
    CloudPoints points;
    points.read(
        cloud_of({{"x", 0, kFloat32}, {"y", 4, kFloat32}, {"z", 8, kFloat32}, {name, 12, kUint8}}, {{1, 2, 3, 9}}, 13)
            .message());
    ASSERT_EQ(points.time().size(), 1U) << name;
  }
}

TEST(CloudPoints, PlacesOnAPictureAreNoTime) {
  const auto times = [](const char* first, const char* second) {
    CloudPoints points;
    points.read(
        cloud_of(
            {{"x", 0, kFloat32}, {"y", 4, kFloat32}, {"z", 8, kFloat32}, {first, 12, kUint8}, {second, 13, kUint8}},
            {{1, 2, 3, 8, 9}}, 14)
            .message());
    return std::vector<double>(points.time().begin(), points.time().end());
  };
  EXPECT_EQ(times("S", "t"), std::vector<double>{});
  EXPECT_EQ(times("s", "time"), std::vector<double>{9});
  EXPECT_EQ(times("u", "t"), std::vector<double>{9});
}

TEST(CloudPoints, TheFirstOfSeveralRemissionsAndNoneOfSeveralValues) {
  CloudPoints points;
  points.read(cloud_of({{"x", 0, kFloat32},
                        {"y", 4, kFloat32},
                        {"z", 8, kFloat32},
                        {"amplitude", 12, kUint8},
                        {"intensity", 13, kUint8},
                        {"remission", 14, kUint8, 2}},
                       {{1, 2, 3, 7, 8, 9}}, 16)
                  .message());
  EXPECT_EQ(points.points()[3], 8);
}

TEST(CloudPoints, CoordinatesFarAwayLoseTheirOrigin) {
  const std::vector<std::vector<double>> utm{
      {kNaN, 5412345.678, 112}, {412345.625, 5412345.678, 112}, {412346.25, 5412340.5, 99}};
  const OwnedCloud cloud = cloud_of({{"x", 0, kFloat64}, {"y", 8, kFloat64}, {"z", 16, kFloat64}}, utm, 24);
  CloudPoints points;
  points.read(cloud.message());
  EXPECT_EQ(points.origin(), (std::array<double, 3>{412300, 5412300, 0}));
  ASSERT_EQ(points.count(), 2);
  for (std::size_t k = 0; k < 2; ++k)
    for (std::size_t axis = 0; axis < 3; ++axis)
      EXPECT_EQ(points.points()[4 * k + axis], static_cast<float>(utm[k + 1][axis] - points.origin()[axis]));
  points.read(plain({{5000, 0, 0}}).message());  // float32 has lost what there was already
  EXPECT_EQ(points.origin(), (std::array<double, 3>{}));
  EXPECT_EQ(points.points()[0], 5000);
}

TEST(CloudPoints, ABeamThatIsNoneIsMinusOne) {
  CloudPoints points;
  points.read(cloud_of({{"x", 0, kFloat32}, {"y", 4, kFloat32}, {"z", 8, kFloat32}, {"ring", 12, kFloat64}},
                       {{1, 2, 3, kNaN}, {1, 2, 3, 1e10}, {1, 2, 3, -1e10}, {1, 2, 3, 63}}, 20)
                  .message());
  EXPECT_EQ(std::vector(points.ring().begin(), points.ring().end()), (std::vector<std::int32_t>{-1, -1, -1, 63}));
}

TEST(CloudPoints, AnArrayOfThemWithoutACopy) {
  CloudPoints points;
  points.read(plain({{1, 2, 3}, {4, 5, 6}}).message());
  const Array array = points.array();
  EXPECT_EQ(array.shape(), (Shape{2, 4}));
  EXPECT_EQ(array.data<float>(), points.points().data());
}

TEST(CloudPoints, MessagesWithoutPoints) {
  CloudPoints points;
  points.read(plain({{1, 2, 3}}).message());
  OwnedCloud none = plain({});
  for (const auto& [height, width] : {std::pair{1U, 0U}, {0U, 5U}, {4000000000U, 0U}}) {
    none.height = height;
    none.width = width;
    points.read(none.message());
    EXPECT_EQ(points.count(), 0);
    EXPECT_EQ(points.total(), 0);
    EXPECT_TRUE(points.points().empty());
    EXPECT_EQ(points.array().shape(), (Shape{0, 4}));
  }
}

TEST(CloudPoints, ASingleRowMayHaveAnyRowStep) {
  OwnedCloud cloud = plain({{1, 2, 3}, {4, 5, 6}});
  for (const std::uint32_t step : {0U, 7U, 1000U}) {
    cloud.row_step = step;
    CloudPoints points;
    points.read(cloud.message());
    EXPECT_EQ(points.count(), 2);
    EXPECT_EQ(points.points()[5], 5);
  }
}

TEST(CloudPoints, OneLineSaysWhatIsWrong) {
  const OwnedCloud good = cloud_of({{"x", 0, kFloat32}, {"y", 4, kFloat32}, {"z", 8, kFloat32}},
                                   {{1, 2, 3}, {1, 2, 3}, {1, 2, 3}, {1, 2, 3}}, 12, false, 2, 4);
  EXPECT_EQ(error_of(good), "none");
  OwnedCloud bad = good;
  bad.row_step = 23;
  EXPECT_EQ(error_of(bad), "[cloud2] row_step expects 2 points of 12 bytes in a row, found 23 bytes");
  bad = good;
  bad.bytes.pop_back();
  EXPECT_EQ(error_of(bad), "[cloud2] data expects 2 rows of 28 bytes, found 55 bytes");
  bad.bytes.resize(57);
  EXPECT_EQ(error_of(bad), "[cloud2] data expects 2 rows of 28 bytes, found 57 bytes");
  bad = good;
  bad.fields[2].offset = 9;
  EXPECT_EQ(error_of(bad), "[cloud2] field z expects to end within a point's 12 bytes, found its end at 13");
  bad.fields[2].offset = 0xFFFFFFFF;
  EXPECT_EQ(error_of(bad), "[cloud2] field z expects to end within a point's 12 bytes, found its end at 4294967299");
  bad = good;
  bad.fields[1].count = 0xFFFFFFFF;
  EXPECT_EQ(error_of(bad), "[cloud2] field y expects to end within a point's 12 bytes, found its end at 17179869184");
  for (const int type : {0, 9, 255}) {
    bad = good;
    bad.fields[0].datatype = static_cast<std::uint8_t>(type);
    EXPECT_EQ(error_of(bad),
              "[cloud2] field x expects a datatype of 1 (int8) to 8 (float64), found " + std::to_string(type));
  }
  bad = good;
  bad.fields[1].name = "x";
  EXPECT_EQ(error_of(bad), "[cloud2] fields expects names that differ, found x twice");
  bad.fields[1].name = "w\nw";
  EXPECT_EQ(error_of(bad), "[cloud2] expects fields x, y and z of one value each, found no y among x, w?w, z");
  bad = good;
  bad.fields.clear();
  EXPECT_EQ(error_of(bad), "[cloud2] expects fields x, y and z of one value each, found no x among none");
  bad = good;
  bad.fields[0] = {"x", 0, kUint8, 3};
  EXPECT_NE(error_of(bad).find("found no x among"), std::string::npos);
  bad = good;
  bad.height = bad.width = bad.step = bad.row_step = 0xFFFFFFFF;
  EXPECT_NE(error_of(bad).find("[cloud2] "), std::string::npos);
}

TEST(CloudPoints, PaddingMayBeThereTwice) {
  CloudPoints points;
  points.read(cloud_of({{"x", 0, kFloat32},
                        {"_", 4, kUint8},
                        {"", 5, kUint8},
                        {"_", 6, kUint8},
                        {"", 7, kUint8},
                        {"y", 8, kFloat32},
                        {"z", 12, kFloat32}},
                       {{1, 0, 0, 0, 0, 2, 3}}, 16)
                  .message());
  EXPECT_EQ(points.points()[1], 2);
}

TEST(CloudPoints, ABadMessageLeavesWhatWasRead) {
  CloudPoints points;
  points.read(plain({{1, 2, 3}, {4, 5, 6}}).message());
  OwnedCloud bad = plain({{7, 8, 9}});
  bad.bytes.pop_back();
  EXPECT_THROW(points.read(bad.message()), InvalidArgument);
  bad = plain({{7, 8, 9}});
  bad.fields[1].name = "no";
  EXPECT_THROW(points.read(bad.message()), InvalidArgument);
  EXPECT_EQ(points.count(), 2);
  EXPECT_EQ(points.points()[4], 4);
}

}  // namespace
}  // namespace voxshift::ros
