#include <voxshift/networks/point_blocks.h>
#include <voxshift/networks/pvcnn.h>
#include <voxshift/tensor/error.h>

namespace voxshift {
namespace {

// Point-voxel convolutions, or SharedMLPs where there are no cells.
struct Block {
  std::int64_t channels;
  int repeats;
  std::int64_t resolution;  // 0: no cells
};

constexpr Block kS3disBlocks[]{{64, 1, 32}, {64, 2, 16}, {128, 1, 16}, {1024, 1, 0}};
constexpr Block kShapeNetBlocks[]{{64, 1, 32}, {128, 2, 16}, {512, 1, 0}, {2048, 1, 0}};

PvConvOptions pv_conv_options(const PvcnnSpec& spec, std::int64_t resolution, bool squeeze, bool normalize = true) {
  return {{scaled(spec.resolution, resolution), normalize, 0}, squeeze};
}

// The values of all blocks.
template <std::size_t N>
std::vector<std::string> point_features(NetworkBuilder& net, const PvcnnSpec& spec, const Block (&blocks)[N],
                                        std::string x, bool squeeze, bool normalize) {
  std::vector<std::string> values;
  for (const Block& block : blocks)
    for (int i = 0; i < block.repeats; ++i) {
      const std::string name = "point_features." + std::to_string(values.size());
      const std::int64_t out = scaled(spec.width, block.channels);
      x = block.resolution == 0
              ? shared_mlp(net, name, x, {out})
              : pv_conv(net, name, x, out, pv_conv_options(spec, block.resolution, squeeze, normalize));
      values.push_back(x);
    }
  return values;
}

Network make_s3dis(const PvcnnSpec& spec, Seed seed) {
  check(spec.shapes == 0, "[new] the S3DIS network has no shapes, found ", spec.shapes);
  NetworkBuilder net(InputKind::kPoints, spec.in_channels, seed);
  std::vector<std::string> parts = point_features(net, spec, kS3disBlocks, kGraphInput, false, true);
  std::string cloud = net.add("cloud_features.max", "max_pool", {parts.back()});
  cloud = linear_norm_relu(net, "cloud_features.0.0", "cloud_features.0.1", cloud, scaled(spec.width, 256));
  cloud = linear_norm_relu(net, "cloud_features.1.0", "cloud_features.1.1", cloud, scaled(spec.width, 128));
  parts.push_back(net.add("cloud_features.broadcast", "broadcast", {cloud, kGraphInput}));
  std::string x = net.add("classifier.cat", "cat", parts);
  x = shared_mlp(net, "classifier.0", x, {scaled(spec.width, 512)});
  x = shared_mlp(net, "classifier.2", x, {scaled(spec.width, 256)});
  return net.take(net.linear("classifier.4", x, spec.classes));
}

Network make_shapenet(const PvcnnSpec& spec, Seed seed) {
  NetworkBuilder net(InputKind::kPoints, spec.in_channels, seed);
  const std::int64_t features = spec.in_channels - spec.shapes;
  const std::string points = net.columns("points", kGraphInput, 0, features);
  std::vector<std::string> parts = point_features(net, spec, kShapeNetBlocks, points, true, false);
  const std::string cloud = net.add("cloud.max", "max_pool", {parts.back()});
  parts.push_back(net.add("cloud.broadcast", "broadcast", {cloud, kGraphInput}));
  if (spec.shapes > 0) parts.insert(parts.begin(), net.columns("shapes", kGraphInput, features, spec.shapes));
  std::string x = net.add("classifier.cat", "cat", parts);
  x = shared_mlp(net, "classifier.0", x, {scaled(spec.width, 256)});
  x = shared_mlp(net, "classifier.2", x, {scaled(spec.width, 256)});
  x = shared_mlp(net, "classifier.4", x, {scaled(spec.width, 128)});
  return net.take(net.linear("classifier.5", x, spec.classes));
}

}  // namespace

Network make_pvcnn(const PvcnnSpec& spec, Seed seed) {
  check(spec.shapes >= 0, "[new] shapes expects at least 0, found ", spec.shapes);
  check_point_network(spec.width, spec.resolution, spec.in_channels, 3 + spec.shapes);
  return spec.variant == PvcnnVariant::kS3dis ? make_s3dis(spec, seed) : make_shapenet(spec, seed);
}

Network make_pvcnn2(const PvcnnSpec& spec, Seed seed) {
  check_point_network(spec.width, spec.resolution, spec.in_channels, 4);
  struct Abstraction {
    Block convolutions;
    std::int64_t centers;
    Grouping scale;
  };
  const std::vector<Abstraction> abstractions{{{32, 2, 32}, 1024, {0.1f, 32, {32, 64}}},
                                              {{64, 3, 16}, 256, {0.2f, 32, {64, 128}}},
                                              {{128, 3, 8}, 64, {0.4f, 32, {128, 256}}},
                                              {{0, 0, 0}, 16, {0.8f, 32, {256, 256, 512}}}};
  struct Propagation {
    std::vector<std::int64_t> channels;
    Block convolutions;
  };
  const std::vector<Propagation> propagations{
      {{256, 256}, {256, 1, 8}}, {{256, 256}, {256, 1, 8}}, {{256, 128}, {128, 2, 16}}, {{128, 128, 64}, {64, 1, 32}}};

  NetworkBuilder net(InputKind::kPoints, spec.in_channels, seed);
  // Adds the convolutions `layer`.first, `layer`.(first + 1), ..
  const auto convolve = [&](const std::string& layer, int first, std::string x, const Block& block) {
    for (int i = 0; i < block.repeats; ++i)
      x = pv_conv(net, layer + "." + std::to_string(first + i), x, scaled(spec.width, block.channels),
                  pv_conv_options(spec, block.resolution, true));
    return x;
  };

  std::string x = kGraphInput;
  // What each propagation takes beside its mixture; the last one the input's features without x y z.
  std::vector<std::string> skips;
  for (std::size_t i = 0; i < abstractions.size(); ++i) {
    const auto& [convolutions, centers, scale] = abstractions[i];
    skips.push_back(i == 0 ? net.columns("features", x, 3, spec.in_channels - 3) : x);
    // A layer of one block is that block itself, of several a list whose last is the set abstraction.
    const std::string layer = "sa_layers." + std::to_string(i);
    x = convolve(layer, 0, x, convolutions);
    const std::string name = convolutions.repeats == 0 ? layer : layer + "." + std::to_string(convolutions.repeats);
    x = set_abstraction(net, name, x, centers, {{scale.radius, scale.neighbors, scaled(spec.width, scale.channels)}});
  }
  for (std::size_t i = 0; i < propagations.size(); ++i) {
    const std::string layer = "fp_layers." + std::to_string(i);
    x = feature_propagation(net, layer + ".0", x, skips[skips.size() - 1 - i],
                            scaled(spec.width, propagations[i].channels));
    x = convolve(layer, 1, x, propagations[i].convolutions);
  }
  x = shared_mlp(net, "classifier.0", x, {scaled(spec.width, 128)});
  return net.take(net.linear("classifier.2", x, spec.classes));
}

}  // namespace voxshift
