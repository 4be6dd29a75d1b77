// Fusion of a graph's nodes into steps: batch norm, activations and sums go into the product before them, shifts into
// the product behind, inverted residuals become one product.
#pragma once

#include <voxshift/graph/draft.h>

#include <vector>

namespace voxshift {

/// The nodes of the graph with batch norm folded into the product before it, activations into the step before them,
/// sums into the epilogue of one summand's product, shifts into the reading of the pointwise product that alone uses
/// them, and convolution -> depthwise -> pointwise into one, in an order that can be run. The graph must outlive them.
std::vector<Draft> fused_drafts(const Graph& graph, const Parameters& parameters);

/// A draft for every node, as it stands.
std::vector<Draft> plain_drafts(const Graph& graph, const Parameters& parameters);

}  // namespace voxshift
