// Gradients of depthwise 2-D convolutions on the CPU, on stacks of images.
#include <voxshift/kernels_cpu/packed_panels.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/pixel_runs.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/kernels_cpu/video.h>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/depthwise_backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>

#ifndef VOXSHIFT_KERNELS_CPU_DEPTHWISE_BACKWARD
#define VOXSHIFT_KERNELS_CPU_DEPTHWISE_BACKWARD
namespace voxshift::cpu {

/// A depthwise convolution of one image: rows of its input and of its output, in either of which a gradient may lie.
struct DepthwiseImage {
  Window2d window;
  Extent2d in, out;
  const float *input, *output;
  std::int64_t in_stride, out_stride;  ///< floats from pixel to pixel
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

// Row y of the input's gradient: `weight` is [taps, stride] with stride a multiple of 16.
void input_gradient_row(const DepthwiseImage& image, const float* weight, std::int64_t stride, std::int64_t channels,
                        std::int64_t y, float* to, std::int64_t to_stride) {
  const Floats d;
  const auto& [k, step, padding] = image.window;
  for (std::int64_t x = 0; x < image.in.width; ++x, to += to_stride)
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      const std::int64_t count = std::min<std::int64_t>(kLanes, channels - c);
      FloatVector sum = hn::Zero(d);
      for (std::int64_t i = 0; i < k; ++i) {
        const std::int64_t down = y + padding - i;
        if (down < 0 || down % step != 0 || down / step >= image.out.height) continue;
        for (std::int64_t j = 0; j < k; ++j) {
          const std::int64_t right = x + padding - j;
          if (right < 0 || right % step != 0 || right / step >= image.out.width) continue;
          const float* g = image.output + (down / step * image.out.width + right / step) * image.out_stride + c;
          sum = hn::MulAdd(load_lanes(g, count), hn::Load(d, weight + (i * k + j) * stride + c), sum);
        }
      }
      store_lanes(sum, to + c, count);
    }
}

// Adds the products of output row y to sums [taps, stride].
void weight_gradient_row(const DepthwiseImage& image, std::int64_t y, std::int64_t channels, std::int64_t stride,
                         float* sums) {
  const Floats d;
  const auto& [k, step, padding] = image.window;
  const float* const grad = image.output + y * image.out.width * image.out_stride;
  for (std::int64_t c = 0; c < channels; c += kLanes) {
    const std::int64_t count = std::min<std::int64_t>(kLanes, channels - c);
    for (std::int64_t i = 0; i < k; ++i) {
      const std::int64_t in_y = y * step - padding + i;
      if (in_y < 0 || in_y >= image.in.height) continue;
      const float* const row = image.input + in_y * image.in.width * image.in_stride + c;
      for (std::int64_t j = 0; j < k; ++j) {
        const std::int64_t left = j - padding;  // in_x = x * step + left
        const std::int64_t first = left < 0 ? (-left + step - 1) / step : 0;
        const std::int64_t last = std::min(image.out.width, (image.in.width - left + step - 1) / step);
        float* const sum = sums + (i * k + j) * stride + c;
        FloatVector acc = hn::Load(d, sum);
        for (std::int64_t x = first; x < last; ++x)
          acc = hn::MulAdd(load_lanes(row + (x * step + left) * image.in_stride, count),
                           load_lanes(grad + x * image.out_stride + c, count), acc);
        hn::Store(acc, d, sum);
      }
    }
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(input_gradient_row);
HWY_EXPORT(weight_gradient_row);

void depthwise_input_gradient(const Context& context, const Window2d& window, Extent2d in_extent, std::int64_t images,
                              const ConstRowView& grad, const float* weight, const RowView& grad_in) {
  const std::int64_t channels = grad.channels, taps = window.kernel * window.kernel;
  const std::int64_t stride = panels_of(channels) * kPanel;
  const Extent2d out = window.out(in_extent);
  const Arena::Mark mark = context.arena->mark();
  auto* by_tap = context.arena->allocate<float>(taps * stride);
  std::fill_n(by_tap, taps * stride, 0.0f);
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t t = 0; t < taps; ++t) by_tap[t * stride + c] = weight[c * taps + t];
  const auto input_gradient_row = HWY_DYNAMIC_DISPATCH(input_gradient_row);
  constexpr std::int64_t kRows = 8;  // of one task
  parallel_ranges(context, images * in_extent.height, kRows, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for (std::int64_t row = first; row < last; ++row) {
      const std::int64_t image = row / in_extent.height, y = row % in_extent.height;
      const auto* g = static_cast<const float*>(grad.base) + image * out.pixels() * grad.row_stride;
      auto* to = static_cast<float*>(grad_in.base) + row * in_extent.width * grad_in.row_stride;
      input_gradient_row({window, in_extent, out, nullptr, g, 0, grad.row_stride}, by_tap, stride, channels, y, to,
                         grad_in.row_stride);
    }
  });
  context.arena->rewind(mark);
}

void depthwise_weight_gradient(const Context& context, const Window2d& window, Extent2d in_extent, std::int64_t images,
                               const ConstRowView& in, const ConstRowView& grad, float* grad_weight) {
  const std::int64_t channels = grad.channels, taps = window.kernel * window.kernel;
  const std::int64_t stride = panels_of(channels) * kPanel;
  const Extent2d out = window.out(in_extent);
  constexpr std::int64_t kRows = 16;  // of one partial sum, whatever the number of threads
  const std::int64_t rows = images * out.height, chunks = (rows + kRows - 1) / kRows;
  const Arena::Mark mark = context.arena->mark();
  auto* sums = context.arena->allocate<float>(chunks * taps * stride);
  const auto weight_gradient_row = HWY_DYNAMIC_DISPATCH(weight_gradient_row);
  parallel_ranges(context, rows, kRows, [&](std::int64_t first, std::int64_t last, std::int64_t chunk) {
    float* const sum = sums + chunk * taps * stride;
    std::fill_n(sum, taps * stride, 0.0f);
    for (std::int64_t row = first; row < last; ++row) {
      const std::int64_t image = row / out.height;
      const auto* x = static_cast<const float*>(in.base) + image * in_extent.pixels() * in.row_stride;
      const auto* g = static_cast<const float*>(grad.base) + image * out.pixels() * grad.row_stride;
      weight_gradient_row({window, in_extent, out, x, g, in.row_stride, grad.row_stride}, row % out.height, channels,
                          stride, sum);
    }
  });
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t t = 0; t < taps; ++t) {
      double sum = 0;
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) sum += sums[(chunk * taps + t) * stride + c];
      grad_weight[c * taps + t] = static_cast<float>(sum);
    }
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
#endif
