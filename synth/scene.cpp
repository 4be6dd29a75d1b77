// Ray intersection with the convex parts.
#include <voxshift/synth/scene.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace voxshift {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// |o + t d| <= 1 on one axis.
Part::Interval cross_slab(double o, double d) {
  const double a = (-1 - o) / d, b = (1 - o) / d;  // d = 0 gives infinities of the right signs, or NaN on the face
  return {std::min(a, b), std::max(a, b)};
}

// |x| <= 1 - taper (z + 1) / 2 on the ray (o + t d, oz + t dz): two half-spaces s x + taper / 2 z <= 1 - taper / 2.
Part::Interval cross_tapered(double o, double d, double oz, double dz, double taper) {
  if (taper == 0) return cross_slab(o, d);
  Part::Interval inside{-kInfinity, kInfinity};
  for (const double sign : {-1.0, 1.0}) {
    const double slope = sign * d + taper / 2 * dz, gap = 1 - taper / 2 - (sign * o + taper / 2 * oz);
    if (slope > 0) {
      inside.exit = std::min(inside.exit, gap / slope);
    } else if (slope < 0) {
      inside.enter = std::max(inside.enter, gap / slope);
    } else if (gap < 0) {
      inside.exit = -kInfinity;
    }
  }
  return inside;
}

// a t^2 + 2 b t + c <= 0; empty (enter > exit) without a real root.
Part::Interval cross_quadric(double a, double b, double c) {
  const double discriminant = b * b - a * c;
  if (discriminant < 0) return {kInfinity, -kInfinity};
  const double root = std::sqrt(discriminant);
  return {(-b - root) / a, (-b + root) / a};
}

}  // namespace

std::string_view kitti_type(SynthKind kind) {
  switch (kind) {
    case SynthKind::kCar:
      return "Car";
    case SynthKind::kVan:
      return "Van";
    case SynthKind::kTruck:
      return "Truck";
    case SynthKind::kPerson:
      return "Pedestrian";
    case SynthKind::kBicyclist:
      return "Cyclist";
  }
  return {};
}

Part::Part(Shape shape, Vec3 centre, Vec3 half_extent, double yaw, Material material, Taper taper)
    : shape_(shape),
      centre_(centre),
      half_extent_(half_extent),
      cos_yaw_(std::cos(yaw)),
      sin_yaw_(std::sin(yaw)),
      material_(material),
      taper_(taper),
      unit_origin_(to_unit({-centre.x, -centre.y, -centre.z})) {}

Vec3 Part::to_unit(Vec3 v) const {
  return {(cos_yaw_ * v.x + sin_yaw_ * v.y) / half_extent_.x, (cos_yaw_ * v.y - sin_yaw_ * v.x) / half_extent_.y,
          v.z / half_extent_.z};
}

double Part::horizontal_radius() const { return std::hypot(half_extent_.x, half_extent_.y); }

std::optional<Part::Interval> Part::cross(Vec3 direction) const {
  const Vec3 o = unit_origin_, d = to_unit(direction);
  Interval hit{0, kInfinity};
  const auto clip = [&hit](Interval part) { hit = {std::max(hit.enter, part.enter), std::min(hit.exit, part.exit)}; };
  switch (shape_) {
    case Shape::kBox:
      clip(cross_slab(o.z, d.z));
      clip(cross_tapered(o.x, d.x, o.z, d.z, taper_.x));
      clip(cross_tapered(o.y, d.y, o.z, d.z, taper_.y));
      break;
    case Shape::kCylinder:
      clip(cross_slab(o.z, d.z));
      clip(cross_quadric(d.x * d.x + d.y * d.y, o.x * d.x + o.y * d.y, o.x * o.x + o.y * o.y - 1));
      break;
    case Shape::kEllipsoid:
      clip(cross_quadric(d.x * d.x + d.y * d.y + d.z * d.z, o.x * d.x + o.y * d.y + o.z * d.z,
                         o.x * o.x + o.y * o.y + o.z * o.z - 1));
      break;
  }
  if (hit.enter >= hit.exit) return std::nullopt;
  return hit;
}

double Part::incidence_cosine(Vec3 direction, double range) const {
  const Vec3 d = to_unit(direction);
  const Vec3 p{unit_origin_.x + range * d.x, unit_origin_.y + range * d.y, unit_origin_.z + range * d.z};
  Vec3 normal = p;  // in the unit solid's frame
  if (shape_ == Shape::kBox) {
    const double x = std::abs(p.x), y = std::abs(p.y), z = std::abs(p.z);
    normal = {x >= y && x >= z ? 1.0 : 0.0, y > x && y >= z ? 1.0 : 0.0, z > x && z > y ? 1.0 : 0.0};
  } else if (shape_ == Shape::kCylinder) {
    normal = std::abs(p.z) > std::hypot(p.x, p.y) ? Vec3{0, 0, 1} : Vec3{p.x, p.y, 0};
  }
  // Normals scale with the inverse of the extents, directions with the extents: n.d is the same in both frames.
  const double length = std::hypot(normal.x / half_extent_.x, normal.y / half_extent_.y, normal.z / half_extent_.z);
  return std::min(1.0, std::abs(normal.x * d.x + normal.y * d.y + normal.z * d.z) / length);
}

}  // namespace voxshift
