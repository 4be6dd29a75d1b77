#include <voxshift/onnx/graph_writer.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace voxshift::onnx {
namespace {

constexpr std::size_t kMostPieces = 16;        // of channels that are put together again, else a product does it
constexpr std::int64_t kMostReordered = 2048;  // channels that a product brings into another order

Array floats(const std::vector<float>& values) {
  return Array::from(values, {static_cast<std::int64_t>(values.size())});
}

bool same(const Array& a, const Array& b) {
  return a.shape() == b.shape() && (a.memory() == b.memory() || std::memcmp(a.memory(), b.memory(), a.bytes()) == 0);
}

/// Runs [first, count) of channels that follow one another.
std::vector<std::pair<std::int64_t, std::int64_t>> runs_of(const std::vector<std::int64_t>& channels) {
  std::vector<std::pair<std::int64_t, std::int64_t>> runs;
  for (const std::int64_t channel : channels) {
    if (!runs.empty() && runs.back().first + runs.back().second == channel) {
      ++runs.back().second;
    } else {
      runs.emplace_back(channel, 1);
    }
  }
  return runs;
}

bool is_identity(const std::vector<std::int64_t>& channels, std::int64_t all) {
  if (static_cast<std::int64_t>(channels.size()) != all) return false;
  for (std::size_t i = 0; i < channels.size(); ++i)
    if (channels[i] != static_cast<std::int64_t>(i)) return false;
  return true;
}

}  // namespace

std::string GraphWriter::tensor_name(const Tensor& tensor) {
  for (int number = 1;; ++number) {
    std::string name = number == 1 ? tensor.name : tensor.name + "." + std::to_string(number);
    const auto [at, added] = parameters_.emplace(name, tensor.array);
    if (added || same(at->second, tensor.array)) return name;
  }
}

std::string GraphWriter::add(const std::string& name, NewNode node) {
  const auto taken = [&](const std::string& one) {
    return makers_.contains(one) ||
           std::ranges::any_of(inputs_, [&](const GraphInput& input) { return input.name == one; });
  };
  std::string unique = name;
  for (int number = 2; taken(unique); ++number) unique = name + "." + std::to_string(number);
  Node made{unique, std::move(node.op), std::move(node.inputs), {}, std::move(node.attributes)};
  for (const Tensor& tensor : node.tensors) made.parameters.emplace(tensor.role, tensor_name(tensor));
  makers_.emplace(unique, nodes_.size());
  nodes_.push_back(std::move(made));
  return unique;
}

Part GraphWriter::apply(const Part& part, const std::string& name, const std::string& op, Attributes attributes) {
  Part result = part;
  result.name = add(name, {op, {part.name}, {}, std::move(attributes)});
  result.nonnegative = false;
  return result;
}

Part GraphWriter::affine(const Part& part, const std::string& name, const std::vector<float>& scale,
                         const std::vector<float>& shift) {
  const std::vector<float> zeros(scale.size(), 0), ones(scale.size(), 1);
  Part result = part;
  result.name = add(name, {"batch_norm",
                           {part.name},
                           {{"weight", name + ".weight", floats(scale)},
                            {"bias", name + ".bias", floats(shift)},
                            {"running_mean", name + ".running_mean", floats(zeros)},
                            {"running_var", name + ".running_var", floats(ones)}},
                           {{"eps", 0.0}}});
  result.nonnegative = false;
  return result;
}

Part GraphWriter::product(const Part& part, const std::string& name, Tensor weight, std::optional<Tensor> bias) {
  Part result = part;
  result.channels = weight.array.dim(0);
  result.nonnegative = false;
  NewNode node{"linear", {part.name}, {}, {}};
  if (part.is_image()) {
    node.op = "conv2d";
    weight.array = weight.array.reshaped({weight.array.dim(0), weight.array.dim(1), 1, 1});
  }
  node.tensors.push_back(std::move(weight));
  if (bias) node.tensors.push_back(std::move(*bias));
  result.name = add(name, std::move(node));
  return result;
}

Part GraphWriter::selected(const Part& part, const std::string& name, const std::vector<std::int64_t>& channels) {
  if (is_identity(channels, part.channels)) return part;
  const auto runs = runs_of(channels);
  Part result = part;
  result.channels = static_cast<std::int64_t>(channels.size());
  if (runs.size() <= kMostPieces) {
    std::vector<std::string> pieces;
    for (const auto& [first, count] : runs)
      pieces.push_back(add(name + ".columns", {"columns", {part.name}, {}, {{"first", first}, {"count", count}}}));
    result.name = pieces.size() == 1 ? pieces.front() : add(name + ".order", {"cat", pieces});
    return result;
  }
  check(std::max(part.channels, result.channels) <= kMostReordered, "brings ", channels.size(),
        " channels into another order, which is done for ", kMostReordered, " at most");
  Array matrix({result.channels, part.channels}, DType::kF32);
  std::fill_n(matrix.data<float>(), matrix.count(), 0.0f);
  for (std::int64_t i = 0; i < result.channels; ++i)
    matrix.data<float>()[i * part.channels + channels[static_cast<std::size_t>(i)]] = 1;
  Part ordered = product(part, name + ".order", {"weight", name + ".order.weight", matrix}, {});
  ordered.nonnegative = part.nonnegative;
  return ordered;
}

Part GraphWriter::in_order(const Part& part, const std::string& name) {
  Part result = selected(part, name, channel_order(part.view));
  result.view = with_channels_in_order(part.view);
  return result;
}

Part GraphWriter::as_row(const Part& part, const std::string& name) {
  if (!part.is_image() || part.extent.pixels() != 1) return part;
  Part result = part;
  result.name = add(name + ".row", {"avg_pool", {part.name}});
  result.rows = Rows::kFrame;
  result.extent = {};
  return result;
}

std::string GraphWriter::images_of(Extent2d extent) const {
  const auto found = images_.find({extent.height, extent.width});
  return found == images_.end() ? "" : found->second;
}

const Node* GraphWriter::maker_of(const std::string& value) const {
  const auto found = makers_.find(value);
  return found == makers_.end() ? nullptr : &nodes_[found->second];
}

Network GraphWriter::network(const std::vector<std::pair<std::string, std::string>>& outputs, int dims) const {
  std::map<std::string, std::string> names;
  for (const auto& [value, name] : outputs)
    if (makers_.contains(value)) names.emplace(value, name);
  // A value that has the name of an output and is another one makes room.
  for (const auto& [value, name] : outputs)
    if (makers_.contains(name) && !names.contains(name)) names.emplace(name, name + ".inner");
  const auto named = [&](const std::string& value) {
    const auto found = names.find(value);
    return found == names.end() ? value : found->second;
  };
  std::set<std::string> needed;
  std::vector<std::string> todo;
  Network network{{dims, inputs_, {}, {}}, {}};
  for (const auto& [value, name] : outputs) {
    todo.push_back(value);
    network.graph.outputs.push_back(named(value));
  }
  while (!todo.empty()) {
    const std::string value = std::move(todo.back());
    todo.pop_back();
    const Node* maker = maker_of(value);
    if (maker == nullptr || !needed.insert(value).second) continue;
    todo.insert(todo.end(), maker->inputs.begin(), maker->inputs.end());
  }
  for (const Node& made : nodes_) {
    if (!needed.contains(made.name)) continue;
    Node node = made;
    node.name = named(made.name);
    for (std::string& input : node.inputs) input = named(input);
    for (const auto& [role, tensor] : node.parameters) network.parameters.emplace(tensor, parameters_.at(tensor));
    network.graph.nodes.push_back(std::move(node));
  }
  return network;
}

}  // namespace voxshift::onnx
