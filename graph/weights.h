// What products multiply by, and batch norm folded into it.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/epilogue.h>

#include <optional>

namespace voxshift {

/// The role of a product's tensor that makes its weight i8.
inline constexpr const char* kWeightScale = "weight_scale";

/// weight f32 or i8 [K, Cin / groups, Cout] (K = 1 for linear) or, of conv2d, [Cout, Cin / groups, k, k]; bias f32
/// [Cout].
struct Weights {
  Array weight;
  std::optional<Array> bias;
  std::optional<Array> multiplier = {};  ///< f32 [Cout] of a weight i8: narrow.h
};

/// y = x * scale + shift per channel.
struct ScaleShift {
  Array scale, shift;
};

/// The numbers of an array that may be absent; null then.
const float* floats_of(const std::optional<Array>& array);

/// Weights whose product is followed by y * scale + shift. The result shares nothing with its arguments.
Weights folded(const Weights& weights, const ScaleShift& norm);

}  // namespace voxshift
