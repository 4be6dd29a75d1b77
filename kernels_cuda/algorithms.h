// Sort and scan: CUB with scratch of the arena under nvcc, the standard library where the machine is emulated.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/tensor/error.h>

#include <cstdint>

#ifdef VOXSHIFT_EMULATED
#include <algorithm>
#include <numeric>
#include <vector>
#else
#include <thrust/iterator/transform_iterator.h>

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>
#endif

namespace voxshift::cuda {

#ifdef VOXSHIFT_EMULATED

/// Stable; keys are not negative and below 2^bits.
template <class Key, class Value>
void sort_pairs(const Queue& queue, const Key* keys, Key* sorted_keys, const Value* values, Value* sorted_values,
                std::int64_t n, int) {
  emulated::enqueue(queue.stream(), [=] {
    std::vector<std::int64_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return keys[a] < keys[b]; });
    for (std::int64_t i = 0; i < n; ++i) {
      sorted_keys[i] = keys[order[static_cast<std::size_t>(i)]];
      sorted_values[i] = values[order[static_cast<std::size_t>(i)]];
    }
  });
}

template <class Key>
void sort_keys(const Queue& queue, const Key* keys, Key* sorted, std::int64_t n, int) {
  emulated::enqueue(queue.stream(), [=] {
    std::copy(keys, keys + n, sorted);
    std::sort(sorted, sorted + n);
  });
}

/// sums[i] = values[0] + .. + values[i]
template <class T, class Sum>
void inclusive_sum(const Queue& queue, const T* values, Sum* sums, std::int64_t n) {
  emulated::enqueue(queue.stream(), [=] {
    Sum sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sums[i] = sum += values[i];
  });
}

/// counts[i] = how many of mask[0] .. mask[i] are not 0
inline void count_set(const Queue& queue, const std::uint8_t* mask, std::int32_t* counts, std::int64_t n) {
  emulated::enqueue(queue.stream(), [=] {
    std::int32_t count = 0;
    for (std::int64_t i = 0; i < n; ++i) counts[i] = count += mask[i] != 0;
  });
}

#else

namespace detail {
// CUB is asked for the size of its scratch first.
template <class Call>
void with_scratch(const Queue& queue, const Call& call) {
  std::size_t bytes = 0;
  call(nullptr, bytes);
  const Arena::Mark mark = queue.arena().mark();
  call(queue.arena().allocate_bytes(bytes), bytes);
  queue.arena().rewind(mark);
  queue.check_launch();
}

struct IsSet {
  __host__ __device__ std::int32_t operator()(std::uint8_t flag) const { return flag != 0; }
};
}  // namespace detail

/// Stable; keys are not negative and below 2^bits.
template <class Key, class Value>
void sort_pairs(const Queue& queue, const Key* keys, Key* sorted_keys, const Value* values, Value* sorted_values,
                std::int64_t n, int bits) {
  detail::with_scratch(queue, [&](void* scratch, std::size_t& bytes) {
    cub::DeviceRadixSort::SortPairs(scratch, bytes, keys, sorted_keys, values, sorted_values, n, 0, bits,
                                    queue.stream());
  });
}

template <class Key>
void sort_keys(const Queue& queue, const Key* keys, Key* sorted, std::int64_t n, int bits) {
  detail::with_scratch(queue, [&](void* scratch, std::size_t& bytes) {
    cub::DeviceRadixSort::SortKeys(scratch, bytes, keys, sorted, n, 0, bits, queue.stream());
  });
}

/// sums[i] = values[0] + .. + values[i]. At most 2^31 - 1 values: CUDA 12.2's CUB counts them in an int.
template <class Values, class Sum>
void inclusive_sum(const Queue& queue, Values values, Sum* sums, std::int64_t n) {
  check(n <= INT32_MAX, "[inclusive_sum] expects at most 2^31 - 1 values, found ", n);
  detail::with_scratch(queue, [&](void* scratch, std::size_t& bytes) {
    cub::DeviceScan::InclusiveSum(scratch, bytes, values, sums, static_cast<int>(n), queue.stream());
  });
}

/// counts[i] = how many of mask[0] .. mask[i] are not 0
inline void count_set(const Queue& queue, const std::uint8_t* mask, std::int32_t* counts, std::int64_t n) {
  inclusive_sum(queue, thrust::make_transform_iterator(mask, detail::IsSet()), counts, n);
}

#endif

}  // namespace voxshift::cuda
