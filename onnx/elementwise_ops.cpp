// Functions of a number, sums, products, softmax.
#include <voxshift/onnx/operands.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace voxshift::onnx {
namespace {

/// The op on every part.
void give_applied(Call& call, const std::string& op, const Attributes& attributes, bool nonnegative) {
  Value value = call.input(0);
  call.part_or_parts(0);
  for (Part& part : value.parts) {
    if (part.rows == Rows::kDense) part = as_image(call, part);
    part = call.graph().apply(part, call.name(), op, attributes);
    part.nonnegative = nonnegative;
  }
  call.give(std::move(value));
}

void relu(Call& call) { give_applied(call, "relu", {}, true); }
void sigmoid(Call& call) { give_applied(call, "sigmoid", {}, true); }
void tanh(Call& call) { give_applied(call, "tanh", {}, false); }
void hard_swish(Call& call) { give_applied(call, "hard_swish", {}, false); }
void leaky_relu(Call& call) {
  give_applied(call, "leaky_relu", {{"slope", static_cast<double>(call.number("alpha", 0.01f))}}, false);
}
void elu(Call& call) { give_applied(call, "elu", {{"alpha", static_cast<double>(call.number("alpha", 1))}}, false); }
void gelu(Call& call) { give_applied(call, "gelu", {{"approximate", call.word("approximate", "none")}}, false); }
void square_root(Call& call) { give_applied(call, "power", {{"exponent", 0.5}}, true); }
void reciprocal(Call& call) { give_applied(call, "power", {{"exponent", -1.0}}, false); }

void swish(Call& call) {
  call.expect(call.number("alpha", 1) == 1, "has an alpha other than 1");
  give_applied(call, "silu", {}, false);
}

void power(Call& call) {
  const Constant& exponent = call.constant(1, "the exponent");
  call.expect(exponent.count() == 1, "expects one exponent, found ", exponent.shape());
  give_applied(call, "power", {{"exponent", exponent.number(0)}}, false);
}

void give_clipped(Call& call, double lowest, double highest) {
  constexpr double kFar = 3e38;
  call.expect(lowest <= highest, "has limits ", lowest, " and ", highest);
  if (lowest == 0 && highest == 6) return give_applied(call, "relu6", {}, true);
  if (lowest == 0 && highest >= kFar) return relu(call);
  give_applied(call, "clip", {{"lowest", std::max(lowest, -kFar)}, {"highest", std::min(highest, kFar)}}, lowest >= 0);
}

double limit_of(const Call& call, std::size_t i, const char* name, double usual) {
  if (!call.given(i)) return call.number(name, static_cast<float>(usual));
  const Constant& limit = call.constant(i, name);
  call.expect(limit.count() == 1, "expects one number as ", name, ", found ", limit.shape());
  return limit.number(0);
}

void clip(Call& call) {
  const double most = std::numeric_limits<float>::max();
  give_clipped(call, limit_of(call, 1, "min", -most), limit_of(call, 2, "max", most));
}

void minimum(Call& call) {
  call.expect(call.inputs() == 2, "expects two inputs, found ", call.inputs());
  give_clipped(call, -std::numeric_limits<float>::max(), limit_of(call, 1, "", 0));
}

void maximum(Call& call) {
  call.expect(call.inputs() == 2, "expects two inputs, found ", call.inputs());
  give_clipped(call, limit_of(call, 1, "", 0), std::numeric_limits<float>::max());
}

/// scale * x + shift of every part, the same for all channels.
void give_affine(Call& call, Value value, float scale, float shift) {
  for (Part& part : value.parts) {
    const std::vector<float> scales(static_cast<std::size_t>(part.channels), scale),
        shifts(static_cast<std::size_t>(part.channels), shift);
    part = call.graph().affine(part, call.name(), scales, shifts);
  }
  call.give(std::move(value));
}

void negative(Call& call) {
  call.part_or_parts(0);
  give_affine(call, call.input(0), -1, 0);
}

void hard_sigmoid(Call& call) {
  const float alpha = call.number("alpha", 0.2f), beta = call.number("beta", 0.5f);
  if (std::abs(alpha - 1.0f / 6) < 1e-6f && beta == 0.5f) return give_applied(call, "hard_sigmoid", {}, true);
  call.part_or_parts(0);
  Value value = call.input(0);
  for (Part& part : value.parts) {
    const std::vector<float> scales(static_cast<std::size_t>(part.channels), alpha),
        shifts(static_cast<std::size_t>(part.channels), beta);
    part = call.graph().affine(part, call.name() + ".line", scales, shifts);
    part = call.graph().apply(part, call.name(), "clip", {{"lowest", 0.0}, {"highest", 1.0}});
    part.nonnegative = true;
  }
  call.give(std::move(value));
}

void prelu(Call& call) {
  Part x = call.part(0);
  const std::vector<float> slopes = channel_numbers_of(call, call.constant(1, "the slope"), x);
  Tensor weight{"weight", call.input_name(1), Array::from(slopes, {x.channels})};
  x.name = call.graph().add(call.name(), {"prelu", {x.name}, {std::move(weight)}, {}});
  x.nonnegative = false;
  call.give(std::move(x));
}

/// Softmax, or its logarithm, over groups of channels that follow one another.
Part softmax_of(const Call& call, Part x, std::size_t axis, const std::string& op) {
  if (x.rows == Rows::kDense) x = as_image(call, x);
  const Axis along = x.view.axes[axis];
  const std::int64_t group = extent_of(along);
  call.expect(only_channels(along), "goes over pixels, where softmax over channels is converted");
  // That axis last, so that its indices lie side by side.
  View order = x.view;
  order.axes.erase(order.axes.begin() + static_cast<std::ptrdiff_t>(axis));
  order.axes.push_back(along);
  const View given = x.view;
  x.view = order;
  x = call.graph().in_order(x, call.name());
  constexpr std::int64_t kMostGroups = 1024;
  call.expect(x.channels / group <= kMostGroups, "goes over ", x.channels / group, " groups of channels, at most ",
              kMostGroups, " are converted");
  if (group == x.channels) {
    x = call.graph().apply(x, call.name(), op);
  } else {
    std::vector<std::string> groups;
    for (std::int64_t first = 0; first < x.channels; first += group) {
      const std::string piece =
          call.graph().add(call.name() + ".columns", {"columns", {x.name}, {}, {{"first", first}, {"count", group}}});
      groups.push_back(call.graph().add(call.name() + ".group", {op, {piece}}));
    }
    x.name = call.graph().add(call.name(), {"cat", groups});
  }
  x.nonnegative = op == "softmax";
  const Axis moved = x.view.axes.back();
  x.view.axes.pop_back();
  x.view.axes.insert(x.view.axes.begin() + static_cast<std::ptrdiff_t>(axis), moved);
  return x;
}

void give_softmax(Call& call, const std::string& op) {
  call.part_or_parts(0);
  Value value = call.input(0);
  const std::size_t rank = value.shape().size();
  const std::size_t axis = call.axis(call.whole("axis", call.opset() < 13 ? 1 : -1), rank);
  // Before opset 13 it went over all axes from this one on.
  if (call.opset() < 13)
    for (std::size_t i = axis + 1; i < rank; ++i)
      call.expect(value.shape()[i] == 1, "goes over several axes, ", value.shape(), " from axis ", axis, " on");
  call.expect(value.parts.size() == 1 || axis != value.joined, "goes over the axis of a concatenation of maps");
  for (Part& part : value.parts) part = softmax_of(call, part, axis, op);
  call.give(std::move(value));
}

void softmax(Call& call) { give_softmax(call, "softmax"); }
void log_softmax(Call& call) { give_softmax(call, "log_softmax"); }

void add(Call& call) { give_combined(call, Arithmetic::kAdd); }
void subtract(Call& call) { give_combined(call, Arithmetic::kSubtract); }
void multiply(Call& call) { give_combined(call, Arithmetic::kMultiply); }
void divide(Call& call) { give_combined(call, Arithmetic::kDivide); }

}  // namespace

Handler find_elementwise_op(const std::string& op) {
  static const std::map<std::string, Handler> ops{{"Relu", relu},
                                                  {"Sigmoid", sigmoid},
                                                  {"Tanh", tanh},
                                                  {"HardSwish", hard_swish},
                                                  {"LeakyRelu", leaky_relu},
                                                  {"Elu", elu},
                                                  {"Gelu", gelu},
                                                  {"Sqrt", square_root},
                                                  {"Reciprocal", reciprocal},
                                                  {"Swish", swish},
                                                  {"Pow", power},
                                                  {"Clip", clip},
                                                  {"Min", minimum},
                                                  {"Max", maximum},
                                                  {"Neg", negative},
                                                  {"HardSigmoid", hard_sigmoid},
                                                  {"PRelu", prelu},
                                                  {"Softmax", softmax},
                                                  {"LogSoftmax", log_softmax},
                                                  {"Add", add},
                                                  {"Sub", subtract},
                                                  {"Mul", multiply},
                                                  {"Div", divide},
                                                  {"QuantAdd", add}};
  const auto found = ops.find(op);
  return found == ops.end() ? nullptr : found->second;
}

}  // namespace voxshift::onnx
