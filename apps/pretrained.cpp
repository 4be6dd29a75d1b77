#include "pretrained.h"

#include <voxshift/tensor/error.h>

#include <cstdlib>
#include <system_error>

#include "own_files.h"

namespace voxshift {

std::filesystem::path model_or_pretrained(const std::filesystem::path& model, const std::string& name,
                                          const std::string& dtype) {
  std::error_code ignored;
  const std::string in_i8 = name + "-i8";
  const bool named = model == name || model == in_i8;
  if (!model.empty() && (!named || std::filesystem::exists(model, ignored))) return model;
  const char* set = std::getenv("VOXSHIFT_MODELS");
  const std::filesystem::path folder =
      set != nullptr ? std::filesystem::path(set) : own_file(VOXSHIFT_MODEL_FOLDER, "models");
  std::filesystem::path path =
      (folder / ((dtype == "i8" || model == in_i8 ? in_i8 : name) + ".safetensors")).lexically_normal();
  check<IoError>(std::filesystem::exists(path, ignored), path.string(),
                 ": the trained model is missing; give one with --model, or its folder with VOXSHIFT_MODELS");
  return path;
}

}  // namespace voxshift
