// The inner step of the weight gradients: a tile of sums of a[d]^T b[d] over rows d of two stages in shared memory.
#pragma once

#include <voxshift/kernels_cuda/device.h>

#include <cstdint>

namespace voxshift::cuda {

/// sums[r][c] += a[d][row + r] * b[d][column + c], d in order.
template <int kDepth, int kTile>
__device__ __forceinline__ void add_outer(const float (&a_stage)[kDepth][kTile], const float (&b_stage)[kDepth][kTile],
                                          int row, int column, float (&sums)[4][4]) {
#pragma unroll
  for (int d = 0; d < kDepth; ++d) {
    float a[4], b[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      a[e] = a_stage[d][row + e];
      b[e] = b_stage[d][column + e];
    }
#pragma unroll
    for (int r = 0; r < 4; ++r)
#pragma unroll
      for (int c = 0; c < 4; ++c) sums[r][c] = fmaf(a[r], b[c], sums[r][c]);
  }
}

/// The sums to rows first_row .. of out [rows, columns], those inside it.
__device__ __forceinline__ void write_sums(const float (&sums)[4][4], int first_row, int first_column, int rows,
                                           int columns, float* out) {
#pragma unroll
  for (int r = 0; r < 4; ++r)
#pragma unroll
    for (int c = 0; c < 4; ++c)
      if (first_row + r < rows && first_column + c < columns)
        out[std::int64_t{first_row + r} * columns + first_column + c] = sums[r][c];
}

}  // namespace voxshift::cuda
