// Nodes on their way to steps.
#pragma once

#include <voxshift/graph/op.h>

#include <optional>
#include <string>
#include <vector>

namespace voxshift {

/// A step that still names its values and holds plain weights: what passes work on.
struct Draft {
  const Node* node;  ///< what it was made of; gives attributes and the name of the weights
  const OpDefinition* op;
  std::vector<std::string> inputs;
  std::string residual;  ///< of a product; empty: none
  std::string output;
  Weights weights;                 ///< of a product
  std::optional<ScaleShift> norm;  ///< of batch norm
  Activation activation;
  bool residual_last = false;     ///< added after the activation
  std::vector<Draft> front = {};  ///< of an inverted residual: the convolution and the depthwise one before this one,
                                  ///< whose values are never written down
  std::optional<TemporalShift> shift = {};  ///< of its input

  const std::string& name() const { return node->name; }
  bool multiplies() const { return op->weights != nullptr; }
  std::optional<ImageProduct> image_product() const {
    return op->image_product != nullptr ? op->image_product(*node, weights) : std::nullopt;
  }
};

}  // namespace voxshift
