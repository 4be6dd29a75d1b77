#include <voxshift/networks/point_blocks.h>
#include <voxshift/tensor/error.h>

namespace voxshift {
namespace {

constexpr std::int64_t kReduction = 8;  // of squeeze and excitation
constexpr float kVoxelEps = 1e-4f, kVoxelSlope = 0.1f;

std::string conv_norm_leaky(NetworkBuilder& net, const std::string& layers, int first, const std::string& x,
                            std::int64_t out) {
  const std::string conv = layers + std::to_string(first), norm = layers + std::to_string(first + 1);
  const std::string y = net.norm(norm, net.conv(conv, x, out, 3, 1, "conv", "weight", true), kVoxelEps);
  net.add(norm + ".leaky_relu", "leaky_relu", {y});
  net.node().attributes = {{"slope", double{kVoxelSlope}}};
  return net.node().name;
}

// x * sigmoid(W2 relu(W1 mean(x))), the mean over all cells of a cloud.
std::string squeeze_excitation(NetworkBuilder& net, const std::string& name, const std::string& x) {
  const std::int64_t channels = net.channels(x);
  check(channels >= kReduction, "[new] the squeeze in \"", name, "\" needs ", kReduction, " channels, the width gives ",
        channels);
  std::string y = net.add(name + ".mean", "avg_pool", {x});
  y = net.relu(name + ".fc.1", net.linear(name + ".fc.0", y, channels / kReduction, false));
  y = net.add(name + ".fc.3", "sigmoid", {net.linear(name + ".fc.2", y, channels, false)});
  return net.add(name, "scale", {x, y});
}

}  // namespace

std::string linear_norm_relu(NetworkBuilder& net, const std::string& layer, const std::string& norm,
                             const std::string& x, std::int64_t out) {
  return net.relu(norm + ".relu", net.norm(norm, net.linear(layer, x, out)));
}

std::string shared_mlp(NetworkBuilder& net, const std::string& name, const std::string& x,
                       const std::vector<std::int64_t>& channels) {
  std::string y = x;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const std::string layers = name + ".layers.";
    y = linear_norm_relu(net, layers + std::to_string(3 * i), layers + std::to_string(3 * i + 1), y, channels[i]);
  }
  return y;
}

std::string pv_conv(NetworkBuilder& net, const std::string& name, const std::string& x, std::int64_t out,
                    const PvConvOptions& options) {
  std::string cells = net.add(name + ".voxelize", "voxelize_dense", {x});
  net.node().attributes = {{"resolution", options.grid.resolution},
                           {"normalize", options.grid.normalize},
                           {"eps", double{options.grid.eps}}};
  const std::string layers = name + ".voxel_layers.";
  cells = conv_norm_leaky(net, layers, 0, cells, out);
  cells = conv_norm_leaky(net, layers, 3, cells, out);
  if (options.squeeze) cells = squeeze_excitation(net, layers + "6", cells);
  const std::string fine = shared_mlp(net, name + ".point_features", x, {out});
  return net.add(name, "add", {net.add(name + ".devoxelize", "devoxelize_dense", {cells, x}), fine});
}

std::string set_abstraction(NetworkBuilder& net, const std::string& name, const std::string& x, std::int64_t centers,
                            const std::vector<Grouping>& scales) {
  const std::string sampled = net.add(name + ".centers", "furthest_point_sample", {x});
  net.node().attributes = {{"count", centers}};
  std::vector<std::string> results;
  for (std::size_t k = 0; k < scales.size(); ++k) {
    const std::string scale = name + ".mlps." + std::to_string(k);
    const std::string grouped = net.add(scale + ".group", "group", {x, sampled});
    net.node().attributes = {{"radius", double{scales[k].radius}}, {"count", scales[k].neighbors}};
    results.push_back(net.add(scale + ".max", "max_pool", {shared_mlp(net, scale, grouped, scales[k].channels)}));
  }
  return results.size() == 1 ? results[0] : net.add(name + ".cat", "cat", results);
}

std::string set_abstraction_all(NetworkBuilder& net, const std::string& name, const std::string& x,
                                const std::vector<std::int64_t>& channels) {
  const std::string both = net.add(name + ".cat", "cat", {x, net.add(name + ".coordinates", "coordinates", {x})});
  return net.add(name + ".max", "max_pool", {shared_mlp(net, name + ".mlps.0", both, channels)});
}

std::string feature_propagation(NetworkBuilder& net, const std::string& name, const std::string& x,
                                const std::string& skip, const std::vector<std::int64_t>& channels,
                                const std::string& interpolation) {
  const std::string at_skip = net.add(name + ".interpolate", interpolation, {x, skip});
  return shared_mlp(net, name + ".mlp", net.add(name + ".cat", "cat", {at_skip, skip}), channels);
}

std::int64_t scaled(double factor, std::int64_t count) {
  const auto result = static_cast<std::int64_t>(factor * static_cast<double>(count));
  check(result >= 1, "[new] the factor ", factor, " leaves nothing of ", count);
  return result;
}

std::vector<std::int64_t> scaled(double factor, std::vector<std::int64_t> counts) {
  for (std::int64_t& count : counts) count = scaled(factor, count);
  return counts;
}

void check_point_network(double width, double resolution, std::int64_t in_channels, std::int64_t least) {
  check(width >= 1.0 / 32 && width <= 8, "[new] width expects 1/32 to 8, found ", width);
  check(resolution >= 1.0 / 32 && resolution <= 8, "[new] resolution expects 1/32 to 8, found ", resolution);
  check(in_channels >= least, "[new] in_channels expects at least ", least, ", found ", in_channels);
}

}  // namespace voxshift
