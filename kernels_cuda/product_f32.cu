// The product of f32 rows in plain float arithmetic, in the manner of product_f16.cu: tiles of 64 rows, 8 rows x 4
// columns a thread.
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/tile_map.h>

namespace voxshift::cuda {
namespace {

constexpr int kDepth = 16;
constexpr int kVector = 4;  // floats of one read

struct Operands {
  Rows<const float> in;
  RowTable map;
  const float* weight;  // [volume, in, out]
  int volume, in_channels, out_channels;
  int first_column, last_column;  // of the output, that are computed
  RowEpilogue<float> epilogue;
  Rows<float> out;
  bool vector_in, vector_weight;  // four channels at a time
};

// Four neighbouring floats, those from `left` on absent.
__device__ inline float4 read_four(const float* from, int left, bool vector) {
  if (left <= 0) return {0, 0, 0, 0};
  if (vector) return *reinterpret_cast<const float4*>(from);
  return {from[0], left > 1 ? from[1] : 0.0f, left > 2 ? from[2] : 0.0f, left > 3 ? from[3] : 0.0f};
}

// Of a tile. A warp has 32 of its rows and 32 of its columns; its 4 x 8 lanes have rows and columns in groups of four,
// so that neighbours read neighbouring words.
constexpr int kTileRows = 64, kRowWarps = kTileRows / kPartRows, kWarpColumns = 32;

template <int kColumns>
constexpr int kThreads = kTileRows* kColumns / kWarpColumns;

template <int kColumns>
__global__ void __launch_bounds__(kThreads<kColumns>) product_f32_kernel(Operands x) {
  constexpr int kThreads = cuda::kThreads<kColumns>;
  constexpr int kPitch = kTileRows + 4;  // of a channel of the rows in shared memory
  __shared__ __align__(16) float in_stage[2][kDepth * kPitch];
  __shared__ __align__(16) float weight_stage[2][kDepth * kColumns];
  constexpr int kInReads = kTileRows * kDepth / kVector / kThreads;  // of a thread
  constexpr int kWeightReads = kColumns * kDepth / kVector / kThreads;
  constexpr int kInRows = kThreads / (kDepth / kVector);  // that one round of reads covers

  const TileMap tile(dynamic_shared(), x.map, x.volume, kTileRows);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int column_tiles = (x.last_column - x.first_column + kColumns - 1) / kColumns;
  const int first_column = x.first_column + static_cast<int>(blockIdx.x) % column_tiles * kColumns;
  const std::int64_t row_tile = (gridDim.x - 1 - blockIdx.x) / static_cast<unsigned>(column_tiles);
  tile.load(row_tile * kTileRows, x.out.count, thread, kThreads);
  const int depth_steps = (x.in_channels + kDepth - 1) / kDepth, steps = tile.count() * depth_steps;

  const int in_channel = thread % (kDepth / kVector) * kVector, in_row = thread / (kDepth / kVector);
  const int weight_column = thread % (kColumns / kVector) * kVector, weight_channel = thread / (kColumns / kVector);
  constexpr int kWeightStep = kThreads / (kColumns / kVector);
  float4 in_next[kInReads], weight_next[kWeightReads];
  OffsetWalk fetched(tile);
  int source[kInReads] = {}, fetch_depth = 0;
  const float* weight = nullptr;
  const auto fetch = [&] {
    if (fetch_depth == 0) {
      const int bit = fetched.next();
      weight = x.weight + std::int64_t{tile.offset(bit)} * x.in_channels * x.out_channels;
#pragma unroll
      for (int c = 0; c < kInReads; ++c) source[c] = tile.source(in_row + c * kInRows, bit);
    }
    const int first = fetch_depth * kDepth;
#pragma unroll
    for (int c = 0; c < kInReads; ++c) {
      const int channel = first + in_channel;
      in_next[c] = source[c] < 0 ? float4{0, 0, 0, 0}
                                 : read_four(x.in.row(source[c]) + channel, x.in_channels - channel, x.vector_in);
    }
#pragma unroll
    for (int c = 0; c < kWeightReads; ++c) {
      const int deep = first + weight_channel + c * kWeightStep, column = first_column + weight_column;
      weight_next[c] = deep < x.in_channels ? read_four(weight + std::int64_t{deep} * x.out_channels + column,
                                                        x.out_channels - column, x.vector_weight)
                                            : float4{0, 0, 0, 0};
    }
    if (++fetch_depth == depth_steps) fetch_depth = 0;
  };
  const auto store = [&](int stage) {
#pragma unroll
    for (int c = 0; c < kInReads; ++c) {
      float* const to = in_stage[stage] + in_channel * kPitch + in_row + c * kInRows;
      to[0] = in_next[c].x;
      to[kPitch] = in_next[c].y;
      to[2 * kPitch] = in_next[c].z;
      to[3 * kPitch] = in_next[c].w;
    }
#pragma unroll
    for (int c = 0; c < kWeightReads; ++c)
      *reinterpret_cast<float4*>(weight_stage[stage] + (weight_channel + c * kWeightStep) * kColumns + weight_column) =
          weight_next[c];
  };

  const int row = warp % kRowWarps * kPartRows + lane / 8 * 4, column = warp / kRowWarps * kWarpColumns + lane % 8 * 4;
  float sums[8][4] = {};
  OffsetWalk multiplied(tile);
  bool present = false;
  int depth = 0;
  if (steps > 0) {
    fetch();
    store(0);
  }
  __syncthreads();
  for (int step = 0; step < steps; ++step) {
    if (depth == 0) present = tile.part_has(warp % kRowWarps, multiplied.next());
    if (++depth == depth_steps) depth = 0;
    if (step + 1 < steps) fetch();
    if (present) {
      const float* const rows = in_stage[step % 2] + row;
      const float* const weights = weight_stage[step % 2] + column;
#pragma unroll
      for (int i = 0; i < kDepth; ++i) {
        float a[8];
#pragma unroll
        for (int g = 0; g < 2; ++g) {
          const float4 four = *reinterpret_cast<const float4*>(rows + i * kPitch + 16 * g);
          a[4 * g] = four.x, a[4 * g + 1] = four.y, a[4 * g + 2] = four.z, a[4 * g + 3] = four.w;
        }
        const float4 b = *reinterpret_cast<const float4*>(weights + i * kColumns);
#pragma unroll
        for (int r = 0; r < 8; ++r) {
          sums[r][0] = fmaf(a[r], b.x, sums[r][0]);
          sums[r][1] = fmaf(a[r], b.y, sums[r][1]);
          sums[r][2] = fmaf(a[r], b.z, sums[r][2]);
          sums[r][3] = fmaf(a[r], b.w, sums[r][3]);
        }
      }
    }
    if (step + 1 < steps) store((step + 1) % 2);
    __syncthreads();
  }

#pragma unroll
  for (int r = 0; r < 8; ++r) {
    const int o = tile.rows[row + r / 4 * 16 + r % 4];
    if (o < 0) continue;
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const int at = first_column + column + c;
      if (at < x.out_channels) x.out.set(o, at, x.epilogue.finish(sums[r][c], o, at));
    }
  }
}

template <int kColumns>
void run(const Queue& queue, Operands x, int first_column, int last_column) {
  x.first_column = first_column;
  x.last_column = last_column;
  const std::int64_t blocks =
      ceil_div<std::int64_t>(x.out.count, kTileRows) * ceil_div<std::int64_t>(last_column - first_column, kColumns);
  const std::size_t shared = TileMap::bytes(x.map, x.volume, kTileRows);
  allow_shared<product_f32_kernel<kColumns>>(shared);
  launch(queue, product_f32_kernel<kColumns>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads<kColumns>), shared, x);
}

}  // namespace

void product_f32(const Queue& queue, const ConstRowView& in, const RowTable& map, const DeviceWeights& weights,
                 const Epilogue& epilogue, const RowView& out) {
  const auto fours = [](const void* base, std::int64_t stride, std::int64_t channels) {
    return reinterpret_cast<std::uintptr_t>(base) % 16 == 0 && stride % kVector == 0 && channels % kVector == 0;
  };
  const Operands x{rows<float>(in),
                   map,
                   weights.data.data<float>(),
                   static_cast<int>(weights.volume),
                   static_cast<int>(weights.in_channels),
                   static_cast<int>(weights.out_channels),
                   0,
                   0,
                   RowEpilogue<float>(epilogue),
                   rows<float>(out),
                   fours(in.base, in.row_stride, in.channels),
                   fours(weights.data.memory(), weights.out_channels, weights.out_channels)};
  // Of tiles of 32 to 128 rows and columns 64 x 64 is the fastest, but not where half of the last one has no columns.
  constexpr int kWide = 64, kNarrow = 32;
  const int left = x.out_channels % kWide, wide = left == 0 || left > kNarrow ? x.out_channels : x.out_channels - left;
  run<kWide>(queue, x, 0, wide);
  run<kNarrow>(queue, x, wide, x.out_channels);
}

}  // namespace voxshift::cuda
