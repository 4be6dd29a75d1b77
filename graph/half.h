// Numbers of f16 on the host, where all arithmetic is f32.
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

/// Copies `count` numbers, f32 or f16, from the device to the host as f32, exactly. Allocates nothing.
void copy_floats_to_host(Device device, float* to, const void* from, DType dtype, std::int64_t count);

}  // namespace voxshift
