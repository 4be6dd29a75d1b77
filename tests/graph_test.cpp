// Graphs: what is refused, with the node's name, and that the order of the nodes does not matter.
#include <voxshift/engine/evaluate.h>
#include <voxshift/graph/graph.h>
#include <voxshift/graph/graph_json.h>
#include <voxshift/networks/network_builder.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "device_fixture.h"
#include "networks.h"

namespace voxshift {
namespace {

using nlohmann::json;

// conv -> batch_norm -> relu, and a linear layer on its sum with the input.
NetworkWriter small_network() {
  NetworkWriter b(4);
  const std::string x = b.relu(b.batch_norm(b.conv(kGraphInput, 4)));
  b.graph.output = b.linear(b.add(x, kGraphInput), 3);
  return b;
}

Node& node_of(NetworkWriter& b, Op op) {
  return *std::find_if(b.graph.nodes.begin(), b.graph.nodes.end(), [&](const Node& node) { return node.op == op; });
}

/// The change makes the small network wrong in the way the message says.
void expect_refused(const std::function<void(NetworkWriter&)>& change, const std::vector<std::string>& parts) {
  NetworkWriter b = small_network();
  change(b);
  expect_throw([&] { check_graph(b.graph, b.parameters); }, parts);
}

TEST(Graph, ChannelsOfEveryValue) {
  NetworkWriter b = small_network();
  const auto channels = check_graph(b.graph, b.parameters);
  EXPECT_EQ(channels.size(), b.graph.nodes.size() + 1);
  EXPECT_EQ(channels.at("input"), 4);
  EXPECT_EQ(channels.at("conv0"), 4);
  EXPECT_EQ(channels.at("add3"), 4);
  EXPECT_EQ(channels.at("linear4"), 3);
}

TEST(Graph, AnyOrderOfNodesIsTheSameNetwork) {
  NetworkWriter b = small_network();
  check_graph(b.graph, b.parameters);
  const SparseTensor x = whole_tensor(3, 300, 4, 5);
  const Array expected = evaluate(b.graph, b.parameters, x);
  std::mt19937 random(3);
  for (int trial = 0; trial < 5; ++trial) {
    Graph shuffled = b.graph;
    std::shuffle(shuffled.nodes.begin(), shuffled.nodes.end(), random);
    check_graph(shuffled, b.parameters);
    expect_same_bits(evaluate(shuffled, b.parameters, x), expected);
  }
  Graph reversed = b.graph;
  std::reverse(reversed.nodes.begin(), reversed.nodes.end());
  check_graph(reversed, b.parameters);
  for (std::size_t i = 0; i < b.graph.nodes.size(); ++i) EXPECT_EQ(reversed.nodes[i].name, b.graph.nodes[i].name);
}

TEST(Graph, NamesAndEdges) {
  expect_refused([](auto& b) { node_of(b, Op::kRelu).name = "conv0"; }, {"two values", "\"conv0\""});
  expect_refused([](auto& b) { node_of(b, Op::kRelu).name = "input"; }, {"two values", "\"input\""});
  expect_refused([](auto& b) { node_of(b, Op::kRelu).name = ""; }, {"relu", "no name"});
  expect_refused([](auto& b) { node_of(b, Op::kRelu).inputs = {"nowhere"}; }, {"\"relu2\"", "\"nowhere\""});
  expect_refused([](auto& b) { b.graph.output = "nowhere"; }, {"output", "\"nowhere\""});
  expect_refused([](auto& b) { b.graph.output = "input"; }, {"output", "\"input\""});
  expect_refused([](auto& b) { b.graph.nodes.clear(); }, {"output"});
}

TEST(Graph, Cycles) {
  expect_refused([](auto& b) { node_of(b, Op::kConv).inputs = {"relu2"}; }, {"\"conv0\"", "cycle"});
  expect_refused([](auto& b) { node_of(b, Op::kRelu).inputs = {"relu2"}; }, {"\"relu2\"", "cycle"});
}

TEST(Graph, Arity) {
  expect_refused([](auto& b) { node_of(b, Op::kConv).inputs = {}; }, {"\"conv0\"", "(conv)", "found 0"});
  expect_refused([](auto& b) { node_of(b, Op::kRelu).inputs = {"conv0", "conv0"}; }, {"\"relu2\"", "found 2"});
  expect_refused([](auto& b) { node_of(b, Op::kAdd).inputs = {"conv0"}; }, {"\"add3\"", "found 1"});
  expect_refused(
      [](auto& b) {
        node_of(b, Op::kAdd).op = Op::kCat;
        b.graph.nodes[3].inputs = {};
      },
      {"\"add3\"", "(cat)", "found 0"});
}

TEST(Graph, Tensors) {
  expect_refused([](auto& b) { b.parameters.erase("conv0.weight"); }, {"\"conv0.weight\"", "\"conv0\"", "missing"});
  expect_refused([](auto& b) { b.parameters.erase("linear4.bias"); }, {"\"linear4.bias\"", "\"linear4\"", "missing"});
  expect_refused([](auto& b) { b.parameters.erase("batch_norm1.running_var"); },
                 {"\"batch_norm1.running_var\"", "missing"});
  expect_refused([](auto& b) { node_of(b, Op::kBatchNorm).parameters.erase("running_mean"); },
                 {"\"batch_norm1\"", "running_mean"});
  expect_refused([](auto& b) { node_of(b, Op::kRelu).parameters["scale"] = "missing"; },
                 {"\"relu2\"", "no parameter \"scale\""});
  const auto wrong = [](const std::string& tensor, Shape shape, DType dtype = DType::kF32) {
    return [=](NetworkWriter& b) { b.parameters.insert_or_assign(tensor, Array(shape, dtype)); };
  };
  expect_refused(wrong("conv0.weight", {26, 4, 4}), {"\"conv0\"", "[27, 4, 4]", "[26, 4, 4]"});
  expect_refused(wrong("conv0.weight", {27, 5, 4}), {"\"conv0\"", "[27, 4, 4]", "[27, 5, 4]"});
  expect_refused(wrong("conv0.weight", {4, 4}), {"\"conv0\"", "[27, 4, 4]", "[4, 4]"});
  expect_refused(wrong("conv0.weight", {27, 4, 0}), {"\"conv0\"", "output channels"});
  expect_refused(wrong("conv0.weight", {}), {"\"conv0\"", "extents"});
  expect_refused(wrong("conv0.weight", {27, 4, 4}, DType::kF16), {"\"conv0\"", "f32", "f16"});
  expect_refused(wrong("linear4.weight", {3, 5}), {"\"linear4\"", "[3, 4]", "[3, 5]"});
  expect_refused(wrong("linear4.bias", {4}), {"\"linear4\"", "[3]", "[4]"});
  expect_refused(wrong("batch_norm1.bias", {5}), {"\"batch_norm1\"", "[4]", "[5]"});
  // The sum of 5 and 4 channels.
  expect_refused(
      [](auto& b) {
        b.parameters.insert_or_assign("conv0.weight", Array({27, 4, 5}, DType::kF32));
        for (const char* role : {"weight", "bias", "running_mean", "running_var"})
          b.parameters.insert_or_assign(std::string("batch_norm1.") + role, Array({5}, DType::kF32));
      },
      {"\"add3\"", "5 and 4"});
}

TEST(Graph, Windows) {
  expect_refused([](auto& b) { node_of(b, Op::kConv).window.stride[1] = 0; }, {"\"conv0\"", "stride"});
  expect_refused([](auto& b) { node_of(b, Op::kConv).window.size = {99, 99, 99, 1}; }, {"\"conv0\"", "4096"});
  expect_refused([](auto& b) { node_of(b, Op::kConv).window.pad[0] = 1; }, {"\"conv0\"", "padding"});
  expect_refused([](auto& b) { b.graph.dims = 2; }, {"\"conv0\"", "3 axes"});
  expect_refused([](auto& b) { b.graph.dims = 5; }, {"dimensions", "5"});
  expect_refused([](auto& b) { b.graph.in_channels = 0; }, {"input channel"});
}

// temporal_shift -> conv2d -> batch_norm -> relu -> max_pool2d -> avg_pool -> linear, on frames.
Network frame_network() {
  NetworkBuilder net(GraphInput::kFrames, 3, 1);
  std::string x = net.temporal_shift("shift", kGraphInput, {2, false});
  x = net.relu("relu", net.norm("norm", net.conv2d("conv", x, 6, 3, 2, 3)));
  x = net.add("mean", Op::kAvgPool, {net.max_pool2d("pool", x, {3, 2, 1})});
  return net.take(net.linear("classifier", x, 5));
}

void expect_frames_refused(const std::function<void(Network&, Node&)>& change, const std::string& node,
                           const std::vector<std::string>& parts) {
  Network network = frame_network();
  Node& changed = *std::find_if(network.graph.nodes.begin(), network.graph.nodes.end(),
                                [&](const Node& candidate) { return candidate.name == node; });
  change(network, changed);
  SCOPED_TRACE(node);
  expect_throw([&] { check_graph(network.graph, network.parameters); }, parts);
}

TEST(Graph, ChannelsAndKernelsOnFrames) {
  Network network = frame_network();
  for (Node& node : network.graph.nodes)
    if (node.op == Op::kConv2d) node.window2d.kernel = 77;  // the weight decides
  const auto channels = check_graph(network.graph, network.parameters);
  EXPECT_EQ(network.graph.dims, 2);
  EXPECT_EQ(channels.at("shift"), 3);
  EXPECT_EQ(channels.at("conv"), 6);
  EXPECT_EQ(channels.at("pool"), 6);
  EXPECT_EQ(channels.at("mean"), 6);
  EXPECT_EQ(channels.at("classifier"), 5);
  for (const Node& node : network.graph.nodes) {
    if (node.op != Op::kConv2d) continue;
    EXPECT_EQ(node.window2d, (Window2d{3, 2, 1}));
  }
}

TEST(Graph, OpsOnFrames) {
  const auto weight = [](Shape shape) {
    return [=](Network& n, Node&) { n.parameters.insert_or_assign("conv.weight", Array(shape, DType::kF32)); };
  };
  expect_frames_refused(weight({6, 3, 3, 3}), "conv", {"\"conv\"", "[6, 1, 3, 3]", "[6, 3, 3, 3]"});
  expect_frames_refused(weight({6, 1, 1, 3}), "conv", {"\"conv\"", "[6, 1, 3, 3]", "[6, 1, 1, 3]"});
  expect_frames_refused(weight({6, 1, 3}), "conv", {"\"conv\"", "[6, 1, 3, 3]", "[6, 1, 3]"});
  expect_frames_refused(weight({7, 1, 3, 3}), "conv", {"\"conv\"", "groups", "7 output", "found 3"});
  expect_frames_refused(weight({0, 1, 3, 3}), "conv", {"\"conv\"", "output channels"});
  expect_frames_refused(weight({6, 1, 12, 12}), "conv", {"\"conv\"", "kernel of 1 to 11", "12"});
  expect_frames_refused(weight({6, 1, 0, 0}), "conv", {"\"conv\"", "kernel", "0"});
  expect_frames_refused([](Network&, Node& n) { n.groups = 2; }, "conv", {"\"conv\"", "groups", "3 input", "found 2"});
  expect_frames_refused([](Network&, Node& n) { n.groups = 0; }, "conv", {"\"conv\"", "groups", "found 0"});
  expect_frames_refused([](Network&, Node& n) { n.window2d.stride = 0; }, "conv", {"\"conv\"", "stride", "found 0"});
  expect_frames_refused([](Network&, Node& n) { n.window2d.stride = 9; }, "pool", {"\"pool\"", "stride", "found 9"});
  expect_frames_refused([](Network&, Node& n) { n.window2d.padding = 2; }, "conv", {"\"conv\"", "0 to 1", "found 2"});
  expect_frames_refused([](Network&, Node& n) { n.window2d.padding = -1; }, "pool", {"\"pool\"", "padding", "-1"});
  expect_frames_refused([](Network&, Node& n) { n.window2d.kernel = 0; }, "pool", {"\"pool\"", "kernel", "found 0"});
  expect_frames_refused([](Network&, Node& n) { n.shift.shift_div = 0; }, "shift", {"\"shift\"", "at least 1", "0"});
  expect_frames_refused([](Network&, Node& n) { n.shift.shift_div = 4; }, "shift", {"\"shift\"", "its 3", "found 4"});
  expect_frames_refused([](Network&, Node& n) { n.shift = {1, true}; }, "shift", {"\"shift\"", "at least 2", "1"});
  expect_frames_refused([](Network& n, Node&) { n.graph.dims = 3; }, "shift", {"2 dimensions", "found 3"});
}

TEST(Graph, OpsBelongToTheirNetworks) {
  for (const Op op : {Op::kSigmoid, Op::kMaxPool, Op::kColumns, Op::kCoordinates})
    expect_frames_refused([&](Network&, Node& n) { n.op = op; }, "relu", {"\"relu\"", name(op), "frames"});
  for (const Op op : {Op::kMaxPool2d, Op::kTemporalShift})
    expect_refused([&](auto& b) { node_of(b, Op::kRelu).op = op; }, {"\"relu2\"", name(op), "voxels"});
  expect_refused([](auto& b) { node_of(b, Op::kConv).op = Op::kConv2d; }, {"\"conv0\"", "conv2d", "voxels"});
  Network points = frame_network();
  points.graph.input = GraphInput::kPoints;
  points.graph.dims = 3;
  expect_throw([&] { check_graph(points.graph, points.parameters); }, {"\"shift\"", "temporal_shift", "points"});
}

TEST(Graph, GrowthIsBounded) {
  // Each node doubles the channels: 40 of them ask for 4 * 2^40.
  NetworkWriter wide(4);
  std::string x = kGraphInput;
  for (int i = 0; i < 40; ++i) x = wide.cat({x, x});
  wide.graph.output = x;
  expect_throw([&] { check_graph(wide.graph, {}); }, {"\"cat11\"", "channels"});
  NetworkWriter deep(4);
  x = kGraphInput;
  for (int i = 0; i < 5000; ++i) x = deep.relu(x);
  deep.graph.output = x;
  expect_throw([&] { check_graph(deep.graph, {}); }, {"nodes", "5000"});
}

// As JSON

TEST(GraphJson, RoundTrip) {
  NetworkWriter b(4, 2);
  Window dilated = cube(2, 3);
  dilated.dilation[1] = 2;
  std::string x = b.leaky_relu(b.conv(kGraphInput, 4, dilated, true));
  x = b.relu6(b.conv_transpose(b.conv(x, 6, bounded_cube(2, 3, 2, 1)), 4, bounded_cube(2, 3, 2, 1)));
  b.graph.output = b.cat({x, b.batch_norm(x)});
  const json document = to_json(b.graph);
  const Graph read = graph_from_json(json::parse(document.dump()));
  EXPECT_EQ(read.dims, 2);
  EXPECT_EQ(read.in_channels, 4);
  EXPECT_EQ(read.output, b.graph.output);
  ASSERT_EQ(read.nodes.size(), b.graph.nodes.size());
  for (std::size_t i = 0; i < read.nodes.size(); ++i) {
    const Node &x1 = read.nodes[i], &x2 = b.graph.nodes[i];
    EXPECT_EQ(x1.name, x2.name);
    EXPECT_EQ(x1.op, x2.op);
    EXPECT_EQ(x1.inputs, x2.inputs);
    EXPECT_EQ(x1.parameters, x2.parameters);
    EXPECT_TRUE(x1.window == x2.window || (x1.op != Op::kConv && x1.op != Op::kConvTranspose)) << x1.name;
    EXPECT_EQ(x1.eps, x2.eps);
    EXPECT_EQ(x1.slope, x2.slope);
  }
  EXPECT_EQ(to_json(read), document);
}

TEST(GraphJson, RoundTripOnFrames) {
  Network network = frame_network();
  network.graph.nodes.front().shift = {3, true};
  const json document = to_json(network.graph);
  Graph read = graph_from_json(json::parse(document.dump()));
  EXPECT_EQ(read.input, GraphInput::kFrames);
  EXPECT_EQ(read.dims, 2);
  check_graph(read, network.parameters);
  ASSERT_EQ(read.nodes.size(), network.graph.nodes.size());
  for (std::size_t i = 0; i < read.nodes.size(); ++i) {
    const Node &a = read.nodes[i], &b = network.graph.nodes[i];
    EXPECT_EQ(a.op, b.op);
    EXPECT_EQ(a.window2d, b.window2d) << a.name;
    EXPECT_EQ(a.groups, b.groups) << a.name;
    EXPECT_EQ(a.shift, b.shift) << a.name;
  }
  EXPECT_EQ(to_json(read), document);
}

TEST(GraphJson, RefusedOnFrames) {
  const auto with = [&](const std::string& pointer, const std::string& value, const std::vector<std::string>& parts) {
    json document = to_json(frame_network().graph);
    document[json::json_pointer(pointer)] = json::parse(value);
    SCOPED_TRACE(pointer + " = " + value);
    expect_throw([&] { graph_from_json(document); }, parts);
  };
  with("/input", R"("images")", {"voxels, points or frames", "\"images\""});
  with("/nodes/0/shift_div", "2.5", {"\"shift\"", "shift_div", "whole", "2.5"});
  with("/nodes/0/shift_div", "null", {"\"shift\"", "shift_div", "null"});
  with("/nodes/0/bidirectional", "1", {"[graph]"});
  with("/nodes/1/stride", "[2, 2]", {"\"conv\"", "stride", "whole"});
  with("/nodes/1/groups", R"("all")", {"\"conv\"", "groups", "\"all\""});
  with("/nodes/4/kernel_size", "1e99", {"\"pool\"", "kernel_size", "1e+99"});
  json document = to_json(frame_network().graph);
  document["nodes"][4].erase("kernel_size");
  expect_throw([&] { graph_from_json(document); }, {"\"pool\"", "kernel_size", "null"});
}

TEST(GraphJson, EveryOpHasItsName) {
  const char* names[] = {"conv",
                         "conv_transpose",
                         "linear",
                         "batch_norm",
                         "relu",
                         "relu6",
                         "leaky_relu",
                         "sigmoid",
                         "add",
                         "cat",
                         "columns",
                         "voxelize",
                         "devoxelize",
                         "voxelize_dense",
                         "devoxelize_dense",
                         "furthest_point_sample",
                         "coordinates",
                         "group",
                         "three_nearest",
                         "max_pool",
                         "avg_pool",
                         "broadcast",
                         "scale",
                         "conv2d",
                         "max_pool2d",
                         "temporal_shift"};
  int op = 0;
  for (const char* expected : names) {
    EXPECT_EQ(find_op(expected), static_cast<Op>(op));
    EXPECT_STREQ(name(static_cast<Op>(op++)), expected);
  }
  EXPECT_FALSE(find_op("convolve").has_value());
}

TEST(GraphJson, Refused) {
  const std::string good =
      R"({"dims": 3, "in_channels": 4, "output": "a",
          "nodes": [{"name": "a", "op": "conv", "inputs": ["input"], "kernel_size": [3, 3, 3],
                     "parameters": {"weight": "w"}}]})";
  EXPECT_EQ(graph_from_json(json::parse(good)).nodes.size(), 1u);
  const auto with = [&](const std::string& pointer, const std::string& value, const std::vector<std::string>& parts) {
    json document = json::parse(good);
    document[json::json_pointer(pointer)] = json::parse(value);
    SCOPED_TRACE(pointer + " = " + value);
    expect_throw([&] { graph_from_json(document); }, parts);
  };
  with("/nodes/0/op", R"("convolve")", {"\"a\"", "unknown op", "\"convolve\""});
  with("/nodes/0/op", "3", {"[graph]"});
  with("/nodes/0/name", "null", {"[graph]"});
  with("/nodes/0/inputs", R"("input")", {"[graph]"});
  with("/nodes/0/inputs", "[1]", {"[graph]"});
  with("/nodes/0/parameters", "[]", {"[graph]"});
  with("/nodes/0/parameters", R"({"weight": 3})", {"[graph]"});
  with("/nodes/0/kernel_size", "[3, 3]", {"\"a\"", "kernel_size", "3 numbers"});
  with("/nodes/0/kernel_size", "3", {"\"a\"", "kernel_size"});
  with("/nodes/0/kernel_size", "[3, 3, 3.5]", {"\"a\"", "whole", "3.5"});
  with("/nodes/0/stride", "[1, 1, 4294967297]", {"\"a\"", "stride", "4294967297"});
  with("/nodes/0/stride", "[1, 1, -1]", {"\"a\"", "stride", "-1"});
  with("/nodes/0/semantics", R"("valid")", {"\"a\"", "semantics", "\"valid\""});
  with("/nodes/0/eps", R"("small")", {"[graph]"});
  with("/nodes/0", "5", {"[graph]"});
  with("/nodes", "5", {"[graph]"});
  with("/dims", "7", {"dims", "7"});
  const std::string group = R"({"name": "g", "op": "group", "inputs": [], "count": 1, "radius": 1})";
  const std::string columns = R"({"name": "c", "op": "columns", "inputs": [], "first": 1, "count": 1})";
  const std::string grid =
      R"({"name": "d", "op": "voxelize_dense", "inputs": [], "resolution": 1, "normalize": true, "eps": 0})";
  const std::vector<std::pair<std::string, std::string>> whole = {{good, "/dims"},     {good, "/in_channels"},
                                                                  {group, "/count"},   {columns, "/first"},
                                                                  {columns, "/count"}, {grid, "/resolution"}};
  for (const auto& [text, pointer] : whole)
    for (const char* value : {"1.5", "1e300", "true", "18446744073709551615"}) {
      json document = json::parse(good), part = json::parse(text);
      part[json::json_pointer(pointer)] = json::parse(value);
      if (text == good) document = part;
      if (text != good) document["nodes"][0] = part;
      SCOPED_TRACE(pointer + " = " + value);
      expect_throw([&] { graph_from_json(document); }, {pointer.substr(1), "expects a whole number"});
    }
  with("/in_channels", R"("four")", {"[graph]"});
  with("/output", "{}", {"[graph]"});
  for (const char* key : {"dims", "in_channels", "nodes", "output"}) {
    json document = json::parse(good);
    document.erase(key);
    expect_throw([&] { graph_from_json(document); }, {key});
  }
  with("/nodes/0/op", R"("a\u001b[2J\nb\u00fc")", {"\"a?[2J?bü\""});
  expect_throw([&] { graph_from_json(json::parse("[]")); }, {"[graph]"});
  expect_throw([&] { graph_from_json(json::parse("7")); }, {"[graph]"});
}

}  // namespace
}  // namespace voxshift
