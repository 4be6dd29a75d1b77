// The scan files that the command's arguments name.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <vector>

namespace voxshift {

/// The scan files that `paths` name: a file stands for itself, a folder for the .bin, .npy, .ply and .pcd files in it,
/// hidden ones left out, in the order of `ls -v`: 2.bin before 10.bin. Throws IoError for a path that does not exist, a
/// file of another kind and a folder without scans.
std::vector<std::filesystem::path> list_scans(std::span<const std::filesystem::path> paths);

/// Throws InvalidArgument where a result, of those that `results_of` names for each scan, would replace a scan or
/// another scan's result: that would lose data.
void check_results(const std::vector<std::filesystem::path>& scans,
                   const std::function<std::vector<std::filesystem::path>(const std::filesystem::path&)>& results_of);

}  // namespace voxshift
