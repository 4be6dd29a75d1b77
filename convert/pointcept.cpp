// SpUNet-v1m1 of Pointcept, with kernels of spconv 2.
#include <voxshift/convert/unet.h>

#include <string>

namespace voxshift {
namespace {

UNetNames spunet_names(std::size_t levels) {
  constexpr float kEps = 1e-3f;
  UNetNames names;
  const auto layer = [](const std::string& conv, const std::string& norm) {
    return LayerNames{conv, norm, "weight", kEps};
  };
  const auto module = [=](const std::string& name) { return layer(name + ".0", name + ".1"); };
  const auto block_of = [](const char* stage, std::size_t s, std::size_t block) {
    return stage + std::to_string(s) + ".block" + std::to_string(block);
  };
  names.stem = {module("conv_input")};
  names.down = [=](std::size_t level) { return module("down." + std::to_string(level - 1)); };
  names.down_block = [=](std::size_t level, std::size_t block) { return block_of("enc.", level - 1, block); };
  names.up = [=](std::size_t step) { return module("up." + std::to_string(levels - step)); };
  names.up_block = [=](std::size_t step, std::size_t block) { return block_of("dec.", levels - step, block); };
  names.block = [=](const std::string& block) {
    return ResidualNames{block, layer(block + ".conv1", block + ".bn1"), layer(block + ".conv2", block + ".bn2"),
                         module(block + ".proj")};
  };
  return names;
}

// Pointcept's settings for the data set with so many classes and channels, of points and their strength.
std::optional<Profile> profile_of(std::size_t classes, int channels) {
  constexpr int kScanColumns = 4;
  if (channels != kScanColumns) return std::nullopt;
  Profile profile = find_profile("pointcept");
  if (classes == nuscenes_classes().size()) {
    profile.name = "pointcept-nuscenes";
    profile.voxelize.range.reset();
    profile.scale[3] = find_profile("nuscenes").scale[3];
  } else if (classes == waymo_classes().size()) {
    constexpr float kReach = 75.2f;
    profile.name = "pointcept-waymo";
    profile.voxelize.range = Range{{-kReach, -kReach, -4}, {kReach, kReach, 2}};
  }
  return profile;
}

Sketch sketch_spunet(const StateDict& state, const SketchOptions& options) {
  const Widths widths(state, options.layout);
  std::size_t levels = 0;
  while (state.has("down." + std::to_string(levels) + ".0.weight")) ++levels;
  SketchedUNet unet(widths, spunet_names(levels));
  std::string x = unet.whole();
  Sketch sketch;
  sketch.arch = "spunet";
  if (state.has("final.weight")) {
    const int classes = widths.out("final.weight");
    x = unet.net().conv("final", x, classes, 1, 1, "conv", "weight", true);
    sketch.classes = classes_for(static_cast<std::size_t>(classes), ClassTables::kPoints);
  }
  sketch.network = unet.net().take(x);
  const int channels = widths.in("conv_input.0.weight");
  sketch.profile = profile_of(sketch.classes.size(), channels);
  if (!sketch.profile)
    sketch.guesses.push_back("no preprocessing: the " + std::to_string(channels) +
                             " channels are colours, normals or the like without x y z, which no profile gives; give "
                             "voxels and features, or a profile (--preprocess)");
  return sketch;
}

}  // namespace

Source pointcept_source() {
  return {"pointcept",
          "SpUNet-v1m1 of Pointcept (spconv 2)",
          {KernelLayout::kSpconv22, KernelLayout::kSpconv20, KernelLayout::kSpconv1},
          [](const StateDict& state) {
            return state.has("conv_input.0.weight") && state.has("enc.0.block0.conv1.weight") &&
                   state.has("dec.0.block0.conv1.weight");
          },
          sketch_spunet};
}

}  // namespace voxshift
