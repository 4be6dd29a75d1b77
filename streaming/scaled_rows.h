// Rows of pixels scaled: what one axis is made of, and the loops over a row.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace voxshift {

/// How a picture becomes one of another size: FramePreparer's equations.
enum class FrameScaling { kNone, kShrink, kGrow };

/// The outputs [first, first + count) of an axis of `from` pixels that is scaled to `to`.
struct ScaledAxis {
  FrameScaling scaling = FrameScaling::kNone;
  std::int64_t from = 0, to = 0, first = 0, count = 0;
  /// kNone: pixel at[j] is output j. kGrow: output j is (1 - share[j]) of pixel at[j] and share[j] of the next.
  /// kShrink: output j ends with the first share[j + 1] of pixel at[j + 1], and the next one begins there.
  std::vector<std::int32_t> at;
  std::vector<float> share;

  /// Fills in `at` and `share`.
  void plan();

  /// The pixels [begin, end) that are read.
  std::int64_t begin() const;
  std::int64_t end() const;
};

/// Pixels of two rows that a longer row is made of, in steps of `unit`: sum += share * row, next = row - share * row.
void split_row(const std::uint8_t* row, std::int64_t count, int unit, float share, std::uint16_t* sum,
               std::uint16_t* next);

/// sum += row, in steps of `unit`.
void add_row(const std::uint8_t* row, std::int64_t count, int unit, std::uint16_t* sum);

/// mixed = 256 ((1 - share) * row + share * next).
void mix_rows(const std::uint8_t* row, const std::uint8_t* next, std::int64_t count, float share, std::uint16_t* mixed);

/// Output pixels of 4 bytes, of a row of `pixel_values` numbers a pixel, from axis.begin() on: the mean that the axis
/// asks for, times `scale`. Reads 4 numbers of each pixel, and kGrow those of the pixel after the last one, too.
void scale_row(const std::uint16_t* row, int pixel_values, const ScaledAxis& axis, float scale, std::uint8_t* pixels);

/// Three bytes of each pixel of `pixel_bytes`, by `order`, `step` bytes from one to the next.
void put_pixels(const std::uint8_t* pixels, int pixel_bytes, std::int64_t count, std::array<int, 3> order,
                std::uint8_t* to, std::int64_t step);

}  // namespace voxshift
