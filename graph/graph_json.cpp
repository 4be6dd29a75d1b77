// Graphs as JSON. A node's attributes stand beside its name, op, inputs and parameters.
#include <voxshift/graph/graph_json.h>
#include <voxshift/graph/json_text.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

namespace voxshift {
namespace {

using nlohmann::json;

// Whole numbers where all are.
Attribute list_from_json(const json& list, const std::string& where) {
  if (std::any_of(list.begin(), list.end(), [](const json& number) { return number.is_number_float(); })) {
    PerAxisNumber numbers;
    for (const json& number : list) {
      check(number.is_number(), where, " expects a number, found ", Quoted{number});
      numbers.push_back(number.get<double>());
    }
    return numbers;
  }
  PerAxis wholes;
  for (const json& number : list) wholes.push_back(whole_number(number, where));
  return wholes;
}

Attribute attribute_from_json(const json& value, const std::string& where) {
  switch (value.type()) {
    case json::value_t::boolean:
      return value.get<bool>();
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
      return whole_number(value, where);
    case json::value_t::number_float:
      return value.get<double>();
    case json::value_t::string:
      return value.get<std::string>();
    case json::value_t::array:
      return list_from_json(value, where);
    default:
      check(false, where, " expects a number, a list of numbers, a word, true or false, found ", Quoted{value});
      return {};
  }
}

Node node_from_json(const json& entry) {
  Node node;
  node.name = entry.at("name").get<std::string>();
  node.op = entry.at("op").get<std::string>();
  node.inputs = entry.at("inputs").get<std::vector<std::string>>();
  for (const auto& [key, value] : entry.items()) {
    if (key == "name" || key == "op" || key == "inputs") continue;
    if (key == "parameters") {
      node.parameters = value.get<std::map<std::string, std::string>>();
    } else {
      node.attributes[key] = attribute_from_json(value, "[graph] " + key + " of node \"" + node.name + "\"");
    }
  }
  return node;
}

}  // namespace

json to_json(const Graph& graph) {
  json nodes = json::array();
  for (const Node& node : graph.nodes) {
    json entry{{"name", node.name}, {"op", node.op}, {"inputs", node.inputs}};
    if (!node.parameters.empty()) entry["parameters"] = node.parameters;
    for (const auto& [key, value] : node.attributes) {
      json& written = entry[key];
      std::visit([&](const auto& of_its_type) { written = of_its_type; }, value);
    }
    nodes.push_back(std::move(entry));
  }
  return {{"input", name(graph.input)},
          {"dims", graph.dims},
          {"in_channels", graph.in_channels},
          {"nodes", nodes},
          {"outputs", graph.outputs}};
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
  if (document.contains("output")) {  // the form of networks with one
    graph.outputs = {document.at("output").get<std::string>()};
  } else {
    graph.outputs = document.at("outputs").get<std::vector<std::string>>();
  }
  for (const json& entry : document.at("nodes")) graph.nodes.push_back(node_from_json(entry));
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
