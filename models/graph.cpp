#include <voxshift/models/graph.h>
#include <voxshift/models/json.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

namespace voxshift {
namespace {

using nlohmann::json;

// Limits that no network of use meets, so that a hostile file costs neither hours nor memory without bound.
constexpr std::size_t kMostNodes = 4096;
constexpr std::int64_t kMostChannels = 1 << 13;

constexpr std::int64_t kMostSamples = 1 << 16;
constexpr std::int64_t kMostResolution = 256;

struct OpRow {
  Op op;
  const char* name;
  std::size_t least_inputs, most_inputs;
  std::vector<const char*> required, optional;  // parameter roles
};

const std::vector<OpRow>& op_table() {
  constexpr std::size_t kMany = 64;
  static const std::vector<OpRow> table{
      {Op::kConv, "conv", 1, 1, {"weight"}, {"bias"}},
      {Op::kConvTranspose, "conv_transpose", 1, 1, {"weight"}, {"bias"}},
      {Op::kLinear, "linear", 1, 1, {"weight"}, {"bias"}},
      {Op::kBatchNorm, "batch_norm", 1, 1, {"weight", "bias", "running_mean", "running_var"}, {}},
      {Op::kRelu, "relu", 1, 1, {}, {}},
      {Op::kRelu6, "relu6", 1, 1, {}, {}},
      {Op::kLeakyRelu, "leaky_relu", 1, 1, {}, {}},
      {Op::kSigmoid, "sigmoid", 1, 1, {}, {}},
      {Op::kAdd, "add", 2, 2, {}, {}},
      {Op::kCat, "cat", 1, kMany, {}, {}},
      {Op::kColumns, "columns", 1, 1, {}, {}},
      {Op::kVoxelize, "voxelize", 2, 2, {}, {}},
      {Op::kDevoxelize, "devoxelize", 2, 2, {}, {}},
      {Op::kVoxelizeDense, "voxelize_dense", 1, 1, {}, {}},
      {Op::kDevoxelizeDense, "devoxelize_dense", 2, 2, {}, {}},
      {Op::kFurthestPointSample, "furthest_point_sample", 1, 1, {}, {}},
      {Op::kCoordinates, "coordinates", 1, 1, {}, {}},
      {Op::kGroup, "group", 2, 2, {}, {}},
      {Op::kThreeNearest, "three_nearest", 2, 2, {}, {}},
      {Op::kMaxPool, "max_pool", 1, 1, {}, {}},
      {Op::kAvgPool, "avg_pool", 1, 1, {}, {}},
      {Op::kBroadcast, "broadcast", 2, 2, {}, {}},
      {Op::kScale, "scale", 2, 2, {}, {}},
  };
  return table;
}

const OpRow& row_of(Op op) {
  return *std::find_if(op_table().begin(), op_table().end(), [&](const OpRow& row) { return row.op == op; });
}

bool has_window(Op op) { return op == Op::kConv || op == Op::kConvTranspose; }

bool has_count(Op op) { return op == Op::kColumns || op == Op::kFurthestPointSample || op == Op::kGroup; }

// Kahn's algorithm, keeping the given order where it is possible.
void sort_nodes(Graph& graph) {
  std::set<std::string> known{kGraphInput};
  for (const Node& node : graph.nodes) {
    check(!node.name.empty(), "[graph] a node (", name(node.op), ") has no name");
    check(known.insert(node.name).second, "[graph] two values are called \"", node.name, "\"");
  }
  for (const Node& node : graph.nodes)
    for (const std::string& input : node.inputs)
      check(known.contains(input), "[graph] node \"", node.name, "\" takes \"", input, "\", which no node gives");
  check(known.contains(graph.output) && graph.output != kGraphInput, "[graph] no node gives the output \"",
        graph.output, "\"");

  std::vector<Node> sorted;
  std::set<std::string> ready{kGraphInput};
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

void check_parameter(const Node& node, const Parameters& parameters, const std::string& role,
                     const std::vector<Shape>& allowed) {
  const std::string& tensor = node.parameters.at(role);
  const auto found = parameters.find(tensor);
  check(found != parameters.end(), "[graph] tensor \"", tensor, "\" of node \"", node.name, "\" is missing");
  const Array& array = found->second;
  check(array.dtype() == DType::kF32 && std::find(allowed.begin(), allowed.end(), array.shape()) != allowed.end(),
        "[graph] tensor \"", tensor, "\" of node \"", node.name, "\" expects f32 ", to_string(allowed[0]), ", found ",
        name(array.dtype()), " ", to_string(array.shape()));
}

// The one extent of a weight that the graph does not tell: the output channels.
std::int64_t weight_channels(const Node& node, const Parameters& parameters) {
  const std::string& tensor = node.parameters.at("weight");
  const auto found = parameters.find(tensor);
  check(found != parameters.end(), "[graph] tensor \"", tensor, "\" of node \"", node.name, "\" is missing");
  const Shape& shape = found->second.shape();
  check(!shape.empty(), "[graph] tensor \"", tensor, "\" of node \"", node.name, "\" has no extents");
  return node.op == Op::kLinear ? shape.front() : shape.back();
}

void check_node(const Graph& graph, const Node& node) {
  const OpRow& row = row_of(node.op);
  check(node.inputs.size() >= row.least_inputs && node.inputs.size() <= row.most_inputs, "[graph] node \"", node.name,
        "\" (", row.name, ") takes ", row.least_inputs, " input(s), found ", node.inputs.size());
  for (const char* role : row.required)
    check(node.parameters.contains(role), "[graph] node \"", node.name, "\" names no tensor for its ", role);
  for (const auto& [role, tensor] : node.parameters)
    check(std::find(row.required.begin(), row.required.end(), role) != row.required.end() ||
              std::find(row.optional.begin(), row.optional.end(), role) != row.optional.end(),
          "[graph] node \"", node.name, "\" (", row.name, ") has no parameter \"", role, "\"");
  if (node.op == Op::kColumns)
    check(node.first >= 0 && node.count >= 1 && node.first <= kMostChannels && node.count <= kMostChannels,
          "[graph] node \"", node.name, "\" expects first >= 0 and count >= 1, found ", node.first, " and ",
          node.count);
  if (node.op == Op::kFurthestPointSample || node.op == Op::kGroup)
    check(node.count >= 1 && node.count <= kMostSamples, "[graph] node \"", node.name, "\" expects a count of 1 to ",
          kMostSamples, ", found ", node.count);
  if (node.op == Op::kGroup)
    check(std::isfinite(node.radius) && node.radius > 0, "[graph] node \"", node.name, "\" expects a radius above 0");
  if (node.op == Op::kVoxelizeDense)
    check(node.grid.resolution >= 1 && node.grid.resolution <= kMostResolution && std::isfinite(node.grid.eps) &&
              node.grid.eps >= 0,
          "[graph] node \"", node.name, "\" expects a resolution of 1 to ", kMostResolution, " and eps >= 0");
  if (!has_window(node.op)) return;
  node.window.check_valid(std::string("graph: node \"").append(node.name).append("\"").c_str());
  check(node.window.semantics == Semantics::kBounded || node.window.pad == Window::Extents{0, 0, 0, 0},
        "[graph] node \"", node.name, "\": padding belongs to bounded semantics");
  check(node.window.dims == graph.dims, "[graph] node \"", node.name, "\" has a window of ", node.window.dims,
        " axes in a network of ", graph.dims);
}

std::int64_t check_shapes(const Node& node, const Parameters& parameters, std::int64_t in) {
  if (node.op == Op::kBatchNorm) {
    for (const auto& [role, tensor] : node.parameters) check_parameter(node, parameters, role, {{in}});
    return in;
  }
  const std::int64_t out = weight_channels(node, parameters);
  const std::int64_t volume = node.window.volume();
  check(out > 0, "[graph] node \"", node.name, "\" has no output channels");
  if (node.op == Op::kLinear) {
    check_parameter(node, parameters, "weight", {{out, in}});
  } else if (volume == 1) {
    check_parameter(node, parameters, "weight", {{volume, in, out}, {in, out}});
  } else {
    check_parameter(node, parameters, "weight", {{volume, in, out}});
  }
  if (node.parameters.contains("bias")) check_parameter(node, parameters, "bias", {{out}});
  return out;
}

std::int64_t output_channels(const Node& node, const Parameters& parameters,
                             const std::map<std::string, std::int64_t>& channels) {
  std::int64_t in = channels.at(node.inputs[0]);
  const std::int64_t other = node.inputs.size() > 1 ? channels.at(node.inputs[1]) : 0;
  switch (node.op) {
    case Op::kAdd:
    case Op::kScale:
      check(in == other, "[graph] node \"", node.name, "\" (", name(node.op), ") takes ", in, " and ", other,
            " channels, expected the same");
      return in;
    case Op::kCat:
      for (std::size_t i = 1; i < node.inputs.size(); ++i) in += channels.at(node.inputs[i]);
      return in;
    case Op::kColumns:
      check(node.first + node.count <= in, "[graph] node \"", node.name, "\" takes columns ", node.first, " to ",
            node.first + node.count, " of ", in);
      return node.count;
    case Op::kFurthestPointSample:
    case Op::kCoordinates:
      return 3;
    case Op::kGroup:
      return 3 + in;
    default:
      return row_of(node.op).required.empty() ? in : check_shapes(node, parameters, in);
  }
}

Window::Extents extents_from(const json& values, const std::string& node, const char* key, std::size_t dims,
                             std::int32_t rest) {
  check(values.is_array() && values.size() == dims, "[graph] ", key, " of node \"", node, "\" expects ", dims,
        " numbers");
  Window::Extents result{rest, rest, rest, rest};
  for (std::size_t d = 0; d < dims; ++d) {
    check(values[d].is_number_integer() && values[d] >= 0 && values[d] <= std::numeric_limits<std::int32_t>::max(),
          "[graph] ", key, " of node \"", node, "\" expects whole numbers, found ", values[d].dump());
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
    const json fallback = std::vector<std::int32_t>(d, usual);
    return extents_from(node.value(key, fallback), node_name, key, d, usual == 0 ? 0 : 1);
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

}  // namespace

const char* name(Op op) { return row_of(op).name; }

std::map<std::string, std::int64_t> check_graph(Graph& graph, const Parameters& parameters) {
  check(graph.dims >= 1 && graph.dims <= kMaxDimensions && graph.in_channels >= 1,
        "[graph] expected 1 to 4 dimensions and at least one input channel, found ", graph.dims, " and ",
        graph.in_channels);
  check(graph.input == GraphInput::kVoxels || (graph.dims == 3 && graph.in_channels >= 3),
        "[graph] points need 3 dimensions and at least their x y z as channels");
  check(graph.nodes.size() <= kMostNodes, "[graph] at most ", kMostNodes, " nodes, found ", graph.nodes.size());
  for (const Node& node : graph.nodes) check_node(graph, node);
  sort_nodes(graph);
  std::map<std::string, std::int64_t> channels{{kGraphInput, graph.in_channels}};
  for (const Node& node : graph.nodes) {
    const std::int64_t out = output_channels(node, parameters, channels);
    check(out <= kMostChannels, "[graph] node \"", node.name, "\" gives ", out, " channels, at most ", kMostChannels);
    channels[node.name] = out;
  }
  return channels;
}

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
    nodes.push_back(std::move(entry));
  }
  return {{"input", graph.input == GraphInput::kPoints ? "points" : "voxels"},
          {"dims", graph.dims},
          {"in_channels", graph.in_channels},
          {"nodes", nodes},
          {"output", graph.output}};
}

Graph graph_from_json(const json& document) try {
  Graph graph;
  graph.dims = document.at("dims").get<int>();
  check(graph.dims >= 1 && graph.dims <= kMaxDimensions, "[graph] dims expects 1 to 4, found ", graph.dims);
  const std::string input = document.value("input", "voxels");
  check(input == "voxels" || input == "points", "[graph] input expects voxels or points, found \"", input, "\"");
  graph.input = input == "points" ? GraphInput::kPoints : GraphInput::kVoxels;
  graph.in_channels = document.at("in_channels").get<std::int64_t>();
  graph.output = document.at("output").get<std::string>();
  for (const json& entry : document.at("nodes")) {
    Node node;
    node.name = entry.at("name").get<std::string>();
    const std::string op = entry.at("op").get<std::string>();
    const auto row = std::find_if(op_table().begin(), op_table().end(),
                                  [&](const OpRow& candidate) { return candidate.name == op; });
    check(row != op_table().end(), "[graph] node \"", node.name, "\" has the unknown op \"", op, "\"");
    node.op = row->op;
    node.inputs = entry.at("inputs").get<std::vector<std::string>>();
    if (entry.contains("parameters")) node.parameters = entry["parameters"].get<std::map<std::string, std::string>>();
    if (has_window(node.op)) node.window = window_from_json(entry, node.name, graph.dims);
    if (node.op != Op::kVoxelizeDense) node.eps = entry.value("eps", node.eps);
    node.slope = entry.value("slope", node.slope);
    if (node.op == Op::kColumns) node.first = entry.at("first").get<std::int64_t>();
    if (has_count(node.op)) node.count = entry.at("count").get<std::int64_t>();
    if (node.op == Op::kGroup) node.radius = entry.at("radius").get<float>();
    if (node.op == Op::kVoxelizeDense)
      node.grid = {entry.at("resolution").get<std::int64_t>(), entry.at("normalize").get<bool>(),
                   entry.at("eps").get<float>()};
    graph.nodes.push_back(std::move(node));
  }
  return graph;
} catch (const json::exception& error) {
  throw InvalidArgument(std::string("[graph] ") + error.what());
}

}  // namespace voxshift
