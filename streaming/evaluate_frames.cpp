#include <voxshift/graph/image_window.h>
#include <voxshift/graph/op.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/rows/ops.h>
#include <voxshift/streaming/evaluate_frames.h>
#include <voxshift/temporal_shift/temporal_shift.h>
#include <voxshift/video/conv2d.h>
#include <voxshift/video/pool2d.h>

#include <algorithm>

namespace voxshift {
namespace {

// Values are f32 [T, H, W, C]; of what follows the mean over a frame, H = W = 1.

Array as_rows(const Array& x) { return x.reshaped({x.dim(0) * x.dim(1) * x.dim(2), x.dim(3)}); }

Array as_frames(const Array& rows, const Array& like) {
  return rows.reshaped({like.dim(0), like.dim(1), like.dim(2), rows.dim(1)});
}

// `op` of every frame f32 [H, W, C], each result f32 [H', W', C'].
template <class Op>
Array each_frame(const Array& x, const Op& op) {
  const std::int64_t frame = x.dim(1) * x.dim(2) * x.dim(3);
  Array out;
  for (std::int64_t t = 0; t < x.dim(0); ++t) {
    const Array result = op(Array(static_cast<float*>(x.owner().get()) + t * frame, {x.dim(1), x.dim(2), x.dim(3)},
                                  DType::kF32, x.device(), x.owner()));
    if (t == 0) out = Array({x.dim(0), result.dim(0), result.dim(1), result.dim(2)}, DType::kF32, x.device());
    std::copy_n(result.data<float>(), result.count(), out.data<float>() + t * result.count());
  }
  return out;
}

Array sum(const Node& node, const Array& a, const Array& b) {
  check(a.shape() == b.shape(), "[evaluate] node \"", node.name, "\" adds ", a.shape(), " and ", b.shape());
  Array out(a.shape(), DType::kF32, a.device());
  Array rows = as_rows(out);
  const Context context{a.device(), nullptr, num_threads(), nullptr};
  row_kernels(a.device())
      .affine(context, rows_of(as_rows(a)), nullptr, nullptr, rows_of(as_rows(b)), {}, rows_of(rows));
  return out;
}

// The node's value; `other` is its second input, where it has one.
Array value_of(const Node& node, const Parameters& parameters, const Array& x, const Array& other) {
  const OpDefinition& op = *find_op(node.op);
  const Weights weights = op.weights != nullptr ? op.weights(node, parameters) : Weights{};
  if (node.op == "conv2d") {
    const Conv2dOptions options{node.whole("stride"), node.whole("padding"), node.whole("groups"), {}};
    return each_frame(x, [&](const Array& f) { return conv2d(f, weights.weight, weights.bias, options); });
  }
  if (node.op == "linear") {
    const Array weight = weights.weight.reshaped({weights.weight.dim(1), weights.weight.dim(2)});
    return as_frames(linear(as_rows(x), weight, weights.bias), x);
  }
  if (op.scale_shift != nullptr) {
    const ScaleShift norm = op.scale_shift(node, parameters);
    return as_frames(affine(as_rows(x), norm.scale, norm.shift), x);
  }
  if (op.is_sum) return sum(node, x, other);
  if (node.op == "max_pool2d") {
    const Window2d window = image_window_of(node, node.whole("kernel_size"));
    return each_frame(x, [&](const Array& f) { return max_pool2d(f, window); });
  }
  if (node.op == "avg_pool")
    return each_frame(x, [&](const Array& f) { return global_avg_pool2d(f).reshaped({1, 1, f.dim(2)}); });
  if (node.op == "temporal_shift")
    return temporal_shift(x, x.dim(0), {node.whole("shift_div"), node.flag("bidirectional")});
  check(op.activation != nullptr, "[evaluate] node \"", node.name, "\" (", node.op, ") is not an op of video networks");
  return as_frames(affine(as_rows(x), {}, {}, op.activation(node)), x);
}

}  // namespace

Array evaluate_frames(const Graph& graph, const Parameters& parameters, const Array& frames,
                      const BeforeFrameNode& before) {
  check(graph.input == GraphInput::kFrames, "[evaluate] the network takes ", name(graph.input), ", not frames");
  check(frames.dtype() == DType::kF32 && frames.rank() == 4 && frames.count() > 0 && frames.dim(3) == graph.in_channels,
        "[evaluate] frames expects f32 [T, H, W, ", graph.in_channels, "], found ", name(frames.dtype()), " ",
        frames.shape());
  Graph sorted = graph;
  check_graph(sorted, parameters);
  std::map<std::string, int> uses{{sorted.output(), 1}};
  for (const Node& node : sorted.nodes)
    for (const std::string& input : node.inputs) ++uses[input];
  std::map<std::string, Array> values{{kGraphInput, frames}};
  for (const Node& node : sorted.nodes) {
    const Array& x = values.at(node.inputs.front());
    if (before) before(node, rows_of(as_rows(x)));
    values.emplace(node.name, value_of(node, parameters, x, values.at(node.inputs.back())));
    for (const std::string& input : node.inputs)
      if (--uses[input] == 0) values.erase(input);
  }
  const Array& out = values.at(sorted.output());
  check(out.dim(1) == 1 && out.dim(2) == 1, "[evaluate] the output has ", out.dim(1), " x ", out.dim(2),
        " pixels, expected one: the network has no avg_pool");
  return as_rows(out);
}

}  // namespace voxshift
