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
  bool residual_last = false;  ///< added after the activation

  const std::string& name() const { return node->name; }
  bool multiplies() const { return op->weights != nullptr; }
};

}  // namespace voxshift
