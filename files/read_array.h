// Arrays of numbers in NumPy's .npy.
#pragma once

#include <voxshift/tensor/array.h>

#include <filesystem>

namespace voxshift {

/// The array of a .npy file: float32, int32 or int64, one to four axes, C order, this machine's byte order. Throws
/// IoError "FILE: what is wrong, what was expected".
Array read_array(const std::filesystem::path& path);

}  // namespace voxshift
