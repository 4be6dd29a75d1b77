#include <voxshift/graph/weights.h>
#include <voxshift/quantize/assemble.h>
#include <voxshift/quantize/weight_layout.h>

#include <algorithm>
#include <utility>

namespace voxshift {
namespace {

void correct_bias(Network& network, Node& node, const BiasErrors& errors) {
  const auto found = errors.find(node.name);
  if (found == errors.end()) return;
  const auto channels = static_cast<std::int64_t>(found->second.size());
  float* bias = own_tensor(network.graph, network.parameters, node, "bias", {channels}).data<float>();
  for (std::size_t c = 0; c < found->second.size(); ++c) bias[c] = static_cast<float>(bias[c] - found->second[c]);
}

std::string add_tensor(Parameters& parameters, std::string name, Array tensor) {
  while (parameters.contains(name)) name += "_";
  parameters.emplace(name, std::move(tensor));
  return name;
}

// One number where all channels have it.
Array scale_tensor(const std::vector<float>& scale) {
  const bool same = std::all_of(scale.begin(), scale.end(), [&](float s) { return s == scale.front(); });
  const std::vector<float> values(scale.begin(), same ? scale.begin() + 1 : scale.end());
  return Array::from(values, {static_cast<std::int64_t>(values.size())});
}

}  // namespace

Network rounded_network(const Network& network, const RoundedWeights& weights, const BiasErrors& errors) {
  Network result = network;
  for (Node& node : result.graph.nodes) {
    const auto weight = weights.find(node.name);
    if (weight == weights.end()) continue;
    own_tensor(result.graph, result.parameters, node, "weight", {}) = weight->second.rounded;
    correct_bias(result, node, errors);
  }
  return result;
}

Network quantized_network(const Network& network, const NarrowPlan& plan, const ValueScales& scales,
                          const RoundedWeights& weights, const BiasErrors& errors) {
  Network result = network;
  for (Node& node : result.graph.nodes) {
    if (std::find(plan.narrow_products.begin(), plan.narrow_products.end(), node.name) == plan.narrow_products.end())
      continue;
    const RoundedWeight& weight = weights.at(node.name);
    own_tensor(result.graph, result.parameters, node, "weight", {}) = weight.whole;
    const auto channels = static_cast<std::int64_t>(weight.multiplier.size());
    node.parameters[kWeightScale] =
        add_tensor(result.parameters, node.name + "." + kWeightScale, Array::from(weight.multiplier, {channels}));
    correct_bias(result, node, errors);
  }
  for (const std::string& value : plan.values)
    result.graph.scales[value] = add_tensor(result.parameters, value + ".scale", scale_tensor(scales.at(value)));
  return result;
}

}  // namespace voxshift
