// Statistics of batch normalisation for networks that were never trained.
#pragma once

#include <voxshift/models/graph.h>

#include <cstdint>

namespace voxshift {

/// Sets running_mean and running_var of every batch_norm node to the mean and variance of its input on one synthetic
/// scan, in graph order, so that activations keep their scale through a network of random weights.
void calibrate_batch_norm(Graph& graph, Parameters& parameters, std::uint64_t seed);

}  // namespace voxshift
