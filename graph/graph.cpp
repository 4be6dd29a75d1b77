#include <voxshift/graph/graph.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace voxshift {
namespace {

// Limits that no network of use meets, so that a hostile file costs neither hours nor memory without bound.
constexpr std::size_t kMostNodes = 4096;
constexpr std::int64_t kMostChannels = 1 << 13;

constexpr std::int64_t kMostSamples = 1 << 16;
constexpr std::int64_t kMostResolution = 256;
constexpr std::int64_t kMostStride2d = 8;

// The networks that an op is for, by their input.
enum class For { kAll, kSparse, kFrames };

struct OpRow {
  Op op;
  const char* name;
  std::size_t least_inputs, most_inputs;
  std::vector<const char*> required, optional;  // parameter roles
  For networks = For::kSparse;
};

const std::vector<OpRow>& op_table() {
  constexpr std::size_t kMany = 64;
  static const std::vector<OpRow> table{
      {Op::kConv, "conv", 1, 1, {"weight"}, {"bias"}},
      {Op::kConvTranspose, "conv_transpose", 1, 1, {"weight"}, {"bias"}},
      {Op::kLinear, "linear", 1, 1, {"weight"}, {"bias"}, For::kAll},
      {Op::kBatchNorm, "batch_norm", 1, 1, {"weight", "bias", "running_mean", "running_var"}, {}, For::kAll},
      {Op::kRelu, "relu", 1, 1, {}, {}, For::kAll},
      {Op::kRelu6, "relu6", 1, 1, {}, {}, For::kAll},
      {Op::kLeakyRelu, "leaky_relu", 1, 1, {}, {}, For::kAll},
      {Op::kSigmoid, "sigmoid", 1, 1, {}, {}},
      {Op::kAdd, "add", 2, 2, {}, {}, For::kAll},
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
      {Op::kAvgPool, "avg_pool", 1, 1, {}, {}, For::kAll},
      {Op::kBroadcast, "broadcast", 2, 2, {}, {}},
      {Op::kScale, "scale", 2, 2, {}, {}},
      {Op::kConv2d, "conv2d", 1, 1, {"weight"}, {"bias"}, For::kFrames},
      {Op::kMaxPool2d, "max_pool2d", 1, 1, {}, {}, For::kFrames},
      {Op::kTemporalShift, "temporal_shift", 1, 1, {}, {}, For::kFrames},
  };
  return table;
}

const OpRow& row_of(Op op) {
  return *std::find_if(op_table().begin(), op_table().end(), [&](const OpRow& row) { return row.op == op; });
}

bool known_to(const OpRow& row, GraphInput input) {
  return row.networks == For::kAll || (row.networks == For::kFrames) == (input == GraphInput::kFrames);
}

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

const Shape& weight_shape(const Node& node, const Parameters& parameters) {
  const std::string& tensor = node.parameters.at("weight");
  const auto found = parameters.find(tensor);
  check(found != parameters.end(), "[graph] tensor \"", tensor, "\" of node \"", node.name, "\" is missing");
  const Shape& shape = found->second.shape();
  check(!shape.empty(), "[graph] tensor \"", tensor, "\" of node \"", node.name, "\" has no extents");
  return shape;
}

void check_window2d(const Node& node) {
  const auto& [kernel, stride, padding] = node.window2d;
  check(kernel >= 1 && kernel <= kMostKernel2d, "[graph] node \"", node.name, "\" expects a kernel of 1 to ",
        kMostKernel2d, ", found ", kernel);
  check(stride >= 1 && stride <= kMostStride2d, "[graph] node \"", node.name, "\" expects a stride of 1 to ",
        kMostStride2d, ", found ", stride);
  check(padding >= 0 && padding <= kernel / 2, "[graph] node \"", node.name, "\" expects a padding of 0 to ",
        kernel / 2, ", half its kernel, found ", padding);
}

void check_node(const Graph& graph, const Node& node) {
  const OpRow& row = row_of(node.op);
  check(node.inputs.size() >= row.least_inputs && node.inputs.size() <= row.most_inputs, "[graph] node \"", node.name,
        "\" (", row.name, ") takes ", row.least_inputs, " input(s), found ", node.inputs.size());
  check(known_to(row, graph.input), "[graph] node \"", node.name, "\" (", row.name, ") has no place in a network on ",
        name(graph.input));
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
  if (node.op == Op::kMaxPool2d) check_window2d(node);
  if (node.op == Op::kTemporalShift)
    check(node.shift.shift_div >= (node.shift.bidirectional ? 2 : 1), "[graph] node \"", node.name,
          "\" expects a shift_div of at least ", node.shift.bidirectional ? 2 : 1, ", found ", node.shift.shift_div);
  if (node.op != Op::kConv && node.op != Op::kConvTranspose) return;
  node.window.check_valid(std::string("graph: node \"").append(node.name).append("\"").c_str());
  check(node.window.semantics == Semantics::kBounded || node.window.pad == Window::Extents{0, 0, 0, 0},
        "[graph] node \"", node.name, "\": padding belongs to bounded semantics");
  check(node.window.dims == graph.dims, "[graph] node \"", node.name, "\" has a window of ", node.window.dims,
        " axes in a network of ", graph.dims);
}

// Takes the kernel from the weight [Cout, Cin / groups, k, k].
void check_conv2d(Node& node, const Parameters& parameters, std::int64_t in) {
  const Shape& shape = weight_shape(node, parameters);
  const std::int64_t out = shape.front(), kernel = shape.back();
  node.window2d.kernel = kernel;
  check_window2d(node);
  check(node.groups >= 1 && in % node.groups == 0 && out % node.groups == 0, "[graph] node \"", node.name,
        "\" expects groups that divide its ", in, " input and ", out, " output channels, found ", node.groups);
  check_parameter(node, parameters, "weight", {{out, in / node.groups, kernel, kernel}});
}

std::int64_t check_shapes(Node& node, const Parameters& parameters, std::int64_t in) {
  if (node.op == Op::kBatchNorm) {
    for (const auto& [role, tensor] : node.parameters) check_parameter(node, parameters, role, {{in}});
    return in;
  }
  const Shape& shape = weight_shape(node, parameters);
  const bool torch_order = node.op == Op::kLinear || node.op == Op::kConv2d;
  const std::int64_t out = torch_order ? shape.front() : shape.back();
  const std::int64_t volume = node.window.volume();
  check(out > 0, "[graph] node \"", node.name, "\" has no output channels");
  if (node.op == Op::kConv2d) {
    check_conv2d(node, parameters, in);
  } else if (node.op == Op::kLinear) {
    check_parameter(node, parameters, "weight", {{out, in}});
  } else if (volume == 1) {
    check_parameter(node, parameters, "weight", {{volume, in, out}, {in, out}});
  } else {
    check_parameter(node, parameters, "weight", {{volume, in, out}});
  }
  if (node.parameters.contains("bias")) check_parameter(node, parameters, "bias", {{out}});
  return out;
}

std::int64_t output_channels(Node& node, const Parameters& parameters,
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
    case Op::kTemporalShift:
      check(node.shift.fold(in) >= 1, "[graph] node \"", node.name, "\" expects a shift_div of at most its ", in,
            " channels, found ", node.shift.shift_div);
      return in;
    default:
      return row_of(node.op).required.empty() ? in : check_shapes(node, parameters, in);
  }
}

}  // namespace

const char* name(Op op) { return row_of(op).name; }

std::optional<Op> find_op(const std::string& name) {
  for (const OpRow& row : op_table())
    if (row.name == name) return row.op;
  return std::nullopt;
}

const char* name(GraphInput input) {
  constexpr const char* kNames[]{"voxels", "points", "frames"};
  return kNames[static_cast<int>(input)];
}

std::map<std::string, std::int64_t> check_graph(Graph& graph, const Parameters& parameters) {
  check(graph.dims >= 1 && graph.dims <= kMaxDimensions && graph.in_channels >= 1,
        "[graph] expected 1 to 4 dimensions and at least one input channel, found ", graph.dims, " and ",
        graph.in_channels);
  check(graph.input != GraphInput::kPoints || (graph.dims == 3 && graph.in_channels >= 3),
        "[graph] points need 3 dimensions and at least their x y z as channels");
  check(graph.input != GraphInput::kFrames || graph.dims == 2, "[graph] frames have 2 dimensions, found ", graph.dims);
  check(graph.nodes.size() <= kMostNodes, "[graph] at most ", kMostNodes, " nodes, found ", graph.nodes.size());
  for (const Node& node : graph.nodes) check_node(graph, node);
  sort_nodes(graph);
  std::map<std::string, std::int64_t> channels{{kGraphInput, graph.in_channels}};
  for (Node& node : graph.nodes) {
    const std::int64_t out = output_channels(node, parameters, channels);
    check(out <= kMostChannels, "[graph] node \"", node.name, "\" gives ", out, " channels, at most ", kMostChannels);
    channels[node.name] = out;
  }
  return channels;
}

}  // namespace voxshift
