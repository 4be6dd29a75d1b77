// The part of a kernel map that a tile of output rows reads, in shared memory.
#pragma once

#include <voxshift/kernels_cuda/product.h>

namespace voxshift::cuda {

constexpr int kPartRows = 32;  // rows of a tile that one warp looks at, and may leave out

/// Shared memory of a tile: its output rows, what it has at which offset, and the rows that it reads there.
struct TileMap {
  static constexpr int kMostInShared = 32;  // offsets whose table is kept in shared memory

  const RowTable& map;
  int volume, words, tile, parts;
  std::int32_t* rows;          ///< [tile]: output rows, -1 beyond the last
  std::uint32_t* union_words;  ///< [words]: bits of the offsets that any row has
  std::uint32_t* part_words;   ///< [parts, words]: that any row of a part has
  std::int32_t* table;         ///< [tile, volume], where volume <= kMostInShared

  static __host__ __device__ std::size_t bytes(const RowTable& map, int volume, int tile) {
    const auto t = static_cast<std::size_t>(tile), w = static_cast<std::size_t>(RowTable::words(volume));
    const bool kept = map.table != nullptr && volume <= kMostInShared;
    return 4 * (t + w * (1 + t / kPartRows) + (kept ? t * static_cast<std::size_t>(volume) : 0));
  }

  __device__ TileMap(unsigned char* shared, const RowTable& given, int offsets, int tile_rows)
      : map(given), volume(offsets), words(RowTable::words(offsets)), tile(tile_rows), parts(tile_rows / kPartRows) {
    rows = reinterpret_cast<std::int32_t*>(shared);
    union_words = reinterpret_cast<std::uint32_t*>(rows + tile);
    part_words = union_words + words;
    table = reinterpret_cast<std::int32_t*>(part_words + parts * words);
  }

  /// Reads the map of the output rows order[first .. first + tile). By all threads of the block, whole warps of them at
  /// least as many as the tile has rows, or a part of that.
  __device__ void load(std::int64_t first, std::int64_t count, int thread, int threads) const {
    for (int r = thread; r < tile; r += threads) rows[r] = map.row(first + r, count);
    for (int w = thread; w < words; w += threads) union_words[w] = 0;
    __syncthreads();
    if (map.table == nullptr) {
      if (thread == 0) union_words[0] = 1;
      if (thread < parts) part_words[thread] = first + thread * kPartRows < count ? 1 : 0;
    } else {
      // The table is on its way while the masks are waited for.
      const int warp = thread / 32, lane = thread % 32;
      if (volume <= kMostInShared)
        for (int r = warp; r < tile; r += threads / 32)
          if (lane < volume) {
            if (rows[r] >= 0) {
              copy_async_4(table + r * volume + lane, map.table + std::int64_t{rows[r]} * volume + lane);
            } else {
              table[r * volume + lane] = -1;
            }
          }
      copies_commit();
      for (int e = warp; e < parts * words; e += threads / 32) {
        const int row = rows[e / words * kPartRows + lane];
        const std::uint32_t word =
            __reduce_or_sync(0xffffffffu, row >= 0 ? map.masks[std::int64_t{row} * words + e % words] : 0u);
        if (lane == 0) {
          part_words[e] = word;
          atomicOr(&union_words[e % words], word);
        }
      }
      copies_wait<0>();
    }
    __syncthreads();
  }

  /// The row that row r of the tile reads at a bit of its mask, -1 for none.
  __device__ int source(int r, int bit) const {
    if (map.table == nullptr) return rows[r];
    if (volume <= kMostInShared) return table[r * volume + bit];
    return rows[r] >= 0 ? map.table[std::int64_t{rows[r]} * volume + bit] : -1;
  }

  /// Offsets that the tile has.
  __device__ int count() const {
    int sum = 0;
    for (int w = 0; w < words; ++w) sum += __popc(union_words[w]);
    return sum;
  }

  __device__ bool part_has(int part, int bit) const {
    return (part_words[part * words + bit / 32] >> (bit % 32) & 1) != 0;
  }

  /// Where the weights of a bit are.
  __device__ int offset(int bit) const { return map.mirrored ? volume - 1 - bit : bit; }
};

/// TileMap::source() where a tile is read often: one way for tables in shared memory and for rows without a table.
class ListedRows {
 public:
  __device__ explicit ListedRows(const TileMap& tile)
      : tile_(tile),
        listed_(tile.map.table != nullptr ? tile.table : tile.rows),
        of_row_(tile.map.table != nullptr ? tile.volume : 1),
        of_bit_(tile.map.table != nullptr ? 1 : 0),
        in_shared_(tile.map.table == nullptr || tile.volume <= TileMap::kMostInShared) {}

  /// What rows first, first + kStep .. read.
  template <int kStep, int kCount>
  __device__ void sources(int first, int bit, int (&rows)[kCount]) const {
    if (in_shared_) {
      const std::int32_t* const at = listed_ + first * of_row_ + bit * of_bit_;
#pragma unroll
      for (int c = 0; c < kCount; ++c) rows[c] = at[c * kStep * of_row_];
    } else {
#pragma unroll
      for (int c = 0; c < kCount; ++c) rows[c] = tile_.source(first + c * kStep, bit);
    }
  }

 private:
  const TileMap& tile_;
  const std::int32_t* listed_;
  int of_row_, of_bit_;
  bool in_shared_;
};

/// Goes through a tile's offsets in ascending order.
class OffsetWalk {
 public:
  /// Without the first so many.
  __device__ OffsetWalk(const TileMap& tile, int left_out) : tile_(tile) {
    word_ = tile.map.mirrored ? tile.words : -1;
    mask_ = 0;
    for (int i = 0; i < left_out; ++i) next();
  }

  /// The bit of the next one, of which there must be one.
  __device__ int next() {
    while (mask_ == 0) mask_ = tile_.union_words[word_ += tile_.map.mirrored ? -1 : 1];
    const int bit = tile_.map.mirrored ? 31 - __clz(static_cast<int>(mask_)) : __ffs(static_cast<int>(mask_)) - 1;
    mask_ &= ~(1u << bit);
    return word_ * 32 + bit;
  }

 private:
  const TileMap& tile_;
  int word_;
  std::uint32_t mask_;
};

}  // namespace voxshift::cuda
