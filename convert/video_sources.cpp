// TSM networks of mit-han-lab/temporal-shift-module and of mmaction2.
#include <voxshift/convert/source.h>
#include <voxshift/networks/tsm.h>
#include <voxshift/tensor/error.h>

#include <array>
#include <string>
#include <utility>

namespace voxshift {
namespace {

constexpr std::array kMobileBlocks{1, 2, 3, 4, 3, 3, 1};

bool has_part(const StateDict& state, const std::string& part) {
  for (const auto& [name, tensor] : state.tensors())
    if (name.find(part) != std::string::npos) return true;
  return false;
}

// Modules that a temporal shift wraps must be those of our network: those where a block's residual begins.
void check_shifts(const StateDict& state, const Sketch& sketch) {
  std::int64_t found = 0, expected = 0;
  for (const auto& [name, tensor] : state.tensors())
    if (name.ends_with(".net.weight") || name.ends_with(".net.conv.weight")) ++found;
  for (const Node& node : sketch.network.graph.nodes)
    if (node.op == "temporal_shift") ++expected;
  check(found == expected, "expected ", expected, " layers with a temporal shift (\".net.\"), found ", found);
}

// The names of a network's tensors in the checkpoint.
void name_tensors(Sketch& sketch, const std::function<std::string(const std::string&)>& theirs) {
  Parameters renamed;
  for (const auto& [tensor, values] : sketch.network.parameters) renamed.emplace(theirs(tensor), values);
  sketch.network.parameters = std::move(renamed);
  for (Node& node : sketch.network.graph.nodes)
    for (auto& [role, tensor] : node.parameters) tensor = theirs(tensor);
}

struct VideoNames {
  std::string head;                                       ///< the classifier's, in the checkpoint
  std::function<std::string(const std::string&)> theirs;  ///< of the other tensors
};

Sketch sketch_of_width(const TsmSpec& spec, bool mobile, const VideoNames& names) {
  Sketch sketch;
  sketch.arch = mobile ? "tsm-mobilenetv2" : "tsm-resnet50";
  sketch.network = mobile ? make_tsm_mobilenetv2(spec, std::nullopt) : make_tsm_resnet50(spec, std::nullopt);
  const std::string head = sketch.network.graph.output();
  name_tensors(sketch, [&](const std::string& tensor) {
    return tensor.starts_with(head + ".") ? names.head + tensor.substr(head.size()) : names.theirs(tensor);
  });
  return sketch;
}

std::size_t other_shapes(const StateDict& state, const Sketch& sketch) {
  std::size_t count = 0;
  for (const auto& [tensor, values] : sketch.network.parameters)
    if (state.has(tensor) && state.shape(tensor) != values.shape()) ++count;
  return count;
}

// Channels are rounded to multiples of 8, so that they tell the width by trying the usual ones.
Sketch sketch_tsm(const StateDict& state, bool mobile, bool both_ways, const VideoNames& names) {
  TsmSpec spec;
  spec.classes = static_cast<int>(state.extent(names.head + ".bias", 0));
  spec.shift = {8, both_ways};
  Sketch best;
  std::size_t least = state.tensors().size() + 1;
  for (const double width : {1.0, 0.0625, 0.1, 0.125, 0.25, 0.35, 0.5, 0.6, 0.75, 1.25, 1.3, 1.4, 1.5, 2.0}) {
    spec.width = width;
    Sketch sketch = sketch_of_width(spec, mobile, names);
    const std::size_t count = other_shapes(state, sketch);
    if (count >= least) continue;
    least = count;
    best = std::move(sketch);
    if (least == 0) break;
  }
  best.profile = find_profile(spec.classes == 27 ? "jester" : "kinetics");
  best.classes = classes_for(static_cast<std::size_t>(spec.classes), ClassTables::kVideo);
  best.guesses = {std::string("the checkpoint does not say which way its shift looks: took ") +
                  (both_ways ? "both, as networks on whole clips" : "back only, as networks on streams") + " (--arch " +
                  best.arch + (both_ways ? "-online)" : "-clips)")};
  return best;
}

// "tsm-resnet50-online" and the like ask for one way of the shift.
bool looks_both_ways(const SketchOptions& options, const std::string& arch, bool usual) {
  if (options.arch.empty() || options.arch == arch) return usual;
  const bool online = options.arch == arch + "-online";
  check(online || options.arch == arch + "-clips", "arch expects ", arch, "-online or ", arch, "-clips, found \"",
        options.arch, "\"");
  return !online;
}

// Official names: below base_model. those of torchvision and of MobileNetV2, shifted layers one ".net" deeper.
Sketch sketch_official(const StateDict& state, const SketchOptions& options) {
  const std::string base = has_part(state, "base_model.") ? "base_model." : "";
  const bool mobile = state.has(base + "features.0.0.weight");
  const std::string arch = mobile ? "tsm-mobilenetv2" : "tsm-resnet50";
  std::string head = mobile ? base + "classifier" : base + "fc";
  for (const char* other : {"new_fc", "fc", "classifier"})
    if (state.has(other + std::string(".weight"))) head = other;
  const VideoNames names{head, [&](const std::string& tensor) {
                           const std::size_t role = tensor.rfind('.');
                           const std::string shifted = base + tensor.substr(0, role) + ".net" + tensor.substr(role);
                           return state.has(shifted) ? shifted : base + tensor;
                         }};
  Sketch sketch = sketch_tsm(state, mobile, looks_both_ways(options, arch, !base.empty()), names);
  if (!base.empty()) check_shifts(state, sketch);
  return sketch;
}

// mmaction2's name of a tensor of ResNet50: layerN.i.convJ.conv and .bn in place of convJ and bnJ.
std::string resnet_name(const std::string& tensor) {
  const std::size_t role_at = tensor.rfind('.');
  const std::string role = tensor.substr(role_at), module = tensor.substr(0, role_at);
  const std::size_t last = module.rfind('.');
  const std::string parent = last == std::string::npos ? "" : module.substr(0, last + 1);
  const std::string leaf = last == std::string::npos ? module : module.substr(last + 1);
  if (leaf.starts_with("conv")) return parent + leaf + ".conv" + role;
  if (leaf.starts_with("bn")) return parent + "conv" + leaf.substr(2) + ".bn" + role;
  return parent + (leaf == "0" ? "conv" : "bn") + role;  // downsample.0, downsample.1
}

// Of MobileNetV2: features.0 is conv1, features.18 conv2, those between layerN.i, whose list has conv, norm and
// activation in one.
std::string mobile_name(const std::string& tensor) {
  const std::size_t dot = tensor.find('.', 9);  // behind "features.N"
  int feature = std::stoi(tensor.substr(9, dot - 9));
  const std::size_t role_at = tensor.rfind('.');
  const std::size_t number_at = tensor.rfind('.', role_at - 1) + 1;
  const int module = std::stoi(tensor.substr(number_at, role_at - number_at));
  const std::string leaf = (module % 3 == 0 ? ".conv" : ".bn") + tensor.substr(role_at);
  if (feature == 0) return "conv1" + leaf;
  --feature;
  for (std::size_t stage = 0; stage < kMobileBlocks.size(); feature -= kMobileBlocks[stage++])
    if (feature < kMobileBlocks[stage])
      return "layer" + std::to_string(stage + 1) + "." + std::to_string(feature) + ".conv." +
             std::to_string(module / 3) + leaf;
  return "conv2" + leaf;
}

Sketch sketch_mmaction2(const StateDict& state, const SketchOptions& options) {
  const bool mobile = state.has("backbone.conv2.conv.weight");
  // A shifted layer is one ".net" deeper: ResNet's convolution, MobileNetV2's convolution and norm.
  const VideoNames names{"cls_head.fc_cls", [&](const std::string& tensor) {
                           const std::string plain = "backbone." + (mobile ? mobile_name(tensor) : resnet_name(tensor));
                           const std::size_t role = plain.rfind('.'), leaf = plain.rfind('.', role - 1);
                           const std::size_t at = mobile ? leaf : role;
                           const std::string shifted = plain.substr(0, at) + ".net" + plain.substr(at);
                           return state.has(shifted) ? shifted : plain;
                         }};
  const std::string arch = mobile ? "tsm-mobilenetv2" : "tsm-resnet50";
  Sketch sketch = sketch_tsm(state, mobile, looks_both_ways(options, arch, true), names);
  check_shifts(state, sketch);
  return sketch;
}

}  // namespace

Source tsm_source() {
  return {"tsm",
          "TSM of mit-han-lab/temporal-shift-module: MobileNetV2, ResNet50",
          {},
          [](const StateDict& state) {
            const std::string base = has_part(state, "base_model.") ? "base_model." : "";
            return state.has(base + "features.18.0.weight") ||
                   (state.has(base + "layer4.2.conv3.weight") && state.has(base + "conv1.weight"));
          },
          sketch_official};
}

Source mmaction2_source() {
  return {"mmaction2",
          "TSM of mmaction2: MobileNetV2, ResNet50",
          {},
          [](const StateDict& state) {
            return state.has("cls_head.fc_cls.weight") && state.has("backbone.conv1.conv.weight");
          },
          sketch_mmaction2};
}

}  // namespace voxshift
