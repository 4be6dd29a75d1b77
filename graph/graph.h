// A network as a graph of plain ops with named parameters.
#pragma once

#include <voxshift/graph/attribute.h>
#include <voxshift/graph/domain.h>
#include <voxshift/tensor/array.h>

#include <map>
#include <string>
#include <vector>

namespace voxshift {

/// One op at its place. Its value is known by the node's name. docs/graph.md lists the ops with their inputs, the roles
/// of their parameters and their attributes; so does all_ops() in op.h.
struct Node {
  std::string name;
  std::string op;                                 ///< "conv", "linear", ..
  std::vector<std::string> inputs;                ///< names of values
  std::map<std::string, std::string> parameters;  ///< role -> name of a tensor in the model file
  Attributes attributes;                          ///< where the usual values will not do

  // An attribute of a node that check_graph has passed: all that the op has are there.
  bool flag(const std::string& key) const { return std::get<bool>(attributes.at(key)); }
  std::int64_t whole(const std::string& key) const;  ///< of a per-axis one: the number of all axes, which are alike
  float number(const std::string& key) const { return static_cast<float>(std::get<double>(attributes.at(key))); }
  const std::string& word(const std::string& key) const { return std::get<std::string>(attributes.at(key)); }
  const PerAxis& per_axis(const std::string& key) const { return std::get<PerAxis>(attributes.at(key)); }
  const PerAxisNumber& per_axis_number(const std::string& key) const {
    return std::get<PerAxisNumber>(attributes.at(key));
  }
};

/// Nodes in an order in which every input comes before its user; the network's input is called "input".
struct Graph {
  GraphInput input = GraphInput::kVoxels;
  int dims = 3;
  std::int64_t in_channels = 0;
  std::vector<Node> nodes;
  std::vector<std::string> outputs;  ///< names of values, at least one

  const std::string& output() const { return outputs.front(); }  ///< of a network with one
};

constexpr const char* kGraphInput = "input";

/// The graph as the JSON text of a model file, and back. graph_from_text throws InvalidArgument naming what is missing
/// or of the wrong type; it does not know the ops, so check_graph must follow.
std::string to_text(const Graph& graph);
Graph graph_from_text(const std::string& text);

using Parameters = std::map<std::string, Array>;

/// The rows and the channels of a value.
struct ValueType {
  int domain;
  std::int64_t channels;
};

/// What check_graph finds out about the values of a graph.
struct GraphValues {
  Domains domains;
  std::map<std::string, ValueType> types;  ///< by name

  const ValueType& at(const std::string& value) const { return types.at(value); }
  std::int64_t channels(const std::string& value) const { return types.at(value).channels; }
};

/// Sorts the nodes, gives them the usual values of the attributes that they lack, and checks names, ops, attributes,
/// arity and cycles, each parameter's presence, dtype f32 and shape, and that every op finds the rows and channels that
/// it is made for. Throws InvalidArgument naming the node. Where the extent of a network's frames is not given, those
/// of the images made of them are not known either.
GraphValues check_graph(Graph& graph, const Parameters& parameters, Extent2d frame = {});

}  // namespace voxshift
