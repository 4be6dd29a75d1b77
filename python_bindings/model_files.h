// Where the files of models are that are not named by a path.
#pragma once

#include <filesystem>
#include <string>

namespace voxshift::python {

/// The file of a model in a Hugging Face Hub's repository, hf://.., which voxshift.hub brings; any other path as it is.
std::filesystem::path model_file(const std::filesystem::path& path);

/// The file of a shipped model; with prefer_i8 the i8 one beside it, where there is one. Throws InvalidArgument for a
/// name that none has. With the GIL.
std::filesystem::path shipped_file(const std::string& name, bool prefer_i8);

}  // namespace voxshift::python
