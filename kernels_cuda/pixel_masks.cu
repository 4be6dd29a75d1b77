// Masks of active pixels on CUDA.
#include <voxshift/kernels_cuda/active_count.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/video.h>

namespace voxshift::cuda {
namespace {

constexpr int kWarps = 8;  // of a block of commit, one per pixel

/// Whether a value is so far from the kept one that it takes its place; of i8, whose kept ones have the same scale, as
/// far as whole numbers are apart.
template <class T>
__device__ bool is_far(const Rows<const T>& values, std::int64_t i, const Rows<T>& kept, std::int64_t p, std::int64_t c,
                       float threshold) {
  const float value = values.at(i, c), old = kept.at(p, c);
  return !(fabsf(value - old) <= threshold) || (threshold == 0 && __float_as_uint(value) != __float_as_uint(old));
}
__device__ inline bool is_far(const AnyRows<const std::byte>& values, std::int64_t i, const AnyRows<std::byte>& kept,
                              std::int64_t p, std::int64_t c, float threshold) {
  const int apart = int{*values.address<std::int8_t>(i, c)} - int{*kept.address<std::int8_t>(p, c)};
  return apart != 0 && !(fabsf(static_cast<float>(apart)) * kept.scale[c] <= threshold);
}

template <class Values, class Kept>
__global__ void __launch_bounds__(kWarps * 32) commit_kernel(Values values, const std::int32_t* rows, float threshold,
                                                             Kept kept, std::uint8_t* mask, unsigned long long* total) {
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
      const bool far = c < kept.channels && is_far(values, i, kept, p, c, threshold);
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
  check(values.dtype == kept.dtype, "[commit] expected values of ", name(kept.dtype), ", which is kept, found ",
        name(values.dtype));
  const auto run = [&](auto from, auto to) {
    from.count = pixels.count;
    launch(queue, commit_kernel<decltype(from), decltype(to)>,
           dim3(static_cast<unsigned>(ceil_div<std::int64_t>(pixels.count, kWarps))), dim3(kWarps * 32), 0, from,
           pixels.rows, threshold, to, mask, total);
  };
  if (kept.dtype == DType::kBF16) {
    run(rows<bfloat_t>(values), rows<bfloat_t>(kept));
  } else {
    with_rows("commit", run, values, kept);
  }
  const auto active = static_cast<std::int64_t>(queue.read(total));
  queue.arena().rewind(before);
  return active;
}

}  // namespace voxshift::cuda
