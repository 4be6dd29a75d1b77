// Depthwise convolution 3 x 3 of i8 by an instruction that multiplies and sums four neighbouring bytes: of every pixel
// and channel the bytes of four image rows lie side by side, row y as byte y % 4, so that a column of three taps is one
// step. Numbers are bytes of x + 128; rows and columns outside the image give nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace voxshift::cpu {

/// What a sum becomes: min(high, max(low, (sum * multiplier + bias) * inverse)), to the nearest whole number. All that
/// is finite, 0 < inverse.
struct QuadEnd {
  const float *multiplier, *bias;  ///< [16 * panels]
  const float* inverse;            ///< [channels]
  std::int64_t channels;           ///< of the panels, those that exist
  float low, high;                 ///< of the activation
};

/// Numbers of rows of pixels, which go to their places in the ring.
struct QuadFill {
  const void* sums;  ///< int32; or f32, which are values, and of `end` the inverse alone counts
  std::int64_t stride;
  std::int64_t first, count;   ///< pixels of the image
  const std::int32_t* pixels;  ///< [count], ascending, or null: first, first + 1, ..
  std::int64_t panels;
  QuadEnd end;
};

/// One row of outputs.
struct QuadFilter {
  std::int64_t y, height;  ///< output row, and rows of the image
  std::int64_t step;       ///< 1 or 2: of the window, whose padding is 1
  std::int64_t count;
  const std::int32_t* pixels;  ///< [count]: of the output image, all of row y, or null: columns 0, 1, ..
  std::int64_t out_width;
  const std::byte* weights;  ///< quads of the panels
  std::int64_t panels;
  QuadEnd end;
  std::byte* to;  ///< bytes of x + 128
  std::int64_t to_stride;
};

/// A ring of four rows of an image, panel by panel.
struct QuadRing {
  std::byte* memory;
  std::int64_t width;

  static std::int64_t bytes(std::int64_t width, std::int64_t panels) { return panels * (width + 2) * 64; }
  std::byte* panel(std::int64_t p) const { return memory + p * (width + 2) * 64; }
};

struct QuadKernels {
  void (*start)(const QuadRing& ring, std::int64_t panels);  ///< zeros beside the image
  void (*fill)(const QuadRing& ring, const QuadFill& fill);
  void (*fill_values)(const QuadRing& ring, const QuadFill& fill);  ///< of f32; NaN gives 0
  void (*filter)(const QuadRing& ring, const QuadFilter& filter);
};

/// Bytes of a panel's weights: for each of the three columns, byte 4 c + i is weight [i, column] of channel c.
constexpr std::int64_t kQuadPanelBytes = 3 * 64;

/// Null where narrow_product() of i8 is another than VNNI's of 512 bits.
const QuadKernels* quad_kernels();

#if defined(__x86_64__)
extern const QuadKernels kVnniQuads;
#endif

}  // namespace voxshift::cpu
