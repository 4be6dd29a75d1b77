// Pooling of sparse tensors on the CPU, and their view as an image.
#include <voxshift/kernels_cpu/narrow_sums.h>
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/pair_lists.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/sparse_pool.h>
#include <voxshift/tensor/reduce.h>

#include <algorithm>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kCellGrain = 4096;  // cells of an image in one task

float* row(const RowView& view, std::int64_t i) { return static_cast<float*>(view.base) + i * view.row_stride; }

void add_row(Pooling pooling, bool is_first, const float* in, std::int64_t channels, float* out) {
  if (is_first) {
    std::copy_n(in, channels, out);
  } else if (pooling == Pooling::kMax) {
    for (std::int64_t c = 0; c < channels; ++c) out[c] = exceeds(in[c], out[c]) ? in[c] : out[c];
  } else {
    for (std::int64_t c = 0; c < channels; ++c) out[c] += in[c];
  }
}

template <class T>
void spread_elements(const std::byte* from, std::int64_t channels, std::byte* to, std::int64_t step) {
  for (std::int64_t c = 0; c < channels; ++c) reinterpret_cast<T*>(to)[c * step] = reinterpret_cast<const T*>(from)[c];
}

// Channel c of row i goes to channel first + c * step of row o.
void spread_row(const ConstRowView& in, std::int64_t i, const RowView& out, std::int64_t o, std::int64_t first,
                std::int64_t step) {
  const std::byte* const from = row_of(in, i);
  std::byte* const to = row_of(out, o) + first * static_cast<std::int64_t>(size_of(out.dtype));
  if (in.dtype == out.dtype && in.dtype == DType::kF32) return spread_elements<float>(from, in.channels, to, step);
  if (in.dtype == out.dtype && in.dtype != DType::kI8)
    return spread_elements<std::uint16_t>(from, in.channels, to, step);
  for (std::int64_t c = 0; c < in.channels; ++c)
    if (in.dtype == out.dtype && in.scales.scale[c] == out.scales.scale[first + c * step]) {
      to[c * step] = from[c];
    } else {
      set_number(out, o, first + c * step, number_at(in, i, c));
    }
}

// Of one block, whose merged rows are in the cache.
void pool_block(const ConstRowView& in, const KernelMapView& map, std::int64_t block, Pooling pooling,
                const RowView& out, const MergedRows& merged) {
  const auto lists = map.layout.as<PairLists>();
  const Merging merging(in, pooling == Pooling::kMax, map.volume);
  const std::int64_t first = block * kSplitRows, rows = std::min(out.count - first, kSplitRows);
  const std::int32_t* begin = lists.splits + block * map.volume;
  const std::int32_t* end = begin + map.volume;
  std::fill_n(merged.present, rows, 0);
  for (int k = 0; k < map.volume; ++k) {
    const PairList list = lists.pairs[k];
    merge_rows(in, merging, list.in + begin[k], list.out + begin[k], end[k] - begin[k], first, merged);
  }
  finish_merged(merged, in, merging, pooling == Pooling::kAverage, out, first, rows);
}

// SparseConvKernels::pool where not all views are f32.
void pool_numbers(const Context& context, const ConstRowView& in, const KernelMapView& map, Pooling pooling,
                  const RowView& out) {
  const std::int64_t floats = kSplitRows * in.channels;
  const Arena::Mark mark = context.arena->mark();
  auto* rows = context.arena->allocate<float>(floats * std::max(context.threads, 1));
  auto* present = context.arena->allocate<std::int32_t>(kSplitRows * std::max(context.threads, 1));
  parallel_for(context, (out.count + kSplitRows - 1) / kSplitRows, [&](std::int64_t block, int thread) {
    pool_block(in, map, block, pooling, out, {rows + thread * floats, in.channels, present + thread * kSplitRows});
  });
  context.arena->rewind(mark);
}

}  // namespace

void pool(const Context& context, const ConstRowView& in, const KernelMapView& map, Pooling pooling,
          const RowView& out) {
  check_numbers("pool", in, out);
  if (!all_are(DType::kF32, in, out)) return pool_numbers(context, in, map, pooling, out);
  const auto lists = map.layout.as<PairLists>();
  const std::int64_t blocks = (out.count + kSplitRows - 1) / kSplitRows;
  const Arena::Mark mark = context.arena->mark();
  auto* present = context.arena->allocate<std::int32_t>(out.count);
  parallel_for(context, blocks, [&](std::int64_t block, int) {
    const std::int64_t first = block * kSplitRows, last = std::min(out.count, first + kSplitRows);
    std::fill(present + first, present + last, 0);
    for (std::int64_t o = first; o < last; ++o) std::fill_n(row(out, o), out.channels, 0.0f);
    const std::int32_t* begin = lists.splits + block * map.volume;
    const std::int32_t* end = begin + map.volume;
    for (int k = 0; k < map.volume; ++k) {
      const PairList list = lists.pairs[k];
      for (std::int64_t p = begin[k]; p < end[k]; ++p) {
        const std::int32_t o = list.out[p];
        add_row(pooling, present[o]++ == 0, static_cast<const float*>(in.base) + list.in[p] * in.row_stride,
                out.channels, row(out, o));
      }
    }
    if (pooling != Pooling::kAverage) return;
    for (std::int64_t o = first; o < last; ++o)
      if (present[o] > 1)
        for (std::int64_t c = 0; c < out.channels; ++c) row(out, o)[c] /= static_cast<float>(present[o]);
  });
  context.arena->rewind(mark);
}

void bird_eye_view(const Context& context, const ConstRowView& in, const Level& level, const BirdEyeView& view,
                   const RowView& out) {
  check_numbers("bird_eye_view", in, out);
  parallel_ranges(context, out.count, kCellGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    const RowCopy zeros(out, out);
    for (std::int64_t p = first; p < last; ++p) zeros(-1, p);
  });
  parallel_ranges(context, in.count, kCellGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    std::int32_t coordinate[kMaxAxes];
    for (std::int64_t i = first; i < last; ++i) {
      level.layout.unpack(level.keys[i], coordinate);
      std::int64_t z = 0;
      const std::int64_t pixel = view.pixel(coordinate, z);
      if (pixel >= 0) spread_row(in, i, out, pixel, z, view.depth);
    }
  });
}

}  // namespace voxshift::cpu
