// `voxshift convert`.
#include <voxshift/convert/convert.h>
#include <voxshift/convert/export_checkpoint.h>
#include <voxshift/convert/onnx_out.h>
#include <voxshift/files/read_bytes.h>
#include <voxshift/graph/json_text.h>
#include <voxshift/onnx/read_onnx.h>

#include <cstdio>
#include <sstream>
#include <system_error>

#include "checkpoint_info.h"
#include "commands.h"
#include "report.h"

namespace voxshift {
namespace {

// A name a line.
std::vector<std::string> read_class_names(const std::filesystem::path& path) {
  std::istringstream lines(read_bytes(path, "names of classes"));
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  check<IoError>(!names.empty(), path.string(), ": expected the names of the classes, a line each");
  about(path, [&] { return json_text(names); });  // as a model holds them
  return names;
}

// Converting takes away nothing that it read.
void check_out(const ConvertCommand& options) {
  for (const std::filesystem::path& in :
       {options.checkpoint, options.classes, std::filesystem::path(options.preprocess)}) {
    std::error_code error;  // of paths that are no files
    check<IoError>(!std::filesystem::equivalent(options.out, in, error) || error, options.out.string(),
                   ": is read by this conversion; give another --out");
  }
}

// The tensors of a model for a library.
int write_for_library(const ConvertCommand& options) {
  check<IoError>(options.out.extension() != ".onnx", options.out.string(),
                 ": --to writes a checkpoint (.pth, .safetensors); without it a model on frames becomes ONNX");
  const CheckpointStyle style = checkpoint_style(options.to);
  check<IoError>(!is_checkpoint(options.checkpoint) && !is_onnx(options.checkpoint), options.checkpoint.string(),
                 ": --to expects a model; convert this file to one first");
  const Model model = Model::load(options.checkpoint);
  write_checkpoint(options.out, model, style);
  for (const std::string& line : export_notes(model, style)) print_warning(line);
  std::printf("%s: %zu tensors of %s as %s has them\n", options.out.string().c_str(), model.parameters().size(),
              model.arch().c_str(), options.to.c_str());
  return 0;
}

// A model whose file is written as ONNX; there is nothing to choose.
Conversion model_as_it_is(const ConvertCommand& options) {
  const bool is_plain = options.from == "auto" && options.arch.empty() && options.layout.empty() &&
                        options.classes.empty() && options.preprocess.empty() && options.outputs.empty();
  check(is_plain, "is a model, which is written as ONNX as it is; the other options are for checkpoints");
  return {Model::load(options.checkpoint), "", {}, {}};
}

}  // namespace

std::vector<std::string> convertible_sources() { return source_names(); }

int convert_checkpoint(const ConvertCommand& options) {
  check_out(options);
  if (!options.to.empty()) return write_for_library(options);
  check<IoError>(!is_named_as_checkpoint(options.out), options.out.string(),
                 ": a model is a .safetensors file; --to writes a checkpoint for a library");
  ConvertOptions convert_options{options.from, options.arch, options.layout, {}, options.preprocess, options.outputs};
  if (!options.classes.empty()) convert_options.classes = read_class_names(options.classes);
  const bool to_onnx = options.out.extension() == ".onnx",
             from_model = to_onnx && !is_checkpoint(options.checkpoint) && !is_onnx(options.checkpoint);
  const Conversion conversion = about(options.checkpoint, [&] {
    return from_model ? model_as_it_is(options) : convert(options.checkpoint, convert_options);
  });
  if (to_onnx) {
    about(options.checkpoint, [&] { write_onnx(conversion.model, options.out); });
  } else {
    conversion.model.save(options.out);
  }
  for (const std::string& line : conversion.report) std::printf("%s\n", line.c_str());
  for (const std::string& line : conversion.warnings) print_warning(line);
  std::printf("%s: %s, %.3f M parameters\n", options.out.string().c_str(), conversion.model.arch().c_str(),
              static_cast<double>(conversion.model.parameter_count()) / 1e6);
  return 0;
}

}  // namespace voxshift
