// Tiles of products on tensor cores: how a stage of f16, f32 or i8 operands lies in shared memory, how a warp
// multiplies it, and how the sums leave.
#pragma once

#include <voxshift/kernels_cuda/rows.h>

#include <cstddef>

namespace voxshift::cuda {

/// A tile of kRows x kColumns, kWarpRows x kWarpColumns a warp. A stage holds kRows rows of kDepth inputs, then kDepth
/// rows of kColumns weights, of i8 kColumns rows of kDepth weights.
template <class Element_, int kRows_, int kColumns_, int kWarpRows_, int kWarpColumns_, int kDepth_, int kStages_>
struct Tile {
  using Element = Element_;
  static constexpr int kRows = kRows_, kColumns = kColumns_, kWarpRows = kWarpRows_, kWarpColumns = kWarpColumns_;
  static constexpr int kDepth = kDepth_, kStages = kStages_;
  static constexpr int kRowWarps = kRows / kWarpRows, kThreads = 32 * kRowWarps * (kColumns / kWarpColumns);
  static constexpr int kTiles = kWarpRows / 16, kPanels = kWarpColumns / 8;  // of a warp
  static constexpr int kInChunks = kDepth / kChunk<Element>;                 // of a row of a stage
  static constexpr int kWeightChunks = kColumns / kChunk<Element>;
  static constexpr int kInRows = kThreads / kInChunks;         // that one round of copies covers
  static constexpr int kInCopies = kRows / kInRows;            // of a thread
  static constexpr int kStageChunks = kDepth * kWeightChunks;  // of weights
  static constexpr int kWeightCopies = (kStageChunks + kThreads - 1) / kThreads;
  // Copies of weights after a thread's first are those of the same columns, rows that are a multiple of 8 further.
  static constexpr bool kEvenCopies = sizeof(Element) > 1 && kStageChunks % kThreads == 0 &&
                                      kThreads % kWeightChunks == 0 && kThreads / kWeightChunks % 8 == 0;
  static constexpr int kInElements = kRows * kDepth, kStageElements = kInElements + kDepth * kColumns;
  static constexpr int kSumPitch = kWarpColumns + 4;              // numbers of a row of sums on its way out
  static constexpr int kOutChunk = sizeof(Element) == 4 ? 4 : 8;  // numbers that a thread writes at once
  static constexpr std::size_t kRingBytes = sizeof(Element) * kStageElements * kStages;
  static constexpr std::size_t kSumBytes = sizeof(float) * (kThreads / 32) * 16 * kSumPitch;
  static constexpr std::size_t kBytes = kRingBytes > kSumBytes ? kRingBytes : kSumBytes;
  static_assert(kRows % kInRows == 0 && kInRows % 8 == 0 && kStageChunks % 32 == 0);

  using Sum = std::conditional_t<std::is_same_v<Element, std::int8_t>, std::int32_t, float>;
  using Sums = Sum[kTiles][kPanels][4];
};

/// Places of 16-byte chunks in rows of kChunks of them, permuted so that the eight rows of a matrix lie in different
/// banks.
template <class Element, int kChunks>
__device__ int place(int row, int chunk) {
  constexpr int kPhases = kChunks % 8 == 0 ? 8 : 4;  // rows that repeat every 128 bytes
  const int phase = kPhases == 8 ? row & 7 : row >> 1 & 3;
  return (row * kChunks + (chunk ^ phase)) * kChunk<Element>;
}

/// A chunk of the weights of a stage: its place there, the first of the stage's inputs that it is for, and where it
/// comes from, `offset` elements after the first weights that a stage of the tile's kind holds; -1: beyond the last
/// column.
struct WeightChunk {
  int place, input, offset;
};

/// How a warp multiplies the stages of tile T: sums[m][n][e] of lane l is row 16 m + l / 4 + 8 (e / 2), column
/// 8 n + 2 (l % 4) + e % 2 of those of the warp. weight_chunk(e, first column of the tile, padded_in, padded_out) is
/// chunk e of the weights, whose rows lie as in DeviceWeights, weight_step(padded_out) elements from stage to stage.
template <class T, class Element = typename T::Element>
class WarpProduct;

// A chunk of the columns of a row of the stage.
template <class T, class Product>
__device__ WeightChunk row_of_outputs(int e, int first_column, int padded_out) {
  const int row = e / T::kWeightChunks, chunk = e % T::kWeightChunks;
  const int column = first_column + chunk * kChunk<typename T::Element>;
  return {T::kInElements + Product::weight_place(row, chunk), row,
          column < padded_out ? row * padded_out + column : -1};
}

/// f16 and bf16.
template <class T, class Half>
requires(sizeof(Half) == 2) class WarpProduct<T, Half> {
 public:
  __device__ WarpProduct(int lane, int row, int column)
      : in_matrix_(place<Half, T::kInChunks>(row + lane % 16, lane / 16)) {
#pragma unroll
    for (int n = 0; n < kMatrices; ++n)
      weight_matrix_[n] = T::kInElements + (kPair ? weight_place(lane, column / 8)
                                                  : weight_place(lane % 16, column / 8 + n * 2 + lane / 16));
  }

  static __device__ int weight_place(int k, int chunk) { return place<Half, T::kWeightChunks>(k, chunk); }
  static __device__ WeightChunk weight_chunk(int e, int first_column, int, int padded_out) {
    return row_of_outputs<T, WarpProduct>(e, first_column, padded_out);
  }
  static __device__ int weight_step(int padded_out) { return T::kDepth * padded_out; }

  /// sums += inputs * weights of a stage, depth in ascending 16s.
  __device__ void multiply(const Half* stage, typename T::Sums& sums) const {
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
            mma_m16n8k16<Half>(sums[m][0], a, {b[0][2 * half], b[0][2 * half + 1]});
          } else {
#pragma unroll
            for (int n = 0; n < kMatrices; ++n) {
              mma_m16n8k16<Half>(sums[m][2 * n], a, {b[n][0], b[n][1]});
              mma_m16n8k16<Half>(sums[m][2 * n + 1], a, {b[n][2], b[n][3]});
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
  static __device__ WeightChunk weight_chunk(int e, int first_column, int, int padded_out) {
    return row_of_outputs<T, WarpProduct>(e, first_column, padded_out);
  }
  static __device__ int weight_step(int padded_out) { return T::kDepth * padded_out; }

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

/// i8. Weights stand like inputs, a row of kDepth for each column.
template <class T>
class WarpProduct<T, std::int8_t> {
 public:
  __device__ WarpProduct(int lane, int row, int column) : in_matrix_(at(row + lane % 16, lane / 16)) {
#pragma unroll
    for (int n = 0; n < kMatrices; ++n)
      weight_matrix_[n] = T::kInElements + (kPair ? at(column + lane % 8, lane / 8)
                                                  : at(column + n * 16 + lane / 16 * 8 + lane % 8, lane / 8 % 2));
  }

  static __device__ WeightChunk weight_chunk(int e, int first_column, int padded_in, int padded_out) {
    const int row = e / T::kInChunks, chunk = e % T::kInChunks, column = first_column + row;
    return {T::kInElements + at(row, chunk), chunk * kChunk<std::int8_t>,
            column < padded_out ? column * padded_in + chunk * kChunk<std::int8_t> : -1};
  }
  static __device__ int weight_step(int) { return T::kDepth; }

  __device__ void multiply(const std::int8_t* stage, typename T::Sums& sums) const {
#pragma unroll
    for (int step = 0; step < T::kDepth / kStep; ++step) {
      std::uint32_t b[kMatrices][4];
#pragma unroll
      for (int n = 0; n < kMatrices; ++n) load_matrices<false>(b[n], stage + (weight_matrix_[n] ^ step * kStep));
#pragma unroll
      for (int half = 0; half < kStep / 32; ++half)
#pragma unroll
        for (int m = 0; m < T::kTiles; ++m) {
          std::uint32_t a[4];
          load_matrices<false>(a, stage + (in_matrix_ ^ (step * kStep + half * 32)) + m * 16 * T::kDepth);
          if constexpr (kPair) {
            mma_m16n8k32(sums[m][0], a, {b[0][2 * half], b[0][2 * half + 1]});
          } else {
#pragma unroll
            for (int n = 0; n < kMatrices; ++n) {
              mma_m16n8k32(sums[m][2 * n], a, {b[n][0], b[n][1]});
              mma_m16n8k32(sums[m][2 * n + 1], a, {b[n][2], b[n][3]});
            }
          }
        }
    }
  }

 private:
  static __device__ int at(int row, int chunk) { return place<std::int8_t, T::kInChunks>(row, chunk); }

  static constexpr bool kPair = T::kPanels == 1;  // a single panel is read two depths of 32 at a time
  static constexpr int kMatrices = kPair ? 1 : T::kPanels / 2, kStep = kPair ? 64 : 32;
  static_assert((kPair || T::kPanels % 2 == 0) && T::kDepth % kStep == 0 && T::kInElements % T::kDepth == 0);
  int in_matrix_, weight_matrix_[kMatrices];
};

/// finish(row of the tile, column of the tile, a chunk of neighbouring sums) for all sums of a warp, which begin at
/// `row` and `column`. `shared` has room for T::kSumBytes, nothing in it is read any more.
template <class T, class Finish>
__device__ void leave_tile(const typename T::Sums& sums, unsigned char* shared, int warp, int lane, int row, int column,
                           const Finish& finish) {
  using Sum = typename T::Sum;
  Sum* const stage = reinterpret_cast<Sum*>(shared) + warp * 16 * T::kSumPitch;
  constexpr int kChunk = T::kOutChunk, kOutChunks = T::kWarpColumns / kChunk;
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

  /// leave_tile() of the warp.
  template <class Finish>
  __device__ void leave(const typename T::Sums& sums, unsigned char* shared, int warp, const Finish& finish) const {
    leave_tile<T>(sums, shared, warp, lane, row, column, finish);
  }
};

/// Up to kWidth channels of a row of `out`, kOutChunk of its tile: one(c, other) for channel column + c, `other` that
/// of the residual's row, 0 without one. `whole`: both are in packs of so many; then all(others, numbers) gives the
/// numbers.
template <int kWidth, class Out, class Residual, class One, class All>
__device__ void write_chunk(const Out& out, std::int64_t row, int column, const Residual& residual,
                            std::int64_t residual_row, bool whole, const One& one, const All& all) {
  const bool add = residual.base != nullptr;
  if (whole) {
    float others[kWidth] = {}, numbers[kWidth];
    if (add) read(residual, residual_row, column, others);
    all(others, numbers);
    write(out, row, column, numbers);
    return;
  }
#pragma unroll 1
  for (int c = 0; c < kWidth; ++c)
    if (column + c < out.channels) out.set(row, column + c, one(c, add ? residual.at(residual_row, column + c) : 0.0f));
}

/// Whether write_chunk() takes `width` channels at once.
inline bool in_whole_chunks(const RowView& out, const ConstRowView& residual, int width) {
  return holds_packs(out, width) && (residual.base == nullptr || holds_packs(residual, width));
}

}  // namespace voxshift::cuda
