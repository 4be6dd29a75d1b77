// Blocks of the sparse residual U-Nets: MinkUNet, SPVCNN, SPVNAS.
#pragma once

#include <voxshift/networks/network_builder.h>

#include <array>
#include <cstdint>
#include <string>

namespace voxshift {

/// Levels of the U-Nets below the input's: strides 2, 4, 8 and 16.
constexpr std::size_t kUNetLevels = 4;

/// Channels of the stem, of the four levels going down, and of the four going up.
using UNetChannels = std::array<int, 1 + 2 * kUNetLevels>;

constexpr std::int64_t kScanChannels = 4;  // x, y, z, remission

/// Names of the tensors of a layer (`layer`.kernel or .weight, .bias) and of the batch norm after it.
struct LayerNames {
  std::string layer, norm;
  const char* weight = "kernel";  ///< of a sparse convolution: what stands behind `layer`.
  float eps = 1e-5f;              ///< of the batch norm
};

/// Convolution with a cubic window, batch norm, ReLU.
std::string conv_norm_relu(NetworkBuilder& net, const LayerNames& names, const std::string& x, int out, int size,
                           int stride = 1, const std::string& op = "conv");

/// Layers of a residual block.
struct ResidualNames {
  std::string block;  ///< prefix of the nodes without parameters
  LayerNames first, second, shortcut;
};

/// relu(norm(conv(relu(norm(conv(x))))) + shortcut), two 3^3 convolutions with `middle` channels between them. The
/// shortcut is x, or norm(1^3 convolution of x) when `project`.
std::string residual(NetworkBuilder& net, const ResidualNames& names, const std::string& x, int middle, int out,
                     bool project);

/// Two 3^3 convolutions on the input: stem.{0,1,3,4}.
std::string unet_stem(NetworkBuilder& net, int out);

/// The U-Net of MinkUNet and SPVCNN, with spvnas' names.
class UNet {
 public:
  /// Channels int(width * [32, 32, 64, 128, 256, 256, 128, 96, 96]). Throws InvalidArgument for a width outside
  /// [1/32, 8].
  UNet(double width, Seed seed);

  NetworkBuilder& net() { return net_; }

  std::string stem() { return unet_stem(net_, channels_[0]); }

  /// Level `i` of 1..4 from the one above it: 2^3 convolution of stride 2, two residual blocks.
  std::string down(std::size_t i, const std::string& x);

  /// Step `u` of 1..4 up again: transposed 2^3 convolution, `skip` beside it, two residual blocks.
  std::string up(std::size_t u, const std::string& x, const std::string& skip);

 private:
  std::string residual_block(const std::string& block, const std::string& x, int out);

  NetworkBuilder net_;
  UNetChannels channels_{};
};

}  // namespace voxshift
