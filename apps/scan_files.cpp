#include "scan_files.h"

#include <voxshift/files/files.h>
#include <voxshift/files/read_points.h>
#include <voxshift/tensor/error.h>

#include <system_error>

namespace voxshift {

namespace fs = std::filesystem;

std::vector<fs::path> list_scans(std::span<const fs::path> paths) {
  std::vector<fs::path> scans;
  for (const fs::path& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    check<IoError>(fs::exists(status), path.string(), ": no such file or folder");
    if (!fs::is_directory(status)) {
      check<IoError>(is_point_file(path), not_a_point_file(path));
      scans.push_back(path);
      continue;
    }
    const std::vector<fs::path> inside = list_files(path, [](const fs::path& file) {
      std::error_code dangling;
      return is_point_file(file) && fs::is_regular_file(file, dangling);
    });
    check<IoError>(!inside.empty(), path.string(), ": folder holds no .bin, .npy, .ply or .pcd file");
    scans.insert(scans.end(), inside.begin(), inside.end());
  }
  return scans;
}

}  // namespace voxshift
