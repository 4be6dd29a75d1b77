// The product of f16 rows on tensor cores. A block owns a tile of output rows and channels and goes through the offsets
// that any of its rows has, a few input channels at a time: rows are fetched by cp.async into a ring of stages in
// shared memory while earlier stages are multiplied. Warps leave out 32 rows at a time where none of them has the
// offset.
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/tile_map.h>

#include <algorithm>

namespace voxshift::cuda {
namespace {

constexpr int kChunk = 8;  // halves that one copy moves

/// A tile of kRows x kColumns, kWarpRows x kWarpColumns a warp; kDepth input channels a stage.
template <int kRows_, int kColumns_, int kWarpRows_, int kWarpColumns_, int kDepth_, int kStages_>
struct Tile {
  static constexpr int kRows = kRows_, kColumns = kColumns_, kWarpRows = kWarpRows_, kWarpColumns = kWarpColumns_;
  static constexpr int kDepth = kDepth_, kStages = kStages_;
  static constexpr int kRowWarps = kRows / kWarpRows, kThreads = 32 * kRowWarps * (kColumns / kWarpColumns);
  static constexpr int kInHalves = kRows * kDepth, kStageHalves = kInHalves + kDepth * kColumns;
  // Blocks that a multiprocessor shall have room for: as many as make 128 registers a thread.
  static constexpr int kBlocks = kWarpRows * kWarpColumns <= 2048 && kDepth == 32 ? 512 / kThreads : 1;
  static constexpr int kSumPitch = kWarpColumns + 4;  // floats of a row of sums on its way out
  static constexpr std::size_t kRingBytes = std::size_t{2} * kStageHalves * kStages;
  static constexpr std::size_t kSumBytes = std::size_t{4} * (kThreads / 32) * 16 * kSumPitch;
  static constexpr std::size_t kBytes = kRingBytes > kSumBytes ? kRingBytes : kSumBytes;
};

struct Operands {
  Rows<const half_t> in;
  RowTable map;
  const half_t* weight;  // [volume, padded_in, padded_out]
  int volume, padded_in, padded_out;
  RowEpilogue<half_t> epilogue;
  Rows<half_t> out;
  bool vector_out;  // out and residual are taken 8 channels at a time
};

// Places of 16-byte chunks in rows of kChunks of them, permuted so that the eight rows of a matrix lie in different
// banks.
template <int kChunks>
__device__ int place(int row, int chunk) {
  constexpr int kPhases = kChunks % 8 == 0 ? 8 : 4;  // rows that repeat every 128 bytes
  const int phase = kPhases == 8 ? row & 7 : row >> 1 & 3;
  return (row * kChunks + (chunk ^ phase)) * kChunk;
}

// Eight channels of one row from their sums.
__device__ inline void finish_chunk(const Operands& x, std::int64_t row, int column, const float* sums) {
  if (x.vector_out) {
    union {
      uint4 bits;
      half_t halves[kChunk];
    } other{}, result;
    if (x.epilogue.residual.base != nullptr)
      other.bits = *reinterpret_cast<const uint4*>(x.epilogue.residual.row(row) + column);
#pragma unroll
    for (int c = 0; c < kChunk; ++c)
      result.halves[c] = from_float<half_t>(x.epilogue.finish_with(
          sums[c], column + c, x.epilogue.residual.base != nullptr ? to_float(other.halves[c]) : 0.0f));
    *reinterpret_cast<uint4*>(x.out.row(row) + column) = result.bits;
    return;
  }
  for (int c = 0; c < kChunk; ++c)
    if (column + c < x.out.channels) x.out.set(row, column + c, x.epilogue.finish(sums[c], row, column + c));
}

// kVector: rows of `in` are multiples of 16 bytes at such addresses. Addresses are kept, not computed: a step is 32
// tensor instructions, and three times as many for its bookkeeping halved the speed.
template <class T, bool kVector>
__global__ void __launch_bounds__(T::kThreads, T::kBlocks) product_f16_kernel(Operands x) {
  constexpr int kInChunks = T::kDepth / kChunk, kWeightChunks = T::kColumns / kChunk;  // of a row of a stage
  constexpr int kInRows = T::kThreads / kInChunks;  // that one round of copies covers
  constexpr int kInCopies = T::kRows / kInRows;     // of a thread
  constexpr int kWeightCopies = T::kDepth * kWeightChunks / T::kThreads;
  constexpr int kTiles = T::kWarpRows / 16, kPanels = T::kWarpColumns / 8;  // of a warp
  constexpr int kParts = T::kWarpRows / kPartRows;
  static_assert(T::kRows % kInRows == 0 && kInRows % 8 == 0 && T::kDepth * kWeightChunks % T::kThreads == 0);

  auto* const stages = reinterpret_cast<half_t*>(dynamic_shared());
  const TileMap tile(dynamic_shared() + T::kBytes, x.map, x.volume, T::kRows);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int warp_row = warp % T::kRowWarps * T::kWarpRows, warp_column = warp / T::kRowWarps * T::kWarpColumns;
  // Column tiles of the same rows are neighbours; rows with many offsets, which are last in the order, begin first.
  const int column_tiles = (static_cast<int>(x.out.channels) + T::kColumns - 1) / T::kColumns;
  const int first_column = static_cast<int>(blockIdx.x) % column_tiles * T::kColumns;
  const std::int64_t row_tile = (gridDim.x - 1 - blockIdx.x) / static_cast<unsigned>(column_tiles);
  tile.load(row_tile * T::kRows, x.out.count, thread, T::kThreads);
  const int depth_steps = (x.padded_in + T::kDepth - 1) / T::kDepth, steps = tile.count() * depth_steps;

  // What this thread copies: a chunk of kInCopies rows, whose places are kInRows apart, and kWeightCopies of weights.
  const int in_chunk = thread % kInChunks, in_row = thread / kInChunks, in_place = place<kInChunks>(in_row, in_chunk);
  const int in_left = static_cast<int>(x.in.channels) - in_chunk * kChunk;
  int weight_place[kWeightCopies], weight_offset[kWeightCopies];  // -1: beyond the last column
#pragma unroll
  for (int c = 0; c < kWeightCopies; ++c) {
    const int e = thread + c * T::kThreads, k = e / kWeightChunks, chunk = e % kWeightChunks;
    weight_place[c] = T::kInHalves + place<kWeightChunks>(k, chunk);
    const int column = first_column + chunk * kChunk;
    weight_offset[c] = column < x.padded_out ? k * x.padded_out + column : -1;
  }

  OffsetWalk fetched(tile);
  const half_t* source[kInCopies];  // null: the row is absent
  const half_t* weight = nullptr;
  int fetch_depth = 0, fetch_step = 0;
  half_t* fetch_stage = stages;
  const auto fetch = [&] {
    if (fetch_step < steps) {
      if (fetch_depth == 0) {
        const int bit = fetched.next();
        weight = x.weight + std::int64_t{tile.offset(bit)} * x.padded_in * x.padded_out;
#pragma unroll
        for (int c = 0; c < kInCopies; ++c) {
          const int row = tile.source(in_row + c * kInRows, bit);
          source[c] = row >= 0 ? x.in.row(row) + in_chunk * kChunk : nullptr;
        }
      }
      const int first = fetch_depth * T::kDepth;
#pragma unroll
      for (int c = 0; c < kInCopies; ++c) {
        half_t* const to = fetch_stage + in_place + c * kInRows * T::kDepth;
        if constexpr (kVector) {
          const bool present = source[c] != nullptr && first < in_left;
          copy_async_16(to, present ? source[c] + first : x.in.base, present);
        } else {
#pragma unroll
          for (int h = 0; h < kChunk; ++h)
            to[h] = source[c] != nullptr && first + h < in_left ? source[c][first + h] : half_t(0.0f);
        }
      }
#pragma unroll
      for (int c = 0; c < kWeightCopies; ++c)
        copy_async_16(fetch_stage + weight_place[c], weight + (weight_offset[c] < 0 ? 0 : weight_offset[c]),
                      weight_offset[c] >= 0);
      weight += T::kDepth * x.padded_out;
      if (++fetch_depth == depth_steps) fetch_depth = 0;
      ++fetch_step;
      fetch_stage += T::kStageHalves;
      if (fetch_stage == stages + T::kStages * T::kStageHalves) fetch_stage = stages;
    }
    copies_commit();
  };

  // Where this lane reads matrices: chunks of a row are apart by exclusive or, since a place is one.
  const int in_matrix = place<kInChunks>(warp_row + lane % 16, lane / 16);
  int weight_matrix[kPanels / 2];
#pragma unroll
  for (int n = 0; n < kPanels / 2; ++n)
    weight_matrix[n] = T::kInHalves + place<kWeightChunks>(lane % 16, warp_column / kChunk + n * 2 + lane / 16);

  float sums[kTiles][kPanels][4] = {};
  for (int s = 0; s < T::kStages - 1; ++s) fetch();
  OffsetWalk multiplied(tile);
  bool present[kParts] = {};
  int depth = 0;
  const half_t* stage = stages;
  for (int step = 0; step < steps; ++step) {
    if (depth == 0) {
      const int bit = multiplied.next();
#pragma unroll
      for (int p = 0; p < kParts; ++p) present[p] = tile.part_has(warp_row / kPartRows + p, bit);
    }
    if (++depth == depth_steps) depth = 0;
    copies_wait<T::kStages - 2>();
    __syncthreads();
    fetch();
    bool any = false;
#pragma unroll
    for (int p = 0; p < kParts; ++p) any = any || present[p];
    if (any) {
#pragma unroll
      for (int half = 0; half < T::kDepth / 16; ++half) {
        std::uint32_t b[kPanels / 2][4];
#pragma unroll
        for (int n = 0; n < kPanels / 2; ++n)
          load_matrices<true>(b[n], stage + weight_matrix[n] + half * 16 * T::kColumns);
#pragma unroll
        for (int m = 0; m < kTiles; ++m) {
          if (kParts > 1 && !present[m / 2]) continue;
          std::uint32_t a[4];
          load_matrices<false>(a, stage + (in_matrix ^ (half * 2 * kChunk)) + m * 16 * T::kDepth);
#pragma unroll
          for (int n = 0; n < kPanels / 2; ++n) {
            mma_m16n8k16(sums[m][2 * n], a, {b[n][0], b[n][1]});
            mma_m16n8k16(sums[m][2 * n + 1], a, {b[n][2], b[n][3]});
          }
        }
      }
    }
    stage += T::kStageHalves;
    if (stage == stages + T::kStages * T::kStageHalves) stage = stages;
  }

  // Sums leave by shared memory, so that a thread writes eight neighbouring channels.
  copies_wait<0>();
  __syncthreads();
  float* const out_stage = reinterpret_cast<float*>(dynamic_shared()) + warp * 16 * T::kSumPitch;
  constexpr int kOutChunks = T::kWarpColumns / kChunk;
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kPanels; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        out_stage[(lane / 4 + e / 2 * 8) * T::kSumPitch + n * 8 + lane % 4 * 2 + e % 2] = sums[m][n][e];
    __syncwarp();
    for (int e = lane; e < 16 * kOutChunks; e += 32) {
      const int r = e / kOutChunks, chunk = e % kOutChunks;
      const int row = tile.rows[warp_row + m * 16 + r], column = first_column + warp_column + chunk * kChunk;
      if (row >= 0 && column < x.out.channels)
        finish_chunk(x, row, column, out_stage + r * T::kSumPitch + chunk * kChunk);
    }
    __syncwarp();
  }
}

template <class T, bool kVector>
void run(const Queue& queue, const Operands& x) {
  const std::size_t shared = T::kBytes + TileMap::bytes(x.map, x.volume, T::kRows);
  const std::int64_t blocks =
      ceil_div<std::int64_t>(x.out.count, T::kRows) * ceil_div<std::int64_t>(x.out.channels, T::kColumns);
  allow_shared<product_f16_kernel<T, kVector>>(shared);
  launch(queue, product_f16_kernel<T, kVector>, dim3(static_cast<unsigned>(blocks)), dim3(T::kThreads), shared, x);
}

bool chunks(const ConstRowView& rows) {
  return reinterpret_cast<std::uintptr_t>(rows.base) % 16 == 0 && rows.row_stride % kChunk == 0 &&
         rows.channels % kChunk == 0;
}

}  // namespace

void product_f16(const Queue& queue, const ConstRowView& in, const RowTable& map, const DeviceWeights& weights,
                 const Epilogue& epilogue, const RowView& out) {
  const Operands x{rows<half_t>(in),
                   map,
                   static_cast<const half_t*>(weights.data.memory()),
                   static_cast<int>(weights.volume),
                   static_cast<int>(weights.padded_in),
                   static_cast<int>(weights.padded_out),
                   RowEpilogue<half_t>(epilogue),
                   rows<half_t>(out),
                   chunks(out) && (epilogue.residual.base == nullptr || chunks(epilogue.residual))};
  const bool vector = chunks(in), deep = vector && in.channels % 64 == 0 && in.channels > 0;
  const auto run_any = [&]<class T>(T) { vector ? run<T, true>(queue, x) : run<T, false>(queue, x); };
  // Tiles of 64 rows: taller ones read less, but share more offsets that few of their rows have.
  const std::int64_t columns = out.channels;
  if (columns <= 32) return run_any(Tile<64, 32, 32, 16, 32, 4>());
  if (columns <= 64) return run_any(Tile<64, 64, 32, 32, 32, 4>());
  if (columns <= 96) return run_any(Tile<64, 96, 32, 48, 32, 4>());
  if (!vector) return run<Tile<64, 64, 32, 32, 32, 4>, false>(queue, x);
  const bool few = ceil_div<std::int64_t>(out.count, 64) * ceil_div<std::int64_t>(columns, 128) < 4 * multiprocessors();
  if (deep && few) return run<Tile<64, 128, 32, 64, 64, 3>, true>(queue, x);
  run<Tile<64, 128, 32, 64, 32, 4>, true>(queue, x);
}

}  // namespace voxshift::cuda
