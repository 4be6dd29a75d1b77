// A^T G over pairs of rows picked by index. Output rows go in blocks that stay in L2 with the sums of a group of
// offsets: offset by offset over all rows, every row would come from memory as often as it has neighbours. All tiles
// pass over some pairs of a block before the next ones. A tile keeps R input channels x P panels of output channels in
// registers while it walks the pairs: per pair it loads P * 16 gradients and broadcasts R inputs, like the tile of
// matmul.h.
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

/// What a thread works with: gathered rows of one batch of pairs, and how far it is in each list.
struct GradientScratch {
  float* rows;
  std::int64_t* next;
};

/// Pairs that tiles pass over at a time: their rows stay in the L1 cache while those of the next ones come.
constexpr std::int64_t kBatchPairs = 48;

/// Gradients of up to so many channels are read where they lie: wider rows are at distances that fill few sets of L1.
constexpr std::int64_t kMostInPlace = 64;

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Pairs of one list and the sums they are added to.
struct Batch {
  const float* a[kBatchPairs];  ///< input rows
  const float* g[kBatchPairs];  ///< gradients
  std::int64_t pairs = 0;
  float* acc;  ///< [in_channels, panels * 16], aligned
};

/// The rows of the batch after this one are asked for while this one is computed, some after every tile: picked by
/// index they are no pattern that hardware foresees, and to wait for them took a quarter of the time.
struct Ahead {
  const Batch& batch;
  std::int64_t in_channels, out_channels;
  std::int64_t share;  ///< pairs after a tile
  std::int64_t next = 0;

  HWY_INLINE void prefetch() {
    for (const std::int64_t end = std::min(next + share, batch.pairs); next < end; ++next) {
      for (std::int64_t c = 0; c < in_channels; c += kPanel) hwy::Prefetch(batch.a[next] + c);
      for (std::int64_t c = 0; c < out_channels; c += kPanel) hwy::Prefetch(batch.g[next] + c);
    }
  }
};

// What is read at constant distances from `place` is read at constant distances from one register: GCC would keep the
// distances of all rows and panels in registers, of which there are not so many.
HWY_INLINE const float* one_register(const float* place) {
  asm("" : "+r"(place));
  return place;
}

// acc[channel + r, panel ..] += sum over the pairs of a[p, channel + r] * g[p, panel ..], panels kStride floats apart
template <int kRows, int kPanels, int kStride>
HWY_INLINE void outer_tile(const Batch& batch, std::int64_t panels, std::int64_t channel, std::int64_t panel) {
  constexpr int kVectors = kPanels * kPanelVectors;
  const Floats d;
  const std::int64_t stride = panels * kPanel;
  float* const c = batch.acc + channel * stride + panel * kPanel;
  FloatVector acc[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) acc[r][v] = hn::Load(d, c + r * stride + v * kLanes);
  for (std::int64_t p = 0; p < batch.pairs; ++p) {
    const float* const a = one_register(batch.a[p] + channel);
    const float* const g = one_register(batch.g[p] + panel * kStride);
    FloatVector w[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      w[v] = hn::LoadU(d, g + v / kPanelVectors * kStride + v % kPanelVectors * kLanes);
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
template <int kPanels, int kStride, int kRows = tile_rows(kPanels) - 1>
HWY_INLINE void outer_tail(const Batch& batch, std::int64_t panels, std::int64_t channel, std::int64_t panel,
                           std::int64_t rows) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return outer_tile<kRows, kPanels, kStride>(batch, panels, channel, panel);
    outer_tail<kPanels, kStride, kRows - 1>(batch, panels, channel, panel, rows);
  }
}

template <int kPanels, int kStride>
HWY_NOINLINE void outer_panels(const Batch& batch, std::int64_t in_channels, std::int64_t panels, std::int64_t panel,
                               Ahead& ahead) {
  constexpr int kRows = tile_rows(kPanels);
  std::int64_t channel = 0;
  for (; channel + kRows <= in_channels; channel += kRows) {
    outer_tile<kRows, kPanels, kStride>(batch, panels, channel, panel);
    ahead.prefetch();
  }
  outer_tail<kPanels, kStride>(batch, panels, channel, panel, in_channels - channel);
  ahead.prefetch();
}

// rows[first + i], or first + i where `rows` is null.
HWY_INLINE const float* picked_row(const ConstRowView& from, const std::int32_t* rows, std::int64_t i) {
  return static_cast<const float*>(from.base) + (rows ? rows[i] : i) * from.row_stride;
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

// The batches of a task: block by block, in each list after list.
class Batches {
 public:
  Batches(const ConstRowView& in, const ConstRowView& grad, const PairList* lists, const GradientTask& task,
          std::int64_t* places)
      : in_(in), grad_(grad), lists_(lists), task_(task), places_(places), sums_(in.channels * stride_of(grad)) {
    for (int k = task.first_list; k < task.last_list; ++k) places_[k] = first_pair(lists[k], task.first);
    begin_list(task.first, task.first_list);
  }

  static std::int64_t stride_of(const ConstRowView& grad) { return panels_of(grad.channels) * kPanel; }

  // No pairs where there is none left.
  HWY_INLINE void next(Batch& batch) {
    batch.pairs = 0;
    while (places_[list_] == end_) {
      if (list_ + 1 < task_.last_list) {
        begin_list(row_, list_ + 1);
      } else if (row_ + task_.block < task_.last) {
        begin_list(row_ + task_.block, task_.first_list);
      } else {
        return;
      }
    }
    const PairList& list = lists_[list_];
    std::int64_t& place = places_[list_];
    const std::int64_t batches = (end_ - place + kBatchPairs - 1) / kBatchPairs;
    batch.pairs = (end_ - place) / batches;
    batch.acc = task_.acc + (list_ - task_.first_list) * sums_;
    for (std::int64_t i = 0; i < batch.pairs; ++i) {
      batch.a[i] = picked_row(in_, list.in, place + i);
      batch.g[i] = picked_row(grad_, list.out, place + i);
    }
    place += batch.pairs;
  }

 private:
  void begin_list(std::int64_t row, int list) {
    row_ = row;
    list_ = list;
    end_ = first_pair(lists_[list], std::min(row + task_.block, task_.last));
  }

  const ConstRowView in_, grad_;
  const PairList* lists_;
  const GradientTask task_;
  std::int64_t* places_;  // how far it is in each list
  std::int64_t sums_, row_ = 0, end_ = 0;
  int list_ = 0;
};

template <bool kInPlace>
void batches_of(const ConstRowView& in, const ConstRowView& grad, const PairList* lists, const GradientTask& task,
                const GradientScratch& scratch) {
  constexpr int kStride = kInPlace ? kPanel : kBatchPairs * kPanel;
  const std::int64_t panels = panels_of(grad.channels);
  std::int64_t tiles = 0;
  for_panels(panels, [&]<int kPanels>(std::int64_t) { tiles += in.channels / tile_rows(kPanels) + 1; });
  Batches batches(in, grad, lists, task, scratch.next);
  Batch two[2];
  batches.next(two[0]);
  for (int now = 0; two[now].pairs > 0; now = 1 - now) {
    Batch& batch = two[now];
    batches.next(two[1 - now]);
    if constexpr (!kInPlace)
      for (std::int64_t i = 0; i < batch.pairs; ++i) {
        gather_row(batch.g[i], grad.channels, scratch.rows + i * kPanel);
        batch.g[i] = scratch.rows + i * kPanel;
      }
    Ahead ahead{two[1 - now], in.channels, grad.channels, (two[1 - now].pairs + tiles - 1) / tiles};
    for_panels(panels, [&]<int kPanels>(std::int64_t panel) {
      outer_panels<kPanels, kStride>(batch, in.channels, panels, panel, ahead);
    });
  }
}

void gradient_task(const ConstRowView& in, const ConstRowView& grad, const PairList* lists, const GradientTask& task,
                   const GradientScratch& scratch) {
  const std::int64_t stride = Batches::stride_of(grad);
  std::fill_n(task.acc, (task.last_list - task.first_list) * in.channels * stride, 0.0f);
  if (grad.channels % kPanel == 0 && grad.channels <= kMostInPlace) {
    batches_of<true>(in, grad, lists, task, scratch);
  } else {
    std::fill_n(scratch.rows, kBatchPairs * stride, 0.0f);  // the columns beyond the last channel stay 0
    batches_of<false>(in, grad, lists, task, scratch);
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
  if (in.channels == 0 || grad.channels == 0) return;
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
  parallel_for(context, parts * groups, [&](std::int64_t t, int thread) {
    const std::int64_t part = t / groups, group = t % groups, first_list = volume * group / groups;
    gradient_task(
        in, grad, lists,
        {static_cast<int>(first_list), static_cast<int>(volume * (group + 1) / groups), grad.count * part / parts,
         grad.count * (part + 1) / parts, block, acc + (part * volume + first_list) * sums},
        {scratch + thread * rows, next + thread * volume});
  });
  parallel_for(context, volume, [&](std::int64_t k, int) {
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
