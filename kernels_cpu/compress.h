// Moves the lanes that a mask chooses to the front of a vector. Compiled once per instruction set (include it inside
// HWY_NAMESPACE code, after hwy/highway.h).
#ifndef VOXSHIFT_KERNELS_CPU_COMPRESS_TABLE
#define VOXSHIFT_KERNELS_CPU_COMPRESS_TABLE
#include <array>
#include <cstdint>

namespace voxshift::cpu {

/// Row `bits` lists the lanes whose bit is set.
template <int kLanes>
constexpr auto chosen_lanes() {
  std::array<std::array<std::int32_t, kLanes>, (1 << kLanes)> table{};
  for (int bits = 0; bits < 1 << kLanes; ++bits)
    for (int lane = 0, n = 0; lane < kLanes; ++lane)
      if (bits >> lane & 1) table[bits][n++] = lane;
  return table;
}

template <int kLanes>
alignas(64) inline constexpr auto kChosenLanes = chosen_lanes<kLanes>();

}  // namespace voxshift::cpu
#endif

#if defined(VOXSHIFT_KERNELS_CPU_COMPRESS_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VOXSHIFT_KERNELS_CPU_COMPRESS_H
#undef VOXSHIFT_KERNELS_CPU_COMPRESS_H
#else
#define VOXSHIFT_KERNELS_CPU_COMPRESS_H
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// The lanes of v where the mask is set come first, in order; what follows is unspecified. GCC 12 copies the table of
/// hn::Compress to the stack at every call where the instruction set has no such instruction.
template <class D, class V, class M>
HWY_INLINE V compress(D d, V v, M mask) {
  namespace hn = hwy::HWY_NAMESPACE;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
  if constexpr (kLanes == 4 || kLanes == 8) {
    std::uint8_t bits[8];
    hn::StoreMaskBits(d, mask, bits);
    return hn::TableLookupLanes(v, hn::SetTableIndices(d, kChosenLanes<kLanes>[bits[0]].data()));
  } else {
    return hn::Compress(v, mask);
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
