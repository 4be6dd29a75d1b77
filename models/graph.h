// A network as a graph of plain ops with named parameters.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/kernel_map.h>

#include <map>
#include <string>
#include <vector>

namespace voxshift {

enum class Op { kConv, kConvTranspose, kLinear, kBatchNorm, kRelu, kRelu6, kLeakyRelu, kAdd, kCat };

/// "conv", "conv_transpose", "linear", "batch_norm", "relu", "relu6", "leaky_relu", "add", "cat".
const char* name(Op op);

/// One op. Its value is known by the node's name. `parameters` maps a role to the name of a tensor in the model file:
/// conv, conv_transpose: weight [K, Cin, Cout] or [Cin, Cout] when K = 1, bias [Cout] optional; linear: weight [Cout,
/// Cin] as in torch, bias [Cout] optional; batch_norm: weight, bias, running_mean, running_var, all [C].
struct Node {
  std::string name;
  Op op = Op::kConv;
  std::vector<std::string> inputs;
  std::map<std::string, std::string> parameters;
  Window window;        ///< conv, conv_transpose
  float eps = 1e-5f;    ///< batch_norm
  float slope = 0.01f;  ///< leaky_relu
};

/// Nodes in an order in which every input comes before its user; the network's input is called "input".
struct Graph {
  int dims = 3;
  std::int64_t in_channels = 0;
  std::vector<Node> nodes;
  std::string output;
};

constexpr const char* kGraphInput = "input";

using Parameters = std::map<std::string, Array>;

/// Sorts the nodes and checks names, ops, arity and cycles, and each parameter's presence, dtype f32 and shape. Throws
/// InvalidArgument naming the node. Gives the channels of every value, keyed by name.
std::map<std::string, std::int64_t> check_graph(Graph& graph, const Parameters& parameters);

}  // namespace voxshift
