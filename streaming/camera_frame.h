// A picture as a camera gives it: planes in memory that belongs to others.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace voxshift {

/// Rows from top to bottom, pixels from left to right, 8 bits a value. In 4:2:0 a picture of h x w pixels has
/// ceil(h / 2) x ceil(w / 2) values of each chroma, one for each 2 x 2 pixels.
enum class PixelFormat {
  kRgb,     ///< plane 0: red, green, blue of each pixel
  kBgr,     ///< plane 0: blue, green, red
  kRgba,    ///< plane 0: red, green, blue and one more byte, which is not read for anything
  kBgra,    ///< plane 0: blue, green, red and one more byte
  kNv12,    ///< 4:2:0; plane 0: luma; plane 1: U and V of each 2 x 2 pixels
  kNv21,    ///< 4:2:0; plane 0: luma; plane 1: V and U; Android's cameras of old
  kI420,    ///< 4:2:0; planes of luma, U and V; YV12 where planes 1 and 2 change places
  kYuv420,  ///< as kI420, and chroma may have gaps between pixels: Android's YUV_420_888
};

/// How luma Y and chroma U, V become red, green and blue R = y + 2 (1 - k_r) v, B = y + 2 (1 - k_b) u and
/// G = (y - k_r R - k_b B) / (1 - k_r - k_b), where k_r = 0.299, k_b = 0.114 by BT.601 and 0.2126, 0.0722 by BT.709.
/// Limited range: y = 255/219 (max(Y, 16) - 16), u = 255/224 (U - 128), v alike. Full range: y = Y, u = U - 128.
enum class YuvColours {
  kBt601,      ///< limited range, as OpenCV's cvtColor and most videos have it
  kBt601Full,  ///< full range: JPEG's, which Android's cameras give
  kBt709,      ///< limited range: cameras and videos in high definition
  kBt709Full,
};

/// Bytes of others that are only read. Row r, pixel p begins at data + r * row_stride + p * pixel_stride.
struct FramePlane {
  const std::uint8_t* data = nullptr;
  std::size_t bytes = 0;            ///< what may be read from `data` on
  std::ptrdiff_t row_stride = 0;    ///< bytes; 0: as many as a row's pixels take
  std::ptrdiff_t pixel_stride = 0;  ///< bytes; 0: what the format says, and only kYuv420's chroma may have another
};

struct CameraFrame {
  PixelFormat format = PixelFormat::kRgb;
  std::int64_t width = 0, height = 0;       ///< pixels, as they lie in memory
  std::array<FramePlane, 3> planes{};       ///< those that the format has
  int rotation = 0;                         ///< degrees clockwise by which the picture is turned to stand upright
  YuvColours colours = YuvColours::kBt601;  ///< of 4:2:0

  /// Sides that are taken.
  static constexpr std::int64_t kMostSide = 16384;

  /// The planes of a picture that lies in memory as one, plane after plane and without gaps. Throws InvalidArgument
  /// as check_camera_frame().
  static CameraFrame in_one(PixelFormat format, std::int64_t width, std::int64_t height, const std::uint8_t* data,
                            std::size_t bytes, int rotation = 0);
};

/// Throws InvalidArgument for sides below 1 or above kMostSide, a plane that is missing or smaller than its strides
/// ask for, rows or pixels that overlap, and a rotation other than 0, 90, 180 and 270. No byte is read.
void check_camera_frame(const CameraFrame& frame);

}  // namespace voxshift
