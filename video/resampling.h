// Which pixels of an image a pixel of a resized or padded one is made of.
#pragma once

#include <voxshift/video/window2d.h>

#include <cstdint>

namespace voxshift {

/// How images of the extent `from` become images of `to`: the semantics of torch.nn.functional.interpolate and pad.
struct Resampling {
  enum class Kind {
    kNearest,   ///< input floor(o * from / to) of output o, per axis, in float32 as torch computes it
    kBilinear,  ///< mixed along both axes around input (o + 1/2) * from / to - 1/2, at least 0
    kPadded,    ///< input o - before, none outside the image
  };

  Kind kind = Kind::kNearest;
  Extent2d from, to;
  bool align_corners = false;  ///< of kBilinear: around input o * (from - 1) / (to - 1)
  Extent2d before = {};        ///< of kPadded: pixels above and to the left of the image

  bool operator==(const Resampling&) const = default;

  /// Sources of one pixel.
  constexpr int corners() const { return kind == Kind::kBilinear ? 4 : 1; }

  /// The sources of pixel p, counted through all images one after the other; `weights` where there are more than one.
  constexpr void sources(std::int64_t p, std::int32_t* indices, float* weights) const {
    const std::int64_t image = p / to.pixels() * from.pixels();
    const Along y = along(p / to.width % to.height, from.height, to.height, before.height);
    const Along x = along(p % to.width, from.width, to.width, before.width);
    for (int j = 0; j < corners(); ++j) {
      const std::int64_t row = y.at + (j / 2) * y.step, column = x.at + (j % 2) * x.step;
      const bool inside = row >= 0 && row < from.height && column >= 0 && column < from.width;
      indices[j] = inside ? static_cast<std::int32_t>(image + row * from.width + column) : -1;
      if (corners() > 1) weights[j] = (j / 2 > 0 ? y.share : 1 - y.share) * (j % 2 > 0 ? x.share : 1 - x.share);
    }
  }

 private:
  /// Of one axis: 1 - share of `at`, and `share` of at + step.
  struct Along {
    std::int64_t at, step;
    float share;
  };

  constexpr Along along(std::int64_t o, std::int64_t in, std::int64_t out, std::int64_t pad) const {
    if (kind == Kind::kPadded) return {o - pad, 0, 0};
    float scale = static_cast<float>(in) / static_cast<float>(out);
    if (align_corners) scale = out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0;
    float place = static_cast<float>(o) * scale;
    if (kind == Kind::kBilinear && !align_corners) place = (static_cast<float>(o) + 0.5f) * scale - 0.5f;
    if (place < 0) place = 0;
    std::int64_t at = static_cast<std::int64_t>(place);
    if (at > in - 1) at = in - 1;
    const float share = kind == Kind::kNearest ? 0 : place - static_cast<float>(at);
    return {at, at < in - 1 ? 1 : 0, share < 1 ? share : 1};
  }
};

}  // namespace voxshift
