// The rows of a camera frame as red, green and blue.
#pragma once

#include <voxshift/streaming/camera_frame.h>

#include <array>
#include <cstdint>
#include <vector>

namespace voxshift {

/// Rows of a frame as pixels of 3 or 4 bytes, the plane's own or those that Y'CbCr is converted to. Converted are
/// pixels that are asked for, once.
class CameraRows {
 public:
  /// Of a complete frame, columns [begin, end).
  void open(const CameraFrame& frame, std::int64_t begin, std::int64_t end);

  int pixel_bytes() const { return pixel_bytes_; }
  std::int64_t row_bytes() const { return (end_ - begin_) * pixel_bytes_; }

  /// Which byte of a pixel is red, green, blue.
  std::array<int, 3> order() const { return order_; }

  /// Row y from column `begin` on: row_bytes(). Valid until the next but one row is asked for.
  const std::uint8_t* row(std::int64_t y);

 private:
  void read_chroma(std::int64_t y);
  const std::uint8_t* chroma(const FramePlane& plane, std::int64_t y, std::int64_t offset, std::uint8_t* scratch) const;

  CameraFrame frame_;
  std::int64_t begin_ = 0, end_ = 0;
  int pixel_bytes_ = 3;
  bool converts_ = false;
  std::array<int, 3> order_{};
  std::array<std::vector<std::uint8_t>, 2> converted_;  ///< from an even column on, 4 bytes a pixel
  std::array<std::int64_t, 2> converted_row_{};
  std::int64_t chroma_row_ = 0;
  std::array<std::vector<std::uint8_t>, 2> packed_;       ///< a row of U and of V without gaps
  std::array<std::vector<std::int16_t>, 3> differences_;  ///< of red, green, blue to the luma, for each pixel
};

}  // namespace voxshift
