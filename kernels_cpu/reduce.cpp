// Reduction of the rows of segments on the CPU.
#include <voxshift/kernels_cpu/narrow_sums.h>
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/reduce.h>
#include <voxshift/kernels_cpu/segments.h>

#include <algorithm>
#include <array>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kReduceGrain = 1024;  // segments of one task
constexpr std::int64_t kPartialRows = 256;

// The sum of items begin .. end - 1 of `rows`, by partial sums of kPartialRows rows: the rounding error of a sum over a
// whole cloud stays that of some hundred additions.
void sum_many(const ConstRowView& in, const std::int32_t* rows, std::int64_t begin, std::int64_t end, float* out) {
  constexpr std::int64_t kStrip = 16;  // channels, whose sums stay in registers
  for (std::int64_t channel = 0; channel < in.channels; channel += kStrip) {
    const std::int64_t width = std::min(kStrip, in.channels - channel);
    std::array<float, kStrip> total{};
    for (std::int64_t block = begin; block < end; block += kPartialRows) {
      std::array<float, kStrip> partial{};
      for (std::int64_t i = block; i < std::min(end, block + kPartialRows); ++i) {
        const float* const x = static_cast<const float*>(in.base) + rows[i] * in.row_stride + channel;
        for (std::int64_t c = 0; c < width; ++c) partial[static_cast<std::size_t>(c)] += x[c];
      }
      for (std::size_t c = 0; c < kStrip; ++c) total[c] += partial[c];
    }
    std::copy_n(total.begin(), width, out + channel);
  }
}

// Reduces the rows of the segments [first, last).
template <Reduce kReduce>
void reduce_segments(const ConstRowView& in, const SegmentedItems<std::int32_t>& rows, std::int64_t first,
                     std::int64_t last, const RowView& out) {
  constexpr std::int64_t kAhead = 4;  // rows, which lie anywhere: asked for before they are needed
  constexpr std::int64_t kLine = 64 / sizeof(float);
  const auto row = [base = static_cast<const float*>(in.base), stride = in.row_stride](std::int64_t i) {
    return base + i * stride;
  };
  const std::int64_t channels = in.channels;
  const std::int32_t* const order = rows.items;
  const std::int64_t all = rows.splits[last];
  for (std::int64_t s = first; s < last; ++s) {
    float* const to = static_cast<float*>(out.base) + s * out.row_stride;
    const std::int64_t begin = rows.splits[s], end = rows.splits[s + 1];
    const bool many = (kReduce == Reduce::kSum || kReduce == Reduce::kMean) && end - begin > kPartialRows;
    if (begin == end) std::fill_n(to, channels, 0.0f);
    if (many) sum_many(in, order, begin, end, to);
    for (std::int64_t next = begin; next < end && !many; ++next) {
      if (next + kAhead < all)
        for (std::int64_t c = 0; c < channels; c += kLine) __builtin_prefetch(row(order[next + kAhead]) + c);
      const float* const x = row(order[next]);
      if (next == begin) {
        std::copy_n(x, channels, to);
        continue;
      }
      if constexpr (kReduce == Reduce::kMax)
        for (std::int64_t c = 0; c < channels; ++c) to[c] = exceeds(x[c], to[c]) ? x[c] : to[c];
      if constexpr (kReduce == Reduce::kSum || kReduce == Reduce::kMean)
        for (std::int64_t c = 0; c < channels; ++c) to[c] += x[c];
    }
    if (kReduce == Reduce::kMean && end > begin + 1)
      for (std::int64_t c = 0; c < channels; ++c) to[c] /= static_cast<float>(end - begin);
  }
}

auto segment_reducer(Reduce reduce) {
  switch (reduce) {
    case Reduce::kSum:
      return reduce_segments<Reduce::kSum>;
    case Reduce::kMean:
      return reduce_segments<Reduce::kMean>;
    case Reduce::kMax:
      return reduce_segments<Reduce::kMax>;
    case Reduce::kFirst:
    case Reduce::kNone:
      break;
  }
  return reduce_segments<Reduce::kFirst>;
}

// One segment after the other where not all numbers are f32.
class NarrowReducer {
 public:
  NarrowReducer(const ConstRowView& in, Reduce reduce, const RowView& out)
      : in_(in), out_(out), reduce_(reduce), copy_(in, out) {}

  static std::int64_t floats(std::int64_t channels) { return 2 * channels; }

  /// Segment s; `memory` has room for floats() of the channels.
  void operator()(const SegmentedItems<std::int32_t>& rows, std::int64_t s, float* memory) const {
    const std::int32_t* const items = rows.items + rows.splits[s];
    const std::int64_t count = rows.splits[s + 1] - rows.splits[s];
    if (count <= 1 || reduce_ == Reduce::kFirst) return copy_(count > 0 ? items[0] : -1, s);
    const Merging merging(in_, reduce_ == Reduce::kMax, count);
    std::int32_t present = 0;
    const MergedRows merged{memory, in_.channels, &present};
    if (merging.max || merging.whole || count <= kPartialRows) {
      merge_rows(in_, merging, items, nullptr, count, 0, merged);
    } else {
      sum_partially(items, count, merged, memory + in_.channels);
    }
    present = static_cast<std::int32_t>(count);
    finish_merged(merged, in_, merging, reduce_ == Reduce::kMean, out_, s, 1);
  }

 private:
  // As sum_many().
  void sum_partially(const std::int32_t* items, std::int64_t count, const MergedRows& merged, float* partial) const {
    auto* const total = static_cast<float*>(merged.rows);
    std::fill_n(total, in_.channels, 0.0f);
    for (std::int64_t block = 0; block < count; block += kPartialRows) {
      std::int32_t present = 0;
      merge_rows(in_, {in_, false, count}, items + block, nullptr, std::min(kPartialRows, count - block), 0,
                 {partial, in_.channels, &present});
      for (std::int64_t c = 0; c < in_.channels; ++c) total[c] += partial[c];
    }
  }

  const ConstRowView& in_;
  const RowView& out_;
  Reduce reduce_;
  RowCopy copy_;
};

void reduce_numbers(const Context& context, const ConstRowView& in, const SegmentedItems<std::int32_t>& rows,
                    Reduce reduce, const RowView& out) {
  const std::int64_t width = NarrowReducer::floats(in.channels);
  auto* const memory = context.arena->allocate<float>(width * std::max(context.threads, 1));
  const NarrowReducer reduce_segment(in, reduce, out);
  parallel_for(context, (out.count + kReduceGrain - 1) / kReduceGrain, [&](std::int64_t piece, int thread) {
    const std::int64_t last = std::min(out.count, (piece + 1) * kReduceGrain);
    for (std::int64_t s = piece * kReduceGrain; s < last; ++s) reduce_segment(rows, s, memory + thread * width);
  });
}

}  // namespace

void reduce(const Context& context, const ConstRowView& in, const std::int32_t* segment, Reduce reduce,
            const RowView& out) {
  check_numbers("reduce", in, out);
  const Arena::Mark mark = context.arena->mark();
  const auto rows = by_segment(
      context, in.count, out.count, [=](std::int64_t i) { return segment[i]; },
      [](std::int64_t i) { return static_cast<std::int32_t>(i); });
  if (all_are(DType::kF32, in, out)) {
    const auto reduce_segments = segment_reducer(reduce);
    parallel_ranges(context, out.count, kReduceGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      reduce_segments(in, rows, first, last, out);
    });
  } else {
    reduce_numbers(context, in, rows, reduce, out);
  }
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
