// Writes networks down layer by layer, with random weights.
#pragma once

#include <voxshift/graph/network.h>
#include <voxshift/networks/seed.h>
#include <voxshift/temporal_shift/temporal_shift.h>
#include <voxshift/tensor/kernel_map.h>

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace voxshift {

/// Adds nodes to a graph. Every function gives the name of the value it adds. Weights are uniform, those of sparse
/// convolutions and linear layers as torchsparse and torch initialise them, from the raw generator, so that a seed
/// means the same weights on every platform; batch norm is the identity. Without a seed no tensor has contents.
class NetworkBuilder {
 public:
  NetworkBuilder(InputKind input, std::int64_t in_channels, Seed seed);

  /// A node without parameters; `node()` is it, for its options.
  std::string add(const std::string& name, const std::string& op, std::vector<std::string> inputs);
  Node& node() { return network_.graph.nodes.back(); }

  /// Channels of a value.
  std::int64_t channels(const std::string& value) const { return channels_.at(value); }

  /// Convolution with a cubic window. Tensors `name`.`weight_role` [K, Cin, Cout] and, with bias, `name`.bias. Bound
  /// 1 / sqrt(fan * K), fan the input channels, or the output channels of a transposed convolution.
  std::string conv(const std::string& name, const std::string& x, std::int64_t out, int size, int stride,
                   const std::string& op = "conv", const char* weight_role = "kernel", bool bias = false);

  /// The same with any window.
  std::string conv(const std::string& name, const std::string& x, std::int64_t out, const Window& window,
                   const std::string& op = "conv", const char* weight_role = "kernel", bool bias = false);

  /// 2-D convolution whose padding is kernel / 2, of even kernels 0. Tensors `name`.weight [Cout, Cin / groups, kernel,
  /// kernel] and, filled with `bias` where it is given, `name`.bias. Variance 2 / fan as of He et al., fan the products
  /// of an output: Cin / groups * kernel^2.
  std::string conv2d(const std::string& name, const std::string& x, std::int64_t out, int kernel, int stride = 1,
                     std::int64_t groups = 1, std::optional<float> bias = {});

  /// Every pixel becomes kernel x kernel of its own. Tensor `name`.weight [Cin, Cout, kernel, kernel], variance 2 /
  /// Cin.
  std::string conv_transpose2d(const std::string& name, const std::string& x, std::int64_t out, int kernel);

  /// Voxels of these extents along x, y and z as an image [x, y], their layers along z side by side.
  std::string bird_eye_view(const std::string& name, const std::string& x, const std::array<std::int64_t, 3>& extents);

  /// Bound 1 / sqrt(Cin). Tensors `name`.weight [Cout, Cin] and, with bias, `name`.bias.
  std::string linear(const std::string& name, const std::string& x, std::int64_t out, bool bias = true);

  std::string norm(const std::string& name, const std::string& x, float eps = 1e-5f);
  std::string relu(const std::string& name, const std::string& x) { return add(name, "relu", {x}); }

  std::string relu6(const std::string& name, const std::string& x) { return add(name, "relu6", {x}); }
  std::string max_pool2d(const std::string& name, const std::string& x, const Window2d& window);
  std::string temporal_shift(const std::string& name, const std::string& x, const TemporalShift& shift);

  /// Columns [first, first + count) of x.
  std::string columns(const std::string& name, const std::string& x, std::int64_t first, std::int64_t count);

  /// The last node's tensors are those of the layer `name`.
  void share(const std::string& name);

  /// The network that ends with this value, or with these.
  Network take(const std::string& output) { return take(std::vector{output}); }
  Network take(std::vector<std::string> outputs);

 private:
  void uniform(const std::string& name, Shape shape, double bound);
  void constant(const std::string& name, std::int64_t count, float value);

  std::optional<std::mt19937_64> random_;  // none: tensors are not filled
  Network network_;
  std::map<std::string, std::int64_t> channels_;
};

}  // namespace voxshift
