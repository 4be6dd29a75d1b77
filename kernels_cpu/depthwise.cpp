// Depthwise 2-D convolution on the CPU.
#include <voxshift/kernels_cpu/elementwise.h>
#include <voxshift/kernels_cpu/finish_sums.h>
#include <voxshift/kernels_cpu/packed_conv2d.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/pixel_runs.h>
#include <voxshift/kernels_cpu/video.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/depthwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/numbers.h>
#include <voxshift/kernels_cpu/pixel_tile.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Numbers of one dtype as f32: i8 as whole numbers, without their scale.
struct FloatNumbers {
  using Number = float;
  static HWY_INLINE FloatVector load(const float* p) { return hn::LoadU(Floats(), p); }
  static HWY_INLINE FloatVector some(const float* p, std::int64_t n) { return load_some(p, n); }
};
struct WholeNumbers {
  using Number = std::int8_t;
  static HWY_INLINE FloatVector load(const std::int8_t* p) { return from_bytes(p); }
  static HWY_INLINE FloatVector some(const std::int8_t* p, std::int64_t n) {
    std::int8_t lanes[kLanes] = {};
    std::copy_n(p, n, lanes);
    return from_bytes(lanes);
  }
};
template <bool kHalf>
struct HalfNumbers {
  using Number = std::uint16_t;
  static HWY_INLINE FloatVector load(const std::uint16_t* p) { return kHalf ? from_halves(p) : from_bfloats(p); }
  static HWY_INLINE FloatVector some(const std::uint16_t* p, std::int64_t n) {
    std::uint16_t lanes[kLanes] = {};
    std::copy_n(p, n, lanes);
    return load(lanes);
  }
};

/// The outputs of one run of pixels, or their sums. Every way to compute one is the same chain: bias, then a fused
/// multiply-add per tap inside the image, in row-major order. (Of whole numbers it is exact: all are less than 2^24.)
template <class Numbers>
struct DepthwiseRun {
  using Number = typename Numbers::Number;
  const Conv2dLayer& layer;
  const PackedDepthwise& packed;
  Extent2d in_extent;
  const ConstRowView& in;
  const RowView& out;  ///< f32, its first row is that of pixels.first
  const PixelRun& pixels;
  const Clamp activation;

  std::int64_t kernel() const { return layer.window.kernel; }
  std::int64_t start(std::int64_t output) const { return output * layer.window.stride - layer.window.padding; }

  const Number* input(std::int64_t y, std::int64_t x) const {
    return static_cast<const Number*>(in.base) + (y * in_extent.width + x) * in.row_stride;
  }
  float* output(std::int64_t x) const { return static_cast<float*>(out.base) + (x - pixels.x) * out.row_stride; }
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
        const Number* at = input(top + i, left + j) + c;
        const FloatVector value = n == kLanes ? Numbers::load(at) : Numbers::some(at, n);
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
    const Number* const corner = input(start(pixels.y), start(first));
    const Clamp clamp = activation;
    std::int64_t c = 0;
    for (; c + kLanes <= out.channels; c += kLanes) {
      FloatVector w[kKernel * kKernel];
#pragma GCC unroll 25
      for (int t = 0; t < kKernel * kKernel; ++t) w[t] = hn::Load(d, weight(t) + c);
      const FloatVector start_value = bias(c);
      const Number* at = corner + c;
      float* to = output(first) + c;
      for (std::int64_t x = first; x < last; ++x) {
        FloatVector sum = start_value;
#pragma GCC unroll 5
        for (int i = 0; i < kKernel; ++i)
#pragma GCC unroll 5
          for (int j = 0; j < kKernel; ++j)
            sum = hn::MulAdd(Numbers::load(at + i * pitch + j * stride), w[i * kKernel + j], sum);
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
  const Clamp clamp(layer.activation);
  DepthwiseRun<FloatNumbers>{layer, packed, in_extent, in, out, pixels, clamp}.run();
}

void depthwise_sums(const Conv2dLayer& layer, const PackedDepthwise& packed, Extent2d in_extent, const ConstRowView& in,
                    const PixelRun& pixels, const RowView& sums) {
  const Clamp none{Activation()};
  switch (in.dtype) {
    case DType::kI8:
      return DepthwiseRun<WholeNumbers>{layer, packed, in_extent, in, sums, pixels, none}.run();
    case DType::kF16:
      return DepthwiseRun<HalfNumbers<true>>{layer, packed, in_extent, in, sums, pixels, none}.run();
    case DType::kBF16:
      return DepthwiseRun<HalfNumbers<false>>{layer, packed, in_extent, in, sums, pixels, none}.run();
    default:
      return DepthwiseRun<FloatNumbers>{layer, packed, in_extent, in, sums, pixels, none}.run();
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(depthwise_run);
HWY_EXPORT(depthwise_sums);
namespace {

constexpr std::int64_t kGrain = 256;

/// Where f32 is no dtype of both what goes in and what comes out: sums of a few pixels, and what becomes of them.
void narrow_depthwise(const Context& context, const Conv2dLayer& layer, Extent2d in_extent, const ConstRowView& in,
                      Pixels pixels, const RowView& out) {
  constexpr std::int64_t kSumBytes = 32 << 10, kLeastPixels = 8, kMostPixels = 64;
  const auto sums_of = HWY_DYNAMIC_DISPATCH(depthwise_sums);
  const auto& packed = depthwise_weights("depthwise", layer);
  check_features("depthwise", packed.dtype, in.dtype);
  const std::int64_t width = layer.window.out(in_extent).width, stride = packed.stride();
  const std::int64_t most = std::clamp(kSumBytes / (stride * std::int64_t{sizeof(float)}), kLeastPixels, kMostPixels);
  const Arena::Mark mark = context.arena->mark();
  auto* const memory = context.arena->allocate<float>(context.threads * most * stride);
  const std::int64_t pieces = (pixels.count + kGrain - 1) / kGrain;
  parallel_for(context, pieces, [&](std::int64_t piece, int thread) {
    const RowView sums{memory + thread * most * stride, stride, most, out.channels};
    const std::int64_t last = std::min(pixels.count, (piece + 1) * kGrain);
    for_pixel_runs(pixels, width, piece * kGrain, last, [&](const PixelRun& whole) {
      for (PixelRun run = whole; run.count > 0;) {
        const std::int64_t left = run.count - std::min(run.count, most);
        run.count -= left;
        sums_of(layer, packed, in_extent, in, run, sums);
        FinishSums finish{sums.base,           stride,  run.count,     false,
                          packed.multiplier(), nullptr, packed.finite, layer.activation};
        if (packed.whole()) finish.bias = packed.bias();
        finish.out = out.rows(run.first, run.count);
        finish_sums(finish);
        run = {run.first + run.count, run.y, run.x + run.count, left};
      }
    });
  });
  context.arena->rewind(mark);
}

}  // namespace

void depthwise(const Context& context, const Conv2dLayer& layer, Extent2d in_extent, const ConstRowView& in,
               Pixels pixels, const RowView& out) {
  if (in.dtype != DType::kF32 || out.dtype != DType::kF32)
    return narrow_depthwise(context, layer, in_extent, in, pixels, out);
  const auto depthwise_run = HWY_DYNAMIC_DISPATCH(depthwise_run);
  const auto& packed = depthwise_weights("depthwise", layer);
  check_features("depthwise", packed.dtype, in.dtype);
  const std::int64_t width = layer.window.out(in_extent).width;
  parallel_ranges(context, pixels.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for_pixel_runs(pixels, width, first, last, [&](const PixelRun& run) {
      depthwise_run(layer, packed, in_extent, in, run, out.rows(run.first, run.count));
    });
    apply_function(layer.activation, out.rows(first, last - first));
  });
}

}  // namespace voxshift::cpu
#endif
