// Arithmetic on numbers of the file: what exporters leave of shapes.
#include <voxshift/onnx/sparse.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

namespace voxshift::onnx {
namespace {

std::int64_t folded_count(const Call& call, const Shape& shape) {
  const std::optional<std::int64_t> count = product_of(shape);
  call.expect(count && *count <= kMostFolded, "makes ", shape, " numbers before any frame is seen, at most ",
              kMostFolded);
  return *count;
}

Constant empty_of(const Call& call, const Shape& shape, bool whole) {
  folded_count(call, shape);
  return {Array(shape, whole ? DType::kI64 : DType::kF32)};
}

void set_number(Constant& constant, std::int64_t i, double value) {
  if (constant.is_whole()) {
    constant.array.data<std::int64_t>()[i] = static_cast<std::int64_t>(value);
  } else {
    constant.array.data<float>()[i] = static_cast<float>(value);
  }
}

void copy_number(const Constant& from, std::int64_t i, Constant& to, std::int64_t k) {
  if (from.is_whole()) {
    to.array.data<std::int64_t>()[k] = from.array.data<std::int64_t>()[i];
  } else {
    to.array.data<float>()[k] = from.array.data<float>()[i];
  }
}

// Whole numbers wrap, as they do where such files are run.
std::int64_t on_wholes(const Call& call, char op, std::int64_t a, std::int64_t b) {
  const auto x = static_cast<std::uint64_t>(a), y = static_cast<std::uint64_t>(b);
  if (op == '+') return static_cast<std::int64_t>(x + y);
  if (op == '-') return static_cast<std::int64_t>(x - y);
  if (op == '*') return static_cast<std::int64_t>(x * y);
  call.expect(b != 0 && !(b == -1 && a == INT64_MIN), "divides by ", b);
  return op == '/' ? a / b : a % b;
}

double on_numbers(char op, double a, double b) {
  switch (op) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return a / b;
    case '^':
      return std::pow(a, b);
    case 'm':
      return std::min(a, b);
    case 'M':
      return std::max(a, b);
    case '=':
      return a == b ? 1 : 0;
    case '<':
      return a < b ? 1 : 0;
    case '>':
      return a > b ? 1 : 0;
    case '&':
      return a != 0 && b != 0 ? 1 : 0;
    default:
      return a != 0 || b != 0 ? 1 : 0;
  }
}

void give_binary(Call& call, char op) {
  const Constant &a = call.constant(0, "a"), &b = call.constant(1, "b");
  const std::optional<Shape> shape = broadcast_shape(a.shape(), b.shape());
  call.expect(shape.has_value(), "joins numbers of shapes ", a.shape(), " and ", b.shape());
  const bool wholes = a.is_whole() && b.is_whole(), compares = std::string("=<>&|").find(op) != std::string::npos;
  Constant result = empty_of(call, *shape, wholes || compares);
  BroadcastWalk at_a(*shape, a.shape()), at_b(*shape, b.shape());
  for (std::int64_t i = 0; i < result.count(); ++i, at_a.next(), at_b.next()) {
    if (wholes && std::string("+-*/%").find(op) != std::string::npos) {
      result.array.data<std::int64_t>()[i] = on_wholes(call, op, a.whole(at_a.offset()), b.whole(at_b.offset()));
    } else {
      const double value = on_numbers(op, a.number(at_a.offset()), b.number(at_b.offset()));
      call.expect(!result.is_whole() || std::abs(value) < 9e18, "gives no whole number");
      set_number(result, i, value);
    }
  }
  call.give(result);
}

template <char kOp>
void binary(Call& call) {
  give_binary(call, kOp);
}

void give_unary(Call& call, const std::function<double(double)>& function) {
  const Constant& x = call.constant(0, "x");
  Constant result = empty_of(call, x.shape(), x.is_whole());
  for (std::int64_t i = 0; i < x.count(); ++i) {
    const double value = function(x.number(i));
    call.expect(!result.is_whole() || std::abs(value) < 9e18, "gives no whole number");
    set_number(result, i, value);
  }
  call.give(result);
}

void floor_of(Call& call) {
  give_unary(call, [](double x) { return std::floor(x); });
}
void ceil_of(Call& call) {
  give_unary(call, [](double x) { return std::ceil(x); });
}
void negative_of(Call& call) {
  give_unary(call, [](double x) { return -x; });
}
void root_of(Call& call) {
  give_unary(call, [](double x) { return std::sqrt(x); });
}
void inverse_of(Call& call) {
  give_unary(call, [](double x) { return 1 / x; });
}
void opposite_of(Call& call) {
  give_unary(call, [](double x) { return x == 0 ? 1.0 : 0.0; });
}

void cast_of(Call& call) {
  const Constant& x = call.constant(0, "x");
  const std::int64_t to = call.whole("to", 1);
  const bool whole = to != 1 && to != 10 && to != 11 && to != 16;
  if (whole == x.is_whole()) return call.give(x);
  Constant result = empty_of(call, x.shape(), whole);
  for (std::int64_t i = 0; i < x.count(); ++i) {
    const double value = x.number(i);
    call.expect(!whole || std::abs(value) < 9e18, "makes a whole number of ", value);
    set_number(result, i, to == 9 ? (value != 0 ? 1.0 : 0.0) : value);
  }
  call.give(result);
}

void transpose_of(Call& call) {
  const Constant& x = call.constant(0, "x");
  std::vector<std::int64_t> axes;
  for (std::int64_t axis = x.array.rank(); axis-- > 0;) axes.push_back(axis);
  axes = call.wholes("perm", axes);
  Shape shape, steps(x.shape().size(), 1), step_of;
  for (std::size_t axis = steps.size(); axis-- > 1;) steps[axis - 1] = steps[axis] * x.shape()[axis];
  for (const std::int64_t axis : axes) {
    shape.push_back(x.shape()[call.axis(axis, x.shape().size())]);
    step_of.push_back(steps[call.axis(axis, x.shape().size())]);
  }
  Constant result = {Array(shape, x.array.dtype())};
  call.expect(result.count() == x.count(), "has no order of its axes");
  for (std::int64_t i = 0; i < result.count(); ++i) {
    std::int64_t rest = i, from = 0;
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      from += rest % shape[axis] * step_of[axis];
      rest /= shape[axis];
    }
    copy_number(x, from, result, i);
  }
  call.give(result);
}

void concat_of(Call& call) {
  const Constant& first = call.constant(0, "x");
  const std::size_t axis = call.axis(call.whole("axis", 0), first.shape().size());
  Shape shape = first.shape();
  shape[axis] = 0;
  for (std::size_t i = 0; i < call.inputs(); ++i) {
    const Shape& one = call.constant(i, "x").shape();
    call.expect(one.size() == shape.size() && call.constant(i, "x").is_whole() == first.is_whole(),
                "joins numbers of shapes ", first.shape(), " and ", one);
    for (std::size_t other = 0; other < one.size(); ++other)
      call.expect(other == axis || one[other] == first.shape()[other], "joins numbers of shapes ", first.shape(),
                  " and ", one);
    shape[axis] += one[axis];
  }
  Constant result = {Array(shape, first.array.dtype())};
  std::int64_t inner = 1, outer = 1, to = 0;
  for (std::size_t i = 0; i < axis; ++i) outer *= shape[i];
  for (std::size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
  for (std::int64_t o = 0; o < outer && result.count() > 0; ++o)
    for (std::size_t i = 0; i < call.inputs(); ++i) {
      const Constant& one = call.constant(i, "x");
      const std::int64_t run = inner * one.shape()[axis];
      for (std::int64_t k = 0; k < run; ++k) copy_number(one, o * run + k, result, to++);
    }
  call.give(result);
}

void where_of(Call& call) {
  const Constant &which = call.constant(0, "the condition"), &a = call.constant(1, "a"), &b = call.constant(2, "b");
  std::optional<Shape> shape = broadcast_shape(a.shape(), b.shape());
  if (shape) shape = broadcast_shape(*shape, which.shape());
  call.expect(shape.has_value() && a.is_whole() == b.is_whole(), "joins numbers of shapes ", a.shape(), " and ",
              b.shape());
  Constant result = empty_of(call, *shape, a.is_whole());
  BroadcastWalk at(*shape, which.shape()), at_a(*shape, a.shape()), at_b(*shape, b.shape());
  for (std::int64_t i = 0; i < result.count(); ++i, at.next(), at_a.next(), at_b.next())
    which.number(at.offset()) != 0 ? copy_number(a, at_a.offset(), result, i)
                                   : copy_number(b, at_b.offset(), result, i);
  call.give(result);
}

void expand_of(Call& call) {
  const Constant& x = call.constant(0, "x");
  const std::optional<Shape> shape = broadcast_shape(x.shape(), call.constant(1, "the shape").wholes());
  call.expect(shape.has_value(), "makes another shape of ", x.shape());
  Constant result = empty_of(call, *shape, x.is_whole());
  BroadcastWalk at(*shape, x.shape());
  for (std::int64_t i = 0; i < result.count(); ++i, at.next()) copy_number(x, at.offset(), result, i);
  call.give(result);
}

void constant_of_shape(Call& call) {
  const onnx_file::Attribute* value = call.attribute("value");
  Constant one{Array::from(std::vector<float>{0}, {1})};
  if (value != nullptr) one = read_tensor(value->t());
  call.expect(one.count() == 1, "repeats a tensor of shape ", one.shape());
  const Shape shape = call.constant(0, "the shape").wholes();
  if (one.number(0) == 0 && product_of(shape).value_or(0) > kMostFolded) {  // what voxels are written into
    Value zeros;
    zeros.zeros = shape;
    return call.give(std::move(zeros));
  }
  Constant result = empty_of(call, shape, one.is_whole());
  for (std::int64_t i = 0; i < result.count(); ++i) copy_number(one, 0, result, i);
  call.give(result);
}

void range_of(Call& call) {
  const double start = call.constant(0, "start").number(0), limit = call.constant(1, "limit").number(0),
               step = call.constant(2, "delta").number(0);
  for (std::size_t i = 0; i < 3; ++i) call.expect(call.constant(i, "a bound").count() == 1, "has no single bounds");
  const double count = std::max(0.0, std::ceil((limit - start) / step));
  call.expect(count <= static_cast<double>(kMostFolded), "makes ", count, " numbers");
  Constant result = empty_of(call, {static_cast<std::int64_t>(count)}, call.constant(0, "start").is_whole());
  for (std::int64_t i = 0; i < result.count(); ++i) set_number(result, i, start + static_cast<double>(i) * step);
  call.give(result);
}

void constant(Call& call) {
  if (const auto* value = call.attribute("value")) return call.give(read_tensor(value->t()));
  if (call.attribute("value_ints") != nullptr) return call.give(Constant::of(call.wholes("value_ints")));
  if (call.attribute("value_int") != nullptr) return call.give(Constant::of({call.whole("value_int", 0)}, {}));
  if (call.attribute("value_float") != nullptr)
    return call.give(Constant{Array::from(std::vector<float>{call.number("value_float", 0)}, {})});
  const auto* numbers = call.attribute("value_floats");
  call.expect(numbers != nullptr, "holds no numbers");
  const std::vector<float> values(numbers->floats().begin(), numbers->floats().end());
  call.give(Constant{Array::from(values, {static_cast<std::int64_t>(values.size())})});
}

}  // namespace

Constant taken(const Call& call, const Constant& from, const std::vector<std::vector<std::int64_t>>& indices) {
  Shape shape;
  for (const std::vector<std::int64_t>& axis : indices) shape.push_back(static_cast<std::int64_t>(axis.size()));
  folded_count(call, shape);
  Constant result = {Array(shape, from.array.dtype())};
  for (std::int64_t i = 0; i < result.count(); ++i) {
    std::int64_t rest = i, at = 0, step = 1;
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      at += indices[axis][static_cast<std::size_t>(rest % shape[axis])] * step;
      rest /= shape[axis];
      step *= from.shape()[axis];
    }
    copy_number(from, at, result, i);
  }
  return result;
}

Handler find_fold(const std::string& op) {
  static const std::map<std::string, Handler> ops{{"Add", binary<'+'>},
                                                  {"Sub", binary<'-'>},
                                                  {"Mul", binary<'*'>},
                                                  {"Div", binary<'/'>},
                                                  {"Mod", binary<'%'>},
                                                  {"Pow", binary<'^'>},
                                                  {"Min", binary<'m'>},
                                                  {"Max", binary<'M'>},
                                                  {"Equal", binary<'='>},
                                                  {"Less", binary<'<'>},
                                                  {"Greater", binary<'>'>},
                                                  {"And", binary<'&'>},
                                                  {"Or", binary<'|'>},
                                                  {"Not", opposite_of},
                                                  {"Floor", floor_of},
                                                  {"Ceil", ceil_of},
                                                  {"Neg", negative_of},
                                                  {"Sqrt", root_of},
                                                  {"Reciprocal", inverse_of},
                                                  {"Cast", cast_of},
                                                  {"Transpose", transpose_of},
                                                  {"Concat", concat_of},
                                                  {"Where", where_of},
                                                  {"Expand", expand_of},
                                                  {"ConstantOfShape", constant_of_shape},
                                                  {"Range", range_of},
                                                  {"Constant", constant}};
  const auto found = ops.find(op);
  return found == ops.end() ? nullptr : found->second;
}

}  // namespace voxshift::onnx
