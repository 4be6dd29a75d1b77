#include <voxshift/networks/detector_blocks.h>

namespace voxshift {
namespace {

struct SecondStage {
  int channels, convolutions;
  std::array<std::int32_t, 3> padding;  // of the first, which halves the extents, along x, y, z
};

constexpr SecondStage kSecondStages[]{{16, 1, {}}, {32, 3, {1, 1, 1}}, {64, 3, {1, 1, 1}}, {64, 3, {1, 1, 0}}};

}  // namespace

DetectorNetwork make_second(const DetectorSpec& spec, Seed seed) {
  DetectorBuilder net(spec, seed);
  const bool mmdet = net.mmdet();
  const std::string prefix = net.part(mmdet ? "middle_encoder" : "backbone_3d") + ".";
  const auto layer = [&](const std::string& name, const std::string& x, int channels, const Window& window) {
    return net.conv(name + ".0", name + ".1", x, net.scaled(channels), window);
  };
  std::array<std::int64_t, 3> extents = net.extents();
  ++extents[2];  // as in both libraries
  std::string x = layer(prefix + "conv_input", net.voxels("voxels", 1), 16, window_3x3x3());
  for (std::size_t s = 0; s < std::size(kSecondStages); ++s) {
    const SecondStage& stage = kSecondStages[s];
    const std::string name = prefix + (mmdet ? "encoder_layers.encoder_layer" : "conv") + std::to_string(s + 1) + ".";
    for (int i = 0; i < stage.convolutions; ++i) {
      const Window window = window_3x3x3(i == 0 && s > 0 ? 2 : 1, stage.padding);
      if (!window.unit_stride()) extents = coarser(extents, window);
      x = layer(name + std::to_string(i), x, stage.channels, window);
    }
  }
  x = layer(prefix + "conv_out", x, 128, window_1x1x3());
  x = net.bird_eye_view(x, coarser(extents, window_1x1x3()));
  x = net.backbone_2d(x, {{5, 1, 128, 1, 256}, {5, 2, 256, 2, 256}});
  return net.with_anchors(x);
}

}  // namespace voxshift
