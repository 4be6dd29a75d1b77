// PointCloud2 messages byte by byte, from numbers, and numbers from their bytes; of the library the types alone.
#pragma once

#include <voxshift/ros/point_cloud2.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace voxshift::ros {

/// What owns a message's fields and bytes.
struct OwnedCloud {
  std::vector<PointField> fields;
  std::vector<std::uint8_t> bytes;
  std::uint32_t height = 1, width = 0, step = 0, row_step = 0;
  bool big = false, dense = false;

  PointCloud2 message() const { return {height, width, fields, big, step, row_step, bytes, dense}; }
};

template <class T>
std::vector<std::uint8_t> bytes_of(T value, bool big) {
  std::vector<std::uint8_t> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  if (big) std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

inline std::vector<std::uint8_t> bytes_of(double value, int datatype, bool big) {
  if (datatype == 1) return bytes_of(static_cast<std::int8_t>(value), big);
  if (datatype == 2) return bytes_of(static_cast<std::uint8_t>(value), big);
  if (datatype == 3) return bytes_of(static_cast<std::int16_t>(value), big);
  if (datatype == 4) return bytes_of(static_cast<std::uint16_t>(value), big);
  if (datatype == 5) return bytes_of(static_cast<std::int32_t>(value), big);
  if (datatype == 6) return bytes_of(static_cast<std::uint32_t>(value), big);
  if (datatype == 7) return bytes_of(static_cast<float>(value), big);
  return bytes_of(value, big);
}

/// points[i][f] is the value of field f; `pad` bytes follow each row. Bytes of no field are 0xEE.
inline OwnedCloud cloud_of(const std::vector<PointField>& fields, const std::vector<std::vector<double>>& points,
                           std::uint32_t step, bool big = false, std::uint32_t height = 1, std::uint32_t pad = 0) {
  OwnedCloud cloud;
  cloud.fields = fields;
  cloud.height = height;
  cloud.width = static_cast<std::uint32_t>(points.size()) / height;
  cloud.step = step;
  cloud.row_step = cloud.width * step + pad;
  cloud.big = big;
  cloud.bytes.assign(std::size_t{height} * cloud.row_step, 0xEE);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const std::size_t first = i / cloud.width * cloud.row_step + i % cloud.width * step;
    for (std::size_t f = 0; f < fields.size(); ++f) {
      const std::vector<std::uint8_t> value = bytes_of(points[i][f], fields[f].datatype, big);
      std::copy(value.begin(), value.end(),
                cloud.bytes.begin() + static_cast<std::ptrdiff_t>(first + fields[f].offset));
    }
  }
  return cloud;
}

/// The value of one type at a byte of a message.
template <class T>
T number_at(const PointCloud2& message, std::size_t byte) {
  std::uint8_t bytes[sizeof(T)];
  for (std::size_t b = 0; b < sizeof(T); ++b)
    bytes[message.is_bigendian ? sizeof(T) - 1 - b : b] = message.data[byte + b];
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

/// Point i's first byte.
inline std::size_t place_of(const PointCloud2& message, std::size_t i) {
  return i / message.width * message.row_step + i % message.width * message.point_step;
}

}  // namespace voxshift::ros
