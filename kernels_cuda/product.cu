// The product on tensor cores, of f16 rows and of f32 rows (warp_product.h). A block owns a tile of output rows and
// channels and goes through the offsets that any of its rows has, a few input channels at a time: rows are fetched by
// cp.async into a ring of stages in shared memory while earlier stages are multiplied. Warps leave out 32 rows at a
// time where none of them has the offset.
#include <voxshift/kernels_cuda/product.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/tile_map.h>
#include <voxshift/kernels_cuda/warp_product.h>

namespace voxshift::cuda {
namespace {

/// A tile of kRows x kColumns, kPartRows x kWarpColumns a warp; kDepth input channels a stage.
template <class Element_, int kRows_, int kColumns_, int kWarpColumns_, int kDepth_, int kStages_>
struct Tile {
  using Element = Element_;
  static constexpr int kRows = kRows_, kColumns = kColumns_, kWarpColumns = kWarpColumns_;
  static constexpr int kDepth = kDepth_, kStages = kStages_;
  static constexpr int kRowWarps = kRows / kPartRows, kThreads = 32 * kRowWarps * (kColumns / kWarpColumns);
  static constexpr int kTiles = kPartRows / 16, kPanels = kWarpColumns / 8;  // of a warp
  static constexpr int kInElements = kRows * kDepth, kStageElements = kInElements + kDepth * kColumns;
  // Blocks that a multiprocessor shall have room for: as many as leave 128 registers a thread; f32 has more sums.
  static constexpr int kBlocks = kDepth > 32 ? 1 : sizeof(Element) == 2 ? 512 / kThreads : kWarpColumns > 32 ? 2 : 3;
  static constexpr int kSumPitch = kWarpColumns + 4;  // floats of a row of sums on its way out
  static constexpr std::size_t kRingBytes = sizeof(Element) * kStageElements * kStages;
  static constexpr std::size_t kSumBytes = sizeof(float) * (kThreads / 32) * 16 * kSumPitch;
  static constexpr std::size_t kBytes = kRingBytes > kSumBytes ? kRingBytes : kSumBytes;
};

template <class Element>
struct Operands {
  Rows<const Element> in;
  RowTable map;
  const Element* weight;  // [volume, padded_in, padded_out]
  int volume, padded_in, padded_out;
  RowEpilogue<Element> epilogue;
  Rows<Element> out;
  bool vector_out;  // out and residual are taken a chunk at a time
};

// A chunk of one row from its sums.
template <class Element>
__device__ inline void finish_chunk(const Operands<Element>& x, std::int64_t row, int column, const float* sums) {
  constexpr int kChunk = cuda::kChunk<Element>;
  if (x.vector_out) {
    union {
      uint4 bits;
      Element values[kChunk];
    } other{}, result;
    if (x.epilogue.residual.base != nullptr)
      other.bits = *reinterpret_cast<const uint4*>(x.epilogue.residual.row(row) + column);
#pragma unroll
    for (int c = 0; c < kChunk; ++c)
      result.values[c] = from_float<Element>(x.epilogue.finish_with(
          sums[c], column + c, x.epilogue.residual.base != nullptr ? to_float(other.values[c]) : 0.0f));
    *reinterpret_cast<uint4*>(x.out.row(row) + column) = result.bits;
    return;
  }
  for (int c = 0; c < kChunk; ++c)
    if (column + c < x.out.channels) x.out.set(row, column + c, x.epilogue.finish(sums[c], row, column + c));
}

// kVector: rows of `in` are multiples of 16 bytes at such addresses. Addresses are kept, not computed: a step is 32
// tensor instructions, and three times as many for its bookkeeping halved the speed.
template <class T, bool kVector>
__global__ void __launch_bounds__(T::kThreads, T::kBlocks) product_kernel(Operands<typename T::Element> x) {
  using Element = typename T::Element;
  constexpr int kChunk = cuda::kChunk<Element>;
  constexpr int kInChunks = T::kDepth / kChunk, kWeightChunks = T::kColumns / kChunk;  // of a row of a stage
  constexpr int kInRows = T::kThreads / kInChunks;  // that one round of copies covers
  constexpr int kInCopies = T::kRows / kInRows;     // of a thread
  constexpr int kWeightCopies = T::kDepth * kWeightChunks / T::kThreads;
  static_assert(T::kRows % kInRows == 0 && kInRows % 8 == 0 && T::kDepth * kWeightChunks % T::kThreads == 0);

  auto* const stages = reinterpret_cast<Element*>(dynamic_shared());
  const TileMap tile(dynamic_shared() + T::kBytes, x.map, x.volume, T::kRows);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int warp_row = warp % T::kRowWarps * kPartRows, warp_column = warp / T::kRowWarps * T::kWarpColumns;
  // Column tiles of the same rows are neighbours; rows with many offsets, which are last in the order, begin first.
  const int column_tiles = (static_cast<int>(x.out.channels) + T::kColumns - 1) / T::kColumns;
  const int first_column = static_cast<int>(blockIdx.x) % column_tiles * T::kColumns;
  const std::int64_t row_tile = (gridDim.x - 1 - blockIdx.x) / static_cast<unsigned>(column_tiles);
  tile.load(row_tile * T::kRows, x.out.count, thread, T::kThreads);
  const int depth_steps = (x.padded_in + T::kDepth - 1) / T::kDepth, steps = tile.count() * depth_steps;

  // What this thread copies: a chunk of kInCopies rows, whose places are kInRows apart, and kWeightCopies of weights.
  const int in_chunk = thread % kInChunks, in_row = thread / kInChunks,
            in_place = place<Element, kInChunks>(in_row, in_chunk);
  const int in_left = static_cast<int>(x.in.channels) - in_chunk * kChunk;
  int weight_place[kWeightCopies], weight_offset[kWeightCopies];  // -1: beyond the last column
#pragma unroll
  for (int c = 0; c < kWeightCopies; ++c) {
    const int e = thread + c * T::kThreads, k = e / kWeightChunks, chunk = e % kWeightChunks;
    weight_place[c] = T::kInElements + WarpProduct<T>::weight_place(k, chunk);
    const int column = first_column + chunk * kChunk;
    weight_offset[c] = column < x.padded_out ? k * x.padded_out + column : -1;
  }

  OffsetWalk fetched(tile);
  const Element* source[kInCopies];  // null: the row is absent
  const Element* weight = nullptr;
  int fetch_depth = 0, fetch_step = 0;
  Element* fetch_stage = stages;
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
        Element* const to = fetch_stage + in_place + c * kInRows * T::kDepth;
        if constexpr (kVector) {
          const bool present = source[c] != nullptr && first < in_left;
          copy_async_16(to, present ? source[c] + first : x.in.base, present);
        } else {
#pragma unroll
          for (int h = 0; h < kChunk; ++h)
            to[h] = source[c] != nullptr && first + h < in_left ? source[c][first + h] : Element(0.0f);
        }
      }
#pragma unroll
      for (int c = 0; c < kWeightCopies; ++c)
        copy_async_16(fetch_stage + weight_place[c], weight + (weight_offset[c] < 0 ? 0 : weight_offset[c]),
                      weight_offset[c] >= 0);
      weight += T::kDepth * x.padded_out;
      if (++fetch_depth == depth_steps) fetch_depth = 0;
      ++fetch_step;
      fetch_stage += T::kStageElements;
      if (fetch_stage == stages + T::kStages * T::kStageElements) fetch_stage = stages;
    }
    copies_commit();
  };

  const WarpProduct<T> warp_product(lane, warp_row, warp_column);
  float sums[T::kTiles][T::kPanels][4] = {};
  for (int s = 0; s < T::kStages - 1; ++s) fetch();
  OffsetWalk multiplied(tile);
  const bool has_columns = first_column + warp_column < x.out.channels;
  bool present = false;
  int depth = 0;
  const Element* stage = stages;
  for (int step = 0; step < steps; ++step) {
    if (depth == 0) present = tile.part_has(warp_row / kPartRows, multiplied.next()) && has_columns;
    if (++depth == depth_steps) depth = 0;
    copies_wait<T::kStages - 2>();
    __syncthreads();
    fetch();
    if (present) warp_product.multiply(stage, sums);
    stage += T::kStageElements;
    if (stage == stages + T::kStages * T::kStageElements) stage = stages;
  }

  // Sums leave by shared memory, so that a thread writes neighbouring channels.
  copies_wait<0>();
  __syncthreads();
  float* const out_stage = reinterpret_cast<float*>(dynamic_shared()) + warp * 16 * T::kSumPitch;
  constexpr int kOutChunks = T::kWarpColumns / kChunk;
#pragma unroll
  for (int m = 0; m < T::kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < T::kPanels; ++n)
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
void run(const Queue& queue, const Operands<typename T::Element>& x) {
  const std::size_t shared = T::kBytes + TileMap::bytes(x.map, x.volume, T::kRows);
  const std::int64_t blocks =
      ceil_div<std::int64_t>(x.out.count, T::kRows) * ceil_div<std::int64_t>(x.out.channels, T::kColumns);
  allow_shared<product_kernel<T, kVector>>(shared);
  launch(queue, product_kernel<T, kVector>, dim3(static_cast<unsigned>(blocks)), dim3(T::kThreads), shared, x);
}

// Tiles of 64 rows: taller ones read less, but share more offsets that few of their rows have.
void run_any(const Queue& queue, const Operands<half_t>& x, bool vector) {
  const auto either = [&]<class T>(T) { vector ? run<T, true>(queue, x) : run<T, false>(queue, x); };
  const std::int64_t columns = x.out.channels;
  if (columns <= 32) return either(Tile<half_t, 64, 32, 16, 32, 4>());
  if (columns <= 64 || !vector) return either(Tile<half_t, 64, 64, 32, 32, 4>());
  if (columns <= 96) return run<Tile<half_t, 64, 96, 48, 32, 4>, true>(queue, x);
  const bool few =
      ceil_div<std::int64_t>(x.out.count, 64) * ceil_div<std::int64_t>(columns, 128) < 4 * multiprocessors();
  if (few && x.in.channels % 64 == 0 && x.in.channels > 0) return run<Tile<half_t, 64, 128, 64, 64, 3>, true>(queue, x);
  run<Tile<half_t, 64, 128, 64, 32, 4>, true>(queue, x);
}

void run_any(const Queue& queue, const Operands<float>& x, bool vector) {
  const auto either = [&]<class T>(T) { vector ? run<T, true>(queue, x) : run<T, false>(queue, x); };
  const std::int64_t columns = x.out.channels;
  if (columns <= 32) return either(Tile<float, 64, 32, 16, 32, 3>());
  if (columns > 64 && columns <= 96 && vector) return run<Tile<float, 64, 96, 48, 32, 3>, true>(queue, x);
  either(Tile<float, 64, 64, 32, 32, 3>());
}

template <class Element>
bool in_chunks(const ConstRowView& rows) {
  return reinterpret_cast<std::uintptr_t>(rows.base) % 16 == 0 && rows.row_stride % kChunk<Element> == 0 &&
         rows.channels % kChunk<Element> == 0;
}

}  // namespace

void product(const Queue& queue, const ConstRowView& in, const RowTable& map, const DeviceWeights& weights,
             const Epilogue& epilogue, const RowView& out) {
  if (out.count == 0 || out.channels == 0) return;
  with_type("product", in.dtype, [&](auto type) {
    using Element = decltype(type);
    const Operands<Element> x{
        rows<Element>(in),
        map,
        static_cast<const Element*>(weights.data.memory()),
        static_cast<int>(weights.volume),
        static_cast<int>(weights.padded_in),
        static_cast<int>(weights.padded_out),
        RowEpilogue<Element>(epilogue),
        rows<Element>(out),
        in_chunks<Element>(out) && (epilogue.residual.base == nullptr || in_chunks<Element>(epilogue.residual))};
    run_any(queue, x, in_chunks<Element>(in));
  });
}

}  // namespace voxshift::cuda
