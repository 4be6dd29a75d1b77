// Kernel maps by cursors over sorted keys. For one offset the sought keys ascend with the output rows, so a cursor that
// only moves forward replaces every search: "z-delta search" (Spira, arXiv 2511.20834) taken to its end. A window of
// odd sizes on one set of coordinates is symmetric: offset K - 1 - k has the pairs of offset k with in and out
// exchanged.
#include <voxshift/kernels_cpu/kernel_map.h>
#include <voxshift/kernels_cpu/pair_lists.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/tensor/search_layout.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kChunkRows = 4096;  // output rows that one task pairs with all offsets

// Keys that are counted past the end of a level: larger than every sought key, so that cursors need no bound.
constexpr std::int64_t kPadding = 4;

// The fine keys, padded, in the layout of search_layout.
Level searchable(const Context& context, const Level& fine, const Level& coarse, const Window& window) {
  const KeyLayout layout = search_layout(fine, coarse, window);
  auto* keys = context.arena->allocate<std::int64_t>(fine.count + kPadding);
  if (layout == fine.layout) {
    std::copy_n(fine.keys, fine.count, keys);
  } else {
    Coordinate c;
    for (std::int64_t i = 0; i < fine.count; ++i) {
      fine.layout.unpack(fine.keys[i], c.data());
      keys[i] = layout.pack(c.data());
    }
  }
  std::fill_n(keys + fine.count, kPadding, INT64_MAX);
  return {layout, keys, fine.count};
}

// base[o] + delta(offset) = key of coarse[o] * stride + offset in the fine layout.
const std::int64_t* base_keys(const Context& context, const Level& fine, const Level& coarse, const Window& window) {
  auto* base = context.arena->allocate<std::int64_t>(coarse.count);
  parallel_ranges(context, coarse.count, kChunkRows, [&](std::int64_t begin, std::int64_t end, std::int64_t) {
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
  std::int32_t* counts;  // [chunks, counts_stride]: a chunk's counters are on cache lines of their own
  int offsets;

  static constexpr std::int64_t kLine = 16;
  std::int64_t counts_stride() const { return (offsets + kLine - 1) / kLine * kLine; }
  std::int32_t* counts_of(std::int64_t chunk) const { return counts + chunk * counts_stride(); }

  std::int64_t place(std::int64_t chunk, int k) const { return k * rows + chunk * kChunkRows; }
};

// The taps that differ along the last axis only: `sought + t * spacing` for t of [0, taps), sought ascending from row
// to row.
struct alignas(64) Column {  // a cache line each: threads write theirs at every row
  std::int64_t cursor;       // first key not below the sought one
  std::int64_t delta, reach;
  int first_k;
};

// Pairs the rows [begin, end) of the chunk with all columns. The cursors of different columns are independent chains,
// and each moves by counting keys instead of branching on them, so the walk runs at the rate of the loads.
void walk(const Level& fine, const std::int64_t* base, std::int64_t begin, std::int64_t end, std::int64_t chunk,
          Column* columns, int column_count, std::int64_t spacing, const Table& table) {
  const std::int64_t* const keys = fine.keys;
  std::int32_t* const counts = table.counts_of(chunk);
  for (Column* column = columns; column != columns + column_count; ++column)
    column->cursor = std::lower_bound(keys, keys + fine.count, base[begin] + column->delta) - keys;
  for (std::int64_t o = begin; o < end; ++o)
    for (Column* column = columns; column != columns + column_count; ++column) {
      const std::int64_t sought = base[o] + column->delta;
      const std::int64_t* key = keys + column->cursor;
      for (std::int64_t passed = kPadding; passed == kPadding; key += passed)
        passed = (key[0] < sought) + (key[1] < sought) + (key[2] < sought) + (key[3] < sought);
      column->cursor = key - keys;
      for (const std::int64_t last = sought + column->reach; *key <= last; ++key) {
        const std::int64_t distance = *key - sought;
        if (spacing > 1 && distance % spacing != 0) continue;
        const int k = column->first_k + static_cast<int>(spacing > 1 ? distance / spacing : distance);
        const std::int64_t p = table.place(chunk, k) + counts[k]++;
        table.in[p] = static_cast<std::int32_t>(key - keys);
        table.out[p] = static_cast<std::int32_t>(o);
      }
    }
}

// PairLists::splits of these lists onto `rows` output rows.
const std::int32_t* split(const Context& context, const PairList* pairs, int volume, std::int64_t rows, Arena& result) {
  constexpr std::int64_t kGrain = 32;
  const std::int64_t splits = (rows + kSplitRows - 1) / kSplitRows + 1;
  auto* table = result.allocate<std::int32_t>(splits * volume);
  parallel_ranges(context, splits, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for (int k = 0; k < volume; ++k) {
      const std::int32_t* const out = pairs[k].out;
      const std::int64_t count = pairs[k].count;
      std::int64_t p = std::lower_bound(out, out + count, first * kSplitRows) - out;
      for (std::int64_t s = first; s < last; ++s) {
        while (p < count && out[p] < s * kSplitRows) ++p;
        table[s * volume + k] = static_cast<std::int32_t>(p);
      }
    }
  });
  return table;
}

// The chunks of the table joined to one list per offset, in memory of `result`; room for `volume` lists.
PairList* joined(const Context& context, const Table& table, std::int64_t chunks, int volume, Arena& result) {
  auto* pairs = result.allocate<PairList>(volume);
  for (int k = 0; k < table.offsets; ++k) {
    pairs[k].count = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) pairs[k].count += table.counts_of(chunk)[k];
  }
  auto* starts = context.arena->allocate<std::int64_t>(table.offsets);
  const std::int64_t total = list_starts({pairs, static_cast<std::size_t>(table.offsets)}, starts);
  auto* in = result.allocate<std::int32_t>(total);
  auto* out = result.allocate<std::int32_t>(total);
  for (int k = 0; k < table.offsets; ++k) {
    pairs[k].in = in + starts[k];
    pairs[k].out = out + starts[k];
  }
  parallel_for(context, table.offsets, [&](std::int64_t k, int) {
    std::int64_t to = starts[k];
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const std::int64_t from = table.place(chunk, static_cast<int>(k));
      const std::int32_t count = table.counts_of(chunk)[k];
      std::copy_n(table.in + from, count, in + to);
      std::copy_n(table.out + from, count, out + to);
      to += count;
    }
  });
  return pairs;
}

// Offset volume - 1 - k of a symmetric window is offset k with in and out exchanged, the one in the middle the
// identity.
void mirror(PairList* pairs, int volume, std::int64_t rows, Arena& result) {
  auto* same = result.allocate<std::int32_t>(rows);
  std::iota(same, same + rows, 0);
  pairs[volume / 2] = {same, same, rows};
  for (int k = 0; k < volume / 2; ++k) pairs[volume - 1 - k] = {pairs[k].out, pairs[k].in, pairs[k].count};
}

}  // namespace

KernelMapViews kernel_map(const Context& context, const Level& fine, const Level& coarse, const Window& window,
                          Arena& result) {
  const Arena::Mark mark = context.arena->mark();
  Arena& scratch = *context.arena;
  const auto last = static_cast<std::size_t>(window.dims - 1);
  const int volume = window.volume(), taps = window.size[last];
  const bool all_odd = std::all_of(window.size.begin(), window.size.begin() + window.dims, [](int s) { return s % 2; });
  const bool submanifold = fine.keys == coarse.keys && window.unit_stride() && window.semantics == Semantics::kFloor;
  const bool symmetric = submanifold && all_odd;
  const int walked = symmetric ? volume / 2 : volume;  // offsets that are searched; the rest is mirrored
  const int columns = (walked + taps - 1) / taps;

  const Level search = searchable(context, fine, coarse, window);
  const bool same_keys = submanifold && search.layout == fine.layout;
  const std::int64_t* base = same_keys ? search.keys : base_keys(context, search, coarse, window);
  const std::int64_t chunks = (coarse.count + kChunkRows - 1) / kChunkRows, cells = walked * coarse.count;
  Table table{scratch.allocate<std::int32_t>(cells), scratch.allocate<std::int32_t>(cells), coarse.count, nullptr,
              walked};
  table.counts = scratch.allocate<std::int32_t>(chunks * table.counts_stride());
  auto* const all_columns = scratch.allocate<Column>(chunks * columns);
  parallel_ranges(context, coarse.count, kChunkRows, [&](std::int64_t begin, std::int64_t end, std::int64_t chunk) {
    std::fill_n(table.counts_of(chunk), walked, 0);
    Column* own = all_columns + chunk * columns;
    for (int c = 0, k = 0; c < columns; ++c, k += taps)
      own[c] = {0, delta(search.layout, window.offset(k)),
                std::int64_t{std::min(taps, walked - k) - 1} * window.dilation[last], k};
    walk(search, base, begin, end, chunk, own, columns, window.dilation[last], table);
  });

  PairList* pairs = joined(context, table, chunks, volume, result);
  if (symmetric) mirror(pairs, volume, coarse.count, result);
  auto* swapped = result.allocate<PairList>(volume);
  for (int k = 0; k < volume; ++k) swapped[k] = {pairs[k].out, pairs[k].in, pairs[k].count};
  KernelMapViews views;
  views.forward = {volume, fine.count, coarse.count,
                   MapLayout(PairLists{pairs, split(context, pairs, volume, coarse.count, result)})};
  views.transposed = {volume, coarse.count, fine.count,
                      MapLayout(PairLists{swapped, split(context, swapped, volume, fine.count, result)})};
  scratch.rewind(mark);
  return views;
}

std::int64_t pair_count(const KernelMapView& map) {
  std::int64_t count = 0;
  const auto lists = map.layout.as<PairLists>();
  for (int k = 0; k < map.volume; ++k) count += lists.pairs[k].count;
  return count;
}

void list_pairs(const KernelMapView& map, std::int32_t* to) {
  const auto lists = map.layout.as<PairLists>();
  for (int k = 0; k < map.volume; ++k) {
    const PairList& list = lists.pairs[k];
    for (std::int64_t p = 0; p < list.count; ++p, to += 3) {
      to[0] = k;
      to[1] = list.in[p];
      to[2] = list.out[p];
    }
  }
}

}  // namespace voxshift::cpu
