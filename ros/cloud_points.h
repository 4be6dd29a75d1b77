// From the bytes of a PointCloud2 to the points that a network takes.
#pragma once

#include <voxshift/ros/point_cloud2.h>
#include <voxshift/tensor/array.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace voxshift::ros {

/// The points of one message after the other, in memory that is kept: once the largest message has been seen, read()
/// allocates nothing.
class CloudPoints {
 public:
  /// Takes a message of any layout, byte order and datatypes. Fields are known by their names, whatever the case: x, y
  /// and z; remission, intensity, reflectivity, reflectance, i or amplitude; ring, channel, line or beam; t, time,
  /// timestamp, gps_time, gpstime, offset_time or time_offset: the first that is there, of one value per point. A point
  /// with NaN or infinity for a coordinate is dropped. Throws InvalidArgument as checked() does, and where x, y or z is
  /// missing or has several values per point; what was read before stays then.
  void read(const PointCloud2& message);

  /// f32 [count, 4], row-major: x, y, z in the message's unit less origin(), remission in its own unit or 0.
  std::span<const float> points() const { return points_; }
  std::int64_t count() const { return static_cast<std::int64_t>(rows_.size()); }

  /// The same as an array, without a copy: for use until the next read().
  Array array();

  /// Which of the message's points each is, counted row by row, ascending.
  std::span<const std::uint32_t> rows() const { return rows_; }

  /// The message's points, those that were dropped included, and how many these are.
  std::int64_t total() const { return total_; }
  std::int64_t dropped() const { return total_ - count(); }

  /// Per point, empty where the message has none: the beam, -1 for a number that is none; and the time in its own unit.
  std::span<const std::int32_t> ring() const { return ring_; }
  std::span<const double> time() const { return time_; }

  bool has_remission() const { return has_remission_; }

  /// Not 0 on axes of float64, int32 or uint32 whose first valid point lies further than 1000: that point in whole
  /// hundreds. f32 would round there: of UTM to half a metre.
  const std::array<double, 3>& origin() const { return origin_; }

 private:
  void read_coordinates(const PointCloud2& message, const std::array<const PointField*, 3>& axes);
  void keep_finite();

  std::vector<float> points_;
  std::vector<std::uint32_t> rows_;
  std::vector<std::int32_t> ring_;
  std::vector<double> time_;
  std::int64_t total_ = 0;
  bool has_remission_ = false;
  std::array<double, 3> origin_{};
};

}  // namespace voxshift::ros
