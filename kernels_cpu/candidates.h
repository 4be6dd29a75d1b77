// Points that may be among the neighbours of a query, and the memory they are collected in.
#pragma once

#include <voxshift/kernels_cpu/search_tasks.h>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace voxshift::cpu {

/// The candidates of one query: their squared distances and indices, in any order.
struct Candidates {
  float* distances;  ///< squared
  std::int32_t* indices;
  std::int64_t count;
};

/// Scratch of a thread: candidates of the queries of a leaf, each with room for `capacity` and two vectors more.
struct CandidateScratch {
  std::int64_t capacity;
  float* distances;
  std::int32_t* indices;
  std::uint64_t* keys;  ///< of one query

  Candidates row(std::int64_t query) const {
    const std::int64_t first = query * (capacity + 2 * kLeafPoints);
    return {distances + first, indices + first, 0};
  }
};

/// One per thread of the tasks, in memory of `arena`; at most `queries` of a leaf are searched for.
inline CandidateScratch* allocate_candidates(Arena& arena, int threads, std::int64_t queries, std::int64_t capacity) {
  auto* scratch = arena.allocate<CandidateScratch>(threads);
  const std::int64_t room = capacity + 2 * kLeafPoints, rows = std::min(queries, kLeafPoints);
  for (int t = 0; t < threads; ++t)
    scratch[t] = {capacity, arena.allocate<float>(rows * room), arena.allocate<std::int32_t>(rows * room),
                  arena.allocate<std::uint64_t>(room)};
  return scratch;
}

/// Candidates are ordered as (d^2, index): the bits of floats that are not negative are ordered as the floats are.
inline std::uint64_t key_of(float distance, std::int32_t index) {
  return static_cast<std::uint64_t>(std::bit_cast<std::uint32_t>(distance)) << 32 | static_cast<std::uint32_t>(index);
}
inline float distance_of(std::uint64_t key) { return std::bit_cast<float>(static_cast<std::uint32_t>(key >> 32)); }
inline std::int32_t index_of(std::uint64_t key) { return static_cast<std::int32_t>(key & 0xFFFFFFFF); }

/// The keys of the candidates, unordered.
inline void make_keys(const Candidates& candidates, std::uint64_t* keys) {
  for (std::int64_t i = 0; i < candidates.count; ++i) keys[i] = key_of(candidates.distances[i], candidates.indices[i]);
}

}  // namespace voxshift::cpu
