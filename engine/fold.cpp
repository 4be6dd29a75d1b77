#include <voxshift/engine/fold.h>

#include <cmath>
#include <utility>

namespace voxshift {

Weights weights_of(const Node& node, const Parameters& parameters) {
  if (node.op != Op::kConv && node.op != Op::kConvTranspose && node.op != Op::kLinear && node.op != Op::kConv2d)
    return {};
  Weights weights;
  const Array& weight = parameters.at(node.parameters.at("weight"));
  if (node.op == Op::kLinear) {
    const std::int64_t out = weight.dim(0), in = weight.dim(1);
    weights.weight = Array({1, in, out}, DType::kF32);
    const float* from = weight.data<float>();
    float* to = weights.weight.data<float>();
    for (std::int64_t o = 0; o < out; ++o)
      for (std::int64_t i = 0; i < in; ++i) to[i * out + o] = from[o * in + i];
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
  const bool images = shape.size() == 4;  // of conv2d: output channels come first, not last
  const std::int64_t out = images ? shape[0] : shape[2];
  const std::int64_t each = images ? weights.weight.count() / out : 1;  // neighbours of one output channel
  Weights result{Array(shape, DType::kF32), Array({out}, DType::kF32)};
  const float* scale = norm.scale.data<float>();
  const float* shift = norm.shift.data<float>();
  const float* bias = weights.bias ? std::as_const(*weights.bias).data<float>() : nullptr;
  const float* from = weights.weight.data<float>();
  float* to = result.weight.data<float>();
  for (std::int64_t rest = weights.weight.count(); rest > 0; rest -= out * each)
    for (std::int64_t c = 0; c < out; ++c)
      for (std::int64_t i = 0; i < each; ++i) *to++ = *from++ * scale[c];
  for (std::int64_t c = 0; c < out; ++c) result.bias->data<float>()[c] = (bias ? bias[c] : 0.0f) * scale[c] + shift[c];
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
