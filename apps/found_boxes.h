// Boxes of a scan as the command's files and pictures show them.
#pragma once

#include <voxshift/files/point_cloud.h>
#include <voxshift/tasks/classes.h>
#include <voxshift/tensor/box.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

struct FoundBox {
  Box3d box;
  float score = 0;
  std::int32_t class_id = 0;
};

/// What a picture of boxes shows; the views must outlive the call that draws them.
struct DetectedScan {
  const PointCloud& scan;
  std::span<const FoundBox> boxes;  ///< best first
  std::span<const ClassInfo> classes;
  std::string title;  ///< the name of the scan
};

/// Whether the point lies in the box.
inline bool holds(const Box3d& box, const float* point) {
  const float dx = point[0] - box.x, dy = point[1] - box.y, c = std::cos(box.yaw), s = std::sin(box.yaw);
  return std::abs(c * dx + s * dy) <= box.length / 2 && std::abs(c * dy - s * dx) <= box.width / 2 &&
         std::abs(point[2] - box.z) <= box.height / 2;
}

}  // namespace voxshift
