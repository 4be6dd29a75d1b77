// The bytes of point files, for tests.
#pragma once

#include <voxshift/files/read_points.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "file_test.h"

namespace voxshift {

using PointFiles = FileTest;

inline std::string refusal(const fs::path& path, std::optional<int> columns = {}) {
  return io_error(path, [&] { read_points(path, columns); });
}

inline std::string npy(const std::string& dictionary, const std::string& data, char major = 1) {
  std::string text = "\x93NUMPY";
  text += major;
  text += '\0';
  const auto size = static_cast<std::uint32_t>(dictionary.size());
  text.append(reinterpret_cast<const char*>(&size), major == 1 ? 2 : 4);
  return text + dictionary + data;
}

/// How files call a type, and the bytes of a value.
struct TypeOfFiles {
  std::string ply, pcd;  ///< empty: the format has none
  std::function<std::string(double)> bytes;
};

template <class T>
TypeOfFiles type_of(const std::string& ply, const std::string& pcd) {
  return {ply, pcd, [](double value) { return bytes_of(std::vector<T>{static_cast<T>(value)}); }};
}

inline std::string turned(std::string bytes) {
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

}  // namespace voxshift
