// Kernel maps by cursors over sorted keys. For one offset the sought keys ascend with the output rows, so a cursor that
// only moves forward replaces every search: "z-delta search" (Spira, arXiv 2511.20834) taken to its end. A window of
// odd sizes on one set of coordinates is symmetric: offset K - 1 - k has the pairs of offset k with in and out
// exchanged.
#include <voxshift/kernels_cpu/kernel_map.h>
#include <voxshift/kernels_cpu/parallel.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kChunkRows = 4096;  // output rows that one task pairs with all offsets

// The fine keys in a layout that also holds every sought coordinate coarse * stride + offset, unless the fine layout
// already keeps such keys apart from the present ones.
Level searchable(const Context& context, const Level& fine, const Level& coarse, const Window& window) {
  const Window::Extents first = window.offset(0), last = window.offset(window.volume() - 1);
  Coordinate lowest{}, highest{};
  bool apart = true;
  for (int axis = 0; axis < fine.layout.axes(); ++axis) {
    const auto a = static_cast<std::size_t>(axis);
    const bool spatial = axis > 0;
    const std::int64_t stride = spatial ? window.stride[a - 1] : 1;
    const std::int64_t low = coarse.layout.lowest(axis) * stride + (spatial ? first[a - 1] : 0);
    const std::int64_t high = coarse.layout.highest(axis) * stride + (spatial ? last[a - 1] : 0);
    // A field that runs over borrows from the next one and then shows a value of [extent, 2^width), which no key has.
    const std::int64_t field = std::int64_t{1} << fine.layout.width(axis);
    const std::int64_t room = spatial ? field - fine.layout.extent(axis) : 0;
    apart = apart && low - fine.layout.lowest(axis) >= -room && high - fine.layout.lowest(axis) < field &&
            high - low < field;
    check(low >= INT32_MIN && high <= INT32_MAX, "[kernel_map] coordinates times stride leave 32 bits");
    lowest[a] = std::min(fine.layout.lowest(axis), static_cast<std::int32_t>(low));
    highest[a] = std::max(fine.layout.highest(axis), static_cast<std::int32_t>(high));
  }
  if (apart) return fine;
  const KeyLayout layout(fine.layout.axes(), lowest, highest);
  auto* keys = context.arena->allocate<std::int64_t>(fine.count);
  Coordinate c;
  for (std::int64_t i = 0; i < fine.count; ++i) {
    fine.layout.unpack(fine.keys[i], c.data());
    keys[i] = layout.pack(c.data());
  }
  return {layout, keys, fine.count};
}

// base[o] + delta(offset) = key of coarse[o] * stride + offset in the fine layout.
const std::int64_t* base_keys(const Context& context, const Level& fine, const Level& coarse, const Window& window) {
  auto* base = context.arena->allocate<std::int64_t>(coarse.count);
  parallel_ranges(context.threads, coarse.count, kChunkRows, [&](std::int64_t begin, std::int64_t end, std::int64_t) {
    Coordinate c;
    for (std::int64_t o = begin; o < end; ++o) {
      coarse.layout.unpack(coarse.keys[o], c.data());
      std::int64_t key = 0;
      for (int axis = 0; axis < fine.layout.axes(); ++axis) {
        const auto a = static_cast<std::size_t>(axis);
        const std::int64_t scaled = std::int64_t{c[a]} * (axis > 0 ? window.stride[a - 1] : 1);
        key += (scaled - fine.layout.lowest(axis)) * (std::int64_t{1} << fine.layout.shift(axis));
      }
      base[o] = key;
    }
  });
  return base;
}

std::int64_t delta(const KeyLayout& layout, const Window::Extents& offset) {
  std::int64_t key = 0;
  for (int axis = 1; axis < layout.axes(); ++axis)
    key += offset[static_cast<std::size_t>(axis) - 1] * (std::int64_t{1} << layout.shift(axis));
  return key;
}

// Pairs of one chunk of output rows, each offset at the chunk's own rows of a [offsets, rows] table, compacted
// afterwards.
struct Table {
  std::int32_t *in, *out;
  std::int64_t rows;
  std::int32_t* counts;  // [chunks, offsets]
  int offsets;

  std::int64_t place(std::int64_t chunk, int k) const { return k * rows + chunk * kChunkRows; }
};

// Walks the taps of one column, the offsets that differ along the last axis only, over the rows of one chunk.
void walk_column(const Level& fine, const std::int64_t* base, std::int64_t begin, std::int64_t end, std::int64_t chunk,
                 int first_k, int taps, std::int64_t first_delta, std::int64_t spacing, const Table& table) {
  const std::int64_t* const keys = fine.keys;
  const std::int64_t n = fine.count;
  std::int64_t cursor = std::lower_bound(keys, keys + n, base[begin] + first_delta) - keys;
  std::int32_t* const counts = table.counts + chunk * table.offsets;
  for (std::int64_t o = begin; o < end && cursor < n; ++o) {
    const std::int64_t sought = base[o] + first_delta;
    while (cursor < n && keys[cursor] < sought) ++cursor;
    const std::int64_t furthest = sought + (taps - 1) * spacing;
    for (std::int64_t i = cursor; i < n && keys[i] <= furthest; ++i) {
      const std::int64_t distance = keys[i] - sought;
      if (spacing > 1 && distance % spacing != 0) continue;
      const int k = first_k + static_cast<int>(distance / spacing);
      const std::int64_t p = table.place(chunk, k) + counts[k]++;
      table.in[p] = static_cast<std::int32_t>(i);
      table.out[p] = static_cast<std::int32_t>(o);
    }
  }
}

// In every list the first pair whose row, in the column that `row` picks, is at least s * kSplitRows.
template <class Row>
const std::int32_t* split(const Context& context, const PairList* pairs, int volume, std::int64_t rows, Arena& result,
                          const Row& row) {
  const std::int64_t splits = (rows + kSplitRows - 1) / kSplitRows + 1;
  auto* table = result.allocate<std::int32_t>(splits * volume);
  parallel_for(context.threads, volume, [&](std::int64_t k, int) {
    const std::int32_t* column = row(pairs[k]);
    std::int64_t p = 0;
    for (std::int64_t s = 0; s < splits; ++s) {
      p = std::lower_bound(column + p, column + pairs[k].count, s * kSplitRows) - column;
      table[s * volume + k] = static_cast<std::int32_t>(p);
    }
  });
  return table;
}

}  // namespace

KernelMapViews kernel_map(const Context& context, const Level& fine, const Level& coarse, const Window& window,
                          Arena& result) {
  const Arena::Mark mark = context.arena->mark();
  const int volume = window.volume();
  const auto last = static_cast<std::size_t>(window.dims - 1);
  const int taps = window.size[last];
  const bool all_odd = std::all_of(window.size.begin(), window.size.begin() + window.dims, [](int s) { return s % 2; });
  const bool same = fine.keys == coarse.keys && window.unit_stride() && window.semantics == Semantics::kFloor;
  const bool symmetric = same && all_odd;
  const int walked = symmetric ? volume / 2 : volume;  // offsets that are searched; the rest is mirrored

  const Level search = searchable(context, fine, coarse, window);
  const std::int64_t* base = same && search.keys == fine.keys ? fine.keys : base_keys(context, search, coarse, window);
  const std::int64_t chunks = (coarse.count + kChunkRows - 1) / kChunkRows;
  const std::int64_t cells = walked * coarse.count;
  const Table table{context.arena->allocate<std::int32_t>(cells), context.arena->allocate<std::int32_t>(cells),
                    coarse.count, context.arena->allocate<std::int32_t>(chunks * walked), walked};
  parallel_ranges(context.threads, coarse.count, kChunkRows,
                  [&](std::int64_t begin, std::int64_t end, std::int64_t chunk) {
                    std::fill_n(table.counts + chunk * walked, walked, 0);
                    for (int k = 0; k < walked; k += taps)
                      walk_column(search, base, begin, end, chunk, k, std::min(taps, walked - k),
                                  delta(search.layout, window.offset(k)), window.dilation[last], table);
                  });

  auto* pairs = result.allocate<PairList>(volume);
  std::int64_t total = 0;
  for (int k = 0; k < walked; ++k) {
    pairs[k].count = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) pairs[k].count += table.counts[chunk * walked + k];
    total += pairs[k].count;
  }
  auto* in = result.allocate<std::int32_t>(total);
  auto* out = result.allocate<std::int32_t>(total);
  for (int k = 0; k < walked; ++k) {
    pairs[k].in = in;
    pairs[k].out = out;
    in += pairs[k].count;
    out += pairs[k].count;
  }
  parallel_for(context.threads, walked, [&](std::int64_t list, int) {
    const auto k = static_cast<int>(list);
    std::int64_t p = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const std::int32_t count = table.counts[chunk * walked + k];
      const auto bytes = static_cast<std::size_t>(count) * sizeof(std::int32_t);
      std::memcpy(const_cast<std::int32_t*>(pairs[k].in) + p, table.in + table.place(chunk, k), bytes);
      std::memcpy(const_cast<std::int32_t*>(pairs[k].out) + p, table.out + table.place(chunk, k), bytes);
      p += count;
    }
  });
  if (symmetric) {
    auto* rows = result.allocate<std::int32_t>(coarse.count);
    std::iota(rows, rows + coarse.count, 0);
    pairs[walked] = {rows, rows, coarse.count};
    for (int k = 0; k < walked; ++k) pairs[volume - 1 - k] = {pairs[k].out, pairs[k].in, pairs[k].count};
  }

  auto* swapped = result.allocate<PairList>(volume);
  for (int k = 0; k < volume; ++k) swapped[k] = {pairs[k].out, pairs[k].in, pairs[k].count};
  KernelMapViews views;
  views.forward = {volume, fine.count, coarse.count, pairs,
                   split(context, pairs, volume, coarse.count, result, [](const PairList& list) { return list.out; })};
  views.transposed = {volume, coarse.count, fine.count, swapped,
                      split(context, pairs, volume, fine.count, result, [](const PairList& list) { return list.in; })};
  context.arena->rewind(mark);
  return views;
}

}  // namespace voxshift::cpu
