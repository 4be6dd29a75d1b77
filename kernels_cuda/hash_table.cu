#include <voxshift/kernels_cuda/hash_table.h>

namespace voxshift::cuda {

// Keys are unique, so that whoever takes an empty slot needs to compare nothing. Which slot a key gets depends on the
// order of the threads, what is found does not.
void insert_level(const Queue& queue, const Level& level, HashSlot* slots, std::int64_t capacity) {
  queue.fill(slots, 0xff, static_cast<std::size_t>(capacity) * sizeof(HashSlot));
  for_each(queue, level.count, [=, keys = level.keys] __device__(std::int64_t i) {
    const auto mask = static_cast<std::uint64_t>(capacity - 1);
    std::uint64_t s = hash(keys[i]) & mask;
    while (atomicCAS(&slots[s].row, -1, static_cast<std::int32_t>(i)) != -1) s = (s + 1) & mask;
    slots[s].key = keys[i];
  });
}

void find_rows(const Queue& queue, const HashSlot* slots, std::int64_t capacity, const KeyLayout& layout,
               const std::int32_t* coords, std::int64_t n, std::int32_t* rows) {
  for_each(queue, n, [=] __device__(std::int64_t i) {
    const std::int32_t* c = coords + i * layout.axes();
    rows[i] = layout.contains(c) ? find_row(slots, capacity, layout.pack(c)) : -1;
  });
}

}  // namespace voxshift::cuda
