// Depthwise 2-D convolution on the CPU.
#include <voxshift/kernels_cpu/elementwise.h>
#include <voxshift/kernels_cpu/packed_conv2d.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/pixel_runs.h>
#include <voxshift/kernels_cpu/video.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/depthwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/pixel_tile.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// The outputs of one run of pixels. Every way to compute one is the same chain: bias, then a fused multiply-add per
/// tap inside the image, in row-major order.
struct DepthwiseRun {
  const Conv2dLayer& layer;
  const PackedDepthwise& packed;
  Extent2d in_extent;
  const ConstRowView& in;
  const RowView& out;
  const PixelRun& pixels;
  const Clamp activation = Clamp(layer.activation);

  std::int64_t kernel() const { return layer.window.kernel; }
  std::int64_t start(std::int64_t output) const { return output * layer.window.stride - layer.window.padding; }

  const float* input(std::int64_t y, std::int64_t x) const {
    return static_cast<const float*>(in.base) + (y * in_extent.width + x) * in.row_stride;
  }
  float* output(std::int64_t x) const {
    return static_cast<float*>(out.base) + (pixels.first + x - pixels.x) * out.row_stride;
  }
  const float* weight(std::int64_t tap) const { return packed.data + tap * packed.stride(); }
  FloatVector bias(std::int64_t c) const { return hn::Load(Floats(), weight(kernel() * kernel()) + c); }

  /// Channels [c, c + n) of column x, n <= kLanes.
  HWY_INLINE void some_channels(std::int64_t x, std::int64_t c, std::int64_t n) const {
    const Floats d;
    const std::int64_t top = start(pixels.y), left = start(x);
    const TapRange rows(top, kernel(), in_extent.height), columns(left, kernel(), in_extent.width);
    FloatVector sum = bias(c);
    for (std::int64_t i = rows.first; i < rows.last; ++i)
      for (std::int64_t j = columns.first; j < columns.last; ++j) {
        const float* at = input(top + i, left + j) + c;
        const FloatVector value = n == kLanes ? hn::LoadU(d, at) : load_some(at, n);
        sum = hn::MulAdd(value, hn::Load(d, weight(i * kernel() + j) + c), sum);
      }
    sum = activation(sum);
    if (n == kLanes) return hn::StoreU(sum, d, output(x) + c);
    store_some(sum, output(x) + c, n);
  }

  HWY_INLINE void columns(std::int64_t first, std::int64_t last) const {
    for (std::int64_t x = first; x < last; ++x)
      for (std::int64_t c = 0; c < out.channels; c += kLanes)
        some_channels(x, c, std::min<std::int64_t>(kLanes, out.channels - c));
  }

  /// Columns whose windows lie inside the image: the weights stay in registers.
  template <int kKernel>
  HWY_NOINLINE void inner_columns(std::int64_t first, std::int64_t last) const {
    if (first == last) return;
    const Floats d;
    const std::int64_t pitch = in_extent.width * in.row_stride, stride = in.row_stride;
    const float* const corner = input(start(pixels.y), start(first));
    const Clamp clamp = activation;
    std::int64_t c = 0;
    for (; c + kLanes <= out.channels; c += kLanes) {
      FloatVector w[kKernel * kKernel];
#pragma GCC unroll 25
      for (int t = 0; t < kKernel * kKernel; ++t) w[t] = hn::Load(d, weight(t) + c);
      const FloatVector start_value = bias(c);
      const float* at = corner + c;
      float* to = output(first) + c;
      for (std::int64_t x = first; x < last; ++x) {
        FloatVector sum = start_value;
#pragma GCC unroll 5
        for (int i = 0; i < kKernel; ++i)
#pragma GCC unroll 5
          for (int j = 0; j < kKernel; ++j)
            sum = hn::MulAdd(hn::LoadU(d, at + i * pitch + j * stride), w[i * kKernel + j], sum);
        hn::StoreU(clamp(sum), d, to);
        at += layer.window.stride * stride;
        to += out.row_stride;
      }
    }
    if (c == out.channels) return;
    for (std::int64_t x = first; x < last; ++x) some_channels(x, c, out.channels - c);
  }

  HWY_INLINE void run() const {
    const std::int64_t first = pixels.x, last = pixels.x + pixels.count, top = start(pixels.y);
    const auto& [k, stride, padding] = layer.window;
    const bool inside = top >= 0 && top + k <= in_extent.height && in_extent.width + padding >= k;
    if (!inside || (k != 3 && k != 5)) return columns(first, last);
    const std::int64_t left = std::clamp((padding + stride - 1) / stride, first, last);
    const std::int64_t right = std::clamp((in_extent.width + padding - k) / stride + 1, left, last);
    columns(first, left);
    if (k == 3) {
      inner_columns<3>(left, right);
    } else {
      inner_columns<5>(left, right);
    }
    columns(right, last);
  }
};

void depthwise_run(const Conv2dLayer& layer, const PackedDepthwise& packed, Extent2d in_extent, const ConstRowView& in,
                   const PixelRun& pixels, const RowView& out) {
  DepthwiseRun{layer, packed, in_extent, in, out, pixels}.run();
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(depthwise_run);

void depthwise(const Context& context, const Conv2dLayer& layer, Extent2d in_extent, const ConstRowView& in,
               Pixels pixels, const RowView& out) {
  constexpr std::int64_t kGrain = 256;
  const auto depthwise_run = HWY_DYNAMIC_DISPATCH(depthwise_run);
  const auto& packed = depthwise_weights("depthwise", layer);
  const std::int64_t width = layer.window.out(in_extent).width;
  parallel_ranges(context, pixels.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for_pixel_runs(pixels, width, first, last,
                   [&](const PixelRun& run) { depthwise_run(layer, packed, in_extent, in, run, out); });
    apply_function(layer.activation, out.rows(first, last - first));
  });
}

}  // namespace voxshift::cpu
#endif
