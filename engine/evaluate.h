// A graph run node by node, nothing folded or fused: what calibration looks at and the executor's passes are checked
// against.
#pragma once

#include <voxshift/graph/graph.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <functional>

namespace voxshift {

/// Called before each node with the rows of its first input. It may change those of a batch norm.
using BeforeNode = std::function<void(const Node&, const ConstRowView&)>;

/// Rows f32 [N, C] of the network's first output for this input. The graph must have passed check_graph. Throws
/// InvalidArgument for an input of another kind or number of channels than the network's.
Array evaluate(const Graph& graph, const Parameters& parameters, const SparseTensor& input,
               const BeforeNode& before = {});
Array evaluate(const Graph& graph, const Parameters& parameters, const PointSet& input, const BeforeNode& before = {});

/// frames f32 [T, H, W, C]: those of one clip, one after the other.
Array evaluate(const Graph& graph, const Parameters& parameters, const Array& frames, const BeforeNode& before = {});

}  // namespace voxshift
