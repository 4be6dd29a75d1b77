// Functions of numbers, norms and sums, as ONNX nodes.
#include <voxshift/onnx/file_writer.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace voxshift::onnx {
namespace {

constexpr double kNoLimit = 3e38;  // of `clip`

void write_relu(FileWriter& writer, const Node& node) { writer.add("Relu", node.inputs, node.name); }
void write_sigmoid(FileWriter& writer, const Node& node) { writer.add("Sigmoid", node.inputs, node.name); }
void write_tanh(FileWriter& writer, const Node& node) { writer.add("Tanh", node.inputs, node.name); }
void write_add(FileWriter& writer, const Node& node) { writer.add("Add", node.inputs, node.name); }
void write_subtract(FileWriter& writer, const Node& node) { writer.add("Sub", node.inputs, node.name); }
void write_multiply(FileWriter& writer, const Node& node) { writer.add("Mul", node.inputs, node.name); }

void write_softmax(FileWriter& writer, const Node& node) {
  set(writer.add("Softmax", node.inputs, node.name), "axis", std::int64_t{1});
}

void write_log_softmax(FileWriter& writer, const Node& node) {
  set(writer.add("LogSoftmax", node.inputs, node.name), "axis", std::int64_t{1});
}

void write_leaky_relu(FileWriter& writer, const Node& node) {
  set(writer.add("LeakyRelu", node.inputs, node.name), "alpha", static_cast<double>(node.number("slope")));
}

void write_elu(FileWriter& writer, const Node& node) {
  set(writer.add("Elu", node.inputs, node.name), "alpha", static_cast<double>(node.number("alpha")));
}

void write_gelu(FileWriter& writer, const Node& node) {
  writer.needs_opset(20);
  set(writer.add("Gelu", node.inputs, node.name), "approximate", node.word("approximate").c_str());
}

std::string hard_gate(FileWriter& writer, const Node& node, const std::string& output) {
  onnx_file::Node& made = writer.add("HardSigmoid", node.inputs, output);
  set(made, "alpha", 1.0 / 6);
  set(made, "beta", 0.5);
  return output;
}

void write_hard_sigmoid(FileWriter& writer, const Node& node) { hard_gate(writer, node, node.name); }

void write_hard_swish(FileWriter& writer, const Node& node) {
  const std::string gate = hard_gate(writer, node, writer.new_value(node.name + ".gate"));
  writer.add("Mul", {node.inputs[0], gate}, node.name);
}

void write_silu(FileWriter& writer, const Node& node) {
  const std::string gate = writer.new_value(node.name + ".gate");
  writer.add("Sigmoid", node.inputs, gate);
  writer.add("Mul", {node.inputs[0], gate}, node.name);
}

void write_clipped(FileWriter& writer, const Node& node, double lowest, double highest) {
  const auto limit = [&](const char* end, double value) {
    return std::abs(value) >= kNoLimit ? "" : writer.numbers(node.name + end, {static_cast<float>(value)}, {});
  };
  const std::string low = limit(".lowest", lowest), high = limit(".highest", highest);
  writer.add("Clip", {node.inputs[0], low, high}, node.name);
}

void write_relu6(FileWriter& writer, const Node& node) { write_clipped(writer, node, 0, 6); }

void write_clip(FileWriter& writer, const Node& node) {
  write_clipped(writer, node, static_cast<double>(node.number("lowest")), static_cast<double>(node.number("highest")));
}

void write_power(FileWriter& writer, const Node& node) {
  writer.add("Pow", {node.inputs[0], writer.numbers(node.name + ".exponent", {node.number("exponent")}, {})},
             node.name);
}

void write_prelu(FileWriter& writer, const Node& node) {
  const std::int64_t slopes = writer.shape_of(node, "weight")[0];
  const Shape shape = writer.is_image(node.inputs[0]) ? Shape{slopes, 1, 1} : Shape{slopes};
  writer.add("PRelu", {node.inputs[0], writer.parameter(node, "weight", shape)}, node.name);
}

void write_batch_norm(FileWriter& writer, const Node& node) {
  std::vector<std::string> inputs = node.inputs;
  for (const char* role : {"weight", "bias", "running_mean", "running_var"})
    inputs.push_back(writer.parameter(node, role));
  set(writer.add("BatchNormalization", inputs, node.name), "epsilon", static_cast<double>(node.number("eps")));
}

void write_instance_norm(FileWriter& writer, const Node& node) {
  const std::int64_t channels = writer.channels(node.inputs[0]);
  const auto numbers = [&](const char* role, float usual) {
    const std::string given = writer.parameter(node, role);
    const std::vector<float> all(static_cast<std::size_t>(channels), usual);
    return given.empty() ? writer.numbers(node.name + "." + role, all, {channels}) : given;
  };
  check(writer.is_image(node.inputs[0]), "[onnx] node \"", node.name,
        "\" (instance_norm) of what was pooled over a "
        "frame has no counterpart in ONNX");
  const std::string weight = numbers("weight", 1), bias = numbers("bias", 0);
  set(writer.add("InstanceNormalization", {node.inputs[0], weight, bias}, node.name), "epsilon",
      static_cast<double>(node.number("eps")));
}

}  // namespace

NodeWriter find_elementwise_writer(const std::string& op) {
  static const std::map<std::string, NodeWriter> writers{{"relu", write_relu},
                                                         {"relu6", write_relu6},
                                                         {"sigmoid", write_sigmoid},
                                                         {"tanh", write_tanh},
                                                         {"add", write_add},
                                                         {"subtract", write_subtract},
                                                         {"multiply", write_multiply},
                                                         {"softmax", write_softmax},
                                                         {"log_softmax", write_log_softmax},
                                                         {"leaky_relu", write_leaky_relu},
                                                         {"elu", write_elu},
                                                         {"gelu", write_gelu},
                                                         {"hard_sigmoid", write_hard_sigmoid},
                                                         {"hard_swish", write_hard_swish},
                                                         {"silu", write_silu},
                                                         {"clip", write_clip},
                                                         {"power", write_power},
                                                         {"prelu", write_prelu},
                                                         {"batch_norm", write_batch_norm},
                                                         {"instance_norm", write_instance_norm}};
  const auto found = writers.find(op);
  return found == writers.end() ? nullptr : found->second;
}

}  // namespace voxshift::onnx
