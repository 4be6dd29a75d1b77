// 2-D pooling on CUDA, one thread per pixel and channel.
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/video.h>
#include <voxshift/tensor/reduce.h>

namespace voxshift::cuda {
namespace {

constexpr int kColumns = 32, kLanes = 8;  // channels of a block, rows it takes side by side

template <bool kMax, class In, class Out>
void pool_pixels(const Queue& queue, const ImageWindow& w, In in, Pixels pixels, Out out) {
  for_each_cell(queue, pixels.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    NumberSum<In> sum;
    sum.begin(-0.0f);  // of one number: that number
    float most = 0;
    int taps = 0;
    for_taps(w, pixels.rows != nullptr ? pixels.rows[i] : static_cast<std::int32_t>(i),
             [&](std::int64_t from, std::int64_t) {
               if (!kMax) {
                 sum.add(in, from, c);
               } else if (const float x = in.at(from, c); taps == 0 || exceeds(x, most)) {
                 most = x;
               }
               ++taps;
             });
    out.set(i, c, kMax ? most : sum.value(in, c) / static_cast<float>(taps));
  });
}

template <class In, class Out>
__global__ void mean_rows_kernel(In in, Out out) {
  __shared__ NumberSum<In> sums[kLanes][kColumns];
  const std::int64_t c = std::int64_t{blockIdx.x} * kColumns + threadIdx.x;
  NumberSum<In> sum;
  sum.begin();
  if (c < in.channels)
    for (std::int64_t i = threadIdx.y; i < in.count; i += kLanes) sum.add(in, i, c);
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || c >= in.channels) return;
  for (int lane = 1; lane < kLanes; ++lane) sum.add(sums[lane][threadIdx.x]);
  out.set(0, c, sum.value(in, c) / static_cast<float>(in.count));
}

}  // namespace

void max_pool(const Queue& queue, const ImageWindow& window, const ConstRowView& in, Pixels pixels,
              const RowView& out) {
  with_rows(
      "max_pool", [&](auto from, auto to) { pool_pixels<true>(queue, window, from, pixels, to); }, in, out);
}

void avg_pool(const Queue& queue, const ImageWindow& window, const ConstRowView& in, Pixels pixels,
              const RowView& out) {
  with_rows(
      "avg_pool", [&](auto from, auto to) { pool_pixels<false>(queue, window, from, pixels, to); }, in, out);
}

void mean_rows(const Queue& queue, const ConstRowView& in, const RowView& out) {
  with_rows(
      "mean_rows",
      [&](auto from, auto to) {
        launch(queue, mean_rows_kernel<decltype(from), decltype(to)>,
               dim3(static_cast<unsigned>(ceil_div<std::int64_t>(in.channels, kColumns))), dim3(kColumns, kLanes), 0,
               from, to);
      },
      in, out);
}

}  // namespace voxshift::cuda
