// Contract of video: 2-D convolution and pooling on rows, and what changed from frame to frame.
//
// An image of height x width is rows: pixel (y, x) is row y * width + x. A mask has one byte per pixel, 1 where the
// pixel is active and 0 elsewhere.
#pragma once

#include <voxshift/tensor/narrow.h>
#include <voxshift/tensor/runtime.h>
#include <voxshift/video/layers.h>
#include <voxshift/video/resampling.h>

#include <cstdint>
#include <memory>

namespace voxshift {

/// Statistics of one frame against another, in grey levels.
struct FrameDifference {
  float mean = 0;   ///< mean absolute difference of all channels of all pixels
  float block = 0;  ///< largest absolute difference of the means of any channel over any 16 x 16 block
};

/// Kernels of video. Features are f32, f16, bf16 (not on CUDA) or i8; what comes out, and the residual, may be of
/// another dtype than what goes in. Sums are f32, of i8 int32. Frames are u8 [height, width, 3]. An output is one sum
/// whatever the mask or the number of threads: the bias, then offset by offset in row-major order, then input channels
/// in order. Gradients are f32.
class VideoKernels {
 public:
  virtual ~VideoKernels() = default;

  /// Packs weight f32 [out, in, k, k] with bias [out] or null for features of `dtype`.
  virtual std::shared_ptr<const PackedWeights> pack_conv2d(const Context&, const float* weight, const float* bias,
                                                           std::int64_t kernel, std::int64_t in_channels,
                                                           std::int64_t out_channels, DType dtype) const = 0;

  /// Packs weight f32 [channels, 1, k, k] with bias [channels] or null for features of `dtype`.
  virtual std::shared_ptr<const PackedWeights> pack_depthwise(const Context&, const float* weight, const float* bias,
                                                              std::int64_t kernel, std::int64_t channels,
                                                              DType dtype) const = 0;

  /// The same for features of i8.
  virtual std::shared_ptr<const PackedWeights> pack_conv2d_i8(const Context&, const QuantizedWeights& weights,
                                                              const float* bias, std::int64_t kernel,
                                                              std::int64_t in_channels,
                                                              std::int64_t out_channels) const = 0;
  virtual std::shared_ptr<const PackedWeights> pack_depthwise_i8(const Context&, const QuantizedWeights& weights,
                                                                 const float* bias, std::int64_t kernel,
                                                                 std::int64_t channels) const = 0;

  /// out[i] = act(bias + sum over offsets and channels of in * W + residual[p]) for p = pixels[i]; pixels beyond the
  /// image count as 0. `residual` (its base may be null) has a row for every output pixel; `out` has pixels.count rows.
  virtual void conv2d(const Context&, const Conv2dLayer&, Extent2d in_extent, const ImageView& in,
                      const ConstRowView& residual, Pixels pixels, const RowView& out) const = 0;

  /// The same, channel by channel: out[i, c] = act(bias[c] + sum over offsets of in[.., c] * W[c]).
  virtual void depthwise(const Context&, const Conv2dLayer&, Extent2d in_extent, const ConstRowView& in, Pixels pixels,
                         const RowView& out) const = 0;

  /// The block's outputs at `pixels`, plus residual[p] after the last convolution. `hidden` is the mask of the hidden
  /// pixels that these outputs read; null where pixels are all.
  virtual void fused_block(const Context&, const FusedBlock&, const ImageView& in, const ConstRowView& residual,
                           const std::uint8_t* hidden, Pixels pixels, const RowView& out) const = 0;

  /// out[i, c] = the maximum, or the mean, over the window's pixels inside the image; NaN where one of them is. A mean
  /// is the sum over the number of pixels, that of i8 float(sum of whole numbers, exact) * scale.
  virtual void max_pool(const Context&, const Window2d&, Extent2d in_extent, const ConstRowView& in, Pixels pixels,
                        const RowView& out) const = 0;
  virtual void avg_pool(const Context&, const Window2d&, Extent2d in_extent, const ConstRowView& in, Pixels pixels,
                        const RowView& out) const = 0;

  /// The one row of `out` = the mean over all rows of in, summed in order of the rows; that of up to 2^24 rows of i8 is
  /// float(sum of whole numbers, exact) * scale / count.
  virtual void mean_rows(const Context&, const ConstRowView& in, const RowView& out) const = 0;

  /// out[(y k + i) (width k) + x k + j] = columns [(i k + j) C, (i k + j + 1) C) of in[y width + x] for i, j of [0, k)
  /// and the C channels of `out`.
  virtual void spread_pixels(const Context&, const ConstRowView& in, Extent2d in_extent, std::int64_t k,
                             const RowView& out) const = 0;

  /// The sources of every pixel p of `images` images, by the rows of those that are resampled: indices
  /// [p, corners()], -1 for none, and where there are more than one weights [p, corners()].
  virtual void resample(const Context&, const Resampling&, std::int64_t images, std::int32_t* indices,
                        float* weights) const = 0;

  /// Pixel (y, x), channel c of `out`, whose pixels start y * pitch + x * 3 elements of `dtype` after it, is
  /// frame[y, x, c] * scale[c] + shift[c] for `pixels` of the frame. scale and shift lie in the host's memory. dtype:
  /// f32, f16 or bf16 (not on CUDA).
  virtual void normalize(const Context&, const std::uint8_t* frame, Extent2d extent, const float* scale,
                         const float* shift, Pixels pixels, void* out, DType dtype, std::int64_t pitch) const = 0;

  /// mask[p] = whether any channel of pixel p differs from kept[p] by more than `threshold[c]` grey levels, for 3
  /// channels; where it does, kept[p] = frame[p]. The threshold lies in the host's memory. Returns the number of active
  /// pixels.
  virtual std::int64_t changed_pixels(const Context&, const std::uint8_t* frame, std::uint8_t* kept,
                                      std::int64_t pixels, const float* threshold, std::uint8_t* mask) const = 0;

  /// How far two frames are apart.
  virtual FrameDifference frame_difference(const Context&, const std::uint8_t* a, const std::uint8_t* b,
                                           Extent2d extent) const = 0;

  /// out[q] = 1 for every output pixel q whose window has an active pixel of `in`. Returns their number.
  virtual std::int64_t reached(const Context&, const Window2d&, Extent2d in_extent, const std::uint8_t* in,
                               std::uint8_t* out) const = 0;

  /// in[p] = 1 for every input pixel p in the window of an active pixel of `out`. Returns their number.
  virtual std::int64_t needed(const Context&, const Window2d&, Extent2d in_extent, const std::uint8_t* out,
                              std::uint8_t* in) const = 0;

  /// a[p] |= b[p]. Returns the number of active pixels.
  virtual std::int64_t unite(const Context&, std::uint8_t* a, const std::uint8_t* b, std::int64_t pixels) const = 0;

  /// Row i of `values` is the new value of pixel p = rows[i]. Where it lies within `threshold` of kept[p] in every
  /// channel, |values[i, c] - kept[p, c]| <= threshold, kept[p] stays and mask[p] = 0; elsewhere (also where a value is
  /// NaN) kept[p] = values[i] and mask[p] = 1. mask is 0 at all other pixels of `kept`. Returns the number of active
  /// pixels. At threshold 0 zeros of other signs differ, too: every kept value has the bits of the new one. Both views
  /// are of one dtype and one scale; of i8 |n - kept n| * scale <= threshold in f32 is what counts.
  virtual std::int64_t commit(const Context&, const ConstRowView& values, Pixels pixels, float threshold,
                              const RowView& kept, std::uint8_t* mask) const = 0;

  /// Gradients of conv2d() and depthwise() on a stack of `images` images one after the other, without activation.
  /// weight f32 [out, in, k, k] (depthwise [channels, 1, k, k]) as in torch; `grad` has a row for every output pixel.
  /// Views of images are of one dtype, f32 or, on CUDA, f16 or bf16; sums and grad_weight are f32.
  /// The input's: grad_in[p] = sum over the taps and output pixels q that read p of W grad[q].
  virtual void conv2d_input_gradient(const Context&, const Window2d&, Extent2d in_extent, std::int64_t images,
                                     const ConstRowView& grad, const float* weight, const RowView& grad_in) const = 0;
  virtual void depthwise_input_gradient(const Context&, const Window2d&, Extent2d in_extent, std::int64_t images,
                                        const ConstRowView& grad, const float* weight,
                                        const RowView& grad_in) const = 0;

  /// The weight's: grad_weight[o, i, tap] = sum over the output pixels q of in[pixel of tap at q, i] * grad[q, o], in
  /// the order and shape of the weight.
  virtual void conv2d_weight_gradient(const Context&, const Window2d&, Extent2d in_extent, std::int64_t images,
                                      const ConstRowView& in, const ConstRowView& grad, float* grad_weight) const = 0;
  virtual void depthwise_weight_gradient(const Context&, const Window2d&, Extent2d in_extent, std::int64_t images,
                                         const ConstRowView& in, const ConstRowView& grad,
                                         float* grad_weight) const = 0;
};

namespace cpu {
const VideoKernels& video_kernels();
}
namespace cuda {
const VideoKernels& video_kernels();
}

inline const VideoKernels& video_kernels(Device device) {
  return on<VideoKernels>(device, cpu::video_kernels, cuda::video_kernels);
}

}  // namespace voxshift
