// Once the largest message has been seen, messages become points, and points with labels messages, without a call of
// the allocator.
#include <gtest/gtest.h>
#include <voxshift/ros/generated_message.h>
#include <voxshift/ros/labelled_cloud.h>

#include <limits>

#include "counting_allocator.h"
#include "message_bytes.h"

namespace voxshift::ros {
namespace {

/// The members of the class that ROS generates of the message.
struct GeneratedField {
  std::string name;
  std::uint32_t offset = 0;
  std::uint8_t datatype = 0;
  std::uint32_t count = 0;
};
struct GeneratedCloud {
  std::uint32_t height = 0, width = 0;
  std::vector<GeneratedField> fields;
  bool is_bigendian = false;
  std::uint32_t point_step = 0, row_step = 0;
  std::vector<std::uint8_t> data;
  bool is_dense = false;
};

OwnedCloud message_of(std::size_t n) {
  const std::vector<PointField> fields{{"x", 0, kFloat64},
                                       {"y", 8, kFloat32},
                                       {"z", 12, kFloat32},
                                       {"intensity", 16, kUint8},
                                       {"ring", 17, kUint16},
                                       {"time", 20, kFloat64},
                                       {"a_name_that_no_short_string_holds", 28, kUint8}};
  std::vector<std::vector<double>> points;
  for (std::size_t i = 0; i < n; ++i) {
    const auto value = static_cast<double>(i);
    points.push_back({i % 5 == 2 ? std::numeric_limits<double>::quiet_NaN() : 6000 + value, value, 2, 3, 4, 5, 6});
  }
  return cloud_of(fields, points, 32);
}

TEST(GeneratedMessage, ThereAndBack) {
  const OwnedCloud cloud = message_of(4);
  GeneratedCloud generated;
  assign(cloud.message(), generated);
  EXPECT_EQ(generated.width, 4U);
  EXPECT_EQ(generated.height, 1U);
  EXPECT_EQ(generated.point_step, 32U);
  EXPECT_EQ(generated.row_step, 128U);
  EXPECT_EQ(generated.data, cloud.bytes);
  ASSERT_EQ(generated.fields.size(), 7U);
  EXPECT_EQ(generated.fields[4].name, "ring");
  EXPECT_EQ(generated.fields[4].offset, 17U);
  EXPECT_EQ(generated.fields[4].datatype, kUint16);
  EXPECT_EQ(generated.fields[4].count, 1U);
  generated.is_bigendian = generated.is_dense = true;
  std::vector<PointField> fields(9);
  const PointCloud2 view = view_of(generated, fields);
  EXPECT_EQ(view.width, 4U);
  EXPECT_EQ(view.row_step, 128U);
  EXPECT_TRUE(view.is_bigendian);
  EXPECT_TRUE(view.is_dense);
  EXPECT_EQ(view.data.data(), generated.data.data());
  EXPECT_EQ(view.data.size(), 128U);
  ASSERT_EQ(view.fields.size(), 7U);
  EXPECT_EQ(view.fields[6].name, "a_name_that_no_short_string_holds");
  EXPECT_EQ(view.fields[6].offset, 28U);
}

TEST(CloudAllocation, NothingAfterTheLargestMessage) {
  if (!kCanCount) GTEST_SKIP() << "a sanitizer, or another libc than glibc, has the allocator";
  const std::vector<ClassInfo> classes{{"road", 40, {1, 2, 3}}, {"car", 10, {4, 5, 6}}};
  for (const CloudForm form : {CloudForm::kFields, CloudForm::kColoured}) {
    CloudPoints points;
    LabelledCloud writer(classes, {.form = form});
    std::vector<PointField> fields;
    const std::vector<std::uint8_t> labels(1000, 1);
    const auto frame = [&](const GeneratedCloud& message) {
      const PointCloud2 view = view_of(message, fields);
      points.read(view);
      return writer.write(view, points, std::span(labels).first(static_cast<std::size_t>(points.count()))).points();
    };
    GeneratedCloud largest;
    assign(message_of(1000).message(), largest);
    EXPECT_GT(calls_in([&] { frame(largest); }), 0);
    for (const std::size_t n : {1000, 999, 500, 1, 0, 1000}) {
      GeneratedCloud message;
      assign(message_of(n).message(), message);
      std::int64_t written = 0;
      EXPECT_EQ(calls_in([&] { written = frame(message); }), 0) << n;
      EXPECT_EQ(written, form == CloudForm::kFields ? static_cast<std::int64_t>(n) : points.count());
    }
  }
}

}  // namespace
}  // namespace voxshift::ros
