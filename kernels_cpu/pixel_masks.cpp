// Masks of active pixels on the CPU.
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/video.h>

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/pixel_masks.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/numbers.h>
#include <voxshift/kernels_cpu/pixel_tile.h>

#ifndef VOXSHIFT_KERNELS_CPU_PIXEL_MASKS
#define VOXSHIFT_KERNELS_CPU_PIXEL_MASKS
namespace voxshift::cpu {

constexpr std::int64_t kMaskSlack = 64;

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Whether row i of `values` lies within the threshold of row p of `kept` in all channels, at threshold 0 has its bits;
/// false for a NaN.
template <DType kType>
HWY_INLINE bool within(const ConstRowView& values, std::int64_t i, const RowView& kept, std::int64_t p,
                       float threshold) {
  const Floats d;
  const FloatVector most = hn::Set(d, threshold);
  const hn::RebindToSigned<Floats> bits;
  const TypedRow<kType> a(values, i), b(kept, p);
  for (std::int64_t c = 0; c < kept.channels; c += kLanes) {
    const std::int64_t n = std::min<std::int64_t>(kLanes, kept.channels - c);
    const FloatVector x = a(c, n), y = b(c, n);
    if (!hn::AllTrue(d, hn::Le(hn::Abs(hn::Sub(x, y)), most))) return false;
    if (threshold > 0) continue;
    if (!hn::AllTrue(bits, hn::Eq(hn::BitCast(bits, x), hn::BitCast(bits, y)))) return false;
  }
  return true;
}

/// The same for i8: |n - kept n| * scale <= threshold.
HWY_INLINE bool within_bytes(const std::int8_t* a, const std::int8_t* b, const float* scale, std::int64_t channels,
                             float threshold) {
  if (!(threshold > 0)) return std::memcmp(a, b, static_cast<std::size_t>(channels)) == 0;
  const Floats d;
  const FloatVector most = hn::Set(d, threshold);
  for (std::int64_t c = 0; c < channels; c += kLanes) {
    const std::int64_t n = std::min<std::int64_t>(kLanes, channels - c);
    const auto load = [&](const std::int8_t* p) HWY_ATTR {
      return n == kLanes ? from_bytes(p + c) : from_bytes(SomeNumbers<std::int8_t>(p + c, n).data());
    };
    const FloatVector apart = hn::Mul(hn::Abs(hn::Sub(load(a), load(b))), load_lanes(scale + c, n));
    if (!hn::AllTrue(d, hn::Le(apart, most))) return false;
  }
  return true;
}

template <>
HWY_INLINE bool within<DType::kI8>(const ConstRowView& values, std::int64_t i, const RowView& kept, std::int64_t p,
                                   float threshold) {
  return within_bytes(row_bytes<const std::int8_t>(values, i), row_bytes<const std::int8_t>(kept, p), kept.scales.scale,
                      kept.channels, threshold);
}

struct CommitRows {
  const ConstRowView& values;
  const std::int32_t* rows;
  std::int64_t first, last;
  float threshold;
  const RowView& kept;
  std::uint8_t* mask;

  template <DType kType>
  HWY_INLINE void run() const {
    const std::size_t bytes = static_cast<std::size_t>(kept.channels) * size_of(kType);
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t p = rows ? rows[i] : i;
      if (within<kType>(values, i, kept, p, threshold)) continue;
      std::memcpy(row_bytes<std::byte>(kept, p), row_bytes<const std::byte>(values, i), bytes);
      mask[p] = 1;
    }
  }
};

/// VideoKernels::commit for rows [first, last) of `values`, after the mask was cleared.
void commit_rows(const ConstRowView& values, const std::int32_t* rows, std::int64_t first, std::int64_t last,
                 float threshold, const RowView& kept, std::uint8_t* mask) {
  with_numbers(values.dtype, CommitRows{values, rows, first, last, threshold, kept, mask});
}

/// any[x] = whether the kernel x kernel bytes from `from` + x on hold an active one, for x of [0, n). Reads and writes
/// up to kMaskSlack bytes more.
void any_in_windows(const std::uint8_t* from, std::int64_t pitch, std::int64_t kernel, std::int64_t n,
                    std::uint8_t* any) {
  const hn::CappedTag<std::uint8_t, kMaskSlack> d;
  for (std::int64_t x = 0; x < n; x += static_cast<std::int64_t>(hn::Lanes(d))) {
    auto active = hn::Zero(d);
    for (std::int64_t i = 0; i < kernel; ++i)
      for (std::int64_t j = 0; j < kernel; ++j) active = hn::Or(active, hn::LoadU(d, from + i * pitch + x + j));
    hn::StoreU(active, d, any + x);
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(any_in_windows);
HWY_EXPORT(commit_rows);
namespace {

constexpr std::int64_t kWord = sizeof(std::uint64_t);

std::uint64_t word_at(const std::uint8_t* p) {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

// a[i] |= b[i]; the two do not overlap.
void or_into(std::uint8_t* __restrict a, const std::uint8_t* __restrict b, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) a[i] |= b[i];
}

std::int64_t count_active(const std::uint8_t* mask, std::int64_t n) {
  constexpr std::int64_t kMostWords = 255;  // whose bytes add up in a byte
  constexpr std::uint64_t kEvenBytes = 0x00ff00ff00ff00ff, kOnes = 0x0001000100010001;
  std::int64_t active = 0;
  while (n >= kWord) {
    const std::int64_t words = std::min(kMostWords, n / kWord);
    std::uint64_t sums = 0;
    for (std::int64_t w = 0; w < words; ++w) sums += word_at(mask + w * kWord);
    const std::uint64_t pairs = (sums & kEvenBytes) + (sums >> 8 & kEvenBytes);
    active += static_cast<std::int64_t>(pairs * kOnes >> 48);
    mask += words * kWord;
    n -= words * kWord;
  }
  while (n > 0) active += mask[--n];
  return active;
}

// A mask of the pixels of an axis between borders of kernel - 1. Output o reads `kernel` of them from place(o) on.
// Outputs outside [first, last) have no pixel of the image in their windows.
struct Axis {
  std::int64_t stride, offset, first, last;

  Axis(const Window2d& window, std::int64_t pixels, std::int64_t outputs)
      : stride(window.stride), offset(window.kernel - 1 - window.padding) {
    first = std::clamp<std::int64_t>((stride - 1 - offset) / stride, 0, outputs);
    last = std::clamp((pixels + window.kernel - 2 - offset) / stride + 1, first, outputs);
  }
  std::int64_t place(std::int64_t output) const { return output * stride + offset; }
};

// The scratch of a mask between its borders, and of a row of results.
class BorderedMask {
 public:
  BorderedMask(const Context& context, std::int64_t kernel, Extent2d extent)
      : pitch_(extent.width + 2 * (kernel - 1)), kernel_(kernel) {
    const std::int64_t bytes = (extent.height + 2 * (kernel - 1)) * pitch_ + kMaskSlack;
    pixels_ = context.arena->allocate<std::uint8_t>(bytes);
    any_ = context.arena->allocate<std::uint8_t>(pitch_ + kMaskSlack);
    std::memset(pixels_, 0, static_cast<std::size_t>(bytes));
  }
  std::uint8_t* row(std::int64_t y) { return pixels_ + y * pitch_; }

  // For the windows that start in row y, at columns [0, n).
  const std::uint8_t* any_in_windows(std::int64_t y, std::int64_t n) {
    HWY_DYNAMIC_DISPATCH(any_in_windows)(row(y), pitch_, kernel_, n, any_);
    return any_;
  }

 private:
  std::int64_t pitch_, kernel_;
  std::uint8_t* pixels_;
  std::uint8_t* any_;
};

// to[i] = from[i * stride]
void take_every(std::int64_t stride, const std::uint8_t* from, std::int64_t n, std::uint8_t* to) {
  if (stride == 2) {
    for (std::int64_t i = 0; i < n; ++i) to[i] = from[2 * i];
  } else {
    for (std::int64_t i = 0; i < n; ++i) to[i] = from[stride * i];
  }
}

}  // namespace

std::int64_t reached(const Context& context, const Window2d& window, Extent2d in_extent, const std::uint8_t* in,
                     std::uint8_t* out) {
  const Extent2d out_extent = window.out(in_extent);
  const Axis rows(window, in_extent.height, out_extent.height), columns(window, in_extent.width, out_extent.width);
  const std::int64_t border = window.kernel - 1;
  const Arena::Mark mark = context.arena->mark();
  BorderedMask bordered(context, window.kernel, in_extent);
  for (std::int64_t y = 0; y < in_extent.height; ++y)
    std::memcpy(bordered.row(y + border) + border, in + y * in_extent.width, static_cast<std::size_t>(in_extent.width));
  std::memset(out, 0, static_cast<std::size_t>(out_extent.pixels()));
  for (std::int64_t y = rows.first; y < rows.last; ++y) {
    const std::uint8_t* any = bordered.any_in_windows(rows.place(y), in_extent.width + border);
    take_every(window.stride, any + columns.place(columns.first), columns.last - columns.first,
               out + y * out_extent.width + columns.first);
  }
  context.arena->rewind(mark);
  return count_active(out, out_extent.pixels());
}

// An input pixel lies in the window of output o where place(o) is one of the `kernel` places from its own on: the same
// search in a mask of the outputs at their places.
std::int64_t needed(const Context& context, const Window2d& window, Extent2d in_extent, const std::uint8_t* out,
                    std::uint8_t* in) {
  const Extent2d out_extent = window.out(in_extent);
  const Axis rows(window, in_extent.height, out_extent.height), columns(window, in_extent.width, out_extent.width);
  const Arena::Mark mark = context.arena->mark();
  BorderedMask places(context, window.kernel, in_extent);
  for (std::int64_t y = rows.first; y < rows.last; ++y)
    for (std::int64_t x = columns.first; x < columns.last; ++x)
      places.row(rows.place(y))[columns.place(x)] = out[y * out_extent.width + x];
  for (std::int64_t y = 0; y < in_extent.height; ++y)
    std::memcpy(in + y * in_extent.width, places.any_in_windows(y, in_extent.width),
                static_cast<std::size_t>(in_extent.width));
  context.arena->rewind(mark);
  return count_active(in, in_extent.pixels());
}

std::int64_t unite(const Context&, std::uint8_t* a, const std::uint8_t* b, std::int64_t pixels) {
  or_into(a, b, pixels);
  return count_active(a, pixels);
}

std::int64_t commit(const Context& context, const ConstRowView& values, Pixels pixels, float threshold,
                    const RowView& kept, std::uint8_t* mask) {
  constexpr std::int64_t kGrain = 1024;
  const auto commit_rows = HWY_DYNAMIC_DISPATCH(commit_rows);
  std::memset(mask, 0, static_cast<std::size_t>(kept.count));
  parallel_ranges(context, pixels.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    commit_rows(values, pixels.rows, first, last, threshold, kept, mask);
  });
  return count_active(mask, kept.count);
}

}  // namespace voxshift::cpu
#endif
