#include <voxshift/kernels_cuda/algorithms.h>
#include <voxshift/kernels_cuda/binary_search.h>
#include <voxshift/kernels_cuda/segments.h>

#include <bit>

namespace voxshift::cuda {

Segments by_segment(const Queue& queue, const std::int32_t* segment, std::int64_t n, std::int64_t count) {
  Arena& arena = queue.arena();
  auto* order = arena.allocate<std::int32_t>(n);
  auto* splits = arena.allocate<std::int64_t>(count + 1);
  const Arena::Mark mark = arena.mark();
  auto* keys = arena.allocate<std::uint32_t>(n);
  auto* sorted = arena.allocate<std::uint32_t>(n);
  auto* identity = arena.allocate<std::int32_t>(n);
  const auto none = static_cast<std::uint32_t>(count);
  for_each(queue, n, [=] __device__(std::int64_t i) {
    keys[i] = segment[i] < 0 ? none : static_cast<std::uint32_t>(segment[i]);
    identity[i] = static_cast<std::int32_t>(i);
  });
  if (n > 0) sort_pairs(queue, keys, sorted, identity, order, n, std::bit_width(none | 1u));
  for_each(queue, count + 1,
           [=] __device__(std::int64_t s) { splits[s] = lower_bound(sorted, n, static_cast<std::uint32_t>(s)); });
  arena.rewind(mark);
  return {order, splits, count};
}

}  // namespace voxshift::cuda
