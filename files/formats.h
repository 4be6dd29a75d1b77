// The readers behind read_points(), one file each.
#pragma once

#include <voxshift/files/point_cloud.h>

#include <optional>
#include <string>
#include <vector>

#include "fields.h"

namespace voxshift {

/// `bytes` is the whole file, `file` its name for messages; others as of cloud_of_fields.
PointCloud read_bin(const std::string& file, const std::string& bytes, std::optional<int> columns);
PointCloud read_npy(const std::string& file, const std::string& bytes);
PointCloud read_ply(const std::string& file, const std::string& bytes, std::vector<OtherField>* others);
PointCloud read_pcd(const std::string& file, const std::string& bytes, std::vector<OtherField>* others);

}  // namespace voxshift
