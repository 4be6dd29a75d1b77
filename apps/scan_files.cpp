#include "scan_files.h"

#include <voxshift/files/read_points.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
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
    std::vector<fs::path> inside;
    fs::directory_iterator entry(path, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      std::error_code dangling;
      if (is_point_file(entry->path()) && entry->is_regular_file(dangling)) inside.push_back(entry->path());
    }
    check<IoError>(!error, path.string(), ": cannot be listed: ", error.message());
    check<IoError>(!inside.empty(), path.string(), ": folder holds no .bin, .npy, .ply or .pcd file");
    std::ranges::sort(inside);
    scans.insert(scans.end(), inside.begin(), inside.end());
  }
  return scans;
}

}  // namespace voxshift
