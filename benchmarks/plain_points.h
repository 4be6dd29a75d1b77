// Plain loops over all points that searches and sampling are checked against.
#pragma once

#include <voxshift/tensor/array.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace voxshift::bench {

/// Finite points, rows of f32 [N, >= 3].
class PlainPoints {
 public:
  using Neighbor = std::pair<float, std::int32_t>;  ///< squared distance, row

  explicit PlainPoints(const Array& points) : points_(points) {}

  std::int64_t count() const { return points_.dim(0); }

  const float* at(std::int64_t row) const { return points_.data<float>() + row * points_.dim(1); }

  /// fma(dz, dz, fma(dy, dy, dx dx)) in float32: it decides who is nearer.
  static float squared_distance(const float* a, const float* b) {
    const float dx = a[0] - b[0], dy = a[1] - b[1], dz = a[2] - b[2];
    return std::fma(dz, dz, std::fma(dy, dy, dx * dx));
  }

  /// The points with d^2 <= radius2 in order of their rows.
  std::vector<Neighbor> within(const float* query, float radius2) const {
    std::vector<Neighbor> found;
    for (std::int64_t row = 0; row < count(); ++row)
      if (const float d2 = squared_distance(at(row), query); d2 <= radius2)
        found.emplace_back(d2, static_cast<std::int32_t>(row));
    return found;
  }

  /// The first k of them by (d^2, row), or all when there are fewer.
  std::vector<Neighbor> nearest(const float* query, std::size_t k,
                                float radius2 = std::numeric_limits<float>::infinity()) const {
    std::vector<Neighbor> found = within(query, radius2);
    std::sort(found.begin(), found.end());
    found.resize(std::min(k, found.size()));
    return found;
  }

  /// The first `samples` rows of furthest point sampling from row 0, ties to the lowest row.
  std::vector<std::int32_t> furthest(std::int64_t samples) const {
    std::vector<float> distance(static_cast<std::size_t>(count()), std::numeric_limits<float>::infinity());
    std::vector<std::int32_t> chosen{0};
    while (static_cast<std::int64_t>(chosen.size()) < samples) {
      for (std::size_t row = 0; row < distance.size(); ++row)
        distance[row] =
            std::min(distance[row], squared_distance(at(static_cast<std::int64_t>(row)), at(chosen.back())));
      chosen.push_back(
          static_cast<std::int32_t>(std::max_element(distance.begin(), distance.end()) - distance.begin()));
    }
    return chosen;
  }

 private:
  Array points_;
};

}  // namespace voxshift::bench
