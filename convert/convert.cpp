#include <voxshift/convert/layout_choice.h>
#include <voxshift/convert/recognise.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

namespace voxshift {
namespace {

// A file of ours, whose preprocessing, classes and meaning of outputs would be lost.
bool is_model(const Checkpoint& checkpoint) {
  return std::string_view(checkpoint.format()) == "safetensors" && is_model_file(checkpoint.path());
}

std::vector<ClassInfo> classes_of(const Sketch& sketch, const ConvertOptions& options) {
  if (options.classes.empty()) return sketch.classes;
  check(options.classes.size() == sketch.classes.size(), "[convert] the network tells ", sketch.classes.size(),
        " classes apart, found ", options.classes.size(), " names");
  std::vector<ClassInfo> classes;
  for (std::size_t i = 0; i < options.classes.size(); ++i)
    classes.push_back({options.classes[i], static_cast<std::uint32_t>(i + 1), spread_colour(i)});
  return classes;
}

std::string millions(const Network& network) {
  std::int64_t count = 0;
  for (const auto& [name, tensor] : network.parameters) count += tensor.count();
  char text[32];
  std::snprintf(text, sizeof(text), "%.3f", static_cast<double>(count) / 1e6);
  return text;
}

std::vector<std::string> report_of(const Recognised& recognised, const Fit& fit) {
  const Source& source = *recognised.source;
  const StateDict& state = recognised.state;
  std::string layout =
      source.layouts.empty() || !has_kernels(fit) ? "" : std::string(", kernels as ") + name(fit.layout) + " has them";
  std::vector<std::string> lines{"recognised " + fit.sketch.arch + " of " + source.name + layout};
  if (!state.place().empty()) lines.push_back("took the tensors under \"" + state.place() + "\"");
  if (!state.prefix().empty()) lines.push_back("took \"" + state.prefix() + "\" from the names of the tensors");
  lines.push_back("mapped " + std::to_string(fit.places.size()) + " tensors, " + millions(fit.sketch.network) +
                  " million numbers");
  const auto append = [&](const std::vector<std::string>& more) {
    lines.insert(lines.end(), more.begin(), more.end());
  };
  append(omissions(fit.sketch, fit.places, state));
  append(recognised.notes);
  return lines;
}

}  // namespace

Conversion convert(const Checkpoint& checkpoint, const ConvertOptions& options) {
  check<IoError>(!is_model(checkpoint), checkpoint.path().string(),
                 ": is a model already, which runs as it is; --to writes it for a library, --out NAME.onnx as ONNX");
  const Recognised recognised = recognise(StateDict::find(checkpoint), options.from);
  Fit fit = only_fit(*recognised.source, recognised.state, options);
  std::vector<std::string> report = report_of(recognised, fit);
  std::vector<std::string> warnings = fit.sketch.guesses;
  std::optional<Profile> profile = fit.sketch.profile;
  if (!options.preprocess.empty()) profile = find_profile(options.preprocess);
  std::vector<ClassInfo> classes = classes_of(fit.sketch, options);
  if (profile) report.push_back("preprocessing: " + profile->name);
  if (!classes.empty())
    report.push_back("classes: " + std::to_string(classes.size()) + ", " + classes.front().name + " to " +
                     classes.back().name);
  if (options.preprocess.empty() && profile && !fit.sketch.knows_profile)
    warnings.push_back("the checkpoint does not say how points become its input: took the profile \"" + profile->name +
                       "\" (--preprocess)");
  const std::string arch = fit.sketch.arch;
  std::optional<DetectionHead> detection = fit.sketch.detection;
  Network network = filled(std::move(fit.sketch), fit.places, recognised.state);
  return {Model(arch, std::move(network.graph), std::move(network.parameters), std::move(profile), std::move(classes),
                std::nullopt, std::move(detection)),
          recognised.source->name, std::move(report), std::move(warnings)};
}

}  // namespace voxshift
