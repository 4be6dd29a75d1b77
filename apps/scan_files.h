// Point cloud files that the command reads: .bin, .npy, .ply, .pcd.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

/// One point cloud. Columns are x, y, z in metres, remission in the file's own unit (0 where the file has none), and
/// whatever more the file holds; so `columns` is at least 4.
struct Scan {
  std::vector<float> points;  ///< row-major [count, columns]
  std::int64_t columns = 4;

  std::int64_t count() const { return static_cast<std::int64_t>(points.size()) / columns; }
};

/// Reads one scan by the extension of its name.
///  .bin        float32 rows of `columns` values, no header (KITTI 4, nuScenes 5); `columns` matters here only
///  .npy        float32 or float64 [N, C >= 3], C order, little endian, format 1.0 to 3.0
///  .ply .pcd   through Open3D; a scalar field intensity, remission, reflectance or scalar_intensity is the 4th column
/// Throws IoError "FILE: what is wrong, what was expected" for a file that is missing, empty, cut or not what its name
/// says; BackendUnavailable where .ply and .pcd are not part of the build. Memory is bounded by the size of the file.
Scan read_scan(const std::filesystem::path& path, int columns = 4);

/// The scan files that `paths` name: a file stands for itself, a folder for the .bin, .npy, .ply and .pcd files in it,
/// sorted by name. Throws IoError for a path that does not exist, a file of another kind and a folder without scans.
std::vector<std::filesystem::path> list_scans(std::span<const std::filesystem::path> paths);

/// The bytes of a regular file. Throws IoError where it cannot be read or holds none: "is empty, expected CONTENT".
std::string read_bytes(const std::filesystem::path& path, const char* content = "a point cloud");

}  // namespace voxshift
