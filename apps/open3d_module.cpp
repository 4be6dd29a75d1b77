// Reads .ply and .pcd; the only user of Open3D.
#include <open3d/t/io/PointCloudIO.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <exception>

#include "open3d_files.h"

namespace {

using open3d::core::Tensor;

/// [N, width] float32, contiguous, on the CPU.
Tensor as_float(const Tensor& attribute) { return attribute.To(open3d::core::Float32).Contiguous(); }

voxshift::Scan to_scan(const open3d::t::geometry::PointCloud& cloud) {
  const Tensor positions = as_float(cloud.GetPointAttr("positions"));
  voxshift::Scan scan{std::vector<float>(static_cast<std::size_t>(positions.GetLength()) * 4), 4};
  const float* xyz = positions.GetDataPtr<float>();
  for (std::int64_t i = 0; i < positions.GetLength(); ++i) std::copy_n(xyz + 3 * i, 3, scan.points.data() + 4 * i);

  for (const char* name : {"intensity", "remission", "reflectance", "scalar_intensity"}) {
    if (!cloud.HasPointAttr(name)) continue;
    const Tensor remission = as_float(cloud.GetPointAttr(name));
    if (remission.NumElements() != positions.GetLength()) continue;
    const float* value = remission.GetDataPtr<float>();
    for (std::int64_t i = 0; i < positions.GetLength(); ++i)
      scan.points[static_cast<std::size_t>(4 * i + 3)] = value[i];
    break;
  }
  return scan;
}

}  // namespace

void voxshift_open3d_read(const std::filesystem::path& path, voxshift::Scan& scan) {
  open3d::utility::SetVerbosityLevel(open3d::utility::VerbosityLevel::Error);
  open3d::t::geometry::PointCloud cloud;
  bool done = false;
  try {
    done = open3d::t::io::ReadPointCloud(path.string(), cloud) && cloud.HasPointAttr("positions");
    if (done) scan = to_scan(cloud);
  } catch (const std::exception&) {
    done = false;  // what Open3D says is several lines about its own source
  }
  voxshift::check<voxshift::IoError>(done, path.string(), ": Open3D cannot read this point cloud");
}
