// Gradients of pooling on the CPU. A maximum is found once more with the row it came from; then every input row takes
// what it is owed of the outputs that it went into, so that no row has two writers.
#include <voxshift/kernels_cpu/pair_lists.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/point_voxel.h>
#include <voxshift/kernels_cpu/pool_backward.h>
#include <voxshift/kernels_cpu/segments.h>
#include <voxshift/kernels_cpu/targets.h>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/pool_backward.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>

#ifndef VOXSHIFT_KERNELS_CPU_POOL_BACKWARD
#define VOXSHIFT_KERNELS_CPU_POOL_BACKWARD
namespace voxshift::cpu {

/// What the outputs of a pooling hand back to its inputs.
struct Shares {
  ConstRowView grad;
  const float* weights;         ///< [outputs]: the part that each input gets; null: the winner has all of it
  const std::int32_t* winners;  ///< [outputs, stride]: the input that each channel's maximum came from
  std::int64_t stride;          ///< whole panels of channels
};

inline const float* row_at(const ConstRowView& view, std::int64_t i) {
  return static_cast<const float*>(view.base) + i * view.row_stride;
}
inline float* row_at(const RowView& view, std::int64_t i) {
  return static_cast<float*>(view.base) + i * view.row_stride;
}

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

using Ints = hn::RebindToSigned<Floats>;

/// Calls body(c, count) for every vector of [0, channels), the last one of `count` lanes.
template <class Body>
HWY_INLINE void for_vectors(std::int64_t channels, const Body& body) {
  std::int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) body(c, std::int64_t{kLanes});
  if (c < channels) body(c, channels - c);
}

/// Row `row` of `in` enters the maximum of an output, best and winner [whole panels]: the first one starts it, a later
/// one takes the channels where it exceeds it.
HWY_INLINE void claim(const ConstRowView& in, std::int32_t row, float* best, std::int32_t* winner) {
  const Floats d;
  const Ints di;
  const auto number = hn::Set(di, row);
  const float* const x = row_at(in, row);
  const bool is_first = winner[0] < 0;
  for_vectors(in.channels, [&](std::int64_t c, std::int64_t count) {
    const FloatVector v = load_lanes(x + c, count);
    if (is_first) {
      hn::Store(v, d, best + c);
      hn::Store(number, di, winner + c);
      return;
    }
    const FloatVector b = hn::Load(d, best + c);
    const auto greater = exceeding(v, b);
    hn::Store(hn::IfThenElse(greater, v, b), d, best + c);
    hn::Store(hn::IfThenElse(hn::RebindMask(di, greater), number, hn::Load(di, winner + c)), di, winner + c);
  });
}

/// to += what output `o` owes the input `row`.
HWY_INLINE void add_share(const Shares& shares, std::int64_t o, std::int32_t row, float* to) {
  const Floats d;
  const float* const grad = row_at(shares.grad, o);
  if (shares.weights) {
    const FloatVector weight = hn::Set(d, shares.weights[o]);
    for_vectors(shares.grad.channels, [&](std::int64_t c, std::int64_t count) {
      store_lanes(hn::MulAdd(weight, load_lanes(grad + c, count), load_lanes(to + c, count)), to + c, count);
    });
    return;
  }
  const Ints di;
  const auto number = hn::Set(di, row);
  const std::int32_t* const winner = shares.winners + o * shares.stride;
  for_vectors(shares.grad.channels, [&](std::int64_t c, std::int64_t count) {
    const auto won = hn::RebindMask(d, hn::Eq(hn::Load(di, winner + c), number));
    const FloatVector share = hn::IfThenElseZero(won, load_lanes(grad + c, count));
    store_lanes(hn::Add(load_lanes(to + c, count), share), to + c, count);
  });
}

/// winners of the outputs of one block of the map; `best` has room for their maxima.
void map_winners(const ConstRowView& in, const KernelMapView& map, std::int64_t block, std::int64_t stride, float* best,
                 std::int32_t* winners) {
  const std::int64_t first = block * kSplitRows, rows = std::min(map.out_rows - first, kSplitRows);
  std::fill_n(winners + first * stride, rows * stride, -1);
  const auto lists = map.layout.as<PairLists>();
  const std::int32_t* const begin = lists.splits + block * map.volume;
  const std::int32_t* const end = begin + map.volume;
  for (int k = 0; k < map.volume; ++k) {
    const PairList list = lists.pairs[k];
    for (std::int64_t p = begin[k]; p < end[k]; ++p) {
      const std::int64_t o = list.out[p];
      claim(in, list.in[p], best + (o - first) * stride, winners + o * stride);
    }
  }
}

/// Rows of one block of the transposed map, which leads from outputs to inputs.
void map_shares(const Shares& shares, const KernelMapView& map, std::int64_t block, const RowView& out) {
  const std::int64_t first = block * kSplitRows, last = std::min(out.count, first + kSplitRows);
  for (std::int64_t i = first; i < last; ++i) std::fill_n(row_at(out, i), out.channels, 0.0f);
  const auto lists = map.layout.as<PairLists>();
  const std::int32_t* const begin = lists.splits + block * map.volume;
  const std::int32_t* const end = begin + map.volume;
  for (int k = 0; k < map.volume; ++k) {
    const PairList list = lists.pairs[k];
    for (std::int64_t p = begin[k]; p < end[k]; ++p) {
      const std::int32_t i = list.out[p];
      add_share(shares, list.in[p], i, row_at(out, i));
    }
  }
}

/// winners of the segments [first, last); `best` has room for the maxima of one.
void segment_winners(const ConstRowView& in, const SegmentedItems<std::int32_t>& rows, std::int64_t first,
                     std::int64_t last, std::int64_t stride, float* best, std::int32_t* winners) {
  constexpr std::int64_t kAhead = 4;  // rows, which lie anywhere: asked for before they are needed
  constexpr std::int64_t kLine = 64 / sizeof(float);
  const std::int64_t all = rows.splits[last];
  for (std::int64_t s = first; s < last; ++s) {
    std::int32_t* const winner = winners + s * stride;
    std::fill_n(winner, stride, -1);
    for (std::int64_t p = rows.splits[s]; p < rows.splits[s + 1]; ++p) {
      if (p + kAhead < all)
        for (std::int64_t c = 0; c < in.channels; c += kLine) hwy::Prefetch(row_at(in, rows.items[p + kAhead]) + c);
      claim(in, rows.items[p], best, winner);
    }
  }
}

/// Rows [first, last) of inputs that each went into one segment or none.
void segment_shares(const Shares& shares, const std::int32_t* segment, std::int64_t first, std::int64_t last,
                    const RowView& out) {
  for (std::int64_t i = first; i < last; ++i) {
    std::fill_n(row_at(out, i), out.channels, 0.0f);
    if (segment[i] >= 0) add_share(shares, segment[i], static_cast<std::int32_t>(i), row_at(out, i));
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(map_winners);
HWY_EXPORT(map_shares);
HWY_EXPORT(segment_winners);
HWY_EXPORT(segment_shares);
namespace {

constexpr std::int64_t kGrain = 1024;  // rows or segments of one task

std::int64_t blocks_of(std::int64_t rows) { return (rows + kSplitRows - 1) / kSplitRows; }

// weights[o] = 1 / the pairs of output o
void mean_weights(const Context& context, const KernelMapView& map, float* weights) {
  parallel_for(context, blocks_of(map.out_rows), [&](std::int64_t block, int) {
    const std::int64_t first = block * kSplitRows, last = std::min(map.out_rows, first + kSplitRows);
    std::fill(weights + first, weights + last, 0.0f);
    const auto lists = map.layout.as<PairLists>();
    const std::int32_t* const begin = lists.splits + block * map.volume;
    const std::int32_t* const end = begin + map.volume;
    for (int k = 0; k < map.volume; ++k)
      for (std::int64_t p = begin[k]; p < end[k]; ++p) ++weights[lists.pairs[k].out[p]];
    for (std::int64_t o = first; o < last; ++o) weights[o] = 1 / std::max(weights[o], 1.0f);
  });
}

// weights[i] = the part of its segment's gradient that row i gets from a sum, a mean or the first row
void row_weights(const Context& context, const std::int32_t* segment, Reduce reduce, std::int64_t rows,
                 std::int64_t segments, float* weights) {
  std::fill_n(weights, rows, 1.0f);
  if (reduce == Reduce::kSum) return;
  auto* count = context.arena->allocate<std::int32_t>(segments);
  std::fill_n(count, segments, 0);
  for (std::int64_t i = 0; i < rows; ++i) {
    if (segment[i] < 0) continue;
    if (reduce == Reduce::kFirst && count[segment[i]] > 0) weights[i] = 0;
    ++count[segment[i]];
  }
  if (reduce == Reduce::kFirst) return;
  for (std::int64_t i = 0; i < rows; ++i)
    if (segment[i] >= 0) weights[i] = 1 / static_cast<float>(count[segment[i]]);
}

}  // namespace

void pool_backward(const Context& context, const ConstRowView& in, const ConstRowView& grad, const KernelMapViews& map,
                   Pooling pooling, const RowView& out) {
  if (out.channels == 0) return;
  choose_target();
  const Arena::Mark mark = context.arena->mark();
  const std::int64_t outputs = grad.count, stride = panels_of(grad.channels) * kPanel;
  Shares shares{grad, nullptr, nullptr, stride};
  if (pooling == Pooling::kMax) {
    auto* winners = context.arena->allocate<std::int32_t>(outputs * stride);
    auto* best = context.arena->allocate<float>(kSplitRows * stride * context.threads);
    const auto map_winners = HWY_DYNAMIC_DISPATCH(map_winners);
    parallel_for(context, blocks_of(outputs), [&](std::int64_t block, int thread) {
      map_winners(in, map.forward, block, stride, best + thread * kSplitRows * stride, winners);
    });
    shares.winners = winners;
  } else {
    auto* weights = context.arena->allocate<float>(outputs);
    if (pooling == Pooling::kSum) {
      std::fill_n(weights, outputs, 1.0f);
    } else {
      mean_weights(context, map.forward, weights);
    }
    shares.weights = weights;
  }
  const auto map_shares = HWY_DYNAMIC_DISPATCH(map_shares);
  parallel_for(context, blocks_of(out.count),
               [&](std::int64_t block, int) { map_shares(shares, map.transposed, block, out); });
  context.arena->rewind(mark);
}

void reduce_backward(const Context& context, const ConstRowView& in, const std::int32_t* segment, Reduce reduce,
                     const ConstRowView& grad, const RowView& out) {
  if (out.channels == 0) return;
  choose_target();
  const Arena::Mark mark = context.arena->mark();
  const std::int64_t segments = grad.count, stride = panels_of(grad.channels) * kPanel;
  if (reduce != Reduce::kMax) {
    auto* weights = context.arena->allocate<float>(out.count);
    row_weights(context, segment, reduce, out.count, segments, weights);
    interpolate(context, grad, segment, weights, 1, out);
  } else {
    const auto rows = by_segment(
        context, out.count, segments, [=](std::int64_t i) { return segment[i]; },
        [](std::int64_t i) { return static_cast<std::int32_t>(i); });
    auto* winners = context.arena->allocate<std::int32_t>(segments * stride);
    auto* best = context.arena->allocate<float>(stride * context.threads);
    const auto segment_winners = HWY_DYNAMIC_DISPATCH(segment_winners);
    parallel_for(context, (segments + kGrain - 1) / kGrain, [&](std::int64_t task, int thread) {
      segment_winners(in, rows, task * kGrain, std::min(segments, (task + 1) * kGrain), stride, best + thread * stride,
                      winners);
    });
    const Shares shares{grad, nullptr, winners, stride};
    const auto segment_shares = HWY_DYNAMIC_DISPATCH(segment_shares);
    parallel_ranges(context, out.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      segment_shares(shares, segment, first, last, out);
    });
  }
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
#endif
