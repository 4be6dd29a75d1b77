// Models as ONNX files.
#pragma once

#include <voxshift/tasks/model.h>

#include <filesystem>

namespace voxshift {

/// Writes a model on frames as write_onnx() does, with its preprocessing and the names of its classes as metadata,
/// which convert() takes back. Where it has preprocessing the file is for frames of that size.
void write_onnx(const Model& model, const std::filesystem::path& path);

}  // namespace voxshift
