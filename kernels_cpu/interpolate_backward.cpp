// The adjoint of the mixture of rows: entries (i, weight) in the order of the row they were taken from, so that every
// row of the gradient is one sum, of one task, in the order of i.
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/point_voxel.h>
#include <voxshift/kernels_cpu/segments.h>
#include <voxshift/kernels_cpu/targets.h>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/interpolate_backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/mix_rows.h>

#ifndef VOXSHIFT_KERNELS_CPU_INTERPOLATE_BACKWARD
#define VOXSHIFT_KERNELS_CPU_INTERPOLATE_BACKWARD
namespace voxshift::cpu {

struct WeightedRow {
  std::int32_t row;
  float weight;
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// A mixture of any number of rows of a view.
struct ListedRows {
  const ConstRowView& view;
  const WeightedRow* entries;
  std::int64_t count;

  HWY_INLINE const float* row(std::int64_t j) const {
    return static_cast<const float*>(view.base) + entries[j].row * view.row_stride;
  }
  HWY_INLINE float weight(std::int64_t j) const { return entries[j].weight; }
};

template <bool kPast>
HWY_INLINE void sum_entries_to(const ConstRowView& grad, const SegmentedItems<WeightedRow>& entries, std::int64_t first,
                               std::int64_t last, const RowView& out) {
  constexpr std::int64_t kMostAhead = 16;  // rows of the next sum that are asked for while this one is computed
  constexpr std::int64_t kLine = 64 / sizeof(float);
  const auto rows_of = [&](std::int64_t s) {
    return ListedRows{grad, entries.items + entries.splits[s], entries.splits[s + 1] - entries.splits[s]};
  };
  for (std::int64_t s = first; s < last; ++s) {
    if (s + 1 < last) {
      const ListedRows next = rows_of(s + 1);
      for (std::int64_t j = 0; j < std::min(next.count, kMostAhead); ++j)
        for (std::int64_t c = 0; c < grad.channels; c += kLine) hwy::Prefetch(next.row(j) + c);
    }
    mix<kPast>(rows_of(s), out.channels, static_cast<float*>(out.base) + s * out.row_stride);
  }
}

/// Rows [first, last) of interpolate_backward().
void sum_entries(const ConstRowView& grad, const SegmentedItems<WeightedRow>& entries, std::int64_t first,
                 std::int64_t last, bool past_caches, const RowView& out) {
  if (past_caches) {
    sum_entries_to<true>(grad, entries, first, last, out);
    hwy::FlushStream();
  } else {
    sum_entries_to<false>(grad, entries, first, last, out);
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(sum_entries);

void interpolate_backward(const Context& context, const ConstRowView& grad, const std::int32_t* indices,
                          const float* weights, std::int64_t k, const RowView& out) {
  constexpr std::int64_t kGrain = 256;  // rows, of which some may have many entries
  choose_target();
  const auto sum_entries = HWY_DYNAMIC_DISPATCH(sum_entries);
  const bool past_caches = writes_past_caches(out);
  const Arena::Mark mark = context.arena->mark();
  const auto sum = [&](const SegmentedItems<WeightedRow>& entries) {
    parallel_ranges(context, out.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      sum_entries(grad, entries, first, last, past_caches, out);
    });
  };
  if (weights) {  // x | -1 is -1
    sum(by_segment(
        context, grad.count * k, out.count, [=](std::int64_t e) { return indices[e] | -std::int32_t{weights[e] == 0}; },
        [=](std::int64_t e) {
          return WeightedRow{static_cast<std::int32_t>(e / k), weights[e]};
        }));
  } else {
    sum(by_segment(
        context, grad.count * k, out.count, [=](std::int64_t e) { return indices[e]; },
        [=](std::int64_t e) {
          return WeightedRow{static_cast<std::int32_t>(e / k), 1.0f};
        }));
  }
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
#endif
