#include <voxshift/ros/point_cloud2.h>
#include <voxshift/tensor/error.h>

#include <algorithm>

namespace voxshift::ros {
namespace {

constexpr std::size_t kSizes[] = {0, 1, 1, 2, 2, 4, 4, 4, 8};

void check_rows(const PointCloud2& message) {
  // 32-bit factors: no product of two overflows 64 bits
  const std::uint64_t height = message.height, width = message.width;
  check(height == 0 || width * message.point_step <= message.row_step, "[cloud2] row_step expects ", width,
        " points of ", message.point_step, " bytes in a row, found ", message.row_step, " bytes");
  check(height * message.row_step == message.data.size(), "[cloud2] data expects ", height, " rows of ",
        message.row_step, " bytes, found ", message.data.size(), " bytes");
  check(height * width < std::uint64_t{1} << 31, "[cloud2] expects fewer than 2^31 points, found ", height, " x ",
        width);
}

void check_field(const PointCloud2& message, std::size_t index) {
  const PointField& field = message.fields[index];
  const std::size_t size = size_of_datatype(field.datatype);
  check(size > 0, "[cloud2] field ", field.name, " expects a datatype of 1 (int8) to 8 (float64), found ",
        static_cast<int>(field.datatype));
  const std::uint64_t end = field.offset + std::max<std::uint64_t>(field.count, 1) * size;
  check(end <= message.point_step, "[cloud2] field ", field.name, " expects to end within a point's ",
        message.point_step, " bytes, found its end at ", end);
  if (field.name.empty() || field.name == "_") return;
  const auto before = message.fields.first(index);
  check(std::ranges::none_of(before, [&](const PointField& other) { return other.name == field.name; }),
        "[cloud2] fields expects names that differ, found ", field.name, " twice");
}

}  // namespace

std::size_t size_of_datatype(std::uint8_t datatype) { return datatype < std::size(kSizes) ? kSizes[datatype] : 0; }

PointCloud2 checked(const PointCloud2& message) {
  PointCloud2 result = message;
  const std::uint64_t row = static_cast<std::uint64_t>(message.width) * message.point_step;
  if (message.height == 1 && message.data.size() == row && row < std::uint64_t{1} << 32)
    result.row_step = static_cast<std::uint32_t>(row);
  check_rows(result);
  for (std::size_t f = 0; f < result.fields.size(); ++f) check_field(result, f);
  return result;
}

const PointField* find_field(const PointCloud2& message, const std::string& name) {
  const auto found = std::ranges::find(message.fields, name, &PointField::name);
  return found == message.fields.end() ? nullptr : &*found;
}

}  // namespace voxshift::ros
