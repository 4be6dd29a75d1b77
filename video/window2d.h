// Which input pixels an output pixel of a 2-D convolution or pooling reads.
#pragma once

#include <cstdint>

namespace voxshift {

/// Height and width of an image in pixels.
struct Extent2d {
  std::int64_t height = 0, width = 0;

  constexpr std::int64_t pixels() const { return height * width; }
  bool operator==(const Extent2d&) const = default;
};

/// The largest kernel that backends take.
constexpr std::int64_t kMostKernel2d = 11;

/// Output (y, x) reads inputs (y * stride - padding + i, x * stride - padding + j) for i, j of [0, kernel), as in
/// torch.nn.functional.conv2d.
struct Window2d {
  std::int64_t kernel = 1, stride = 1, padding = 0;

  /// floor((n + 2 padding - kernel) / stride) + 1 on both axes.
  Extent2d out(Extent2d in) const {
    return {(in.height + 2 * padding - kernel) / stride + 1, (in.width + 2 * padding - kernel) / stride + 1};
  }
  bool pointwise() const { return kernel == 1 && stride == 1 && padding == 0; }
  bool operator==(const Window2d&) const = default;
};

}  // namespace voxshift
