// Gradients of 2-D convolutions on stacks of images. The input's is a product whose rows are picked by a table, as in
// 3-D. The weight's gathers its rows on the way: a block owns a tile of weights and a share of the output pixels; the
// shares are added in order, so that the result is the same on every run.
#include <voxshift/kernels_cuda/outer_tile.h>
#include <voxshift/kernels_cuda/product.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/video.h>

#include <algorithm>

namespace voxshift::cuda {
namespace {

constexpr int kTile = 64, kDepth = 16, kThreads = 256;  // weights of either side, pixels of a stage
constexpr std::int64_t kBlocksWanted = 1024, kLeastPixels = 512;

// Which output pixel meets an input pixel at which tap.
RowTable readers(const Queue& queue, const ImageWindow& w, std::int64_t in_rows) {
  const std::int64_t taps = w.rows.kernel * w.columns.kernel;
  const int words = RowTable::words(static_cast<int>(taps));
  auto* table = queue.arena().allocate<std::int32_t>(in_rows * taps);
  auto* masks = queue.arena().allocate<std::uint32_t>(in_rows * words);
  queue.fill(table, 0xff, static_cast<std::size_t>(in_rows * taps) * sizeof(*table));
  queue.fill(masks, 0, static_cast<std::size_t>(in_rows * words) * sizeof(*masks));
  for_each(queue, in_rows, [=] __device__(std::int64_t row) {
    const auto p = static_cast<std::int32_t>(row);
    const std::int64_t first = std::int64_t{p / w.in_pixels} * w.out_pixels;
    for_readers(w, p % w.in_pixels, [&](std::int64_t q, std::int64_t tap) {
      table[row * taps + tap] = static_cast<std::int32_t>(first + q);
      masks[row * words + tap / 32] |= std::uint32_t{1} << (tap % 32);
    });
  });
  return {table, masks, nullptr, false};
}

// [out, in, taps] as [taps, out, in].
const float* by_tap(const Queue& queue, const float* weight, std::int64_t outputs, std::int64_t inputs,
                    std::int64_t taps) {
  auto* const result = queue.arena().allocate<float>(taps * outputs * inputs);
  const std::int64_t pairs = outputs * inputs;
  for_each(queue, taps * pairs, [=] __device__(std::int64_t e) { result[e] = weight[e % pairs * taps + e / pairs]; });
  return result;
}

template <class T>
struct Operands {
  ImageWindow window;
  Rows<const T> in, grad;
  int kernel, shares;
  float* out;  // [shares, taps * in channels, out channels]
};

template <class T>
__global__ void __launch_bounds__(kThreads) conv2d_weight_gradient_kernel(Operands<T> x) {
  __align__(16) __shared__ float in_stage[kDepth][kTile];
  __align__(16) __shared__ float grad_stage[kDepth][kTile];
  const ImageWindow& w = x.window;
  const int thread = static_cast<int>(threadIdx.x);
  const int inputs = static_cast<int>(x.in.channels), outputs = static_cast<int>(x.grad.channels);
  const int numbers = x.kernel * x.kernel * inputs;
  const int first_number = static_cast<int>(blockIdx.x) * kTile, first_out = static_cast<int>(blockIdx.y) * kTile;
  const int share = static_cast<int>(blockIdx.z);
  const std::int64_t begin = x.grad.count * share / x.shares, end = x.grad.count * (share + 1) / x.shares;

  // This thread fetches number and output channel `thread % kTile` of some pixels.
  const int number = first_number + thread % kTile, channel = number % inputs, tap = number / inputs;
  const int down = tap / x.kernel, right = tap % x.kernel, o = first_out + thread % kTile;
  const int row = thread / 16 * 4, column = thread % 16 * 4;
  float sums[4][4] = {};
  for (std::int64_t first = begin; first < end; first += kDepth) {
#pragma unroll
    for (int d = thread / kTile; d < kDepth; d += kThreads / kTile) {
      float a = 0, b = 0;
      if (first + d < end) {
        const auto q = static_cast<std::int32_t>(first + d);
        const std::int32_t place = q % w.out_pixels;
        const std::int64_t in_y = w.rows.start(place / w.out_width) + down;
        const std::int64_t in_x = w.columns.start(place % w.out_width) + right;
        if (number < numbers && in_y >= 0 && in_y < w.rows.inputs && in_x >= 0 && in_x < w.columns.inputs)
          a = x.in.at(std::int64_t{q / w.out_pixels} * w.in_pixels + in_y * w.in_width + in_x, channel);
        if (o < outputs) b = x.grad.at(q, o);
      }
      in_stage[d][thread % kTile] = a;
      grad_stage[d][thread % kTile] = b;
    }
    __syncthreads();
    add_outer(in_stage, grad_stage, row, column, sums);
    __syncthreads();
  }
  write_sums(sums, first_number + row, first_out + column, numbers, outputs,
             x.out + std::int64_t{share} * numbers * outputs);
}

// parts [shares, taps, in, out], added up as [out, in, taps].
void add_shares(const Queue& queue, const float* parts, std::int64_t shares, std::int64_t taps, std::int64_t inputs,
                std::int64_t outputs, float* grad_weight) {
  const std::int64_t weights = taps * inputs * outputs;
  for_each(queue, weights, [=] __device__(std::int64_t e) {
    float sum = 0;
    for (std::int64_t s = 0; s < shares; ++s) sum += parts[s * weights + e];
    const std::int64_t o = e % outputs, i = e / outputs % inputs, tap = e / outputs / inputs;
    grad_weight[(o * inputs + i) * taps + tap] = sum;
  });
}

}  // namespace

void conv2d_input_gradient(const Queue& queue, const ImageWindow& window, const ConstRowView& grad, const float* weight,
                           const RowView& grad_in) {
  const std::int64_t inputs = grad_in.channels, outputs = grad.channels;
  const std::int64_t taps = window.rows.kernel * window.columns.kernel;
  const Arena::Mark mark = queue.arena().mark();
  const DeviceWeights weights(queue.context(), by_tap(queue, weight, outputs, inputs, taps), nullptr, taps, outputs,
                              inputs, grad.dtype, WeightOrder::kInOut);
  product(queue, grad, readers(queue, window, grad_in.count), weights, {}, grad_in);
  queue.arena().rewind(mark);
}

void conv2d_weight_gradient(const Queue& queue, const ImageWindow& window, const ConstRowView& in,
                            const ConstRowView& grad, float* grad_weight) {
  const std::int64_t taps = window.rows.kernel * window.columns.kernel;
  const std::int64_t numbers = taps * in.channels, weights = numbers * grad.channels;
  const std::int64_t rows_of_tiles = ceil_div<std::int64_t>(numbers, kTile);
  const std::int64_t columns_of_tiles = ceil_div<std::int64_t>(grad.channels, kTile);
  const std::int64_t shares = std::clamp<std::int64_t>(
      std::min(kBlocksWanted / (rows_of_tiles * columns_of_tiles), grad.count / kLeastPixels), 1, 64);
  const Arena::Mark mark = queue.arena().mark();
  auto* const parts = queue.arena().allocate<float>(shares * weights);
  with_real_type("conv2d_weight_gradient", in.dtype, [&](auto type) {
    using T = decltype(type);
    const Operands<T> x{
        window, rows<T>(in), rows<T>(grad), static_cast<int>(window.rows.kernel), static_cast<int>(shares), parts};
    launch(queue, conv2d_weight_gradient_kernel<T>,
           dim3(static_cast<unsigned>(rows_of_tiles), static_cast<unsigned>(columns_of_tiles),
                static_cast<unsigned>(shares)),
           dim3(kThreads), 0, x);
  });
  add_shares(queue, parts, shares, taps, in.channels, grad.channels, grad_weight);
  queue.arena().rewind(mark);
}

}  // namespace voxshift::cuda
