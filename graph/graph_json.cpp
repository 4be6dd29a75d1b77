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

InputKind kind_from_word(const std::string& word) {
  const InputKind kinds[]{InputKind::kVoxels, InputKind::kPoints, InputKind::kFrames};
  const auto* named =
      std::find_if(std::begin(kinds), std::end(kinds), [&](InputKind kind) { return word == name(kind); });
  check(named != std::end(kinds), "[graph] input expects voxels, points or frames, found \"", word, "\"");
  return *named;
}

json inputs_to_json(const std::vector<GraphInput>& inputs) {
  json list = json::array();
  for (const GraphInput& input : inputs) {
    json entry{{"name", input.name}, {"channels", input.channels}};
    if (input.rows_of.empty()) {
      entry["kind"] = name(input.kind);
    } else {
      entry["rows_of"] = input.rows_of;
    }
    list.push_back(std::move(entry));
  }
  return list;
}

GraphInput input_from_json(const json& entry) {
  GraphInput input;
  input.name = entry.at("name").get<std::string>();
  const std::string where = "[graph] input \"" + input.name + "\"";
  for (const auto& [key, value] : entry.items())
    check(key == "name" || key == "kind" || key == "channels" || key == "rows_of", where, " has no \"", key, "\"");
  input.channels = whole_number(entry.at("channels"), where + " channels");
  check(entry.contains("kind") != entry.contains("rows_of"), where, " expects a kind or the input whose rows it has");
  if (entry.contains("kind")) {
    input.kind = kind_from_word(entry.at("kind").get<std::string>());
  } else {
    input.rows_of = entry.at("rows_of").get<std::string>();
    check(!input.rows_of.empty(), where, " expects the name of an input in rows_of");
  }
  return input;
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
  json document{{"dims", graph.dims}, {"nodes", nodes}, {"outputs", graph.outputs}};
  if (!graph.scales.empty()) document["scales"] = graph.scales;
  if (graph.inputs.size() == 1 && graph.input().name == kGraphInput) {
    document["input"] = name(graph.input().kind);
    document["in_channels"] = graph.input().channels;
  } else {
    document["inputs"] = inputs_to_json(graph.inputs);
  }
  return document;
}

Graph graph_from_json(const json& document) try {
  Graph graph;
  const std::int64_t dims = whole_number(document.at("dims"), "[graph] dims");
  check(dims >= 1 && dims <= kMaxDimensions, "[graph] dims expects 1 to 4, found ", dims);
  graph.dims = static_cast<int>(dims);
  graph.inputs.clear();
  if (document.contains("inputs")) {
    for (const char* key : {"input", "in_channels"})
      check(!document.contains(key), "[graph] has both \"inputs\" and \"", key, "\", expected one of them");
    for (const json& entry : document.at("inputs")) graph.inputs.push_back(input_from_json(entry));
  } else {  // the form of networks with one
    graph.inputs.push_back({kGraphInput, kind_from_word(document.value("input", "voxels")),
                            whole_number(document.at("in_channels"), "[graph] in_channels")});
  }
  if (document.contains("output")) {  // the form of networks with one
    graph.outputs = {document.at("output").get<std::string>()};
  } else {
    graph.outputs = document.at("outputs").get<std::vector<std::string>>();
  }
  if (document.contains("scales")) graph.scales = document.at("scales").get<std::map<std::string, std::string>>();
  for (const json& entry : document.at("nodes")) graph.nodes.push_back(node_from_json(entry));
  return graph;
} catch (const json::exception& error) {
  throw InvalidArgument(std::string("[graph] ") + error.what());
}

std::string to_text(const Graph& graph) { return json_text(to_json(graph)); }

Graph graph_from_text(const std::string& text) {
  const JsonDocument document = parse_json(text);
  check(!document.value.is_discarded(), "[graph] the text is not JSON");
  return graph_from_json(document.value);
}

}  // namespace voxshift
