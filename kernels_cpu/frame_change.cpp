// Frames on the CPU: normalised, and compared with each other.
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/pixel_runs.h>
#include <voxshift/kernels_cpu/video.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/frame_change.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/numbers.h>

#ifndef VOXSHIFT_KERNELS_CPU_FRAME_CHANGE
#define VOXSHIFT_KERNELS_CPU_FRAME_CHANGE
namespace voxshift::cpu {

constexpr std::int64_t kChannels = 3;
constexpr std::int64_t kBlock = 16;                           // rows and columns of a block
constexpr std::int64_t kStripBytes = 2 * kBlock * kChannels;  // of one row of two blocks: whole vectors everywhere

/// Two frames' strips of up to kBlock rows: sums over the rows of a - b and |a - b|, byte by byte.
struct Strip {
  alignas(64) std::array<std::int16_t, kStripBytes> difference, distance;
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// out[i] = in[i] * scale[i % 3] + shift[i % 3], the same bits in a vector as alone. `out`: a row of n numbers.
void normalize_bytes(const std::uint8_t* in, std::int64_t n, const float* scale, const float* shift,
                     const RowView& out) {
  const Floats d;
  const Ints ints;
  const hn::Rebind<std::uint8_t, Floats> bytes;
  const NumberWriter write(out, 0);
  std::int64_t i = 0;
  if (n >= kChannels * kLanes) {
    HWY_ALIGN float scales[kChannels * kLanes], shifts[kChannels * kLanes];
    for (std::int64_t k = 0; k < kChannels * kLanes; ++k) {
      scales[k] = scale[k % kChannels];
      shifts[k] = shift[k % kChannels];
    }
    for (; i + kChannels * kLanes <= n; i += kChannels * kLanes)
      for (std::int64_t k = 0; k < kChannels * kLanes; k += kLanes) {
        const auto x = hn::ConvertTo(d, hn::PromoteTo(ints, hn::LoadU(bytes, in + i + k)));
        write(hn::MulAdd(x, hn::Load(d, scales + k), hn::Load(d, shifts + k)), i + k);
      }
  }
  for (; i < n; ++i) {
    const FloatVector x = hn::Set(d, static_cast<float>(in[i]));
    write(hn::MulAdd(x, hn::Set(d, scale[i % kChannels]), hn::Set(d, shift[i % kChannels])), i, 1);
  }
}

/// VideoKernels::changed_pixels for one vector of pixels; limit: the largest difference that is no change.
HWY_INLINE std::int64_t changed_vector(const std::uint8_t* frame, std::uint8_t* kept, const std::uint8_t* limit,
                                       std::uint8_t* mask) {
  const hn::ScalableTag<std::uint8_t> d;
  using V = hn::Vec<decltype(d)>;
  V a0, a1, a2, b0, b1, b2;
  hn::LoadInterleaved3(d, frame, a0, a1, a2);
  hn::LoadInterleaved3(d, kept, b0, b1, b2);
  const auto above = [&](V a, V b, std::uint8_t most) {
    const V distance = hn::Or(hn::SaturatedSub(a, b), hn::SaturatedSub(b, a));
    return hn::SaturatedSub(distance, hn::Set(d, most));
  };
  const V any = hn::Or(hn::Or(above(a0, b0, limit[0]), above(a1, b1, limit[1])), above(a2, b2, limit[2]));
  const auto changed = hn::Ne(any, hn::Zero(d));
  hn::StoreU(hn::IfThenElseZero(changed, hn::Set(d, std::uint8_t{1})), d, mask);
  if (hn::AllFalse(d, changed)) return 0;
  hn::StoreInterleaved3(hn::IfThenElse(changed, a0, b0), hn::IfThenElse(changed, a1, b1),
                        hn::IfThenElse(changed, a2, b2), d, kept);
  return static_cast<std::int64_t>(hn::CountTrue(d, changed));
}

std::int64_t changed_bytes(const std::uint8_t* frame, std::uint8_t* kept, std::int64_t pixels,
                           const std::uint8_t* limit, std::uint8_t* mask) {
  constexpr std::int64_t kPixels = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<std::uint8_t>()));
  std::int64_t active = 0, p = 0;
  for (; p + kPixels <= pixels; p += kPixels)
    active += changed_vector(frame + p * kChannels, kept + p * kChannels, limit, mask + p);
  if (p >= pixels) return active;
  std::uint8_t last_frame[kPixels * kChannels] = {}, last_kept[kPixels * kChannels] = {}, last_mask[kPixels];
  std::copy(frame + p * kChannels, frame + pixels * kChannels, last_frame);
  std::copy(kept + p * kChannels, kept + pixels * kChannels, last_kept);
  active += changed_vector(last_frame, last_kept, limit, last_mask);
  std::copy_n(last_kept, (pixels - p) * kChannels, kept + p * kChannels);
  std::copy_n(last_mask, pixels - p, mask + p);
  return active;
}

/// A whole strip of `rows` rows that are `pitch` bytes apart.
void sum_strip(const std::uint8_t* a, const std::uint8_t* b, std::int64_t pitch, std::int64_t rows, Strip& strip) {
  const hn::CappedTag<std::int16_t, 32> d;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  constexpr std::int64_t kSums = static_cast<std::int64_t>(hn::MaxLanes(hn::CappedTag<std::int16_t, 32>()));
  for (std::int64_t i = 0; i < kStripBytes; i += kSums) {
    auto difference = hn::Zero(d), distance = hn::Zero(d);
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto x = hn::PromoteTo(d, hn::LoadU(bytes, a + r * pitch + i));
      const auto y = hn::PromoteTo(d, hn::LoadU(bytes, b + r * pitch + i));
      const auto step = hn::Sub(x, y);
      difference = hn::Add(difference, step);
      distance = hn::Add(distance, hn::Abs(step));
    }
    hn::Store(difference, d, strip.difference.data() + i);
    hn::Store(distance, d, strip.distance.data() + i);
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(normalize_bytes);
HWY_EXPORT(changed_bytes);
HWY_EXPORT(sum_strip);
namespace {

// sum_strip of a strip that is `bytes` wide.
void sum_narrow_strip(const std::uint8_t* a, const std::uint8_t* b, std::int64_t pitch, std::int64_t rows,
                      std::int64_t bytes, Strip& strip) {
  strip = {};
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < bytes; ++i) {
      const int step = a[r * pitch + i] - b[r * pitch + i];
      strip.difference[static_cast<std::size_t>(i)] += static_cast<std::int16_t>(step);
      strip.distance[static_cast<std::size_t>(i)] += static_cast<std::int16_t>(std::abs(step));
    }
}

// The largest sum over one block of any channel's differences; `columns` of the block lie in the frame.
std::int64_t largest_sum(const std::int16_t* difference, std::int64_t columns) {
  std::int64_t largest = 0;
  for (std::int64_t c = 0; c < kChannels; ++c) {
    std::int32_t sum = 0;
    for (std::int64_t x = 0; x < columns; ++x) sum += difference[x * kChannels + c];
    largest = std::max<std::int64_t>(largest, std::abs(sum));
  }
  return largest;
}

}  // namespace

void normalize(const Context& context, const std::uint8_t* frame, Extent2d extent, const float* scale,
               const float* shift, Pixels pixels, void* out, DType dtype, std::int64_t pitch) {
  const auto normalize_bytes = HWY_DYNAMIC_DISPATCH(normalize_bytes);
  const std::int64_t piece = (pixels.count + context.threads - 1) / context.threads;
  parallel_ranges(context, pixels.count, piece, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for_pixel_runs(pixels, extent.width, first, last, [&](const PixelRun& run) {
      const std::int64_t n = run.count * kChannels;
      const RowView image{out, pitch, run.y + 1, pitch, dtype};
      normalize_bytes(frame + (run.y * extent.width + run.x) * kChannels, n, scale, shift,
                      image.rows(run.y, 1).columns(run.x * kChannels, n));
    });
  });
}

std::int64_t changed_pixels(const Context& context, const std::uint8_t* frame, std::uint8_t* kept, std::int64_t pixels,
                            const float* threshold, std::uint8_t* mask) {
  // Whole numbers are more than t apart where they are more than floor(t) apart.
  std::uint8_t limit[kChannels];
  for (std::int64_t c = 0; c < kChannels; ++c)
    limit[c] = static_cast<std::uint8_t>(std::clamp(std::floor(threshold[c]), 0.0f, 255.0f));
  constexpr std::int64_t kGrain = 8192;
  const auto changed_bytes = HWY_DYNAMIC_DISPATCH(changed_bytes);
  std::atomic<std::int64_t> active{0};
  parallel_ranges(context, pixels, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    const std::int64_t at = first * kChannels;
    active += changed_bytes(frame + at, kept + at, last - first, limit, mask + first);
  });
  return active;
}

FrameDifference frame_difference(const Context& context, const std::uint8_t* a, const std::uint8_t* b,
                                 Extent2d extent) {
  const auto sum_strip = HWY_DYNAMIC_DISPATCH(sum_strip);
  const std::int64_t pitch = extent.width * kChannels;
  std::atomic<std::int64_t> whole{0};
  std::atomic<double> largest{0};
  parallel_ranges(context, extent.height, kBlock, [&](std::int64_t y, std::int64_t y_last, std::int64_t) {
    const std::int64_t rows = y_last - y;
    std::int64_t total = 0;
    double block = 0;
    Strip strip;
    for (std::int64_t at = 0; at < pitch; at += kStripBytes) {
      const std::int64_t bytes = std::min(kStripBytes, pitch - at), offset = y * pitch + at;
      if (bytes == kStripBytes) {
        sum_strip(a + offset, b + offset, pitch, rows, strip);
      } else {
        sum_narrow_strip(a + offset, b + offset, pitch, rows, bytes, strip);
      }
      for (const std::int16_t distance : strip.distance) total += distance;
      for (std::int64_t first = 0; first < bytes; first += kBlock * kChannels) {
        const std::int64_t columns = std::min(kBlock, (bytes - first) / kChannels);
        const std::int64_t sum = largest_sum(strip.difference.data() + first, columns);
        block = std::max(block, static_cast<double>(sum) / static_cast<double>(rows * columns));
      }
    }
    whole += total;
    for (double seen = largest; seen < block && !largest.compare_exchange_weak(seen, block);) {
    }
  });
  const std::int64_t count = std::max<std::int64_t>(1, extent.pixels() * kChannels);
  return {static_cast<float>(static_cast<double>(whole) / static_cast<double>(count)), static_cast<float>(largest)};
}

}  // namespace voxshift::cpu
#endif
