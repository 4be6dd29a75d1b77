// What the simulated LiDAR looks at: a ground with a road, and convex parts of which objects are made.
#pragma once

#include <voxshift/synth/random.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace voxshift {

/// Metres; x ahead, y to the left, z up.
struct Vec3 {
  double x, y, z;
};

/// Raw ids of SemanticKITTI.
enum class SemanticId : std::uint32_t {
  kCar = 10,
  kTruck = 18,
  kPerson = 30,
  kBicyclist = 31,
  kRoad = 40,
  kParking = 44,
  kSidewalk = 48,
  kBuilding = 50,
  kFence = 51,
  kVegetation = 70,
  kTrunk = 71,
  kTerrain = 72,
  kPole = 80,
  kTrafficSign = 81,
};

/// What a part is made of. A ray travels an exponentially distributed depth of mean 1 / extinction into it before it
/// returns, so an infinite extinction is an opaque surface and a small one is foliage.
struct Material {
  SemanticId id;
  double remission;   // share of the light returned at normal incidence
  double extinction;  // 1 / m
};

/// A convex piece of an object: the image of a unit solid under scaling, a turn about z and a shift.
class Part {
 public:
  /// The unit solids: the cube [-1, 1]^3, x^2 + y^2 <= 1 within |z| <= 1, and the ball.
  enum class Shape { kBox, kCylinder, kEllipsoid };

  Part(Shape shape, Vec3 centre, Vec3 half_extent, double yaw, Material material);

  struct Interval {
    double enter, exit;  // metres along the ray
  };
  /// Where the ray from the sensor (the origin) along the unit vector `direction` is inside; nothing if it misses.
  std::optional<Interval> cross(Vec3 direction) const;

  /// |cos| of the angle between `direction` and the surface normal at `range` along it.
  double incidence_cosine(Vec3 direction, double range) const;

  Vec3 centre() const { return centre_; }
  /// Radius of the vertical cylinder about the centre that holds the part.
  double horizontal_radius() const;
  const Material& material() const { return material_; }

 private:
  Vec3 to_unit(Vec3 vector) const;

  Shape shape_;
  Vec3 centre_, half_extent_;
  double cos_yaw_, sin_yaw_;
  Material material_;
  Vec3 unit_origin_;  // the sensor in the unit solid's frame
};

/// Height of the sensor over the road, metres (that of the KITTI car).
inline constexpr double kSensorHeight = 1.73;

/// The height field z(x, y) with a road along x, a side street, kerbs, sidewalks and open terrain.
class Ground {
 public:
  static constexpr double kParkingWidth = 2.2;  // m

  explicit Ground(Random& random);

  /// z in metres, the sensor being at 0.
  double height(double x, double y) const;
  /// Road, Parking, Sidewalk or Terrain.
  SemanticId surface(double x, double y) const;

  /// y of the road's centre line, and its heading in radians.
  double centre_line(double x) const;
  double heading(double x) const;
  double half_width() const { return half_width_; }
  /// Metres from the centre line to the kerb on `side` (-1 right, +1 left); a parking lane widens the road.
  double kerb_offset(double x, int side) const;
  /// Metres beyond the nearest kerb; negative on the roadway.
  double beyond_kerb(double x, double y) const;
  double sidewalk_width() const { return sidewalk_width_; }
  /// x of the side street's centre.
  double side_street() const { return side_street_; }

  struct Span {
    double begin, end;
  };
  /// x range of the parking lane on `side`.
  const Span& parking(int side) const { return parking_[side > 0]; }

 private:
  struct Wave {
    double amplitude, kx, ky, phase;  // amplitude * sin(kx x + ky y + phase): m, rad / m, rad
  };
  double undulation(double x, double y) const;

  double half_width_, sidewalk_width_, curvature_, centre_offset_, side_street_;
  std::array<Span, 2> parking_;
  std::array<double, 2> bank_;    // slope of the terrain away from the road: right, left
  std::array<Wave, 4> hills_;     // decimetres high, tens of metres long
  std::array<Wave, 3> tussocks_;  // on terrain only
  double datum_;                  // undulation at the sensor
};

}  // namespace voxshift
