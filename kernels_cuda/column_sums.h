// Sums down the columns of rows, the same on every run: chunks of rows are summed side by side, then the chunks in
// order.
#pragma once

#include <voxshift/kernels_cuda/queue.h>

#include <cstdint>

namespace voxshift::cuda {

struct Two {
  double first = 0, second = 0;
};

constexpr int kSumColumns = 32, kSumLanes = 8;  // columns of a block, rows it takes side by side
constexpr std::int64_t kSumRows = 512;          // rows of a chunk

template <class F>
__global__ void column_sums_kernel(std::int64_t rows, std::int64_t columns, F value, Two* partial) {
  __shared__ double first[kSumLanes][kSumColumns], second[kSumLanes][kSumColumns];
  const std::int64_t c = std::int64_t{blockIdx.y} * kSumColumns + threadIdx.x;
  const std::int64_t begin = std::int64_t{blockIdx.x} * kSumRows;
  const std::int64_t end = begin + kSumRows < rows ? begin + kSumRows : rows;
  Two sum;
  if (c < columns)
    for (std::int64_t i = begin + threadIdx.y; i < end; i += kSumLanes) {
      const Two x = value(i, c);
      sum.first += x.first;
      sum.second += x.second;
    }
  first[threadIdx.y][threadIdx.x] = sum.first;
  second[threadIdx.y][threadIdx.x] = sum.second;
  __syncthreads();
  if (threadIdx.y > 0 || c >= columns) return;
  Two total;
  for (int lane = 0; lane < kSumLanes; ++lane) {
    total.first += first[lane][threadIdx.x];
    total.second += second[lane][threadIdx.x];
  }
  partial[std::int64_t{blockIdx.x} * columns + c] = total;
}

/// finish(c, sum over i of value(i, c)) for every column.
template <class F, class Finish>
void column_sums(const Queue& queue, std::int64_t rows, std::int64_t columns, const F& value, const Finish& finish) {
  const Arena::Mark mark = queue.arena().mark();
  const std::int64_t chunks = ceil_div(rows, kSumRows);
  auto* partial = queue.arena().allocate<Two>(chunks * columns);
  launch(queue, column_sums_kernel<F>,
         dim3(static_cast<unsigned>(chunks), static_cast<unsigned>(ceil_div<std::int64_t>(columns, kSumColumns))),
         dim3(kSumColumns, kSumLanes), 0, rows, columns, value, partial);
  for_each(queue, columns, [=] __device__(std::int64_t c) {
    Two sum;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      sum.first += partial[chunk * columns + c].first;
      sum.second += partial[chunk * columns + c].second;
    }
    finish(c, sum);
  });
  queue.arena().rewind(mark);
}

}  // namespace voxshift::cuda
