// Parameters of nodes in the form that ops take, and batch norm folded into the weights before it.
#pragma once

#include <voxshift/graph/graph.h>
#include <voxshift/tensor/epilogue.h>

#include <optional>

namespace voxshift {

/// weight f32 [K, Cin, Cout] (K = 1 for linear) or, of conv2d, [Cout, Cin / groups, k, k]; bias f32 [Cout].
struct Weights {
  Array weight;
  std::optional<Array> bias;
};

/// y = x * scale + shift per channel.
struct ScaleShift {
  Array scale, shift;
};

/// The weights of a conv, conv_transpose, linear or conv2d node; empty for other ops. A linear weight is transposed.
Weights weights_of(const Node& node, const Parameters& parameters);

/// Batch norm at inference: scale = weight / sqrt(running_var + eps), shift = bias - running_mean * scale, in double.
ScaleShift scale_shift_of(const Node& batch_norm, const Parameters& parameters);

/// Weights of the node followed by y * scale + shift. The result shares nothing with its arguments.
Weights folded(const Weights& weights, const ScaleShift& norm);

/// The activation of a relu, relu6 or leaky_relu node; none for other ops.
Activation activation_of(const Node& node);

}  // namespace voxshift
