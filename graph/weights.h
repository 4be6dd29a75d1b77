// What products multiply by, and batch norm folded into it.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/epilogue.h>

#include <optional>

namespace voxshift {

/// weight f32 [K, Cin / groups, Cout] (K = 1 for linear) or, of conv2d, [Cout, Cin / groups, k, k]; bias f32 [Cout].
struct Weights {
  Array weight;
  std::optional<Array> bias;
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
