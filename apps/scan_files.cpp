#include "scan_files.h"

#include <voxshift/files/files.h>
#include <voxshift/files/read_points.h>
#include <voxshift/tensor/error.h>

#include <set>
#include <system_error>

namespace voxshift {

namespace fs = std::filesystem;

namespace {

// Where a path leads; a link to an unnamed pipe (/dev/stdin), or to itself, leads nowhere and stands for itself.
fs::path target_of(const fs::path& path) {
  std::error_code error;
  const fs::path target = fs::weakly_canonical(path, error);
  return error ? fs::absolute(path) : target;
}

}  // namespace

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

void check_results(const std::vector<fs::path>& scans,
                   const std::function<std::vector<fs::path>(const fs::path&)>& results_of) {
  std::set<fs::path> taken;
  for (const fs::path& scan : scans) taken.insert(target_of(scan));
  for (const fs::path& scan : scans)
    for (const fs::path& result : results_of(scan))
      check(taken.insert(target_of(result)).second, result.string(), ": the result of ", scan.string(),
            " would replace a scan or another scan's result; give another --out or run them apart");
}

}  // namespace voxshift
