// The scan files that the command's arguments name.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

namespace voxshift {

/// The scan files that `paths` name: a file stands for itself, a folder for the .bin, .npy, .ply and .pcd files in it,
/// hidden ones left out, in the order of `ls -v`: 2.bin before 10.bin. Throws IoError for a path that does not exist, a
/// file of another kind and a folder without scans.
std::vector<std::filesystem::path> list_scans(std::span<const std::filesystem::path> paths);

}  // namespace voxshift
