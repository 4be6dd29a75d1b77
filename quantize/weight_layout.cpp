#include <voxshift/graph/op.h>
#include <voxshift/quantize/weight_layout.h>

#include <algorithm>
#include <utility>

namespace voxshift {
namespace {

// Nodes' roles that name the tensor.
std::int64_t users_of(const Graph& graph, const std::string& tensor) {
  std::int64_t users = 0;
  for (const Node& node : graph.nodes)
    users += std::count_if(node.parameters.begin(), node.parameters.end(),
                           [&](const auto& parameter) { return parameter.second == tensor; });
  return users;
}

std::string free_name(const Parameters& parameters, std::string name) {
  while (parameters.contains(name)) name += "_";
  return name;
}

}  // namespace

bool is_product(const Node& node) {
  const OpDefinition* op = find_op(node.op);
  return op != nullptr && op->weights != nullptr;
}

WeightLayout weight_layout(const Node& node, const Parameters& parameters) {
  const Shape& shape = parameters.at(node.parameters.at("weight")).shape();
  WeightLayout layout;
  if (node.op == "linear") {
    layout.out = shape[0];
    layout.in = shape[1];
    layout.out_stride = layout.in;
    layout.in_stride = layout.tap_stride = 1;
    return layout;
  }
  layout.groups = node.attributes.contains("groups") ? node.whole("groups") : 1;
  if (node.op == "conv2d" || node.op == "conv_transpose2d") {
    const bool transposed = node.op == "conv_transpose2d";  // [Cin, Cout / groups, height, width]
    layout.taps = shape[2] * shape[3];
    layout.out = transposed ? shape[1] : shape[0] / layout.groups;
    layout.in = transposed ? shape[0] / layout.groups : shape[1];
    layout.out_stride = (transposed ? 1 : layout.in) * layout.taps;
    layout.in_stride = (transposed ? layout.out : 1) * layout.taps;
    layout.tap_stride = 1;
    layout.group_stride = layout.out * layout.in * layout.taps;
    return layout;
  }
  const std::size_t rank = shape.size();  // [K, Cin / groups, Cout], without K where it is 1
  layout.taps = rank == 3 ? shape[0] : 1;
  layout.in = shape[rank - 2];
  layout.out = shape[rank - 1] / layout.groups;
  layout.out_stride = 1;
  layout.group_stride = layout.out;
  layout.in_stride = shape[rank - 1];
  layout.tap_stride = layout.in * layout.in_stride;
  return layout;
}

Array& own_tensor(Graph& graph, Parameters& parameters, Node& node, const char* role, const Shape& shape) {
  const auto named = node.parameters.find(role);
  if (named == node.parameters.end()) {
    const std::string name = free_name(parameters, node.name + "." + role);
    node.parameters[role] = name;
    Array zeros(shape, DType::kF32);
    std::fill_n(zeros.data<float>(), zeros.count(), 0.0f);
    return parameters.emplace(name, std::move(zeros)).first->second;
  }
  const Array& shared = parameters.at(named->second);
  Array copy(shared.shape(), DType::kF32);
  std::copy_n(shared.data<float>(), shared.count(), copy.data<float>());
  if (users_of(graph, named->second) > 1) named->second = free_name(parameters, node.name + "." + role);
  return parameters.insert_or_assign(named->second, std::move(copy)).first->second;
}

void drop_unused(const Graph& graph, Parameters& parameters) {
  std::erase_if(parameters, [&](const auto& tensor) { return users_of(graph, tensor.first) == 0; });
}

}  // namespace voxshift
