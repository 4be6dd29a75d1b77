#include <voxshift/files/read_bytes.h>
#include <voxshift/files/read_points.h>
#include <voxshift/tensor/error.h>

#include <cctype>
#include <map>

#include "formats.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

}  // namespace

bool is_point_file(const fs::path& path) {
  const std::string extension = lower_extension(path);
  return extension == ".bin" || extension == ".npy" || extension == ".ply" || extension == ".pcd";
}

std::string not_a_point_file(const fs::path& path) {
  static const std::map<std::string, const char*> converters = {
      {".las", "pdal translate scan.las scan.ply"},
      {".laz", "pdal translate scan.laz scan.ply"},
      {".e57", "pdal translate scan.e57 scan.ply"},
      {".bag", "rosrun pcl_ros bag_to_pcd"},
      {".db3", "ros2 run pcl_ros bag_to_pcd"},
      {".mcap", "ros2 run pcl_ros bag_to_pcd"},
      {".pcap", "the sensor's own tool, to .pcd"},
      {".xyz", "numpy.save(\"scan.npy\", numpy.loadtxt(\"scan.xyz\"))"},
      {".txt", "numpy.save(\"scan.npy\", numpy.loadtxt(\"scan.txt\"))"},
      {".csv", "numpy.save(\"scan.npy\", numpy.loadtxt(\"scan.csv\", delimiter=\",\", skiprows=1))"}};
  const auto found = converters.find(lower_extension(path));
  return path.string() + ": expected a .bin, .npy, .ply or .pcd file" +
         (found == converters.end() ? "" : std::string("; convert it: ") + found->second);
}

PointCloud read_points(const fs::path& path, std::optional<int> columns) {
  check<IoError>(is_point_file(path), not_a_point_file(path));
  return points_of_bytes(path.string(), read_bytes(path, "a point cloud"), lower_extension(path), columns);
}

PointCloud points_of_bytes(const std::string& file, const std::string& bytes, const std::string& extension,
                           std::optional<int> columns, std::vector<OtherField>* others) {
  if (extension == ".bin") return read_bin(file, bytes, columns);
  if (extension == ".npy") return read_npy(file, bytes);
  return extension == ".ply" ? read_ply(file, bytes, others) : read_pcd(file, bytes, others);
}

}  // namespace voxshift
