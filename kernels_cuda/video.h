// Methods of the contract in video/kernels.h, one group per file, and windows on images in kernels.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/video/kernels.h>

#include <cstdint>

namespace voxshift::cuda {

/// An axis of a window on an image: output o reads inputs start(o) .. start(o) + kernel - 1.
struct WindowAxis {
  std::int64_t kernel, stride, padding, inputs, outputs;

  __device__ std::int64_t start(std::int64_t output) const { return output * stride - padding; }

  /// The taps [first, last) of a window that lie inside the image.
  __device__ std::int64_t first_tap(std::int64_t from) const { return from < 0 ? -from : 0; }
  __device__ std::int64_t last_tap(std::int64_t from) const { return inputs - from < kernel ? inputs - from : kernel; }

  /// The last output that reads the input. Its tap is tap(input, output), and that of the output before it `stride`
  /// further on.
  __device__ std::int64_t last_output(std::int64_t input) const {
    const std::int64_t output = (input + padding) / stride;
    return output < outputs ? output : outputs - 1;
  }
  __device__ std::int64_t tap(std::int64_t input, std::int64_t output) const { return input - start(output); }
};

/// A window on an image, or on every image of a stack.
struct ImageWindow {
  WindowAxis rows, columns;
  std::int32_t in_pixels, out_pixels, in_width, out_width;

  ImageWindow(const Window2d& window, Extent2d in) : ImageWindow(window, in, window.out(in)) {}

 private:
  ImageWindow(const Window2d& w, Extent2d in, Extent2d out)
      : rows{w.kernel, w.stride, w.padding, in.height, out.height},
        columns{w.kernel, w.stride, w.padding, in.width, out.width},
        in_pixels(static_cast<std::int32_t>(in.pixels())),
        out_pixels(static_cast<std::int32_t>(out.pixels())),
        in_width(static_cast<std::int32_t>(in.width)),
        out_width(static_cast<std::int32_t>(out.width)) {}
};

/// f(input pixel, tap) for the taps inside the image of output pixel `p`, in row-major order.
template <class F>
__device__ void for_taps(const ImageWindow& w, std::int32_t p, const F& f) {
  const std::int64_t top = w.rows.start(p / w.out_width), left = w.columns.start(p % w.out_width);
  const std::int64_t last_i = w.rows.last_tap(top), last_j = w.columns.last_tap(left);
  for (std::int64_t i = w.rows.first_tap(top); i < last_i; ++i)
    for (std::int64_t j = w.columns.first_tap(left); j < last_j; ++j)
      f((top + i) * w.in_width + left + j, i * w.rows.kernel + j);
}

/// f(output pixel, tap) for the outputs that read input pixel `p`, taps in row-major order.
template <class F>
__device__ void for_readers(const ImageWindow& w, std::int32_t p, const F& f) {
  const std::int64_t y = p / w.in_width, x = p % w.in_width;
  const std::int64_t bottom = w.rows.last_output(y), right = w.columns.last_output(x);
  for (std::int64_t v = bottom; v >= 0; --v) {
    const std::int64_t i = w.rows.tap(y, v);
    if (i >= w.rows.kernel) break;
    for (std::int64_t u = right; u >= 0; --u) {
      const std::int64_t j = w.columns.tap(x, u);
      if (j >= w.columns.kernel) break;
      f(v * w.out_width + u, i * w.rows.kernel + j);
    }
  }
}

// conv2d.cu

/// VideoKernels::conv2d with two more choices. Output i adds the residual's row residual_rows[i] (null: row i). Where
/// `mask`, by output pixel, has no active one among neighbours, they may be left out; null: all are wanted.
void conv2d(const Queue&, const Conv2dLayer&, Extent2d in_extent, const ImageView& in, const ConstRowView& residual,
            const std::int32_t* residual_rows, Pixels pixels, const std::uint8_t* mask, const RowView& out);
void fused_block(const Queue&, const FusedBlock&, const ImageView& in, const ConstRowView& residual,
                 const std::uint8_t* hidden, Pixels pixels, const RowView& out);

// depthwise.cu
void depthwise(const Queue&, const Conv2dLayer&, Extent2d in_extent, const ConstRowView& in, Pixels pixels,
               const RowView& out);
void depthwise_input_gradient(const Queue&, const ImageWindow&, const ConstRowView& grad, const float* weight,
                              const RowView& grad_in);
void depthwise_weight_gradient(const Queue&, const ImageWindow&, const ConstRowView& in, const ConstRowView& grad,
                               float* grad_weight);

// conv2d_backward.cu
void conv2d_input_gradient(const Queue&, const ImageWindow&, const ConstRowView& grad, const float* weight,
                           const RowView& grad_in);
void conv2d_weight_gradient(const Queue&, const ImageWindow&, const ConstRowView& in, const ConstRowView& grad,
                            float* grad_weight);

// pool2d.cu
void max_pool(const Queue&, const ImageWindow&, const ConstRowView& in, Pixels pixels, const RowView& out);
void avg_pool(const Queue&, const ImageWindow&, const ConstRowView& in, Pixels pixels, const RowView& out);
void mean_rows(const Queue&, const ConstRowView& in, const RowView& out);

// spread_pixels.cu
void spread_pixels(const Queue&, const ConstRowView& in, Extent2d in_extent, std::int64_t k, const RowView& out);

// resampling.cu
void resample(const Queue&, const Resampling&, std::int64_t images, std::int32_t* indices, float* weights);

// frame_change.cu
void normalize(const Queue&, const std::uint8_t* frame, Extent2d extent, const float* scale, const float* shift,
               Pixels pixels, void* out, DType dtype, std::int64_t pitch);
std::int64_t changed_pixels(const Queue&, const std::uint8_t* frame, std::uint8_t* kept, std::int64_t pixels,
                            const float* threshold, std::uint8_t* mask);
FrameDifference frame_difference(const Queue&, const std::uint8_t* a, const std::uint8_t* b, Extent2d extent);

// pixel_masks.cu
std::int64_t reached(const Queue&, const ImageWindow&, const std::uint8_t* in, std::uint8_t* out);
std::int64_t needed(const Queue&, const ImageWindow&, const std::uint8_t* out, std::uint8_t* in);
std::int64_t unite(const Queue&, std::uint8_t* a, const std::uint8_t* b, std::int64_t pixels);
std::int64_t commit(const Queue&, const ConstRowView& values, Pixels pixels, float threshold, const RowView& kept,
                    std::uint8_t* mask);

}  // namespace voxshift::cuda
