// Batch norm as part of the products before it.
#pragma once

#include <voxshift/graph/network.h>

namespace voxshift {

/// The same function with every batch norm that alone reads a product folded into that product's weight and bias: y *
/// scale + shift per output channel. The product keeps its name and the norm's users read it; the norm of an output
/// leaves its name to the product. Tensors that several nodes share are copied. Throws InvalidArgument as check_graph.
Network folded_batch_norm(const Network& network);

}  // namespace voxshift
