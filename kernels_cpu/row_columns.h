// Loops over the columns of a matrix, a few vectors at a time, and streaming stores of its rows. Compiled once per
// instruction set.
#if defined(VOXSHIFT_KERNELS_CPU_ROW_COLUMNS_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VOXSHIFT_KERNELS_CPU_ROW_COLUMNS_H
#undef VOXSHIFT_KERNELS_CPU_ROW_COLUMNS_H
#else
#define VOXSHIFT_KERNELS_CPU_ROW_COLUMNS_H
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>

#include <algorithm>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

constexpr int kGroup = 4;  // vectors of columns whose sums are in registers at a time

/// Calls body.template run<V>(column, count) for groups of V vectors that cover [0, channels); the last vector of a
/// group of one has `count` lanes.
template <class Body>
HWY_INLINE void for_columns(std::int64_t channels, const Body& body) {
  std::int64_t c = 0;
  for (; c + kGroup * kLanes <= channels; c += kGroup * kLanes) body.template run<kGroup>(c, kLanes);
  for (; c < channels; c += kLanes) body.template run<1>(c, std::min<std::int64_t>(kLanes, channels - c));
}

/// Stores to rows that are written once, one after the other. Where they are more than a cache holds, past it: else
/// every line would be read before it is written.
class RowWriter {
 public:
  explicit RowWriter(const RowView& to)
      : base_(static_cast<float*>(to.base)),
        stride_(to.row_stride),
        past_cache_(to.count * to.channels * static_cast<std::int64_t>(sizeof(float)) >= kLarge &&
                    to.row_stride % kLanes == 0 &&
                    reinterpret_cast<std::uintptr_t>(to.base) % sizeof(FloatVector) == 0) {}

  HWY_INLINE void operator()(FloatVector x, std::int64_t i, std::int64_t column, std::int64_t count) const {
    float* const p = base_ + i * stride_ + column;
    if (past_cache_ && count == kLanes) {
      hn::Stream(x, Floats(), p);
    } else {
      store_lanes(x, p, count);
    }
  }

 private:
  static constexpr std::int64_t kLarge = 4 << 20;  // bytes

  float* base_;
  std::int64_t stride_;
  bool past_cache_;
};

HWY_INLINE const float* row_at(const ConstRowView& view, std::int64_t i, std::int64_t column) {
  return static_cast<const float*>(view.base) + i * view.row_stride + column;
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
