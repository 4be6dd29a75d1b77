// Tiles of f16 products on tensor cores: how a stage of operands lies in shared memory, how a warp multiplies it, and
// how the sums leave.
#pragma once

#include <voxshift/kernels_cuda/rows.h>

#include <cstddef>
#include <cstdint>

namespace voxshift::cuda {

constexpr int kChunk = 8;  // halves that one copy moves

/// Eight neighbouring channels of a row.
union HalfChunk {
  uint4 bits;
  half_t halves[kChunk];
};

/// Whether every chunk of the rows stands at an address that takes 16 bytes at once.
template <class T>
bool in_chunks(const Rows<T>& rows) {
  return reinterpret_cast<std::uintptr_t>(rows.base) % 16 == 0 && rows.stride % kChunk == 0 &&
         rows.channels % kChunk == 0;
}

/// A tile of kRows x kColumns, kWarpRows x kWarpColumns a warp. A stage holds kRows rows of kDepth inputs, then kDepth
/// rows of kColumns weights.
template <int kRows_, int kColumns_, int kWarpRows_, int kWarpColumns_, int kDepth_, int kStages_>
struct HalfTile {
  static constexpr int kRows = kRows_, kColumns = kColumns_, kWarpRows = kWarpRows_, kWarpColumns = kWarpColumns_;
  static constexpr int kDepth = kDepth_, kStages = kStages_;
  static constexpr int kRowWarps = kRows / kWarpRows, kThreads = 32 * kRowWarps * (kColumns / kWarpColumns);
  static constexpr int kTiles = kWarpRows / 16, kPanels = kWarpColumns / 8;             // of a warp
  static constexpr int kInChunks = kDepth / kChunk, kWeightChunks = kColumns / kChunk;  // of a row of a stage
  static constexpr int kInRows = kThreads / kInChunks;  // that one round of copies covers
  static constexpr int kInCopies = kRows / kInRows;     // of a thread
  static constexpr int kWeightCopies = kDepth * kWeightChunks / kThreads;
  static constexpr int kInHalves = kRows * kDepth, kStageHalves = kInHalves + kDepth * kColumns;
  static constexpr int kSumPitch = kWarpColumns + 4;  // floats of a row of sums on its way out
  static constexpr std::size_t kRingBytes = std::size_t{2} * kStageHalves * kStages;
  static constexpr std::size_t kSumBytes = std::size_t{4} * (kThreads / 32) * 16 * kSumPitch;
  static constexpr std::size_t kBytes = kRingBytes > kSumBytes ? kRingBytes : kSumBytes;
  static_assert(kRows % kInRows == 0 && kInRows % 8 == 0 && kDepth * kWeightChunks % kThreads == 0);
  static_assert(kPanels % 2 == 0 || (kPanels == 1 && kDepth % 32 == 0));

  using Sums = float[kTiles][kPanels][4];
};

/// Places of 16-byte chunks in rows of kChunks of them, permuted so that the eight rows of a matrix lie in different
/// banks.
template <int kChunks>
__device__ int place(int row, int chunk) {
  constexpr int kPhases = kChunks % 8 == 0 ? 8 : 4;  // rows that repeat every 128 bytes
  const int phase = kPhases == 8 ? row & 7 : row >> 1 & 3;
  return (row * kChunks + (chunk ^ phase)) * kChunk;
}

/// One warp's part of a tile.
template <class T>
struct WarpTile {
  // Where this lane reads matrices: chunks of a row are apart by exclusive or, since a place is one. A single panel is
  // read two depths of 16 at a time.
  static constexpr int kMatrices = T::kPanels == 1 ? 1 : T::kPanels / 2;
  int lane, row, column;  // of the tile: the first ones of the warp
  int in_matrix, weight_matrix[kMatrices];

  __device__ WarpTile(int warp, int lane_of_warp)
      : lane(lane_of_warp),
        row(warp % T::kRowWarps * T::kWarpRows),
        column(warp / T::kRowWarps * T::kWarpColumns),
        in_matrix(place<T::kInChunks>(row + lane % 16, lane / 16)) {
#pragma unroll
    for (int n = 0; n < kMatrices; ++n)
      weight_matrix[n] =
          T::kInHalves + (T::kPanels == 1 ? place<T::kWeightChunks>(lane, column / kChunk)
                                          : place<T::kWeightChunks>(lane % 16, column / kChunk + n * 2 + lane / 16));
  }

  /// sums += inputs * weights of a stage, depth in ascending 16s, for the 16 rows m of the warp with wanted(m).
  template <class Wanted>
  __device__ void multiply(const half_t* stage, typename T::Sums& sums, const Wanted& wanted) const {
    if constexpr (T::kPanels == 1) {
#pragma unroll
      for (int pair = 0; pair < T::kDepth / 32; ++pair) {
        std::uint32_t b[4];
        load_matrices<true>(b, stage + weight_matrix[0] + pair * 32 * T::kColumns);
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
          for (int m = 0; m < T::kTiles; ++m) {
            if (!wanted(m)) continue;
            std::uint32_t a[4];
            load_matrices<false>(a, stage + (in_matrix ^ ((2 * pair + half) * 2 * kChunk)) + m * 16 * T::kDepth);
            mma_m16n8k16(sums[m][0], a, {b[2 * half], b[2 * half + 1]});
          }
      }
    } else {
#pragma unroll
      for (int half = 0; half < T::kDepth / 16; ++half) {
        std::uint32_t b[kMatrices][4];
#pragma unroll
        for (int n = 0; n < kMatrices; ++n)
          load_matrices<true>(b[n], stage + weight_matrix[n] + half * 16 * T::kColumns);
#pragma unroll
        for (int m = 0; m < T::kTiles; ++m) {
          if (!wanted(m)) continue;
          std::uint32_t a[4];
          load_matrices<false>(a, stage + (in_matrix ^ (half * 2 * kChunk)) + m * 16 * T::kDepth);
#pragma unroll
          for (int n = 0; n < kMatrices; ++n) {
            mma_m16n8k16(sums[m][2 * n], a, {b[n][0], b[n][1]});
            mma_m16n8k16(sums[m][2 * n + 1], a, {b[n][2], b[n][3]});
          }
        }
      }
    }
  }

  /// finish(row of the tile, column of the tile, eight neighbouring sums) for all sums of the warp. `shared` has room
  /// for T::kSumBytes, nothing in it is read any more.
  template <class Finish>
  __device__ void leave(const typename T::Sums& sums, unsigned char* shared, int warp, const Finish& finish) const {
    float* const stage = reinterpret_cast<float*>(shared) + warp * 16 * T::kSumPitch;
    constexpr int kOutChunks = T::kWarpColumns / kChunk;
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

/// Up to eight channels of a row of `out`: f(c, other) for channel column + c, `other` that of the residual's row, 0
/// without one. `whole`: both are in chunks.
template <class F>
__device__ void write_chunk(const Rows<half_t>& out, std::int64_t row, int column, const Rows<const half_t>& residual,
                            std::int64_t residual_row, bool whole, const F& f) {
  const bool add = residual.base != nullptr;
  if (whole) {
    HalfChunk other{}, result;
    if (add) other.bits = *reinterpret_cast<const uint4*>(residual.row(residual_row) + column);
#pragma unroll
    for (int c = 0; c < kChunk; ++c)
      result.halves[c] = from_float<half_t>(f(c, add ? to_float(other.halves[c]) : 0.0f));
    *reinterpret_cast<uint4*>(out.row(row) + column) = result.bits;
    return;
  }
#pragma unroll 1
  for (int c = 0; c < kChunk; ++c)
    if (column + c < out.channels) out.set(row, column + c, f(c, add ? residual.at(residual_row, column + c) : 0.0f));
}

}  // namespace voxshift::cuda
