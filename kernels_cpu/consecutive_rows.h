// The row lists of a product that takes every row.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>

namespace voxshift::cpu {

constexpr std::int64_t kConsecutiveRows = 256;

/// The numbers 0 .. kConsecutiveRows - 1.
inline const std::int32_t* consecutive_rows() {
  static const auto rows = [] {
    std::array<std::int32_t, kConsecutiveRows> r{};
    std::iota(r.begin(), r.end(), 0);
    return r;
  }();
  return rows.data();
}

}  // namespace voxshift::cpu
