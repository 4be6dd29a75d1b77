// The product of f16 rows on tensor cores. A block owns a tile of output rows and channels and goes through the offsets
// that any of its rows has, a few input channels at a time: rows are fetched by cp.async into a ring of stages in
// shared memory while earlier stages are multiplied. Warps leave out 32 rows at a time where none of them has the
// offset.
#include <voxshift/kernels_cuda/half_tile.h>
#include <voxshift/kernels_cuda/tile_map.h>

#include <algorithm>

namespace voxshift::cuda {
namespace {

/// A multiprocessor shall have room for as many blocks as make 128 registers a thread.
template <class T>
constexpr int kBlocks = T::kWarpRows* T::kWarpColumns <= 2048 && T::kDepth == 32 ? 512 / T::kThreads : 1;

struct Operands {
  Rows<const half_t> in;
  RowTable map;
  const half_t* weight;  // [volume, padded_in, padded_out]
  int volume, padded_in, padded_out;
  RowEpilogue<half_t> epilogue;
  Rows<half_t> out;
  bool vector_out;  // out and residual are taken 8 channels at a time
};

// kVector: rows of `in` are multiples of 16 bytes at such addresses. Addresses are kept, not computed: a step is 32
// tensor instructions, and three times as many for its bookkeeping halved the speed.
template <class T, bool kVector>
__global__ void __launch_bounds__(T::kThreads, kBlocks<T>) product_f16_kernel(Operands x) {
  constexpr int kInChunks = T::kInChunks, kInRows = T::kInRows, kInCopies = T::kInCopies;
  constexpr int kWeightChunks = T::kWeightChunks, kWeightCopies = T::kWeightCopies;
  constexpr int kParts = T::kWarpRows / kPartRows;

  auto* const stages = reinterpret_cast<half_t*>(dynamic_shared());
  const TileMap tile(dynamic_shared() + T::kBytes, x.map, x.volume, T::kRows);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
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

  const WarpTile<T> mine(warp, thread % 32);
  typename T::Sums sums = {};
  for (int s = 0; s < T::kStages - 1; ++s) fetch();
  OffsetWalk multiplied(tile);
  bool present[kParts] = {};
  int depth = 0;
  const half_t* stage = stages;
  for (int step = 0; step < steps; ++step) {
    if (depth == 0) {
      const int bit = multiplied.next();
#pragma unroll
      for (int p = 0; p < kParts; ++p) present[p] = tile.part_has(mine.row / kPartRows + p, bit);
    }
    if (++depth == depth_steps) depth = 0;
    copies_wait<T::kStages - 2>();
    __syncthreads();
    fetch();
    bool any = false;
#pragma unroll
    for (int p = 0; p < kParts; ++p) any = any || present[p];
    if (any) mine.multiply(stage, sums, [&](int m) { return kParts == 1 || present[m / 2]; });
    stage += T::kStageHalves;
    if (stage == stages + T::kStages * T::kStageHalves) stage = stages;
  }

  // Sums leave by shared memory, so that a thread writes eight neighbouring channels.
  copies_wait<0>();
  __syncthreads();
  mine.leave(sums, dynamic_shared(), warp, [&](int r, int c, const float* eight) {
    const int row = tile.rows[r], column = first_column + c;
    if (row < 0 || column >= x.out.channels) return;
    write_chunk(x.out, row, column, x.epilogue.residual, row, x.vector_out, [&](int channel, float other) {
      return x.epilogue.finish_with(eight[channel], column + channel, other);
    });
  });
}

template <class T, bool kVector>
void run(const Queue& queue, const Operands& x) {
  const std::size_t shared = T::kBytes + TileMap::bytes(x.map, x.volume, T::kRows);
  const std::int64_t blocks =
      ceil_div<std::int64_t>(x.out.count, T::kRows) * ceil_div<std::int64_t>(x.out.channels, T::kColumns);
  allow_shared<product_f16_kernel<T, kVector>>(shared);
  launch(queue, product_f16_kernel<T, kVector>, dim3(static_cast<unsigned>(blocks)), dim3(T::kThreads), shared, x);
}

}  // namespace

void product_f16(const Queue& queue, const ConstRowView& in, const RowTable& map, const DeviceWeights& weights,
                 const Epilogue& epilogue, const RowView& out) {
  const Rows<const half_t> from = rows<half_t>(in), residual = rows<half_t>(epilogue.residual);
  const Rows<half_t> to = rows<half_t>(out);
  const Operands x{from,
                   map,
                   static_cast<const half_t*>(weights.data.memory()),
                   static_cast<int>(weights.volume),
                   static_cast<int>(weights.padded_in),
                   static_cast<int>(weights.padded_out),
                   RowEpilogue<half_t>(epilogue),
                   to,
                   in_chunks(to) && (residual.base == nullptr || in_chunks(residual))};
  const bool vector = in_chunks(from), deep = vector && in.channels % 64 == 0 && in.channels > 0;
  const auto run_any = [&]<class T>(T) { vector ? run<T, true>(queue, x) : run<T, false>(queue, x); };
  // Tiles of 64 rows: taller ones read less, but share more offsets that few of their rows have.
  const std::int64_t columns = out.channels;
  if (columns <= 32) return run_any(HalfTile<64, 32, 32, 16, 32, 4>());
  if (columns <= 64) return run_any(HalfTile<64, 64, 32, 32, 32, 4>());
  if (columns <= 96) return run_any(HalfTile<64, 96, 32, 48, 32, 4>());
  if (!vector) return run<HalfTile<64, 64, 32, 32, 32, 4>, false>(queue, x);
  const bool few = ceil_div<std::int64_t>(out.count, 64) * ceil_div<std::int64_t>(columns, 128) < 4 * multiprocessors();
  if (deep && few) return run<HalfTile<64, 128, 32, 64, 64, 3>, true>(queue, x);
  run<HalfTile<64, 128, 32, 64, 32, 4>, true>(queue, x);
}

}  // namespace voxshift::cuda
