// Trees, hedges and undergrowth. Leaves are clumps that a beam enters: 0.2 to 2 m deep, as extinctions say.
#include <voxshift/synth/objects.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace voxshift {
namespace {

using Shape = Part::Shape;

constexpr double kPi = std::numbers::pi;

}  // namespace

Place Place::moved(double along, double across) const {
  return {x + along * std::cos(yaw) - across * std::sin(yaw), y + along * std::sin(yaw) + across * std::cos(yaw), yaw};
}

void ObjectBuilder::add_at(Shape shape, Place at, double z, Vec3 half_extent, Material material, Taper taper) {
  scene_.parts.emplace_back(shape, Vec3{at.x, at.y, z}, half_extent, at.yaw, material, taper);
}

void ObjectBuilder::add(Shape shape, Place at, double height, Vec3 half_extent, Material material, Taper taper) {
  add_at(shape, at, ground().height(at.x, at.y) + height, half_extent, material, taper);
}

void ObjectBuilder::foliage(Place at, double height, Vec3 half_extent, int count, double smallest, double largest,
                            Material material) {
  const double z = ground().height(at.x, at.y) + height;
  for (int i = 0; i < count; ++i) {
    // Three normals over their length: a direction. Most clumps lie in the outer half, as leaves do.
    Vec3 d{random_.normal(), random_.normal(), random_.normal()};
    const double reach = std::sqrt(random_.uniform(0.1, 1)) / std::max(1e-6, std::hypot(d.x, d.y, d.z));
    const double size = random_.uniform(smallest, largest);
    const Vec3 half{size * random_.uniform(0.7, 1.3), size * random_.uniform(0.7, 1.3), size * random_.uniform(0.5, 1)};
    Material leaves = material;
    leaves.extinction *= random_.uniform(0.4, 2);
    const double across = d.y * reach * half_extent.y;
    add_at(Shape::kEllipsoid, at.moved(d.x * reach * half_extent.x, across), z + d.z * reach * half_extent.z, half,
           leaves);
  }
}

void ObjectBuilder::tree(Place at, double height) {
  const Material bark{SemanticId::kTrunk, random_.uniform(0.2, 0.45), kOpaque};
  const Material leaves{SemanticId::kVegetation, random_.uniform(0.25, 0.5), random_.uniform(0.6, 2.5)};
  const double radius = height * random_.uniform(0.012, 0.028), base = std::min(0.45 * height, random_.uniform(1.6, 4));
  const double spread = height * random_.uniform(0.16, 0.32), half = (height - base) / 2;
  // The trunk leans a little: two pieces.
  const double lean_x = random_.uniform(-0.12, 0.12), lean_y = random_.uniform(-0.12, 0.12);
  add(Shape::kCylinder, at, base / 4, {1.15 * radius, 1.15 * radius, base / 4 + 0.3}, bark);
  add(Shape::kCylinder, at.moved(lean_x, lean_y), 0.75 * base, {radius, radius, base / 4 + 0.4}, bark);
  foliage(at, base + half, {spread, spread, half}, random_.integer(18, 34), 0.12 * spread, 0.45 * spread, leaves);
  // Low branches and shoots at the foot.
  if (random_.chance(0.3)) foliage(at, base * 0.8, {spread, spread, 0.4}, 6, 0.15, 0.5, leaves);
  if (random_.chance(0.2)) bush(at.moved(0.3, 0), random_.uniform(0.4, 0.8));
}

void ObjectBuilder::conifer(Place at, double height) {
  const Material bark{SemanticId::kTrunk, random_.uniform(0.2, 0.4), kOpaque};
  const Material needles{SemanticId::kVegetation, random_.uniform(0.2, 0.4), random_.uniform(1.5, 4)};
  const double foot = random_.uniform(0.1, 1.5), spread = height * random_.uniform(0.12, 0.22);
  add(Shape::kCylinder, at, foot / 2 + 0.5, {0.15, 0.15, foot / 2 + 0.5}, bark);
  const int rings = 7;
  for (int i = 0; i < rings; ++i) {
    const double t = (i + 0.5) / rings, z = foot + t * (height - foot);
    foliage(at, z, {spread * (1 - t), spread * (1 - t), 0.3}, 5, 0.2 * spread, 0.5 * spread * (1.2 - t), needles);
  }
}

void ObjectBuilder::bush(Place at, double size) {
  const Material leaves{SemanticId::kVegetation, random_.uniform(0.25, 0.5), random_.uniform(2, 7)};
  const double wide = size * random_.uniform(0.8, 1.6);
  foliage(at, 0.55 * size, {wide, wide, 0.6 * size}, random_.integer(7, 14), 0.2 * size, 0.55 * size, leaves);
}

void ObjectBuilder::hedge(Place at, double length, double height, double thickness) {
  const Material leaves{SemanticId::kVegetation, random_.uniform(0.25, 0.5), random_.uniform(4, 12)};
  if (random_.chance(0.6)) {  // clipped: a box under a rough skin
    add(Shape::kBox, at, height / 2 - 0.3, {length / 2, thickness / 2, height / 2 + 0.2}, leaves);
  }
  const double spacing = 0.35 * std::max(0.8, height);
  for (double along = -length / 2; along <= length / 2; along += spacing) {
    const double across = random_.uniform(-0.12, 0.12) * thickness;
    const Vec3 half{spacing * random_.uniform(0.6, 1.1), thickness * random_.uniform(0.45, 0.62),
                    height * random_.uniform(0.42, 0.56)};
    add(Shape::kEllipsoid, at.moved(along, across), height * random_.uniform(0.45, 0.52), half, leaves);
  }
}

void ObjectBuilder::thicket(Place at, double length, double depth, double height) {
  const double area = length * depth;
  const auto for_spots = [&](double spacing, const auto& grow) {
    for (int i = 0; i < area / (spacing * spacing); ++i) {
      const double along = random_.uniform(-0.5, 0.5) * length;
      const Place spot = at.moved(along, random_.uniform(-0.5, 0.5) * depth);
      if (ground().beyond_kerb(spot.x, spot.y) > 0.6) grow(spot);
    }
  };
  for_spots(3, [&](Place spot) { bush(spot, random_.uniform(0.4, 1.6)); });
  for_spots(5.3, [&](Place spot) {
    const double tall = height * random_.uniform(0.5, 1.2);
    if (random_.chance(0.2)) {
      conifer(spot, tall);
    } else {
      tree(spot, tall);
    }
  });
  const Material brush{SemanticId::kVegetation, random_.uniform(0.25, 0.45), random_.uniform(0.4, 1.5)};
  for_spots(4.5, [&](Place spot) { foliage(spot, random_.uniform(0.5, 2), {1.5, 1.5, 1}, 4, 0.4, 1.4, brush); });
}

void ObjectBuilder::weeds(Place at, double size) {
  const Material stalks{SemanticId::kVegetation, random_.uniform(0.3, 0.5), random_.uniform(1.5, 4)};
  const int count = random_.integer(3, 7);
  for (int i = 0; i < count; ++i) {
    const double angle = random_.uniform(0, 2 * kPi), reach = random_.uniform(0, size);
    const double tall = random_.uniform(0.25, 0.6);
    add(Shape::kEllipsoid, at.moved(reach * std::cos(angle), reach * std::sin(angle)), 0.5 * tall,
        {random_.uniform(0.2, 0.7), random_.uniform(0.2, 0.7), tall}, stalks);
  }
}

}  // namespace voxshift
