// An ONNX file while it is made.
#pragma once

#include <onnx/onnx_file.pb.h>
#include <voxshift/graph/graph.h>
#include <voxshift/tensor/error.h>

#include <set>
#include <string>
#include <vector>

namespace voxshift::onnx {

class FileWriter {
 public:
  FileWriter(const Graph& graph, const Parameters& parameters, const GraphValues& values)
      : graph_(graph), parameters_(parameters), values_(values) {}

  const Graph& graph() const { return graph_; }
  const GraphValues& values() const { return values_; }
  bool is_image(const std::string& value) const { return values_.domains.is_images(values_.at(value).domain); }
  std::int64_t channels(const std::string& value) const { return values_.channels(value); }

  /// A node that gives `output`.
  onnx_file::Node& add(const char* op, const std::vector<std::string>& inputs, const std::string& output);

  /// Numbers of the file; the name with a number where another tensor has it.
  std::string numbers(const std::string& name, const std::vector<std::int64_t>& values);
  std::string numbers(const std::string& name, const std::vector<float>& values, const Shape& shape);

  /// A parameter of a node, in this shape or its own; empty where the node has none.
  std::string parameter(const Node& node, const char* role, const Shape& shape = {});

  /// The shape of a node's parameter.
  const Shape& shape_of(const Node& node, const char* role) const {
    return parameters_.at(node.parameters.at(role)).shape();
  }

  /// The name, with a number where another value or tensor has it.
  std::string new_value(const std::string& name) { return unique(name); }

  /// A value [N, C] as [N, C, 1, 1].
  std::string with_pixels(const std::string& value, const std::string& name);

  void needs_opset(std::int64_t opset) { opset_ = std::max(opset_, opset); }
  onnx_file::Model finished(Extent2d frame);

 private:
  std::string unique(const std::string& name);

  const Graph& graph_;
  const Parameters& parameters_;
  const GraphValues& values_;
  onnx_file::Model model_;
  std::map<std::string, Shape> written_;
  std::set<std::string> tensors_;
  std::int64_t opset_ = 13;
};

void set(onnx_file::Node& node, const char* name, std::int64_t value);
void set(onnx_file::Node& node, const char* name, double value);  ///< as f32
void set(onnx_file::Node& node, const char* name, const char* value);
void set(onnx_file::Node& node, const char* name, const std::vector<std::int64_t>& values);

/// Writes one node of a graph; null for an op that ONNX has not.
using NodeWriter = void (*)(FileWriter&, const Node&);
NodeWriter find_image_writer(const std::string& op);        ///< windows, products, what moves numbers
NodeWriter find_elementwise_writer(const std::string& op);  ///< functions of numbers, norms, sums

}  // namespace voxshift::onnx
