// 2-D pooling on CUDA, one thread per pixel and channel.
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/video.h>
#include <voxshift/tensor/reduce.h>

namespace voxshift::cuda {
namespace {

constexpr int kColumns = 32, kLanes = 8;  // channels of a block, rows it takes side by side

template <bool kMax, class T>
void pool_pixels(const Queue& queue, const ImageWindow& w, Rows<const T> in, Pixels pixels, Rows<T> out) {
  for_each_cell(queue, pixels.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    float value = 0;
    int taps = 0;
    for_taps(w, pixels.rows != nullptr ? pixels.rows[i] : static_cast<std::int32_t>(i),
             [&](std::int64_t from, std::int64_t) {
               const float x = in.at(from, c);
               value = taps++ == 0 ? x : kMax ? (exceeds(x, value) ? x : value) : value + x;
             });
    out.set(i, c, kMax ? value : value / static_cast<float>(taps));
  });
}

template <class T>
__global__ void mean_rows_kernel(Rows<const T> in, Rows<T> out) {
  __shared__ float sums[kLanes][kColumns];
  const std::int64_t c = std::int64_t{blockIdx.x} * kColumns + threadIdx.x;
  float sum = 0;
  if (c < in.channels)
    for (std::int64_t i = threadIdx.y; i < in.count; i += kLanes) sum += in.at(i, c);
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || c >= in.channels) return;
  for (int lane = 1; lane < kLanes; ++lane) sum += sums[lane][threadIdx.x];
  out.set(0, c, sum / static_cast<float>(in.count));
}

}  // namespace

void max_pool(const Queue& queue, const ImageWindow& window, const ConstRowView& in, Pixels pixels,
              const RowView& out) {
  with_type("max_pool", out.dtype, [&](auto type) {
    using T = decltype(type);
    pool_pixels<true>(queue, window, rows<T>(in), pixels, rows<T>(out));
  });
}

void avg_pool(const Queue& queue, const ImageWindow& window, const ConstRowView& in, Pixels pixels,
              const RowView& out) {
  with_type("avg_pool", out.dtype, [&](auto type) {
    using T = decltype(type);
    pool_pixels<false>(queue, window, rows<T>(in), pixels, rows<T>(out));
  });
}

void mean_rows(const Queue& queue, const ConstRowView& in, const RowView& out) {
  with_type("mean_rows", out.dtype, [&](auto type) {
    using T = decltype(type);
    launch(queue, mean_rows_kernel<T>, dim3(static_cast<unsigned>(ceil_div<std::int64_t>(in.channels, kColumns))),
           dim3(kColumns, kLanes), 0, rows<T>(in), rows<T>(out));
  });
}

}  // namespace voxshift::cuda
