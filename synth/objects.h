// The kinds of objects a simulated street has. Lengths in metres, angles in radians.
#pragma once

#include <voxshift/synth/scene.h>

#include <limits>
#include <utility>

namespace voxshift {

/// A point on the ground and the heading there.
struct Place {
  double x, y, yaw;

  /// The place `along` metres ahead of this one and `across` metres to its left.
  Place moved(double along, double across) const;
  Place turned(double angle) const { return {x, y, yaw + angle}; }
};

inline constexpr double kOpaque = std::numeric_limits<double>::infinity();

/// Puts objects into a scene. Each draws its own shape.
class ObjectBuilder {
 public:
  ObjectBuilder(Random& random, Ground ground) : random_(random), scene_{std::move(ground), {}, {}} {}

  const Ground& ground() const { return scene_.ground; }
  Scene take() { return std::move(scene_); }

  // vegetation.cpp
  void tree(Place at, double height);
  void conifer(Place at, double height);
  void bush(Place at, double size);
  void hedge(Place at, double length, double height, double thickness);
  /// Trees, bushes and undergrowth grown together.
  void thicket(Place at, double length, double depth, double height);
  /// Tall grass and weeds: vegetation where they stand above a lawn.
  void weeds(Place at, double size);

  // buildings.cpp
  /// The middle of its front stands at the place, along its heading; the house lies to the right of it.
  void house(Place front, double length, double depth, double height);
  void shed(Place at);
  void wall(Place at, double length, double height);
  void fence(Place at, double length, double height);
  void guard_rail(Place at, double length);

  // traffic.cpp
  void car(Place at);
  void van(Place at);
  void truck(Place at);
  void person(Place at);
  void bicyclist(Place at);
  void pole(Place at, double height, double radius);
  void lamp(Place at);
  void traffic_sign(Place at);
  void clutter(Place at);

 private:
  /// `height` is that of the part's centre over the ground at the place.
  void add(Part::Shape shape, Place at, double height, Vec3 half_extent, Material material, Taper taper = {});
  /// The same over a given z.
  void add_at(Part::Shape shape, Place at, double z, Vec3 half_extent, Material material, Taper taper = {});

  /// Clumps of leaves on and in an ellipsoid of these half extents, `height` over the ground.
  void foliage(Place at, double height, Vec3 half_extent, int count, double smallest, double largest,
               Material material);
  void facade(Place front, double length, double depth, double height, double base, Material wall);
  void upper_body(Place at, double hip_height, Material clothes);

  std::size_t part_count() const { return scene_.parts.size(); }
  /// Lists the parts from `begin` on, which share the heading of the place, as one object; its box bounds them.
  void list(SynthKind kind, Place at, std::size_t begin);

  Random& random_;
  Scene scene_;
};

}  // namespace voxshift
