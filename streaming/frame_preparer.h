// Camera frames to what a network's stream takes.
#pragma once

#include <voxshift/streaming/camera_frame.h>
#include <voxshift/streaming/frame_profile.h>
#include <voxshift/tensor/array.h>

#include <memory>

namespace voxshift {

/// Turns frames upright, scales the shorter side to the profile's `resize` and cuts the middle `height` x `width` out:
/// what FrameSource does with files, within 1 level of it. Only pixels that the middle is made of are computed.
///
/// 4:2:0 becomes 8-bit red, green and blue first, every pixel by itself with the chroma of its 2 x 2 pixels, within 0.6
/// of YuvColours' equation, cut off at 0 and 255. A longer side of n pixels becomes floor(resize * n / shorter). With
/// s = n / scaled of an axis, output o is, where the picture shrinks, the mean of [o s, (o + 1) s), in which pixel i is
/// the interval [i, i + 1); where it grows, linear between pixels at (o + 1/2) s - 1/2, the outermost ones going on
/// beyond the edge; where `resize` is the shorter side, pixel o. Rounded to the nearest, within 0.52 of that equation;
/// the same bits on every machine.
///
/// Not for several threads at once. After the first frame of a size and format nothing is allocated.
class FramePreparer {
 public:
  /// Throws InvalidArgument for a height or width below 1 or above `resize`, and a `resize` above 4096.
  explicit FramePreparer(const FrameProfile& profile);
  ~FramePreparer();
  FramePreparer(FramePreparer&&) noexcept;
  FramePreparer& operator=(FramePreparer&&) noexcept;

  /// u8 [height, width, 3], RGB, on the CPU, for FrameStream::push. The memory is reused by the next call. Throws
  /// InvalidArgument as check_camera_frame(), for a side that is more than 64 times the other, and for one that is more
  /// than 256 times what it is scaled to; the array that was given last is as it was then.
  const Array& prepare(const CameraFrame& frame);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace voxshift
