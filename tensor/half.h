// Numbers of f16 and bf16 on the host, where all arithmetic is f32.
#pragma once

#include <voxshift/tensor/device.h>
#include <voxshift/tensor/dtype.h>

#include <bit>
#include <cstdint>

namespace voxshift {

/// The number that an f16 of these bits is, exactly.
inline float from_half(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half} << 16 & 0x80000000, rest = half & 0x7FFF;
  if (rest < 0x400) {
    const float size = static_cast<float>(rest) * 0x1p-24f;
    return sign ? -size : size;
  }
  const std::uint32_t exponent = rest < 0x7C00 ? 112u << 23 : 224u << 23;  // infinities and NaNs keep their kind
  return std::bit_cast<float>(sign | ((rest << 13) + exponent));
}

/// x as f16, to nearest, ties to even; infinite from 65520 on.
inline std::uint16_t to_half(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7FFFFFFF;
  if (size > 0x7F800000) return static_cast<std::uint16_t>(sign | 0x7E00);   // NaN
  if (size >= 0x477FF000) return static_cast<std::uint16_t>(sign | 0x7C00);  // 65520
  // Subnormal halves are multiples of 2^-24; 2^-1 has an ulp of 2^-24, so the addition rounds to one.
  if (size < 0x38800000)
    return static_cast<std::uint16_t>(sign |
                                      (std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + 0.5f) - 0x3F000000));
  const std::uint32_t rounded = size + 0xFFF + (size >> 13 & 1);
  return static_cast<std::uint16_t>(sign | ((rounded >> 13) - (112 << 10)));
}

/// The number that a bf16 of these bits is, exactly; and x as bf16, to nearest, ties to even.
inline float from_bfloat(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
inline std::uint16_t to_bfloat(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<std::uint16_t>(bits >> 16 | 0x40);  // NaN stays one
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/// Copies `count` numbers, f32 or f16, from the device to the host as f32, exactly. Allocates nothing.
void copy_floats_to_host(Device device, float* to, const void* from, DType dtype, std::int64_t count);

}  // namespace voxshift
