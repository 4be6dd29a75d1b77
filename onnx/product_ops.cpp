// Gemm, MatMul and normalisation with numbers of the file.
#include <voxshift/onnx/window.h>

#include <algorithm>
#include <map>

namespace voxshift::onnx {
namespace {

/// [rows, columns] the other way round, in squares that stay in the cache.
Array transposed_matrix(const Array& matrix) {
  constexpr std::int64_t kSquare = 32;
  const std::int64_t rows = matrix.dim(0), columns = matrix.dim(1);
  Array result({columns, rows}, DType::kF32);
  const float* from = matrix.data<float>();
  float* to = result.data<float>();
  for (std::int64_t row = 0; row < rows; row += kSquare)
    for (std::int64_t column = 0; column < columns; column += kSquare)
      for (std::int64_t i = row; i < std::min(row + kSquare, rows); ++i)
        for (std::int64_t k = column; k < std::min(column + kSquare, columns); ++k)
          to[k * rows + i] = from[i * columns + k];
  return result;
}

/// For every index of the axis where it lies in [C, height, width].
std::vector<std::int64_t> places_in_image(const Axis& axis, Extent2d extent) {
  std::vector<std::int64_t> places{0};
  for (const Atom& atom : axis) {
    std::int64_t step = 1;
    if (atom.kind == Atom::Kind::kChannels) step = atom.step * extent.pixels();
    if (atom.kind == Atom::Kind::kAxis0) step = extent.width;
    std::vector<std::int64_t> finer;
    for (const std::int64_t place : places)
      for (std::int64_t i = 0; i < atom.extent; ++i) finer.push_back(place + i * step);
    places = std::move(finer);
  }
  return places;
}

/// The columns of a matrix in another order: column i becomes places[i].
Array reordered(const Array& matrix, const std::vector<std::int64_t>& places) {
  if (std::ranges::is_sorted(places)) return matrix;
  Array result(matrix.shape(), DType::kF32);
  const std::int64_t columns = matrix.dim(1);
  const float* from = matrix.data<float>();
  float* to = result.data<float>();
  for (std::int64_t o = 0; o < matrix.dim(0); ++o, from += columns, to += columns)
    for (std::int64_t i = 0; i < columns; ++i) to[places[static_cast<std::size_t>(i)]] = from[i];
  return result;
}

/// The last axis, which is a whole image or all channels of a row, times a matrix [Cout, Cin].
Part times(const Call& call, Part x, Tensor matrix, std::optional<Tensor> bias) {
  if (x.rows == Rows::kDense) x = as_image(call, x);
  const Axis last = x.view.axes.back();
  call.expect(extent_of(last) == matrix.array.dim(1), "multiplies ", extent_of(last), " numbers by a matrix for ",
              matrix.array.dim(1));
  call.expect(matrix.array.dim(0) > 0, "has no outputs");
  const bool row_by_row = only_channels(last) && extent_of(last) == x.channels;
  if (row_by_row) {
    x = call.graph().as_row(x, call.name());
    matrix.array = reordered(matrix.array, places_in_image(last, {1, 1}));
    Part result = call.graph().product(x, call.name(), std::move(matrix), std::move(bias));
    result.view.axes.back() = channel_axis(result.channels);
    return result;
  }
  call.expect(x.is_image() && extent_of(last) == x.channels * x.extent.pixels(),
              "multiplies a part of the channels or pixels, found [.., ", extent_of(last), "] of ", x.channels,
              " channels of ", x.extent.height, " x ", x.extent.width);
  const std::int64_t outputs = matrix.array.dim(0);
  matrix.array = reordered(matrix.array, places_in_image(last, x.extent))
                     .reshaped({outputs, x.channels, x.extent.height, x.extent.width});
  NewNode node{"conv2d", {x.name}, {std::move(matrix)}, {}};
  if (bias) node.tensors.push_back(std::move(*bias));
  Part result = x;
  result.name = call.graph().add(call.name(), std::move(node));
  result.channels = outputs;
  result.extent = {1, 1};
  result.nonnegative = false;
  result.view.axes.back() = channel_axis(outputs);
  return call.graph().as_row(result, call.name());
}

const Constant& matrix_of(const Call& call, std::size_t i) {
  const Constant& matrix = call.constant(i, "the matrix");
  call.expect(matrix.shape().size() == 2 && !matrix.is_whole(), "expects a matrix of 2 axes, found ", matrix.shape());
  return matrix;
}

void scale_numbers(Array& array, float factor) {
  if (factor == 1) return;
  Array scaled(array.shape(), DType::kF32);
  for (std::int64_t i = 0; i < array.count(); ++i) scaled.data<float>()[i] = factor * array.data<float>()[i];
  array = scaled;
}

void gemm(Call& call) {
  const Part x = call.part(0);
  call.expect(call.whole("transA", 0) == 0 && x.view.rank() == 2, "expects [N, C], not transposed, found ",
              x.view.shape());
  Array matrix = matrix_of(call, 1).array;
  if (call.whole("transB", 0) == 0) matrix = transposed_matrix(matrix);
  scale_numbers(matrix, call.number("alpha", 1));
  std::optional<Tensor> bias;
  if (call.given(2)) {
    const Constant& given = call.constant(2, "the bias");
    call.expect(!given.is_whole() && (given.count() == 1 || given.count() == matrix.dim(0)) &&
                    (given.count() == 1 || given.shape().back() == given.count()),
                "expects a bias of ", matrix.dim(0), " numbers, found ", given.shape());
    Array numbers({matrix.dim(0)}, DType::kF32);
    for (std::int64_t i = 0; i < numbers.count(); ++i)
      numbers.data<float>()[i] = given.array.data<float>()[given.count() == 1 ? 0 : i];
    scale_numbers(numbers, call.number("beta", 1));
    bias = call.tensor("bias", 2, numbers);
  }
  call.give(times(call, x, call.tensor("weight", 1, matrix), std::move(bias)));
}

void matmul(Call& call) {
  const Part x = call.part(0);
  call.give(times(call, x, call.tensor("weight", 1, transposed_matrix(matrix_of(call, 1).array)), {}));
}

/// All channels in order on axis 1.
Part normalised(const Call& call) {
  Part x = call.part(0);
  if (x.rows == Rows::kDense) x = as_image(call, x);
  call.expect(x.view.rank() >= 2 && only_channels(x.view.axes[1]) && extent_of(x.view.axes[1]) == x.channels,
              "expects the channels on axis 1, found ", x.view.shape());
  return call.graph().in_order(x, call.name());
}

Tensor channel_numbers(const Call& call, const char* role, std::size_t i, std::int64_t channels) {
  const Constant& given = call.constant(i, role);
  call.expect(!given.is_whole() && given.count() == channels, "expects ", role, " of ", channels, " numbers, found ",
              given.shape());
  return call.tensor(role, i, given.array.reshaped({channels}));
}

void batch_normalization(Call& call) {
  Part x = normalised(call);
  call.expect(call.whole("training_mode", 0) == 0 && call.node.output_size() == 1,
              "is in training mode: have the network exported for inference");
  call.expect(call.whole("spatial", 1) == 1, "has spatial=0");
  NewNode node{"batch_norm", {x.name}, {}, {{"eps", static_cast<double>(call.number("epsilon", 1e-5f))}}};
  const char* roles[] = {"weight", "bias", "running_mean", "running_var"};
  for (std::size_t i = 0; i < 4; ++i) node.tensors.push_back(channel_numbers(call, roles[i], i + 1, x.channels));
  x.name = call.graph().add(call.name(), std::move(node));
  x.nonnegative = false;
  call.give(std::move(x));
}

void instance_normalization(Call& call) {
  Part x = normalised(call);
  call.expect(x.is_image(), "takes the mean of a single pixel");
  NewNode node{"instance_norm", {x.name}, {}, {{"eps", static_cast<double>(call.number("epsilon", 1e-5f))}}};
  node.tensors = {channel_numbers(call, "weight", 1, x.channels), channel_numbers(call, "bias", 2, x.channels)};
  x.name = call.graph().add(call.name(), std::move(node));
  x.nonnegative = false;
  call.give(std::move(x));
}

void layer_normalization(Call& call) {
  Part x = call.part(0);
  call.expect(call.axis(call.whole("axis", -1), x.view.rank()) + 1 == x.view.rank() &&
                  only_channels(x.view.axes.back()) && extent_of(x.view.axes.back()) == x.channels,
              "expects all channels on the last axis, found ", x.view.shape());
  x = call.graph().in_order(call.graph().as_row(x, call.name()), call.name());
  NewNode node{"layer_norm", {x.name}, {}, {{"eps", static_cast<double>(call.number("epsilon", 1e-5f))}}};
  node.tensors.push_back(channel_numbers(call, "weight", 1, x.channels));
  if (call.given(2)) {
    node.tensors.push_back(channel_numbers(call, "bias", 2, x.channels));
  } else {
    const std::vector<float> zeros(static_cast<std::size_t>(x.channels), 0);
    node.tensors.push_back({"bias", call.name() + ".bias", Array::from(zeros, {x.channels})});
  }
  x.name = call.graph().add(call.name(), std::move(node));
  x.nonnegative = false;
  call.give(std::move(x));
}

}  // namespace

Handler find_product_op(const std::string& op) {
  static const std::map<std::string, Handler> ops{{"Gemm", gemm},
                                                  {"MatMul", matmul},
                                                  {"BatchNormalization", batch_normalization},
                                                  {"InstanceNormalization", instance_normalization},
                                                  {"LayerNormalization", layer_normalization}};
  const auto found = ops.find(op);
  return found == ops.end() ? nullptr : found->second;
}

}  // namespace voxshift::onnx
