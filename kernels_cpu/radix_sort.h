// Stable radix sort of packed keys, least significant digit first.
#pragma once

#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/tensor/arena.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace voxshift::cpu {

/// A key and the row it came from.
struct IndexedKey {
  std::int64_t key;
  std::int32_t index;
};

inline std::int64_t key_of(std::int64_t item) { return item; }
inline std::int64_t key_of(const IndexedKey& item) { return item.key; }

/// Sorts items[0, n) by the lowest `bits` of their keys, the only ones set; `spare` holds n items. Returns where the
/// result lies: items or spare. The order of equal keys is kept, so the result does not depend on the number of
/// threads.
template <class Item>
Item* radix_sort(int threads, Arena& arena, Item* items, Item* spare, std::int64_t n, int bits) {
  constexpr int kMostDigitBits = 11;  // 2048 counters of a chunk stay in L1 beside the lines being written
  constexpr std::int64_t kLeastChunk = 8192;
  const int passes = std::max(1, (bits + kMostDigitBits - 1) / kMostDigitBits);
  const int digit_bits = (bits + passes - 1) / passes;
  const std::int64_t digits = std::int64_t{1} << digit_bits;
  const std::int64_t chunks = std::clamp<std::int64_t>(n / kLeastChunk, 1, threads);
  const Arena::Mark mark = arena.mark();
  auto* places = arena.allocate<std::int64_t>(digits * chunks);
  for (int pass = 0; pass < passes; ++pass) {
    const auto digit_of = [&, shift = pass * digit_bits](const Item& item) {
      return key_of(item) >> shift & (digits - 1);
    };
    parallel_for(threads, chunks, [&](std::int64_t chunk, int) {
      std::int64_t* count = places + chunk * digits;
      std::fill_n(count, digits, 0);
      for (std::int64_t i = n * chunk / chunks; i < n * (chunk + 1) / chunks; ++i) ++count[digit_of(items[i])];
    });
    std::int64_t place = 0;
    for (std::int64_t digit = 0; digit < digits; ++digit)
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
        place += std::exchange(places[chunk * digits + digit], place);
    parallel_for(threads, chunks, [&](std::int64_t chunk, int) {
      std::int64_t* next = places + chunk * digits;
      for (std::int64_t i = n * chunk / chunks; i < n * (chunk + 1) / chunks; ++i)
        spare[next[digit_of(items[i])]++] = items[i];
    });
    std::swap(items, spare);
  }
  arena.rewind(mark);
  return items;
}

}  // namespace voxshift::cpu
