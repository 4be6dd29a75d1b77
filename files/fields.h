// Fields of points as they lie in a file's bytes, and the cloud that they make.
#pragma once

#include <voxshift/files/point_cloud.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace voxshift {

enum class Scalar { kI8, kU8, kI16, kU16, kI32, kU32, kI64, kU64, kF16, kF32, kF64 };

std::size_t size_of(Scalar type);
bool is_float(Scalar type);

/// One value of every point, or `several` that follow each other: those of point i start at first + i * stride.
struct Field {
  std::string name;
  Scalar type;
  const char* first;
  std::ptrdiff_t stride;
  bool swapped = false;  ///< the bytes of a value lie in the other order than this machine's
  std::size_t several = 1;
};

/// A field that a PointCloud has no place for: `several` values of every point, in this machine's byte order.
struct OtherField {
  std::string name;
  Scalar type;
  std::size_t several;
  std::vector<char> values;
};

/// Writes `value` at `to` as the type has it. False where the type cannot hold it: a fraction or too large a number.
bool store(double value, Scalar type, char* to);

/// The cloud of `count` points with these fields, known by their names (read_points.h). Throws IoError "FILE: .." where
/// x, y or z is missing or a field that is known is there twice. The fields that it has no place for are put behind
/// `others`, where that is given.
PointCloud cloud_of_fields(const std::string& file, std::span<const Field> fields, std::int64_t count,
                           std::vector<OtherField>* others = nullptr);

/// The cloud whose columns are x, y, z, remission and whatever more there is, all of one type.
PointCloud cloud_of_columns(std::span<const Field> columns, std::int64_t count);

/// As read_points, of the whole file's bytes, in the format that `extension` names, in lower case: ".bin", ".npy",
/// ".ply" or ".pcd". file: its name in errors. Fields of .ply and .pcd that a PointCloud has no place for are put
/// behind `others`, where that is given; lists and padding are left out.
PointCloud points_of_bytes(const std::string& file, const std::string& bytes, const std::string& extension,
                           std::optional<int> columns, std::vector<OtherField>* others = nullptr);

}  // namespace voxshift
