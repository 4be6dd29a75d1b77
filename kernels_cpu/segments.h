// Items in the order of the segments they belong to.
#pragma once

#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/tensor/runtime.h>

#include <algorithm>
#include <cstdint>

namespace voxshift::cpu {

/// Those of segment s are items[splits[s]] .. items[splits[s + 1] - 1].
template <class Item>
struct SegmentedItems {
  const Item* items;
  const std::int64_t* splits;  ///< [segments + 1]
};

/// item_of(i) for every i of [0, n) with segment_of(i) >= 0, by segment, then by i, in memory of context.arena. A
/// stable counting sort: what comes out does not depend on the number of threads.
template <class SegmentOf, class ItemOf>
auto by_segment(const Context& context, std::int64_t n, std::int64_t segments, const SegmentOf& segment_of,
                const ItemOf& item_of) {
  using Item = decltype(item_of(0));
  constexpr std::int64_t kLeastChunk = 16384;
  // Each chunk has a counter per segment. There are at most half as many as items, and n and segments alone decide how
  // much memory is asked for: fewer of both never need more.
  const std::int64_t chunks =
      std::clamp<std::int64_t>(n / std::max(kLeastChunk, 2 * segments), 1, std::max(context.threads, 1));
  Arena& arena = *context.arena;
  auto* items = arena.allocate<Item>(n);
  auto* splits = arena.allocate<std::int64_t>(segments + 1);
  const Arena::Mark mark = arena.mark();
  auto* places = arena.allocate<std::int64_t>(std::max(segments, n / 2));
  parallel_for(context.threads, chunks, [=, &segment_of](std::int64_t chunk, int) {
    std::int64_t* const count = places + chunk * segments;
    std::fill_n(count, segments, 0);
    for (std::int64_t i = n * chunk / chunks; i < n * (chunk + 1) / chunks; ++i)
      if (segment_of(i) >= 0) ++count[segment_of(i)];
  });
  std::int64_t place = 0;
  for (std::int64_t s = 0; s < segments; ++s) {
    splits[s] = place;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const std::int64_t count = places[chunk * segments + s];
      places[chunk * segments + s] = place;
      place += count;
    }
  }
  splits[segments] = place;
  parallel_for(context.threads, chunks, [=, &segment_of, &item_of](std::int64_t chunk, int) {
    std::int64_t* const next = places + chunk * segments;
    for (std::int64_t i = n * chunk / chunks; i < n * (chunk + 1) / chunks; ++i)
      if (segment_of(i) >= 0) items[next[segment_of(i)]++] = item_of(i);
  });
  arena.rewind(mark);
  return SegmentedItems<Item>{items, splits};
}

}  // namespace voxshift::cpu
