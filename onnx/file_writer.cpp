#include <voxshift/onnx/file_writer.h>

#include <algorithm>

namespace voxshift::onnx {
namespace {

constexpr int kF32 = 1, kI64 = 7;
constexpr std::int64_t kFormat = 8;  // of ONNX 1.10 to 1.13
constexpr std::int64_t kFormatOfOpset20 = 9;

onnx_file::Attribute& attribute_of(onnx_file::Node& node, const char* name, int type) {
  onnx_file::Attribute& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

void set_dims(onnx_file::Tensor& tensor, const Shape& shape) {
  for (const std::int64_t extent : shape) tensor.add_dims(extent);
}

void set_shape(onnx_file::ValueInfo& info, std::int64_t channels, bool image, Extent2d extent) {
  onnx_file::TensorType& type = *info.mutable_type()->mutable_tensor_type();
  type.set_elem_type(kF32);
  onnx_file::Shape& shape = *type.mutable_shape();
  shape.add_dim()->set_dim_param("N");
  shape.add_dim()->set_dim_value(channels);
  if (!image) return;
  for (const auto& [size, name] : {std::pair(extent.height, "height"), std::pair(extent.width, "width")}) {
    onnx_file::Dimension& dim = *shape.add_dim();
    if (size > 0) {
      dim.set_dim_value(size);
    } else if (extent.height == 0) {
      dim.set_dim_param(info.name() + "." + name);
    }
  }
}

}  // namespace

void set(onnx_file::Node& node, const char* name, std::int64_t value) { attribute_of(node, name, 2).set_i(value); }

void set(onnx_file::Node& node, const char* name, double value) {
  attribute_of(node, name, 1).set_f(static_cast<float>(value));
}

void set(onnx_file::Node& node, const char* name, const char* value) { attribute_of(node, name, 3).set_s(value); }

void set(onnx_file::Node& node, const char* name, const std::vector<std::int64_t>& values) {
  onnx_file::Attribute& attribute = attribute_of(node, name, 7);
  for (const std::int64_t value : values) attribute.add_ints(value);
}

onnx_file::Node& FileWriter::add(const char* op, const std::vector<std::string>& inputs, const std::string& output) {
  onnx_file::Node& node = *model_.mutable_graph()->add_node();
  node.set_name(output);
  node.set_op_type(op);
  for (const std::string& input : inputs) node.add_input(input);
  while (node.input_size() > 0 && node.input(node.input_size() - 1).empty()) node.mutable_input()->RemoveLast();
  node.add_output(output);
  return node;
}

std::string FileWriter::unique(const std::string& name) {
  const auto taken = [&](const std::string& one) {
    return tensors_.contains(one) || values_.types.contains(one) || parameters_.contains(one);
  };
  std::string result = name;
  for (int number = 2; taken(result); ++number) result = name + "." + std::to_string(number);
  tensors_.insert(result);
  return result;
}

std::string FileWriter::numbers(const std::string& name, const std::vector<std::int64_t>& values) {
  onnx_file::Tensor& tensor = *model_.mutable_graph()->add_initializer();
  tensor.set_name(unique(name));
  tensor.set_data_type(kI64);
  tensor.add_dims(static_cast<std::int64_t>(values.size()));
  tensor.set_raw_data(values.data(), values.size() * sizeof(std::int64_t));
  return tensor.name();
}

std::string FileWriter::numbers(const std::string& name, const std::vector<float>& values, const Shape& shape) {
  onnx_file::Tensor& tensor = *model_.mutable_graph()->add_initializer();
  tensor.set_name(unique(name));
  tensor.set_data_type(kF32);
  set_dims(tensor, shape);
  tensor.set_raw_data(values.data(), values.size() * sizeof(float));
  return tensor.name();
}

std::string FileWriter::parameter(const Node& node, const char* role, const Shape& shape) {
  const auto named = node.parameters.find(role);
  if (named == node.parameters.end()) return "";
  const Array& array = parameters_.at(named->second);
  const Shape wanted = shape.empty() ? array.shape() : shape;
  const auto [known, added] = written_.emplace(named->second, wanted);
  if (!added && known->second == wanted) return named->second;
  onnx_file::Tensor& tensor = *model_.mutable_graph()->add_initializer();
  const bool own_name = added && !values_.types.contains(named->second) && !tensors_.contains(named->second);
  tensor.set_name(own_name ? named->second : unique(named->second));
  if (added && !own_name) written_.erase(named->second);
  tensor.set_data_type(kF32);
  set_dims(tensor, wanted);
  tensor.set_raw_data(array.memory(), array.bytes());
  return tensor.name();
}

std::string FileWriter::with_pixels(const std::string& value, const std::string& name) {
  std::string result = unique(name + ".pixels");
  add("Unsqueeze", {value, numbers(name + ".axes", std::vector<std::int64_t>{2, 3})}, result);
  return result;
}

onnx_file::Model FileWriter::finished(Extent2d frame) {
  model_.set_ir_version(opset_ >= 20 ? kFormatOfOpset20 : kFormat);
  model_.set_producer_name("voxshift");
  model_.add_opset_import()->set_version(opset_);
  onnx_file::Graph& graph = *model_.mutable_graph();
  graph.set_name("network");
  onnx_file::ValueInfo& input = *graph.add_input();
  input.set_name(graph_.input().name);
  set_shape(input, graph_.input().channels, true, frame);
  for (const std::string& output : graph_.outputs) {
    onnx_file::ValueInfo& info = *graph.add_output();
    info.set_name(output);
    set_shape(info, channels(output), is_image(output), values_.domains[values_.at(output).domain].extent);
  }
  return std::move(model_);
}

}  // namespace voxshift::onnx
