// Ray intersection with the convex parts, and the shape of the ground.
#include <voxshift/synth/scene.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace voxshift {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

constexpr double kKerbHeight = 0.12;        // m
constexpr double kKerbWidth = 0.05;         // m, over which the kerb rises
constexpr double kSideStreetHalfWidth = 3;  // m

}  // namespace

// ---------------------------------------------------------------------------------------------------------- parts

Part::Part(Shape shape, Vec3 centre, Vec3 half_extent, double yaw, Material material)
    : shape_(shape),
      centre_(centre),
      half_extent_(half_extent),
      cos_yaw_(std::cos(yaw)),
      sin_yaw_(std::sin(yaw)),
      material_(material),
      unit_origin_(to_unit({-centre.x, -centre.y, -centre.z})) {}

Vec3 Part::to_unit(Vec3 v) const {
  return {(cos_yaw_ * v.x + sin_yaw_ * v.y) / half_extent_.x, (cos_yaw_ * v.y - sin_yaw_ * v.x) / half_extent_.y,
          v.z / half_extent_.z};
}

double Part::horizontal_radius() const { return std::hypot(half_extent_.x, half_extent_.y); }

namespace {

// |o + t d| <= 1 on one axis.
Part::Interval cross_slab(double o, double d) {
  const double a = (-1 - o) / d, b = (1 - o) / d;  // d = 0 gives infinities of the right signs, or NaN on the face
  return {std::min(a, b), std::max(a, b)};
}

// a t^2 + 2 b t + c <= 0; empty (enter > exit) without a real root.
Part::Interval cross_quadric(double a, double b, double c) {
  const double discriminant = b * b - a * c;
  if (discriminant < 0) return {kInfinity, -kInfinity};
  const double root = std::sqrt(discriminant);
  return {(-b - root) / a, (-b + root) / a};
}

}  // namespace

std::optional<Part::Interval> Part::cross(Vec3 direction) const {
  const Vec3 o = unit_origin_, d = to_unit(direction);
  Interval hit{0, kInfinity};
  const auto clip = [&hit](Interval part) { hit = {std::max(hit.enter, part.enter), std::min(hit.exit, part.exit)}; };
  switch (shape_) {
    case Shape::kBox:
      clip(cross_slab(o.x, d.x));
      clip(cross_slab(o.y, d.y));
      clip(cross_slab(o.z, d.z));
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

// --------------------------------------------------------------------------------------------------------- ground

Ground::Ground(Random& random) {
  half_width_ = random.uniform(3.3, 4.0);
  sidewalk_width_ = random.uniform(1.6, 2.4);
  curvature_ = random.uniform(-1, 1) / 400;  // 1 / m
  centre_offset_ = half_width_ / 2;          // the sensor drives on the right
  side_street_ = random.either_sign(18, 30);
  for (Span& lane : parking_) {
    const double begin = random.uniform(-20, -10);
    lane = {begin, begin + random.uniform(25, 40)};
  }
  const double rise = random.either_sign(0.01, 0.03);
  bank_ = {-rise, rise};  // the street runs across a slope
  const auto wave = [&random](double wavelength, double amplitude, double phase) {
    const double k = 2 * kPi / wavelength, heading = random.uniform(0, 2 * kPi);
    return Wave{amplitude, k * std::cos(heading), k * std::sin(heading), phase};
  };
  for (Wave& hill : hills_) {
    const double wavelength = random.uniform(25, 60), amplitude = random.uniform(0.05, 0.15);
    // Phases near zero: the sensor stands half-way up every hill. From a top or in a hollow it would see much more or
    // less ground, and the numbers of voxels would vary as much.
    const double phase = random.uniform(-0.5, 0.5);
    hill = wave(wavelength, amplitude, phase);
  }
  for (Wave& tussock : tussocks_) {
    const double wavelength = random.uniform(1, 4), amplitude = random.uniform(0.02, 0.04);
    const double phase = random.uniform(0, 2 * kPi);
    tussock = wave(wavelength, amplitude, phase);
  }
  datum_ = undulation(0, 0);
}

double Ground::centre_line(double x) const { return centre_offset_ + curvature_ * x * x / 2; }

double Ground::heading(double x) const { return std::atan(curvature_ * x); }

double Ground::kerb_offset(double x, int side) const {
  const Span& lane = parking(side);
  return half_width_ + (x > lane.begin && x < lane.end ? kParkingWidth : 0);
}

double Ground::beyond_kerb(double x, double y) const {
  const double lateral = y - centre_line(x);
  const double main = std::abs(lateral) - kerb_offset(x, lateral > 0 ? 1 : -1);
  const double side = std::abs(x - side_street_) - kSideStreetHalfWidth;
  return std::min(main, side);
}

double Ground::undulation(double x, double y) const {
  double z = 0;
  for (const Wave& hill : hills_) z += hill.amplitude * std::sin(hill.kx * x + hill.ky * y + hill.phase);
  return z;
}

double Ground::height(double x, double y) const {
  double z = undulation(x, y) - datum_ - kSensorHeight;
  const double lateral = y - centre_line(x);
  const double bank_start = half_width_ + kParkingWidth + sidewalk_width_;
  z += bank_[lateral > 0] * std::max(0.0, std::abs(lateral) - bank_start);
  const double kerb = beyond_kerb(x, y);
  z += kKerbHeight * std::clamp(kerb / kKerbWidth, 0.0, 1.0);
  if (kerb > sidewalk_width_) {
    for (const Wave& t : tussocks_) z += t.amplitude * std::sin(t.kx * x + t.ky * y + t.phase);
  }
  return z;
}

SemanticId Ground::surface(double x, double y) const {
  const double kerb = beyond_kerb(x, y);
  if (kerb > sidewalk_width_) return SemanticId::kTerrain;
  if (kerb > 0) return SemanticId::kSidewalk;
  const bool in_lane = std::abs(y - centre_line(x)) > half_width_;
  const bool in_side_street = std::abs(x - side_street_) < kSideStreetHalfWidth;
  return in_lane && !in_side_street ? SemanticId::kParking : SemanticId::kRoad;
}

}  // namespace voxshift
