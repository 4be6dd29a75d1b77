// Masks of active pixels on CUDA.
#include <voxshift/kernels_cuda/active_count.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/video.h>

namespace voxshift::cuda {
namespace {

constexpr int kWarps = 8;  // of a block of commit, one per pixel

template <class T>
__global__ void __launch_bounds__(kWarps * 32)
    commit_kernel(Rows<const T> values, const std::int32_t* rows, float threshold, Rows<T> kept, std::uint8_t* mask,
                  unsigned long long* total) {
  __shared__ int sum;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x % 32);
  const std::int64_t i = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (i < values.count) {
    const std::int64_t p = rows != nullptr ? rows[i] : i;
    bool stays = true;
    for (std::int64_t first = 0; first < kept.channels && stays; first += 32) {
      const std::int64_t c = first + lane;
      const float value = c < kept.channels ? values.at(i, c) : 0, old = c < kept.channels ? kept.at(p, c) : 0;
      const bool far =
          !(fabsf(value - old) <= threshold) || (threshold == 0 && __float_as_uint(value) != __float_as_uint(old));
      stays = __ballot_sync(0xffffffffu, far) == 0;
    }
    if (!stays)
      for (std::int64_t c = lane; c < kept.channels; c += 32) kept.set(p, c, values.at(i, c));
    if (lane == 0) {
      mask[p] = stays ? 0 : 1;
      if (!stays) atomicAdd(&sum, 1);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0 && sum > 0) atomicAdd(total, static_cast<unsigned long long>(sum));
}

}  // namespace

std::int64_t reached(const Queue& queue, const ImageWindow& w, const std::uint8_t* in, std::uint8_t* out) {
  return count_active(queue, w.out_pixels, [=] __device__(std::int64_t q) {
    bool active = false;
    for_taps(w, static_cast<std::int32_t>(q), [&](std::int64_t p, std::int64_t) { active = active || in[p] != 0; });
    out[q] = active ? 1 : 0;
    return active;
  });
}

std::int64_t needed(const Queue& queue, const ImageWindow& w, const std::uint8_t* out, std::uint8_t* in) {
  return count_active(queue, w.in_pixels, [=] __device__(std::int64_t p) {
    bool active = false;
    for_readers(w, static_cast<std::int32_t>(p), [&](std::int64_t q, std::int64_t) { active = active || out[q] != 0; });
    in[p] = active ? 1 : 0;
    return active;
  });
}

std::int64_t unite(const Queue& queue, std::uint8_t* a, const std::uint8_t* b, std::int64_t pixels) {
  return count_active(queue, pixels, [=] __device__(std::int64_t p) {
    const bool active = a[p] != 0 || b[p] != 0;
    a[p] = active ? 1 : 0;
    return active;
  });
}

std::int64_t commit(const Queue& queue, const ConstRowView& values, Pixels pixels, float threshold, const RowView& kept,
                    std::uint8_t* mask) {
  const Arena::Mark before = queue.arena().mark();
  auto* total = queue.arena().allocate<unsigned long long>(1);
  queue.fill(total, 0, sizeof(*total));
  if (pixels.count < kept.count) queue.fill(mask, 0, static_cast<std::size_t>(kept.count));
  with_type("commit", kept.dtype, [&](auto type) {
    using T = decltype(type);
    Rows<const T> from = rows<T>(values);
    from.count = pixels.count;
    launch(queue, commit_kernel<T>, dim3(static_cast<unsigned>(ceil_div<std::int64_t>(pixels.count, kWarps))),
           dim3(kWarps * 32), 0, from, pixels.rows, threshold, rows<T>(kept), mask, total);
  });
  const auto active = static_cast<std::int64_t>(queue.read(total));
  queue.arena().rewind(before);
  return active;
}

}  // namespace voxshift::cuda
