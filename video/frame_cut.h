// Where the middle of a picture lies once its shorter side is scaled: for files and for camera frames alike.
#pragma once

#include <voxshift/video/window2d.h>

#include <algorithm>
#include <cstdint>

namespace voxshift {

/// How many times the other a side of a picture may be: it bounds the memory of the scaled picture.
constexpr std::int64_t kMostAspect = 64;

/// A picture as it is scaled, and the corner of the part of it that is cut out.
struct FrameCut {
  Extent2d scaled;
  std::int64_t top = 0, left = 0;
};

/// The shorter side becomes `resize`, a longer one of n pixels floor(resize * n / shorter), and the part is in the
/// middle, a half pixel to the top and left where it cannot be.
constexpr FrameCut cut_middle(Extent2d picture, std::int64_t resize, Extent2d part) {
  const std::int64_t shorter = std::min(picture.height, picture.width);
  const Extent2d scaled{resize * picture.height / shorter, resize * picture.width / shorter};
  return {scaled, (scaled.height - part.height) / 2, (scaled.width - part.width) / 2};
}

}  // namespace voxshift
