// sensor_msgs/PointCloud2 in plain types: nothing of ROS is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace voxshift::ros {

/// The numbers of sensor_msgs/PointField.
enum Datatype : std::uint8_t { kInt8 = 1, kUint8, kInt16, kUint16, kInt32, kUint32, kFloat32, kFloat64 };

/// Bytes of one value; 0 for a number that is none of Datatype's.
std::size_t size_of_datatype(std::uint8_t datatype);

/// Where a value of every point lies, in bytes from the point's first.
struct PointField {
  std::string name;
  std::uint32_t offset = 0;
  std::uint8_t datatype = kFloat32;
  std::uint32_t count = 1;  ///< values that follow each other; 0 is taken for 1, as some drivers write it
};

/// A message, less its header; fields and data belong to someone else. Source: docs.ros.org/en/api/sensor_msgs.
struct PointCloud2 {
  std::uint32_t height = 1, width = 0;  ///< rows of a scan, points in each; one row where points have no order
  std::span<const PointField> fields;
  bool is_bigendian = false;
  std::uint32_t point_step = 0, row_step = 0;  ///< bytes of a point, and of a row with its padding
  std::span<const std::uint8_t> data;
  bool is_dense = false;  ///< whether no point is invalid, which readers here find out by themselves

  std::int64_t points() const { return static_cast<std::int64_t>(height) * width; }
};

/// The message, once its numbers agree with each other; row_step of a single row whose bytes are those of its points is
/// corrected, as some drivers leave 0 there. Throws InvalidArgument "[cloud2] .." for rows shorter than their points,
/// data that are not height * row_step bytes, a field that ends behind its point, is there twice (but for "" and "_",
/// which are padding) or has an unknown datatype, and 2^31 points or more.
PointCloud2 checked(const PointCloud2& message);

/// The field of that name; null where there is none.
const PointField* find_field(const PointCloud2& message, const std::string& name);

}  // namespace voxshift::ros
