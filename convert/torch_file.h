// Checkpoints that torch.load reads.
#pragma once

#include <voxshift/tensor/array.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace voxshift {

/// A state dict to be written.
struct TorchFile {
  std::vector<std::pair<std::string, Array>> tensors;  ///< f32, f16, bf16, i64, i32, i8 or u8, on the CPU, by name
  std::map<std::string, std::int64_t> versions;        ///< `_metadata`: of modules, by name without a dot at the end
  std::string key;  ///< where the state dict lies in the file's dict; empty: it is the file
};

/// Writes a zip file with an OrderedDict of tensors, as torch.save does: torch.load takes it, with weights_only, too.
/// Under a temporary name first, so a failure leaves what was there; the same content gives the same bytes. Throws
/// IoError "FILE: what is wrong", and InvalidArgument for a tensor on another device.
void write_torch_file(const std::filesystem::path& path, const TorchFile& file);

}  // namespace voxshift
