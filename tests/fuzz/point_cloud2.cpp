// Bytes as a message of points, and what comes back with labels.
#include <voxshift/ros/cloud_points.h>
#include <voxshift/ros/labelled_cloud.h>

#include <array>
#include <string>
#include <vector>

#include "fuzz_input.h"
#include "taken_bytes.h"

namespace voxshift::fuzz {
namespace {

constexpr std::array kNames{"x", "y", "z", "intensity", "ring", "t", "label", "_"};

/// Mostly numbers that a message may have, at times any.
std::uint32_t number(TakenBytes& bytes) {
  const auto value = bytes.number<std::uint8_t>();
  return value == 255 ? bytes.number<std::uint32_t>() : value;
}

void label(const ros::PointCloud2& message, const ros::CloudPoints& points, TakenBytes& bytes) {
  const auto rows = static_cast<std::size_t>(points.count());
  expect(points.points().size() == 4 * rows && points.rows().size() == rows, "four values of every point");
  expect(points.total() == message.points() && points.dropped() >= 0, "a count of all points");
  std::vector<std::uint8_t> labels = bytes.take(rows);
  labels.resize(rows, 255);
  ros::CloudStyle style;
  const auto choice = bytes.number<std::uint8_t>();
  style.form = choice % 2 == 0 ? ros::CloudForm::kFields : ros::CloudForm::kColoured;
  style.ids = choice % 4 < 2 ? ros::LabelIds::kTrain : ros::LabelIds::kRaw;
  const std::vector<ClassInfo> classes{{"car", 10, {100, 150, 245}}, {"road", 40, {255, 0, 255}}};
  ros::LabelledCloud labelled(classes, style);
  const ros::PointCloud2 written = ros::checked(labelled.write(message, points, labels));
  const std::int64_t expected = style.form == ros::CloudForm::kFields ? message.points() : points.count();
  expect(written.points() == expected, "a message of as many points");
  expect(ros::find_field(written, style.field) != nullptr, "a field of labels");
}

}  // namespace
}  // namespace voxshift::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voxshift;
  fuzz::TakenBytes bytes(data, size);
  std::vector<ros::PointField> fields(bytes.number<std::uint8_t>() % 9);
  for (ros::PointField& field : fields) {
    field.name = fuzz::kNames.at(bytes.number<std::uint8_t>() % fuzz::kNames.size());
    field.offset = fuzz::number(bytes);
    field.datatype = bytes.number<std::uint8_t>() % 10;
    field.count = fuzz::number(bytes);
  }
  ros::PointCloud2 message;
  message.fields = fields;
  message.is_bigendian = bytes.number<std::uint8_t>() % 2 == 1;
  message.is_dense = bytes.number<std::uint8_t>() % 2 == 1;
  message.height = fuzz::number(bytes);
  message.width = fuzz::number(bytes);
  message.point_step = fuzz::number(bytes);
  message.row_step = fuzz::number(bytes);
  const std::vector<std::uint8_t> points_of_message = bytes.take(bytes.number<std::uint16_t>());
  message.data = points_of_message;
  fuzz::may_refuse([&] {
    ros::CloudPoints points;
    points.read(message);
    fuzz::label(message, points, bytes);
  });
  return 0;
}
