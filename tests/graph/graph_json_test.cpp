// Graphs as JSON: there and back, the table of ops, and what is refused.
#include <voxshift/graph/graph_json.h>
#include <voxshift/graph/op.h>

#include <nlohmann/json.hpp>
#include <set>

#include "device_fixture.h"
#include "graph_cases.h"
#include "networks.h"

namespace voxshift {
namespace {

using nlohmann::json;

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
  EXPECT_EQ(read.input().channels, 4);
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
  EXPECT_EQ(read.input().kind, InputKind::kFrames);
  EXPECT_EQ(read.dims, 2);
  ASSERT_EQ(read.nodes.size(), network.graph.nodes.size());
  for (std::size_t i = 0; i < read.nodes.size(); ++i) {
    const Node &a = read.nodes[i], &b = network.graph.nodes[i];
    EXPECT_EQ(a.op, b.op);
    EXPECT_EQ(a.attributes, b.attributes) << a.name;
  }
  EXPECT_EQ(to_json(read), document);
}

TEST(GraphJson, RoundTripOfSeveralInputs) {
  NetworkWriter b(4);
  b.input({"points", InputKind::kPoints, 5});
  b.input({"normals", InputKind::kPoints, 3, "points"});
  b.input({"camera", InputKind::kFrames, 2});
  b.graph.outputs = {b.relu("points"), b.relu("camera"), b.relu(kGraphInput)};
  const json document = to_json(b.graph);
  EXPECT_FALSE(document.contains("input") || document.contains("in_channels"));
  const Graph read = graph_from_json(json::parse(document.dump()));
  ASSERT_EQ(read.inputs.size(), 4U);
  for (std::size_t i = 0; i < read.inputs.size(); ++i) {
    EXPECT_EQ(read.inputs[i].name, b.graph.inputs[i].name);
    EXPECT_EQ(read.inputs[i].channels, b.graph.inputs[i].channels);
    EXPECT_EQ(read.inputs[i].rows_of, b.graph.inputs[i].rows_of);
    if (i != 2) {  // further channels have the kind of their rows
      EXPECT_EQ(read.inputs[i].kind, b.graph.inputs[i].kind);
    }
  }
  EXPECT_EQ(to_json(read), document);

  NetworkWriter named(4);
  named.graph.inputs.front().name = "scan";
  const json other = to_json(named.graph);
  EXPECT_EQ(graph_from_json(other).input().name, "scan");
  EXPECT_EQ(to_json(graph_from_json(other)), other);
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
  with("/nodes/4/stride", "[2, 2]", {"\"pool\"", "stride", "whole"});
  with("/nodes/1/stride", "[1.5, 2]", {"\"conv\"", "stride", "whole", "[1.5, 2]"});
  with("/nodes/1/stride", R"([1.5, "a"])", {"\"conv\"", "stride", "a number", "\"a\""});
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
  const auto with_inputs = [&](const std::string& value, const std::vector<std::string>& parts) {
    json document = json::parse(good);
    document.erase("in_channels");
    document["inputs"] = json::parse(value);
    SCOPED_TRACE(value);
    expect_throw([&] { check_document(document, parameters); }, parts);
  };
  with_inputs("[]", {"inputs", "found 0"});
  with_inputs("7", {"[graph]"});
  with_inputs(R"([{"name": "input", "kind": "voxels"}])", {"channels"});
  with_inputs(R"([{"kind": "voxels", "channels": 4}])", {"name"});
  with_inputs(R"([{"name": "input", "channels": 4}])", {"\"input\"", "kind"});
  with_inputs(R"([{"name": "input", "channels": 4, "kind": "voxels", "rows_of": "a"}])", {"\"input\"", "kind"});
  with_inputs(R"([{"name": "input", "channels": 4, "rows_of": ""}])", {"\"input\"", "rows_of"});
  with_inputs(R"([{"name": "input", "channels": 4, "kind": "mesh"}])", {"voxels, points or frames", "mesh"});
  with_inputs(R"([{"name": "input", "channels": 4.5, "kind": "voxels"}])", {"\"input\"", "whole number"});
  with_inputs(R"([{"name": "input", "channels": 4, "kind": "voxels", "dims": 3}])", {"\"input\"", "\"dims\""});
  with("/inputs", "[]", {"both", "\"inputs\"", "\"in_channels\""});
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
