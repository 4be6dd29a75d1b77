// The boundary to Open3D, which lives in a shared library of its own (open3d_module.cpp).
#pragma once

#include <filesystem>

#include "scan_files.h"

namespace voxshift {

/// Reads a .ply or .pcd file that `check_ply` or `check_pcd` has passed. [N, 4]: x, y, z and the scalar field
/// intensity, remission, reflectance or scalar_intensity, else 0. Throws IoError where Open3D cannot read it,
/// BackendUnavailable where this build has no Open3D.
Scan read_cloud(const std::filesystem::path& path);

}  // namespace voxshift

/// What libvoxshift_open3d exports.
extern "C" void voxshift_open3d_read(const std::filesystem::path& path, voxshift::Scan& scan);
