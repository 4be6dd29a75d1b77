#include <voxshift/graph/op.h>
#include <voxshift/graph/quantized.h>
#include <voxshift/tensor/narrow.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace voxshift {
namespace {

// A scale tensor of what `where` says, by name.
const Array& checked_scale(const std::string& where, const Parameters& parameters, const std::string& tensor,
                           const std::vector<Shape>& allowed) {
  const auto found = parameters.find(tensor);
  check(found != parameters.end(), "[graph] tensor \"", tensor, "\", the scale of ", where, ", is missing");
  const Array& scale = found->second;
  check(scale.dtype() == DType::kF32 && std::find(allowed.begin(), allowed.end(), scale.shape()) != allowed.end(),
        "[graph] tensor \"", tensor, "\", the scale of ", where, ", expects f32 ", allowed.back(), ", found ",
        name(scale.dtype()), " ", scale.shape());
  for (const float s : scale.values<float>())
    check(s >= std::numeric_limits<float>::min() && s <= 1 / std::numeric_limits<float>::min(), "[graph] tensor \"",
          tensor, "\", the scale of ", where, ", expects normal numbers above 0, found ", s);
  return scale;
}

void check_node_quantized(const Graph& graph, const Node& node, const Parameters& parameters,
                          const GraphValues& values) {
  const auto named = node.parameters.find(kWeightScale);
  if (named == node.parameters.end()) return;
  const std::string where = "node \"" + node.name + "\"";
  const std::int64_t out = values.channels(node.name);
  checked_scale(where, parameters, named->second, {{out}});
  check(graph.scales.contains(node.inputs[0]), "[graph] ", where, " has a weight of i8, but its input \"",
        node.inputs[0], "\" has no scale");
  const Array& weight = parameters.at(node.parameters.at("weight"));
  check(weight.count() == 0 || std::memchr(weight.memory(), 0x80, weight.bytes()) == nullptr, "[graph] the weight of ",
        where, " expects -127 to 127, found -128");
  const std::int64_t most = std::numeric_limits<std::int32_t>::max() / (kMostI8 * kMostI8);
  check(weight.count() / std::max<std::int64_t>(out, 1) <= most, "[graph] ", where, " sums ",
        weight.count() / std::max<std::int64_t>(out, 1), " products of i8, at most ", most);
}

// What one f32 is multiplied by where weights [.., i, .., o, ..] are; `channel` gives both from an element's number.
template <class Channels>
Array dequantized_weight(const Array& weight, const float* multiplier, const float* scales, const Channels& channels) {
  Array result(weight.shape(), DType::kF32);
  const auto* from = weight.data<std::int8_t>();
  float* to = result.data<float>();
  for (std::int64_t e = 0; e < weight.count(); ++e) {
    const auto [in, out] = channels(e);
    to[e] = static_cast<float>(from[e]) * (multiplier[out] / scales[in]);
  }
  return result;
}

// The input and output channel of each element of a product's weight.
struct WeightChannels {
  bool out_first;  // [Cout, Cin / groups, taps], else [taps, Cin / groups, Cout]
  std::int64_t in, out, taps, groups;

  std::pair<std::int64_t, std::int64_t> operator()(std::int64_t e) const {
    const std::int64_t o = out_first ? e / (in * taps) : e % out, i = out_first ? e / taps % in : e / out % in;
    return {o / (out / groups) * in + i, o};
  }
};

WeightChannels channels_of(const Node& node, const Shape& shape, std::int64_t in_channels) {
  if (node.op == "conv2d" || node.op == "linear") {
    const std::int64_t taps = shape.size() == 4 ? shape[2] * shape[3] : 1;
    return {true, shape[1], shape[0], taps, in_channels / shape[1]};
  }
  const std::int64_t in = shape[shape.size() - 2];
  return {false, in, shape.back(), shape.size() == 3 ? shape[0] : 1, in_channels / in};
}

}  // namespace

bool is_quantized(const Graph& graph) {
  return !graph.scales.empty() || std::any_of(graph.nodes.begin(), graph.nodes.end(),
                                              [](const Node& node) { return node.parameters.contains(kWeightScale); });
}

std::set<std::string> scale_tensors(const Graph& graph) {
  std::set<std::string> result;
  for (const auto& [value, tensor] : graph.scales) result.insert(tensor);
  for (const Node& node : graph.nodes)
    if (const auto named = node.parameters.find(kWeightScale); named != node.parameters.end())
      result.insert(named->second);
  return result;
}

void check_quantized(const Graph& graph, const Parameters& parameters, const GraphValues& values) {
  for (const auto& [value, tensor] : graph.scales) {
    check(values.types.contains(value), "[graph] a scale is given for \"", value, "\", which no node gives");
    check(!graph.has_input(value), "[graph] a scale is given for the input \"", value, "\"; inputs are f32");
    checked_scale("value \"" + value + "\"", parameters, tensor, {{1}, {values.channels(value)}});
  }
  for (const Node& node : graph.nodes) check_node_quantized(graph, node, parameters, values);
}

Array scales_of(const Graph& graph, const Parameters& parameters, const GraphValues& values, const std::string& value) {
  const std::int64_t channels = values.channels(value);
  const Array& given = parameters.at(graph.scales.at(value));
  Array result({2, channels}, DType::kF32);
  float* scale = result.data<float>();
  for (std::int64_t c = 0; c < channels; ++c) {
    scale[c] = given.data<float>()[given.count() == 1 ? 0 : c];
    scale[channels + c] = 1 / scale[c];
  }
  return result;
}

Network dequantized(const Network& network) {
  Network result = network;
  const GraphValues values = check_graph(result.graph, network.parameters);
  for (Node& node : result.graph.nodes) {
    const auto named = node.parameters.find(kWeightScale);
    if (named == node.parameters.end()) continue;
    const std::string tensor = node.parameters.at("weight");
    const Array& weight = network.parameters.at(tensor);
    const Array scales = scales_of(network.graph, network.parameters, values, node.inputs[0]);
    // Products that share a weight may read values of other scales.
    const bool first = result.parameters.at(tensor).dtype() == DType::kI8;
    const std::string own = first ? tensor : tensor + " of " + node.name;
    node.parameters["weight"] = own;
    result.parameters[own] =
        dequantized_weight(weight, network.parameters.at(named->second).data<float>(), scales.data<float>(),
                           channels_of(node, weight.shape(), values.channels(node.inputs[0])));
    result.parameters.erase(named->second);
    node.parameters.erase(named);
  }
  for (const auto& [value, tensor] : result.graph.scales) result.parameters.erase(tensor);
  result.graph.scales.clear();
  return result;
}

}  // namespace voxshift
