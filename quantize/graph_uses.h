// Who reads the values of a graph.
#pragma once

#include <voxshift/graph/graph.h>

#include <algorithm>
#include <cstdint>
#include <string>

namespace voxshift {

/// How often a value is read: by nodes, and as an output of the network.
inline std::int64_t uses_of(const Graph& graph, const std::string& value) {
  std::int64_t uses = std::count(graph.outputs.begin(), graph.outputs.end(), value);
  for (const Node& node : graph.nodes) uses += std::count(node.inputs.begin(), node.inputs.end(), value);
  return uses;
}

/// The node that gives a value; null for an input of the network.
inline Node* node_of(Graph& graph, const std::string& value) {
  const auto found =
      std::find_if(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) { return node.name == value; });
  return found == graph.nodes.end() ? nullptr : &*found;
}

/// A node whose first input is the value; null where there is none. Of a value that is read once: its user, if any.
inline Node* user_of(Graph& graph, const std::string& value) {
  const auto found = std::find_if(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) {
    return !node.inputs.empty() && node.inputs.front() == value;
  });
  return found == graph.nodes.end() ? nullptr : &*found;
}

}  // namespace voxshift
