// Graphs as JSON.
#include <voxshift/graph/graph_json.h>
#include <voxshift/graph/json_text.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

namespace voxshift {
namespace {

using nlohmann::json;

bool has_window(Op op) { return op == Op::kConv || op == Op::kConvTranspose; }

bool has_window2d(Op op) { return op == Op::kConv2d || op == Op::kMaxPool2d; }

bool has_count(Op op) { return op == Op::kColumns || op == Op::kFurthestPointSample || op == Op::kGroup; }

Window::Extents extents_from(const json& values, const std::string& node, const char* key, std::size_t dims,
                             std::int32_t rest) {
  check(values.is_array() && values.size() == dims, "[graph] ", key, " of node \"", node, "\" expects ", dims,
        " numbers");
  Window::Extents result{rest, rest, rest, rest};
  for (std::size_t d = 0; d < dims; ++d) {
    check(values[d].is_number_integer() && values[d] >= 0 && values[d] <= std::numeric_limits<std::int32_t>::max(),
          "[graph] ", key, " of node \"", node, "\" expects whole numbers, found ", Quoted{values[d]});
    result[d] = values[d].get<std::int32_t>();
  }
  return result;
}

json extents_to_json(const Window::Extents& extents, int dims) {
  return std::vector<std::int32_t>(extents.begin(), extents.begin() + dims);
}

Window window_from_json(const json& node, const std::string& node_name, int dims) {
  const auto d = static_cast<std::size_t>(dims);
  const auto read = [&](const char* key, std::int32_t usual) {
    const auto found = node.find(key);
    return found == node.end() ? Window::Extents{usual, usual, usual, usual}
                               : extents_from(*found, node_name, key, d, usual);
  };
  Window window;
  window.dims = dims;
  window.size = read("kernel_size", 1);
  window.stride = read("stride", 1);
  window.dilation = read("dilation", 1);
  window.pad = read("padding", 0);
  const std::string semantics = node.value("semantics", "floor");
  check(semantics == "floor" || semantics == "bounded", "[graph] node \"", node_name, "\" has semantics \"", semantics,
        "\", expected floor or bounded");
  window.semantics = semantics == "floor" ? Semantics::kFloor : Semantics::kBounded;
  return window;
}

/// The number under `key`; where it is missing, `usual`, or if that is null an error.
std::int64_t number_of(const json& node, const std::string& node_name, const char* key, const json& usual = nullptr) {
  const auto found = node.find(key);
  return whole_number(found != node.end() ? *found : usual,
                      std::string("[graph] ") + key + " of node \"" + node_name + "\"");
}

}  // namespace

json to_json(const Graph& graph) {
  json nodes = json::array();
  for (const Node& node : graph.nodes) {
    json entry{{"name", node.name}, {"op", name(node.op)}, {"inputs", node.inputs}};
    if (!node.parameters.empty()) entry["parameters"] = node.parameters;
    if (has_window(node.op)) {
      entry["kernel_size"] = extents_to_json(node.window.size, graph.dims);
      entry["stride"] = extents_to_json(node.window.stride, graph.dims);
      entry["dilation"] = extents_to_json(node.window.dilation, graph.dims);
      if (node.window.semantics == Semantics::kBounded) {
        entry["semantics"] = "bounded";
        entry["padding"] = extents_to_json(node.window.pad, graph.dims);
      }
    }
    if (node.op == Op::kBatchNorm) entry["eps"] = node.eps;
    if (node.op == Op::kLeakyRelu) entry["slope"] = node.slope;
    if (node.op == Op::kColumns) entry["first"] = node.first;
    if (has_count(node.op)) entry["count"] = node.count;
    if (node.op == Op::kGroup) entry["radius"] = node.radius;
    if (node.op == Op::kVoxelizeDense) {
      entry["resolution"] = node.grid.resolution;
      entry["normalize"] = node.grid.normalize;
      entry["eps"] = node.grid.eps;
    }
    if (node.op == Op::kMaxPool2d) entry["kernel_size"] = node.window2d.kernel;
    if (has_window2d(node.op)) {
      entry["stride"] = node.window2d.stride;
      entry["padding"] = node.window2d.padding;
    }
    if (node.op == Op::kConv2d) entry["groups"] = node.groups;
    if (node.op == Op::kTemporalShift) {
      entry["shift_div"] = node.shift.shift_div;
      entry["bidirectional"] = node.shift.bidirectional;
    }
    nodes.push_back(std::move(entry));
  }
  return {{"input", name(graph.input)},
          {"dims", graph.dims},
          {"in_channels", graph.in_channels},
          {"nodes", nodes},
          {"output", graph.output}};
}

Graph graph_from_json(const json& document) try {
  Graph graph;
  const std::int64_t dims = whole_number(document.at("dims"), "[graph] dims");
  check(dims >= 1 && dims <= kMaxDimensions, "[graph] dims expects 1 to 4, found ", dims);
  graph.dims = static_cast<int>(dims);
  const std::string input = document.value("input", "voxels");
  const GraphInput inputs[]{GraphInput::kVoxels, GraphInput::kPoints, GraphInput::kFrames};
  const auto* named =
      std::find_if(std::begin(inputs), std::end(inputs), [&](GraphInput i) { return input == name(i); });
  check(named != std::end(inputs), "[graph] input expects voxels, points or frames, found \"", input, "\"");
  graph.input = *named;
  graph.in_channels = whole_number(document.at("in_channels"), "[graph] in_channels");
  graph.output = document.at("output").get<std::string>();
  for (const json& entry : document.at("nodes")) {
    Node node;
    node.name = entry.at("name").get<std::string>();
    const std::string op = entry.at("op").get<std::string>();
    const std::optional<Op> known = find_op(op);
    check(known.has_value(), "[graph] node \"", node.name, "\" has the unknown op \"", op, "\"");
    node.op = *known;
    node.inputs = entry.at("inputs").get<std::vector<std::string>>();
    if (entry.contains("parameters")) node.parameters = entry["parameters"].get<std::map<std::string, std::string>>();
    if (has_window(node.op)) node.window = window_from_json(entry, node.name, graph.dims);
    if (node.op != Op::kVoxelizeDense) node.eps = entry.value("eps", node.eps);
    node.slope = entry.value("slope", node.slope);
    if (node.op == Op::kColumns) node.first = number_of(entry, node.name, "first");
    if (has_count(node.op)) node.count = number_of(entry, node.name, "count");
    if (node.op == Op::kGroup) node.radius = entry.at("radius").get<float>();
    if (node.op == Op::kVoxelizeDense)
      node.grid = {number_of(entry, node.name, "resolution"), entry.at("normalize").get<bool>(),
                   entry.at("eps").get<float>()};
    if (node.op == Op::kMaxPool2d) node.window2d.kernel = number_of(entry, node.name, "kernel_size");
    if (has_window2d(node.op)) {
      node.window2d.stride = number_of(entry, node.name, "stride", 1);
      node.window2d.padding = number_of(entry, node.name, "padding", 0);
    }
    if (node.op == Op::kConv2d) node.groups = number_of(entry, node.name, "groups", 1);
    if (node.op == Op::kTemporalShift)
      node.shift = {number_of(entry, node.name, "shift_div"), entry.at("bidirectional").get<bool>()};
    graph.nodes.push_back(std::move(node));
  }
  return graph;
} catch (const json::exception& error) {
  throw InvalidArgument(std::string("[graph] ") + error.what());
}

std::string to_text(const Graph& graph) { return to_json(graph).dump(); }

Graph graph_from_text(const std::string& text) {
  const JsonDocument document = parse_json(text);
  check(!document.value.is_discarded(), "[graph] the text is not JSON");
  return graph_from_json(document.value);
}

}  // namespace voxshift
