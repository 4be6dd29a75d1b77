// Tiles that several blocks split (split K). A layer takes at least as long as its longest tile, which has all 27
// offsets of a 3^3 window where most have a few; where tiles are few, all multiprocessors but some wait for it. So each
// of several blocks sums a piece of the tile's offsets, and a second kernel adds the pieces in their order.
#pragma once

#include <voxshift/kernels_cuda/product_operands.h>
#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/kernels_cuda/tensor_tile.h>
#include <voxshift/kernels_cuda/tile_map.h>

#include <algorithm>
#include <cstdint>

namespace voxshift::cuda {

/// A launch each of whose blocks has a tile of its own.
struct WholeTiles {
  int tiles;

  /// Some of the offsets that a tile has, from `first` on.
  struct Piece {
    static constexpr int first = 0;
    int tile;

    __device__ Piece(const WholeTiles&, int block) : tile(block) {}

    /// How many of so many.
    __device__ int take(int offsets) const { return offsets; }

    /// Whether the block has nothing to do.
    __device__ bool is_left_out() const { return false; }

    /// Whether neighbouring sums were left for add_pieces_kernel().
    template <int kWidth, class Sum>
    __device__ bool leave(int /*place*/, int /*tile_size*/, const Sum*) const {
      return false;
    }
  };
};

/// A launch that splits the first of its tiles, which have the most offsets, since rows are ordered by them.
struct SplitTiles {
  int tiles;
  int split = 0;                   ///< so many of them may be split
  int most = 1;                    ///< among so many blocks
  int offsets = 0;                 ///< a piece has no more, unless `most` pieces are not enough
  float* sums = nullptr;           ///< [split, most, rows of a tile, columns of a tile]
  std::int32_t* pieces = nullptr;  ///< [split]: of each

  __host__ __device__ int blocks() const { return tiles + split * (most - 1); }

  struct Piece {
    const SplitTiles& of;
    int tile, index, pieces = 1, first = 0;

    __device__ Piece(const SplitTiles& tiles, int block) : of(tiles) {
      const bool may_split = block < of.split * of.most;
      tile = may_split ? block / of.most : block - of.split * (of.most - 1);
      index = may_split ? block % of.most : 0;
    }

    __device__ int take(int all) {
      if (tile < of.split) {
        pieces = ceil_div(all, of.offsets);
        pieces = pieces < 1 ? 1 : pieces < of.most ? pieces : of.most;
        if (index == 0 && threadIdx.x == 0) of.pieces[tile] = pieces;
      }
      first = all * index / pieces;
      return index < pieces ? all * (index + 1) / pieces - first : 0;
    }

    __device__ bool is_left_out() const { return index >= pieces; }

    template <int kWidth>
    __device__ bool leave(int place, int tile_size, const float* chunk) const {
      if (pieces == 1) return false;
      float numbers[kWidth];
#pragma unroll
      for (int i = 0; i < kWidth; ++i) numbers[i] = chunk[i];
      store_pack(numbers, of.sums + (std::int64_t{tile} * of.most + index) * tile_size + place);
      return true;
    }
  };
};

// Longer pieces where there are blocks for all multiprocessors anyway: a piece costs as much as some steps beside its
// own.
constexpr int kMostPieces = 4, kFewTiles = 3, kTilesSplit = 4;  // the latter two: of a multiprocessor
constexpr int kOffsetsOfFew = 7, kOffsetsOfMany = 14, kLeastSteps = 14;

/// For tiles of so many rows and columns, each offset of which has so many steps. Memory is the arena's.
inline SplitTiles split_tiles(const Queue& queue, int tiles, int rows, int columns, int volume, int depth_steps) {
  const bool few = tiles <= kFewTiles * multiprocessors();
  SplitTiles x{tiles};
  x.offsets = std::max(few ? kOffsetsOfFew : kOffsetsOfMany, ceil_div(kLeastSteps, std::max(depth_steps, 1)));
  x.most = std::clamp(ceil_div(volume, x.offsets), 1, kMostPieces);
  if (x.most == 1) return x;
  x.split = std::min(tiles, kTilesSplit * multiprocessors());
  x.sums = queue.arena().allocate<float>(std::int64_t{x.split} * x.most * rows * columns);
  x.pieces = queue.arena().allocate<std::int32_t>(x.split);
  return x;
}

// A block finishes a tile that may be split, where it was.
template <int kWidth, class X>
__global__ void add_pieces_kernel(X x, SplitTiles tiles, int rows, int columns) {
  const int tile = static_cast<int>(blockIdx.x), pieces = tiles.pieces[tile], tile_size = rows * columns;
  if (pieces == 1) return;
  const TilePlace place(tile, tiles.tiles, x.out.channels, rows, columns);
  const float* const sums = tiles.sums + std::int64_t{tile} * tiles.most * tile_size;
  for (int e = static_cast<int>(threadIdx.x) * kWidth; e < tile_size; e += static_cast<int>(blockDim.x) * kWidth) {
    float sum[kWidth] = {};
    for (int piece = 0; piece < pieces; ++piece) {
      float of_piece[kWidth];
      load_pack(sums + piece * tile_size + e, of_piece);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) sum[i] += of_piece[i];
    }
    const std::int32_t row = x.map.row(place.first_row + e / columns, x.out.count);
    finish_chunk<kWidth>(x, row, place.first_column + e % columns, sum);
  }
}

template <class T, class X>
int tiles_of(const X& x) {
  return static_cast<int>(ceil_div<std::int64_t>(x.out.count, T::kRows) *
                          ceil_div<std::int64_t>(x.out.channels, T::kColumns));
}

template <class T, auto kKernel, class X, class Tiles>
void launch_tiles(const Queue& queue, const X& x, const Tiles& tiles, int blocks, std::size_t bytes) {
  bytes += TileMap::bytes(x.map, x.volume, T::kRows);
  allow_shared<kKernel>(bytes);
  launch(queue, kKernel, dim3(static_cast<unsigned>(blocks)), dim3(T::kThreads), bytes, x, tiles);
}

/// Runs kKernel(x, WholeTiles) for tiles T with so many bytes of shared memory beside those of the map.
template <class T, auto kKernel, class X>
void run_whole(const Queue& queue, const X& x, std::size_t bytes) {
  const WholeTiles tiles{tiles_of<T>(x)};
  launch_tiles<T, kKernel>(queue, x, tiles, tiles.tiles, bytes);
}

/// The same of kKernel(x, SplitTiles), and finishes what was split.
template <class T, auto kKernel, class X>
void run_split(const Queue& queue, const X& x, std::size_t bytes) {
  constexpr int kAddThreads = 256;
  const Arena::Mark mark = queue.arena().mark();
  const SplitTiles tiles =
      split_tiles(queue, tiles_of<T>(x), T::kRows, T::kColumns, x.volume, ceil_div(x.padded_in, T::kDepth));
  launch_tiles<T, kKernel>(queue, x, tiles, tiles.blocks(), bytes);
  launch(queue, add_pieces_kernel<T::kOutChunk, X>, dim3(static_cast<unsigned>(tiles.split)), dim3(kAddThreads), 0, x,
         tiles, T::kRows, T::kColumns);
  queue.arena().rewind(mark);
}

}  // namespace voxshift::cuda
