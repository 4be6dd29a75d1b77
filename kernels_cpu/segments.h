// Items sorted by the segment they belong to.
#pragma once

#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/tensor/runtime.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace voxshift::cpu {

/// Those of segment s are items[splits[s]] .. items[splits[s + 1] - 1].
template <class Item>
struct SegmentedItems {
  const Item* items;
  const std::int64_t* splits;  ///< [segments + 1]
};

/// item_of(i) for every i of [0, n) with segment_of(i) >= 0, by segment, then by i, in memory of context.arena. A
/// stable counting sort: what comes out does not depend on the number of threads. Those without a segment, -1, are
/// sorted in front of the others: a branch on them would be foreseen too seldom.
template <class SegmentOf, class ItemOf>
auto by_segment(const Context& context, std::int64_t n, std::int64_t segments, const SegmentOf& segment_of,
                const ItemOf& item_of) {
  using Item = decltype(item_of(0));
  constexpr std::int64_t kLeastChunk = 16384;
  const std::int64_t slots = segments + 1;  // that of segment s is s + 1
  // Each chunk has a counter per slot. There are at most half as many as items, and n and segments alone decide how
  // much memory is asked for: fewer of both never need more.
  const std::int64_t chunks =
      std::clamp<std::int64_t>(n / std::max(kLeastChunk, 2 * slots), 1, std::max(context.threads, 1));
  Arena& arena = *context.arena;
  auto* items = arena.allocate<Item>(n);
  auto* splits = arena.allocate<std::int64_t>(slots + 1);
  const Arena::Mark mark = arena.mark();
  auto* places = arena.allocate<std::int64_t>(std::max(slots, n / 2));
  // By value, and bounds in locals: stores to counters and items must not make the compiler compute them again.
  parallel_for(context, chunks, [=](std::int64_t chunk, int) {
    const std::int64_t first = n * chunk / chunks, last = n * (chunk + 1) / chunks;
    std::int64_t* const count = places + chunk * slots;
    std::fill_n(count, slots, 0);
    for (std::int64_t i = first; i < last; ++i) ++count[segment_of(i) + 1];
  });
  std::int64_t place = 0;
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    splits[slot] = place;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) place += std::exchange(places[chunk * slots + slot], place);
  }
  splits[slots] = place;
  parallel_for(context, chunks, [=](std::int64_t chunk, int) {
    const std::int64_t first = n * chunk / chunks, last = n * (chunk + 1) / chunks;
    std::int64_t* const next = places + chunk * slots;
    Item* const to = items;
    for (std::int64_t i = first; i < last; ++i) to[next[segment_of(i) + 1]++] = item_of(i);
  });
  arena.rewind(mark);
  return SegmentedItems<Item>{items, splits + 1};
}

}  // namespace voxshift::cpu
