// The open-addressing table of a level's keys on the device.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/tensor/kernels.h>

#include <cstdint>

namespace voxshift::cuda {

/// Finalizer of splitmix64: every key bit reaches every slot bit.
__device__ inline std::uint64_t hash(std::int64_t key) {
  auto x = static_cast<std::uint64_t>(key);
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
  return x ^ x >> 31;
}

/// Row of `key` in slots [capacity], -1 where it is not there.
__device__ inline std::int32_t find_row(const HashSlot* slots, std::int64_t capacity, std::int64_t key) {
  const auto mask = static_cast<std::uint64_t>(capacity - 1);
  std::uint64_t s = hash(key) & mask;
  while (slots[s].row >= 0 && slots[s].key != key) s = (s + 1) & mask;
  return slots[s].row;
}

/// CoordinateKernels::build_table and look_up.
void insert_level(const Queue& queue, const Level& level, HashSlot* slots, std::int64_t capacity);
void find_rows(const Queue& queue, const HashSlot* slots, std::int64_t capacity, const KeyLayout& layout,
               const std::int32_t* coords, std::int64_t n, std::int32_t* rows);

}  // namespace voxshift::cuda
