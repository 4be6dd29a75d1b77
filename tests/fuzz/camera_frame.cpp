// Bytes as a camera's frame: its numbers first, then planes whose memory ends where they say.
#include <voxshift/streaming/frame_preparer.h>

#include "fuzz_input.h"
#include "taken_bytes.h"

namespace voxshift::fuzz {
namespace {

/// Mostly numbers that a frame may have, at times any.
std::int64_t side(TakenBytes& bytes) {
  const auto value = bytes.number<std::uint8_t>();
  return value == 255 ? bytes.number<std::int64_t>() : value;
}

}  // namespace
}  // namespace voxshift::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voxshift;
  fuzz::TakenBytes bytes(data, size);
  FrameProfile profile;
  profile.resize = 1 + bytes.number<std::uint8_t>() % 64;
  profile.height = 1 + bytes.number<std::uint8_t>() % profile.resize;
  profile.width = 1 + bytes.number<std::uint8_t>() % profile.resize;
  CameraFrame frame;
  frame.format = static_cast<PixelFormat>(bytes.number<std::uint8_t>() % 10);
  frame.colours = static_cast<YuvColours>(bytes.number<std::uint8_t>() % 5);
  frame.rotation = bytes.number<std::int8_t>() % 5 * 90;
  frame.width = fuzz::side(bytes);
  frame.height = fuzz::side(bytes);
  std::array<std::vector<std::uint8_t>, 3> planes;
  for (std::size_t i = 0; i < planes.size(); ++i) {
    frame.planes[i].row_stride = fuzz::side(bytes);
    frame.planes[i].pixel_stride = fuzz::side(bytes);
    planes[i] = bytes.take(bytes.number<std::uint16_t>());
    frame.planes[i].data = planes[i].data();
    frame.planes[i].bytes = planes[i].size();
  }
  FramePreparer preparer(profile);
  fuzz::may_refuse([&] {
    const std::size_t given = preparer.prepare(frame).bytes();
    fuzz::expect(given == static_cast<std::size_t>(3 * profile.height * profile.width),
                 "a frame of the profile's size");
  });
  return 0;
}
