// Products of f16 and bf16 where no instruction takes them: kept narrow in memory, computed in f32. Rows are staged as
// f32, and the weights of a few panels at a time are widened before all staged rows meet them.
#include <voxshift/kernels_cpu/narrow_sets.h>
#include <voxshift/kernels_cpu/targets.h>

#include <algorithm>
#include <array>
#include <numeric>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/narrow_widened.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/matmul.h>
#include <voxshift/kernels_cpu/numbers.h>

#ifndef VOXSHIFT_KERNELS_CPU_NARROW_WIDENED
#define VOXSHIFT_KERNELS_CPU_NARROW_WIDENED
namespace voxshift::cpu {

constexpr int kWidenedRows = 192;

/// The numbers 0 .. kWidenedRows - 1.
inline const std::int32_t* staged_row_numbers() {
  static const auto rows = [] {
    std::array<std::int32_t, kWidenedRows> r{};
    std::iota(r.begin(), r.end(), 0);
    return r;
  }();
  return rows.data();
}

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
  for (std::int64_t i = 0; i < r.count; ++i) {
    const auto* const from =
        reinterpret_cast<const std::uint16_t*>(r.from + (r.rows != nullptr ? r.rows[i] : i) * r.stride);
    auto* const to = reinterpret_cast<float*>(r.to + i * r.to_stride);
    std::int64_t c = 0;
    for (; c + kLanes <= r.channels; c += kLanes) hn::StoreU(widened<kType>(from + c), Floats(), to + c);
    if (c == r.channels) continue;
    std::uint16_t some[kLanes] = {};
    std::copy_n(from + c, r.channels - c, some);
    store_some(widened<kType>(some), to + c, r.channels - c);
  }
}

template <DType kType>
void multiply_widened(const NarrowTile& t) {
  Product product{reinterpret_cast<const float*>(t.staged),
                  t.staged_stride / 4,
                  t.groups,
                  static_cast<const float*>(t.scratch),
                  nullptr,
                  t.sums_stride,
                  0,
                  t.sum_rows != nullptr ? t.first_sum_row : 0};
  for (std::int64_t panel = 0; panel < t.panels; panel += product.panels) {
    product.panels = std::min<std::int64_t>(kMostPanels, t.panels - panel);
    product.acc = static_cast<float*>(t.sums) + panel * kPanel;
    for (std::int64_t p = 0; p < product.panels; ++p) {
      const std::byte* const head = t.panel + (panel + p) * t.panel_stride;
      const auto* const from = reinterpret_cast<const std::uint16_t*>(head + kPanel * 4);
      float* const to = static_cast<float*>(t.scratch) + p * t.groups * kPanel;
      for (std::int64_t i = 0; i < t.groups * kPanel; i += kLanes)
        hn::Store(widened<kType>(from + i), Floats(), to + i);
    }
    multiply(product, staged_row_numbers(), t.sum_rows != nullptr ? t.sum_rows : staged_row_numbers(), t.rows);
  }
}

template <DType kType>
NarrowProduct widened_product() {
  const std::int64_t scratch = kMostPanels * kPanel * static_cast<std::int64_t>(sizeof(float));
  return {"f32", kType, 1, 4, 2, 0, kWidenedRows, stage_widened<kType>, multiply_widened<kType>, scratch};
}

NarrowProduct widened_f16() { return widened_product<DType::kF16>(); }
NarrowProduct widened_bf16() { return widened_product<DType::kBF16>(); }

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(widened_f16);
HWY_EXPORT(widened_bf16);

const NarrowProduct& f16_in_f32() {
  choose_target();
  static const NarrowProduct product = HWY_DYNAMIC_DISPATCH(widened_f16)();
  return product;
}

const NarrowProduct& bf16_in_f32() {
  choose_target();
  static const NarrowProduct product = HWY_DYNAMIC_DISPATCH(widened_bf16)();
  return product;
}

}  // namespace voxshift::cpu
#endif
