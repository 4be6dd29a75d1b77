// Passes that make few fat steps of many plain nodes.
#pragma once

#include <voxshift/engine/plan.h>

namespace voxshift {

/// A step that still names its values and holds plain weights.
struct Draft {
  const Node* node;  ///< what it was made of; gives options and the name of the weights
  Op op;
  std::vector<std::string> inputs;
  std::string residual;  ///< empty: none
  std::string output;
  Weights weights;                 ///< conv, conv_transpose, linear, conv2d
  std::optional<ScaleShift> norm;  ///< batch_norm
  Activation activation;
  bool residual_last = false;  ///< added after the activation

  const std::string& name() const { return node->name; }
  const Window& window() const { return node->window; }
  bool multiplies() const {
    return op == Op::kConv || op == Op::kConvTranspose || op == Op::kLinear || op == Op::kConv2d;
  }
};

/// The nodes of the graph with batch norm folded into the product before it, activations into the step before them,
/// and sums into the epilogue of one summand's product, in an order that can be run. The graph must outlive them.
std::vector<Draft> fused_drafts(const Graph& graph, const Parameters& parameters);

/// A draft for every node, as it stands.
std::vector<Draft> plain_drafts(const Graph& graph, const Parameters& parameters);

}  // namespace voxshift
