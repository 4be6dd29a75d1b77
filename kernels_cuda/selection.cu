// Rows that numbers select, on CUDA.
#include <voxshift/kernels_cuda/algorithms.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/selection.h>

#include <bit>

namespace voxshift::cuda {
namespace {

constexpr int kNumberBits = 32;

// Ascends as numbers descend; one for both zeros, the last for NaN.
__device__ inline std::int64_t descending(float x) {
  if (x != x) return std::int64_t{0xffffffff};
  const std::uint32_t bits = __float_as_uint(x == 0 ? 0.0f : x);
  const std::uint32_t ascending = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<std::int64_t>(~ascending);
}

template <class In>
void mark_above(const Queue& queue, In in, float threshold, std::uint8_t* mask) {
  for_each(queue, in.count, [=] __device__(std::int64_t i) { mask[i] = in.at(i, 0) > threshold ? 1 : 0; });
}

// Sorted by number, then, stably, by segment, rows stand in their segment's place: the one `count` places before
// another is of the same segment unless that is among the first `count`.
template <class In>
void mark_top(const Queue& queue, In in, const std::int32_t* segment, std::int64_t count, std::uint8_t* mask) {
  const std::int64_t n = in.count;
  if (n == 0) return;
  Arena& arena = queue.arena();
  const Arena::Mark start = arena.mark();
  auto* keys = arena.allocate<std::int64_t>(n);
  auto* sorted = arena.allocate<std::int64_t>(n);
  auto* rows = arena.allocate<std::int32_t>(n);
  auto* order = arena.allocate<std::int32_t>(n);
  for_each(queue, n, [=] __device__(std::int64_t i) {
    keys[i] = descending(in.at(i, 0));
    rows[i] = static_cast<std::int32_t>(i);
  });
  sort_pairs(queue, keys, sorted, rows, order, n, kNumberBits);
  for_each(queue, n, [=] __device__(std::int64_t i) { keys[i] = segment[order[i]]; });
  const auto last = static_cast<std::uint32_t>(queue.read(segment + n - 1));
  sort_pairs(queue, keys, sorted, order, rows, n, std::max(1, static_cast<int>(std::bit_width(last))));
  for_each(queue, n,
           [=] __device__(std::int64_t i) { mask[rows[i]] = i < count || sorted[i - count] != sorted[i] ? 1 : 0; });
  arena.rewind(start);
}

}  // namespace

void above(const Queue& queue, const ConstRowView& in, float threshold, std::uint8_t* mask) {
  with_rows(
      "prune", [&](auto from) { mark_above(queue, from, threshold, mask); }, in);
}

void top(const Queue& queue, const ConstRowView& in, const std::int32_t* segment, std::int64_t count,
         std::uint8_t* mask) {
  with_rows(
      "top_k", [&](auto from) { mark_top(queue, from, segment, count, mask); }, in);
}

}  // namespace voxshift::cuda
