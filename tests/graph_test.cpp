// Graphs: what is refused, with the node's name, and that the order of the nodes does not matter.
#include <voxshift/engine/evaluate.h>
#include <voxshift/graph/graph.h>
#include <voxshift/graph/graph_json.h>
#include <voxshift/graph/op.h>
#include <voxshift/networks/network_builder.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "device_fixture.h"
#include "networks.h"

namespace voxshift {
namespace {

using nlohmann::json;

// conv -> batch_norm -> relu, and a linear layer on its sum with the input.
NetworkWriter small_network() {
  NetworkWriter b(4);
  const std::string x = b.relu(b.batch_norm(b.conv(kGraphInput, 4)));
  b.graph.outputs = {b.linear(b.add(x, kGraphInput), 3)};
  return b;
}

Node& node_of(NetworkWriter& b, const std::string& op) {
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
  const auto values = check_graph(b.graph, b.parameters);
  EXPECT_EQ(values.types.size(), b.graph.nodes.size() + 1);
  EXPECT_EQ(values.channels("input"), 4);
  EXPECT_EQ(values.channels("conv0"), 4);
  EXPECT_EQ(values.channels("add3"), 4);
  EXPECT_EQ(values.channels("linear4"), 3);
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
  expect_refused([](auto& b) { node_of(b, "relu").name = "conv0"; }, {"two values", "\"conv0\""});
  expect_refused([](auto& b) { node_of(b, "relu").name = "input"; }, {"two values", "\"input\""});
  expect_refused([](auto& b) { node_of(b, "relu").name = ""; }, {"relu", "no name"});
  expect_refused([](auto& b) { node_of(b, "relu").inputs = {"nowhere"}; }, {"\"relu2\"", "\"nowhere\""});
  expect_refused([](auto& b) { b.graph.outputs = {"nowhere"}; }, {"output", "\"nowhere\""});
  expect_refused([](auto& b) { b.graph.outputs = {"input"}; }, {"output", "\"input\""});
  expect_refused([](auto& b) { b.graph.nodes.clear(); }, {"output"});
}

TEST(Graph, Cycles) {
  expect_refused([](auto& b) { node_of(b, "conv").inputs = {"relu2"}; }, {"\"conv0\"", "cycle"});
  expect_refused([](auto& b) { node_of(b, "relu").inputs = {"relu2"}; }, {"\"relu2\"", "cycle"});
}

TEST(Graph, Arity) {
  expect_refused([](auto& b) { node_of(b, "conv").inputs = {}; }, {"\"conv0\"", "(conv)", "found 0"});
  expect_refused([](auto& b) { node_of(b, "relu").inputs = {"conv0", "conv0"}; }, {"\"relu2\"", "found 2"});
  expect_refused([](auto& b) { node_of(b, "add").inputs = {"conv0"}; }, {"\"add3\"", "found 1"});
  expect_refused(
      [](auto& b) {
        node_of(b, "add").op = "cat";
        b.graph.nodes[3].inputs = {};
      },
      {"\"add3\"", "(cat)", "found 0"});
}

TEST(Graph, Tensors) {
  expect_refused([](auto& b) { b.parameters.erase("conv0.weight"); }, {"\"conv0.weight\"", "\"conv0\"", "missing"});
  expect_refused([](auto& b) { b.parameters.erase("linear4.bias"); }, {"\"linear4.bias\"", "\"linear4\"", "missing"});
  expect_refused([](auto& b) { b.parameters.erase("batch_norm1.running_var"); },
                 {"\"batch_norm1.running_var\"", "missing"});
  expect_refused([](auto& b) { node_of(b, "batch_norm").parameters.erase("running_mean"); },
                 {"\"batch_norm1\"", "running_mean"});
  expect_refused([](auto& b) { node_of(b, "relu").parameters["scale"] = "missing"; },
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
  expect_refused(
      [](auto& b) {
        node_of(b, "conv").attributes["stride"] = PerAxis{1, 0, 1};
      },
      {"\"conv0\"", "stride", "1 to ", "[1, 0, 1]"});
  expect_refused([](auto& b) { node_of(b, "conv").attributes["kernel_size"] = std::int64_t{99}; },
                 {"\"conv0\"", "4096"});
  expect_refused(
      [](auto& b) {
        node_of(b, "conv").attributes["padding"] = PerAxis{1, 0, 0};
      },
      {"\"conv0\"", "padding"});
  expect_refused([](auto& b) { b.graph.dims = 2; }, {"\"conv0\"", "per axis", "[3, 3, 3]"});
  expect_refused([](auto& b) { b.graph.dims = 5; }, {"dimensions", "5"});
  expect_refused([](auto& b) { b.graph.in_channels = 0; }, {"input channel"});
}

// temporal_shift -> conv2d -> batch_norm -> relu -> max_pool2d -> avg_pool -> linear, on frames.
Network frame_network() {
  NetworkBuilder net(GraphInput::kFrames, 3, 1);
  std::string x = net.temporal_shift("shift", kGraphInput, {2, false});
  x = net.relu("relu", net.norm("norm", net.conv2d("conv", x, 6, 3, 2, 3)));
  x = net.add("mean", "avg_pool", {net.max_pool2d("pool", x, {3, 2, 1})});
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
  const auto values = check_graph(network.graph, network.parameters);
  EXPECT_EQ(network.graph.dims, 2);
  EXPECT_EQ(values.channels("shift"), 3);
  EXPECT_EQ(values.channels("conv"), 6);
  EXPECT_EQ(values.channels("pool"), 6);
  EXPECT_EQ(values.channels("mean"), 6);
  EXPECT_EQ(values.channels("classifier"), 5);
  const Domains& domains = values.domains;
  EXPECT_EQ(values.at("shift").domain, 0);
  EXPECT_EQ(domains[values.at("conv").domain].window2d,
            (Window2d{1, 2, 0}));  // 3 / 2 with padding 1: every second pixel
  EXPECT_EQ(domains[values.at("pool").domain].parent, values.at("conv").domain);
  EXPECT_EQ(domains[values.at("mean").domain].kind, Domain::Kind::kClouds);
  EXPECT_EQ(values.at("classifier").domain, values.at("mean").domain);
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
  expect_frames_refused([](Network&, Node& n) { n.attributes["groups"] = std::int64_t{2}; }, "conv",
                        {"\"conv\"", "groups", "3 input", "found 2"});
  expect_frames_refused([](Network&, Node& n) { n.attributes["groups"] = std::int64_t{0}; }, "conv",
                        {"\"conv\"", "groups", "found 0"});
  expect_frames_refused([](Network&, Node& n) { n.attributes["stride"] = std::int64_t{0}; }, "conv",
                        {"\"conv\"", "stride", "found 0"});
  expect_frames_refused([](Network&, Node& n) { n.attributes["stride"] = std::int64_t{9}; }, "pool",
                        {"\"pool\"", "stride", "found 9"});
  expect_frames_refused([](Network&, Node& n) { n.attributes["padding"] = std::int64_t{2}; }, "conv",
                        {"\"conv\"", "0 to 1", "found 2"});
  expect_frames_refused([](Network&, Node& n) { n.attributes["padding"] = std::int64_t{-1}; }, "pool",
                        {"\"pool\"", "padding", "-1"});
  expect_frames_refused([](Network&, Node& n) { n.attributes["kernel_size"] = std::int64_t{0}; }, "pool",
                        {"\"pool\"", "kernel", "found 0"});
  expect_frames_refused([](Network&, Node& n) { n.attributes["shift_div"] = std::int64_t{0}; }, "shift",
                        {"\"shift\"", "1 to", "0"});
  expect_frames_refused([](Network&, Node& n) { n.attributes["shift_div"] = std::int64_t{4}; }, "shift",
                        {"\"shift\"", "its 3", "found 4"});
  expect_frames_refused(
      [](Network&, Node& n) {
        n.attributes = {{"shift_div", std::int64_t{1}}, {"bidirectional", true}};
      },
      "shift", {"\"shift\"", "at least 2", "1"});
  expect_frames_refused([](Network& n, Node&) { n.graph.dims = 3; }, "shift", {"2 dimensions", "found 3"});
}

TEST(Graph, OpsBelongToTheirNetworks) {
  expect_frames_refused([](Network&, Node& n) { n.op = "coordinates"; }, "relu", {"\"relu\"", "coordinates", "points"});
  const Attributes pooling{{"kernel_size", std::int64_t{3}}}, shift{{"shift_div", std::int64_t{2}}};
  for (const auto& [op, attributes] : {std::pair{"max_pool2d", pooling}, std::pair{"temporal_shift", shift}})
    expect_refused(
        [&](auto& b) {
          node_of(b, "relu").attributes = attributes;
          node_of(b, "relu").op = op;
        },
        {"\"relu2\"", op, "takes images", "\"batch_norm1\""});
  expect_refused([](auto& b) { node_of(b, "relu").op = "coordinates"; }, {"\"relu2\"", "coordinates", "takes points"});
  Network points = frame_network();
  points.graph.input = GraphInput::kPoints;
  points.graph.dims = 3;
  expect_throw([&] { check_graph(points.graph, points.parameters); }, {"\"shift\"", "temporal_shift", "takes images"});
}

TEST(Graph, GrowthIsBounded) {
  // Each node doubles the channels: 40 of them ask for 4 * 2^40.
  NetworkWriter wide(4);
  std::string x = kGraphInput;
  for (int i = 0; i < 40; ++i) x = wide.cat({x, x});
  wide.graph.outputs = {x};
  expect_throw([&] { check_graph(wide.graph, {}); }, {"\"cat11\"", "channels"});
  NetworkWriter deep(4);
  x = kGraphInput;
  for (int i = 0; i < 5000; ++i) x = deep.relu(x);
  deep.graph.outputs = {x};
  expect_throw([&] { check_graph(deep.graph, {}); }, {"nodes", "5000"});
}

// As JSON

TEST(GraphJson, RoundTrip) {
  NetworkWriter b(4, 2);
  Window dilated = cube(2, 3);
  dilated.dilation[1] = 2;
  std::string x = b.leaky_relu(b.conv(kGraphInput, 4, dilated, true));
  x = b.relu6(b.conv_transpose(b.conv(x, 6, bounded_cube(2, 3, 2, 1)), 4, bounded_cube(2, 3, 2, 1)));
  b.graph.outputs = {b.cat({x, b.batch_norm(x)})};
  const json document = to_json(b.graph);
  const Graph read = graph_from_json(json::parse(document.dump()));
  EXPECT_EQ(read.dims, 2);
  EXPECT_EQ(read.in_channels, 4);
  EXPECT_EQ(read.outputs, b.graph.outputs);
  ASSERT_EQ(read.nodes.size(), b.graph.nodes.size());
  for (std::size_t i = 0; i < read.nodes.size(); ++i) {
    const Node &x1 = read.nodes[i], &x2 = b.graph.nodes[i];
    EXPECT_EQ(x1.name, x2.name);
    EXPECT_EQ(x1.op, x2.op);
    EXPECT_EQ(x1.inputs, x2.inputs);
    EXPECT_EQ(x1.parameters, x2.parameters);
    EXPECT_EQ(x1.attributes, x2.attributes) << x1.name;
  }
  EXPECT_EQ(to_json(read), document);
}

TEST(GraphJson, RoundTripOnFrames) {
  Network network = frame_network();
  network.graph.nodes.front().attributes = {{"shift_div", std::int64_t{3}}, {"bidirectional", true}};
  const json document = to_json(network.graph);
  Graph read = graph_from_json(json::parse(document.dump()));
  EXPECT_EQ(read.input, GraphInput::kFrames);
  EXPECT_EQ(read.dims, 2);
  ASSERT_EQ(read.nodes.size(), network.graph.nodes.size());
  for (std::size_t i = 0; i < read.nodes.size(); ++i) {
    const Node &a = read.nodes[i], &b = network.graph.nodes[i];
    EXPECT_EQ(a.op, b.op);
    EXPECT_EQ(a.attributes, b.attributes) << a.name;
  }
  EXPECT_EQ(to_json(read), document);
}

void check_document(const json& document, const Parameters& parameters = {}) {
  Graph graph = graph_from_json(document);
  check_graph(graph, parameters);
}

TEST(GraphJson, RefusedOnFrames) {
  const auto with = [&](const std::string& pointer, const std::string& value, const std::vector<std::string>& parts) {
    const Network network = frame_network();
    json document = to_json(network.graph);
    document[json::json_pointer(pointer)] = json::parse(value);
    SCOPED_TRACE(pointer + " = " + value);
    expect_throw([&] { check_document(document, network.parameters); }, parts);
  };
  with("/input", R"("images")", {"voxels, points or frames", "\"images\""});
  with("/nodes/0/shift_div", "2.5", {"\"shift\"", "shift_div", "whole number of 1 to 8192", "2.5"});
  with("/nodes/0/shift_div", "null", {"\"shift\"", "shift_div", "null"});
  with("/nodes/0/bidirectional", "1", {"\"shift\"", "bidirectional", "true or false", "1"});
  with("/nodes/1/stride", "[2, 2]", {"\"conv\"", "stride", "whole"});
  with("/nodes/1/groups", R"("all")", {"\"conv\"", "groups", "\"all\""});
  with("/nodes/4/kernel_size", "1e99", {"\"pool\"", "kernel_size", "1e+99"});
  const Network network = frame_network();
  json document = to_json(network.graph);
  document["nodes"][4].erase("kernel_size");
  expect_throw([&] { check_document(document, network.parameters); }, {"\"pool\"", "lacks kernel_size"});
  with("/nodes/4/ceil_mode", "true", {"\"pool\"", "max_pool2d", "no attribute \"ceil_mode\""});
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
  std::set<std::string> known;
  for (const OpDefinition* op : all_ops()) {
    EXPECT_TRUE(known.insert(op->name).second) << op->name;
    EXPECT_EQ(find_op(op->name), op);
  }
  for (const char* expected : names) EXPECT_TRUE(known.contains(expected)) << expected;
  EXPECT_EQ(find_op("convolve"), nullptr);
}

// One number stands for all axes, as in torch.
TEST(GraphJson, OneNumberForAllAxes) {
  const auto parsed = [](const std::string& size) {
    Graph graph = graph_from_text(R"({"dims": 3, "in_channels": 4, "output": "a", "nodes": [{"name": "a", "op": "conv",
                                      "inputs": ["input"], "parameters": {"weight": "w"}, "kernel_size": )" +
                                  size + "}]}");
    check_graph(graph, {{"w", Array({27, 4, 4}, DType::kF32)}});
    return to_json(graph);
  };
  EXPECT_EQ(parsed("3"), parsed("[3, 3, 3]"));
  EXPECT_EQ(parsed("3")["nodes"][0]["stride"], (json{1, 1, 1}));
}

TEST(GraphJson, Refused) {
  const std::string good =
      R"({"dims": 3, "in_channels": 4, "output": "a",
          "nodes": [{"name": "a", "op": "conv", "inputs": ["input"], "kernel_size": [3, 3, 3],
                     "parameters": {"weight": "w"}}]})";
  const Parameters parameters{{"w", Array({27, 4, 4}, DType::kF32)}};
  check_document(json::parse(good), parameters);
  const auto with = [&](const std::string& pointer, const std::string& value, const std::vector<std::string>& parts) {
    json document = json::parse(good);
    document[json::json_pointer(pointer)] = json::parse(value);
    SCOPED_TRACE(pointer + " = " + value);
    expect_throw([&] { check_document(document, parameters); }, parts);
  };
  with("/nodes/0/op", R"("convolve")", {"\"a\"", "unknown op", "\"convolve\""});
  with("/nodes/0/op", "3", {"[graph]"});
  with("/nodes/0/name", "null", {"[graph]"});
  with("/nodes/0/inputs", R"("input")", {"[graph]"});
  with("/nodes/0/inputs", "[1]", {"[graph]"});
  with("/nodes/0/parameters", "[]", {"[graph]"});
  with("/nodes/0/parameters", R"({"weight": 3})", {"[graph]"});
  with("/nodes/0/kernel_size", "[3, 3]", {"\"a\"", "kernel_size", "per axis", "[3, 3]"});
  with("/nodes/0/kernel_size", "[3, 3, 3.5]", {"\"a\"", "whole", "3.5"});
  with("/nodes/0/stride", "[1, 1, 4294967297]", {"\"a\"", "stride", "4294967297"});
  with("/nodes/0/stride", "[1, 1, -1]", {"\"a\"", "stride", "-1"});
  with("/nodes/0/semantics", R"("valid")", {"\"a\"", "semantics", "\"valid\""});
  with("/nodes/0/eps", "1e-5", {"\"a\"", "(conv)", "no attribute \"eps\""});
  with("/nodes/0/stride", "{}", {"\"a\"", "stride", "{}"});
  with("/nodes/0", "5", {"[graph]"});
  with("/nodes", "5", {"[graph]"});
  with("/dims", "7", {"dims", "7"});
  const std::string group = R"({"name": "g", "op": "group", "inputs": ["input", "input"], "count": 1, "radius": 1})";
  const std::string columns = R"({"name": "c", "op": "columns", "inputs": ["input"], "first": 1, "count": 1})";
  const std::string grid =
      R"({"name": "d", "op": "voxelize_dense", "inputs": ["input"], "resolution": 1, "normalize": true, "eps": 0})";
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
      expect_throw([&] { check_document(document, parameters); }, {pointer.substr(1), "expects a whole number"});
    }
  with("/in_channels", R"("four")", {"[graph]"});
  with("/output", "{}", {"[graph]"});
  const auto with_outputs = [&](const std::string& value, const std::vector<std::string>& parts) {
    json document = json::parse(good);
    document.erase("output");
    document["outputs"] = json::parse(value);
    SCOPED_TRACE(value);
    expect_throw([&] { check_document(document, parameters); }, parts);
  };
  with_outputs(R"(["a", "a"])", {"\"a\"", "twice"});
  with_outputs("[]", {"no output"});
  with_outputs(R"(["a", "b"])", {"output", "\"b\""});
  with_outputs(R"("a")", {"[graph]"});
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
