// A block owns a tile of weights of one offset and a share of its pairs, kDepth pairs a stage: both rows of a pair are
// fetched by cp.async into a ring of stages, and in^T grad of a stage is multiplied on tensor cores. These cut off what
// others round, which adds up over a long sum: every stage is summed by itself, the stages in plain float, the shares
// in order, so that the result is the same on every run.
#include <voxshift/kernels_cuda/half_weight_gradient.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/tensor_tile.h>

#include <algorithm>

namespace voxshift::cuda {
namespace {

constexpr std::int64_t kBlocksOfHalves = 1024, kLeastPairsOfHalves = 512, kMostShares = 256;

/// A tile of kIn x kGrad weights, of which each of 2 x 2 warps has a quarter.
template <class Half_, int kIn_, int kGrad_>
struct OuterTile {
  using Half = Half_;
  static constexpr int kIn = kIn_, kGrad = kGrad_, kDepth = 32, kStages = 4, kThreads = 128;
  static constexpr int kWarpIn = kIn / 2, kWarpGrad = kGrad / 2, kTiles = kWarpIn / 16, kPanels = kWarpGrad / 8;
  static constexpr int kInElements = kDepth * kIn, kStageElements = kInElements + kDepth * kGrad;
  static constexpr std::size_t kBytes = sizeof(Half) * kStages * kStageElements;

  using Sums = float[kTiles][kPanels][4];
};

template <class Half>
struct HalfOperands {
  Rows<const Half> in, grad;
  PairLists lists;  // null `in`: row p meets row p
  int shares;
  bool in_chunks, grad_chunks;  // rows are copied 16 bytes at a time
  float* out;                   // [shares, volume, in channels, grad channels]
};

/// What a thread copies of one side of the pairs: a chunk of the tile's kWidth channels of kCopies rows.
template <class T, int kWidth>
class PairRows {
 public:
  using Half = typename T::Half;

  __device__ PairRows(const Rows<const Half>& rows, const std::int32_t* list, bool chunks, int first_channel,
                      int thread)
      : rows_(rows),
        list_(list),
        chunks_(chunks),
        row_(thread / kChunks),
        place_(place<Half, kChunks>(row_, thread % kChunks)),
        channel_(first_channel + thread % kChunks * kChunk<Half>) {}

  /// Of the stage that begins with pair `first`; rows of pairs from `end` on are absent.
  __device__ void look_up(std::int64_t first, std::int64_t end) {
#pragma unroll
    for (int c = 0; c < kCopies; ++c) {
      const std::int64_t p = first + row_ + c * kRows;
      source_[c] = p >= end ? -1 : list_ != nullptr ? list_[p] : static_cast<std::int32_t>(p);
    }
  }

  /// Starts to copy the rows looked up, zeros where there is nothing.
  __device__ void copy(Half* stage) const {
    const int left = static_cast<int>(rows_.channels) - channel_;
#pragma unroll
    for (int c = 0; c < kCopies; ++c) {
      Half* const to = stage + place_ + c * kRows * kWidth;
      const bool present = source_[c] >= 0 && left > 0;
      const Half* const from = present ? rows_.row(source_[c]) + channel_ : rows_.base;
      if (chunks_) {
        copy_async_16(to, from, present);
      } else {
#pragma unroll
        for (int h = 0; h < kChunk<Half>; ++h) to[h] = present && h < left ? from[h] : from_float<Half>(0);
      }
    }
  }

 private:
  static constexpr int kChunks = kWidth / kChunk<Half>, kRows = T::kThreads / kChunks, kCopies = T::kDepth / kRows;
  static_assert(kRows % 8 == 0 && T::kDepth % kRows == 0);
  Rows<const Half> rows_;
  const std::int32_t* list_;
  bool chunks_;
  int row_, place_, channel_;
  std::int32_t source_[kCopies];
};

/// How a warp multiplies the stages of tile T: sums[m][n][e] of lane l is in channel row + 16 m + l / 4 + 8 (e / 2),
/// grad channel column + 8 n + 2 (l % 4) + e % 2.
template <class T>
class OuterProduct {
 public:
  using Half = typename T::Half;

  __device__ OuterProduct(int lane, int row, int column) {
#pragma unroll
    for (int m = 0; m < T::kTiles; ++m)
      in_matrix_[m] = place<Half, T::kIn / 8>(lane % 8 + lane / 16 * 8, row / 8 + m * 2 + lane / 8 % 2);
#pragma unroll
    for (int n = 0; n < kMatrices; ++n)
      grad_matrix_[n] = T::kInElements + place<Half, T::kGrad / 8>(lane % 16, column / 8 + n * 2 + lane / 16);
  }

  __device__ void multiply(const Half* stage, typename T::Sums& sums) const {
    typename T::Sums of_stage = {};
#pragma unroll
    for (int step = 0; step < T::kDepth / 16; ++step) {
      std::uint32_t b[kMatrices][4];
#pragma unroll
      for (int n = 0; n < kMatrices; ++n) load_matrices<true>(b[n], stage + grad_matrix_[n] + step * 16 * T::kGrad);
#pragma unroll
      for (int m = 0; m < T::kTiles; ++m) {
        std::uint32_t a[4];
        load_matrices<true>(a, stage + in_matrix_[m] + step * 16 * T::kIn);
#pragma unroll
        for (int n = 0; n < kMatrices; ++n) {
          mma_m16n8k16<Half>(of_stage[m][2 * n], a, {b[n][0], b[n][1]});
          mma_m16n8k16<Half>(of_stage[m][2 * n + 1], a, {b[n][2], b[n][3]});
        }
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
  static constexpr int kMatrices = T::kPanels / 2;
  static_assert(T::kPanels % 2 == 0);
  int in_matrix_[T::kTiles], grad_matrix_[kMatrices];
};

template <class T>
__device__ void write_outer_sums(const typename T::Sums& sums, int row, int column, int rows, int columns, float* out) {
#pragma unroll
  for (int m = 0; m < T::kTiles; ++m)
#pragma unroll
    for (int n = 0; n < T::kPanels; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int r = row + m * 16 + e / 2 * 8, c = column + n * 8 + e % 2;
        if (r < rows && c < columns) out[std::int64_t{r} * columns + c] = sums[m][n][e];
      }
}

template <class T>
__global__ void __launch_bounds__(T::kThreads, 4)
    half_weight_gradient_kernel(HalfOperands<typename T::Half> x, int volume) {
  using Half = typename T::Half;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int in_channels = static_cast<int>(x.in.channels), grad_channels = static_cast<int>(x.grad.channels);
  const int tiles = (grad_channels + T::kGrad - 1) / T::kGrad;
  const int first_in = static_cast<int>(blockIdx.x) / tiles * T::kIn;
  const int first_grad = static_cast<int>(blockIdx.x) % tiles * T::kGrad;
  const int k = static_cast<int>(blockIdx.y), share = static_cast<int>(blockIdx.z);
  const std::int64_t start = x.lists.in != nullptr ? x.lists.starts[k] : 0;
  const std::int64_t pairs = x.lists.in != nullptr ? x.lists.starts[k + 1] - start : x.in.count;
  const std::int64_t begin = start + pairs * share / x.shares, end = start + pairs * (share + 1) / x.shares;

  auto* const stages = reinterpret_cast<Half*>(dynamic_shared());
  PairRows<T, T::kIn> in(x.in, x.lists.in, x.in_chunks, first_in, thread);
  PairRows<T, T::kGrad> grad(x.grad, x.lists.out, x.grad_chunks, first_grad, thread);
  std::int64_t fetched = begin;
  Half* fetch_stage = stages;
  in.look_up(fetched, end);
  grad.look_up(fetched, end);
  const auto fetch = [&] {
    if (fetched < end) {
      in.copy(fetch_stage);
      grad.copy(fetch_stage + T::kInElements);
      fetched += T::kDepth;
      in.look_up(fetched, end);
      grad.look_up(fetched, end);
      fetch_stage += T::kStageElements;
      if (fetch_stage == stages + T::kStages * T::kStageElements) fetch_stage = stages;
    }
    copies_commit();
  };

  const int row = warp / 2 * T::kWarpIn, column = warp % 2 * T::kWarpGrad;
  const bool present = first_in + row < in_channels && first_grad + column < grad_channels;
  const OuterProduct<T> product(lane, row, column);
  typename T::Sums sums = {};
  for (int s = 0; s < T::kStages - 1; ++s) fetch();
  const Half* stage = stages;
  for (std::int64_t first = begin; first < end; first += T::kDepth) {
    copies_wait<T::kStages - 2>();
    __syncthreads();
    fetch();
    if (present) product.multiply(stage, sums);
    stage += T::kStageElements;
    if (stage == stages + T::kStages * T::kStageElements) stage = stages;
  }
  copies_wait<0>();
  write_outer_sums<T>(sums, first_in + row + lane / 4, first_grad + column + lane % 4 * 2, in_channels, grad_channels,
                      x.out + (std::int64_t{share} * volume + k) * in_channels * grad_channels);
}

void add_shares(const Queue& queue, const float* parts, std::int64_t shares, std::int64_t weights, float* out) {
  for_each(queue, weights, [=] __device__(std::int64_t w) {
    float sum = 0;
    for (std::int64_t s = 0; s < shares; ++s) sum += parts[s * weights + w];
    out[w] = sum;
  });
}

template <class T>
void run_outer(const Queue& queue, HalfOperands<typename T::Half> x, int volume, float* out) {
  const std::int64_t weights = volume * x.in.channels * x.grad.channels;
  const std::int64_t tiles =
      ceil_div<std::int64_t>(x.in.channels, T::kIn) * ceil_div<std::int64_t>(x.grad.channels, T::kGrad);
  const std::int64_t shares = std::clamp<std::int64_t>(
      std::min(kBlocksOfHalves / (tiles * volume), std::max(x.in.count, x.grad.count) / kLeastPairsOfHalves), 1,
      kMostShares);
  const Arena::Mark mark = queue.arena().mark();
  x.shares = static_cast<int>(shares);
  x.out = shares > 1 ? queue.arena().allocate<float>(shares * weights) : out;
  launch(queue, half_weight_gradient_kernel<T>,
         dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(volume), static_cast<unsigned>(shares)),
         dim3(T::kThreads), T::kBytes, x, volume);
  if (shares > 1) add_shares(queue, x.out, shares, weights, out);
  queue.arena().rewind(mark);
}

template <class Half>
void run_halves(const Queue& queue, const Rows<const Half>& in, const Rows<const Half>& grad, const PairLists* lists,
                int volume, float* out) {
  const HalfOperands<Half> x{in, grad, lists != nullptr ? *lists : PairLists{}, 1, in_chunks(in), in_chunks(grad), out};
  const bool narrow_in = in.channels <= 32, narrow_grad = grad.channels <= 32;
  if (narrow_in && narrow_grad) return run_outer<OuterTile<Half, 32, 32>>(queue, x, volume, out);
  if (narrow_in) return run_outer<OuterTile<Half, 32, 64>>(queue, x, volume, out);
  if (narrow_grad) return run_outer<OuterTile<Half, 64, 32>>(queue, x, volume, out);
  run_outer<OuterTile<Half, 64, 64>>(queue, x, volume, out);
}

}  // namespace

void half_weight_gradient(const Queue& queue, const ConstRowView& in, const ConstRowView& grad, const PairLists* lists,
                          int volume, float* out) {
  if (in.dtype == DType::kBF16) return run_halves(queue, rows<bfloat_t>(in), rows<bfloat_t>(grad), lists, volume, out);
  run_halves(queue, rows<half_t>(in), rows<half_t>(grad), lists, volume, out);
}

}  // namespace voxshift::cuda
