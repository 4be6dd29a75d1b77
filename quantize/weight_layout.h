// Where the numbers of a product's weight lie by output channel, input channel and tap, as its node stores them.
#pragma once

#include <voxshift/graph/graph.h>

#include <cstdint>

namespace voxshift {

/// Element (group g, output o, input i, tap t) of a stored weight stands at g * group_stride + o * out_stride + i *
/// in_stride + t * tap_stride; o and i count within their group.
struct WeightLayout {
  std::int64_t groups = 1, out = 0, in = 0, taps = 1;  ///< out and in: of each group
  std::int64_t group_stride = 0, out_stride = 0, in_stride = 0, tap_stride = 0;

  std::int64_t out_channels() const { return groups * out; }
  std::int64_t in_channels() const { return groups * in; }
  bool depthwise() const { return groups > 1 && out == 1 && in == 1; }

  /// Calls body(index, output channel, input channel) for every element, output by output.
  template <class Body>
  void for_each(const Body& body) const {
    for (std::int64_t g = 0; g < groups; ++g)
      for (std::int64_t o = 0; o < out; ++o)
        for (std::int64_t i = 0; i < in; ++i)
          for (std::int64_t t = 0; t < taps; ++t)
            body(g * group_stride + o * out_stride + i * in_stride + t * tap_stride, g * out + o, g * in + i);
  }
};

/// Whether the node is a product: conv, conv2d, linear and the transposed ones.
bool is_product(const Node& node);

/// Of a product in a graph that check_graph has passed.
WeightLayout weight_layout(const Node& node, const Parameters& parameters);

/// The tensor of a node's role, to be changed for this node alone: a copy, under a name of its own where other nodes
/// share it; zeros of `shape` where the node names none.
Array& own_tensor(Graph& graph, Parameters& parameters, Node& node, const char* role, const Shape& shape);

/// Leaves out the tensors that no node names.
void drop_unused(const Graph& graph, Parameters& parameters);

}  // namespace voxshift
