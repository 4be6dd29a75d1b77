#include <voxshift/tensor/half.h>
#include <voxshift/tensor/runtime.h>

#include <cstring>

namespace voxshift {

void copy_floats_to_host(Device device, float* to, const void* from, DType dtype, std::int64_t count) {
  const auto bytes = static_cast<std::size_t>(count) * size_of(dtype);
  if (dtype == DType::kF32) return runtime(device).copy_to_host(device, to, from, bytes);
  // Halves come to the end of the memory: each is read before a float is written over it.
  auto* const floats = reinterpret_cast<unsigned char*>(to);
  const unsigned char* const halves = floats + bytes;
  runtime(device).copy_to_host(device, floats + bytes, from, bytes);
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, halves + i * sizeof(half), sizeof(half));
    const float value = from_half(half);
    std::memcpy(floats + i * sizeof(value), &value, sizeof(value));
  }
}

}  // namespace voxshift
