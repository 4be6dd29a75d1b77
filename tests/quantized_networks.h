// Values and weights of i8 in networks that tests write down.
#pragma once

#include "networks.h"

namespace voxshift {

/// The value's whole numbers stand for n * scale, one for all channels or one for each.
inline void set_scale(NetworkWriter& b, const std::string& value, const std::vector<float>& scale) {
  b.graph.scales[value] = value + ".scale";
  b.parameters[value + ".scale"] = Array::from(scale, {static_cast<std::int64_t>(scale.size())});
}

/// Gives a product a weight of any whole numbers of -127..127, and multipliers that f32 rounds.
inline void make_i8(NetworkWriter& b, const std::string& node, unsigned seed) {
  std::mt19937 random(seed);
  Array& weight = b.parameters.at(node + ".weight");
  Array whole(weight.shape(), DType::kI8);
  for (std::int64_t e = 0; e < whole.count(); ++e)
    whole.data<std::int8_t>()[e] = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
  const auto found =
      std::find_if(b.graph.nodes.begin(), b.graph.nodes.end(), [&](const Node& other) { return other.name == node; });
  const std::int64_t out = found->op == "linear" || found->op == "conv2d"
                               ? weight.dim(0)
                               : weight.dim(static_cast<std::size_t>(weight.rank()) - 1);
  std::vector<float> multiplier;
  for (std::int64_t o = 0; o < out; ++o) multiplier.push_back(static_cast<float>(random() % 1000 + 1) * 3e-6f);
  weight = whole;
  found->parameters["weight_scale"] = node + ".weight_scale";
  b.parameters[node + ".weight_scale"] = Array::from(multiplier, {out});
}

}  // namespace voxshift
