// The trained models that come with voxshift.
#pragma once

#include <filesystem>
#include <string>

namespace voxshift {

/// `model`, or where it is empty or `name` itself, and no such file, the shipped model of this name: in the folder
/// VOXSHIFT_MODELS where that is set, else in share/voxshift/models beside the folder of the running program. For the
/// dtype "i8" it is `name`-i8, the same network in i8, which may be named itself, too. Throws IoError where it is not
/// there.
std::filesystem::path model_or_pretrained(const std::filesystem::path& model, const std::string& name,
                                          const std::string& dtype = "auto");

}  // namespace voxshift
