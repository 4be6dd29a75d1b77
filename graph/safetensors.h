// The safetensors file: named tensors and string metadata.
#pragma once

#include <voxshift/tensor/array.h>

#include <filesystem>
#include <map>
#include <string>

namespace voxshift {

struct SafeTensors {
  std::map<std::string, Array> tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads a file; every length is checked against the file's size before memory is taken. Throws IoError "FILE: what is
/// wrong". Format: 8 bytes header length, JSON header, data (github.com/huggingface/safetensors).
SafeTensors read_safetensors(const std::filesystem::path& path);

/// The tensors as f16, rounded to nearest, and f16 ones as f32, exactly; other dtypes stay. halved throws
/// InvalidArgument, which names the tensor, for a number that is beyond f16's range or not finite.
std::map<std::string, Array> halved(const std::map<std::string, Array>& tensors);
std::map<std::string, Array> widened(const std::map<std::string, Array>& tensors);

/// Writes under a temporary name beside `path`, then renames: a failure leaves what was there. Throws IoError.
void write_safetensors(const std::filesystem::path& path, const SafeTensors& content);

}  // namespace voxshift
