// Items sorted by the segment they belong to.
#pragma once

#include <voxshift/kernels_cuda/queue.h>

#include <cstdint>

namespace voxshift::cuda {

/// The items order[splits[s]] .. order[splits[s + 1] - 1], ascending, belong to segment s.
struct Segments {
  const std::int32_t* order;
  const std::int64_t* splits;  ///< [count + 1], device memory
  std::int64_t count;
};

/// Groups the items i of [0, n) by segment[i] of [0, count); a negative one takes no part. In the queue's arena.
Segments by_segment(const Queue& queue, const std::int32_t* segment, std::int64_t n, std::int64_t count);

}  // namespace voxshift::cuda
