// Fields of points as they lie in a file's bytes, and the cloud that they make.
#pragma once

#include <voxshift/files/point_cloud.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace voxshift {

enum class Scalar { kI8, kU8, kI16, kU16, kI32, kU32, kI64, kU64, kF16, kF32, kF64 };

std::size_t size_of(Scalar type);
bool is_float(Scalar type);

/// One value of every point: that of point i starts at first + i * stride.
struct Field {
  std::string name;
  Scalar type;
  const char* first;
  std::ptrdiff_t stride;
  bool swapped = false;  ///< the bytes of a value lie in the other order than this machine's
};

/// Writes `value` at `to` as the type has it. False where the type cannot hold it: a fraction or too large a number.
bool store(double value, Scalar type, char* to);

/// The cloud of `count` points with these fields, known by their names (read_points.h). Throws IoError "FILE: .." where
/// x, y or z is missing or a field that is known is there twice.
PointCloud cloud_of_fields(const std::string& file, std::span<const Field> fields, std::int64_t count);

/// The cloud whose columns are x, y, z, remission and whatever more there is, all of one type.
PointCloud cloud_of_columns(std::span<const Field> columns, std::int64_t count);

}  // namespace voxshift
