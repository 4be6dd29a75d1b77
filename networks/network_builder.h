// Writes networks down layer by layer, with random weights.
#pragma once

#include <voxshift/graph/network.h>
#include <voxshift/temporal_shift/temporal_shift.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace voxshift {

/// Adds nodes to a graph. Every function gives the name of the value it adds. Weights are uniform, those of sparse
/// convolutions and linear layers as torchsparse and torch initialise them, from the raw generator, so that a seed
/// means the same weights on every platform; batch norm is the identity.
class NetworkBuilder {
 public:
  NetworkBuilder(InputKind input, std::int64_t in_channels, std::uint64_t seed);

  /// A node without parameters; `node()` is it, for its options.
  std::string add(const std::string& name, const std::string& op, std::vector<std::string> inputs);
  Node& node() { return network_.graph.nodes.back(); }

  /// Channels of a value.
  std::int64_t channels(const std::string& value) const { return channels_.at(value); }

  /// Convolution with a cubic window. Tensors `name`.`weight_role` [K, Cin, Cout] and, with bias, `name`.bias. Bound
  /// 1 / sqrt(fan * K), fan the input channels, or the output channels of a transposed convolution.
  std::string conv(const std::string& name, const std::string& x, std::int64_t out, int size, int stride,
                   const std::string& op = "conv", const char* weight_role = "kernel", bool bias = false);

  /// 2-D convolution whose padding is kernel / 2, without bias. Tensor `name`.weight [Cout, Cin / groups, kernel,
  /// kernel]. Variance 2 / fan as of He et al., fan the products of an output: Cin / groups * kernel^2.
  std::string conv2d(const std::string& name, const std::string& x, std::int64_t out, int kernel, int stride = 1,
                     std::int64_t groups = 1);

  /// Bound 1 / sqrt(Cin). Tensors `name`.weight [Cout, Cin] and, with bias, `name`.bias.
  std::string linear(const std::string& name, const std::string& x, std::int64_t out, bool bias = true);

  std::string norm(const std::string& name, const std::string& x, float eps = 1e-5f);
  std::string relu(const std::string& name, const std::string& x) { return add(name, "relu", {x}); }

  std::string relu6(const std::string& name, const std::string& x) { return add(name, "relu6", {x}); }
  std::string max_pool2d(const std::string& name, const std::string& x, const Window2d& window);
  std::string temporal_shift(const std::string& name, const std::string& x, const TemporalShift& shift);

  /// Columns [first, first + count) of x.
  std::string columns(const std::string& name, const std::string& x, std::int64_t first, std::int64_t count);

  /// The network that ends with this value.
  Network take(const std::string& output);

 private:
  void uniform(const std::string& name, Shape shape, double bound);
  void constant(const std::string& name, std::int64_t count, float value);

  std::mt19937_64 random_;
  Network network_;
  std::map<std::string, std::int64_t> channels_;
};

}  // namespace voxshift
