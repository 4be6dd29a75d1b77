#include <voxshift/graph/op.h>
#include <voxshift/quantize/fold.h>
#include <voxshift/quantize/graph_uses.h>
#include <voxshift/quantize/weight_layout.h>

#include <algorithm>
#include <utility>

namespace voxshift {
namespace {

void rename_value(Graph& graph, const std::string& from, const std::string& to) {
  for (Node& node : graph.nodes) std::replace(node.inputs.begin(), node.inputs.end(), from, to);
}

void scale_and_shift(Network& network, Node& product, const ScaleShift& norm) {
  const WeightLayout layout = weight_layout(product, network.parameters);
  float* weight = own_tensor(network.graph, network.parameters, product, "weight", {}).data<float>();
  const float* scale = norm.scale.data<float>();
  const float* shift = norm.shift.data<float>();
  layout.for_each([&](std::int64_t at, std::int64_t out, std::int64_t) { weight[at] *= scale[out]; });
  float* bias = own_tensor(network.graph, network.parameters, product, "bias", {layout.out_channels()}).data<float>();
  for (std::int64_t c = 0; c < layout.out_channels(); ++c) bias[c] = bias[c] * scale[c] + shift[c];
}

// Whether node i was a norm, which is gone then.
bool fold_node(Network& network, std::size_t i) {
  Graph& graph = network.graph;
  const Node norm = graph.nodes[i];
  const OpDefinition* op = find_op(norm.op);
  if (op->scale_shift == nullptr || uses_of(graph, norm.inputs.front()) != 1) return false;
  Node* product = node_of(graph, norm.inputs.front());
  if (product == nullptr || !is_product(*product)) return false;
  scale_and_shift(network, *product, op->scale_shift(norm, network.parameters));
  const bool is_output = std::ranges::find(graph.outputs, norm.name) != graph.outputs.end();
  if (is_output) {
    product->name = norm.name;
  } else {
    rename_value(graph, norm.name, product->name);
  }
  graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(i));
  return true;
}

}  // namespace

Network folded_batch_norm(const Network& network) {
  Network result = network;
  check_graph(result.graph, result.parameters);
  for (std::size_t i = 0; i < result.graph.nodes.size();)
    if (!fold_node(result, i)) ++i;
  drop_unused(result.graph, result.parameters);
  return result;
}

}  // namespace voxshift
