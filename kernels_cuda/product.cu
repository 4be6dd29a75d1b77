// The product on tensor cores, of f16, bf16, f32 and i8 rows. A block owns a tile of output rows and
// channels and goes through the offsets that any of its rows has, a few input channels at a time: rows are fetched by
// cp.async into a ring of stages in shared memory while earlier stages are multiplied. Warps leave out 32 rows at a
// time where none of them has the offset.
#include <voxshift/kernels_cuda/dense_product.h>
#include <voxshift/kernels_cuda/elementwise.h>
#include <voxshift/kernels_cuda/product.h>
#include <voxshift/kernels_cuda/product_design.h>
#include <voxshift/kernels_cuda/product_operands.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/split_tiles.h>
#include <voxshift/kernels_cuda/tensor_tile.h>
#include <voxshift/kernels_cuda/tile_map.h>
#include <voxshift/kernels_cuda/warpgroup_product.h>

namespace voxshift::cuda {
namespace {

template <class Element, class Residual, class Out>
using Operands = ProductOperands<Element, Residual, Out>;

/// A multiprocessor shall have room for as many blocks as leave 128 registers a thread, of few sums 80; f32 has more.
template <class T>
constexpr int kBlocks = sizeof(typename T::Element) == 4                            ? (T::kWarpColumns > 32 ? 2 : 3)
                        : T::kDepth * sizeof(typename T::Element) > 64              ? 1
                        : sizeof(typename T::Element) == 2 && T::kWarpColumns == 16 ? 6
                                                                                    : 512 / T::kThreads;

// kVector: rows of `in` are multiples of 16 bytes at such addresses. Addresses are kept, not computed: a step is 32
// tensor instructions, and three times as many for its bookkeeping halved the speed.
template <class T, bool kVector, class X, class Tiles>
__global__ void __launch_bounds__(T::kThreads, kBlocks<T>) product_kernel(X x, Tiles tiles) {
  static_assert(T::kWarpRows == kPartRows);
  using Element = typename T::Element;
  constexpr int kChunk = cuda::kChunk<Element>;
  constexpr int kInChunks = T::kInChunks, kInRows = T::kInRows, kInCopies = T::kInCopies;
  constexpr int kWeightCopies = T::kWeightCopies;

  auto* const stages = reinterpret_cast<Element*>(dynamic_shared());
  const TileMap tile(dynamic_shared() + T::kBytes, x.map, x.volume, T::kRows);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
  typename Tiles::Piece piece(tiles, static_cast<int>(blockIdx.x));
  const TilePlace place(piece.tile, tiles.tiles, x.out.channels, T::kRows, T::kColumns);
  const int first_column = place.first_column;
  tile.load(place.first_row, x.out.count, thread, T::kThreads);
  const int depth_steps = ceil_div(x.padded_in, T::kDepth), steps = piece.take(tile.count()) * depth_steps;
  if (piece.is_left_out()) return;

  // What this thread copies: a chunk of kInCopies rows, whose places are kInRows apart, and kWeightCopies of weights.
  const int in_chunk = thread % kInChunks, in_row = thread / kInChunks,
            in_place = cuda::place<Element, kInChunks>(in_row, in_chunk);
  const int in_left = static_cast<int>(x.in.channels) - in_chunk * kChunk;
  constexpr int kWeightsKept = T::kEvenCopies ? 1 : kWeightCopies;
  int weight_place[kWeightsKept], weight_offset[kWeightsKept];  // -1: beyond the last column
  const int weight_rows = T::kEvenCopies ? T::kThreads / T::kWeightChunks * x.padded_out : 0;
#pragma unroll
  for (int c = 0; c < kWeightsKept; ++c) {
    const WeightChunk chunk =
        WarpProduct<T>::weight_chunk(thread + c * T::kThreads, first_column, x.padded_in, x.padded_out);
    weight_place[c] = chunk.place;
    weight_offset[c] = chunk.offset;
  }

  const auto in_stride = static_cast<std::uint32_t>(x.in.stride);
  const Element* const in_base = x.in.base + in_chunk * kChunk;
  const std::uint32_t weights_of_offset =
      static_cast<std::uint32_t>(x.padded_in) * static_cast<std::uint32_t>(x.padded_out);
  const ListedRows listed(tile);
  OffsetWalk fetched(tile, piece.first);
  int rows[kInCopies];  // negative: absent
  const Element* source[kInCopies];
  const Element* weight = nullptr;
  int fetch_depth = 0, fetch_step = 0;
  Element* fetch_stage = stages;
  const auto fetch = [&] {
    if (fetch_step < steps) {
      if (fetch_depth == 0) {
        const int bit = fetched.next();
        weight = further(x.weight, static_cast<std::uint32_t>(tile.offset(bit)), weights_of_offset);
        listed.template sources<kInRows>(in_row, bit, rows);
#pragma unroll
        for (int c = 0; c < kInCopies; ++c)
          source[c] = further(in_base, static_cast<std::uint32_t>(rows[c] >= 0 ? rows[c] : 0), in_stride);
      }
      const int first = fetch_depth * T::kDepth;
#pragma unroll
      for (int c = 0; c < kInCopies; ++c) {
        Element* const to = fetch_stage + in_place + c * kInRows * T::kDepth;
        if constexpr (kVector) {
          copy_async_16(to, source[c] + first, rows[c] >= 0 && first < in_left);
        } else {
#pragma unroll
          for (int h = 0; h < kChunk; ++h)
            to[h] = rows[c] >= 0 && first + h < in_left ? source[c][first + h] : Element(0);
        }
      }
#pragma unroll
      for (int c = 0; c < kWeightCopies; ++c) {
        const int kept = T::kEvenCopies ? 0 : c, more = T::kEvenCopies ? c : 0;
        if (T::kStageChunks % T::kThreads == 0 || thread + c * T::kThreads < T::kStageChunks)
          copy_async_16(fetch_stage + weight_place[kept] + more * T::kThreads * kChunk,
                        weight + weight_offset[kept] + more * weight_rows, weight_offset[kept] >= 0);
      }
      weight += WarpProduct<T>::weight_step(x.padded_out);
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
  OffsetWalk multiplied(tile, piece.first);
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
  mine.leave(sums, dynamic_shared(), warp, [&](int r, int c, const typename T::Sum* chunk) {
    if (piece.template leave<T::kOutChunk>(r * T::kColumns + c, T::kRows * T::kColumns, chunk)) return;
    finish_chunk<T::kOutChunk>(x, tile.rows[r], first_column + c, chunk);
  });
}

/// `split`: where its kernels are built, those of f16 and f32 rows that come out as such.
template <class T, bool kVector, class X>
void run(const Queue& queue, const X& x, bool split = false) {
  using Element = typename T::Element;
  constexpr bool kReal = std::is_same_v<Element, half_t> || std::is_same_v<Element, float>;
  if constexpr (kVector && kReal && std::is_same_v<decltype(x.out), Rows<Element>>)
    if (split && x.map.table != nullptr)
      return run_split<T, product_kernel<T, true, X, SplitTiles>>(queue, x, T::kBytes);
  run_whole<T, product_kernel<T, kVector, X, WholeTiles>>(queue, x, T::kBytes);
}

/// One of the tiles of kDepth and kStages, by the output channels.
template <int kDepth, int kStages, class X>
void run_narrow(const Queue& queue, const X& x, bool vector, bool split = false) {
  using Narrow = Tile<typename X::Element, 64, 32, 32, 16, kDepth, kStages>;
  using Wide = Tile<typename X::Element, 64, 64, 32, 32, kDepth, kStages>;
  if (x.out.channels <= 32) return vector ? run<Narrow, true>(queue, x, split) : run<Narrow, false>(queue, x);
  vector ? run<Wide, true>(queue, x, split) : run<Wide, false>(queue, x);
}

template <class X>
void run_tall(const Queue& queue, const X& x, bool split) {
  const std::int64_t columns = x.out.channels;
  if (columns <= 64) return run<Tile<half_t, 128, 64, 32, 32, 32, 4>, true>(queue, x, split);
  if (columns <= 96) return run<Tile<half_t, 128, 96, 32, 48, 32, 4>, true>(queue, x, split);
  run<Tile<half_t, 128, 128, 32, 64, 32, 4>, true>(queue, x, split);
}

// Tiles of 64 rows: taller ones read less, but share more offsets that few of their rows have.
void run_any(const Queue& queue, const Operands<half_t, Rows<const half_t>, Rows<half_t>>& x, bool vector) {
  using X = Operands<half_t, Rows<const half_t>, Rows<half_t>>;
  using Deep = Tile<half_t, 64, 128, 32, 64, 64, 3>;
  const std::int64_t columns = x.out.channels;
  const ProductDesign design = vector ? product_design() : ProductDesign();
  const bool split = design.split;
  if (design.tiles == ProductTiles::kWarpgroup && warpgroup_product(queue, x, split)) return;
  if (design.tiles == ProductTiles::kTall && columns > 32) return run_tall(queue, x, split);
  if (columns <= 64 || !vector) return run_narrow<32, 4>(queue, x, vector, split);
  if (columns <= 96) return run<Tile<half_t, 64, 96, 32, 48, 32, 4>, true>(queue, x, split);
  const bool few =
      ceil_div<std::int64_t>(x.out.count, 64) * ceil_div<std::int64_t>(columns, 128) < 4 * multiprocessors();
  if (few && !split && x.in.channels % 64 == 0 && x.in.channels > 0)
    return run_whole<Deep, product_kernel<Deep, true, X, WholeTiles>>(queue, x, Deep::kBytes);
  run<Tile<half_t, 64, 128, 32, 64, 32, 4>, true>(queue, x, split);
}

void run_any(const Queue& queue, const Operands<float, Rows<const float>, Rows<float>>& x, bool vector) {
  const std::int64_t columns = x.out.channels;
  const bool split = product_design().split;
  if (columns > 64 && columns <= 96 && vector) return run<Tile<float, 64, 96, 32, 48, 32, 3>, true>(queue, x, split);
  run_narrow<32, 3>(queue, x, vector, split);
}

// What comes out, or the residual, has another dtype than what goes in: first and last layers.
template <class Element, class Residual, class Out>
void run_any(const Queue& queue, const Operands<Element, Residual, Out>& x, bool vector) {
  run_narrow<32, sizeof(Element) == 4 ? 3 : 4>(queue, x, vector);
}

void run_any(const Queue& queue, const Operands<bfloat_t, Rows<const bfloat_t>, Rows<bfloat_t>>& x, bool vector) {
  const std::int64_t columns = x.out.channels;
  if (columns <= 64 || !vector) return run_narrow<32, 4>(queue, x, vector);
  if (columns <= 96) return run<Tile<bfloat_t, 64, 96, 32, 48, 32, 4>, true>(queue, x);
  run<Tile<bfloat_t, 64, 128, 32, 64, 32, 4>, true>(queue, x);
}

template <class Residual, class Out>
void run_any(const Queue& queue, const Operands<std::int8_t, Residual, Out>& x, bool vector) {
  const std::int64_t columns = x.out.channels;
  if (columns <= 64 || !vector) return run_narrow<64, 4>(queue, x, vector);
  if (columns <= 96) return run<Tile<std::int8_t, 64, 96, 32, 48, 64, 4>, true>(queue, x);
  run<Tile<std::int8_t, 64, 128, 32, 64, 64, 4>, true>(queue, x);
}

template <class Element, class Residual, class Out>
void run_product(const Queue& queue, const Rows<const Element>& in, const RowTable& map, const DeviceWeights& weights,
                 const RowEpilogue<Residual>& epilogue, const Out& out, bool vector_out) {
  const Operands<Element, Residual, Out> x{in,
                                           map,
                                           static_cast<const Element*>(weights.data.memory()),
                                           static_cast<const float*>(weights.multiplier.memory()),
                                           static_cast<int>(weights.volume),
                                           static_cast<int>(weights.padded_in),
                                           static_cast<int>(weights.padded_out),
                                           epilogue,
                                           out,
                                           vector_out};
  run_any(queue, x, in_chunks(in));
}

template <class Element>
void run_mixed(const Queue& queue, const Rows<const Element>& in, const RowTable& map, const DeviceWeights& weights,
               const Epilogue& epilogue, const RowView& out) {
  constexpr int kWidth = sizeof(Element) == 4 ? 4 : 8;
  const ConstRowView residual = residual_of(epilogue);
  check_numbers("product", residual);
  check_numbers("product", out);
  run_product(queue, in, map, weights, RowEpilogue(epilogue, any_rows(residual)), any_rows(out),
              in_whole_chunks(out, residual, kWidth));
}

template <class Element>
void run_plain(const Queue& queue, const Rows<const Element>& in, const RowTable& map, const DeviceWeights& weights,
               const Epilogue& epilogue, const RowView& out) {
  const ConstRowView residual = residual_of(epilogue);
  run_product(queue, in, map, weights, RowEpilogue(epilogue, rows<Element>(residual)), rows<Element>(out),
              in_whole_chunks(out, residual, kChunk<Element>));
}

}  // namespace

void product(const Queue& queue, const ConstRowView& in, const RowTable& map, const DeviceWeights& weights,
             const Epilogue& epilogue, const RowView& out) {
  if (out.count == 0 || out.channels == 0) return;
  const UnroundedRows to(queue, epilogue.activation, in.dtype, out);
  if (map.table == nullptr && dense_product(queue, in, weights, epilogue, to.rows)) {
    // done by the library
  } else if (in.dtype == DType::kI8) {
    run_mixed(queue, rows<std::int8_t>(in), map, weights, epilogue, to.rows);
  } else {
    const bool plain = all_of(in.dtype, residual_of(epilogue), to.rows);
    with_real_type("product", in.dtype, [&](auto type) {
      using Element = decltype(type);
      const auto from = rows<Element>(in);
      plain ? run_plain(queue, from, map, weights, epilogue, to.rows)
            : run_mixed(queue, from, map, weights, epilogue, to.rows);
    });
  }
  finish_function(queue, epilogue, to.rows, out);
}

}  // namespace voxshift::cuda
