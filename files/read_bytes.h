// Reads the whole content of a file.
#pragma once

#include <filesystem>
#include <string>

namespace voxshift {

/// The bytes of a regular file; anything else, such as a pipe, is refused before it is opened. Throws IoError "FILE:
/// ..." where it cannot be read or holds none: "is empty, expected CONTENT".
std::string read_bytes(const std::filesystem::path& path, const char* content);

}  // namespace voxshift
