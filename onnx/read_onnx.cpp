#include <voxshift/graph/op.h>
#include <voxshift/onnx/read_onnx.h>
#include <voxshift/onnx/sparse.h>

#include <algorithm>
#include <fstream>
#include <new>
#include <set>

namespace voxshift {
namespace onnx {
namespace {

constexpr std::int64_t kOldestOpset = 7;
constexpr char kFirstByte = 0x08;  // field 1, the version of the format, as a number

onnx_file::Model parsed(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  check<IoError>(std::filesystem::is_regular_file(path) && stream.good(), path.string(), ": cannot be read");
  onnx_file::Model model;
  check<IoError>(model.ParseFromIstream(&stream), path.string(), ": is no ONNX file, or ends early");
  check<IoError>(model.graph().node_size() > 0 && model.opset_import_size() > 0, path.string(),
                 ": is no ONNX file: it has no nodes or no opset");
  return model;
}

std::int64_t opset_of(const onnx_file::Model& model) {
  for (const onnx_file::OperatorSet& set : model.opset_import())
    if (set.domain().empty() || set.domain() == "ai.onnx") return set.version();
  return kOldestOpset;
}

Handler handler_of(const std::string& op) {
  for (const auto& find : {find_window_op, find_elementwise_op, find_shape_op, find_selection_op, find_resize_op,
                           find_product_op, find_sparse_op})
    if (Handler handler = find(op)) return handler;
  return nullptr;
}

/// The nodes that the outputs need.
std::vector<bool> needed_nodes(const onnx_file::Graph& graph, const std::vector<std::string>& outputs) {
  std::map<std::string, int> makers;
  for (int i = 0; i < graph.node_size(); ++i)
    for (const std::string& output : graph.node(i).output())
      if (!output.empty()) check(makers.emplace(output, i).second, "two nodes give the value \"", output, "\"");
  std::vector<bool> needed(static_cast<std::size_t>(graph.node_size()), false);
  std::vector<std::string> todo = outputs;
  while (!todo.empty()) {
    const auto maker = makers.find(todo.back());
    todo.pop_back();
    if (maker == makers.end() || needed[static_cast<std::size_t>(maker->second)]) continue;
    needed[static_cast<std::size_t>(maker->second)] = true;
    const auto& inputs = graph.node(maker->second).input();
    todo.insert(todo.end(), inputs.begin(), inputs.end());
  }
  return needed;
}

/// An extent that the file gives, or -1.
std::int64_t extent_of_input(const onnx_file::Shape& shape, int axis) {
  const onnx_file::Dimension& dim = shape.dim(axis);
  return dim.value_case() == onnx_file::Dimension::kDimValue && dim.dim_value() > 0 ? dim.dim_value() : -1;
}

/// The one input of a network on images, [N, C, H, W] or [N, H, W, C] with 1, 3 or 4 channels last.
Extent2d take_frames(Reading& reading, const onnx_file::Graph& graph, const OnnxOptions& options) {
  const onnx_file::ValueInfo* frames = nullptr;
  for (const onnx_file::ValueInfo& input : graph.input()) {
    if (reading.values.contains(input.name())) continue;  // an initializer
    check(frames == nullptr, "has the inputs \"", frames == nullptr ? "" : frames->name(), "\" and \"", input.name(),
          "\": networks on one image are converted");
    frames = &input;
  }
  check(frames != nullptr, "has no input");
  const onnx_file::Shape& shape = frames->type().tensor_type().shape();
  check(shape.dim_size() == 4, "input \"", frames->name(), "\" has ", shape.dim_size(),
        " axes: images [N, C, H, W] are converted");
  const auto few = [](std::int64_t channels) { return channels == 1 || channels == 3 || channels == 4; };
  const bool last = !few(extent_of_input(shape, 1)) && few(extent_of_input(shape, 3));
  const std::int64_t channels = extent_of_input(shape, last ? 3 : 1);
  Extent2d extent{extent_of_input(shape, last ? 1 : 2), extent_of_input(shape, last ? 2 : 3)};
  check(channels > 0, "input \"", frames->name(), "\" does not say its channels");
  if (options.frame && extent.height < 0) extent.height = options.frame->height;
  if (options.frame && extent.width < 0) extent.width = options.frame->width;
  check(extent.height > 0 && extent.width > 0, "input \"", frames->name(),
        "\" leaves its height and width open: give them by --preprocess");
  check(!options.frame || *options.frame == extent, "input \"", frames->name(), "\" takes ", extent.height, " x ",
        extent.width, " pixels, the preprocessing gives ", options.frame->height, " x ", options.frame->width);
  check(extent.height <= (1 << 16) && extent.width <= (1 << 16), "input \"", frames->name(), "\" takes ", extent.height,
        " x ", extent.width, " pixels");
  reading.batch = std::max<std::int64_t>(extent_of_input(shape, 0), 1);
  reading.graph.expect_input({kGraphInput, InputKind::kFrames, channels, {}});
  Part part;
  part.name = kGraphInput;
  part.channels = channels;
  part.extent = extent;
  part.view = image_view(reading.batch, channels, extent);
  if (last) part.view = transposed(part.view, {0, 2, 3, 1});
  Value value;
  value.parts.push_back(std::move(part));
  reading.values.insert_or_assign(frames->name(), std::move(value));
  return extent;
}

/// A node of which nothing can be told: what follows from it is outside of the network.
bool give_outside(Call& call) {
  bool outside = false;
  for (std::size_t i = 0; i < call.inputs(); ++i) outside |= call.given(i) && call.input(i).outside;
  if (!outside || call.node.op_type() == "ImplicitGemm" || call.node.op_type() == "IndiceConv") return false;
  for (int i = 0; i < call.node.output_size(); ++i) {
    Value value;
    value.outside = true;
    call.give(std::move(value), i);
  }
  call.reading.ops_before.push_back(call.node.op_type());
  return true;
}

void read_node(Reading& reading, const onnx_file::Node& node) {
  Call call(reading, node);
  if (give_outside(call)) return;
  bool constants = node.input_size() > 0 || node.op_type() == "Constant";
  for (std::size_t i = 0; i < call.inputs(); ++i) constants &= !call.given(i) || call.is_constant(i);
  Handler handler = constants ? find_fold(node.op_type()) : nullptr;
  if (handler == nullptr) handler = handler_of(node.op_type());
  call.expect(handler != nullptr, "has an op that is not converted",
              node.domain().empty() ? "" : ", of domain \"" + node.domain() + "\"");
  try {
    handler(call);
  } catch (const InvalidArgument& error) {
    call.expect(std::string(error.what()).starts_with("node "), error.what());
    throw;
  }
}

}  // namespace

/// What a file's outputs become, under which names.
class Importer {
 public:
  explicit Importer(Reading& reading) : reading_(reading) {}

  void add(const onnx_file::Node& nowhere, const std::string& name) {
    const auto found = reading_.values.find(name);
    check(found != reading_.values.end(), "output \"", name, "\" is given by no node");
    const Value& value = found->second;
    check(!value.parts.empty(), "output \"", name, "\" is no tensor that the network computes");
    Call call(reading_, nowhere);
    std::string text;
    bool usual = value.parts.size() == 1;
    for (std::size_t i = 0; i < value.parts.size(); ++i) {
      const std::string own = value.parts.size() == 1 ? name : name + "." + std::to_string(i);
      const Part part = plain(call, value.parts[i]);
      outputs_.emplace_back(part.name, own);
      extents_.push_back(part.extent);
      text += (text.empty() ? "" : ", ") + layout(own, part);
      usual &= !part.is_image() || part.view == image_view(reading_.batch, part.channels, part.extent);
    }
    std::ostringstream note;
    note << "output \"" << name << "\" " << value.shape() << " is given as " << text;
    if (!usual) reading_.note(note.str());
  }

  Network network() const { return reading_.graph.network(outputs_, reading_.dims == 0 ? 2 : reading_.dims); }
  const std::vector<Extent2d>& extents() const { return extents_; }

 private:
  static Part plain(const Call& call, const Part& given) {
    Part part = given.rows == Rows::kDense ? seen_from_above(call, given) : given;
    part = call.graph().in_order(part, "ordered");
    return part.view.rank() <= 2 ? call.graph().as_row(part, "output") : part;
  }

  /// "NAME" [H, W, C], and how the file orders its numbers.
  static std::string layout(const std::string& name, const Part& part) {
    std::ostringstream text;
    text << '"' << name << "\" ";
    if (part.is_image()) {
      text << Shape{part.extent.height, part.extent.width, part.channels};
    } else {
      text << Shape{part.channels};
    }
    const char* words[] = {"batch", "rows", "channels", "height", "width", "depth"};
    std::string order;
    for (const Axis& axis : part.view.axes)
      for (const Atom& atom : axis)
        order += (order.empty() ? "" : ", ") + std::string(words[static_cast<int>(atom.kind)]) + " " +
                 std::to_string(atom.extent);
    text << " (there: " << order << ")";
    return text.str();
  }

  Reading& reading_;
  std::vector<std::pair<std::string, std::string>> outputs_;
  std::vector<Extent2d> extents_;
};

namespace {

void take_initializers(Reading& reading, onnx_file::Graph& graph) {
  for (onnx_file::Tensor& tensor : *graph.mutable_initializer()) {
    Value value;
    value.constant = take_tensor(tensor);
    check(reading.values.emplace(tensor.name(), std::move(value)).second, "two initializers are called \"",
          tensor.name(), "\"");
  }
}

void note_sparse_input(Reading& reading) {
  if (!reading.ops_before.empty() && reading.features != kGraphInput) {
    std::vector<std::string> ops = reading.ops_before;
    std::ranges::sort(ops);
    ops.erase(std::unique(ops.begin(), ops.end()), ops.end());
    std::string text;
    for (const std::string& op : ops) text += (text.empty() ? "" : ", ") + op;
    reading.note("the network begins at \"" + reading.features + "\": what computes these features of voxels (" + text +
                 ") is left out");
  }
  if (reading.columns.empty()) return;
  std::string order;
  for (const int column : reading.columns)
    order += (order.empty() ? "" : ", ") + (column == kZeros ? std::string("batch") : std::to_string(column));
  reading.note("coordinates are columns " + order + " of the file's");
}

void check_result(OnnxNetwork& result, const std::vector<Extent2d>& extents) {
  Graph& graph = result.network.graph;
  const bool frames = graph.inputs.front().kind == InputKind::kFrames;
  const GraphValues values =
      check_graph(graph, result.network.parameters, frames ? FrameExtents{result.frame} : FrameExtents{});
  for (std::size_t i = 0; i < extents.size(); ++i) {
    const Domain& domain = values.domains[values.at(graph.outputs[i]).domain];
    check(domain.extent == extents[i] || extents[i].pixels() == 0 ||
              !values.domains.is_images(values.at(graph.outputs[i]).domain),
          "output \"", graph.outputs[i], "\" has ", domain.extent.height, " x ", domain.extent.width,
          " pixels, in the file ", extents[i].height, " x ", extents[i].width);
  }
}

OnnxNetwork read_model(onnx_file::Model& model, const OnnxOptions& options) {
  onnx_file::Graph& graph = *model.mutable_graph();
  OnnxNetwork result;
  Reading reading;
  reading.opset = opset_of(model);
  check(reading.opset >= kOldestOpset, "has opset ", reading.opset, ", from ", kOldestOpset, " on they are converted");
  result.source = "ONNX opset " + std::to_string(reading.opset);
  if (!model.producer_name().empty())
    result.source += ", by " + one_line(model.producer_name()) + " " + one_line(model.producer_version());
  std::vector<std::string> outputs = options.outputs;
  for (const onnx_file::ValueInfo& output : graph.output())
    if (options.outputs.empty()) outputs.push_back(output.name());
  check(!outputs.empty(), "has no outputs");
  take_initializers(reading, graph);
  if (is_sparse(graph)) {
    take_sparse_inputs(reading, graph);
  } else {
    result.frame = take_frames(reading, graph, options);
  }
  const std::vector<bool> needed = needed_nodes(graph, outputs);
  for (int i = 0; i < graph.node_size(); ++i)
    if (needed[static_cast<std::size_t>(i)]) read_node(reading, graph.node(i));
  Importer importer(reading);
  const onnx_file::Node nowhere;
  for (const std::string& output : outputs) importer.add(nowhere, output);
  note_sparse_input(reading);
  result.network = importer.network();
  result.notes = reading.notes;
  check_result(result, importer.extents());
  return result;
}

}  // namespace
}  // namespace onnx

bool is_onnx(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path)) return false;
  std::ifstream stream(path, std::ios::binary);
  return stream.get() == onnx::kFirstByte;
}

OnnxNetwork read_onnx(const std::filesystem::path& path, const OnnxOptions& options) {
  try {
    onnx_file::Model model = onnx::parsed(path);
    OnnxNetwork network = onnx::read_model(model, options);
    for (const onnx_file::Pair& pair : model.metadata_props()) network.metadata[pair.key()] = pair.value();
    return network;
  } catch (const IoError&) {
    throw;
  } catch (const Error& error) {
    throw IoError(path.string() + ": " + error.what());
  } catch (const std::bad_alloc&) {
    throw IoError(path.string() + ": not enough memory");
  }
}

}  // namespace voxshift
