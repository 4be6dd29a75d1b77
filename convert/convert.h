// Trained networks of other libraries, as models of ours.
#pragma once

#include <voxshift/checkpoints/checkpoint.h>
#include <voxshift/tasks/model.h>

#include <filesystem>
#include <string>
#include <vector>

namespace voxshift {

/// What a checkpoint cannot say, or what is wanted otherwise.
struct ConvertOptions {
  std::string from = "auto";         ///< one of source_names(); auto: told from the names and shapes of the tensors
  std::string arch;                  ///< where one set of tensors may be of two networks: "minkunet" or "spvcnn"
  std::string layout;                ///< of the kernels, as kernel_layout() names it; empty: told from their shapes
  std::vector<std::string> classes;  ///< names by train id; empty: of the data set with so many classes
  std::string preprocess;            ///< a known profile or a JSON file; empty: that of the source
  std::vector<std::string> outputs;  ///< of ONNX: values to give in place of the file's outputs
};

/// A model and how it came about, a line each.
struct Conversion {
  Model model;
  std::string source;                 ///< one of source_names()
  std::vector<std::string> report;    ///< what was recognised, mapped, left out and why
  std::vector<std::string> warnings;  ///< guesses: what the checkpoint does not say
};

/// "spvnas", "mmdet3d", ..: what networks the converter knows, by where they are trained.
std::vector<std::string> source_names();

/// The network of a checkpoint with its tensors under their own names. Every tensor has its place in the network, is
/// left out for a reason that the report gives, or is refused. Reads one tensor after the other: takes little more
/// memory than the model. Throws InvalidArgument "[convert] .." where no source, or none of that name, recognises the
/// tensors, where one is missing, unknown or of another shape, and where shapes leave several layouts open (`layout`
/// then says which it is); IoError for a file that holds no tensors, is damaged or is a model already.
Conversion convert(const Checkpoint& checkpoint, const ConvertOptions& options = {});

/// The same of a file: a checkpoint, or an ONNX network as read_onnx() reads it, told apart by content. ONNX networks
/// have no layouts to choose from; preprocessing is that of the options, else that which write_onnx() noted, else none,
/// and classes are numbered where there are no names. Throws as convert() and read_onnx() do.
Conversion convert(const std::filesystem::path& path, const ConvertOptions& options = {});

}  // namespace voxshift
