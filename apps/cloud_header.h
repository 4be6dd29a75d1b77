// Whether a .ply or .pcd file holds what its header claims, looked at before Open3D sees it.
#pragma once

#include <cstdint>
#include <filesystem>

namespace voxshift {

/// Number of points of a PLY file (ascii, binary little or big endian). Throws IoError where the file is not PLY, has
/// no floating-point x, y, z, or holds fewer or other values than its header says.
std::int64_t check_ply(const std::filesystem::path& path);

/// Number of points of a PCD file (ascii, binary, binary_compressed). Throws IoError likewise.
std::int64_t check_pcd(const std::filesystem::path& path);

}  // namespace voxshift
