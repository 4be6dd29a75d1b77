// One node of an ONNX network while it is read.
#pragma once

#include <onnx/onnx_file.pb.h>
#include <voxshift/onnx/graph_writer.h>
#include <voxshift/tensor/error.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace voxshift::onnx {

/// What a whole network shares.
struct Reading {
  GraphWriter graph;
  std::map<std::string, Value> values;
  std::int64_t opset = 0;
  std::int64_t batch = 1;
  int dims = 0;  ///< of voxels, once a convolution tells
  std::vector<std::string> notes;

  // Of sparse networks, whose rows are voxels.
  std::map<std::string, std::shared_ptr<const Pairs>> rulebooks;  ///< by name
  std::vector<std::shared_ptr<const Pairs>> pairs;                ///< all that lead to levels of their own
  int levels = 1;
  std::string features;                 ///< the value that is the network's input
  std::vector<int> columns;             ///< the coordinates as the file's input has them
  std::vector<std::string> ops_before;  ///< what computes the features and is no part of the network

  void note(const std::string& text);  ///< once
};

class Call {
 public:
  Call(Reading& whole_network, const onnx_file::Node& of) : reading(whole_network), node(of) {}

  Reading& reading;
  const onnx_file::Node& node;

  GraphWriter& graph() const { return reading.graph; }
  std::int64_t opset() const { return reading.opset; }

  /// The name that a node of the graph gets: that of its weight without ".weight", else that of its value.
  std::string name() const;

  template <class... Parts>
  void expect(bool condition, const Parts&... parts) const {
    check(condition, where(), parts...);
  }

  std::size_t inputs() const { return static_cast<std::size_t>(node.input_size()); }
  bool given(std::size_t i) const { return i < inputs() && !node.input(static_cast<int>(i)).empty(); }
  const std::string& input_name(std::size_t i) const { return node.input(static_cast<int>(i)); }

  // Each throws where the input is missing or something else.
  const Value& input(std::size_t i) const;
  const Constant& constant(std::size_t i, const char* what) const;
  Part part(std::size_t i) const;                   ///< one tensor
  const Value& part_or_parts(std::size_t i) const;  ///< one, or several that lie one after the other
  Part image(std::size_t i) const;                  ///< [N, C, H, W] of pixels, or of frames as [N, C, 1, 1]
  bool is_constant(std::size_t i) const { return given(i) && input(i).constant.has_value(); }

  // Attributes, or what they are where they are not given.
  const onnx_file::Attribute* attribute(const char* name) const;
  std::int64_t whole(const char* name, std::int64_t usual) const;
  float number(const char* name, float usual) const;
  std::string word(const char* name, const char* usual) const;
  std::vector<std::int64_t> wholes(const char* name, std::vector<std::int64_t> usual = {}) const;

  /// An axis counted from the end where it is negative.
  std::size_t axis(std::int64_t given, std::size_t rank) const;

  /// Numbers of an attribute, or in later opsets of input `i`; none where neither is given.
  std::optional<std::vector<std::int64_t>> listed(const char* name, std::size_t i) const;

  void give(Value value, int output = 0);
  void give(Part part, int output = 0);
  void give(Constant constant, int output = 0);

  /// The tensor of that input, under its own name.
  Tensor tensor(const char* role, std::size_t i, const Array& array) const { return {role, input_name(i), array}; }

 private:
  std::string where() const;
};

/// The pixels of a part: channels in order, and of a grid of voxels its view from above.
Part as_image(const Call& call, const Part& part);

using Handler = void (*)(Call&);

// Ops, by the file that they are in. Each returns null for another name.
Handler find_fold(const std::string& op);  ///< of constants alone
Handler find_window_op(const std::string& op);
Handler find_elementwise_op(const std::string& op);
Handler find_shape_op(const std::string& op);
Handler find_selection_op(const std::string& op);
Handler find_resize_op(const std::string& op);
Handler find_product_op(const std::string& op);
Handler find_sparse_op(const std::string& op);

}  // namespace voxshift::onnx
