#include <voxshift/models/fold.h>

#include <cmath>
#include <utility>

namespace voxshift {

Weights weights_of(const Node& node, const Parameters& parameters) {
  if (node.op != Op::kConv && node.op != Op::kConvTranspose && node.op != Op::kLinear) return {};
  Weights weights;
  const Array& weight = parameters.at(node.parameters.at("weight"));
  if (node.op == Op::kLinear) {
    const std::int64_t out = weight.dim(0), in = weight.dim(1);
    weights.weight = Array({1, in, out}, DType::kF32);
    for (std::int64_t o = 0; o < out; ++o)
      for (std::int64_t i = 0; i < in; ++i)
        weights.weight.data<float>()[i * out + o] = weight.data<float>()[o * in + i];
  } else {
    weights.weight = weight.rank() == 2 ? weight.reshaped({1, weight.dim(0), weight.dim(1)}) : weight;
  }
  if (const auto bias = node.parameters.find("bias"); bias != node.parameters.end())
    weights.bias = parameters.at(bias->second);
  return weights;
}

ScaleShift scale_shift_of(const Node& node, const Parameters& parameters) {
  const auto values = [&](const char* role) { return parameters.at(node.parameters.at(role)).data<float>(); };
  const std::int64_t channels = parameters.at(node.parameters.at("weight")).count();
  ScaleShift norm{Array({channels}, DType::kF32), Array({channels}, DType::kF32)};
  for (std::int64_t c = 0; c < channels; ++c) {
    const double scale = values("weight")[c] / std::sqrt(static_cast<double>(values("running_var")[c]) + node.eps);
    norm.scale.data<float>()[c] = static_cast<float>(scale);
    norm.shift.data<float>()[c] = static_cast<float>(values("bias")[c] - values("running_mean")[c] * scale);
  }
  return norm;
}

Weights folded(const Weights& weights, const ScaleShift& norm) {
  const Shape& shape = weights.weight.shape();
  const std::int64_t out = shape[2];
  Weights result{Array(shape, DType::kF32), Array({out}, DType::kF32)};
  const float* scale = norm.scale.data<float>();
  for (std::int64_t i = 0; i < weights.weight.count(); ++i)
    result.weight.data<float>()[i] = weights.weight.data<float>()[i] * scale[i % out];
  for (std::int64_t c = 0; c < out; ++c) {
    const float bias = weights.bias ? std::as_const(*weights.bias).data<float>()[c] : 0.0f;
    result.bias->data<float>()[c] = bias * scale[c] + norm.shift.data<float>()[c];
  }
  return result;
}

Activation activation_of(const Node& node) {
  switch (node.op) {
    case Op::kRelu:
      return {Activation::Kind::kRelu, 0};
    case Op::kRelu6:
      return {Activation::Kind::kRelu6, 0};
    case Op::kLeakyRelu:
      return {Activation::Kind::kLeakyRelu, node.slope};
    default:
      return {};
  }
}

}  // namespace voxshift
