// Where the middle and the ends of a set of numbers lie, stray ones left out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace voxshift {

/// The value below which `share` (0..1) of all lie; 0 where there is none. Changes their order.
inline float quantile(std::vector<float>& values, double share) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace voxshift
