// Nodes and tensors of a network that a builder made, by name.
#pragma once

#include <gtest/gtest.h>
#include <voxshift/networks/network_builder.h>

#include <algorithm>
#include <string>

namespace voxshift {

inline const Node& node_of(const Network& network, const std::string& name) {
  const auto found = std::find_if(network.graph.nodes.begin(), network.graph.nodes.end(),
                                  [&](const Node& node) { return node.name == name; });
  EXPECT_NE(found, network.graph.nodes.end()) << name;
  return *found;
}

/// The shape of a tensor; empty where there is none of that name.
inline Shape shape(const Network& network, const std::string& name) {
  const auto found = network.parameters.find(name);
  return found == network.parameters.end() ? Shape{} : found->second.shape();
}

}  // namespace voxshift
