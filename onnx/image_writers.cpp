// Windows, products and what moves numbers, as ONNX nodes.
#include <voxshift/onnx/file_writer.h>

#include <map>

namespace voxshift::onnx {
namespace {

using Numbers = std::vector<std::int64_t>;

Numbers numbers_of(const PerAxis& axes) { return {axes[0], axes[1]}; }
Numbers around(const PerAxis& padding) { return {padding[0], padding[1], padding[0], padding[1]}; }

/// `stride`, which of 0 is that of the window.
Numbers stride_of(const Node& node, const Numbers& window) {
  const PerAxis& stride = node.per_axis("stride");
  return {stride[0] > 0 ? stride[0] : window[0], stride[1] > 0 ? stride[1] : window[1]};
}

void expect_image(const FileWriter& writer, const Node& node) {
  check(writer.is_image(node.inputs.front()), "[onnx] node \"", node.name, "\" (", node.op,
        ") of what was pooled over a frame has no counterpart in ONNX");
}

void write_conv2d(FileWriter& writer, const Node& node) {
  const std::string weight = writer.parameter(node, "weight");
  onnx_file::Node& made = writer.add("Conv", {node.inputs[0], weight, writer.parameter(node, "bias")}, node.name);
  set(made, "strides", numbers_of(node.per_axis("stride")));
  set(made, "pads", around(node.per_axis("padding")));
  set(made, "dilations", numbers_of(node.per_axis("dilation")));
  set(made, "group", node.whole("groups"));
}

void write_conv_transpose2d(FileWriter& writer, const Node& node) {
  const Shape kernel = writer.shape_of(node, "weight");
  const std::string weight = writer.parameter(node, "weight");
  onnx_file::Node& made =
      writer.add("ConvTranspose", {node.inputs[0], weight, writer.parameter(node, "bias")}, node.name);
  set(made, "strides", stride_of(node, {kernel[2], kernel[3]}));
  set(made, "pads", around(node.per_axis("padding")));
  set(made, "output_padding", numbers_of(node.per_axis("output_padding")));
  set(made, "dilations", numbers_of(node.per_axis("dilation")));
  set(made, "group", node.whole("groups"));
}

void write_linear(FileWriter& writer, const Node& node) {
  const Shape matrix = writer.shape_of(node, "weight");
  const std::string bias = writer.parameter(node, "bias");
  if (writer.is_image(node.inputs[0])) {
    writer.add("Conv", {node.inputs[0], writer.parameter(node, "weight", {matrix[0], matrix[1], 1, 1}), bias},
               node.name);
    return;
  }
  set(writer.add("Gemm", {node.inputs[0], writer.parameter(node, "weight"), bias}, node.name), "transB",
      std::int64_t{1});
}

void write_max_pool2d(FileWriter& writer, const Node& node) {
  const std::int64_t kernel = node.whole("kernel_size"), stride = node.whole("stride"), padding = node.whole("padding");
  onnx_file::Node& made = writer.add("MaxPool", {node.inputs[0]}, node.name);
  set(made, "kernel_shape", Numbers{kernel, kernel});
  set(made, "strides", Numbers{stride, stride});
  set(made, "pads", Numbers(4, padding));
}

void write_avg_pool2d(FileWriter& writer, const Node& node) {
  const Numbers kernel = numbers_of(node.per_axis("kernel_size"));
  onnx_file::Node& made = writer.add("AveragePool", {node.inputs[0]}, node.name);
  set(made, "kernel_shape", kernel);
  set(made, "strides", stride_of(node, kernel));
  set(made, "pads", around(node.per_axis("padding")));
  set(made, "count_include_pad", std::int64_t{node.flag("count_include_pad")});
}

void write_pooled(FileWriter& writer, const Node& node, const char* op) {
  expect_image(writer, node);
  const std::string pixel = writer.new_value(node.name + ".pixel");
  writer.add(op, {node.inputs[0]}, pixel);
  set(writer.add("Flatten", {pixel}, node.name), "axis", std::int64_t{1});
}

void write_avg_pool(FileWriter& writer, const Node& node) { write_pooled(writer, node, "GlobalAveragePool"); }
void write_max_pool(FileWriter& writer, const Node& node) { write_pooled(writer, node, "GlobalMaxPool"); }

void write_sum_pool(FileWriter& writer, const Node& node) {
  expect_image(writer, node);
  const std::string axes = writer.numbers(node.name + ".axes", Numbers{2, 3});
  set(writer.add("ReduceSum", {node.inputs[0], axes}, node.name), "keepdims", std::int64_t{0});
}

void write_pad(FileWriter& writer, const Node& node) {
  const auto side = [&](const char* name) { return node.whole(name); };
  const Numbers pads{0, 0, side("top"), side("left"), 0, 0, side("bottom"), side("right")};
  set(writer.add("Pad", {node.inputs[0], writer.numbers(node.name + ".pads", pads)}, node.name), "mode", "constant");
}

/// Axes [first, last) of a value's shape, as a value.
std::string shape_part(FileWriter& writer, const std::string& value, const std::string& name, std::int64_t first,
                       std::int64_t last) {
  const std::string shape = writer.new_value(name + ".shape");
  std::string part = writer.new_value(name + ".part");
  writer.add("Shape", {value}, shape);
  writer.add("Slice",
             {shape, writer.numbers(name + ".first", Numbers{first}), writer.numbers(name + ".last", Numbers{last})},
             part);
  return part;
}

void write_upsample(FileWriter& writer, const Node& node) {
  const PerAxis &scale = node.per_axis("scale_factor"), &size = node.per_axis("size");
  std::string scales, sizes;
  if (scale[0] > 0) {
    scales =
        writer.numbers(node.name + ".scales", {1, 1, static_cast<float>(scale[0]), static_cast<float>(scale[1])}, {4});
  } else {
    const std::string kept = shape_part(writer, node.inputs[0], node.name, 0, 2);
    sizes = writer.new_value(node.name + ".sizes");
    set(writer.add("Concat", {kept, writer.numbers(node.name + ".size", numbers_of(size))}, sizes), "axis",
        std::int64_t{0});
  }
  onnx_file::Node& made = writer.add("Resize", {node.inputs[0], "", scales, sizes}, node.name);
  const bool nearest = node.word("mode") == "nearest";
  set(made, "mode", nearest ? "nearest" : "linear");
  set(made, "coordinate_transformation_mode",
      nearest                      ? "asymmetric"
      : node.flag("align_corners") ? "align_corners"
                                   : "half_pixel");
  if (nearest) set(made, "nearest_mode", "floor");
}

void write_columns(FileWriter& writer, const Node& node) {
  const std::int64_t first = node.whole("first");
  writer.add("Slice",
             {node.inputs[0], writer.numbers(node.name + ".first", Numbers{first}),
              writer.numbers(node.name + ".last", Numbers{first + node.whole("count")}),
              writer.numbers(node.name + ".axes", Numbers{1})},
             node.name);
}

void write_cat(FileWriter& writer, const Node& node) {
  set(writer.add("Concat", node.inputs, node.name), "axis", std::int64_t{1});
}

void write_scale(FileWriter& writer, const Node& node) {
  const bool image = writer.is_image(node.inputs[0]);
  writer.add("Mul", {node.inputs[0], image ? writer.with_pixels(node.inputs[1], node.name) : node.inputs[1]},
             node.name);
}

void write_broadcast(FileWriter& writer, const Node& node) {
  if (!writer.is_image(node.inputs[1])) {
    writer.add("Identity", {node.inputs[0]}, node.name);
    return;
  }
  const std::string pixels = shape_part(writer, node.inputs[1], node.name, 2, 4),
                    shape = writer.new_value(node.name + ".extent");
  set(writer.add("Concat", {writer.numbers(node.name + ".ones", Numbers{1, 1}), pixels}, shape), "axis",
      std::int64_t{0});
  writer.add("Expand", {writer.with_pixels(node.inputs[0], node.name), shape}, node.name);
}

}  // namespace

NodeWriter find_image_writer(const std::string& op) {
  static const std::map<std::string, NodeWriter> writers{{"conv2d", write_conv2d},
                                                         {"conv_transpose2d", write_conv_transpose2d},
                                                         {"linear", write_linear},
                                                         {"max_pool2d", write_max_pool2d},
                                                         {"avg_pool2d", write_avg_pool2d},
                                                         {"avg_pool", write_avg_pool},
                                                         {"max_pool", write_max_pool},
                                                         {"sum_pool", write_sum_pool},
                                                         {"pad", write_pad},
                                                         {"upsample", write_upsample},
                                                         {"columns", write_columns},
                                                         {"cat", write_cat},
                                                         {"scale", write_scale},
                                                         {"broadcast", write_broadcast}};
  const auto found = writers.find(op);
  return found == writers.end() ? nullptr : found->second;
}

}  // namespace voxshift::onnx
