// Sparse convolutions: SparseConvolution and ScatterDense of NVIDIA's exporter for libspconv, GetIndicePairs,
// IndiceConv, GetIndicePairsImplicitGemm, ImplicitGemm and ScatterND of Autoware's. Both write spconv's layers: weights
// [Cout, k.., Cin], windows in the order of the coordinates' columns.
#include <voxshift/onnx/sparse.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace voxshift::onnx {
namespace {

using Extents = std::vector<std::int64_t>;

PerAxis per_axis(const Extents& values) { return {values.begin(), values.end()}; }

/// [Cout, k.., Cin] as [K, Cin, Cout].
Array kernel_by_taps(const Array& weight) {
  const std::int64_t out = weight.dim(0), in = weight.shape().back(), taps = weight.count() / (out * in);
  Array kernel({taps, in, out}, DType::kF32);
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t k = 0; k < taps; ++k)
      for (std::int64_t i = 0; i < in; ++i)
        kernel.data<float>()[(k * in + i) * out + o] = weight.data<float>()[(o * taps + k) * in + i];
  return kernel;
}

void expect_window(const Call& call, const Pairs& pairs, const Constant& weight) {
  const std::size_t dims = pairs.kernel.size();
  call.expect(!weight.is_whole() && weight.shape().size() == dims + 2 && weight.count() > 0,
              "expects a weight [Cout, k.., Cin] of ", dims + 2, " axes, found ", weight.shape());
  for (std::size_t d = 0; d < dims; ++d)
    call.expect(weight.shape()[d + 1] == pairs.kernel[d], "has a window other than its weight ", weight.shape());
  for (const Extents* each : {&pairs.stride, &pairs.padding, &pairs.dilation})
    call.expect(each->size() == dims, "expects stride, padding and dilation of ", dims, " axes");
  call.expect(dims >= 1 && dims <= 4, "has ", dims, " axes");
  call.expect(call.reading.dims == 0 || call.reading.dims == static_cast<int>(dims), "has ", dims,
              " axes, the network ", call.reading.dims);
  call.reading.dims = static_cast<int>(dims);
}

/// The same rule, from the same voxels.
bool same_rule(const Pairs& a, const Pairs& b) {
  return a.from == b.from && a.submanifold == b.submanifold && a.kernel == b.kernel && a.stride == b.stride &&
         a.padding == b.padding && a.dilation == b.dilation;
}

/// The rule with the level that it leads to: a known one where a rule like it has been met.
std::shared_ptr<const Pairs> led(const Call& call, Pairs pairs) {
  if (pairs.submanifold) {
    for (const std::int64_t taps : pairs.kernel)
      call.expect(taps % 2 == 1, "is submanifold with a window of ", taps, " taps, where odd ones are converted");
    pairs.to = pairs.from;
    pairs.stride.assign(pairs.kernel.size(), 1);
    return std::make_shared<const Pairs>(pairs);
  }
  for (const auto& known : call.reading.pairs)
    if (same_rule(*known, pairs)) return known;
  pairs.to = call.reading.levels++;
  call.reading.pairs.push_back(std::make_shared<const Pairs>(pairs));
  return call.reading.pairs.back();
}

/// x by the rule, or back by it.
Part convolved(const Call& call, const Part& x, const Constant& weight, const Pairs& pairs, bool inverse,
               std::int64_t groups) {
  call.expect(x.rows == Rows::kVoxels && x.view == voxel_view(x.channels), "expects features [N, C] of voxels");
  call.expect(x.level == (inverse ? pairs.to : pairs.from),
              "takes features of other voxels than its neighbours are of");
  const std::int64_t out = weight.shape().front(), each = weight.shape().back();
  call.expect(groups >= 1 && each * groups == x.channels && out % groups == 0, "has ", groups, " groups and a weight ",
              weight.shape(), " for ", x.channels, " channels");
  NewNode node{
      inverse ? "conv_transpose" : "conv", {x.name}, {call.tensor("weight", 1, kernel_by_taps(weight.array))}, {}};
  node.attributes = {
      {"kernel_size", per_axis(pairs.kernel)}, {"dilation", per_axis(pairs.dilation)}, {"groups", groups}};
  if (!pairs.submanifold) {
    node.attributes["stride"] = per_axis(pairs.stride);
    node.attributes["padding"] = per_axis(pairs.padding);
    node.attributes["semantics"] = std::string("bounded");
  }
  if (call.given(2) && !call.input(2).pairs) {
    const Constant& bias = call.constant(2, "the bias");
    call.expect(!bias.is_whole() && bias.count() == out, "expects a bias of ", out, " numbers, found ", bias.shape());
    node.tensors.push_back(call.tensor("bias", 2, bias.array.reshaped({out})));
  }
  Part result = x;
  result.name = call.graph().add(call.name(), std::move(node));
  result.channels = out;
  result.level = inverse ? pairs.from : pairs.to;
  result.view = voxel_view(out);
  result.nonnegative = false;
  return result;
}

/// What a layer of NVIDIA's exporter does after its sum.
Part activated(const Call& call, Part part) {
  const std::string activation = call.word("activation", "None");
  if (activation.empty() || activation == "None") return part;
  call.expect(activation == "ReLU" || activation == "Sigmoid", "has the activation \"", activation, "\"");
  part = call.graph().apply(part, call.name() + (activation == "ReLU" ? ".relu" : ".sigmoid"),
                            activation == "ReLU" ? "relu" : "sigmoid");
  part.nonnegative = true;
  return part;
}

/// The rule of a rulebook's name, which the first layer with that name decides.
std::shared_ptr<const Pairs> rule_of(const Call& call, const std::string& rulebook, const Pairs& own, bool inverse) {
  const auto known = call.reading.rulebooks.find(rulebook);
  if (inverse) {
    call.expect(!rulebook.empty() && known != call.reading.rulebooks.end() && !known->second->submanifold,
                "is inverse to the rulebook \"", rulebook, "\", which no strided layer before it has made");
    call.expect(known->second->kernel == own.kernel, "is inverse to a layer with another window");
    return known->second;
  }
  std::shared_ptr<const Pairs> made = led(call, own);
  if (rulebook.empty()) return made;
  if (known == call.reading.rulebooks.end()) {
    call.reading.rulebooks.emplace(rulebook, made);
    return made;
  }
  call.expect(same_rule(*known->second, *made), "shares the rulebook \"", rulebook,
              "\" with a layer of another window or on other voxels, whose map it would reuse");
  return known->second;
}

void sparse_convolution(Call& call) {
  const Part x = call.part(0);
  const Constant& weight = call.constant(1, "the weight");
  call.expect(weight.shape().size() >= 3, "expects a weight [Cout, k.., Cin], found ", weight.shape());
  const Extents kernel(weight.shape().begin() + 1, weight.shape().end() - 1), ones(kernel.size(), 1),
      zeros(kernel.size(), 0);
  Pairs own;
  own.from = x.level;
  own.submanifold = call.whole("subm", 0) != 0;
  own.kernel = call.wholes("kernel_size", kernel);
  own.stride = call.wholes("stride", ones);
  own.padding = call.wholes("padding", zeros);
  own.dilation = call.wholes("dilation", ones);
  if (own.submanifold) own.padding = zeros;
  expect_window(call, own, weight);
  const bool inverse = call.whole("inverse", 0) != 0;
  call.expect(call.whole("transposed", 0) == 0, "is a transposed convolution, of which inverse ones are converted");
  if (own.submanifold) call.expect(own.stride == ones, "is submanifold with a stride");
  const auto pairs = rule_of(call, call.word("rulebook", ""), own, inverse);
  call.give(activated(call, convolved(call, x, weight, *pairs, inverse, call.whole("groups", 1))));
  if (call.word("precision", "") == "int8" || call.word("output_precision", "") == "int8" ||
      call.attribute("weight_dynamic_ranges") != nullptr)
    call.reading.note(
        "int8 precisions and their dynamic ranges are left out: the weights are those of the file, in f32");
  if (call.attribute("output_bound") != nullptr)
    call.reading.note("output_bound is left out: layers have as many voxels as they have");
}

/// Voxels written into a grid; `shape` [batch, grid.., channels], or with channels before the grid.
void give_dense(Call& call, Part x, const Shape& shape, bool channels_first) {
  call.expect(shape.size() == 5 && call.reading.dims == 3, "expects 3 axes");
  call.expect(shape[0] == 1 && shape[channels_first ? 1 : 4] == x.channels, "writes [N, ", x.channels, "] into ",
              shape);
  for (std::size_t d = 0; d < 3; ++d) x.grid[d] = shape[d + (channels_first ? 2 : 1)];
  for (const std::int64_t extent : x.grid)
    call.expect(extent >= 1 && extent <= (1 << 20), "writes into a grid ", shape);
  x.rows = Rows::kDense;
  const Axis grid[] = {axis_of(Atom::Kind::kAxis0, x.grid[0]), axis_of(Atom::Kind::kAxis1, x.grid[1]),
                       axis_of(Atom::Kind::kAxis2, x.grid[2])};
  x.view.axes = {{}};
  if (channels_first) x.view.axes.push_back(channel_axis(x.channels));
  x.view.axes.insert(x.view.axes.end(), std::begin(grid), std::end(grid));
  if (!channels_first) x.view.axes.push_back(channel_axis(x.channels));
  call.give(std::move(x));
}

Part voxels_of(const Call& call, std::size_t i) {
  Part x = call.part(i);
  call.expect(x.rows == Rows::kVoxels && x.view == voxel_view(x.channels), "expects features [N, C] of voxels");
  return x;
}

void scatter_dense(Call& call) {
  const Part x = voxels_of(call, 0);
  Shape shape{1, x.channels};
  const Extents grid = call.wholes("input_spatial_shape");
  shape.insert(shape.end(), grid.begin(), grid.end());
  const Shape out = call.wholes("output_shape", shape);
  call.expect(out == shape, "gives ", out, " for voxels in ", shape);
  give_dense(call, x, shape, true);
}

/// Every column of coordinates in order.
bool all_columns(const CoordinateColumns& coordinates, std::size_t dims) {
  std::vector<int> all(dims + 1);
  std::iota(all.begin(), all.end(), 0);
  return coordinates.columns == all;
}

void scatter_nd(Call& call) {
  const Value& data = call.input(0);
  bool zeros = data.zeros.has_value();
  if (data.constant) {
    zeros = true;
    for (std::int64_t i = 0; i < data.constant->count(); ++i) zeros &= data.constant->number(i) == 0;
  }
  const Value& indices = call.input(1);
  const Part x = voxels_of(call, 2);
  call.expect(
      zeros && indices.coordinates && all_columns(*indices.coordinates, 3) && indices.coordinates->level == x.level,
      "writes something else than features of voxels at their coordinates into zeros");
  give_dense(call, x, data.shape(), false);
}

/// Coordinates that pairs are made of; those of the input may come in another order of their columns.
int level_of(const Call& call, const CoordinateColumns& coordinates, std::size_t dims) {
  call.expect(coordinates.columns.size() == dims + 1, "expects ", dims + 1, " coordinates of each voxel, found ",
              coordinates.columns.size());
  if (coordinates.level > 0) {
    call.expect(all_columns(coordinates, dims), "takes coordinates in another order");
    return coordinates.level;
  }
  if (call.reading.columns.empty()) call.reading.columns = coordinates.columns;
  call.expect(call.reading.columns == coordinates.columns, "takes coordinates in another order than a node before");
  return 0;
}

void indice_pairs(Call& call) {
  const Value& value = call.input(0);
  call.expect(value.coordinates.has_value(), "expects coordinates of voxels");
  Pairs own;
  own.kernel = call.wholes("ksize");
  own.stride = call.wholes("stride");
  own.padding = call.wholes("padding");
  own.dilation = call.wholes("dilation");
  own.submanifold = call.whole("subm", 0) != 0;
  if (own.submanifold) own.padding.assign(own.kernel.size(), 0);
  own.from = level_of(call, *value.coordinates, own.kernel.size());
  call.expect(call.whole("transpose", 0) == 0, "is of a transposed convolution");
  const std::shared_ptr<const Pairs> pairs = led(call, own);
  Value coordinates, rule;
  coordinates.coordinates = CoordinateColumns{pairs->to, std::vector<int>(own.kernel.size() + 1), false};
  std::iota(coordinates.coordinates->columns.begin(), coordinates.coordinates->columns.end(), 0);
  if (pairs->to == 0) coordinates.coordinates->columns = call.reading.columns;
  rule.pairs = pairs;
  call.give(std::move(coordinates));
  for (int i = 1; i < call.node.output_size(); ++i) call.give(rule, i);
}

/// Features that are computed before the network begins become its input.
void begin_at(const Call& call, std::size_t i, std::int64_t channels) {
  Reading& reading = call.reading;
  call.expect(reading.features.empty(),
              "takes features that are computed outside of what can be converted, as those of \"", reading.features,
              "\" were");
  reading.features = call.input_name(i);
  reading.graph.expect_input({kGraphInput, InputKind::kVoxels, channels, {}});
  Value value;
  Part part;
  part.name = kGraphInput;
  part.rows = Rows::kVoxels;
  part.channels = channels;
  part.view = voxel_view(channels);
  value.parts.push_back(part);
  reading.values.insert_or_assign(reading.features, std::move(value));
}

void implicit_gemm(Call& call) {
  const Constant& weight = call.constant(1, "the weight");
  const std::shared_ptr<const Pairs> pairs = call.input(2).pairs;
  call.expect(pairs != nullptr, "expects the pairs of GetIndicePairs");
  expect_window(call, *pairs, weight);
  for (const char* name : {"act_alpha", "act_beta", "output_add_scale"})
    call.expect(call.number(name, 0) == 0, "has ", name, " other than 0");
  call.expect(call.number("output_scale", 1) == 1, "has an output_scale other than 1");
  if (call.input(0).outside) begin_at(call, 0, weight.shape().back());
  call.give(convolved(call, call.part(0), weight, *pairs, false, 1));
}

}  // namespace

Handler find_sparse_op(const std::string& op) {
  static const std::map<std::string, Handler> ops{{"SparseConvolution", sparse_convolution},
                                                  {"ScatterDense", scatter_dense},
                                                  {"ScatterND", scatter_nd},
                                                  {"GetIndicePairs", indice_pairs},
                                                  {"GetIndicePairsImplicitGemm", indice_pairs},
                                                  {"IndiceConv", implicit_gemm},
                                                  {"ImplicitGemm", implicit_gemm}};
  const auto found = ops.find(op);
  return found == ops.end() ? nullptr : found->second;
}

}  // namespace voxshift::onnx
