// The tiles of matmul.h, compiled here for all that use them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/matmul.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/matmul.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

template <int kRows, int kPanels>
HWY_INLINE void tile(const Product& product, std::int64_t panel, const std::int32_t* in_rows,
                     const std::int32_t* out_rows) {
  constexpr int kVectors = kPanels * kPanelVectors;
  const Floats d;
  const float* a[kRows];
  float* c[kRows];
  FloatVector acc[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    a[r] = product.in + in_rows[r] * product.in_stride;
    c[r] = product.acc + (out_rows[r] - product.first_out) * product.acc_stride + panel * kPanel;
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) acc[r][v] = hn::Load(d, c[r] + v * kLanes);
  }
  const std::int64_t channels = product.in_channels;
  const float* const weight = product.weight + panel * channels * kPanel;
  for (std::int64_t i = 0; i < channels; ++i) {
    FloatVector w[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      w[v] = hn::Load(d, weight + (v / kPanelVectors * channels + i) * kPanel + v % kPanelVectors * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const FloatVector x = hn::Set(d, a[r][i]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) acc[r][v] = hn::MulAdd(x, w[v], acc[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) hn::Store(acc[r][v], d, c[r] + v * kLanes);
}

/// The last `rows` pairs of a list, fewer than a full tile has.
template <int kPanels, int kRows = tile_rows(kPanels) - 1>
HWY_INLINE void tail(const Product& product, std::int64_t panel, const std::int32_t* in_rows,
                     const std::int32_t* out_rows, std::int64_t rows) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return tile<kRows, kPanels>(product, panel, in_rows, out_rows);
    tail<kPanels, kRows - 1>(product, panel, in_rows, out_rows, rows);
  }
}

/// Asks for the input rows of the next tile while this one is computed: rows picked by index are no pattern that
/// hardware foresees.
HWY_INLINE void prefetch_rows(const Product& product, const std::int32_t* in_rows, std::int64_t count) {
  constexpr std::int64_t kLine = 64 / sizeof(float);
  for (std::int64_t r = 0; r < count; ++r)
    for (std::int64_t i = 0; i < product.in_channels; i += kLine)
      hwy::Prefetch(product.in + in_rows[r] * product.in_stride + i);
}

template <int kPanels>
HWY_NOINLINE void multiply_panels(const Product& product, std::int64_t panel, const std::int32_t* in_rows,
                                  const std::int32_t* out_rows, std::int64_t count) {
  constexpr int kRows = tile_rows(kPanels);
  for (; count >= kRows; count -= kRows, in_rows += kRows, out_rows += kRows) {
    if (panel == 0 && !product.cached)
      prefetch_rows(product, in_rows + kRows, count - kRows < kRows ? count - kRows : kRows);
    tile<kRows, kPanels>(product, panel, in_rows, out_rows);
  }
  tail<kPanels>(product, panel, in_rows, out_rows, count);
}

void multiply(const Product& product, const std::int32_t* in_rows, const std::int32_t* out_rows, std::int64_t count) {
  if (count == 0) return;
  for_panels(product.panels, [&]<int kPanels>(std::int64_t panel) {
    multiply_panels<kPanels>(product, panel, in_rows, out_rows, count);
  });
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
