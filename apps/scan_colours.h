// The colours in which `voxshift view` shows a scan.
#pragma once

#include <voxshift/files/point_cloud.h>
#include <voxshift/tasks/classes.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

/// [N, 3], and in words where they are from.
struct ScanColours {
  std::vector<std::uint8_t> rgb;
  std::string source;
};

/// Of the classes of labels [N], grey where there is none.
std::vector<std::uint8_t> class_colours(std::span<const std::uint8_t> labels, std::span<const ClassInfo> classes);

/// Of the scan itself: its own where the file has some; else the remission; else the height. Values are spread over
/// blue, cyan, green, yellow and red, from the lowest 1 % to the highest 2 %.
ScanColours own_colours(const PointCloud& scan);

}  // namespace voxshift
