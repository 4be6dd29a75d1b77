// Tiles of products on tensor cores: how a stage of f16 or f32 operands lies in shared memory, how a warp multiplies
// it, and how the sums leave.
#pragma once

#include <voxshift/kernels_cuda/rows.h>

#include <cstddef>

namespace voxshift::cuda {

/// A tile of kRows x kColumns, kWarpRows x kWarpColumns a warp. A stage holds kRows rows of kDepth inputs, then kDepth
/// rows of kColumns weights.
template <class Element_, int kRows_, int kColumns_, int kWarpRows_, int kWarpColumns_, int kDepth_, int kStages_>
struct Tile {
  using Element = Element_;
  static constexpr int kRows = kRows_, kColumns = kColumns_, kWarpRows = kWarpRows_, kWarpColumns = kWarpColumns_;
  static constexpr int kDepth = kDepth_, kStages = kStages_;
  static constexpr int kRowWarps = kRows / kWarpRows, kThreads = 32 * kRowWarps * (kColumns / kWarpColumns);
  static constexpr int kTiles = kWarpRows / 16, kPanels = kWarpColumns / 8;  // of a warp
  static constexpr int kInChunks = kDepth / kChunk<Element>;                 // of a row of a stage
  static constexpr int kWeightChunks = kColumns / kChunk<Element>;
  static constexpr int kInRows = kThreads / kInChunks;  // that one round of copies covers
  static constexpr int kInCopies = kRows / kInRows;     // of a thread
  static constexpr int kWeightCopies = kDepth * kWeightChunks / kThreads;
  static constexpr int kInElements = kRows * kDepth, kStageElements = kInElements + kDepth * kColumns;
  static constexpr int kSumPitch = kWarpColumns + 4;  // floats of a row of sums on its way out
  static constexpr std::size_t kRingBytes = sizeof(Element) * kStageElements * kStages;
  static constexpr std::size_t kSumBytes = sizeof(float) * (kThreads / 32) * 16 * kSumPitch;
  static constexpr std::size_t kBytes = kRingBytes > kSumBytes ? kRingBytes : kSumBytes;
  static_assert(kRows % kInRows == 0 && kInRows % 8 == 0 && kDepth * kWeightChunks % kThreads == 0);

  using Sums = float[kTiles][kPanels][4];
};

/// Places of 16-byte chunks in rows of kChunks of them, permuted so that the eight rows of a matrix lie in different
/// banks.
template <class Element, int kChunks>
__device__ int place(int row, int chunk) {
  constexpr int kPhases = kChunks % 8 == 0 ? 8 : 4;  // rows that repeat every 128 bytes
  const int phase = kPhases == 8 ? row & 7 : row >> 1 & 3;
  return (row * kChunks + (chunk ^ phase)) * kChunk<Element>;
}

/// How a warp multiplies the stages of tile T: sums[m][n][e] of lane l is row 16 m + l / 4 + 8 (e / 2), column
/// 8 n + 2 (l % 4) + e % 2 of those of the warp.
template <class T, class Element = typename T::Element>
class WarpProduct;

template <class T>
class WarpProduct<T, half_t> {
 public:
  __device__ WarpProduct(int lane, int row, int column)
      : in_matrix_(place<half_t, T::kInChunks>(row + lane % 16, lane / 16)) {
#pragma unroll
    for (int n = 0; n < kMatrices; ++n)
      weight_matrix_[n] = T::kInElements + (kPair ? weight_place(lane, column / 8)
                                                  : weight_place(lane % 16, column / 8 + n * 2 + lane / 16));
  }

  static __device__ int weight_place(int k, int chunk) { return place<half_t, T::kWeightChunks>(k, chunk); }

  /// sums += inputs * weights of a stage, depth in ascending 16s.
  __device__ void multiply(const half_t* stage, typename T::Sums& sums) const {
#pragma unroll
    for (int step = 0; step < T::kDepth / kStep; ++step) {
      std::uint32_t b[kMatrices][4];
#pragma unroll
      for (int n = 0; n < kMatrices; ++n)
        load_matrices<true>(b[n], stage + weight_matrix_[n] + step * kStep * T::kColumns);
#pragma unroll
      for (int half = 0; half < kStep / 16; ++half)
#pragma unroll
        for (int m = 0; m < T::kTiles; ++m) {
          // Chunks of a row are apart by exclusive or, since a place is one.
          std::uint32_t a[4];
          load_matrices<false>(a, stage + (in_matrix_ ^ (step * kStep + half * 16)) + m * 16 * T::kDepth);
          if constexpr (kPair) {
            mma_m16n8k16(sums[m][0], a, {b[0][2 * half], b[0][2 * half + 1]});
          } else {
#pragma unroll
            for (int n = 0; n < kMatrices; ++n) {
              mma_m16n8k16(sums[m][2 * n], a, {b[n][0], b[n][1]});
              mma_m16n8k16(sums[m][2 * n + 1], a, {b[n][2], b[n][3]});
            }
          }
        }
    }
  }

 private:
  static constexpr bool kPair = T::kPanels == 1;  // a single panel is read two depths of 16 at a time
  static constexpr int kMatrices = kPair ? 1 : T::kPanels / 2, kStep = kPair ? 32 : 16;
  static_assert((kPair || T::kPanels % 2 == 0) && T::kDepth % kStep == 0);
  int in_matrix_, weight_matrix_[kMatrices];
};

// Rounded to the nearest. Of infinities the low part is NaN, and so is what they are multiplied into.
__device__ inline SplitFloat split(std::uint32_t bits) {
  const std::uint32_t high = (bits + 0x1000u) & 0xffffe000u;
  return {high, __float_as_uint(__uint_as_float(bits) - __uint_as_float(high))};
}

/// f32. Tensor cores cut off what others round, which adds up over a long sum: every stage is summed by itself, the
/// stages in plain float.
template <class T>
class WarpProduct<T, float> {
 public:
  __device__ WarpProduct(int lane, int row, int column)
      : in_matrix_(place<float, T::kInChunks>(row + lane % 16, lane / 16)) {
    const int k = lane % 4, of_eight = lane / 4;
#pragma unroll
    for (int n = 0; n < T::kPanels; ++n)
      weight_[n] = T::kInElements + weight_place(k, (column + n * 8 + of_eight) / 4) + of_eight % 4;
  }

  // Lanes read eight neighbouring columns of four rows.
  static __device__ int weight_place(int k, int chunk) { return k * T::kColumns + (chunk ^ (k & 3) * 2) * 4; }

  __device__ void multiply(const float* stage, typename T::Sums& sums) const {
    typename T::Sums of_stage = {};
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
  static_assert(T::kDepth == 32 && T::kWeightChunks % 8 == 0);
  int in_matrix_, weight_[T::kPanels];
};

/// One warp's part of a tile.
template <class T>
struct WarpTile {
  int lane, row, column;  // of the tile: the first ones of the warp
  WarpProduct<T> product;

  __device__ WarpTile(int warp, int lane_of_warp)
      : lane(lane_of_warp),
        row(warp % T::kRowWarps * T::kWarpRows),
        column(warp / T::kRowWarps * T::kWarpColumns),
        product(lane, row, column) {}

  /// finish(row of the tile, column of the tile, a chunk of neighbouring sums) for all sums of the warp. `shared` has
  /// room for T::kSumBytes, nothing in it is read any more.
  template <class Finish>
  __device__ void leave(const typename T::Sums& sums, unsigned char* shared, int warp, const Finish& finish) const {
    float* const stage = reinterpret_cast<float*>(shared) + warp * 16 * T::kSumPitch;
    constexpr int kChunk = cuda::kChunk<typename T::Element>, kOutChunks = T::kWarpColumns / kChunk;
#pragma unroll
    for (int m = 0; m < T::kTiles; ++m) {
#pragma unroll
      for (int n = 0; n < T::kPanels; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          stage[(lane / 4 + e / 2 * 8) * T::kSumPitch + n * 8 + lane % 4 * 2 + e % 2] = sums[m][n][e];
      __syncwarp();
      for (int e = lane; e < 16 * kOutChunks; e += 32) {
        const int r = e / kOutChunks, chunk = e % kOutChunks;
        finish(row + m * 16 + r, column + chunk * kChunk, stage + r * T::kSumPitch + chunk * kChunk);
      }
      __syncwarp();
    }
  }
};

/// Up to a chunk of channels of a row of `out`: f(c, other) for channel column + c, `other` that of the residual's row,
/// 0 without one. `whole`: both are in chunks.
template <class Element, class F>
__device__ void write_chunk(const Rows<Element>& out, std::int64_t row, int column, const Rows<const Element>& residual,
                            std::int64_t residual_row, bool whole, const F& f) {
  constexpr int kChunk = cuda::kChunk<Element>;
  const bool add = residual.base != nullptr;
  if (whole) {
    Chunk<Element> other{}, result;
    if (add) other.bits = *reinterpret_cast<const uint4*>(residual.row(residual_row) + column);
#pragma unroll
    for (int c = 0; c < kChunk; ++c)
      result.values[c] = from_float<Element>(f(c, add ? to_float(other.values[c]) : 0.0f));
    *reinterpret_cast<uint4*>(out.row(row) + column) = result.bits;
    return;
  }
#pragma unroll 1
  for (int c = 0; c < kChunk; ++c)
    if (column + c < out.channels) out.set(row, column + c, f(c, add ? residual.at(residual_row, column + c) : 0.0f));
}

}  // namespace voxshift::cuda
