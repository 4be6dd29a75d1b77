// A network in i8, put together from what was found out.
#pragma once

#include <voxshift/quantize/narrow_plan.h>
#include <voxshift/quantize/rounding.h>
#include <voxshift/quantize/simulation.h>

#include <map>
#include <string>
#include <vector>

namespace voxshift {

using RoundedWeights = std::map<std::string, RoundedWeight>;    ///< by product
using BiasErrors = std::map<std::string, std::vector<double>>;  ///< by product, per output channel

/// The network with the weights that i8 stands for, in f32, and with the errors taken off the biases; of the products
/// of `weights`.
Network rounded_network(const Network& network, const RoundedWeights& weights, const BiasErrors& errors);

/// The network whose values and products of the plan are i8.
Network quantized_network(const Network& network, const NarrowPlan& plan, const ValueScales& scales,
                          const RoundedWeights& weights, const BiasErrors& errors);

}  // namespace voxshift
