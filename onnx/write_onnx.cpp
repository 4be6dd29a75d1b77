#include <voxshift/files/atomic_file.h>
#include <voxshift/onnx/file_writer.h>
#include <voxshift/onnx/write_onnx.h>

#include <ostream>

namespace voxshift {
namespace {

constexpr std::size_t kMostBytes = (std::size_t{1} << 31) - (std::size_t{1} << 24);  // protobuf's messages end there

void write_node(onnx::FileWriter& writer, const Node& node) {
  onnx::NodeWriter write = onnx::find_image_writer(node.op);
  if (write == nullptr) write = onnx::find_elementwise_writer(node.op);
  check(write != nullptr, "[onnx] node \"", node.name, "\" (", node.op, ") has no counterpart in ONNX");
  write(writer, node);
}

}  // namespace

void write_onnx(const std::filesystem::path& path, const Network& network, Extent2d frame,
                const std::map<std::string, std::string>& metadata) {
  Graph graph = network.graph;
  check(graph.inputs.size() == 1 && graph.input().kind == InputKind::kFrames,
        "[onnx] expects a network on one input of frames, found ", graph.inputs.size(), " of ",
        name(graph.inputs.front().kind));
  const GraphValues values = check_graph(graph, network.parameters, {frame});
  std::size_t bytes = 0;
  for (const auto& [tensor, array] : network.parameters) bytes += array.bytes();
  check(bytes < kMostBytes, "[onnx] the tensors have ", bytes, " bytes, a file holds ", kMostBytes);
  onnx::FileWriter writer(graph, network.parameters, values);
  for (const Node& node : graph.nodes) write_node(writer, node);
  for (const std::string& output : graph.outputs)
    check(!graph.has_input(output), "[onnx] the output \"", output, "\" is an input");
  onnx_file::Model model = writer.finished(frame);
  for (const auto& [key, text] : metadata) {
    onnx_file::Pair& pair = *model.add_metadata_props();
    pair.set_key(key);
    pair.set_value(text);
  }
  write_atomically(path, [&](std::ostream& stream) {
    check<IoError>(model.SerializeToOstream(&stream), path.string(), ": cannot be written");
  });
}

}  // namespace voxshift
