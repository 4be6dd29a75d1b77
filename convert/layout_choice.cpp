#include <voxshift/convert/layout_choice.h>

#include <algorithm>
#include <string>
#include <utility>

namespace voxshift {
namespace {

Fit fit_of(const Source& source, const StateDict& state, const SketchOptions& options) {
  Fit fit{options.layout};
  try {
    fit.sketch = source.sketch(state, options);
  } catch (const InvalidArgument& error) {
    fit.misfits = {error.what()};
    return fit;
  }
  fit.places = places_of(fit.sketch, options.layout);
  fit.misfits = misfits(fit.sketch, fit.places, state);
  return fit;
}

// mmdetection3d marks the tensors of spconv 2, whose layout starts with Cout, by version 2 of their modules.
bool is_marked_as_spconv2(const Fit& fit, const StateDict& state) {
  return std::any_of(fit.sketch.network.graph.nodes.begin(), fit.sketch.network.graph.nodes.end(),
                     [&](const Node& node) { return node.op == "conv" && state.version(node.name) == 2; });
}

[[noreturn]] void refuse(const Source& source, const Fit& fit) {
  const std::size_t more = fit.misfits.size() - 1;
  throw InvalidArgument("[convert] " + std::string(source.name) + ": " + fit.misfits.front() +
                        (more == 0 ? "" : " (and " + std::to_string(more) + " more)"));
}

// Fits that could not be sketched at all come last.
bool is_nearer(const Fit& a, const Fit& b) {
  const auto rank = [](const Fit& fit) { return std::pair(fit.places.empty(), fit.misfits.size()); };
  return rank(a) < rank(b);
}

std::string names_of(const std::vector<Fit>& fits) {
  std::string names;
  for (const Fit& fit : fits) names += (names.empty() ? "" : " or ") + std::string(name(fit.layout));
  return names;
}

}  // namespace

bool has_kernels(const Fit& fit) { return std::ranges::any_of(fit.sketch.network.graph.nodes, is_sparse_convolution); }

Fit only_fit(const Source& source, const StateDict& state, const ConvertOptions& options) {
  std::vector<KernelLayout> layouts = source.layouts;
  if (!options.layout.empty()) {
    const KernelLayout wanted = kernel_layout(options.layout);
    check(std::find(layouts.begin(), layouts.end(), wanted) != layouts.end(), "[convert] the kernels of ", source.name,
          " are never laid out as ", options.layout);
    layouts = {wanted};
  }
  if (layouts.empty()) layouts = {KernelLayout::kTorchsparse};  // of no kernels
  SketchOptions wanted{layouts.front(), options.arch};
  if (!options.preprocess.empty()) wanted.profile = find_profile(options.preprocess);
  std::vector<Fit> good, bad;
  for (const KernelLayout layout : layouts) {
    wanted.layout = layout;
    Fit fit = fit_of(source, state, wanted);
    (fit.misfits.empty() ? good : bad).push_back(std::move(fit));
  }
  if (good.empty()) refuse(source, *std::min_element(bad.begin(), bad.end(), is_nearer));
  if (!has_kernels(good.front())) good.resize(1);
  if (good.size() > 1 && is_marked_as_spconv2(good.front(), state))
    std::erase_if(good, [](const Fit& fit) { return fit.layout == KernelLayout::kSpconv1; });
  check(good.size() == 1, "[convert] the kernels may be laid out as ", names_of(good),
        ": every layer has as many input as output channels; say which with layout (--layout)");
  const std::string& arch = good.front().sketch.arch;
  check(options.arch.empty() || options.arch == arch || options.arch.starts_with(arch + "-"), "[convert] ", source.name,
        ": arch expects ", arch, ", found \"", options.arch, "\"");
  return std::move(good.front());
}

}  // namespace voxshift
