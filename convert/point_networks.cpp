#include <voxshift/convert/point_networks.h>
#include <voxshift/networks/network_builder.h>
#include <voxshift/tensor/error.h>

namespace voxshift {
namespace {

constexpr std::int64_t kXyz = 3;

// relu(norm(linear(x))).
std::string layer(NetworkBuilder& net, const std::string& linear, const std::string& norm, const std::string& x,
                  std::int64_t out) {
  return net.relu(norm + ".relu", net.norm(norm, net.linear(linear, x, out)));
}

std::string numbered(const std::string& prefix, const char* name, std::size_t i) {
  return prefix + name + std::to_string(i);
}

// Layers prefix.conv1, prefix.bn1, ..
std::string point_layers(NetworkBuilder& net, const std::string& prefix, std::string x,
                         const std::vector<std::int64_t>& channels, std::size_t first = 1) {
  for (std::size_t i = 0; i < channels.size(); ++i)
    x = layer(net, numbered(prefix, "conv", first + i), numbered(prefix, "bn", first + i), x, channels[i]);
  return x;
}

// Layers fc1 and fc2.
std::string cloud_layers(NetworkBuilder& net, const std::string& prefix, const std::string& x, std::size_t first_norm) {
  const std::string y = layer(net, prefix + "fc1", numbered(prefix, "bn", first_norm), x, 512);
  return layer(net, prefix + "fc2", numbered(prefix, "bn", first_norm + 1), y, 256);
}

// Layers prefix.conv1 to prefix.fc2: what the matrix of each cloud is made of.
std::string t_net_features(NetworkBuilder& net, const std::string& prefix, const std::string& x) {
  const std::string points = point_layers(net, prefix, x, {64, 128, 1024});
  return cloud_layers(net, prefix, net.add(prefix + "max", "max_pool", {points}), 4);
}

// A matrix [size, size] of each cloud.
std::string t_net(NetworkBuilder& net, const std::string& name, const std::string& x, std::int64_t size) {
  return net.linear(name + ".fc3", t_net_features(net, name + ".", x), size * size);
}

// x times the matrix [size, size] of its cloud, half of whose columns are made at a time: all are too many channels.
std::string turned_by_halves(NetworkBuilder& net, const std::string& name, const std::string& x) {
  const std::int64_t size = net.channels(x);
  const std::string features = t_net_features(net, name + ".", x);
  std::vector<std::string> halves;
  for (const char* half : {kFirstHalf, kSecondHalf}) {
    const std::string matrix = net.linear(name + half, features, size * size / 2);
    halves.push_back(net.add(matrix + ".turned", "matmul_clouds", {x, matrix}));
  }
  return net.add(name + ".turned", "cat", halves);
}

// x, y and z times the matrix of their cloud, further columns as they are.
std::string turned(NetworkBuilder& net, const std::string& name, const std::string& x) {
  const std::int64_t columns = net.channels(x);
  const std::string matrix = t_net(net, name, x, kXyz);
  const std::string xyz = columns == kXyz ? x : net.columns(name + ".xyz", x, 0, kXyz);
  std::string result = net.add(name + ".turned", "matmul_clouds", {xyz, matrix});
  if (columns == kXyz) return result;
  return net.add(name + ".points", "cat", {result, net.columns(name + ".rest", x, kXyz, columns - kXyz)});
}

struct Encoded {
  std::string cloud, points;
};

Encoded pointnet_encoder(NetworkBuilder& net, const std::string& x) {
  const std::string first = point_layers(net, "feat.", turned(net, "feat.stn", x), {64});
  const std::string matrix = t_net(net, "feat.fstn", first, 64);
  const std::string features = net.add("feat.fstn.turned", "matmul_clouds", {first, matrix});
  const std::string second = point_layers(net, "feat.", features, {128}, 2);
  const std::string third = net.norm("feat.bn3", net.linear("feat.conv3", second, 1024));
  return {net.add("feat.max", "max_pool", {third}), features};
}

// Convolutions and norms of one list of layers.
std::string mlp(NetworkBuilder& net, const std::string& convolutions, const std::string& norms, std::string x,
                const std::vector<std::int64_t>& channels) {
  for (std::size_t i = 0; i < channels.size(); ++i)
    x = layer(net, numbered(convolutions, ".", i), numbered(norms, ".", i), x, channels[i]);
  return x;
}

// Points of a level and their features; of the input no features may be known.
struct PointLevel {
  std::string points, features;  // features empty: none
};

PointLevel abstraction(NetworkBuilder& net, const std::string& name, const PointLevel& from,
                       const PointNet2Level& level, bool multi_scale) {
  if (level.centers == 0) {
    std::string x = net.add(name + ".coordinates", "coordinates", {from.points});
    if (!from.features.empty()) x = net.add(name + ".all", "cat", {x, from.features});
    x = mlp(net, name + ".mlp_convs", name + ".mlp_bns", x, level.scales[0].channels);
    return {{}, net.add(name + ".max", "max_pool", {x})};
  }
  const std::string centers = net.add(name + ".centers", "furthest_point_sample", {from.points});
  net.node().attributes = {{"count", level.centers}};
  std::vector<std::string> results;
  for (std::size_t k = 0; k < level.scales.size(); ++k) {
    const PointNet2Scale& scale = level.scales[k];
    const std::string of_scale = name + "." + std::to_string(k);
    std::string x =
        net.add(of_scale + ".group", "group", {from.features.empty() ? from.points : from.features, centers});
    net.node().attributes = {{"radius", double{scale.radius}}, {"count", scale.neighbors}};
    if (from.features.empty()) x = net.columns(of_scale + ".xyz", x, 0, kXyz);
    const std::string list = "." + std::to_string(k);
    x = multi_scale ? mlp(net, name + ".conv_blocks" + list, name + ".bn_blocks" + list, x, scale.channels)
                    : mlp(net, name + ".mlp_convs", name + ".mlp_bns", x, scale.channels);
    results.push_back(net.add(of_scale + ".max", "max_pool", {x}));
  }
  const std::string features = results.size() == 1 ? results[0] : net.add(name + ".scales", "cat", results);
  return {features, features};
}

}  // namespace

Network make_pointnet_classifier(std::int64_t columns, std::int64_t classes) {
  NetworkBuilder net(InputKind::kPoints, columns, std::nullopt);
  const Encoded encoded = pointnet_encoder(net, kGraphInput);
  return net.take(net.linear("fc3", cloud_layers(net, "", encoded.cloud, 1), classes));
}

Network make_pointnet_semantic(std::int64_t columns, std::int64_t classes) {
  NetworkBuilder net(InputKind::kPoints, columns, std::nullopt);
  const Encoded encoded = pointnet_encoder(net, kGraphInput);
  const std::string cloud = net.add("feat.broadcast", "broadcast", {encoded.cloud, kGraphInput});
  const std::string both = net.add("feat.cat", "cat", {cloud, encoded.points});
  return net.take(net.linear("conv4", point_layers(net, "", both, {512, 256, 128}), classes));
}

Network make_pointnet_parts(std::int64_t columns, std::int64_t kinds, std::int64_t classes) {
  NetworkBuilder net(InputKind::kPoints, columns + kinds, std::nullopt);
  const std::string points = net.columns("points", kGraphInput, 0, columns);
  const std::string kind = net.columns("kinds", kGraphInput, columns, kinds);
  const std::string out1 = point_layers(net, "", turned(net, "stn", points), {64});
  const std::string out2 = point_layers(net, "", out1, {128}, 2), out3 = point_layers(net, "", out2, {128}, 3);
  const std::string out4 = point_layers(net, "", turned_by_halves(net, "fstn", out3), {512}, 4);
  const std::string out5 = net.norm("bn5", net.linear("conv5", out4, 2048));
  const std::string cloud = net.add("broadcast", "broadcast", {net.add("max", "max_pool", {out5}), kGraphInput});
  std::string x = net.add("cat", "cat", {cloud, kind, out1, out2, out3, out4, out5});
  x = layer(net, "convs1", "bns1", x, 256);
  x = layer(net, "convs2", "bns2", x, 256);
  x = layer(net, "convs3", "bns3", x, 128);
  return net.take(net.linear("convs4", x, classes));
}

Network make_pointnet2_network(const PointNet2Spec& spec) {
  NetworkBuilder net(InputKind::kPoints, spec.columns + spec.kinds, std::nullopt);
  PointLevel level{kGraphInput, {}};
  if (spec.features > 0) {
    level.features = net.columns("features", kGraphInput, spec.behind ? kXyz : 0, spec.features);
  }
  std::vector<PointLevel> skips;
  for (std::size_t i = 0; i < spec.levels.size(); ++i) {
    skips.push_back(level);
    level = abstraction(net, numbered("", "sa", i + 1), level, spec.levels[i], spec.multi_scale);
  }
  std::string x = level.features;
  if (spec.up.empty()) {
    return net.take(net.linear("fc3", cloud_layers(net, "", x, 1), spec.classes));
  }
  for (std::size_t i = spec.up.size(); i-- > 0;) {
    const std::string name = numbered("", "fp", i + 1);
    const bool whole = spec.levels[i].centers == 0;
    x = net.add(name + ".interpolate", whole ? "broadcast" : "three_nearest", {x, skips[i].points});
    if (i > 0) {
      x = net.add(name + ".cat", "cat", {skips[i].features, x});
    } else if (spec.kinds > 0) {  // the kind of the object, x y z, and all columns
      const std::string kinds = net.columns("kinds", kGraphInput, spec.columns, spec.kinds);
      const std::string xyz = net.columns("xyz", kGraphInput, 0, kXyz);
      x = net.add(name + ".cat", "cat", {kinds, xyz, skips[0].features, x});
    }
    x = mlp(net, name + ".mlp_convs", name + ".mlp_bns", x, spec.up[i]);
  }
  return net.take(net.linear("conv2", layer(net, "conv1", "bn1", x, 128), spec.classes));
}

Network make_learning3d_pointnet(const std::string& names, const std::array<std::int64_t, 5>& channels, bool norms,
                                 bool of_points, std::int64_t classes) {
  NetworkBuilder net(InputKind::kPoints, kXyz, std::nullopt);
  std::string x = kGraphInput, first;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    x = net.linear(names + "conv" + number, x, channels[i]);
    if (norms) x = net.norm(names + "bn" + number, x);
    const std::string before = x;
    x = net.relu(names + "relu" + number, x);
    if (i == 0) first = norms ? before : x;  // the second entry of the list of layers, whatever it is
  }
  const std::string cloud = net.add("pooling", "max_pool", {x});
  if (!of_points) {
    const std::string y = layer(net, "linear2", "bn2", layer(net, "linear1", "bn1", cloud, 512), 256);
    return net.take(net.linear("linear3", y, classes));
  }
  const std::string all = net.add("cat", "cat", {net.add("repeat", "broadcast", {cloud, kGraphInput}), first});
  return net.take(net.linear("conv4", point_layers(net, "", all, {512, 256, 128}), classes));
}

}  // namespace voxshift
