// Writes files that are complete or absent.
#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>

namespace voxshift {

/// Runs `writer` on a temporary file beside `path` and renames it to `path`. Whatever fails, the temporary is removed
/// and a file that was there before stays as it was. Throws IoError where the folder or the file cannot be written;
/// what `writer` throws passes through. A path that is a device or pipe (/dev/stdout) is written directly.
void write_atomically(const std::filesystem::path& path, const std::function<void(std::ostream&)>& writer);

}  // namespace voxshift
