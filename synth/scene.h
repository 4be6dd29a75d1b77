// What the simulated LiDAR looks at: a ground with roads, and convex parts of which objects are made.
#pragma once

#include <voxshift/synth/ground.h>
#include <voxshift/synth/synth_object.h>

#include <cstddef>
#include <optional>
#include <vector>

namespace voxshift {

/// Metres; x ahead, y to the left, z up.
struct Vec3 {
  double x, y, z;
};

/// What a part is made of. A ray travels an exponentially distributed depth of mean 1 / extinction into it before it
/// returns, so an infinite extinction is an opaque surface and a small one is foliage.
struct Material {
  SemanticId id;
  double remission;   ///< share of the light returned at normal incidence
  double extinction;  ///< 1 / m
};

/// By how much a box is narrower at its top than at its bottom, 0 to 1, along its x and y axes.
struct Taper {
  double x = 0, y = 0;
};

/// A convex piece of an object: the image of a unit solid under scaling, a turn about z and a shift.
class Part {
 public:
  /// The unit solids: the cube [-1, 1]^3, x^2 + y^2 <= 1 within |z| <= 1, and the ball.
  enum class Shape { kBox, kCylinder, kEllipsoid };

  Part(Shape shape, Vec3 centre, Vec3 half_extent, double yaw, Material material, Taper taper = {});

  struct Interval {
    double enter, exit;  ///< metres along the ray
  };
  /// Where the ray from the sensor (the origin) along the unit vector `direction` is inside; nothing if it misses.
  std::optional<Interval> cross(Vec3 direction) const;

  /// |cos| of the angle between `direction` and the surface normal at `range` along it. Tapered sides count as upright.
  double incidence_cosine(Vec3 direction, double range) const;

  Vec3 centre() const { return centre_; }
  /// Along the axes of its own frame.
  Vec3 half_extent() const { return half_extent_; }
  double half_height() const { return half_extent_.z; }
  /// Radius of the vertical cylinder about the centre that holds the part.
  double horizontal_radius() const;
  const Material& material() const { return material_; }

 private:
  Vec3 to_unit(Vec3 vector) const;

  Shape shape_;
  Vec3 centre_, half_extent_;
  double cos_yaw_, sin_yaw_;
  Material material_;
  Taper taper_;
  Vec3 unit_origin_;  // the sensor in the unit solid's frame
};

/// The parts [begin, end) of a scene.
struct SceneObject {
  SynthKind kind;
  Box3d box;
  std::size_t begin, end;
};

struct Scene {
  Ground ground;
  std::vector<Part> parts;
  std::vector<SceneObject> objects;
};

}  // namespace voxshift
