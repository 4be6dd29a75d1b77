// The safetensors file: named tensors and string metadata.
#pragma once

#include <voxshift/tensor/array.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

struct SafeTensors {
  std::map<std::string, Array> tensors;
  std::map<std::string, std::string> metadata;
};

/// A tensor as the header describes it.
struct SafeTensorsEntry {
  std::string tensor;
  std::string dtype;  ///< the file's word, "F32", "BF16", ..; any other than the reference's is possible
  Shape shape;
  std::uint64_t position = 0, bytes = 0;  ///< of the data, in the file
};

struct SafeTensorsHeader {
  std::vector<SafeTensorsEntry> entries;  ///< in the order of their data, of which no byte belongs to two
  std::map<std::string, std::string> metadata;
};

/// The header alone; the data of each tensor lies in the file and has as many bytes as its shape needs, where the dtype
/// is one of the reference's. Throws as read_safetensors() does.
SafeTensorsHeader read_safetensors_header(const std::filesystem::path& path);

/// Reads a file; every length is checked against the file's size before memory is taken. Throws IoError "FILE: what is
/// wrong". Format: 8 bytes header length, JSON header, data (github.com/huggingface/safetensors).
SafeTensors read_safetensors(const std::filesystem::path& path);

/// The same of a file's bytes in memory, which are copied; `name` stands for FILE.
SafeTensors read_safetensors(std::span<const std::byte> bytes, const std::string& name);

/// The f32 tensors but for those `kept` as f16 or bf16, rounded to nearest, and f16 and bf16 ones as f32, exactly;
/// other dtypes stay. narrowed throws InvalidArgument, which names the tensor, for a number that is beyond f16's range
/// or not finite.
std::map<std::string, Array> narrowed(const std::map<std::string, Array>& tensors, DType dtype,
                                      const std::set<std::string>& kept = {});
std::map<std::string, Array> widened(const std::map<std::string, Array>& tensors);

/// Writes under a temporary name beside `path`, then renames: a failure leaves what was there. Throws IoError.
void write_safetensors(const std::filesystem::path& path, const SafeTensors& content);

}  // namespace voxshift
