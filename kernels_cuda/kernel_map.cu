// Kernel maps by searches in sorted keys: one binary search per output row and column of taps along the last axis, then
// a walk along the column ("z-delta search", Spira, arXiv 2511.20834). A window of odd sizes on one set of coordinates
// is symmetric: offset K - 1 - k has the pairs of offset k with in and out exchanged.
#include <voxshift/kernels_cuda/algorithms.h>
#include <voxshift/kernels_cuda/binary_search.h>
#include <voxshift/kernels_cuda/kernel_map.h>
#include <voxshift/kernels_cuda/row_table.h>
#include <voxshift/tensor/search_layout.h>

#include <algorithm>
#include <array>
#include <bit>
#include <climits>
#include <numeric>
#include <vector>

namespace voxshift::cuda {
namespace {

const std::int64_t* repacked(const Queue& queue, const Level& level, const KeyLayout& layout) {
  if (layout == level.layout) return level.keys;
  auto* keys = queue.arena().allocate<std::int64_t>(level.count);
  for_each(queue, level.count, [=, from = level.layout, old = level.keys] __device__(std::int64_t i) {
    std::int32_t c[kMaxAxes];
    from.unpack(old[i], c);
    keys[i] = layout.pack(c);
  });
  return keys;
}

// Key of coarse[o] * stride + offset k in the search layout, whether or not it is in its box.
__device__ inline std::int64_t sought_key(const KeyLayout& layout, const std::int32_t* c, const Window& window, int k) {
  const Window::Extents offset = window.offset(k);
  std::int64_t key = std::int64_t{c[0]} - layout.lowest(0);
  key *= std::int64_t{1} << layout.shift(0);
  for (int axis = 1; axis < layout.axes(); ++axis) {
    const auto d = static_cast<std::size_t>(axis - 1);
    const std::int64_t moved = std::int64_t{c[axis]} * window.stride[d] + offset[d];
    key += (moved - layout.lowest(axis)) * (std::int64_t{1} << layout.shift(axis));
  }
  return key;
}

// Fills both tables, [coarse, volume] and, where given, [fine, volume], with pairs of the offsets below `walked`; a
// symmetric window's other half follows from these.
void search(const Queue& queue, const Level& fine, const Level& coarse, const Window& window, int walked,
            bool symmetric, std::int32_t* forward, std::int32_t* transposed) {
  const KeyLayout layout = search_layout(fine, coarse, window);
  const std::int64_t* keys = repacked(queue, fine, layout);
  const int volume = window.volume(), taps = window.size[static_cast<std::size_t>(window.dims) - 1];
  const int columns = ceil_div(walked, taps);
  const std::int64_t spacing = window.dilation[static_cast<std::size_t>(window.dims) - 1], count = fine.count;
  const KeyLayout from = coarse.layout;
  const std::int64_t* coarse_keys = coarse.keys;
  for_each(queue, coarse.count * columns, [=] __device__(std::int64_t e) {
    const auto o = static_cast<std::int32_t>(e / columns);
    const int first_k = static_cast<int>(e % columns) * taps;
    const int last_tap = (walked - first_k < taps ? walked - first_k : taps) - 1;
    std::int32_t c[kMaxAxes];
    from.unpack(coarse_keys[o], c);
    const std::int64_t sought = sought_key(layout, c, window, first_k), last = sought + last_tap * spacing;
    for (std::int64_t i = lower_bound(keys, count, sought); i < count && keys[i] <= last; ++i) {
      const std::int64_t distance = keys[i] - sought;
      if (distance % spacing != 0) continue;
      const int k = first_k + static_cast<int>(distance / spacing);
      forward[std::int64_t{o} * volume + k] = static_cast<std::int32_t>(i);
      if (symmetric) forward[i * volume + volume - 1 - k] = o;
      if (transposed != nullptr) transposed[i * volume + k] = o;
    }
  });
  if (symmetric)
    for_each(queue, coarse.count,
             [=] __device__(std::int64_t o) { forward[o * volume + volume / 2] = static_cast<std::int32_t>(o); });
}

// Bits of a mask, the rarest offsets highest: those far from the centre, and of scans, whose voxels lie in layers,
// those above and below. Sorted by them, tiles of rows share most of their offsets; 32 rows then multiply 1.42 to 1.67
// times their pairs on a KITTI scan, in the order of keys 3.0 to 4.8 (benchmarks/tile_counts.py).
struct SortBits {
  static constexpr int kMost = 32;
  std::int16_t offset[kMost];  // of bit b
  int count;

  explicit SortBits(const Window& window) {
    const int volume = window.volume();
    std::vector<int> by_distance(static_cast<std::size_t>(volume));
    std::iota(by_distance.begin(), by_distance.end(), 0);
    const auto distance = [&](int k) {
      const Window::Extents low = window.offset(0), high = window.offset(volume - 1), at = window.offset(k);
      std::int64_t sum = 0;
      for (std::size_t d = 0; d < static_cast<std::size_t>(window.dims); ++d) {
        const std::int64_t from_centre = 2 * std::int64_t{at[d]} - low[d] - high[d];
        sum += from_centre * from_centre * (d + 1 == static_cast<std::size_t>(window.dims) ? 3 : 1);
      }
      return sum;
    };
    std::stable_sort(by_distance.begin(), by_distance.end(), [&](int a, int b) { return distance(a) < distance(b); });
    count = std::min(volume, kMost);
    for (int b = 0; b < kMost; ++b) {
      offset[b] = static_cast<std::int16_t>(b < count ? by_distance[static_cast<std::size_t>(b)] : 0);
    }
  }
};

// Where a mask comes in the reflected Gray code, in which neighbours differ by one bit.
template <class Key>
__device__ Key gray_rank(Key mask) {
  for (unsigned shift = 1; shift < 8 * sizeof(Key); shift *= 2) mask ^= mask >> shift;
  return mask;
}

/// A table that is made, and where its masks and order go.
struct NewTable {
  std::int32_t* table;
  std::int64_t rows, first;  // `first`: rows of all tables before
  Window window;
};

// Masks of all tables and the orders of their rows by them: one sort for all, whose keys begin with the table's number.
template <class Key>
void finish_tables(const Queue& queue, const std::vector<NewTable>& tables, std::int64_t rows, int mask_bits,
                   std::uint32_t* masks, std::int32_t* order) {
  const Arena::Mark mark = queue.arena().mark();
  auto* keys = queue.arena().allocate<Key>(rows);
  auto* sorted = queue.arena().allocate<Key>(rows);
  auto* identity = queue.arena().allocate<std::int32_t>(rows);
  std::uint32_t* word = masks;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    const std::int32_t* table = tables[t].table;
    const std::int64_t first = tables[t].first;
    const int volume = tables[t].window.volume(), words = RowTable::words(volume);
    const SortBits bits(tables[t].window);
    const Key prefix = t == 0 ? 0 : static_cast<Key>(t) << mask_bits;
    for_each(queue, tables[t].rows, [=] __device__(std::int64_t r) {
      for (int w = 0; w < words; ++w) {
        const int end = volume - 32 * w < 32 ? volume - 32 * w : 32;
        std::uint32_t present = 0;
        for (int b = 0; b < end; ++b) present |= static_cast<std::uint32_t>(table[r * volume + 32 * w + b] >= 0) << b;
        word[r * words + w] = present;
      }
      Key key = 0;
      for (int b = 0; b < bits.count; ++b)
        key |= static_cast<Key>(word[r * words + bits.offset[b] / 32] >> (bits.offset[b] % 32) & 1) << b;
      keys[first + r] = prefix | gray_rank(key);
      identity[first + r] = static_cast<std::int32_t>(r);
    });
    word += tables[t].rows * words;
  }
  const auto table_bits = static_cast<int>(std::bit_width(tables.size() - 1));
  if (rows > 0) sort_pairs(queue, keys, sorted, identity, order, rows, mask_bits + table_bits);
  queue.arena().rewind(mark);
}

}  // namespace

void kernel_maps(const Queue& queue, std::span<const MapRequest> requests, Arena& result,
                 std::span<KernelMapViews> views) {
  if (requests.empty()) return;
  std::vector<NewTable> tables;
  std::int64_t cells = 0, rows = 0, words = 0;
  int mask_bits = 1;
  const auto is_symmetric = [](const MapRequest& r) {
    const bool odd =
        std::all_of(r.window.size.begin(), r.window.size.begin() + r.window.dims, [](int s) { return s % 2; });
    return odd && r.fine.keys == r.coarse.keys && r.window.unit_stride() && r.window.semantics == Semantics::kFloor;
  };
  for (const MapRequest& r : requests) {
    const int volume = r.window.volume();
    for (const std::int64_t count : {r.coarse.count, is_symmetric(r) ? -1 : r.fine.count}) {
      if (count < 0) continue;
      tables.push_back({nullptr, count, rows, r.window});
      rows += count;
      cells += count * volume;
      words += count * RowTable::words(volume);
    }
    mask_bits = std::max(mask_bits, std::min(volume, SortBits::kMost));
  }
  std::int32_t* const all = result.allocate<std::int32_t>(cells);
  auto* const masks = result.allocate<std::uint32_t>(words);
  auto* const order = result.allocate<std::int32_t>(rows);
  queue.fill(all, 0xff, static_cast<std::size_t>(cells) * sizeof(*all));
  std::int32_t* next = all;
  for (NewTable& table : tables) {
    table.table = next;
    next += table.rows * table.window.volume();
  }

  const Arena::Mark mark = queue.arena().mark();
  auto table = tables.begin();
  for (const MapRequest& r : requests) {
    const bool symmetric = is_symmetric(r);
    if (r.fine.count > 0 && r.coarse.count > 0)
      search(queue, r.fine, r.coarse, r.window, symmetric ? r.window.volume() / 2 : r.window.volume(), symmetric,
             table[0].table, symmetric ? nullptr : table[1].table);
    table += symmetric ? 1 : 2;
  }
  if (mask_bits + std::bit_width(tables.size() - 1) <= 32) {
    finish_tables<std::uint32_t>(queue, tables, rows, mask_bits, masks, order);
  } else {
    finish_tables<std::uint64_t>(queue, tables, rows, mask_bits, masks, order);
  }
  queue.arena().rewind(mark);

  table = tables.begin();
  const std::uint32_t* word = masks;
  const auto made = [&] {
    const RowTable rows_of_table{table->table, word, order + table->first, false};
    word += table->rows * RowTable::words(table->window.volume());
    ++table;
    return rows_of_table;
  };
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const MapRequest& r = requests[i];
    const int volume = r.window.volume();
    const RowTable forward = made();
    RowTable transposed = forward;
    if (is_symmetric(r)) {
      transposed.mirrored = true;
    } else {
      transposed = made();
    }
    views[i].forward = {volume, r.fine.count, r.coarse.count, MapLayout(forward)};
    views[i].transposed = {volume, r.coarse.count, r.fine.count, MapLayout(transposed)};
  }
}

PairLists pair_lists(const Queue& queue, const KernelMapView& map) {
  const std::int64_t rows = map.out_rows, cells = rows * map.volume;
  const int volume = map.volume;
  auto* in = queue.arena().allocate<std::int32_t>(cells);
  auto* out = queue.arena().allocate<std::int32_t>(cells);
  auto* starts = queue.arena().allocate<std::int64_t>(volume + 1);
  const Arena::Mark mark = queue.arena().mark();
  auto* present = queue.arena().allocate<std::int32_t>(cells);
  auto* places = queue.arena().allocate<std::int64_t>(cells);
  const auto table = map.layout.as<RowTable>();
  const auto source = [=] __device__(int k, std::int64_t row) {
    return table.table[row * volume + (table.mirrored ? volume - 1 - k : k)];
  };
  for_each(queue, cells,
           [=] __device__(std::int64_t e) { present[e] = source(static_cast<int>(e / rows), e % rows) >= 0; });
  if (cells > 0) inclusive_sum(queue, present, places, cells);
  for_each(queue, cells, [=] __device__(std::int64_t e) {
    if (present[e] == 0) return;
    const int k = static_cast<int>(e / rows);
    in[places[e] - 1] = source(k, e % rows);
    out[places[e] - 1] = static_cast<std::int32_t>(e % rows);
  });
  for_each(queue, volume + 1,
           [=] __device__(std::int64_t k) { starts[k] = k == 0 || rows == 0 ? 0 : places[k * rows - 1]; });
  queue.arena().rewind(mark);
  return {in, out, starts};
}

std::int64_t pair_count(const Queue& queue, const KernelMapView& map) {
  const Arena::Mark mark = queue.arena().mark();
  auto* count = queue.arena().allocate<unsigned long long>(1);
  queue.fill(count, 0, sizeof(*count));
  const std::uint32_t* masks = map.layout.as<RowTable>().masks;
  for_each(queue, map.out_rows * RowTable::words(map.volume), [=] __device__(std::int64_t i) {
    const int pairs = __popc(masks[i]);
    if (pairs > 0) atomicAdd(count, static_cast<unsigned long long>(pairs));
  });
  const unsigned long long result = queue.read(count);
  queue.arena().rewind(mark);
  return static_cast<std::int64_t>(result);
}

void list_pairs(const Queue& queue, const KernelMapView& map, std::int32_t* pairs) {
  const Arena::Mark mark = queue.arena().mark();
  const PairLists lists = pair_lists(queue, map);
  const int volume = map.volume;
  for_each(queue, map.out_rows * volume, [=] __device__(std::int64_t p) {
    if (p >= lists.starts[volume]) return;
    int k = 0;
    while (p >= lists.starts[k + 1]) ++k;
    pairs[3 * p] = k;
    pairs[3 * p + 1] = lists.in[p];
    pairs[3 * p + 2] = lists.out[p];
  });
  queue.arena().rewind(mark);
}

}  // namespace voxshift::cuda
