// `voxshift info` of checkpoints that are no model files.
#pragma once

#include <filesystem>

namespace voxshift {

/// Whether the file begins as one of PyTorch's checkpoints does, is named as one and begins otherwise than
/// .safetensors, or is a .safetensors that holds no model of voxshift.
bool is_checkpoint(const std::filesystem::path& path);

/// Whether the suffix is one that PyTorch's checkpoints have: .pth, .pt, ..
bool is_named_as_checkpoint(const std::filesystem::path& path);

/// Prints what the checkpoint holds: tensors, values, and the objects that are not read. Throws IoError;
/// BackendUnavailable where voxshift::convert is not built.
void print_checkpoint(const std::filesystem::path& path);

}  // namespace voxshift
