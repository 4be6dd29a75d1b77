// Windows of Conv and pooling as ONNX writes them.
#pragma once

#include <voxshift/onnx/call.h>

#include <array>
#include <string>

namespace voxshift::onnx {

/// Pixels around an image.
struct Sides {
  std::int64_t top = 0, left = 0, bottom = 0, right = 0;

  bool none() const { return *this == Sides{}; }
  bool symmetric() const { return top == bottom && left == right; }
  bool operator==(const Sides&) const = default;
};

/// A window over an image; [0] vertical, [1] horizontal.
struct ImageWindow {
  std::array<std::int64_t, 2> kernel{1, 1}, stride{1, 1}, dilation{1, 1};
  Sides pads;

  std::int64_t span(std::size_t axis) const { return dilation[axis] * (kernel[axis] - 1) + 1; }
  Extent2d out(Extent2d in) const;
};

/// The window of a node on an image, its pads as `auto_pad` or `pads` say and, where `ceil_mode` asks for it, so many
/// more as the last outputs need. Throws where it is none of two axes or leaves no pixel.
ImageWindow window_of(const Call& call, std::array<std::int64_t, 2> kernel, Extent2d in);

/// The image with zeros around it: the part itself where there are none.
Part padded(const Call& call, const Part& image, const Sides& sides);

/// A part like `image`, of another extent and other channels.
Part image_like(const Part& image, std::string name, std::int64_t channels, Extent2d extent);

}  // namespace voxshift::onnx
