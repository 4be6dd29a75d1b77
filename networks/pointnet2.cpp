#include <voxshift/networks/point_blocks.h>
#include <voxshift/networks/pointnet2.h>
#include <voxshift/tensor/error.h>

namespace voxshift {

Network make_pointnet2(const PvcnnSpec& spec, Seed seed) {
  check(spec.shapes >= 0, "[new] shapes expects at least 0, found ", spec.shapes);
  check_point_network(spec.width, spec.resolution, spec.in_channels, 4 + spec.shapes);
  struct Abstraction {
    std::int64_t centers;
    std::vector<Grouping> scales;
  };
  const Abstraction abstractions[]{
      {512, {{0.1f, 32, {32, 32, 64}}, {0.2f, 64, {64, 64, 128}}, {0.4f, 128, {64, 96, 128}}}},
      {128, {{0.4f, 64, {128, 128, 256}}, {0.8f, 128, {128, 196, 256}}}}};

  NetworkBuilder net(InputKind::kPoints, spec.in_channels, seed);
  std::string x = net.columns("features", kGraphInput, 3, spec.in_channels - spec.shapes - 3);
  std::vector<std::string> skips{kGraphInput};
  for (const auto& [centers, scales] : abstractions) {
    std::vector<Grouping> scaled_scales = scales;
    for (Grouping& scale : scaled_scales) scale.channels = scaled(spec.width, scale.channels);
    x = set_abstraction(net, "sa_layers." + std::to_string(skips.size() - 1), x, centers, scaled_scales);
    skips.push_back(x);
  }
  x = set_abstraction_all(net, "sa_layers.2", x, scaled(spec.width, {256, 512, 1024}));

  x = feature_propagation(net, "fp_layers.0", x, skips[2], scaled(spec.width, {256, 256}), "broadcast");
  x = feature_propagation(net, "fp_layers.1", x, skips[1], scaled(spec.width, {256, 128}));
  x = feature_propagation(net, "fp_layers.2", x, skips[0], scaled(spec.width, {128, 128, 128}));
  x = shared_mlp(net, "classifier.0", x, {scaled(spec.width, 128)});
  return net.take(net.linear("classifier.2", x, spec.classes));
}

}  // namespace voxshift
