#include <voxshift/convert/fit.h>
#include <voxshift/convert/recognise.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

namespace voxshift {
namespace {

// A network that a source sees in a state dict, with its kernels in one layout.
struct Fit {
  KernelLayout layout = KernelLayout::kTorchsparse;
  Sketch sketch = {};
  Places places = {};
  std::vector<std::string> misfits = {};
};

Fit fit_of(const Recognised& recognised, KernelLayout layout, const std::string& arch) {
  Fit fit{layout};
  try {
    fit.sketch = recognised.source->sketch(recognised.state, {layout, arch});
  } catch (const InvalidArgument& error) {
    fit.misfits = {error.what()};
    return fit;
  }
  fit.places = places_of(fit.sketch, layout);
  fit.misfits = misfits(fit.sketch, fit.places, recognised.state);
  return fit;
}

// mmdetection3d marks the tensors of spconv 2, whose layout starts with Cout, by version 2 of their modules.
bool is_marked_as_spconv2(const Fit& fit, const StateDict& state) {
  return std::any_of(fit.sketch.network.graph.nodes.begin(), fit.sketch.network.graph.nodes.end(),
                     [&](const Node& node) { return node.op == "conv" && state.version(node.name) == 2; });
}

[[noreturn]] void refuse(const Recognised& recognised, const Fit& fit) {
  const std::size_t more = fit.misfits.size() - 1;
  throw InvalidArgument("[convert] " + std::string(recognised.source->name) + ": " + fit.misfits.front() +
                        (more == 0 ? "" : " (and " + std::to_string(more) + " more)"));
}

std::string names_of(const std::vector<Fit>& fits) {
  std::string names;
  for (const Fit& fit : fits) names += (names.empty() ? "" : " or ") + std::string(name(fit.layout));
  return names;
}

// The one layout in which everything fits.
Fit only_fit(const Recognised& recognised, const ConvertOptions& options) {
  const Source& source = *recognised.source;
  std::vector<KernelLayout> layouts = source.layouts;
  if (!options.layout.empty()) {
    const KernelLayout wanted = kernel_layout(options.layout);
    check(std::find(layouts.begin(), layouts.end(), wanted) != layouts.end(), "[convert] the kernels of ", source.name,
          " are never laid out as ", options.layout);
    layouts = {wanted};
  }
  if (layouts.empty()) layouts = {KernelLayout::kTorchsparse};  // of no kernels
  std::vector<Fit> good, bad;
  for (const KernelLayout layout : layouts) {
    Fit fit = fit_of(recognised, layout, options.arch);
    (fit.misfits.empty() ? good : bad).push_back(std::move(fit));
  }
  if (good.empty())
    refuse(recognised, *std::min_element(bad.begin(), bad.end(), [](const Fit& a, const Fit& b) {
             return a.misfits.size() < b.misfits.size();
           }));
  if (good.size() > 1 && is_marked_as_spconv2(good.front(), recognised.state))
    std::erase_if(good, [](const Fit& fit) { return fit.layout == KernelLayout::kSpconv1; });
  check(good.size() == 1, "[convert] the kernels may be laid out as ", names_of(good),
        ": every layer has as many input as output channels; say which with layout (--layout)");
  return std::move(good.front());
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
  std::string layout = source.layouts.empty() ? "" : std::string(", kernels as ") + name(fit.layout) + " has them";
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
  const Recognised recognised = recognise(StateDict::find(checkpoint), options.from);
  Fit fit = only_fit(recognised, options);
  std::vector<std::string> report = report_of(recognised, fit);
  std::vector<std::string> warnings = fit.sketch.guesses;
  std::optional<Profile> profile = fit.sketch.profile;
  if (!options.preprocess.empty()) profile = find_profile(options.preprocess);
  std::vector<ClassInfo> classes = classes_of(fit.sketch, options);
  if (profile) report.push_back("preprocessing: " + profile->name);
  if (!classes.empty())
    report.push_back("classes: " + std::to_string(classes.size()) + ", " + classes.front().name + " to " +
                     classes.back().name);
  if (options.preprocess.empty() && profile)
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
