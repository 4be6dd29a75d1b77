// 2-D pooling on the CPU.
#include <voxshift/kernels_cpu/narrow_pool2d.h>
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/pixel_runs.h>
#include <voxshift/kernels_cpu/video.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/pool2d.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// out[i, c] = max, or mean, of in over the taps of pixel i that lie inside the image, in row-major order.
template <bool kMax>
HWY_INLINE void pool_run(const Window2d& window, Extent2d in_extent, const ConstRowView& in, const PixelRun& pixels,
                         const RowView& out) {
  const Floats d;
  const std::int64_t top = pixels.y * window.stride - window.padding;
  const TapRange rows(top, window.kernel, in_extent.height);
  for (std::int64_t p = 0; p < pixels.count; ++p) {
    const std::int64_t left = (pixels.x + p) * window.stride - window.padding;
    const TapRange columns(left, window.kernel, in_extent.width);
    const float* corner = static_cast<const float*>(in.base) +
                          ((top + rows.first) * in_extent.width + left + columns.first) * in.row_stride;
    float* to = static_cast<float*>(out.base) + (pixels.first + p) * out.row_stride;
    const FloatVector taps = hn::Set(d, static_cast<float>(rows.count() * columns.count()));
    for (std::int64_t c = 0; c < out.channels; c += kLanes) {
      const std::int64_t n = std::min<std::int64_t>(kLanes, out.channels - c);
      const auto load = [&](const float* from) { return n == kLanes ? hn::LoadU(d, from) : load_some(from, n); };
      FloatVector value = kMax ? load(corner + c) : hn::Zero(d);
      for (std::int64_t i = 0; i < rows.count(); ++i)
        for (std::int64_t j = 0; j < columns.count(); ++j) {
          const FloatVector x = load(corner + (i * in_extent.width + j) * in.row_stride + c);
          value = kMax ? hn::IfThenElse(exceeding(x, value), x, value) : hn::Add(value, x);
        }
      if (!kMax) value = hn::Div(value, taps);
      if (n == kLanes) {
        hn::StoreU(value, d, to + c);
      } else {
        store_some(value, to + c, n);
      }
    }
  }
}

void max_pool_run(const Window2d& window, Extent2d in_extent, const ConstRowView& in, const PixelRun& pixels,
                  const RowView& out) {
  pool_run<true>(window, in_extent, in, pixels, out);
}

void avg_pool_run(const Window2d& window, Extent2d in_extent, const ConstRowView& in, const PixelRun& pixels,
                  const RowView& out) {
  pool_run<false>(window, in_extent, in, pixels, out);
}

void mean_of_rows(const ConstRowView& in, float* out) {
  const Floats d;
  const FloatVector count = hn::Set(d, static_cast<float>(in.count));
  for (std::int64_t c = 0; c < in.channels; c += kLanes) {
    const std::int64_t n = std::min<std::int64_t>(kLanes, in.channels - c);
    const float* row = static_cast<const float*>(in.base) + c;
    FloatVector sum = hn::Zero(d);
    for (std::int64_t i = 0; i < in.count; ++i, row += in.row_stride)
      sum = hn::Add(sum, n == kLanes ? hn::LoadU(d, row) : load_some(row, n));
    const FloatVector mean = hn::Div(sum, count);
    if (n == kLanes) {
      hn::StoreU(mean, d, out + c);
    } else {
      store_some(mean, out + c, n);
    }
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(max_pool_run);
HWY_EXPORT(avg_pool_run);
HWY_EXPORT(mean_of_rows);
namespace {

template <class PoolRun>
void pool(const Context& context, const Window2d& window, Extent2d in_extent, const ConstRowView& in, Pixels pixels,
          const RowView& out, PoolRun pool_run) {
  constexpr std::int64_t kGrain = 256;
  const std::int64_t width = window.out(in_extent).width;
  parallel_ranges(context, pixels.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for_pixel_runs(pixels, width, first, last, [&](const PixelRun& run) { pool_run(window, in_extent, in, run, out); });
  });
}

}  // namespace

void max_pool(const Context& context, const Window2d& window, Extent2d in_extent, const ConstRowView& in, Pixels pixels,
              const RowView& out) {
  pool(context, window, in_extent, in, pixels, out,
       all_are(DType::kF32, in, out) ? HWY_DYNAMIC_DISPATCH(max_pool_run) : max_pool_narrow_run);
}

void avg_pool(const Context& context, const Window2d& window, Extent2d in_extent, const ConstRowView& in, Pixels pixels,
              const RowView& out) {
  pool(context, window, in_extent, in, pixels, out,
       all_are(DType::kF32, in, out) ? HWY_DYNAMIC_DISPATCH(avg_pool_run) : avg_pool_narrow_run);
}

void mean_rows(const Context&, const ConstRowView& in, const RowView& out) {
  if (all_are(DType::kF32, in, out)) {
    HWY_DYNAMIC_DISPATCH(mean_of_rows)(in, static_cast<float*>(out.base));
  } else {
    mean_narrow_rows(in, out);
  }
}

}  // namespace voxshift::cpu
#endif
