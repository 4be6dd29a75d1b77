#include <voxshift/onnx/sparse.h>

#include <algorithm>

namespace voxshift::onnx {
namespace {

constexpr int kInt32Elements = 6, kInt64Elements = 7;

bool is_grid(const Atom& atom) { return atom.kind >= Atom::Kind::kAxis0; }

/// The axis of the grid that an axis of the tensor is, or -1.
int grid_axis(const Axis& axis) {
  return axis.size() == 1 && is_grid(axis[0]) ? static_cast<int>(axis[0].kind) - static_cast<int>(Atom::Kind::kAxis0)
                                              : -1;
}

Axis grid_atoms(const Part& part, int axis) {
  const auto kind = static_cast<Atom::Kind>(static_cast<int>(Atom::Kind::kAxis0) + axis);
  return axis_of(kind, part.grid[static_cast<std::size_t>(axis)]);
}

/// An input that no initializer gives a value.
std::vector<const onnx_file::ValueInfo*> true_inputs(const onnx_file::Graph& graph) {
  std::vector<const onnx_file::ValueInfo*> inputs;
  for (const onnx_file::ValueInfo& input : graph.input())
    if (std::ranges::none_of(graph.initializer(), [&](const auto& one) { return one.name() == input.name(); }))
      inputs.push_back(&input);
  return inputs;
}

/// Channels of the features that a file for libspconv begins with: those of the layer that takes them.
std::int64_t channels_of_input(const onnx_file::Graph& graph, const std::string& input) {
  for (const onnx_file::Node& node : graph.node()) {
    if (node.op_type() != "SparseConvolution" || node.input_size() < 2 || node.input(0) != input) continue;
    for (const onnx_file::Tensor& tensor : graph.initializer())
      if (tensor.name() == node.input(1) && tensor.dims_size() >= 3) return tensor.dims(tensor.dims_size() - 1);
  }
  return 0;
}

}  // namespace

void give_columns(Call& call, const std::vector<std::int64_t>& columns, bool flat) {
  Value value = call.input(0);
  std::vector<int> kept;
  for (const std::int64_t column : columns) {
    call.expect(column >= 0 && column < static_cast<std::int64_t>(value.coordinates->columns.size()), "takes column ",
                column, " of coordinates ", value.shape());
    kept.push_back(value.coordinates->columns[static_cast<std::size_t>(column)]);
  }
  value.coordinates->columns = kept;
  value.coordinates->flat = flat;
  call.give(std::move(value));
}

void give_joined_coordinates(Call& call) {
  Value joined;
  joined.coordinates = CoordinateColumns{-1, {}, false};
  for (std::size_t i = 0; i < call.inputs(); ++i) {
    const Value& value = call.input(i);
    std::vector<int>& columns = joined.coordinates->columns;
    if (value.coordinates) {
      int& level = joined.coordinates->level;
      call.expect(!value.coordinates->flat && (level < 0 || level == value.coordinates->level),
                  "joins coordinates of other voxels");
      level = value.coordinates->level;
      columns.insert(columns.end(), value.coordinates->columns.begin(), value.coordinates->columns.end());
      continue;
    }
    call.expect(value.constant && value.shape() == Shape({kSomeRows, 1}) && value.constant->number(0) == 0,
                "joins coordinates with something else than zeros");
    columns.push_back(kZeros);
  }
  call.give(std::move(joined));
}

Part seen_from_above(const Call& call, const Part& part) {
  call.expect(part.view.rank() == 4, "takes a grid of voxels as ", part.view.shape(),
              ", where [N, C, H, W] is converted");
  // The two axes of the image; one of extent 1 has no atom and is the axis that is left.
  int rows = grid_axis(part.view.axes[2]), columns = grid_axis(part.view.axes[3]);
  for (int axis = 0; axis < 3; ++axis) {
    const bool elsewhere = std::ranges::any_of(part.view.axes[1], [&](const Atom& atom) {
      return static_cast<int>(atom.kind) == static_cast<int>(Atom::Kind::kAxis0) + axis;
    });
    if (elsewhere || axis == rows || axis == columns) continue;
    if (rows < 0 && part.view.axes[2].empty()) {
      rows = axis;
    } else if (columns < 0 && part.view.axes[3].empty()) {
      columns = axis;
    }
  }
  call.expect(rows >= 0 && columns >= 0 && rows != columns && part.view.axes[0].empty(), "takes a grid of voxels as ",
              part.view.shape(), ", whose last two axes are not two of the grid's");
  const int up = 3 - rows - columns;
  const std::int64_t depth = part.grid[static_cast<std::size_t>(up)];
  const int first = std::min(rows, columns), second = std::max(rows, columns);
  Part image = part;
  image.name =
      call.graph().add(call.name() + ".view",
                       {"bird_eye_view",
                        {part.name},
                        {},
                        {{"shape", PerAxis{part.grid[0], part.grid[1], part.grid[2]}}, {"axis", std::int64_t{up}}}});
  image.rows = Rows::kImage;
  image.channels = part.channels * depth;
  image.extent = {part.grid[static_cast<std::size_t>(first)], part.grid[static_cast<std::size_t>(second)]};
  Axis& channels = image.view.axes[1];
  for (Atom& atom : channels) {
    if (is_grid(atom)) {
      atom = {Atom::Kind::kChannels, depth, 1};
    } else {
      atom.step *= depth;
    }
  }
  const auto pixels = [&](int axis) {
    Axis atoms = grid_atoms(part, axis);
    for (Atom& atom : atoms) atom.kind = axis == first ? Atom::Kind::kAxis0 : Atom::Kind::kAxis1;
    return atoms;
  };
  image.view.axes[2] = pixels(rows);
  image.view.axes[3] = pixels(columns);
  return image;
}

Part as_image(const Call& call, const Part& part) {
  Part image = part.rows == Rows::kDense ? seen_from_above(call, part) : part;
  image = call.graph().in_order(image, call.name());
  if (image.view.rank() != 4 || image.rows == Rows::kVoxels) return image;
  const View plain = image.is_image() ? image_view(call.reading.batch, image.channels, image.extent)
                                      : frame_view(call.reading.batch, image.channels, true);
  call.expect(image.view == plain, "expects [N, C, H, W], found a tensor ", image.view.shape(),
              " whose axes lie in another order");
  return image;
}

bool is_sparse(const onnx_file::Graph& graph) {
  return std::ranges::any_of(graph.node(), [](const onnx_file::Node& node) {
    return node.op_type() == "SparseConvolution" || node.op_type() == "IndiceConv" || node.op_type() == "ImplicitGemm";
  });
}

void take_sparse_inputs(Reading& reading, const onnx_file::Graph& graph) {
  for (const onnx_file::ValueInfo* input : true_inputs(graph)) {
    Value value;
    const onnx_file::TensorType& type = input->type().tensor_type();
    const std::int64_t channels = channels_of_input(graph, input->name());
    const std::int64_t columns = type.shape().dim_size() == 2 ? type.shape().dim(1).dim_value() : 0;
    if (channels > 0) {
      check(!reading.graph.has_input(), "input \"", input->name(), "\": a second tensor of features is not converted");
      reading.features = input->name();
      reading.graph.expect_input({kGraphInput, InputKind::kVoxels, channels, {}});
      Part part;
      part.name = kGraphInput;
      part.rows = Rows::kVoxels;
      part.channels = channels;
      part.view = voxel_view(channels);
      value.parts.push_back(std::move(part));
    } else if ((type.elem_type() == kInt32Elements || type.elem_type() == kInt64Elements) && columns >= 2 &&
               columns <= 5) {
      value.coordinates.emplace();
      for (int column = 0; column < static_cast<int>(columns); ++column) value.coordinates->columns.push_back(column);
    } else {
      value.outside = true;
    }
    reading.values.insert_or_assign(input->name(), std::move(value));
  }
}

}  // namespace voxshift::onnx
