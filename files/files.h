// Files that users name: how they are opened, and in what order a folder lists them.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <string_view>
#include <vector>

namespace voxshift {

/// The bytes of an ordinary file; a pipe, which nobody may ever write to, is none. Throws IoError "PATH: ..".
std::ifstream open_file(const std::filesystem::path& path);

/// Whether `a` comes before `b` where numbers count by their value, as `ls -v` has it: 2.png before 10.png.
bool natural_less(std::string_view a, std::string_view b);

/// What a folder holds that `wanted` takes, in natural order of the names; neither folders nor hidden files (".x", and
/// "._x" of macOS). Throws IoError "FOLDER: cannot be listed: ..".
std::vector<std::filesystem::path> list_files(const std::filesystem::path& folder,
                                              const std::function<bool(const std::filesystem::path&)>& wanted);

}  // namespace voxshift
