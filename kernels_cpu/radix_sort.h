// Stable radix sort of packed keys, least significant digit first.
#pragma once

#include <voxshift/kernels_cpu/parallel.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

namespace voxshift::cpu {

/// Sorts items[0, n) by the lowest `bits` of key_of(item), the only ones set; `spare` holds n items. Returns where the
/// result lies: items or spare. The order of equal keys is kept, so the result does not depend on the number of
/// threads.
template <class Item, class KeyOf>
Item* radix_sort(const Context& context, Item* items, Item* spare, std::int64_t n, int bits, const KeyOf& key_of) {
  constexpr int kMostDigitBits = 12;  // 4096 counters of a chunk stay in L1, the lines being written in L2
  constexpr int kLeastDigitBits = 6;
  constexpr std::int64_t kLeastChunk = 8192;
  const int items_bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(n)));
  const int most = std::clamp(items_bits, kLeastDigitBits, kMostDigitBits);  // few items are not worth many counters
  const int passes = std::max(1, (bits + most - 1) / most);
  const int digit_bits = (bits + passes - 1) / passes;
  const std::int64_t digits = std::int64_t{1} << digit_bits;
  const std::int64_t chunks = std::clamp<std::int64_t>(n / kLeastChunk, 1, context.threads);
  Arena& arena = *context.arena;
  const Arena::Mark mark = arena.mark();
  auto* places = arena.allocate<std::int64_t>(chunks << kMostDigitBits);  // whatever the bits: n decides scratch memory
  for (int pass = 0; pass < passes; ++pass) {
    // By value, and loops on local pointers: stores to items must not make the compiler read them again.
    const auto digit_of = [=, shift = pass * digit_bits](const Item& item) {
      return key_of(item) >> shift & (digits - 1);
    };
    parallel_for(context, chunks, [=](std::int64_t chunk, int) {
      std::int64_t* const count = places + chunk * digits;
      std::fill_n(count, digits, 0);
      const Item* const end = items + n * (chunk + 1) / chunks;
      for (const Item* item = items + n * chunk / chunks; item != end; ++item) ++count[digit_of(*item)];
    });
    std::int64_t place = 0;
    for (std::int64_t digit = 0; digit < digits; ++digit)
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
        place += std::exchange(places[chunk * digits + digit], place);
    parallel_for(context, chunks, [=](std::int64_t chunk, int) {
      std::int64_t* const next = places + chunk * digits;
      const Item* const end = items + n * (chunk + 1) / chunks;
      for (const Item* item = items + n * chunk / chunks; item != end; ++item) spare[next[digit_of(*item)]++] = *item;
    });
    std::swap(items, spare);
  }
  arena.rewind(mark);
  return items;
}

}  // namespace voxshift::cpu
