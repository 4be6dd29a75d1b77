// Bytes as a camera's frame: its numbers first, then planes whose memory ends where they say.
#include <voxshift/streaming/frame_preparer.h>

#include <algorithm>
#include <vector>

#include "fuzz_input.h"

namespace voxshift::fuzz {
namespace {

/// Numbers and bytes off the front; zeros behind the end.
class FrameBytes {
 public:
  FrameBytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  template <class T>
  T number() {
    T value{};
    std::ranges::copy(take(sizeof value), reinterpret_cast<std::uint8_t*>(&value));
    return value;
  }

  /// As many as are left of `count`, in memory of their own.
  std::vector<std::uint8_t> take(std::size_t count) {
    count = std::min(count, size_);
    const std::vector<std::uint8_t> bytes(data_, data_ + count);
    data_ += count;
    size_ -= count;
    return bytes;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

/// Mostly numbers that a frame may have, at times any.
std::int64_t side(FrameBytes& bytes) {
  const auto value = bytes.number<std::uint8_t>();
  return value == 255 ? bytes.number<std::int64_t>() : value;
}

}  // namespace
}  // namespace voxshift::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voxshift;
  fuzz::FrameBytes bytes(data, size);
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
