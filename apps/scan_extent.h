// The square of ground that a picture of a scan shows, stray points left out.
#pragma once

#include <voxshift/tasks/quantile.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace voxshift {

/// The square of ground that holds a scan, in metres.
struct ScanExtent {
  double x = 0, y = 0, z = 0;  ///< its middle: the sensor, where that is among the points; z of the middle point
  double half = 50;
  bool has_sensor = true;
};

/// Around the sensor to the 99 % farthest point, at most 50 m; around the points where the sensor is not among them.
/// Of finite coordinates.
inline ScanExtent extent_of(std::vector<float> xs, std::vector<float> ys, std::vector<float> zs) {
  if (xs.empty()) return {};
  std::vector<float> reach;
  for (std::size_t i = 0; i < xs.size(); ++i) reach.push_back(std::max(std::abs(xs[i]), std::abs(ys[i])));
  const double left = quantile(xs, 0.01), right = quantile(xs, 0.99);
  const double bottom = quantile(ys, 0.01), top = quantile(ys, 0.99);
  const double middle = quantile(zs, 0.5);
  const double size = std::max({right - left, top - bottom, 1.0});
  const double near = std::max(size / 2, 50.0);
  if (left - near <= 0 && right + near >= 0 && bottom - near <= 0 && top + near >= 0)
    return {0, 0, middle, std::clamp(1.05 * quantile(reach, 0.99), 1.0, 50.0), true};
  return {(left + right) / 2, (bottom + top) / 2, middle, 0.55 * size, false};
}

}  // namespace voxshift
