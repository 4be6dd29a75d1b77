// Graphs: what is refused, with the node's name, and that the order of the nodes does not matter.
#include <voxshift/engine/evaluate.h>
#include <voxshift/graph/graph.h>

#include <algorithm>

#include "device_fixture.h"
#include "graph_cases.h"
#include "networks.h"

namespace voxshift {
namespace {

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
  const auto wrong = [](const std::string& tensor, const Shape& shape, DType dtype = DType::kF32) {
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
  expect_refused([](auto& b) { b.graph.inputs.front().channels = 0; }, {"\"input\"", "1 to 8192 channels", "found 0"});
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
  EXPECT_EQ(domains[values.at("conv").domain].parent, 0);
  EXPECT_EQ(domains[values.at("conv").domain].extent, (Extent2d{0, 0}));  // not known yet
  const auto known = check_graph(network.graph, network.parameters, {Extent2d{9, 6}});
  EXPECT_EQ(known.domains[known.at("conv").domain].extent, (Extent2d{5, 3}));  // 3 / 2 with padding 1
  EXPECT_EQ(domains[values.at("pool").domain].parent, values.at("conv").domain);
  EXPECT_EQ(domains[values.at("mean").domain].kind, Domain::Kind::kClouds);
  EXPECT_EQ(values.at("classifier").domain, values.at("mean").domain);
}

TEST(Graph, OpsOnFrames) {
  const auto weight = [](const Shape& shape) {
    return [=](Network& n, Node&) { n.parameters.insert_or_assign("conv.weight", Array(shape, DType::kF32)); };
  };
  expect_frames_refused(weight({6, 3, 3, 3}), "conv", {"\"conv\"", "[6, 1, 3, 3]", "[6, 3, 3, 3]"});
  expect_frames_refused(weight({6, 1, 3}), "conv", {"\"conv\"", "[6, 1, 3, 3]", "[6, 1, 3]"});
  expect_frames_refused(weight({7, 1, 3, 3}), "conv", {"\"conv\"", "groups", "7 output", "found 3"});
  expect_frames_refused(weight({0, 1, 3, 3}), "conv", {"\"conv\"", "output channels"});
  expect_frames_refused(weight({6, 1, 65, 3}), "conv", {"\"conv\"", "kernel of 1 to 64", "65"});
  expect_frames_refused(weight({6, 1, 0, 0}), "conv", {"\"conv\"", "kernel", "0"});
  expect_frames_refused([](Network&, Node& n) { n.attributes["groups"] = std::int64_t{2}; }, "conv",
                        {"\"conv\"", "groups", "3 input", "found 2"});
  expect_frames_refused([](Network&, Node& n) { n.attributes["groups"] = std::int64_t{0}; }, "conv",
                        {"\"conv\"", "groups", "found 0"});
  expect_frames_refused([](Network&, Node& n) { n.attributes["stride"] = std::int64_t{0}; }, "conv",
                        {"\"conv\"", "stride", "found 0"});
  expect_frames_refused([](Network&, Node& n) { n.attributes["stride"] = std::int64_t{9}; }, "pool",
                        {"\"pool\"", "stride", "found 9"});
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
  for (const auto& other : {std::pair{"max_pool2d", pooling}, std::pair{"temporal_shift", shift}})
    expect_refused(
        [&](auto& b) {
          node_of(b, "relu").attributes = other.second;
          node_of(b, "relu").op = other.first;
        },
        {"\"relu2\"", other.first, "takes images", "\"batch_norm1\""});
  expect_refused([](auto& b) { node_of(b, "relu").op = "coordinates"; }, {"\"relu2\"", "coordinates", "takes points"});
  Network points = frame_network();
  points.graph.inputs.front().kind = InputKind::kPoints;
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

}  // namespace
}  // namespace voxshift
