// The product on tensor cores, of f16 and f32 rows. A block owns a tile of output rows and
// channels and goes through the offsets that any of its rows has, a few input channels at a time: rows are fetched by
// cp.async into a ring of stages in shared memory while earlier stages are multiplied. Warps leave out 32 rows at a
// time where none of them has the offset.
#include <voxshift/kernels_cuda/elementwise.h>
#include <voxshift/kernels_cuda/product.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/tensor_tile.h>
#include <voxshift/kernels_cuda/tile_map.h>

namespace voxshift::cuda {
namespace {

/// A multiprocessor shall have room for as many blocks as leave 128 registers a thread; f32 has more sums.
template <class T>
constexpr int kBlocks = T::kDepth > 32                     ? 1
                        : sizeof(typename T::Element) == 2 ? 512 / T::kThreads
                        : T::kWarpColumns > 32             ? 2
                                                           : 3;

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

// kVector: rows of `in` are multiples of 16 bytes at such addresses. Addresses are kept, not computed: a step is 32
// tensor instructions, and three times as many for its bookkeeping halved the speed.
template <class T, bool kVector>
__global__ void __launch_bounds__(T::kThreads, kBlocks<T>) product_kernel(Operands<typename T::Element> x) {
  static_assert(T::kWarpRows == kPartRows);
  using Element = typename T::Element;
  constexpr int kChunk = cuda::kChunk<Element>;
  constexpr int kInChunks = T::kInChunks, kInRows = T::kInRows, kInCopies = T::kInCopies;
  constexpr int kWeightChunks = T::kWeightChunks, kWeightCopies = T::kWeightCopies;

  auto* const stages = reinterpret_cast<Element*>(dynamic_shared());
  const TileMap tile(dynamic_shared() + T::kBytes, x.map, x.volume, T::kRows);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
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

  const WarpTile<T> mine(warp, thread % 32);
  typename T::Sums sums = {};
  for (int s = 0; s < T::kStages - 1; ++s) fetch();
  OffsetWalk multiplied(tile);
  const bool has_columns = first_column + mine.column < x.out.channels;
  bool present = false;
  int depth = 0;
  const Element* stage = stages;
  for (int step = 0; step < steps; ++step) {
    if (depth == 0) present = tile.part_has(mine.row / kPartRows, multiplied.next()) && has_columns;
    if (++depth == depth_steps) depth = 0;
    copies_wait<T::kStages - 2>();
    __syncthreads();
    fetch();
    if (present) mine.product.multiply(stage, sums);
    stage += T::kStageElements;
    if (stage == stages + T::kStages * T::kStageElements) stage = stages;
  }

  // Sums leave by shared memory, so that a thread writes neighbouring channels.
  copies_wait<0>();
  __syncthreads();
  mine.leave(sums, dynamic_shared(), warp, [&](int r, int c, const float* chunk) {
    const int row = tile.rows[r], column = first_column + c;
    if (row < 0 || column >= x.out.channels) return;
    write_chunk(x.out, row, column, x.epilogue.residual, row, x.vector_out, [&](int channel, float other) {
      return x.epilogue.finish_with(chunk[channel], column + channel, other);
    });
  });
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
  if (columns <= 32) return either(Tile<half_t, 64, 32, 32, 16, 32, 4>());
  if (columns <= 64 || !vector) return either(Tile<half_t, 64, 64, 32, 32, 32, 4>());
  if (columns <= 96) return run<Tile<half_t, 64, 96, 32, 48, 32, 4>, true>(queue, x);
  const bool few =
      ceil_div<std::int64_t>(x.out.count, 64) * ceil_div<std::int64_t>(columns, 128) < 4 * multiprocessors();
  if (few && x.in.channels % 64 == 0 && x.in.channels > 0)
    return run<Tile<half_t, 64, 128, 32, 64, 64, 3>, true>(queue, x);
  run<Tile<half_t, 64, 128, 32, 64, 32, 4>, true>(queue, x);
}

void run_any(const Queue& queue, const Operands<float>& x, bool vector) {
  const auto either = [&]<class T>(T) { vector ? run<T, true>(queue, x) : run<T, false>(queue, x); };
  const std::int64_t columns = x.out.channels;
  if (columns <= 32) return either(Tile<float, 64, 32, 32, 16, 32, 3>());
  if (columns > 64 && columns <= 96 && vector) return run<Tile<float, 64, 96, 32, 48, 32, 3>, true>(queue, x);
  either(Tile<float, 64, 64, 32, 32, 32, 3>());
}

}  // namespace

void product(const Queue& queue, const ConstRowView& in, const RowTable& map, const DeviceWeights& weights,
             const Epilogue& epilogue, const RowView& out) {
  if (out.count == 0 || out.channels == 0) return;
  with_type("product", in.dtype, [&](auto type) {
    using Element = decltype(type);
    const Rows<const Element> from = rows<Element>(in), residual = rows<Element>(epilogue.residual);
    const Rows<Element> to = rows<Element>(out);
    const Operands<Element> x{from,
                              map,
                              static_cast<const Element*>(weights.data.memory()),
                              static_cast<int>(weights.volume),
                              static_cast<int>(weights.padded_in),
                              static_cast<int>(weights.padded_out),
                              RowEpilogue<Element>(epilogue),
                              to,
                              in_chunks(to) && (residual.base == nullptr || in_chunks(residual))};
    run_any(queue, x, in_chunks(from));
  });
  finish_function(queue, epilogue, out);
}

}  // namespace voxshift::cuda
