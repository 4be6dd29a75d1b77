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

/// The usual name of a network's only input.
constexpr const char* kGraphInput = "input";

/// A value that a network is given.
struct GraphInput {
  std::string name = kGraphInput;
  InputKind kind = InputKind::kVoxels;
  std::int64_t channels = 0;
  std::string rows_of = {};  ///< an input before this one, on whose rows it gives further channels; empty: own rows
};

/// Inputs, and nodes in an order in which every value comes before its users.
struct Graph {
  int dims = 3;                           ///< of voxels and of windows on them
  std::vector<GraphInput> inputs = {{}};  ///< at least one
  std::vector<Node> nodes = {};
  std::vector<std::string> outputs = {};  ///< names of values, at least one

  /// Values that are i8: name -> a tensor f32 [1] or [channels] of the model file, what a whole number stands for.
  std::map<std::string, std::string> scales = {};

  /// Of a network with one. input() throws InvalidArgument for a network with several.
  const GraphInput& input() const;
  const std::string& output() const { return outputs.front(); }

  bool has_input(const std::string& value) const;
};

/// The extents of frames that a network is given, by input; of inputs that are none, and where they are not known, 0.
using FrameExtents = std::vector<Extent2d>;

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
/// arity and cycles, each parameter's presence, dtype and shape, and that every op finds the rows and channels that
/// it is made for. Throws InvalidArgument naming the node. Where the extent of a network's frames is not given, those
/// of the images made of them are not known either.
GraphValues check_graph(Graph& graph, const Parameters& parameters, const FrameExtents& frames = {});

}  // namespace voxshift
