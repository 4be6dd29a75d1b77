// A point cloud as read from a file.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace voxshift {

/// One point cloud. `points` is row-major [count, columns]: x, y, z in metres less `origin`, remission in the file's
/// own unit (0 where it has none), then what more columns a .bin or .npy file has; so `columns` is at least 4.
struct PointCloud {
  std::vector<float> points;
  std::int64_t columns = 4;
  bool has_remission = false;
  std::array<double, 3> origin{};      ///< not 0 where float32 would round the file's coordinates, as those of UTM
  std::vector<std::uint8_t> rgb = {};  ///< [count, 3], or empty where the file has none; so are those below
  std::vector<std::uint32_t> label = {};
  std::vector<std::int32_t> ring = {};
  std::vector<double> time = {};        ///< in the file's own unit
  std::vector<std::string> notes = {};  ///< what was guessed of the file, a line each

  std::int64_t count() const { return static_cast<std::int64_t>(points.size()) / columns; }
};

}  // namespace voxshift
