// Depthwise sums of one vector of channels: bias, then the taps inside the image in row-major order, then the
// activation. Compiled once per instruction set, like matmul.h.
#if defined(VOXSHIFT_KERNELS_CPU_DEPTHWISE_TAPS_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VOXSHIFT_KERNELS_CPU_DEPTHWISE_TAPS_H
#undef VOXSHIFT_KERNELS_CPU_DEPTHWISE_TAPS_H
#else
#define VOXSHIFT_KERNELS_CPU_DEPTHWISE_TAPS_H
#endif

#include <hwy/highway.h>
#include <voxshift/kernels_cpu/packed_conv2d.h>
#include <voxshift/kernels_cpu/pixel_tile.h>

#include <algorithm>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Outputs that are summed side by side: 12 lie inside an image of width 14, 54 inside one of 56.
constexpr int kTogether = 6;

/// Weights of a kKernel x kKernel filter for kLanes channels, and the image rows that one output row reads: pixel x of
/// rows[i] starts at rows[i] + x * pixel_stride; a row outside the image is null.
template <int kKernel>
struct Taps {
  FloatVector weight[kKernel * kKernel], bias;
  const float* rows[kKernel];
  std::int64_t pixel_stride, width;

  /// For channels [channel, channel + kLanes); the rows are the caller's to set.
  HWY_INLINE Taps(const PackedDepthwise& weights, std::int64_t channel, std::int64_t distance, std::int64_t pixels)
      : pixel_stride(distance), width(pixels) {
    const Floats d;
#pragma GCC unroll 25
    for (int t = 0; t < kKernel * kKernel; ++t) weight[t] = hn::Load(d, weights.data + t * weights.stride() + channel);
    bias = hn::Load(d, weights.data + kKernel * kKernel * weights.stride() + channel);
  }

  /// Whether all taps of kCount neighbouring outputs lie inside the image, the leftmost one at `left`.
  template <int kCount, int kStride>
  HWY_INLINE bool inside(std::int64_t left) const {
    return left >= 0 && left + (kCount - 1) * kStride + kKernel <= width && rows[0] != nullptr &&
           rows[kKernel - 1] != nullptr;
  }

  /// The sum whose leftmost tap is at `left`, which may lie outside.
  template <int kStride>
  HWY_INLINE FloatVector sum(std::int64_t left) const {
    const Floats d;
    if (inside<1, kStride>(left)) {
      FloatVector one[1];
      sums<1, kStride, true>(left, one);
      return one[0];
    }
    FloatVector acc = bias;
#pragma GCC unroll 5
    for (int i = 0; i < kKernel; ++i) {
      if (rows[i] == nullptr) continue;
#pragma GCC unroll 5
      for (int j = 0; j < kKernel; ++j)
        if (left + j >= 0 && left + j < width)
          acc = hn::MulAdd(hn::LoadU(d, rows[i] + (left + j) * pixel_stride), weight[i * kKernel + j], acc);
    }
    return acc;
  }

  /// Sums of kCount neighbouring outputs, whose taps all lie between the image's left and right edge, and with kWhole
  /// between top and bottom, too: each input is loaded once.
  template <int kCount, int kStride, bool kWhole>
  HWY_INLINE void sums(std::int64_t left, FloatVector (&acc)[kCount]) const {
    const Floats d;
    constexpr int kInputs = (kCount - 1) * kStride + kKernel;
#pragma GCC unroll 8
    for (int n = 0; n < kCount; ++n) acc[n] = bias;
#pragma GCC unroll 5
    for (int i = 0; i < kKernel; ++i) {
      if (!kWhole && rows[i] == nullptr) continue;
      const float* const row = rows[i] + left * pixel_stride;
      FloatVector in[kInputs];
#pragma GCC unroll 16
      for (int x = 0; x < kInputs; ++x) in[x] = hn::LoadU(d, row + x * pixel_stride);
#pragma GCC unroll 5
      for (int j = 0; j < kKernel; ++j)
#pragma GCC unroll 8
        for (int n = 0; n < kCount; ++n) acc[n] = hn::MulAdd(in[n * kStride + j], weight[i * kKernel + j], acc[n]);
    }
  }

  /// All outputs of a row: store(x, sum).
  template <int kStride, class Store>
  HWY_INLINE void row(std::int64_t out_width, std::int64_t padding, const Store& store) const {
    if (std::find(rows, rows + kKernel, nullptr) == rows + kKernel) {
      row_of<kStride, true>(out_width, padding, store);
    } else {
      row_of<kStride, false>(out_width, padding, store);
    }
  }

 private:
  /// The sum whose taps [kFirst, kLast) of every row lie between the edges, and no others.
  template <int kFirst, int kLast, bool kWhole>
  HWY_INLINE FloatVector part(std::int64_t left) const {
    const Floats d;
    FloatVector acc = bias;
#pragma GCC unroll 5
    for (int i = 0; i < kKernel; ++i) {
      if (!kWhole && rows[i] == nullptr) continue;
#pragma GCC unroll 5
      for (int j = kFirst; j < kLast; ++j)
        acc = hn::MulAdd(hn::LoadU(d, rows[i] + (left + j) * pixel_stride), weight[i * kKernel + j], acc);
    }
    return acc;
  }

  /// A sum at the left or right edge.
  template <int kStride, bool kWhole>
  HWY_INLINE FloatVector edge(std::int64_t left) const {
    if constexpr (kKernel == 3) {
      if (left == -1 && width >= 2) return part<1, 3, kWhole>(left);
      if (left >= 0 && left == width - 2) return part<0, 2, kWhole>(left);
    }
    return sum<kStride>(left);
  }

  template <int kStride, bool kWhole, class Store>
  HWY_INLINE void row_of(std::int64_t out_width, std::int64_t padding, const Store& store) const {
    // outputs [first, last) have all of their taps between the edges
    const std::int64_t first = std::min(out_width, (padding + kStride - 1) / kStride);
    const std::int64_t last =
        width + padding < kKernel ? first : std::clamp((width + padding - kKernel) / kStride + 1, first, out_width);
    std::int64_t x = 0;
    for (; x < first; ++x) store(x, edge<kStride, kWhole>(x * kStride - padding));
    for (; x + kTogether <= last; x += kTogether) {
      FloatVector acc[kTogether];
      sums<kTogether, kStride, kWhole>(x * kStride - padding, acc);
#pragma GCC unroll 8
      for (int n = 0; n < kTogether; ++n) store(x + n, acc[n]);
    }
    for (; x < last; ++x) {
      FloatVector acc[1];
      sums<1, kStride, kWhole>(x * kStride - padding, acc);
      store(x, acc[0]);
    }
    for (; x < out_width; ++x) store(x, edge<kStride, kWhole>(x * kStride - padding));
  }
};

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
