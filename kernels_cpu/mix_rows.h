// Weighted sums of rows. Compiled once per instruction set, like matmul.h.
#if defined(VOXSHIFT_KERNELS_CPU_MIX_ROWS_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VOXSHIFT_KERNELS_CPU_MIX_ROWS_H
#undef VOXSHIFT_KERNELS_CPU_MIX_ROWS_H
#else
#define VOXSHIFT_KERNELS_CPU_MIX_ROWS_H
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>
#include <voxshift/kernels_cpu/matmul.h>

#ifndef VOXSHIFT_KERNELS_CPU_PAST_CACHES
#define VOXSHIFT_KERNELS_CPU_PAST_CACHES
namespace voxshift::cpu {

/// Whether rows are best written past the caches: aligned ones of an output that no cache holds when it is read.
inline bool writes_past_caches(const RowView& out) {
  constexpr std::int64_t kCaches = std::int64_t{1} << 24;
  const bool aligned = reinterpret_cast<std::uintptr_t>(out.base) % 64 == 0 && out.row_stride % 16 == 0;
  return aligned && out.count * out.channels * static_cast<std::int64_t>(sizeof(float)) > kCaches;
}

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// out[c] = sum over j < mixture.count, in order, of mixture.weight(j) * mixture.row(j)[c], for the kVectors * kLanes
/// channels from c on. kPast: written past the caches, `out` is aligned.
template <int kVectors, bool kPast, class Mixture>
HWY_INLINE void mix_vectors(const Mixture& mixture, std::int64_t c, float* out) {
  const Floats d;
  FloatVector acc[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) acc[v] = hn::Zero(d);
  for (std::int64_t j = 0; j < mixture.count; ++j) {
    const FloatVector w = hn::Set(d, mixture.weight(j));
    const float* const x = mixture.row(j) + c;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[v] = hn::MulAdd(w, hn::LoadU(d, x + v * kLanes), acc[v]);
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    if constexpr (kPast) {
      hn::Stream(acc[v], d, out + c + v * kLanes);
    } else {
      hn::StoreU(acc[v], d, out + c + v * kLanes);
    }
  }
}

/// The same for all channels.
template <bool kPast, class Mixture>
HWY_INLINE void mix(const Mixture& mixture, std::int64_t channels, float* out) {
  constexpr int kWide = 4;
  std::int64_t c = 0;
  for (; c + kWide * kLanes <= channels; c += kWide * kLanes) mix_vectors<kWide, kPast>(mixture, c, out);
  for (; c + kLanes <= channels; c += kLanes) mix_vectors<1, kPast>(mixture, c, out);
  if (c == channels) return;
  if (channels >= kLanes) return mix_vectors<1, false>(mixture, channels - kLanes, out);  // some channels once more
  FloatVector acc = hn::Zero(Floats());
  for (std::int64_t j = 0; j < mixture.count; ++j)
    acc = hn::MulAdd(hn::Set(Floats(), mixture.weight(j)), load_some(mixture.row(j), channels), acc);
  store_some(acc, out, channels);
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
