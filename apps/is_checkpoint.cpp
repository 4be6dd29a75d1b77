#include <voxshift/tasks/model.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>

#include "checkpoint_info.h"

namespace voxshift {

bool is_named_as_checkpoint(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 7> kSuffixes{".pth", ".pt", ".tar", ".ckpt", ".t7", ".th", ".pkl"};
  return std::ranges::find(kSuffixes, path.extension().string()) != kSuffixes.end();
}

bool is_checkpoint(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  std::string start(9, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  if (start[8] == '{') {
    try {
      return !is_model_file(path);
    } catch (const IoError&) {
      return false;  // a damaged model file
    }
  }
  return start.starts_with("PK\3\4") || (start[0] == '\x80' && static_cast<unsigned char>(start[1]) <= 5) ||
         is_named_as_checkpoint(path);
}

}  // namespace voxshift
