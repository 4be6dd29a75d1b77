// Products of f16 and bf16 where no instruction takes them: kept narrow in memory, computed in f32. Rows are staged as
// f32, and the weights of a few panels at a time are widened before all staged rows meet them.
#include <voxshift/kernels_cpu/consecutive_rows.h>
#include <voxshift/kernels_cpu/narrow_sets.h>
#include <voxshift/kernels_cpu/targets.h>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/narrow_widened.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/matmul.h>
#include <voxshift/kernels_cpu/numbers.h>

#ifndef VOXSHIFT_KERNELS_CPU_NARROW_WIDENED
#define VOXSHIFT_KERNELS_CPU_NARROW_WIDENED
namespace voxshift::cpu {

constexpr int kWidenedRows = 192, kWideRows = 48;

static_assert(kWidenedRows <= kConsecutiveRows);

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

template <DType kType>
HWY_INLINE FloatVector widened(const std::uint16_t* p) {
  return kType == DType::kF16 ? from_halves(p) : from_bfloats(p);
}

template <DType kType>
void stage_widened(const NarrowRows& r) {
  constexpr std::int64_t kStep = 4 * kLanes;
  const NarrowRows rows = r;  // nothing that is written is read again
  for (std::int64_t i = 0; i < rows.count; ++i) {
    const std::int64_t row = rows.rows != nullptr ? rows.rows[i] : i;
    const auto* const from = reinterpret_cast<const std::uint16_t*>(rows.from + row * rows.stride);
    auto* const to = reinterpret_cast<float*>(rows.to + i * rows.to_stride);
    std::int64_t c = 0;
    for (; c + kStep <= rows.channels; c += kStep)
      for (int v = 0; v < 4; ++v) hn::StoreU(widened<kType>(from + c + v * kLanes), Floats(), to + c + v * kLanes);
    for (; c + kLanes <= rows.channels; c += kLanes) hn::StoreU(widened<kType>(from + c), Floats(), to + c);
    if (c == rows.channels) continue;
    std::uint16_t some[kLanes] = {};
    std::copy_n(from + c, rows.channels - c, some);
    store_some(widened<kType>(some), to + c, rows.channels - c);
  }
}

/// Numbers [0, 16 * channels) of a panel, as f32.
template <DType kType>
void widen_panel(const std::byte* panel, std::int64_t channels, std::byte* to) {
  const auto* const from = reinterpret_cast<const std::uint16_t*>(panel + kPanel * 4);
  auto* const wide = reinterpret_cast<float*>(to);
  for (std::int64_t i = 0; i < channels * kPanel; i += kLanes) hn::Store(widened<kType>(from + i), Floats(), wide + i);
}

HWY_INLINE void prefetch(const NarrowRows& next) {
  for (std::int64_t i = 0; i < next.count; ++i)
    for (std::int64_t b = 0; b < next.channels * 2; b += 64) hwy::Prefetch(next.from + next.rows[i] * next.stride + b);
}

/// All rows by panels that are f32 already and lie one after the other.
void multiply_wide(const NarrowTile& t) {
  const std::int32_t* const to = t.sum_rows != nullptr ? t.sum_rows : consecutive_rows();
  const Product product{reinterpret_cast<const float*>(t.staged),
                        t.staged_stride / 4,
                        t.groups,
                        reinterpret_cast<const float*>(t.panel),
                        static_cast<float*>(t.sums),
                        t.sums_stride,
                        t.panels,
                        t.sum_rows != nullptr ? t.first_sum_row : 0,
                        true};
  if (t.next != nullptr) prefetch(*t.next);
  multiply(product, consecutive_rows(), to, t.rows);
}

template <DType kType>
void multiply_widened(const NarrowTile& t) {
  NarrowTile some = t;
  some.panel = static_cast<const std::byte*>(t.scratch);
  for (std::int64_t panel = 0; panel < t.panels; panel += some.panels) {
    some.panels = std::min<std::int64_t>(kMostPanels, t.panels - panel);
    some.sums = static_cast<float*>(t.sums) + panel * kPanel;
    for (std::int64_t p = 0; p < some.panels; ++p)
      widen_panel<kType>(t.panel + (panel + p) * t.panel_stride, t.groups,
                         static_cast<std::byte*>(t.scratch) + p * t.groups * kPanel * 4);
    some.next = panel == 0 ? t.next : nullptr;
    multiply_wide(some);
  }
}

template <DType kType>
NarrowProduct wide_product() {
  NarrowProduct product{"f32", kType, 1, 4, 4, 0, kWideRows, stage_widened<kType>, multiply_wide};
  product.head_bytes = 0;
  return product;
}

template <DType kType>
NarrowProduct widened_product(const NarrowProduct& wide) {
  NarrowProduct product{"f32", kType, 1, 4, 2, 0, kWidenedRows, stage_widened<kType>, multiply_widened<kType>};
  product.scratch_channel_bytes = kMostPanels * kPanel * 4;
  product.wide = &wide;
  product.widen = widen_panel<kType>;
  return product;
}

NarrowProduct wide_f16() { return wide_product<DType::kF16>(); }
NarrowProduct wide_bf16() { return wide_product<DType::kBF16>(); }
NarrowProduct widened_f16(const NarrowProduct& wide) { return widened_product<DType::kF16>(wide); }
NarrowProduct widened_bf16(const NarrowProduct& wide) { return widened_product<DType::kBF16>(wide); }

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(wide_f16);
HWY_EXPORT(wide_bf16);
HWY_EXPORT(widened_f16);
HWY_EXPORT(widened_bf16);

const NarrowProduct& f16_in_f32() {
  choose_target();
  static const NarrowProduct wide = HWY_DYNAMIC_DISPATCH(wide_f16)();
  static const NarrowProduct product = HWY_DYNAMIC_DISPATCH(widened_f16)(wide);
  return product;
}

const NarrowProduct& bf16_in_f32() {
  choose_target();
  static const NarrowProduct wide = HWY_DYNAMIC_DISPATCH(wide_bf16)();
  static const NarrowProduct product = HWY_DYNAMIC_DISPATCH(widened_bf16)(wide);
  return product;
}

}  // namespace voxshift::cpu
#endif
