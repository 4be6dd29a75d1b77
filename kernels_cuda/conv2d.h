// What the kernels of the 2-D convolution share: it is a product whose rows are gathered on the way, number tap *
// in_channels + channel of a row meets that row of the weights. One accumulator per output, begun with the bias, so
// that neither tiles nor lists of pixels change the bits.
#pragma once

#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/video.h>
#include <voxshift/kernels_cuda/weights.h>

#include <algorithm>
#include <cstdint>

namespace voxshift::cuda {

/// Channels [.., end) of the image; pixel (y, x) starts at base + y * pitch + x * row_stride, first channel of the
/// image included.
template <class T>
struct Conv2dRun {
  const T* base;
  std::int64_t row_stride, pitch;
  int end;

  __device__ const T* pixel(int y, int x) const { return base + y * pitch + x * row_stride; }
};

template <class T, class Residual_, class Out_>
struct Conv2dOperands {
  using Element = T;
  using Residual = Residual_;
  using Out = Out_;

  Conv2dRun<T> runs[3];
  ImageWindow window;
  int kernel, in_channels, out_channels, padded_in, padded_out;
  const std::int32_t* pixels;
  const std::uint8_t* mask;
  const T* weight;                 // [kernel^2 * in_channels, padded_out], of i8 [padded_out, padded_in]
  const float *bias, *multiplier;  // the multiplier of i8
  Residual residual;
  const std::int32_t* residual_rows;
  Activation::Kind activation;
  float slope;
  Out out;

  __device__ int depth() const { return kernel * kernel * in_channels; }
  __device__ Conv2dRun<T> run_of(int channel) const {
    return channel < runs[0].end ? runs[0] : channel < runs[1].end ? runs[1] : runs[2];
  }
  /// Where the window of output i of the list starts; beyond the list: where it meets no pixel.
  __device__ void start(std::int64_t i, int& top, int& left) const {
    top = static_cast<int>(window.rows.inputs);
    left = 0;
    if (i >= out.count) return;
    const auto p = pixels != nullptr ? pixels[i] : static_cast<std::int32_t>(i);
    top = near_start(window.rows, p / window.out_width);
    left = near_start(window.columns, p % window.out_width);
  }
  __device__ bool inside(int y, int x) const {
    return y >= 0 && y < static_cast<int>(window.rows.inputs) && x >= 0 && x < window.in_width;
  }
  __device__ std::int64_t residual_row(std::int64_t i) const { return residual_rows != nullptr ? residual_rows[i] : i; }
  __device__ float bias_of(int channel) const {
    return bias != nullptr && channel < out_channels ? bias[channel] : 0.0f;
  }
  /// Of a sum that began with the bias.
  __device__ float finish(float sum, int, float other) const { return activate(sum + other, activation, slope); }
  /// Of i8 products.
  __device__ float finish(std::int32_t sum, int channel, float other) const {
    return activate(static_cast<float>(sum) * multiplier[channel] + bias_of(channel) + other, activation, slope);
  }
  /// The same of neighbouring channels.
  template <int kWidth, class Sum>
  __device__ void finish(const Sum* sums, int channel, const float (&others)[kWidth], float (&x)[kWidth]) const {
#pragma unroll
    for (int c = 0; c < kWidth; ++c) {
      x[c] = static_cast<float>(sums[c]);
      if constexpr (std::is_same_v<Sum, std::int32_t>) x[c] = x[c] * multiplier[channel + c] + bias_of(channel + c);
      x[c] += others[c];
    }
    activate(x, activation, slope);
  }

 private:
  // Windows without a pixel of the image start beyond it, by less than 32 bits.
  __device__ static int near_start(const WindowAxis& axis, std::int64_t output) {
    const std::int64_t from = axis.start(output);
    return static_cast<int>(from < -axis.kernel ? -axis.kernel : from > axis.inputs ? axis.inputs : from);
  }
};

/// Whether a tile of kRows outputs from `first` on has an active one. For all threads of the block.
template <int kRows, class Operands>
__device__ bool any_active(const Operands& x, std::int64_t first) {
  __shared__ int any;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) any = 0;
  __syncthreads();
  if (thread < kRows && first + thread < x.out.count && x.mask[first + thread] != 0) atomicOr(&any, 1);
  __syncthreads();
  return any != 0;
}

/// What a call of cuda::conv2d() has beside its layer and the rows it adds and gives.
struct Conv2dCall {
  Extent2d in_extent;
  const ImageView& in;
  const std::int32_t* residual_rows;
  Pixels pixels;
  const std::uint8_t* mask;
};

template <class T, class Residual, class Out>
Conv2dOperands<T, Residual, Out> conv2d_operands(const Conv2dLayer& layer, const DeviceWeights& weights,
                                                 const Conv2dCall& call, const Residual& residual, const Out& out) {
  const ImageView& in = call.in;
  Conv2dOperands<T, Residual, Out> x{{},
                                     ImageWindow(layer.window, call.in_extent),
                                     static_cast<int>(layer.window.kernel),
                                     static_cast<int>(weights.in_channels),
                                     static_cast<int>(weights.out_channels),
                                     static_cast<int>(weights.padded_in),
                                     static_cast<int>(weights.padded_out),
                                     call.pixels.rows,
                                     call.mask,
                                     static_cast<const T*>(weights.data.memory()),
                                     weights.bias_or_null(),
                                     static_cast<const float*>(weights.multiplier.memory()),
                                     residual,
                                     call.residual_rows,
                                     layer.activation.kind,
                                     layer.activation.slope,
                                     out};
  x.out.count = call.pixels.count;
  std::int64_t begin = 0;
  for (int r = 0; r < 3; ++r) {
    const ChannelRun& run = in.rows.runs[static_cast<std::size_t>(std::min(r, in.rows.count - 1))];
    if (r < in.rows.count) {
      x.runs[r] = {static_cast<const T*>(run.base) - begin, run.row_stride,
                   in.border > 0 ? in.pitch : call.in_extent.width * run.row_stride,
                   static_cast<int>(begin + run.channels)};
      begin += run.channels;
    } else {
      x.runs[r] = x.runs[r - 1];
    }
  }
  return x;
}

/// Whether tiles of so many pixels and channels are enough to occupy the device.
inline bool occupies(std::int64_t pixels, std::int64_t channels, std::int64_t tile_pixels, std::int64_t tile_channels) {
  return ceil_div(pixels, tile_pixels) * ceil_div(channels, tile_channels) >= multiprocessors();
}

template <class T>
using PlainConv2d = Conv2dOperands<T, Rows<const T>, Rows<T>>;
template <class T>
using MixedConv2d = Conv2dOperands<T, AnyRows<const std::byte>, AnyRows<std::byte>>;

// conv2d_f32.cu
void run_conv2d(const Queue&, const PlainConv2d<float>&);
void run_conv2d(const Queue&, const MixedConv2d<float>&);

// conv2d_tiles.cu. `whole`: the residual and what comes out are in packs of 8 channels.
void run_conv2d(const Queue&, const PlainConv2d<half_t>&, bool whole);
void run_conv2d(const Queue&, const MixedConv2d<half_t>&, bool whole);
void run_conv2d(const Queue&, const PlainConv2d<bfloat_t>&, bool whole);
void run_conv2d(const Queue&, const MixedConv2d<bfloat_t>&, bool whole);
void run_conv2d(const Queue&, const MixedConv2d<std::int8_t>&, bool whole);

}  // namespace voxshift::cuda
