#include "scan_colours.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "class_colours.h"
#include "scan_extent.h"

namespace voxshift {
namespace {

/// The colour at x in 0..1, linear between those of 0, 1/4 .. 1: blue, cyan, green, yellow, red, none of them dark.
Rgb scale_colour(float x) {
  constexpr std::array<Rgb, 5> kScale = {
      {{70, 110, 255}, {40, 200, 235}, {90, 220, 90}, {250, 220, 50}, {240, 60, 40}}};
  const float place = 4 * x;
  const auto below = std::min(static_cast<std::size_t>(place), std::size_t{3});
  const float above = place - static_cast<float>(below);
  Rgb rgb;
  for (std::size_t c = 0; c < 3; ++c)
    rgb[c] = static_cast<std::uint8_t>(std::lround((1 - above) * kScale[below][c] + above * kScale[below + 1][c]));
  return rgb;
}

std::vector<std::uint8_t> spread_over_scale(const std::vector<float>& values) {
  std::vector<float> finite;
  std::ranges::copy_if(values, std::back_inserter(finite), [](float value) { return std::isfinite(value); });
  if (finite.empty()) finite = {0};
  const float low = quantile(finite, 0.01), high = quantile(finite, 0.98);
  std::vector<std::uint8_t> rgb;
  rgb.reserve(3 * values.size());
  for (const float value : values) {
    const float x = high > low && std::isfinite(value) ? std::clamp((value - low) / (high - low), 0.0f, 1.0f) : 0.5f;
    std::ranges::copy(scale_colour(x), std::back_inserter(rgb));
  }
  return rgb;
}

}  // namespace

std::vector<std::uint8_t> class_colours(std::span<const std::uint8_t> labels, std::span<const ClassInfo> classes) {
  const auto colours = colours_of(classes);
  std::vector<std::uint8_t> rgb;
  rgb.reserve(3 * labels.size());
  for (const std::uint8_t label : labels) std::ranges::copy(colours[label], std::back_inserter(rgb));
  return rgb;
}

ScanColours own_colours(const PointCloud& scan) {
  if (!scan.rgb.empty()) return {scan.rgb, "the file's own colours"};
  const std::size_t column = scan.has_remission ? 3 : 2;
  std::vector<float> values;
  for (std::size_t i = column; i < scan.points.size(); i += static_cast<std::size_t>(scan.columns))
    values.push_back(scan.points[i]);
  return {spread_over_scale(values), scan.has_remission ? "remission" : "height"};
}

}  // namespace voxshift
