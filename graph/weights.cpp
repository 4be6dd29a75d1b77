#include <voxshift/graph/weights.h>

#include <utility>

namespace voxshift {

const float* floats_of(const std::optional<Array>& array) {
  return array ? std::as_const(*array).data<float>() : nullptr;
}

namespace {

// What whole numbers are multiplied by takes the factor.
Weights scaled(const Weights& weights, const ScaleShift& norm) {
  const std::int64_t out = weights.multiplier->count();
  Weights result{weights.weight, Array({out}, DType::kF32), Array({out}, DType::kF32)};
  const float* scale = norm.scale.data<float>();
  const float* shift = norm.shift.data<float>();
  const float* bias = floats_of(weights.bias);
  for (std::int64_t c = 0; c < out; ++c) {
    result.multiplier->data<float>()[c] = floats_of(weights.multiplier)[c] * scale[c];
    result.bias->data<float>()[c] = (bias ? bias[c] : 0.0f) * scale[c] + shift[c];
  }
  return result;
}

}  // namespace

Weights folded(const Weights& weights, const ScaleShift& norm) {
  const Shape& shape = weights.weight.shape();
  if (weights.multiplier) return scaled(weights, norm);
  const bool images = shape.size() == 4;  // of conv2d: output channels come first, not last
  const std::int64_t out = images ? shape[0] : shape[2];
  const std::int64_t each = images ? weights.weight.count() / out : 1;  // neighbours of one output channel
  Weights result{Array(shape, DType::kF32), Array({out}, DType::kF32)};
  const float* scale = norm.scale.data<float>();
  const float* shift = norm.shift.data<float>();
  const float* bias = floats_of(weights.bias);
  const float* from = weights.weight.data<float>();
  float* to = result.weight.data<float>();
  for (std::int64_t rest = weights.weight.count(); rest > 0; rest -= out * each)
    for (std::int64_t c = 0; c < out; ++c)
      for (std::int64_t i = 0; i < each; ++i) *to++ = *from++ * scale[c];
  for (std::int64_t c = 0; c < out; ++c) result.bias->data<float>()[c] = (bias ? bias[c] : 0.0f) * scale[c] + shift[c];
  return result;
}

}  // namespace voxshift
