// Counts the indices for which a predicate holds.
#pragma once

#include <voxshift/kernels_cuda/queue.h>

#include <cstdint>

namespace voxshift::cuda {

constexpr int kCountThreads = 256;

template <class F>
__global__ void count_active_kernel(std::int64_t n, F f, unsigned long long* total) {
  __shared__ int sum;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  const std::int64_t i = std::int64_t{blockIdx.x} * kCountThreads + threadIdx.x;
  const unsigned active = __ballot_sync(0xffffffffu, i < n && f(i));
  if (threadIdx.x % 32 == 0 && active != 0) atomicAdd(&sum, __popc(active));
  __syncthreads();
  if (threadIdx.x == 0 && sum > 0) atomicAdd(total, static_cast<unsigned long long>(sum));
}

/// For how many i of [0, n) f(i) is true; calls f once each and waits. F is a __device__ lambda without barriers.
template <class F>
std::int64_t count_active(const Queue& queue, std::int64_t n, const F& f) {
  const Arena::Mark mark = queue.arena().mark();
  auto* total = queue.arena().allocate<unsigned long long>(1);
  queue.fill(total, 0, sizeof(*total));
  launch(queue, count_active_kernel<F>, dim3(static_cast<unsigned>(ceil_div<std::int64_t>(n, kCountThreads))),
         dim3(kCountThreads), 0, n, f, total);
  const auto result = static_cast<std::int64_t>(queue.read(total));
  queue.arena().rewind(mark);
  return result;
}

}  // namespace voxshift::cuda
