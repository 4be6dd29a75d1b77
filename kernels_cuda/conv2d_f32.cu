// 2-D convolution in plain float arithmetic.
#include <voxshift/kernels_cuda/conv2d.h>

namespace voxshift::cuda {
namespace {

constexpr int kSide = 16, kThreads = kSide * kSide;

// Steps of the sum whose operands are on their way to a thread's registers: memory answers after about two steps' time.
// Where tiles are large other blocks of the multiprocessor go on meanwhile.
constexpr int steps_ahead(int each) { return each == 4 ? 2 : 4; }

// A tile of kSide * kEach pixels and as many output channels; every thread has kEach x kEach of them.
template <int kEach, class Operands>
__global__ void __launch_bounds__(kThreads) conv2d_f32_kernel(Operands x) {
  constexpr int kTile = kSide * kEach, kDepth = 64 / kEach, kPitch = kTile + kEach;
  constexpr int kCopies = kTile * kDepth / kThreads;  // of a thread, of inputs as of weights
  constexpr int kAhead = steps_ahead(kEach);
  __align__(16) __shared__ float in_stage[2][kDepth * kPitch];
  __align__(16) __shared__ float weight_stage[2][kDepth * kTile];

  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t first_pixel = std::int64_t{blockIdx.x} * kTile;
  const int first_channel = static_cast<int>(blockIdx.y) * kTile;
  if (x.mask != nullptr && !any_active<kTile>(x, first_pixel)) return;

  // This thread fetches number `thread % kDepth` of kCopies pixels, and channel `thread % kTile` of as many rows of the
  // weights.
  const int in_number = thread % kDepth, in_pixel = thread / kDepth;
  const int weight_channel = thread % kTile, weight_row = thread / kTile;
  constexpr int kInStep = kThreads / kDepth, kWeightStep = kThreads / kTile;
  const int depth = x.depth(), steps = (depth + kDepth - 1) / kDepth;
  int top[kCopies], left[kCopies];
#pragma unroll
  for (int c = 0; c < kCopies; ++c) x.start(first_pixel + in_pixel + c * kInStep, top[c], left[c]);
  float in_next[kAhead][kCopies], weight_next[kAhead][kCopies];
  const auto fetch = [&](int step, int set) {
    const int number = step * kDepth + in_number;
    const int tap = x.kernel == 1 ? 0 : number / x.in_channels, channel = number - tap * x.in_channels;
    const int down = tap / x.kernel, right = tap - down * x.kernel;
    const auto run = x.run_of(channel);
#pragma unroll
    for (int c = 0; c < kCopies; ++c) {
      const int row = top[c] + down, column = left[c] + right;
      in_next[set][c] = number < depth && x.inside(row, column) ? run.pixel(row, column)[channel] : 0.0f;
      const int deep = step * kDepth + weight_row + c * kWeightStep, o = first_channel + weight_channel;
      weight_next[set][c] = deep < depth && o < x.out_channels ? x.weight[std::int64_t{deep} * x.padded_out + o] : 0.0f;
    }
  };
  const auto store = [&](int stage, int set) {
#pragma unroll
    for (int c = 0; c < kCopies; ++c) {
      in_stage[stage][in_number * kPitch + in_pixel + c * kInStep] = in_next[set][c];
      weight_stage[stage][(weight_row + c * kWeightStep) * kTile + weight_channel] = weight_next[set][c];
    }
  };

  const int pixel = thread / kSide * kEach, channel = first_channel + thread % kSide * kEach;
  float sums[kEach][kEach];
#pragma unroll
  for (int o = 0; o < kEach; ++o) {
    const float start = x.bias_of(channel + o);
#pragma unroll
    for (int i = 0; i < kEach; ++i) sums[i][o] = start;
  }
#pragma unroll
  for (int set = 0; set < kAhead; ++set) fetch(set, set);
  store(0, 0);
  __syncthreads();
  for (int first = 0; first < steps; first += kAhead) {
#pragma unroll
    for (int set = 0; set < kAhead; ++set) {
      const int step = first + set;
      if (step >= steps) break;
      fetch(step + kAhead, set);
      const float* const inputs = in_stage[step % 2] + pixel;
      const float* const weights = weight_stage[step % 2] + thread % kSide * kEach;
#pragma unroll
      for (int k = 0; k < kDepth; ++k) {
        float a[kEach], b[kEach];
#pragma unroll
        for (int e = 0; e < kEach; ++e) {
          a[e] = inputs[k * kPitch + e];
          b[e] = weights[k * kTile + e];
        }
#pragma unroll
        for (int i = 0; i < kEach; ++i)
#pragma unroll
          for (int o = 0; o < kEach; ++o) sums[i][o] = fmaf(a[i], b[o], sums[i][o]);
      }
      if (step + 1 < steps) store((step + 1) % 2, (set + 1) % kAhead);
      __syncthreads();
    }
  }

#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const std::int64_t i = first_pixel + pixel + e;
    if (i >= x.out.count) continue;
#pragma unroll
    for (int o = 0; o < kEach; ++o) {
      if (channel + o >= x.out_channels) continue;
      const float other = x.residual.base != nullptr ? x.residual.at(x.residual_row(i), channel + o) : 0.0f;
      x.out.set(i, channel + o, x.finish(sums[e][o], channel + o, other));
    }
  }
}

template <int kEach, class Operands>
void launch_tiles(const Queue& queue, const Operands& x) {
  constexpr std::int64_t kTile = kSide * kEach;
  launch(queue, conv2d_f32_kernel<kEach, Operands>,
         dim3(static_cast<unsigned>(ceil_div(x.out.count, kTile)),
              static_cast<unsigned>(ceil_div<std::int64_t>(x.out_channels, kTile))),
         dim3(kThreads), 0, x);
}

// The largest tiles that occupy the device.
template <class Operands>
void run_tiles(const Queue& queue, const Operands& x) {
  if (occupies(x.out.count, x.out_channels, 4 * kSide, 4 * kSide)) return launch_tiles<4>(queue, x);
  if (occupies(x.out.count, x.out_channels, 2 * kSide, 2 * kSide)) return launch_tiles<2>(queue, x);
  launch_tiles<1>(queue, x);
}

}  // namespace

void run_conv2d(const Queue& queue, const PlainConv2d<float>& x) { run_tiles(queue, x); }
void run_conv2d(const Queue& queue, const MixedConv2d<float>& x) { run_tiles(queue, x); }

}  // namespace voxshift::cuda
