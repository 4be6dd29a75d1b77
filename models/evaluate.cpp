#include <voxshift/models/evaluate.h>
#include <voxshift/models/fold.h>
#include <voxshift/rows/ops.h>
#include <voxshift/sparse_conv/combine.h>
#include <voxshift/sparse_conv/conv.h>

#include <cmath>
#include <optional>

namespace voxshift {
namespace {

ConvOptions options_of(const Node& node, const std::optional<Array>& bias) {
  const Window& w = node.window;
  const auto list = [&](const Window::Extents& extents) {
    return std::vector<std::int32_t>(extents.begin(), extents.begin() + w.dims);
  };
  ConvOptions options;
  options.kernel_size = list(w.size);
  options.stride = list(w.stride);
  options.dilation = list(w.dilation);
  options.padding = list(w.pad);
  options.semantics = w.semantics;
  options.bias = bias;
  return options;
}

}  // namespace

SparseTensor evaluate(const Graph& graph, const Parameters& parameters, const SparseTensor& input,
                      const BeforeNode& before) {
  std::map<std::string, SparseTensor> values{{kGraphInput, input}};
  std::map<std::string, std::size_t> uses{{graph.output, 1}};  // the caller's
  for (const Node& node : graph.nodes)
    for (const std::string& name : node.inputs) ++uses[name];

  const auto run = [&](const Node& node, const SparseTensor& x) -> SparseTensor {
    const Weights weights = weights_of(node, parameters);
    switch (node.op) {
      case Op::kConv:
        return conv(x, weights.weight, options_of(node, weights.bias));
      case Op::kConvTranspose:
        return conv_transpose(x, weights.weight, options_of(node, weights.bias));
      case Op::kLinear:
        return x.with_features(
            linear(x.features(), weights.weight.reshaped({x.channels(), weights.weight.dim(2)}), weights.bias));
      case Op::kBatchNorm: {
        const ScaleShift norm = scale_shift_of(node, parameters);
        return x.with_features(affine(x.features(), norm.scale, norm.shift));
      }
      case Op::kRelu:
      case Op::kRelu6:
      case Op::kLeakyRelu:
        return x.with_features(affine(x.features(), {}, {}, activation_of(node)));
      case Op::kAdd:
        return add(x, values.at(node.inputs[1]));
      case Op::kCat: {
        std::vector<SparseTensor> parts;
        for (const std::string& name : node.inputs) parts.push_back(values.at(name));
        return cat(parts);
      }
    }
    throw InvalidArgument("[evaluate] unknown op");
  };

  for (const Node& node : graph.nodes) {
    const SparseTensor x = values.at(node.inputs[0]);
    if (before) before(node, x);
    values.emplace(node.name, run(node, x));
    for (const std::string& name : node.inputs)
      if (--uses[name] == 0) values.erase(name);
  }
  return values.at(graph.output);
}

}  // namespace voxshift
