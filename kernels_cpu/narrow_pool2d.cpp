// 2-D pooling of numbers of any dtype. Sums of i8 are of whole numbers, as everywhere.
#include <voxshift/kernels_cpu/narrow_pool2d.h>
#include <voxshift/kernels_cpu/narrow_sums.h>
#include <voxshift/kernels_cpu/number_rows.h>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/narrow_pool2d.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/numbers.h>

#ifndef VOXSHIFT_KERNELS_CPU_NARROW_POOL2D
#define VOXSHIFT_KERNELS_CPU_NARROW_POOL2D
namespace voxshift::cpu {

/// The pixels of an image that make one: `height` rows of `width` pixels from row `first` of `in` on, image rows
/// `pitch` rows apart.
struct PooledPixels {
  const ConstRowView& in;
  std::int64_t first, height, width, pitch;

  std::int64_t count() const { return height * width; }
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Calls body(row) for the pixels in row-major order.
template <class Body>
HWY_INLINE void for_pixels(const PooledPixels& pixels, const Body& body) {
  for (std::int64_t y = 0; y < pixels.height; ++y)
    for (std::int64_t x = 0; x < pixels.width; ++x) body(pixels.first + y * pixels.pitch + x);
}

/// out[o] = the maximum or the mean of the pixels.
template <bool kMax>
struct PoolNumbers {
  const PooledPixels& pixels;
  const RowView& out;
  std::int64_t o;

  template <DType kType>
  HWY_INLINE void run() const {
    const FloatVector count = hn::Set(Floats(), static_cast<float>(pixels.count()));
    const NumberWriter write(out, o);
    for (std::int64_t c = 0; c < out.channels; c += kLanes) {
      const std::int64_t n = std::min<std::int64_t>(kLanes, out.channels - c);
      FloatVector value = kMax ? TypedRow<kType>(pixels.in, pixels.first)(c, n) : hn::Zero(Floats());
      if (!kMax && kType == DType::kI8 && pixels.count() <= Merging::kMostWholeRows) {
        value = whole_sum(c, n);
      } else {
        for_pixels(pixels, [&](std::int64_t p) HWY_ATTR {
          const FloatVector x = TypedRow<kType>(pixels.in, p)(c, n);
          value = kMax ? hn::IfThenElse(exceeding(x, value), x, value) : hn::Add(value, x);
        });
      }
      write(kMax ? value : hn::Div(value, count), c, n);
    }
  }

 private:
  HWY_INLINE FloatVector whole_sum(std::int64_t c, std::int64_t n) const {
    auto sum = hn::Zero(Ints());
    for_pixels(pixels, [&](std::int64_t p) HWY_ATTR {
      const auto* const row = row_bytes<const std::int8_t>(pixels.in, p) + c;
      sum = hn::Add(sum, n == kLanes ? whole_bytes(row) : whole_bytes(SomeNumbers<std::int8_t>(row, n).data()));
    });
    return hn::Mul(hn::ConvertTo(Floats(), sum), load_lanes(pixels.in.scales.scale + c, n));
  }
};

template <bool kMax>
HWY_INLINE void pool_numbers(const PooledPixels& pixels, const RowView& out, std::int64_t o) {
  with_numbers(pixels.in.dtype, PoolNumbers<kMax>{pixels, out, o});
}

void max_numbers(const PooledPixels& pixels, const RowView& out, std::int64_t o) { pool_numbers<true>(pixels, out, o); }

void mean_numbers(const PooledPixels& pixels, const RowView& out, std::int64_t o) {
  pool_numbers<false>(pixels, out, o);
}

/// The maximum of i8 whose scales are those of the output.
void max_bytes(const PooledPixels& pixels, const RowView& out, std::int64_t o) {
  const hn::ScalableTag<std::int8_t> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto* const to = row_bytes<std::int8_t>(out, o);
  const auto* const first = row_bytes<const std::int8_t>(pixels.in, pixels.first);
  std::int64_t c = 0;
  for (; c + lanes <= out.channels; c += lanes) {
    auto most = hn::LoadU(d, first + c);
    for_pixels(pixels, [&](std::int64_t p) HWY_ATTR {
      most = hn::Max(most, hn::LoadU(d, row_bytes<const std::int8_t>(pixels.in, p) + c));
    });
    hn::StoreU(most, d, to + c);
  }
  for (; c < out.channels; ++c) {
    std::int8_t most = first[c];
    for_pixels(pixels,
               [&](std::int64_t p) HWY_ATTR { most = std::max(most, row_bytes<const std::int8_t>(pixels.in, p)[c]); });
    to[c] = most;
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(max_numbers);
HWY_EXPORT(mean_numbers);
HWY_EXPORT(max_bytes);
namespace {

template <class PoolPixel>
void pool_pixels(const Window2d& window, Extent2d in_extent, const ConstRowView& in, const PixelRun& run,
                 const RowView& out, PoolPixel pool_pixel) {
  const std::int64_t top = run.y * window.stride - window.padding;
  const TapRange rows(top, window.kernel, in_extent.height);
  for (std::int64_t p = 0; p < run.count; ++p) {
    const std::int64_t left = (run.x + p) * window.stride - window.padding;
    const TapRange columns(left, window.kernel, in_extent.width);
    const std::int64_t first = (top + rows.first) * in_extent.width + left + columns.first;
    pool_pixel({in, first, rows.count(), columns.count(), in_extent.width}, out, run.first + p);
  }
}

}  // namespace

void max_pool_narrow_run(const Window2d& window, Extent2d in_extent, const ConstRowView& in, const PixelRun& pixels,
                         const RowView& out) {
  const bool bytes = in.dtype == DType::kI8 && same_numbers(in, out);
  pool_pixels(window, in_extent, in, pixels, out,
              bytes ? HWY_DYNAMIC_DISPATCH(max_bytes) : HWY_DYNAMIC_DISPATCH(max_numbers));
}

void avg_pool_narrow_run(const Window2d& window, Extent2d in_extent, const ConstRowView& in, const PixelRun& pixels,
                         const RowView& out) {
  pool_pixels(window, in_extent, in, pixels, out, HWY_DYNAMIC_DISPATCH(mean_numbers));
}

void mean_narrow_rows(const ConstRowView& in, const RowView& out) {
  HWY_DYNAMIC_DISPATCH(mean_numbers)({in, 0, 1, in.count, in.count}, out, 0);
}

}  // namespace voxshift::cpu
#endif
