// A^T G over pairs of rows picked by index. Output rows go in blocks that stay in L2 with the sums of a group of
// offsets: offset by offset over all rows, every row would come from memory as often as it has neighbours. The pairs of
// a block are gathered side by side, some at a time, for all tiles to pass over. A tile keeps R input channels x P
// panels of output channels in registers while it walks the pairs: per pair it loads P * 16 gradients and broadcasts R
// inputs, like the tile of matmul.h.
#include <voxshift/kernels_cpu/packed_panels.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/kernels_cpu/weight_gradient.h>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/weight_gradient.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/matmul.h>

#ifndef VOXSHIFT_KERNELS_CPU_WEIGHT_GRADIENT
#define VOXSHIFT_KERNELS_CPU_WEIGHT_GRADIENT
namespace voxshift::cpu {

/// The pairs of lists [first_list, last_list) whose outputs are the rows [first, last), in blocks of `block` rows, and
/// the sums they make: [lists, in.channels, panels * 16], aligned.
struct GradientTask {
  int first_list, last_list;
  std::int64_t first, last, block;
  float* acc;
};

/// What a thread works with: rows of one batch of pairs, and how far it is in each list.
struct GradientScratch {
  float* rows;
  std::int64_t* next;
};

/// Pairs whose rows are gathered at a time: what a tile reads of them fits in the L1 cache.
constexpr std::int64_t kBatchPairs = 128;

/// Gradients of up to so many channels are read where they lie: wider rows are at distances that fill few sets of L1.
constexpr std::int64_t kMostInPlace = 64;

constexpr std::int64_t kAhead = 32;  // rows that are asked for before they are needed

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Rows of one batch of pairs, and the sums they are added to.
struct OuterProduct {
  const float* const* a;      ///< [pairs] input rows
  const float* const* g;      ///< [pairs] gradients, whose panels
  std::int64_t panel_stride;  ///< are so many floats apart
  std::int64_t pairs;
  std::int64_t in_channels, panels;
  float* acc;  ///< [in_channels, panels * 16], aligned
};

// acc[channel + r, panel ..] += sum over the pairs of a[p, channel + r] * g[p, panel ..]
template <int kRows, int kPanels>
HWY_INLINE void outer_tile(const OuterProduct& product, std::int64_t channel, std::int64_t panel) {
  constexpr int kVectors = kPanels * kPanelVectors;
  const Floats d;
  const std::int64_t stride = product.panels * kPanel;
  float* const c = product.acc + channel * stride + panel * kPanel;
  FloatVector acc[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) acc[r][v] = hn::Load(d, c + r * stride + v * kLanes);
  const std::int64_t panel_stride = product.panel_stride;
  for (std::int64_t p = 0; p < product.pairs; ++p) {
    const float* const a = product.a[p] + channel;
    const float* const g = product.g[p] + panel * panel_stride;
    FloatVector w[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      w[v] = hn::LoadU(d, g + v / kPanelVectors * panel_stride + v % kPanelVectors * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const FloatVector x = hn::Set(d, a[r]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) acc[r][v] = hn::MulAdd(x, w[v], acc[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) hn::Store(acc[r][v], d, c + r * stride + v * kLanes);
}

// The last `rows` input channels, fewer than a full tile has.
template <int kPanels, int kRows = tile_rows(kPanels) - 1>
HWY_INLINE void outer_tail(const OuterProduct& product, std::int64_t channel, std::int64_t panel, std::int64_t rows) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return outer_tile<kRows, kPanels>(product, channel, panel);
    outer_tail<kPanels, kRows - 1>(product, channel, panel, rows);
  }
}

template <int kPanels>
HWY_NOINLINE void outer_panels(const OuterProduct& product, std::int64_t panel) {
  constexpr int kRows = tile_rows(kPanels);
  std::int64_t channel = 0;
  for (; channel + kRows <= product.in_channels; channel += kRows) outer_tile<kRows, kPanels>(product, channel, panel);
  outer_tail<kPanels>(product, channel, panel, product.in_channels - channel);
}

// rows[first + i], or first + i where `rows` is null.
HWY_INLINE const float* picked_row(const ConstRowView& from, const std::int32_t* rows, std::int64_t i) {
  return static_cast<const float*>(from.base) + (rows ? rows[i] : i) * from.row_stride;
}

// Rows picked by index are no pattern that hardware foresees.
HWY_INLINE void prefetch_row(const ConstRowView& from, const std::int32_t* rows, std::int64_t i) {
  const float* const row = picked_row(from, rows, i);
  for (std::int64_t c = 0; c < from.channels; c += kPanel) hwy::Prefetch(row + c);
}

// Panel c of row i to to[(c * kBatchPairs + i) * 16 ..]. Columns beyond the last channel are left alone.
HWY_INLINE void gather_row(const float* row, std::int64_t channels, float* to) {
  const Floats d;
  std::int64_t c = 0;
  const auto place = [&](std::int64_t channel) {
    return to + channel / kPanel * kBatchPairs * kPanel + channel % kPanel;
  };
  for (; c + kLanes <= channels; c += kLanes) hn::Store(hn::LoadU(d, row + c), d, place(c));
  for (; c < channels; ++c) *place(c) = row[c];
}

// The place of the first pair whose output is `row` or a later one.
HWY_INLINE std::int64_t first_pair(const PairList& list, std::int64_t row) {
  if (!list.out) return std::min(row, list.count);
  return std::lower_bound(list.out, list.out + list.count, static_cast<std::int32_t>(row)) - list.out;
}

void gradient_task(const ConstRowView& in, const ConstRowView& grad, const PairList* lists, const GradientTask& task,
                   const GradientScratch& scratch) {
  const std::int64_t panels = panels_of(grad.channels), stride = panels * kPanel, sums = in.channels * stride;
  const bool in_place = grad.channels % kPanel == 0 && grad.channels <= kMostInPlace;
  const float *a[kBatchPairs], *g[kBatchPairs];
  float* const gathered = scratch.rows;
  std::fill_n(task.acc, (task.last_list - task.first_list) * sums, 0.0f);
  std::fill_n(gathered, kBatchPairs * stride, 0.0f);  // the columns beyond the last channel stay 0
  for (int k = task.first_list; k < task.last_list; ++k) scratch.next[k] = first_pair(lists[k], task.first);
  for (std::int64_t row = task.first; row < task.last; row += task.block)
    for (int k = task.first_list; k < task.last_list; ++k) {
      const std::int64_t end = first_pair(lists[k], std::min(row + task.block, task.last));
      float* const acc = task.acc + (k - task.first_list) * sums;
      for (std::int64_t& next = scratch.next[k]; next < end;) {
        const std::int64_t batches = (end - next + kBatchPairs - 1) / kBatchPairs, count = (end - next) / batches;
        for (std::int64_t i = 0; i < count; ++i) {
          if (i + kAhead < count) {
            prefetch_row(in, lists[k].in, next + i + kAhead);
            prefetch_row(grad, lists[k].out, next + i + kAhead);
          }
          a[i] = picked_row(in, lists[k].in, next + i);
          g[i] = picked_row(grad, lists[k].out, next + i);
          if (in_place) continue;
          gather_row(g[i], grad.channels, gathered + i * kPanel);
          g[i] = gathered + i * kPanel;
        }
        const std::int64_t panel_stride = in_place ? kPanel : kBatchPairs * kPanel;
        const OuterProduct product{a, g, panel_stride, count, in.channels, panels, acc};
        for_panels(panels, [&]<int kPanels>(std::int64_t panel) { outer_panels<kPanels>(product, panel); });
        next += count;
      }
    }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(gradient_task);
namespace {

constexpr std::int64_t kSumBytes = 384 << 10,
                       kRowBytes = 512 << 10;  // of L2: sums of a group of offsets, rows of a block
constexpr std::int64_t kTasks = 16;            // about so many, whatever the number of threads
constexpr std::int64_t kLeastRows = 2048;      // of a task

}  // namespace

void weight_gradient(const Context& context, const ConstRowView& in, const ConstRowView& grad, const PairList* lists,
                     int volume, float* out) {
  const std::int64_t outputs = grad.channels, stride = panels_of(outputs) * kPanel, sums = in.channels * stride;
  const auto bytes = [](std::int64_t floats) { return floats * static_cast<std::int64_t>(sizeof(float)); };
  const std::int64_t most = std::clamp<std::int64_t>(kSumBytes / bytes(std::max<std::int64_t>(sums, 1)), 1, volume);
  const std::int64_t groups = (volume + most - 1) / most;
  const std::int64_t parts = std::clamp<std::int64_t>(grad.count / kLeastRows, 1, (kTasks + groups - 1) / groups);
  const std::int64_t block = std::max<std::int64_t>(kRowBytes / bytes(in.channels + outputs + 1), kBatchPairs);

  const Arena::Mark mark = context.arena->mark();
  auto* acc = context.arena->allocate<float>(parts * volume * sums);
  const std::int64_t rows = kBatchPairs * stride;
  auto* scratch = context.arena->allocate<float>(rows * context.threads);
  auto* next = context.arena->allocate<std::int64_t>(volume * context.threads);
  const auto gradient_task = HWY_DYNAMIC_DISPATCH(gradient_task);
  parallel_for(context.threads, parts * groups, [&](std::int64_t t, int thread) {
    const std::int64_t part = t / groups, group = t % groups, first_list = volume * group / groups;
    gradient_task(
        in, grad, lists,
        {static_cast<int>(first_list), static_cast<int>(volume * (group + 1) / groups), grad.count * part / parts,
         grad.count * (part + 1) / parts, block, acc + (part * volume + first_list) * sums},
        {scratch + thread * rows, next + thread * volume});
  });
  parallel_for(context.threads, volume, [&](std::int64_t k, int) {
    float* const to = out + k * in.channels * outputs;
    std::fill_n(to, in.channels * outputs, 0.0f);
    for (std::int64_t part = 0; part < parts; ++part) {
      const float* const from = acc + (part * volume + k) * sums;
      for (std::int64_t i = 0; i < in.channels; ++i)
        for (std::int64_t o = 0; o < outputs; ++o) to[i * outputs + o] += from[i * stride + o];
    }
  });
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
#endif
