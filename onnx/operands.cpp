#include <voxshift/onnx/operands.h>

#include <algorithm>

namespace voxshift::onnx {
namespace {

/// The channel that an index into an axis begins at.
std::int64_t channel_at(const Axis& axis, std::int64_t index) {
  std::int64_t channel = 0;
  for (std::size_t i = axis.size(); i-- > 0;) {
    if (axis[i].kind == Atom::Kind::kChannels) channel += index % axis[i].extent * axis[i].step;
    index /= axis[i].extent;
  }
  return channel;
}

/// A node whose value is `op` of x, as exporters write functions that are x times another.
bool is_of(const Call& call, const std::string& value, const std::string& op, const std::string& x) {
  const Node* maker = call.graph().maker_of(value);
  return maker != nullptr && maker->op == op && maker->inputs.front() == x;
}

/// One of two tensors with the channels of the other, where it has one.
Part with_channels(const Call& call, const Part& part, std::int64_t channels) {
  if (part.channels != 1 || channels == 1) return part;
  Array ones({channels, 1}, DType::kF32);
  std::fill_n(ones.data<float>(), channels, 1.0f);
  Part result = call.graph().product(part, call.name() + ".channels", {"weight", call.name() + ".ones", ones}, {});
  result.view.axes[1] = channel_axis(channels);
  result.nonnegative = part.nonnegative;
  return result;
}

bool same_rows(const Part& a, const Part& b) {
  return a.rows == b.rows && a.extent == b.extent && a.level == b.level && a.channels == b.channels;
}

Part joined_rows(const Call& call, Arithmetic arithmetic, Part a, const Part& b) {
  const bool positive = a.nonnegative && b.nonnegative && arithmetic != Arithmetic::kSubtract;
  if (arithmetic == Arithmetic::kMultiply)
    for (const auto& [gate, whole] : {std::pair{"sigmoid", "silu"}, std::pair{"hard_sigmoid", "hard_swish"}}) {
      if (is_of(call, b.name, gate, a.name)) return call.graph().apply(a, call.name(), whole);
      if (is_of(call, a.name, gate, b.name)) return call.graph().apply(b, call.name(), whole);
    }
  const char* ops[] = {"add", "subtract", "multiply"};
  a.name = call.graph().add(call.name(), {ops[static_cast<int>(arithmetic)], {a.name, b.name}});
  a.nonnegative = positive;
  return a;
}

/// A row per frame and an image.
Part row_and_image(const Call& call, Arithmetic arithmetic, const Part& a, const Part& b) {
  const Part &row = a.is_image() ? b : a, &image = a.is_image() ? a : b;
  Part result = image;
  result.nonnegative = a.nonnegative && b.nonnegative && arithmetic != Arithmetic::kSubtract;
  if (arithmetic == Arithmetic::kMultiply) {
    result.name = call.graph().add(call.name(), {"scale", {image.name, row.name}});
    return result;
  }
  const std::string wide = call.graph().add(call.name() + ".wide", {"broadcast", {row.name, image.name}});
  const char* op = arithmetic == Arithmetic::kAdd ? "add" : "subtract";
  result.name = call.graph().add(call.name(), {op, {a.is_image() ? a.name : wide, a.is_image() ? wide : b.name}});
  return result;
}

Part combined(const Call& call, Arithmetic arithmetic, Part a, Part b) {
  call.expect(arithmetic != Arithmetic::kDivide, "divides what the network computes by what the network computes");
  if (same_rows(a, b) && a.view == b.view && a.rows != Rows::kDense) return joined_rows(call, arithmetic, a, b);
  for (Part* part : {&a, &b}) *part = as_image(call, *part);
  if (a.is_image() != b.is_image())
    for (Part* part : {&a, &b}) *part = call.graph().as_row(*part, call.name());
  call.expect(a.view.rank() == b.view.rank() && broadcast_shape(a.view.shape(), b.view.shape()).has_value(),
              "joins tensors of shapes ", a.view.shape(), " and ", b.view.shape());
  if (same_rows(a, b)) {
    for (Part* part : {&a, &b}) *part = call.graph().in_order(*part, call.name());
    call.expect(a.view == b.view, "joins tensors of shape ", a.view.shape(), " whose channels lie on other axes");
    return joined_rows(call, arithmetic, a, b);
  }
  call.expect(a.view.rank() == 4 || a.view.rank() == 2, "joins tensors of shapes ", a.view.shape(), " and ",
              b.view.shape());
  const std::int64_t channels = std::max(a.channels, b.channels);
  a = with_channels(call, a, channels);
  b = with_channels(call, b, channels);
  if (same_rows(a, b)) return joined_rows(call, arithmetic, a, b);
  call.expect(
      a.is_image() != b.is_image() && (a.rows == Rows::kFrame || b.rows == Rows::kFrame) && a.channels == b.channels,
      "joins tensors of shapes ", a.view.shape(), " and ", b.view.shape());
  return row_and_image(call, arithmetic, a, b);
}

/// scale * x + shift with numbers of the file.
void give_with_numbers(Call& call, Arithmetic arithmetic, std::size_t tensor) {
  const Constant& numbers = *call.input(1 - tensor).constant;
  call.part_or_parts(tensor);
  Value value = call.input(tensor);
  for (Part& part : value.parts) {
    if (part.rows == Rows::kDense) part = as_image(call, part);
    std::vector<float> scale = channel_numbers_of(call, numbers, part), shift(scale.size(), 0.0f);
    const bool positive = part.nonnegative && (arithmetic == Arithmetic::kAdd || arithmetic == Arithmetic::kMultiply) &&
                          std::ranges::all_of(scale, [](float x) { return x >= 0; });
    if (arithmetic == Arithmetic::kAdd || arithmetic == Arithmetic::kSubtract) {
      std::swap(scale, shift);
      const bool negated = arithmetic == Arithmetic::kSubtract && tensor == 1;
      std::ranges::fill(scale, negated ? -1.0f : 1.0f);
      if (arithmetic == Arithmetic::kSubtract && tensor == 0)
        for (float& x : shift) x = -x;
    } else if (arithmetic == Arithmetic::kDivide) {
      if (tensor == 1) part = call.graph().apply(part, call.name() + ".inverse", "power", {{"exponent", -1.0}});
      if (tensor == 0)
        for (float& x : scale) x = static_cast<float>(1.0 / x);
    }
    part = call.graph().affine(part, call.name(), scale, shift);
    part.nonnegative = positive;
  }
  call.give(std::move(value));
}

}  // namespace

std::vector<float> channel_numbers_of(const Call& call, const Constant& numbers, const Part& part) {
  const Shape shape = part.view.shape();
  std::vector<float> result(static_cast<std::size_t>(part.channels), 0);
  Shape given = numbers.shape();
  call.expect(given.size() <= shape.size(), "takes numbers of shape ", given, " for a tensor ", shape);
  given.insert(given.begin(), shape.size() - given.size(), 1);
  for (std::size_t i = 0; i < shape.size(); ++i)
    call.expect(given[i] == 1 || given[i] == shape[i], "takes numbers of shape ", given, " for a tensor ", shape);
  // What varies along an axis must do so with its channels alone.
  View varying = part.view;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (given[i] == 1) varying.axes[i].clear();
  std::vector<bool> known(result.size(), false);
  for (std::int64_t element = 0; element < numbers.count(); ++element) {
    std::int64_t rest = element, channel = 0;
    for (std::size_t i = shape.size(); i-- > 0;) {
      channel += channel_at(varying.axes[i], rest % given[i]);
      rest /= given[i];
    }
    const auto value = static_cast<float>(numbers.number(element));
    const auto at = static_cast<std::size_t>(channel);
    call.expect(!known[at] || result[at] == value, "takes numbers of shape ", numbers.shape(),
                " that differ from pixel to pixel, where one per channel is converted");
    result[at] = value;
    known[at] = true;
  }
  // Channels along axes on which the numbers do not vary have those of index 0 there.
  std::vector<float> spread(result.size());
  for (std::int64_t channel = 0; channel < part.channels; ++channel) {
    std::int64_t source = 0;
    for (const Axis& axis : varying.axes)
      for (const Atom& atom : axis)
        if (atom.kind == Atom::Kind::kChannels) source += channel / atom.step % atom.extent * atom.step;
    spread[static_cast<std::size_t>(channel)] = result[static_cast<std::size_t>(source)];
  }
  return spread;
}

void give_combined(Call& call, Arithmetic arithmetic) {
  call.expect(call.inputs() == 2, "expects two inputs, found ", call.inputs());
  if (call.input(0).coordinates && call.input(1).coordinates) {  // only its shape is asked for
    Value sum = call.input(0);
    std::ranges::fill(sum.coordinates->columns, kSum);
    return call.give(std::move(sum));
  }
  for (const std::size_t i : {0, 1})
    if (call.is_constant(i)) return give_with_numbers(call, arithmetic, 1 - i);
  call.part_or_parts(0);
  call.part_or_parts(1);
  Value value = call.input(0);
  const Value& other = call.input(1);
  call.expect(value.parts.size() == other.parts.size() && (value.parts.size() == 1 || value.joined == other.joined),
              "joins concatenations of other maps");
  for (std::size_t i = 0; i < value.parts.size(); ++i)
    value.parts[i] = combined(call, arithmetic, value.parts[i], other.parts[i]);
  call.give(std::move(value));
}

}  // namespace voxshift::onnx
