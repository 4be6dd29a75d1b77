// Rounding of coordinates to voxels, and the range that points must lie in.
#pragma once

#include <array>

namespace voxshift {

/// How a quotient becomes a cell.
enum class Rounding {
  kHalfEven,       ///< nearest, ties to even: numpy.round, spvnas
  kHalfAwayFrom0,  ///< nearest, ties away from 0: std::round
  kFloor,          ///< MinkowskiEngine, Pointcept
};

/// The box [lowest, highest) of x, y, z in metres that points must lie in.
struct Range {
  std::array<float, 3> lowest, highest;

  bool operator==(const Range&) const = default;
};

}  // namespace voxshift
