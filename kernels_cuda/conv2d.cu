// 2-D convolution in plain float arithmetic, as a product whose rows are gathered on the way: number tap * in_channels
// + channel of a row meets that row of the weights. One accumulator per output, begun with the bias, so that neither
// tiles nor lists of pixels change the bits.
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/video.h>
#include <voxshift/kernels_cuda/weights.h>

#include <algorithm>

namespace voxshift::cuda {
namespace {

constexpr int kSide = 16, kThreads = kSide * kSide;

// Steps of the sum whose operands are on their way to a thread's registers: memory answers after about two steps' time.
// Where tiles are large other blocks of the multiprocessor go on meanwhile.
constexpr int steps_ahead(int each) { return each == 4 ? 2 : 4; }

// Channels [.., end) of the image; pixel (y, x) starts at base + y * pitch + x * row_stride, first channel of the image
// included.
struct Run {
  const float* base;
  std::int64_t row_stride, pitch;
  int end;
};

struct Operands {
  Run runs[3];
  ImageWindow window;
  int kernel, in_channels, out_channels;
  const std::int32_t* pixels;
  const std::uint8_t* mask;
  const float *weight, *bias;  // [kernel^2 * in_channels, out_channels]
  Rows<const float> residual;
  const std::int32_t* residual_rows;
  Activation::Kind activation;
  float slope;
  Rows<float> out;
};

// Where a window starts. Those without a pixel of the image start beyond it, by less than 32 bits.
__device__ inline int near_start(const WindowAxis& axis, std::int64_t output) {
  const std::int64_t from = axis.start(output);
  return static_cast<int>(from < -axis.kernel ? -axis.kernel : from > axis.inputs ? axis.inputs : from);
}

// A tile of kSide * kEach pixels and as many output channels; every thread has kEach x kEach of them.
template <int kEach>
__global__ void __launch_bounds__(kThreads) conv2d_kernel(Operands x) {
  constexpr int kTile = kSide * kEach, kDepth = 64 / kEach, kPitch = kTile + kEach;
  constexpr int kCopies = kTile * kDepth / kThreads;  // of a thread, of inputs as of weights
  constexpr int kAhead = steps_ahead(kEach);
  __align__(16) __shared__ float in_stage[2][kDepth * kPitch];
  __align__(16) __shared__ float weight_stage[2][kDepth * kTile];
  __shared__ int any_active;

  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t first_pixel = std::int64_t{blockIdx.x} * kTile;
  const int first_channel = static_cast<int>(blockIdx.y) * kTile;
  if (x.mask != nullptr) {
    if (thread == 0) any_active = 0;
    __syncthreads();
    if (thread < kTile && first_pixel + thread < x.out.count && x.mask[first_pixel + thread] != 0) any_active = 1;
    __syncthreads();
    if (any_active == 0) return;
  }

  // This thread fetches number `thread % kDepth` of kCopies pixels, and channel `thread % kTile` of as many rows of the
  // weights.
  const int in_number = thread % kDepth, in_pixel = thread / kDepth;
  const int weight_channel = thread % kTile, weight_row = thread / kTile;
  constexpr int kInStep = kThreads / kDepth, kWeightStep = kThreads / kTile;
  const int depth = x.kernel * x.kernel * x.in_channels, steps = (depth + kDepth - 1) / kDepth;
  const int height = static_cast<int>(x.window.rows.inputs), width = x.window.in_width;
  int top[kCopies], left[kCopies];
#pragma unroll
  for (int c = 0; c < kCopies; ++c) {
    const std::int64_t i = first_pixel + in_pixel + c * kInStep;
    top[c] = height;  // beyond the list: nothing
    left[c] = 0;
    if (i >= x.out.count) continue;
    const auto p = x.pixels != nullptr ? x.pixels[i] : static_cast<std::int32_t>(i);
    top[c] = near_start(x.window.rows, p / x.window.out_width);
    left[c] = near_start(x.window.columns, p % x.window.out_width);
  }
  float in_next[kAhead][kCopies], weight_next[kAhead][kCopies];
  const auto fetch = [&](int step, int set) {
    const int number = step * kDepth + in_number;
    const int tap = x.kernel == 1 ? 0 : number / x.in_channels, channel = number - tap * x.in_channels;
    const int down = tap / x.kernel, right = tap - down * x.kernel;
    const Run run = channel < x.runs[0].end ? x.runs[0] : channel < x.runs[1].end ? x.runs[1] : x.runs[2];
#pragma unroll
    for (int c = 0; c < kCopies; ++c) {
      const int row = top[c] + down, column = left[c] + right;
      const bool inside = number < depth && row >= 0 && row < height && column >= 0 && column < width;
      in_next[set][c] = inside ? run.base[row * run.pitch + column * run.row_stride + channel] : 0.0f;
      const int deep = step * kDepth + weight_row + c * kWeightStep, o = first_channel + weight_channel;
      weight_next[set][c] =
          deep < depth && o < x.out_channels ? x.weight[std::int64_t{deep} * x.out_channels + o] : 0.0f;
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
    const float start = x.bias != nullptr && channel + o < x.out_channels ? x.bias[channel + o] : 0.0f;
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
    const std::int64_t added = x.residual_rows != nullptr ? x.residual_rows[i] : i;
#pragma unroll
    for (int o = 0; o < kEach; ++o) {
      if (channel + o >= x.out_channels) continue;
      float sum = sums[e][o];
      if (x.residual.base != nullptr) sum += x.residual.at(added, channel + o);
      x.out.set(i, channel + o, activate(sum, x.activation, x.slope));
    }
  }
}

template <int kEach>
void launch_tiles(const Queue& queue, const Operands& x) {
  constexpr std::int64_t kTile = kSide * kEach;
  launch(queue, conv2d_kernel<kEach>,
         dim3(static_cast<unsigned>(ceil_div(x.out.count, kTile)),
              static_cast<unsigned>(ceil_div<std::int64_t>(x.out_channels, kTile))),
         dim3(kThreads), 0, x);
}

void set_runs(const ImageView& in, std::int64_t width, Operands& x) {
  std::int64_t begin = 0;
  for (int r = 0; r < 3; ++r) {
    const ChannelRun& run = in.rows.runs[static_cast<std::size_t>(std::min(r, in.rows.count - 1))];
    const std::int64_t pitch = in.border > 0 ? in.pitch : width * run.row_stride;
    if (r < in.rows.count) {
      x.runs[r] = {run.base - begin, run.row_stride, pitch, static_cast<int>(begin + run.channels)};
      begin += run.channels;
    } else {
      x.runs[r] = x.runs[r - 1];
    }
  }
}

}  // namespace

void conv2d(const Queue& queue, const Conv2dLayer& layer, Extent2d in_extent, const ImageView& in,
            const ConstRowView& residual, const std::int32_t* residual_rows, Pixels pixels, const std::uint8_t* mask,
            const RowView& out) {
  const auto& weights = static_cast<const DeviceWeights&>(*layer.weights);
  Operands x{{},
             ImageWindow(layer.window, in_extent),
             static_cast<int>(layer.window.kernel),
             static_cast<int>(weights.in_channels),
             static_cast<int>(weights.out_channels),
             pixels.rows,
             mask,
             weights.data.data<float>(),
             weights.bias_or_null(),
             rows<float>(residual),
             residual_rows,
             layer.activation.kind,
             layer.activation.slope,
             rows<float>(out)};
  x.out.count = pixels.count;
  set_runs(in, in_extent.width, x);
  // The largest tiles that occupy the device.
  const auto tiles = [&](std::int64_t side) {
    return ceil_div(pixels.count, side) * ceil_div<std::int64_t>(x.out_channels, side);
  };
  if (tiles(4 * kSide) >= multiprocessors()) {
    launch_tiles<4>(queue, x);
  } else if (tiles(2 * kSide) >= multiprocessors()) {
    launch_tiles<2>(queue, x);
  } else {
    launch_tiles<1>(queue, x);
  }
}

void fused_block(const Queue& queue, const FusedBlock& block, const ImageView& in, const ConstRowView& residual,
                 const std::uint8_t* hidden, Pixels pixels, const RowView& out) {
  const std::int64_t channels = block.first.out_channels, hidden_pixels = block.hidden().pixels();
  Arena& arena = queue.arena();
  const Arena::Mark mark = arena.mark();
  const RowView expanded{arena.allocate<float>(hidden_pixels * channels), channels, hidden_pixels, channels};
  const RowView filtered{arena.allocate<float>(pixels.count * channels), channels, pixels.count, channels};
  conv2d(queue, block.first, block.in, in, {}, nullptr, {nullptr, hidden_pixels}, hidden, expanded);
  depthwise(queue, block.depthwise, block.hidden(), expanded, pixels, filtered);
  ImageView last;
  last.rows = ConstRowView(filtered);
  conv2d(queue, block.project, {pixels.count, 1}, last, residual, pixels.rows, {nullptr, pixels.count}, nullptr, out);
  arena.rewind(mark);
}

}  // namespace voxshift::cuda
