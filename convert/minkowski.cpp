// Networks trained with MinkowskiEngine: Res16UNet of SpatioTemporalSegmentation, which is OpenScene's MinkUNet, and
// FCGF's ResUNet.
#include <voxshift/convert/unet.h>

#include <string>

namespace voxshift {
namespace {

constexpr const char* kPrefixOfNorm = ".bn";  // MinkowskiBatchNorm holds torch's

ResidualNames minkowski_block(const std::string& block) {
  return {block,
          {block + ".conv1", block + ".norm1" + kPrefixOfNorm},
          {block + ".conv2", block + ".norm2" + kPrefixOfNorm},
          {block + ".downsample.0", block + ".downsample.1" + kPrefixOfNorm}};
}

UNetNames res16unet_names() {
  UNetNames names;
  names.stem = {{"conv0p1s1", "bn0.bn"}};
  // Behind p stands the stride of what the layer takes.
  names.down = [](std::size_t level) {
    const std::string l = std::to_string(level);
    return LayerNames{"conv" + l + "p" + std::to_string(1U << (level - 1)) + "s2", "bn" + l + kPrefixOfNorm};
  };
  names.down_block = [](std::size_t level, std::size_t block) {
    return "block" + std::to_string(level) + "." + std::to_string(block);
  };
  names.up = [](std::size_t step) {
    const std::string l = std::to_string(kUNetLevels - 1 + step);
    return LayerNames{"convtr" + l + "p" + std::to_string(1U << (kUNetLevels + 1 - step)) + "s2",
                      "bntr" + l + kPrefixOfNorm};
  };
  names.up_block = [](std::size_t step, std::size_t block) {
    return "block" + std::to_string(kUNetLevels + step) + "." + std::to_string(block);
  };
  names.block = minkowski_block;
  return names;
}

std::string pointwise(NetworkBuilder& net, const Widths& widths, const std::string& name, const std::string& x) {
  return net.conv(name, x, widths.out(name + ".kernel"), 1, 1, "conv", "kernel", widths.has(name + ".bias"));
}

constexpr std::size_t kMostLabels = 256;  // more outputs are features

Sketch sketch_res16unet(const StateDict& state, const SketchOptions& options) {
  const Widths widths(state, options.layout);
  SketchedUNet unet(widths, res16unet_names());
  check(unet.levels() == kUNetLevels, "expected the levels conv1p1s2 to conv4p8s2, found ", unet.levels());
  const std::string x = unet.whole();
  Sketch sketch{"res16unet", unet.net().take(pointwise(unet.net(), widths, "final", x))};
  const auto outputs = static_cast<std::size_t>(widths.out("final.kernel"));
  if (outputs < kMostLabels) sketch.classes = classes_for(outputs, ClassTables::kPoints);
  sketch.guesses.push_back(
      "no preprocessing: the checkpoint does not say what the " + std::to_string(widths.in("conv0p1s1.kernel")) +
      " channels are (colours and constants are usual) nor how large voxels are; give voxels and features, or a "
      "profile (--preprocess)");
  return sketch;
}

// FCGF's layers have no ReLU of their own: the block behind them has.
std::string fcgf_level(NetworkBuilder& net, const Widths& widths, const std::string& level, const std::string& x,
                       int size, int stride, const char* op) {
  const std::string conv = "conv" + level, norm = "norm" + level + kPrefixOfNorm;
  const int out = widths.out(conv + ".kernel");
  return residual(net, minkowski_block("block" + level), net.norm(norm, net.conv(conv, x, out, size, stride, op)), out,
                  out, false);
}

// What FCGF's trainer wrote down under `config`, a dict or an object with attributes; nullptr where it did not.
const Value* setting(const StateDict& state, const char* name) {
  const Value* config = state.checkpoint().root().find("config");
  if (config == nullptr || !config->is_opaque()) return config == nullptr ? nullptr : config->find(name);
  const Opaque& object = config->as_opaque();
  const Value* found = object.state.find(name);
  return found != nullptr ? found : object.entries.find(name);
}

Sketch sketch_fcgf(const StateDict& state, const SketchOptions& options) {
  constexpr int kLevels = 4;
  const Widths widths(state, options.layout);
  NetworkBuilder net(InputKind::kVoxels, widths.in("conv1.kernel"), std::nullopt);
  std::vector<std::string> down;
  std::string x = kGraphInput;
  for (int level = 1; level <= kLevels; ++level) {
    const int size = level == 1 ? widths.cubic_size("conv1.kernel") : 3;
    x = fcgf_level(net, widths, std::to_string(level), x, size, level == 1 ? 1 : 2, "conv");
    down.push_back(x);
  }
  for (int level = kLevels; level > 1; --level) {
    const std::string name = std::to_string(level) + "_tr";
    x = fcgf_level(net, widths, name, x, 3, 2, "conv_transpose");
    x = net.add("cat" + name, "cat", {x, down[static_cast<std::size_t>(level - 2)]});
  }
  x = net.relu("conv1_tr.relu", pointwise(net, widths, "conv1_tr", x));
  x = pointwise(net, widths, "final", x);
  const Value* normalize = setting(state, "normalize_feature");
  const bool is_told = normalize != nullptr && normalize->kind() == Value::Kind::kBool;
  if (!is_told || normalize->as_bool()) x = net.add("normalized", "l2_normalize", {x});
  Sketch sketch{"fcgf", net.take(x)};
  if (!is_told)
    sketch.guesses = {"features are of length 1, FCGF's default (normalize_feature), which the tensors do not tell"};
  sketch.guesses.push_back(
      "no preprocessing: FCGF gives every voxel the feature 1, of points floor(xyz / voxel_size), with the voxel_size "
      "it was trained with, 0.025 m by default; give voxels and features");
  return sketch;
}

}  // namespace

Source minkowski_unet_source() {
  return {"minkowski",
          "Res16UNet of SpatioTemporalSegmentation, OpenScene's 3-D network (MinkowskiEngine)",
          {KernelLayout::kMinkowski},
          [](const StateDict& state) { return state.has("conv0p1s1.kernel") && state.has("convtr7p2s2.kernel"); },
          sketch_res16unet};
}

Source fcgf_source() {
  return {"fcgf",
          "ResUNetBN2 and its variants of FCGF (MinkowskiEngine)",
          {KernelLayout::kMinkowski},
          [](const StateDict& state) { return state.has("conv1_tr.kernel") && state.has("conv4_tr.kernel"); },
          sketch_fcgf};
}

}  // namespace voxshift
