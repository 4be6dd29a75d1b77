// Numbers of i8, and what their products are. One definition for all devices and instruction sets, so that all give the
// same bits.
#pragma once

#include <cmath>
#include <cstdint>

namespace voxshift {

/// The largest number of i8: -128 is none, so that the negative of a number is one, too.
inline constexpr int kMostI8 = 127;

/// x as i8: x * inverse in f32, to the nearest whole number, ties to even, and not beyond +-127. NaN gives 0.
inline std::int8_t to_i8(float x, float inverse) {
  const float scaled = x * inverse;
  if (std::isnan(scaled)) return 0;
  if (scaled >= kMostI8) return kMostI8;
  if (scaled <= -kMostI8) return -kMostI8;
  return static_cast<std::int8_t>(std::nearbyint(scaled));
}

/// Weights of a product of i8 numbers. With q the sum over all of its i8 inputs times weights, exact in int32, output o
/// is
///   act(float(q) * multiplier[o] + bias[o] + residual), or act(float(q) * multiplier[o] + bias[o]) + residual,
/// where every operation is rounded to f32 (none is fused with another), and where the output is i8, to_i8 of that with
/// the inverse of the output's scale. So with s the scale of input channel i, multiplier[o] * weight[i, o] / s[i] is
/// what a plain product would multiply by.
struct QuantizedWeights {
  const std::int8_t* weight;  ///< -127..127
  const float* multiplier;    ///< [out channels]
};

}  // namespace voxshift
