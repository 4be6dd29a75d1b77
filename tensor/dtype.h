// Element types of arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace voxshift {

enum class DType { kF32, kF16, kBF16, kI64, kI32, kI8, kU8 };

/// Bytes of one element.
std::size_t size_of(DType dtype);

/// "f32", "f16", "bf16", "i64", "i32", "i8", "u8".
const char* name(DType dtype);

/// The DType of a C++ element type that has one.
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::kF32;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::kI64;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::kI32;
  if constexpr (std::is_same_v<T, std::int8_t>) return DType::kI8;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::kU8;
}

}  // namespace voxshift
