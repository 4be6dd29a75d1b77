// Small networks written down node by node. Their parameters are whole numbers and powers of two, so that every order
// of summation gives the same float32 and results can be compared for equality.
#pragma once

#include <voxshift/graph/product.h>
#include <voxshift/tasks/model.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "test_data.h"

namespace voxshift {

inline Window cube(int dims, int size, int stride = 1) {
  Window window;
  window.dims = dims;
  for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) {
    window.size[d] = size;
    window.stride[d] = stride;
  }
  return window;
}

inline Window bounded_cube(int dims, int size, int stride, int pad) {
  Window window = cube(dims, size, stride);
  window.semantics = Semantics::kBounded;
  for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) window.pad[d] = pad;
  return window;
}

/// Adds nodes to a graph; each call gives the name of the new node's value.
class NetworkWriter {
 public:
  explicit NetworkWriter(std::int64_t channels, int dims = 3, unsigned seed = 1) : random_(seed) {
    graph.dims = dims;
    graph.inputs.front().channels = channels;
    channels_[kGraphInput] = channels;
  }

  /// A further input, whose name it gives.
  std::string input(GraphInput added) {
    channels_[added.name] = added.channels;
    graph.inputs.push_back(std::move(added));
    return graph.inputs.back().name;
  }

  std::string conv(const std::string& x, std::int64_t out, const Window& window, bool bias = false) {
    return product("conv", x, out, {window.volume(), channels_.at(x), out}, window, bias);
  }
  std::string conv(const std::string& x, std::int64_t out, int size = 3, int stride = 1) {
    return conv(x, out, cube(graph.dims, size, stride));
  }
  std::string conv_transpose(const std::string& x, std::int64_t out, const Window& window, bool bias = false) {
    return product("conv_transpose", x, out, {window.volume(), channels_.at(x), out}, window, bias);
  }
  std::string conv_transpose(const std::string& x, std::int64_t out, int size = 2, int stride = 2) {
    return conv_transpose(x, out, cube(graph.dims, size, stride));
  }
  /// A convolution of any kind, whose channels fall into groups.
  std::string grouped(const std::string& op, const std::string& x, std::int64_t out, const Window& window,
                      std::int64_t groups = 1, bool bias = false) {
    std::string name = product(op, x, out, {window.volume(), channels_.at(x) / groups, out}, window, bias);
    graph.nodes.back().attributes["groups"] = groups;
    return name;
  }
  std::string linear(const std::string& x, std::int64_t out, bool bias = true) {
    return product("linear", x, out, {out, channels_.at(x)}, {}, bias);
  }

  /// Scale 1, 1/2 or 1/4 (running_var 1, 4 or 16 without eps); mean and bias whole.
  std::string batch_norm(const std::string& x) {
    const std::int64_t channels = channels_.at(x);
    Node& node = add_node("batch_norm", {x}, channels);
    node.attributes = {{"eps", 0.0}};
    for (const char* role : {"weight", "bias", "running_mean", "running_var"}) {
      std::vector<float> values;
      for (std::int64_t c = 0; c < channels; ++c) {
        const float whole = number(-2, 2);
        values.push_back(std::string(role) == "weight"        ? 1.0f
                         : std::string(role) == "running_var" ? (whole < 0   ? 1.0f
                                                                 : whole > 0 ? 4.0f
                                                                             : 16.0f)
                                                              : whole);
      }
      node.parameters[role] = node.name + "." + role;
      parameters.emplace(node.name + "." + role, Array::from(values, {channels}));
    }
    return node.name;
  }

  std::string relu(const std::string& x) { return add_node("relu", {x}, channels_.at(x)).name; }
  std::string relu6(const std::string& x) { return add_node("relu6", {x}, channels_.at(x)).name; }
  std::string leaky_relu(const std::string& x) {
    Node& node = add_node("leaky_relu", {x}, channels_.at(x));
    node.attributes = {{"slope", 0.25}};
    return node.name;
  }
  std::string add(const std::string& a, const std::string& b) { return add_node("add", {a, b}, channels_.at(a)).name; }
  std::string cat(const std::vector<std::string>& parts) {
    std::int64_t channels = 0;
    for (const std::string& part : parts) channels += channels_.at(part);
    return add_node("cat", parts, channels).name;
  }

  /// The network whose output is `output`, behind a profile of as many columns as it has channels, if points have so
  /// few.
  Model model(const std::string& output) {
    graph.outputs = {output};
    std::optional<Profile> profile;
    const auto columns = static_cast<std::size_t>(graph.inputs.front().channels);
    if (graph.inputs.size() == 1 && columns >= 3) profile = Profile{"plain", {}, std::vector(columns, 1.0f), {}};
    std::vector<ClassInfo> classes;
    for (std::int64_t c = 0; c < channels_.at(output); ++c)
      classes.push_back({"class " + std::to_string(c), static_cast<std::uint32_t>(c + 1), {1, 2, 3}});
    return {"test", graph, parameters, profile, classes};
  }

  /// A node of any kind, to be changed by the caller.
  Node& add_node(const std::string& op, std::vector<std::string> inputs, std::int64_t channels) {
    Node node;
    node.name = op + std::to_string(graph.nodes.size());
    node.op = op;
    node.inputs = std::move(inputs);
    channels_[node.name] = channels;
    graph.nodes.push_back(node);
    return graph.nodes.back();
  }

  Graph graph;
  Parameters parameters;

 private:
  float number(int lowest, int highest) {
    return static_cast<float>(lowest + static_cast<int>(random_() % static_cast<unsigned>(highest - lowest + 1)));
  }

  Array whole_numbers(Shape shape) {
    Array array(std::move(shape), DType::kF32);
    std::generate_n(array.data<float>(), array.count(), [&] { return number(-1, 1); });
    return array;
  }

  std::string product(const std::string& op, const std::string& x, std::int64_t out, Shape shape, const Window& window,
                      bool bias) {
    Node& node = add_node(op, {x}, out);
    if (op != "linear") node.attributes = attributes_of(window);
    node.parameters["weight"] = node.name + ".weight";
    parameters.emplace(node.name + ".weight", whole_numbers(std::move(shape)));
    if (bias) {
      node.parameters["bias"] = node.name + ".bias";
      parameters.emplace(node.name + ".bias", whole_numbers({out}));
    }
    return node.name;
  }

  std::mt19937 random_;
  std::map<std::string, std::int64_t> channels_;
};

/// A cloud with whole features of [-3, 3] on the CPU. With `with_shape` it begins at 0 and knows its extent.
inline SparseTensor whole_tensor(int dims, std::size_t rows, std::int64_t channels, unsigned seed,
                                 bool with_shape = false) {
  const oracle::Coords cloud = test_data::cloud(dims, rows, seed, with_shape ? 0 : -3);
  std::vector<std::int32_t> coords;
  for (const auto& c : cloud) coords.insert(coords.end(), c.begin(), c.end());
  std::mt19937 random(seed);
  std::vector<float> features(cloud.size() * static_cast<std::size_t>(channels));
  for (float& x : features) x = static_cast<float>(random() % 7) - 3;
  SparseTensor::Options options;
  if (with_shape) {
    options.shape.emplace(SparseTensor::Extents{1, 1, 1, 1});
    const std::vector<int> shape = test_data::shape_of(cloud);
    std::copy(shape.begin(), shape.end(), options.shape->begin());
  }
  const auto n = static_cast<std::int64_t>(cloud.size());
  return {Array::from(coords, {n, dims + 1}), Array::from(features, {n, channels}), options};
}

}  // namespace voxshift
