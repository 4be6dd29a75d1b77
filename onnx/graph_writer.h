// The graph while an ONNX network is turned into it.
#pragma once

#include <voxshift/graph/network.h>
#include <voxshift/onnx/value.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace voxshift::onnx {

/// A tensor of a node: its role, the name it shall have, its numbers.
struct Tensor {
  const char* role;
  std::string name;
  Array array;
};

struct NewNode {
  std::string op;
  std::vector<std::string> inputs;
  std::vector<Tensor> tensors = {};
  Attributes attributes = {};
};

class GraphWriter {
 public:
  /// Adds the node and tells its name: `name`, with a number where another value has it.
  std::string add(const std::string& name, NewNode node);

  /// Adds a node that makes of one part another of the same rows, channels and view.
  Part apply(const Part& part, const std::string& name, const std::string& op, Attributes attributes = {});

  /// scale[c] * x + shift[c], channel by channel.
  Part affine(const Part& part, const std::string& name, const std::vector<float>& scale,
              const std::vector<float>& shift);

  /// A product of every row with a matrix [Cout, Cin], in the order of the part's channels. The view is that of x but
  /// for its channels, which the caller fills in.
  Part product(const Part& part, const std::string& name, Tensor weight, std::optional<Tensor> bias);

  /// The part with these of its channels, in this order; the caller fills in the view.
  Part selected(const Part& part, const std::string& name, const std::vector<std::int64_t>& channels);

  /// The same numbers with channels in the order of the view.
  Part in_order(const Part& part, const std::string& name);

  /// The row of the frame, of an image of one pixel; other parts as they are.
  Part as_row(const Part& part, const std::string& name);

  /// Images of this extent that exist already; empty where there are none.
  std::string images_of(Extent2d extent) const;
  void know_images(Extent2d extent, const std::string& value) {
    images_.emplace(std::pair(extent.height, extent.width), value);
  }

  /// The node that made a value; null for an input.
  const Node* maker_of(const std::string& value) const;

  void expect_input(GraphInput input) { inputs_.push_back(std::move(input)); }
  bool has_input() const { return !inputs_.empty(); }

  /// The graph of all that the values need, under these names.
  Network network(const std::vector<std::pair<std::string, std::string>>& outputs, int dims) const;

 private:
  std::string tensor_name(const Tensor& tensor);

  std::vector<GraphInput> inputs_;
  std::vector<Node> nodes_;
  Parameters parameters_;
  std::map<std::string, std::size_t> makers_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::string> images_;
};

}  // namespace voxshift::onnx
