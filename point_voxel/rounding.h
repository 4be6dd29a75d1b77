// How coordinates in metres become cells.
#pragma once

#include <array>
#include <optional>

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

/// What cells are counted along.
enum class CellAxes {
  kCartesian,    ///< x, y and z
  kCylindrical,  ///< sqrt(x^2 + y^2), atan2(y, x) in [-pi, pi], z: metres and radians, as Cylinder3D
};

/// The cell of a point: along each axis (p - origin) / size in float32, rounded; a point outside of `range` has none,
/// or where `clamped` that of the nearest place of [lowest, highest].
struct CellGrid {
  std::array<float, 3> size{}, origin{};
  Rounding rounding = Rounding::kFloor;
  std::optional<Range> range;
  CellAxes axes = CellAxes::kCartesian;
  bool clamped = false;

  bool operator==(const CellGrid&) const = default;
};

}  // namespace voxshift
