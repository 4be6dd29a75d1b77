#include <voxshift/streaming/camera_frame.h>
#include <voxshift/streaming/camera_planes.h>
#include <voxshift/tensor/error.h>

#include <algorithm>

namespace voxshift {
namespace {

constexpr const char* kCameraFrame = "[camera_frame] ";

struct PlaneLayout {
  std::int64_t columns = 0, rows = 0;
  int pixel_bytes = 1;
  bool gaps = false;  ///< whether there may be any between pixels

  std::int64_t bytes() const { return columns * rows * pixel_bytes; }
};

struct FrameLayout {
  std::size_t count = 0;
  std::array<PlaneLayout, 3> planes;
};

FrameLayout layout_of(const CameraFrame& frame) {
  const std::int64_t columns = (frame.width + 1) / 2, rows = (frame.height + 1) / 2;
  const PlaneLayout luma{frame.width, frame.height}, chroma{columns, rows, 1, frame.format == PixelFormat::kYuv420};
  switch (frame.format) {
    case PixelFormat::kRgb:
    case PixelFormat::kBgr:
      return {1, {PlaneLayout{frame.width, frame.height, 3}}};
    case PixelFormat::kRgba:
    case PixelFormat::kBgra:
      return {1, {PlaneLayout{frame.width, frame.height, 4}}};
    case PixelFormat::kNv12:
    case PixelFormat::kNv21:
      return {2, {luma, PlaneLayout{columns, rows, 2}}};
    case PixelFormat::kI420:
    case PixelFormat::kYuv420:
      return {3, {luma, chroma, chroma}};
  }
  throw InvalidArgument("[camera_frame] expected a PixelFormat, found " +
                        std::to_string(static_cast<int>(frame.format)));
}

void check_picture(const CameraFrame& frame) {
  const std::int64_t shorter = std::min(frame.width, frame.height), longer = std::max(frame.width, frame.height);
  check(shorter >= 1 && longer <= CameraFrame::kMostSide, kCameraFrame, "expected sides of 1 to ",
        CameraFrame::kMostSide, " pixels, found ", frame.width, " x ", frame.height);
  check(frame.rotation == 0 || frame.rotation == 90 || frame.rotation == 180 || frame.rotation == 270, kCameraFrame,
        "expected a rotation of 0, 90, 180 or 270 degrees, found ", frame.rotation);
  check(frame.colours >= YuvColours::kBt601 && frame.colours <= YuvColours::kBt709Full, kCameraFrame,
        "expected colours of YuvColours, found ", static_cast<int>(frame.colours));
}

/// The plane with its strides given. No product may overflow.
FramePlane complete_plane(FramePlane plane, std::size_t number, const PlaneLayout& layout) {
  const auto expect = [&](bool good, const auto&... text) { check(good, kCameraFrame, "plane ", number, text...); };
  expect(plane.data != nullptr, ": expected bytes, found none");
  if (plane.pixel_stride == 0) plane.pixel_stride = layout.pixel_bytes;
  const std::int64_t most = layout.gaps ? CameraFrame::kMostSide : layout.pixel_bytes;
  expect(plane.pixel_stride >= layout.pixel_bytes && plane.pixel_stride <= most, ": expected a pixel stride of ",
         layout.pixel_bytes, layout.gaps ? " or more" : "", ", found ", plane.pixel_stride);
  const std::int64_t row = (layout.columns - 1) * plane.pixel_stride + layout.pixel_bytes, gaps = layout.rows - 1;
  if (plane.row_stride == 0) plane.row_stride = layout.columns * plane.pixel_stride;
  expect(plane.row_stride >= row, ": expected a row stride of ", row, " or more, found ", plane.row_stride);
  const auto needed = static_cast<std::size_t>(row), stride = static_cast<std::size_t>(plane.row_stride);
  const bool whole =
      plane.bytes >= needed && (gaps == 0 || stride <= (plane.bytes - needed) / static_cast<std::size_t>(gaps));
  expect(whole, ": expected ", gaps, " * ", stride, " + ", row, " bytes, found ", plane.bytes);
  return plane;
}

}  // namespace

CameraFrame complete_camera_frame(const CameraFrame& frame) {
  check_picture(frame);
  const FrameLayout layout = layout_of(frame);
  CameraFrame complete = frame;
  for (std::size_t i = 0; i < layout.count; ++i)
    complete.planes[i] = complete_plane(frame.planes[i], i, layout.planes[i]);
  return complete;
}

void check_camera_frame(const CameraFrame& frame) { complete_camera_frame(frame); }

CameraFrame CameraFrame::in_one(PixelFormat format, std::int64_t width, std::int64_t height, const std::uint8_t* data,
                                std::size_t bytes, int rotation) {
  CameraFrame frame{format, width, height, {}, rotation};
  check_picture(frame);
  check(data != nullptr, kCameraFrame, "expected bytes, found none");
  const FrameLayout layout = layout_of(frame);
  std::size_t needed = 0;
  for (const PlaneLayout& plane : layout.planes) needed += static_cast<std::size_t>(plane.bytes());
  check(bytes >= needed, kCameraFrame, "expected ", needed, " bytes of ", width, " x ", height, " pixels, found ",
        bytes);
  for (std::size_t i = 0; i < layout.count; ++i) {
    frame.planes[i] = {data, static_cast<std::size_t>(layout.planes[i].bytes())};
    data += layout.planes[i].bytes();
  }
  return frame;
}

}  // namespace voxshift
