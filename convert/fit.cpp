#include <voxshift/convert/fit.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

namespace voxshift {
namespace {

constexpr const char* kBatchCount = "num_batches_tracked";

StoredAs stored_kernel(const Node& node, const Shape& shape, bool reversed_axes, KernelLayout layout) {
  const KernelShape kernel = kernel_shape(node, shape, reversed_axes);
  return {stored_shapes(kernel, layout),
          [kernel, layout](const Array& stored) { return from_layout(stored, kernel, layout); }};
}

// Of a tensor that lies as it is, but for its shape.
StoredAs stored_plain(const Node& node, const std::string& role, const Shape& shape) {
  StoredAs stored{{shape}, {}};
  if (node.op == "linear" && role == "weight")
    for (Shape longer = shape; longer.size() < 4;) {
      longer.push_back(1);
      stored.shapes.push_back(longer);
    }
  if (is_sparse_convolution(node) && role == "bias") stored.shapes.push_back({1, shape[0]});
  return stored;
}

const std::string& stored_name(const Places::value_type& entry) {
  return entry.second.name.empty() ? entry.first : entry.second.name;
}

// Tensors without a place in the network.
struct Rest {
  std::map<std::string, std::string> reasons;  // by tensor: why it is left out
  std::vector<std::string> unknown;
};

Rest rest_of(const Sketch& sketch, const Places& places, const StateDict& state) {
  Rest rest;
  std::set<std::string> used;
  for (const auto& entry : places) used.insert(stored_name(entry));
  for (const auto& [name, tensor] : state.tensors()) {
    if (used.contains(name)) continue;
    const auto known = std::find_if(sketch.left_out.begin(), sketch.left_out.end(),
                                    [&whole = name](const LeftOut& out) { return whole.starts_with(out.beginning); });
    if (known != sketch.left_out.end())
      rest.reasons[name] = known->reason;
    else if (name.ends_with(kBatchCount))
      rest.reasons[name] = "counts of batches, which only training uses";
    else
      rest.unknown.push_back(name);
  }
  return rest;
}

template <class... Parts>
std::string line_of(const Parts&... parts) {
  std::ostringstream line;
  (line << ... << parts);
  return line.str();
}

}  // namespace

Places places_of(const Sketch& sketch, KernelLayout layout) {
  Places places;
  for (const Node& node : sketch.network.graph.nodes)
    for (const auto& [role, tensor] : node.parameters) {
      const Shape& shape = sketch.network.parameters.at(tensor).shape();
      places.emplace(tensor, is_sparse_convolution(node) && role == "weight"
                                 ? stored_kernel(node, shape, sketch.reversed_axes, layout)
                                 : stored_plain(node, role, shape));
    }
  for (const auto& [tensor, stored] : sketch.stored) places[tensor] = stored;
  return places;
}

std::vector<std::string> misfits(const Sketch& sketch, const Places& places, const StateDict& state) {
  std::vector<std::string> lines;
  for (const auto& entry : places) {
    const std::string& name = stored_name(entry);
    const std::vector<Shape>& shapes = entry.second.shapes;
    const auto found = state.tensors().find(name);
    if (found == state.tensors().end())
      lines.push_back(line_of('"', state.prefix(), name, "\" is missing, expected ", shapes.front()));
    else if (std::find(shapes.begin(), shapes.end(), found->second.shape) == shapes.end())
      lines.push_back(line_of('"', state.prefix(), name, "\" is ", found->second.shape, ", expected ", shapes.front()));
  }
  for (const std::string& name : rest_of(sketch, places, state).unknown)
    lines.push_back(line_of('"', state.prefix(), name, "\" ", state.shape(name), " has no place in the network"));
  return lines;
}

std::vector<std::string> omissions(const Sketch& sketch, const Places& places, const StateDict& state) {
  std::map<std::string, std::pair<std::size_t, std::string>> groups;  // by reason: how many, the first one's name
  for (const auto& [name, reason] : rest_of(sketch, places, state).reasons) {
    auto& [count, first] = groups[reason];
    if (count++ == 0) first = name;
  }
  std::vector<std::string> lines;
  for (const auto& [reason, group] : groups)
    lines.push_back(line_of("left out ", group.first, group.first == 1 ? " tensor" : " tensors", ", ", reason, " (\"",
                            group.second, group.first == 1 ? "\")" : "\", ..)"));
  return lines;
}

Network filled(Sketch sketch, const Places& places, const StateDict& state) {
  for (const auto& entry : places) {
    Array& tensor = sketch.network.parameters.at(entry.first);
    const Shape shape = tensor.shape();
    const Array stored = state.f32(stored_name(entry));
    tensor = (entry.second.turned ? entry.second.turned(stored) : stored).reshaped(shape);
  }
  return std::move(sketch.network);
}

}  // namespace voxshift
