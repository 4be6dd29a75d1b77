// Vehicles, people, and what stands beside a road.
#include <voxshift/synth/objects.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

namespace voxshift {
namespace {

using Shape = Part::Shape;

constexpr Material kTyre{SemanticId::kCar, 0.08, kOpaque};

}  // namespace

void ObjectBuilder::list(SynthKind kind, Place at, std::size_t begin) {
  const double c = std::cos(at.yaw), s = std::sin(at.yaw);
  constexpr double kFar = std::numeric_limits<double>::infinity();
  std::array<double, 3> low{kFar, kFar, kFar},
      high{-kFar, -kFar, -kFar};  // along the heading and across it, from the place, and upright
  for (std::size_t i = begin; i < part_count(); ++i) {
    const Vec3 centre = scene_.parts[i].centre(), half = scene_.parts[i].half_extent();
    const double dx = centre.x - at.x, dy = centre.y - at.y;
    const std::array<double, 3> middle{c * dx + s * dy, c * dy - s * dx, centre.z}, reach{half.x, half.y, half.z};
    for (std::size_t axis = 0; axis < 3; ++axis) {
      low[axis] = std::min(low[axis], middle[axis] - reach[axis]);
      high[axis] = std::max(high[axis], middle[axis] + reach[axis]);
    }
  }
  const Place centre = at.moved((low[0] + high[0]) / 2, (low[1] + high[1]) / 2);
  Box3d box;
  box.x = static_cast<float>(centre.x);
  box.y = static_cast<float>(centre.y);
  box.z = static_cast<float>((low[2] + high[2]) / 2);
  box.length = static_cast<float>(high[0] - low[0]);
  box.width = static_cast<float>(high[1] - low[1]);
  box.height = static_cast<float>(high[2] - low[2]);
  box.yaw = static_cast<float>(std::remainder(at.yaw, 2 * std::numbers::pi));
  scene_.objects.push_back({kind, box, begin, part_count()});
}

// Lower body with rounded ends, bonnet, a cabin whose panes let half of the beams pass to the seats, wheels, mirrors.
void ObjectBuilder::car(Place at) {
  const std::size_t begin = part_count();
  const Material paint{SemanticId::kCar, random_.uniform(0.05, 0.6), kOpaque};
  const Material glass{SemanticId::kCar, 0.12, random_.uniform(0.4, 1.5)};
  const Material seats{SemanticId::kCar, 0.2, 3};
  const double half_length = random_.uniform(1.75, 2.4), half_width = random_.uniform(0.8, 0.93);
  const double clearance = random_.uniform(0.16, 0.26), belt = clearance + random_.uniform(0.58, 0.78);
  const double roof = belt + random_.uniform(0.45, 0.7);
  const double nose = random_.uniform(0.3, 0.42) * half_length;     // length of the bonnet's slope
  const double tail = random_.chance(0.4) ? 0.3 * half_length : 0;  // a saloon has a boot
  const auto body = [&](double from, double to, double low, double high, double wide, Material m, Taper taper) {
    add(Shape::kBox, at.moved((from + to) / 2, 0), (low + high) / 2, {(to - from) / 2, wide, (high - low) / 2}, m,
        taper);
  };
  const double bonnet = belt - random_.uniform(0.05, 0.2);
  body(-half_length, half_length, clearance, 0.55 * belt + 0.2, half_width, paint, {-0.0, 0.02});
  body(-half_length + 0.06, half_length - nose, clearance, belt, half_width - 0.02, paint, {0.04, 0.06});
  body(half_length - 2.2 * nose, half_length - 0.08, clearance + 0.1, bonnet, half_width - 0.06, paint, {0.12, 0.1});
  const double back = -half_length + 0.1 + tail, windscreen = half_length - 1.6 * nose;
  body(back, windscreen, belt - 0.02, roof, half_width - 0.08, glass, {random_.uniform(0.2, 0.4), 0.28});
  body(back + 0.5, windscreen - 0.7, belt - 0.3, belt + 0.25, half_width - 0.25, seats, {});
  const double slope = 0.16 * (windscreen - back);
  body(back + slope, windscreen - 1.6 * slope, roof - 0.06, roof + 0.02, half_width - 0.24, paint, {0.1, 0.1});
  for (const double x : {back + 0.35 * (windscreen - back), windscreen - 0.3})  // pillars
    for (const double side : {-1.0, 1.0})
      add(Shape::kBox, at.moved(x, side * (half_width - 0.14)), (belt + roof) / 2, {0.05, 0.05, (roof - belt) / 2},
          paint);
  for (const double axle : {-0.6 * half_length, 0.62 * half_length})
    for (const double side : {-1.0, 1.0})
      add(Shape::kBox, at.moved(axle, side * (half_width - 0.09)), 0.31, {0.29, 0.1, 0.31}, kTyre);
  list(SynthKind::kCar, at, begin);
  for (const double side : {-1.0, 1.0})
    add(Shape::kBox, at.moved(windscreen - 0.5, side * (half_width + 0.08)), belt + 0.08, {0.06, 0.1, 0.07}, paint);
  scene_.objects.back().end = part_count();
}

void ObjectBuilder::van(Place at) {
  const std::size_t begin = part_count();
  const Material paint{SemanticId::kCar, random_.uniform(0.1, 0.6), kOpaque};
  const Material glass{SemanticId::kCar, 0.12, 1};
  const double half_length = random_.uniform(2.2, 2.7), half_width = random_.uniform(0.92, 1),
               roof = random_.uniform(1.8, 2.5);
  add(Shape::kBox, at.moved(-0.35, 0), (roof + 0.3) / 2, {half_length - 0.4, half_width, (roof - 0.3) / 2}, paint,
      {0.06, 0.08});
  add(Shape::kBox, at.moved(half_length - 0.55, 0), 0.7, {0.55, half_width - 0.05, 0.45}, paint, {0.35, 0.08});
  add(Shape::kBox, at.moved(half_length - 0.95, 0), 1.35, {0.45, half_width - 0.06, 0.4}, glass, {0.5, 0.1});
  for (const double axle : {-0.6 * half_length, 0.62 * half_length})
    for (const double side : {-1.0, 1.0})
      add(Shape::kBox, at.moved(axle, side * (half_width - 0.1)), 0.34, {0.33, 0.11, 0.34}, kTyre);
  list(SynthKind::kVan, at, begin);
}

void ObjectBuilder::truck(Place at) {
  const std::size_t begin = part_count();
  const Material paint{SemanticId::kTruck, random_.uniform(0.15, 0.55), kOpaque};
  const double half_length = random_.uniform(2.5, 5), half_width = random_.uniform(1.05, 1.27);
  const double floor = random_.uniform(0.8, 1.2), roof = random_.uniform(2.4, 3.8);
  constexpr double kCab = 0.95;
  add(Shape::kBox, at, (floor + roof) / 2, {half_length, half_width, (roof - floor) / 2}, paint);
  add(Shape::kBox, at, 0.7, {half_length, 0.5, 0.25}, paint);  // chassis
  add(Shape::kBox, at.moved(half_length + 0.25 + kCab, 0), 1.5, {kCab, half_width - 0.05, 1.05}, paint, {0.15, 0.05});
  for (const double axle : {-0.7 * half_length, -0.4 * half_length, half_length + kCab})
    for (const double side : {-1.0, 1.0})
      add(Shape::kBox, at.moved(axle, side * (half_width - 0.15)), 0.48, {0.45, 0.14, 0.48}, paint);
  list(SynthKind::kTruck, at, begin);
}

void ObjectBuilder::upper_body(Place at, double hip_height, Material clothes) {
  add(Shape::kEllipsoid, at, hip_height + 0.3, {random_.uniform(0.13, 0.2), random_.uniform(0.2, 0.28), 0.38}, clothes);
  add(Shape::kEllipsoid, at, hip_height + 0.8, {0.11, 0.1, 0.14}, clothes);
  for (const double side : {-1.0, 1.0})
    add(Shape::kEllipsoid, at.moved(random_.uniform(-0.15, 0.15), side * 0.27), hip_height + 0.2, {0.07, 0.06, 0.32},
        clothes);
}

void ObjectBuilder::person(Place at) {
  const std::size_t begin = part_count();
  const Material clothes{SemanticId::kPerson, random_.uniform(0.15, 0.5), kOpaque};
  const double stride = random_.uniform(0, 0.3), hip = random_.uniform(0.7, 0.92);
  for (const double side : {-1.0, 1.0})
    add(Shape::kCylinder, at.moved(side * stride, side * 0.1), hip / 2, {0.08, 0.08, hip / 2}, clothes);
  upper_body(at, hip, clothes);
  list(SynthKind::kPerson, at, begin);
}

void ObjectBuilder::bicyclist(Place at) {
  const std::size_t begin = part_count();
  const Material clothes{SemanticId::kBicyclist, random_.uniform(0.15, 0.5), kOpaque};
  const Material spokes{SemanticId::kBicyclist, 0.4, 6};
  for (const double axle : {-0.52, 0.52}) add(Shape::kEllipsoid, at.moved(axle, 0), 0.34, {0.34, 0.03, 0.34}, spokes);
  add(Shape::kBox, at, 0.65, {0.4, 0.04, 0.2}, spokes);
  for (const double side : {-1.0, 1.0})
    add(Shape::kEllipsoid, at.moved(0.05, side * 0.13), 0.65, {0.12, 0.08, 0.38}, clothes);
  upper_body(at, 0.9, clothes);
  list(SynthKind::kBicyclist, at, begin);
}

void ObjectBuilder::pole(Place at, double height, double radius) {
  const Material metal{SemanticId::kPole, random_.uniform(0.25, 0.55), kOpaque};
  add(Shape::kCylinder, at, height / 2, {radius, radius, height / 2}, metal);
}

void ObjectBuilder::lamp(Place at) {
  const double height = random_.uniform(3.5, 8);
  pole(at, height, random_.uniform(0.05, 0.11));
  const Material metal{SemanticId::kPole, 0.4, kOpaque};
  if (random_.chance(0.6)) add(Shape::kBox, at.moved(0.7, 0), height - 0.1, {0.8, 0.05, 0.05}, metal);
  if (random_.chance(0.4)) add(Shape::kCylinder, at, 0.6, {0.11, 0.11, 0.6}, metal);
}

// A plate that faces along the road, on a thin post.
void ObjectBuilder::traffic_sign(Place at) {
  const Material face{SemanticId::kTrafficSign, random_.uniform(0.7, 1), kOpaque};
  const double height = random_.uniform(1.9, 2.6), half = random_.uniform(0.2, 0.45);
  pole(at, height + half, random_.uniform(0.025, 0.045));
  const Place turned = at.turned(random_.uniform(-0.4, 0.4));
  if (random_.chance(0.4)) {
    add(Shape::kBox, turned.moved(0.06, 0), height, {0.03, half, half * random_.uniform(0.6, 1.6)}, face);
  } else {
    add(Shape::kEllipsoid, turned.moved(0.06, 0), height, {0.03, half, half}, face);
  }
  if (random_.chance(0.3)) add(Shape::kBox, turned.moved(0.06, 0), height - half - 0.2, {0.03, half, 0.15}, face);
}

// Bins, boxes, benches, stones.
void ObjectBuilder::clutter(Place at) {
  const Material thing{SemanticId::kOther, random_.uniform(0.15, 0.5), kOpaque};
  at.yaw += random_.uniform(-0.3, 0.3);
  const double kind = random_.uniform(0, 1);
  if (kind < 0.45) {
    const int count = random_.integer(1, 3);
    for (int i = 0; i < count; ++i)
      add(Shape::kBox, at.moved(0.7 * i, 0), 0.5, {0.28, 0.3, random_.uniform(0.45, 0.6)}, thing, {-0.0, 0.0});
  } else if (kind < 0.7) {
    const double half = random_.uniform(0.35, 0.75);
    add(Shape::kBox, at, half, {random_.uniform(0.3, 0.8), 0.22, half + 0.1}, thing);
  } else if (kind < 0.85) {
    add(Shape::kBox, at, 0.45, {0.8, 0.25, 0.06}, thing);
    add(Shape::kBox, at.moved(0, -0.22), 0.7, {0.8, 0.04, 0.22}, thing);
  } else {
    add(Shape::kEllipsoid, at, 0.25, {random_.uniform(0.3, 0.7), random_.uniform(0.3, 0.6), 0.4}, thing);
  }
}

}  // namespace voxshift
