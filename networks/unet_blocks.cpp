#include <voxshift/networks/unet_blocks.h>
#include <voxshift/tensor/error.h>

namespace voxshift {
namespace {

constexpr UNetChannels kChannels{32, 32, 64, 128, 256, 256, 128, 96, 96};

std::string conv_norm(NetworkBuilder& net, const LayerNames& names, const std::string& x, int out, int size,
                      int stride = 1, const std::string& op = "conv") {
  return net.norm(names.norm, net.conv(names.layer, x, out, size, stride, op, names.weight), names.eps);
}

}  // namespace

std::string conv_norm_relu(NetworkBuilder& net, const LayerNames& names, const std::string& x, int out, int size,
                           int stride, const std::string& op) {
  return net.relu(names.norm + ".relu", conv_norm(net, names, x, out, size, stride, op));
}

std::string residual(NetworkBuilder& net, const ResidualNames& names, const std::string& x, int middle, int out,
                     bool project) {
  std::string y = conv_norm_relu(net, names.first, x, middle, 3);
  y = conv_norm(net, names.second, y, out, 3);
  const std::string shortcut = project ? conv_norm(net, names.shortcut, x, out, 1) : x;
  return net.relu(names.block + ".relu", net.add(names.block + ".add", "add", {y, shortcut}));
}

std::string unet_stem(NetworkBuilder& net, int out) {
  const std::string x = conv_norm_relu(net, {"stem.0", "stem.1"}, kGraphInput, out, 3);
  return conv_norm_relu(net, {"stem.3", "stem.4"}, x, out, 3);
}

UNet::UNet(double width, Seed seed) : net_(InputKind::kVoxels, kScanChannels, seed) {
  check(width >= 1.0 / 32 && width <= 8, "[new] width expects 1/32 to 8, found ", width);
  for (std::size_t i = 0; i < kChannels.size(); ++i) channels_[i] = static_cast<int>(width * kChannels[i]);
}

std::string UNet::residual_block(const std::string& block, const std::string& x, int out) {
  const ResidualNames names{block,
                            {block + ".net.0", block + ".net.1"},
                            {block + ".net.3", block + ".net.4"},
                            {block + ".downsample.0", block + ".downsample.1"}};
  return residual(net_, names, x, out, out, net_.channels(x) != out);
}

std::string UNet::down(std::size_t i, const std::string& x) {
  const std::string stage = "stage" + std::to_string(i);
  std::string y = conv_norm_relu(net_, {stage + ".0.net.0", stage + ".0.net.1"}, x, channels_[i - 1], 2, 2);
  y = residual_block(stage + ".1", y, channels_[i]);
  return residual_block(stage + ".2", y, channels_[i]);
}

std::string UNet::up(std::size_t u, const std::string& x, const std::string& skip) {
  const std::string up = "up" + std::to_string(u);
  const int out = channels_[kUNetLevels + u];
  std::string y = conv_norm_relu(net_, {up + ".0.net.0", up + ".0.net.1"}, x, out, 2, 2, "conv_transpose");
  y = net_.add(up + ".cat", "cat", {y, skip});
  y = residual_block(up + ".1.0", y, out);
  return residual_block(up + ".1.1", y, out);
}

}  // namespace voxshift
