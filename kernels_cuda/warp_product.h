// How a warp multiplies on tensor cores what lies in shared memory: a stage of rows [kRows, kDepth] followed by weights
// [kDepth, kColumns], in chunks of 16 bytes whose places are permuted so that no two of those read at once lie in the
// same banks.
#pragma once

#include <voxshift/kernels_cuda/device.h>

namespace voxshift::cuda {

template <class Element>
constexpr int kChunk = static_cast<int>(16 / sizeof(Element));  // elements that one copy moves

/// Where a chunk of one of eight neighbouring rows lies, of rows of kChunks chunks each.
template <class Element, int kChunks>
__device__ int place(int row, int chunk) {
  constexpr bool kEight = kChunks % 8 == 0;  // else rows repeat their banks every 128 bytes, which are two of them
  const int phase = kEight ? row & 7 : row >> 1 & 3;
  return (row * kChunks + (chunk ^ phase)) * kChunk<Element>;
}

/// T: a tile with kDepth, kColumns and kInElements, the size of its rows; a warp has kTiles x 16 rows and kPanels x 8
/// columns of it. sums[m][n][e] of lane l is row 16 m + l / 4 + 8 (e / 2), column 8 n + 2 (l % 4) + e % 2.
template <class T, class Element = typename T::Element>
class WarpProduct;

template <class T>
class WarpProduct<T, half_t> {
 public:
  __device__ WarpProduct(int lane, int warp_row, int warp_column)
      : in_matrix_(place<half_t, kInChunks>(warp_row + lane % 16, lane / 16)) {
#pragma unroll
    for (int n = 0; n < T::kPanels / 2; ++n)
      weight_matrix_[n] = T::kInElements + weight_place(lane % 16, warp_column / 8 + n * 2 + lane / 16);
  }

  static __device__ int weight_place(int k, int chunk) { return place<half_t, T::kColumns / 8>(k, chunk); }

  __device__ void multiply(const half_t* stage, float (&sums)[T::kTiles][T::kPanels][4]) const {
#pragma unroll
    for (int step = 0; step < T::kDepth / 16; ++step) {
      std::uint32_t b[T::kPanels / 2][4];
#pragma unroll
      for (int n = 0; n < T::kPanels / 2; ++n)
        load_matrices<true>(b[n], stage + weight_matrix_[n] + step * 16 * T::kColumns);
#pragma unroll
      for (int m = 0; m < T::kTiles; ++m) {
        std::uint32_t a[4];
        load_matrices<false>(a, stage + (in_matrix_ ^ (step * 16)) + m * 16 * T::kDepth);
#pragma unroll
        for (int n = 0; n < T::kPanels / 2; ++n) {
          mma_m16n8k16(sums[m][2 * n], a, {b[n][0], b[n][1]});
          mma_m16n8k16(sums[m][2 * n + 1], a, {b[n][2], b[n][3]});
        }
      }
    }
  }

 private:
  static constexpr int kInChunks = T::kDepth / 8;
  int in_matrix_, weight_matrix_[T::kPanels / 2];
};

__device__ inline SplitFloat split(std::uint32_t bits) {
  const std::uint32_t high = (bits + 0x1000u) & 0xffffe000u;
  return {high, __float_as_uint(__uint_as_float(bits) - __uint_as_float(high))};
}

/// f32. Tensor cores cut off what others round, which adds up over a long sum: every stage is summed by itself, the
/// stages in plain float.
template <class T>
class WarpProduct<T, float> {
 public:
  __device__ WarpProduct(int lane, int warp_row, int warp_column)
      : in_matrix_(place<float, kInChunks>(warp_row + lane % 16, lane / 16)) {
    const int k = lane % 4, column = lane / 4;
#pragma unroll
    for (int n = 0; n < T::kPanels; ++n)
      weight_[n] = T::kInElements + weight_place(k, (warp_column + n * 8 + column) / 4) + column % 4;
  }

  // Lanes read eight neighbouring columns of four rows.
  static __device__ int weight_place(int k, int chunk) { return k * T::kColumns + (chunk ^ (k & 3) * 2) * 4; }

  __device__ void multiply(const float* stage, float (&sums)[T::kTiles][T::kPanels][4]) const {
    float of_stage[T::kTiles][T::kPanels][4] = {};
#pragma unroll
    for (int step = 0; step < T::kDepth / 8; ++step) {
      SplitFloat a[T::kTiles][4];
#pragma unroll
      for (int m = 0; m < T::kTiles; ++m) {
        std::uint32_t bits[4];
        load_matrices<false>(bits, stage + (in_matrix_ ^ (step * 8)) + m * 16 * T::kDepth);
#pragma unroll
        for (int i = 0; i < 4; ++i) a[m][i] = split(bits[i]);
      }
#pragma unroll
      for (int n = 0; n < T::kPanels; ++n) {
        SplitFloat b[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) b[i] = split(__float_as_uint(stage[weight_[n] + (step * 8 + i * 4) * T::kColumns]));
#pragma unroll
        for (int m = 0; m < T::kTiles; ++m) mma_m16n8k8(of_stage[m][n], a[m], b);
      }
    }
#pragma unroll
    for (int m = 0; m < T::kTiles; ++m)
#pragma unroll
      for (int n = 0; n < T::kPanels; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[m][n][e] += of_stage[m][n][e];
  }

 private:
  static constexpr int kInChunks = T::kDepth / 4;
  int in_matrix_, weight_[T::kPanels];
};

}  // namespace voxshift::cuda
