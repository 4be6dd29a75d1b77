// A graph run node by node with the ops users call: slow, plain, and what the executor is checked against.
#pragma once

#include <voxshift/models/graph.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <functional>

namespace voxshift {

/// Called before each node with its first input.
using BeforeNode = std::function<void(const Node&, const SparseTensor&)>;

/// The value of graph.output for this input, every node by itself, nothing folded or fused. The graph must have passed
/// check_graph.
SparseTensor evaluate(const Graph& graph, const Parameters& parameters, const SparseTensor& input,
                      const BeforeNode& before = {});

}  // namespace voxshift
