// The product of f16 rows by Hopper's warpgroups (wgmma). A block owns 128 output rows and up to 128 channels; each of
// its two warpgroups has 64 of the rows and leaves out the offsets that none of these has. Rows and weights are fetched
// by cp.async into a ring of stages, as wgmma reads them: rows of 64 or 128 bytes, whose chunks are permuted by
// place(). While a stage is multiplied, the threads fetch a later one. So tall tiles read their weights from L2, which
// is what the portable product waits for, half as often.
#include <voxshift/kernels_cuda/device.h>
#include <voxshift/kernels_cuda/split_tiles.h>
#include <voxshift/kernels_cuda/tensor_tile.h>
#include <voxshift/kernels_cuda/tile_map.h>
#include <voxshift/kernels_cuda/warpgroup_product.h>

#include <cstddef>

namespace voxshift::cuda {
namespace {

constexpr int kGroupRows = 64;                 // of a warpgroup
constexpr std::uint32_t kPatternBytes = 1024;  // the permutation of chunks repeats

/// A stage holds kRows rows of kDepth inputs, then the weights in blocks of kBlockColumns, each kDepth rows.
template <int kColumns_, int kDepth_, int kStages_>
struct WarpgroupTile {
  using Element = half_t;
  using Sum = float;
  static constexpr int kColumns = kColumns_, kDepth = kDepth_, kStages = kStages_;
  static constexpr int kRows = 128, kGroups = kRows / kGroupRows, kThreads = 128 * kGroups;
  static constexpr int kInChunks = kDepth / 8, kInRows = kThreads / kInChunks, kInCopies = kRows / kInRows;
  static constexpr int kBlockColumns = kColumns % 64 == 0 ? 64 : 32, kBlockChunks = kBlockColumns / 8;
  static constexpr int kWeightChunks = kColumns / 8, kStageChunks = kDepth * kWeightChunks;
  static constexpr int kWeightCopies = (kStageChunks + kThreads - 1) / kThreads;
  // Copies of weights after a thread's first are those of the same columns, rows that are a multiple of 8 further.
  static constexpr int kRowsOfCopy = kThreads / kWeightChunks;
  static constexpr bool kEvenCopies =
      kStageChunks % kThreads == 0 && kThreads % kWeightChunks == 0 && kRowsOfCopy % 8 == 0;
  static constexpr int kWeightsKept = kEvenCopies ? 1 : kWeightCopies;
  static constexpr int kInElements = kRows * kDepth, kStageElements = kInElements + kDepth * kColumns;
  static constexpr int kStageBytes = 2 * kStageElements;

  // Of a warp, for leave_tile().
  using Sums = float[1][kColumns / 8][4];
  static constexpr int kTiles = 1, kPanels = kColumns / 8, kWarpColumns = kColumns, kOutChunk = 8;
  static constexpr int kSumPitch = kWarpColumns + 4;
  static constexpr std::size_t kRingBytes = std::size_t{kStageBytes} * kStages;
  static constexpr std::size_t kSumBytes = sizeof(float) * (kThreads / 32) * 16 * kSumPitch;
  static constexpr std::size_t kBytes = kRingBytes > kSumBytes ? kRingBytes : kSumBytes;
  static_assert(kInRows <= kGroupRows && kStageBytes % kPatternBytes == 0 && 2 * kInElements % kPatternBytes == 0);

  /// Place of a chunk of 8 weights: row k of the stage, columns 8 chunk and on.
  static __device__ int weight_place(int k, int chunk) {
    return kInElements + chunk / kBlockChunks * kDepth * kBlockColumns +
           place<half_t, kBlockChunks>(k, chunk % kBlockChunks);
  }
};

/// A matrix of a stage: rows of kRowBytes, eight of which lie `stride` bytes from the next eight, and kRowBytes of
/// columns `leading` bytes from the next. Addresses are those of shared memory, below 256 KB.
template <int kRowBytes>
struct StageMatrix {
  static_assert(kRowBytes == 128 || kRowBytes == 64);
  std::uint32_t low, high;

  __device__ StageMatrix(std::uint32_t address, std::uint32_t leading, std::uint32_t stride)
      : low(address / 16 | leading / 16 << 16), high(stride / 16 | (kRowBytes == 128 ? 1u : 2u) << 30) {}

  /// The descriptor of the matrix so many bytes further.
  __device__ std::uint64_t descriptor(std::uint32_t bytes) const {
    return std::uint64_t{high} << 32 | (low + bytes / 16);
  }
};

/// What a warpgroup multiplies of the stages of a ring.
template <class T>
class WarpgroupOperands {
 public:
  __device__ WarpgroupOperands(std::uint32_t ring, int group)
      : in_(ring + static_cast<std::uint32_t>(group) * (2 * kGroupRows * T::kDepth), 16, 8 * 2 * T::kDepth),
        weight_(ring + 2 * T::kInElements, 2 * T::kDepth * T::kBlockColumns, 8 * 2 * T::kBlockColumns) {}

  /// Starts sums += inputs * weights of a stage, depth in ascending 16s.
  __device__ void multiply(int stage, typename T::Sums& sums) const {
    const std::uint32_t first = static_cast<std::uint32_t>(stage) * T::kStageBytes;
    warpgroup_begin();
#pragma unroll
    for (std::uint32_t step = 0; step < T::kDepth / 16; ++step)
      warpgroup_product<T::kColumns>(sums[0], in_.descriptor(first + step * 32),
                                     weight_.descriptor(first + step * (16 * 2 * T::kBlockColumns)));
    warpgroup_commit();
  }

 private:
  StageMatrix<2 * T::kDepth> in_;
  StageMatrix<2 * T::kBlockColumns> weight_;
};

template <class T, class X, class Tiles>
__global__ void __launch_bounds__(T::kThreads, 2) warpgroup_product_kernel(X x, Tiles tiles) {
  unsigned char* const shared =
      dynamic_shared() + (kPatternBytes - shared_address(dynamic_shared()) % kPatternBytes) % kPatternBytes;
  auto* const stages = reinterpret_cast<half_t*>(shared);
  const TileMap tile(shared + T::kBytes, x.map, x.volume, T::kRows);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, group = warp / 4;
  typename Tiles::Piece piece(tiles, static_cast<int>(blockIdx.x));
  const TilePlace place(piece.tile, tiles.tiles, x.out.channels, T::kRows, T::kColumns);
  const int first_column = place.first_column;
  tile.load(place.first_row, x.out.count, thread, T::kThreads);
  const int depth_steps = ceil_div(x.padded_in, T::kDepth), steps = piece.take(tile.count()) * depth_steps;
  if (piece.is_left_out()) return;
  const auto group_has = [&](int g, int bit) {
    constexpr int kParts = kGroupRows / kPartRows;
    bool any = false;
    for (int part = g * kParts; part < (g + 1) * kParts; ++part) any = any || tile.part_has(part, bit);
    return any;
  };

  const int in_chunk = thread % T::kInChunks, in_row = thread / T::kInChunks,
            in_place = cuda::place<half_t, T::kInChunks>(in_row, in_chunk);
  const int in_left = static_cast<int>(x.in.channels) - in_chunk * 8;
  int weight_place[T::kWeightsKept], weight_offset[T::kWeightsKept];  // -1: beyond the last column
  const int weight_rows = T::kEvenCopies ? T::kRowsOfCopy * x.padded_out : 0;
#pragma unroll
  for (int c = 0; c < T::kWeightsKept; ++c) {
    const int e = thread + c * T::kThreads, k = e / T::kWeightChunks, chunk = e % T::kWeightChunks;
    weight_place[c] = T::weight_place(k, chunk);
    weight_offset[c] = first_column + chunk * 8 < x.padded_out ? k * x.padded_out + first_column + chunk * 8 : -1;
  }

  const auto in_stride = static_cast<std::uint32_t>(x.in.stride);
  const half_t* const in_base = x.in.base + in_chunk * 8;
  const std::uint32_t weights_of_offset =
      static_cast<std::uint32_t>(x.padded_in) * static_cast<std::uint32_t>(x.padded_out);
  const ListedRows listed(tile);
  OffsetWalk fetched(tile, piece.first);
  int rows[T::kInCopies];  // negative: absent
  const half_t* source[T::kInCopies];
  bool read[T::kGroups];  // by the warpgroup
  const half_t* weight = nullptr;
  int fetch_depth = 0, fetch_step = 0, fetch_stage = 0;
  const auto fetch = [&] {
    if (fetch_step < steps) {
      if (fetch_depth == 0) {
        const int bit = fetched.next();
        weight = further(x.weight, static_cast<std::uint32_t>(tile.offset(bit)), weights_of_offset);
#pragma unroll
        for (int g = 0; g < T::kGroups; ++g) read[g] = group_has(g, bit);
        listed.sources<T::kInRows>(in_row, bit, rows);
#pragma unroll
        for (int c = 0; c < T::kInCopies; ++c)
          source[c] = further(in_base, static_cast<std::uint32_t>(rows[c] >= 0 ? rows[c] : 0), in_stride);
      }
      half_t* const stage = stages + fetch_stage * T::kStageElements;
      const int first = fetch_depth * T::kDepth;
#pragma unroll
      for (int c = 0; c < T::kInCopies; ++c) {
        if (!read[c * T::kInRows / kGroupRows]) continue;
        copy_async_16(stage + in_place + c * T::kInRows * T::kDepth, source[c] + first,
                      rows[c] >= 0 && first < in_left);
      }
#pragma unroll
      for (int c = 0; c < T::kWeightCopies; ++c) {
        const int kept = T::kEvenCopies ? 0 : c, more = T::kEvenCopies ? c : 0;
        if (T::kStageChunks % T::kThreads == 0 || thread + c * T::kThreads < T::kStageChunks)
          copy_async_16(stage + weight_place[kept] + more * T::kRowsOfCopy * T::kBlockColumns,
                        weight + weight_offset[kept] + more * weight_rows, weight_offset[kept] >= 0);
      }
      weight += T::kDepth * x.padded_out;
      if (++fetch_depth == depth_steps) fetch_depth = 0;
      if (++fetch_stage == T::kStages) fetch_stage = 0;
      ++fetch_step;
    }
    copies_commit();
  };

  const WarpgroupOperands<T> operands(shared_address(shared), group);
  typename T::Sums sums = {};
  for (int s = 0; s < T::kStages - 1; ++s) fetch();
  OffsetWalk multiplied(tile, piece.first);
  bool present = false;
  int depth = 0, stage = 0;
  for (int step = 0; step < steps; ++step) {
    if (depth == 0) present = group_has(group, multiplied.next());
    if (++depth == depth_steps) depth = 0;
    copies_wait<T::kStages - 2>();
    show_to_warpgroups();
    warpgroup_wait();  // the stage before, which fetch() overwrites
    __syncthreads();
    if (present) operands.multiply(stage, sums);
    fetch();
    if (++stage == T::kStages) stage = 0;
  }

  copies_wait<0>();
  warpgroup_wait();
  __syncthreads();
  leave_tile<T>(sums, shared, warp, thread % 32, warp * 16, 0, [&](int r, int c, const float* chunk) {
    if (piece.template leave<T::kOutChunk>(r * T::kColumns + c, T::kRows * T::kColumns, chunk)) return;
    finish_chunk<T::kOutChunk>(x, tile.rows[r], first_column + c, chunk);
  });
}

template <class T, class X>
void run_warpgroups(const Queue& queue, const X& x, bool split) {
  constexpr std::size_t kBytes = kPatternBytes + T::kBytes;
  if (split && x.map.table != nullptr)
    return run_split<T, warpgroup_product_kernel<T, X, SplitTiles>>(queue, x, kBytes);
  run_whole<T, warpgroup_product_kernel<T, X, WholeTiles>>(queue, x, kBytes);
}

template <int kDepth, int kStages, class X>
void run_warpgroups_of_depth(const Queue& queue, const X& x, bool split) {
  const std::int64_t columns = x.out.channels;
  if (columns <= 32) return run_warpgroups<WarpgroupTile<32, kDepth, kStages>>(queue, x, split);
  if (columns <= 64) return run_warpgroups<WarpgroupTile<64, kDepth, kStages>>(queue, x, split);
  if (columns <= 96) return run_warpgroups<WarpgroupTile<96, kDepth, kStages>>(queue, x, split);
  run_warpgroups<WarpgroupTile<128, kDepth, kStages>>(queue, x, split);
}

}  // namespace

// Two blocks share a multiprocessor: at most 112 KB each.
bool warpgroup_product(const Queue& queue, const ProductOperands<half_t, Rows<const half_t>, Rows<half_t>>& x,
                       bool split) {
  if (!has_warpgroups()) return false;
  x.padded_in % 64 == 0 ? run_warpgroups_of_depth<64, 3>(queue, x, split)
                        : run_warpgroups_of_depth<32, 4>(queue, x, split);
  return true;
}

}  // namespace voxshift::cuda
