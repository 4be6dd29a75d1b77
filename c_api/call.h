// What every function of the interface does: errors become a status and a text, structs are taken and given by their
// size.
#pragma once

#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "c_api.h"

namespace voxshift::c_api {

/// The status of the exception that is being handled; its text becomes the thread's last error.
voxshift_status failed(const char* function) noexcept;

/// Runs `body`, whose exceptions end here.
template <class Body>
voxshift_status call(const char* function, const Body& body) noexcept try {
  body();
  return VOXSHIFT_OK;
} catch (...) {
  return failed(function);
}

/// Size of a struct in the first version of the interface: one that grows is given the number here, and no smaller one
/// is a caller's.
template <class T>
constexpr std::size_t kFirstSize = sizeof(T);

template <class T>
std::size_t size_of_callers(const T& given, const char* what) {
  constexpr std::size_t kMost = 4096;
  static_assert(std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>);
  check(given.size >= kFirstSize<T> && given.size <= kMost, what, ".size expects ", sizeof(T), ", found ", given.size,
        "; VOXSHIFT_.._INIT sets it");
  return given.size;
}

/// A caller's struct as this library knows it: fields that the caller's has not are zero, fields that this library does
/// not know must be.
template <class T>
T taken(const T* given, const char* what) {
  check(given != nullptr, what, " is null");
  const std::size_t bytes = size_of_callers(*given, what);
  T known{};
  std::memcpy(&known, given, std::min(bytes, sizeof(T)));
  const auto* const all = reinterpret_cast<const unsigned char*>(given);
  check(bytes <= sizeof(T) || std::all_of(all + sizeof(T), all + bytes, [](unsigned char byte) { return byte == 0; }),
        what, " has fields that this library does not know, ", bytes, " bytes of ", sizeof(T));
  return known;
}

/// Whether the caller's struct can take a result, before one is computed.
template <class T>
void check_result(const T* wanted, const char* what) {
  check(wanted != nullptr, what, " is null");
  size_of_callers(*wanted, what);
}

/// Gives the fields that the caller's struct has; what this library does not know becomes zero.
template <class T>
void give(T* wanted, T value) {
  const std::size_t bytes = wanted->size;
  value.size = wanted->size;
  std::memcpy(wanted, &value, std::min(bytes, sizeof(T)));
  if (bytes > sizeof(T)) std::memset(reinterpret_cast<unsigned char*>(wanted) + sizeof(T), 0, bytes - sizeof(T));
}

}  // namespace voxshift::c_api
