// A block owns a tile of 64 x 64 weights of one offset and a share of its pairs; the shares are added in order, so that
// the result is the same on every run.
#include <voxshift/kernels_cuda/dense_product.h>
#include <voxshift/kernels_cuda/half_weight_gradient.h>
#include <voxshift/kernels_cuda/outer_tile.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/weight_gradient.h>

#include <algorithm>

namespace voxshift::cuda {
namespace {

constexpr int kTile = 64, kDepth = 16, kThreads = 256;  // channels of either side, pairs of a stage
constexpr std::int64_t kBlocksWanted = 1024, kLeastPairs = 512;

struct Operands {
  Rows<const float> in, grad;
  PairLists lists;  // null `in`: row p meets row p
  int shares;
  float* out;  // [shares, volume, in channels, grad channels]
};

__global__ void __launch_bounds__(kThreads, 2) weight_gradient_kernel(Operands x, int volume) {
  __shared__ float in_stage[kDepth][kTile], grad_stage[kDepth][kTile];
  const int thread = static_cast<int>(threadIdx.x);
  const int in_channels = static_cast<int>(x.in.channels), grad_channels = static_cast<int>(x.grad.channels);
  const int tiles = (grad_channels + kTile - 1) / kTile;
  const int first_in = static_cast<int>(blockIdx.x) / tiles * kTile;
  const int first_grad = static_cast<int>(blockIdx.x) % tiles * kTile;
  const int k = static_cast<int>(blockIdx.y), share = static_cast<int>(blockIdx.z);
  const std::int64_t start = x.lists.in != nullptr ? x.lists.starts[k] : 0;
  const std::int64_t pairs = x.lists.in != nullptr ? x.lists.starts[k + 1] - start : x.in.count;
  const std::int64_t begin = start + pairs * share / x.shares, end = start + pairs * (share + 1) / x.shares;

  const int row = thread / 16 * 4, column = thread % 16 * 4;
  float sums[4][4] = {};
  for (std::int64_t first = begin; first < end; first += kDepth) {
    for (int e = thread; e < kDepth * kTile; e += kThreads) {
      const int d = e / kTile, c = e % kTile;
      const std::int64_t p = first + d;
      float a = 0, b = 0;
      if (p < end) {
        if (first_in + c < in_channels) a = x.in.row(x.lists.in != nullptr ? x.lists.in[p] : p)[first_in + c];
        if (first_grad + c < grad_channels) b = x.grad.row(x.lists.out != nullptr ? x.lists.out[p] : p)[first_grad + c];
      }
      in_stage[d][c] = a;
      grad_stage[d][c] = b;
    }
    __syncthreads();
    add_outer(in_stage, grad_stage, row, column, sums);
    __syncthreads();
  }
  write_sums(sums, first_in + row, first_grad + column, in_channels, grad_channels,
             x.out + (std::int64_t{share} * volume + k) * in_channels * grad_channels);
}

}  // namespace

void weight_gradient(const Queue& queue, const ConstRowView& in, const ConstRowView& grad, const PairLists* lists,
                     int volume, float* out) {
  const std::int64_t weights = volume * in.channels * grad.channels;
  if (weights == 0) return;
  if (lists == nullptr && dense_weight_gradient(queue, in, grad, out)) return;
  if (in.dtype != DType::kF32) return half_weight_gradient(queue, in, grad, lists, volume, out);
  const std::int64_t tiles = ceil_div<std::int64_t>(in.channels, kTile) * ceil_div<std::int64_t>(grad.channels, kTile);
  const std::int64_t shares = std::clamp<std::int64_t>(
      std::min(kBlocksWanted / (tiles * volume), std::max(in.count, grad.count) / kLeastPairs), 1, 64);
  const Arena::Mark mark = queue.arena().mark();
  auto* parts = shares > 1 ? queue.arena().allocate<float>(shares * weights) : out;
  const Operands x{rows<float>(in), rows<float>(grad), lists != nullptr ? *lists : PairLists{},
                   static_cast<int>(shares), parts};
  launch(queue, weight_gradient_kernel,
         dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(volume), static_cast<unsigned>(shares)),
         dim3(kThreads), 0, x, volume);
  if (shares > 1)
    for_each(queue, weights, [=] __device__(std::int64_t w) {
      float sum = 0;
      for (std::int64_t s = 0; s < shares; ++s) sum += parts[s * weights + w];
      out[w] = sum;
    });
  queue.arena().rewind(mark);
}

}  // namespace voxshift::cuda
