// Where the command's own files lie: modules and models.
#pragma once

#include <filesystem>

namespace voxshift {

/// The folder of the running program, or what set_own_folder() has named.
std::filesystem::path own_folder();

/// For a command that is no program of its own: the folder of the Python package. To be called before the command runs.
void set_own_folder(std::filesystem::path folder);

/// `installed` relative to the own folder, as beside a program, else `name` in it, as in the Python package.
std::filesystem::path own_file(const std::filesystem::path& installed, const std::filesystem::path& name);

}  // namespace voxshift
