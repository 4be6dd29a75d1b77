#include <voxshift/graph/product.h>
#include <voxshift/networks/network_builder.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace voxshift {

NetworkBuilder::NetworkBuilder(InputKind input, std::int64_t in_channels, Seed seed) {
  if (seed) random_.emplace(*seed);
  network_.graph.inputs = {{kGraphInput, input, in_channels}};
  network_.graph.dims = input == InputKind::kFrames ? 2 : 3;
  channels_[kGraphInput] = in_channels;
}

std::string NetworkBuilder::add(const std::string& name, const std::string& op, std::vector<std::string> inputs) {
  const std::int64_t first = channels_.at(inputs[0]);
  std::int64_t out = first;
  if (op == "cat")
    for (std::size_t i = 1; i < inputs.size(); ++i) out += channels_.at(inputs[i]);
  if (op == "coordinates" || op == "cylindrical" || op == "furthest_point_sample" || op == "voxel_offsets") out = 3;
  if (op == "group") out = 3 + first;
  if (op == "matmul_clouds") out = channels_.at(inputs[1]) / first;
  channels_[name] = out;
  Node added;
  added.name = name;
  added.op = op;
  added.inputs = std::move(inputs);
  network_.graph.nodes.push_back(std::move(added));
  return name;
}

void NetworkBuilder::uniform(const std::string& name, Shape shape, double bound) {
  Array values(std::move(shape), DType::kF32);
  for (std::int64_t i = 0; random_ && i < values.count(); ++i) {
    const double unit = static_cast<double>((*random_)() >> 11) * 0x1p-53;
    values.data<float>()[i] = static_cast<float>((2 * unit - 1) * bound);
  }
  network_.parameters.emplace(name, values);
}

void NetworkBuilder::constant(const std::string& name, std::int64_t count, float value) {
  Array values({count}, DType::kF32);
  if (random_) std::fill_n(values.data<float>(), count, value);
  network_.parameters.emplace(name, values);
}

std::string NetworkBuilder::conv(const std::string& name, const std::string& x, std::int64_t out, int size, int stride,
                                 const std::string& op, const char* weight_role, bool bias) {
  Window window;
  window.size = {size, size, size, 1};
  window.stride = {stride, stride, stride, 1};
  return conv(name, x, out, window, op, weight_role, bias);
}

std::string NetworkBuilder::conv(const std::string& name, const std::string& x, std::int64_t out, const Window& window,
                                 const std::string& op, const char* weight_role, bool bias) {
  const std::int64_t in = channels_.at(x), volume = window.volume();
  add(name, op, {x});
  channels_[name] = out;
  node().attributes = attributes_of(window);
  const double bound = 1 / std::sqrt(static_cast<double>((op == "conv" ? in : out) * volume));
  const std::string weight = name + "." + weight_role;
  node().parameters = {{"weight", weight}};
  uniform(weight, volume == 1 ? Shape{in, out} : Shape{volume, in, out}, bound);
  if (bias) {
    node().parameters["bias"] = name + ".bias";
    uniform(name + ".bias", {out}, bound);
  }
  return name;
}

std::string NetworkBuilder::conv2d(const std::string& name, const std::string& x, std::int64_t out, int kernel,
                                   int stride, std::int64_t groups, std::optional<float> bias) {
  const std::int64_t in = channels_.at(x) / groups;
  add(name, "conv2d", {x});
  channels_[name] = out;
  node().attributes = {{"stride", std::int64_t{stride}},
                       {"padding", std::int64_t{kernel % 2 == 1 ? kernel / 2 : 0}},
                       {"groups", groups}};
  node().parameters = {{"weight", name + ".weight"}};
  // U(-b, b) has the variance b^2 / 3.
  uniform(name + ".weight", {out, in, kernel, kernel}, std::sqrt(6.0 / static_cast<double>(in * kernel * kernel)));
  if (bias) {
    node().parameters["bias"] = name + ".bias";
    constant(name + ".bias", out, *bias);
  }
  return name;
}

std::string NetworkBuilder::conv_transpose2d(const std::string& name, const std::string& x, std::int64_t out,
                                             int kernel) {
  const std::int64_t in = channels_.at(x);
  add(name, "conv_transpose2d", {x});
  channels_[name] = out;
  node().parameters = {{"weight", name + ".weight"}};
  uniform(name + ".weight", {in, out, kernel, kernel}, std::sqrt(6.0 / static_cast<double>(in)));
  return name;
}

std::string NetworkBuilder::bird_eye_view(const std::string& name, const std::string& x,
                                          const std::array<std::int64_t, 3>& extents) {
  add(name, "bird_eye_view", {x});
  node().attributes = {{"shape", PerAxis(extents.begin(), extents.end())}};
  channels_[name] = channels_.at(x) * extents[2];
  return name;
}

std::string NetworkBuilder::max_pool2d(const std::string& name, const std::string& x, const Window2d& window) {
  add(name, "max_pool2d", {x});
  node().attributes = {{"kernel_size", window.kernel}, {"stride", window.stride}, {"padding", window.padding}};
  return name;
}

std::string NetworkBuilder::temporal_shift(const std::string& name, const std::string& x, const TemporalShift& shift) {
  add(name, "temporal_shift", {x});
  node().attributes = {{"shift_div", shift.shift_div}, {"bidirectional", shift.bidirectional}};
  return name;
}

std::string NetworkBuilder::linear(const std::string& name, const std::string& x, std::int64_t out, bool bias) {
  const std::int64_t in = channels_.at(x);
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  add(name, "linear", {x});
  channels_[name] = out;
  node().parameters = {{"weight", name + ".weight"}};
  uniform(name + ".weight", {out, in}, bound);
  if (bias) {
    node().parameters["bias"] = name + ".bias";
    uniform(name + ".bias", {out}, bound);
  }
  return name;
}

std::string NetworkBuilder::norm(const std::string& name, const std::string& x, float eps) {
  const std::int64_t count = channels_.at(x);
  add(name, "batch_norm", {x});
  node().attributes = {{"eps", double{eps}}};
  for (const auto& [role, value] : {std::pair("weight", 1.0f), std::pair("bias", 0.0f), std::pair("running_mean", 0.0f),
                                    std::pair("running_var", 1.0f)}) {
    const std::string tensor = name + "." + role;
    node().parameters[role] = tensor;
    constant(tensor, count, value);
  }
  return name;
}

std::string NetworkBuilder::columns(const std::string& name, const std::string& x, std::int64_t first,
                                    std::int64_t count) {
  add(name, "columns", {x});
  node().attributes = {{"first", first}, {"count", count}};
  channels_[name] = count;
  return name;
}

void NetworkBuilder::share(const std::string& name) {
  for (auto& [role, tensor] : node().parameters) {
    network_.parameters.erase(tensor);
    tensor = name + "." + role;
  }
}

Network NetworkBuilder::take(std::vector<std::string> outputs) {
  network_.graph.outputs = std::move(outputs);
  return std::move(network_);
}

}  // namespace voxshift
