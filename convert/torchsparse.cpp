// SparseResUNet of torchsparse's backbones.
#include <voxshift/convert/unet.h>

#include <string>

namespace voxshift {
namespace {

UNetNames backbone_names() {
  UNetNames names;
  const auto pair = [](const std::string& module, int first) {
    return LayerNames{module + std::to_string(first), module + std::to_string(first + 1)};
  };
  const auto encoder = [](std::size_t level) { return "encoders." + std::to_string(level - 1) + "."; };
  const auto decoder = [](std::size_t step) { return "decoders." + std::to_string(step - 1) + "."; };
  names.stem = {pair("stem.", 0), pair("stem.", 3)};
  names.down = [=](std::size_t level) { return pair(encoder(level) + "0.", 0); };
  names.down_block = [=](std::size_t level, std::size_t block) { return encoder(level) + std::to_string(block + 1); };
  names.up = [=](std::size_t step) { return pair(decoder(step) + "upsample.", 0); };
  names.up_block = [=](std::size_t step, std::size_t block) { return decoder(step) + "fuse." + std::to_string(block); };
  names.block = [=](const std::string& block) {
    return ResidualNames{block, pair(block + ".main.", 0), pair(block + ".main.", 3), pair(block + ".shortcut.", 0)};
  };
  return names;
}

Sketch sketch_backbone(const StateDict& state, const SketchOptions& options) {
  SketchedUNet unet(Widths(state, options.layout), backbone_names());
  std::vector<std::string> values;
  unet.whole(&values);
  Sketch sketch{"sparse-resunet", unet.net().take(values)};
  sketch.guesses = {"no preprocessing and no classes: a backbone, which gives the features of " +
                    std::to_string(values.size()) + " levels on the way down and up; give voxels and features"};
  return sketch;
}

}  // namespace

Source torchsparse_source() {
  return {"torchsparse",
          "SparseResUNet42 of torchsparse's backbones",
          {KernelLayout::kTorchsparse},
          [](const StateDict& state) {
            return state.has("encoders.0.0.0.kernel") && state.has("decoders.0.upsample.0.kernel");
          },
          sketch_backbone};
}

}  // namespace voxshift
