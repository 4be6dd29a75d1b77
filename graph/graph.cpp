#include <voxshift/graph/op.h>
#include <voxshift/graph/quantized.h>

#include <algorithm>
#include <functional>
#include <set>

namespace voxshift {
namespace {

constexpr std::size_t kMostNodes = 4096;
constexpr std::size_t kMostInputs = 64;

// Kahn's algorithm, keeping the given order where it is possible.
void sort_nodes(Graph& graph) {
  std::set<std::string> ready;
  for (const GraphInput& input : graph.inputs) ready.insert(input.name);
  std::set<std::string> known = ready;
  for (const Node& node : graph.nodes) {
    check(!node.name.empty(), "[graph] a node (", node.op, ") has no name");
    check(known.insert(node.name).second, "[graph] two values are called \"", node.name, "\"");
  }
  for (const Node& node : graph.nodes)
    for (const std::string& input : node.inputs)
      check(known.contains(input), "[graph] node \"", node.name, "\" takes \"", input, "\", which no node gives");
  check(!graph.outputs.empty(), "[graph] the network has no output");
  std::set<std::string> outputs;
  for (const std::string& output : graph.outputs) {
    check(known.contains(output) && !graph.has_input(output), "[graph] no node gives the output \"", output, "\"");
    check(outputs.insert(output).second, "[graph] the output \"", output, "\" is named twice");
  }

  std::vector<Node> sorted;
  std::vector<bool> taken(graph.nodes.size(), false);
  for (bool progress = true; progress;) {
    progress = false;
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      const Node& node = graph.nodes[i];
      const auto is_ready = [&](const std::string& input) { return ready.contains(input); };
      if (taken[i] || !std::all_of(node.inputs.begin(), node.inputs.end(), is_ready)) continue;
      taken[i] = progress = true;
      ready.insert(node.name);
      sorted.push_back(node);
    }
  }
  const auto stuck = std::find(taken.begin(), taken.end(), false);
  check(stuck == taken.end(), "[graph] node \"",
        stuck == taken.end() ? "" : graph.nodes[static_cast<std::size_t>(stuck - taken.begin())].name,
        "\" is part of a cycle");
  graph.nodes = std::move(sorted);
}

// Gives the node the usual values of attributes that it lacks.
void check_attributes(const Graph& graph, Node& node, const OpDefinition& op) {
  const std::string where = "[graph] node \"" + node.name + "\" (" + op.name + ")";
  const auto declared = [&](const std::string& name) {
    return std::any_of(op.attributes.begin(), op.attributes.end(),
                       [&](const AttributeSpec& spec) { return name == spec.name; });
  };
  for (const auto& [name, value] : node.attributes) check(declared(name), where, " has no attribute \"", name, "\"");
  const auto axes = static_cast<std::size_t>(op.axes > 0 ? op.axes : graph.dims);
  for (const AttributeSpec& spec : op.attributes) {
    const auto given = node.attributes.find(spec.name);
    check(given != node.attributes.end() || !spec.usual.empty(), where, " lacks ", spec.name, ": ", spec.text);
    const Attribute& value = given != node.attributes.end() ? given->second : spec.usual.front();
    node.attributes[spec.name] = checked(spec, value, axes, where);
  }
}

// Rows of their own, or of the input before that they name.
void add_inputs(Graph& graph, const FrameExtents& frames, GraphValues& values) {
  check(!graph.inputs.empty() && graph.inputs.size() <= kMostInputs, "[graph] expected 1 to ", kMostInputs,
        " inputs, found ", graph.inputs.size());
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    GraphInput& input = graph.inputs[i];
    const std::string where = "[graph] input \"" + input.name + "\"";
    check(!input.name.empty(), "[graph] input ", i, " has no name");
    check(!values.types.contains(input.name), "[graph] two inputs are called \"", input.name, "\"");
    check(input.channels >= 1 && input.channels <= kMostChannels, where, " expects 1 to ", kMostChannels,
          " channels, found ", input.channels);
    if (!input.rows_of.empty()) {
      const auto with = std::find_if(graph.inputs.begin(), graph.inputs.begin() + static_cast<std::ptrdiff_t>(i),
                                     [&](const GraphInput& other) { return other.name == input.rows_of; });
      check(with != graph.inputs.begin() + static_cast<std::ptrdiff_t>(i), where, " has the rows of \"", input.rows_of,
            "\", which is no input before it");
      input.kind = with->kind;
      if (!with->rows_of.empty()) input.rows_of = with->rows_of;  // the one whose own they are
      values.types[input.name] = {values.at(with->name).domain, input.channels};
      continue;
    }
    check(input.kind != InputKind::kPoints || (graph.dims == 3 && input.channels >= 3), where,
          " is points, which need 3 dimensions and at least their x y z as channels, found ", graph.dims, " and ",
          input.channels);
    values.types[input.name] = {values.domains.add_input(input.kind, i < frames.size() ? frames[i] : Extent2d{}),
                                input.channels};
  }
  check(!values.domains.only_frames() || graph.dims == 2, "[graph] frames have 2 dimensions, found ", graph.dims);
}

void check_node(const Graph& graph, Node& node) {
  const OpDefinition* op = find_op(node.op);
  check(op != nullptr, "[graph] node \"", node.name, "\" has the unknown op \"", node.op, "\"");
  const std::size_t least = op->inputs.size(), most = op->more_inputs ? kMostInputs : least;
  check(node.inputs.size() >= least && node.inputs.size() <= most, "[graph] node \"", node.name, "\" (", op->name,
        ") takes ", least, " input(s), found ", node.inputs.size());
  for (const ParameterSpec& parameter : op->parameters)
    check(!parameter.required || node.parameters.contains(parameter.role), "[graph] node \"", node.name,
          "\" names no tensor for its ", parameter.role);
  for (const auto& [role, tensor] : node.parameters)
    check(std::any_of(op->parameters.begin(), op->parameters.end(),
                      [&name = role](const ParameterSpec& parameter) { return name == parameter.role; }),
          "[graph] node \"", node.name, "\" (", op->name, ") has no parameter \"", role, "\"");
  check_attributes(graph, node, *op);
}

}  // namespace

std::int64_t Node::whole(const std::string& key) const {
  const Attribute& value = attributes.at(key);
  if (!std::holds_alternative<PerAxis>(value)) return std::get<std::int64_t>(value);
  const auto& axes = std::get<PerAxis>(value);
  check(std::adjacent_find(axes.begin(), axes.end(), std::not_equal_to<>()) == axes.end(), "[graph] node \"", name,
        "\" (", op, ") expects one ", key, " for all axes, found ", to_text(value));
  return axes.front();
}

const GraphInput& Graph::input() const {
  check(inputs.size() == 1, "[graph] expected a network with one input, found ", inputs.size());
  return inputs.front();
}

bool Graph::has_input(const std::string& value) const {
  return std::any_of(inputs.begin(), inputs.end(), [&](const GraphInput& input) { return input.name == value; });
}

GraphValues check_graph(Graph& graph, const Parameters& parameters, const FrameExtents& frames) {
  check(graph.dims >= 1 && graph.dims <= kMaxDimensions, "[graph] expected 1 to 4 dimensions, found ", graph.dims);
  GraphValues values;
  add_inputs(graph, frames, values);
  check(graph.nodes.size() <= kMostNodes, "[graph] at most ", kMostNodes, " nodes, found ", graph.nodes.size());
  for (Node& node : graph.nodes) check_node(graph, node);
  sort_nodes(graph);
  for (const Node& node : graph.nodes) {
    const OpDefinition& op = *find_op(node.op);
    Inference inference(graph, node, op, parameters, values);
    const ValueType type = op.infer(inference);
    inference.expect(type.channels <= kMostChannels, "gives ", type.channels, " channels, at most ", kMostChannels);
    values.types.emplace(node.name, type);
  }
  check_quantized(graph, parameters, values);
  return values;
}

}  // namespace voxshift
