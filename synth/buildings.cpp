// Houses, walls and fences. A LiDAR on a car sees the lower storeys: fronts are broken up by windows, doors, steps,
// bays and pipes, sides are plain.
#include <voxshift/synth/objects.h>

#include <algorithm>
#include <cmath>

namespace voxshift {
namespace {

using Shape = Part::Shape;

constexpr double kCellar = 3;  // m, keeps walls closed down to sloping ground

}  // namespace

// Storeys of bays, each a window between piers under a lintel over a sill, or a door; the panes lie deeper than the
// wall.
void ObjectBuilder::facade(Place front, double length, double depth, double height, double base, Material wall) {
  const double storey = random_.uniform(2.7, 3.3), sill = random_.uniform(0.5, 1), lintel = random_.uniform(2, 2.4);
  const double relief = random_.uniform(0.08, 0.25), wanted = random_.uniform(2, 4);
  const int bays = std::max(1, static_cast<int>(length / wanted));
  const double bay = length / bays, window = bay * random_.uniform(0.3, 0.65);
  Material pane = wall;  // a beam passes into the room, or comes back from the frame and the curtain
  pane.remission = 0.15;
  pane.extinction = random_.uniform(0.5, 3);
  const auto box = [&](double along, double across, double low, double high, double wide, double deep, Material m) {
    if (high > low)
      add_at(Shape::kBox, front.moved(along, across), base + (low + high) / 2, {wide / 2, deep / 2, (high - low) / 2},
             m);
  };
  box(0, -depth / 2 - 1, -kCellar, height, length, depth - 2, wall);  // the core, behind the rooms
  for (const double end : {-0.5, 0.5}) box(end * (length - 0.3), -depth / 2, -kCellar, height, 0.3, depth, wall);
  box(0, -relief / 2, -kCellar, 0.2, length, relief, wall);
  const int storeys = std::min(3, static_cast<int>(height / storey) + 1);  // of those that beams reach
  for (int s = 0; s < storeys; ++s) {
    const double floor = s * storey, top = std::min(height, floor + storey);
    for (int i = 0; i < bays; ++i) {
      const double middle = -length / 2 + (i + 0.5) * bay;
      for (const double side : {-1.0, 1.0})
        box(middle + side * (bay + window) / 4, -relief / 2, floor, top, (bay - window) / 2, relief, wall);
      const bool door = s == 0 && random_.chance(0.2), blind = random_.chance(0.15);
      if (!door) box(middle, -relief / 2, floor, floor + sill, window, relief, wall);
      box(middle, -relief / 2, std::min(top, floor + lintel), top, window, relief, wall);
      box(middle, -relief - 0.03, floor, top, window, 0.06, blind || door ? wall : pane);
      if (s > 0 && random_.chance(0.12)) {  // balcony
        box(middle, 0.6, floor - 0.15, floor, 0.9 * bay, 1.2, wall);
        box(middle, 1.17, floor, floor + 0.95, 0.9 * bay, 0.06, pane);
      }
      if (door && random_.chance(0.6)) box(middle, 0.5, -0.5, random_.uniform(0.15, 0.6), window + 0.4, 1, wall);
    }
  }
  if (random_.chance(0.35)) {  // bay or porch
    const double deep = random_.uniform(0.5, 1.8);
    box(random_.uniform(-0.35, 0.35) * length, deep / 2, -kCellar, random_.uniform(2.2, height),
        random_.uniform(1.5, 3.5), deep, wall);
  }
  const int pipes = random_.integer(0, 2);
  for (int i = 0; i < pipes; ++i)
    add_at(Shape::kCylinder, front.moved(random_.uniform(-0.5, 0.5) * length, 0.08), base + height / 2 - 1,
           {0.05, 0.05, height / 2 + 1}, wall);
}

// The front lies along the place's heading, the house to its right.
void ObjectBuilder::house(Place front, double length, double depth, double height) {
  const Material wall{SemanticId::kBuilding, random_.uniform(0.15, 0.5), kOpaque};
  const double base = ground().height(front.x, front.y);
  facade(front, length, depth, height, base, wall);
  if (random_.chance(0.6)) {  // eaves, under a roof that beams hardly reach
    add_at(Shape::kBox, front.moved(0, -depth / 2), base + height + 1.2, {length / 2 + 0.4, depth / 2 + 0.5, 1.2}, wall,
           {0, 0.9});
  }
}

void ObjectBuilder::shed(Place at) {
  const Material wall{SemanticId::kBuilding, random_.uniform(0.2, 0.45), kOpaque};
  const double half_length = random_.uniform(1.3, 3.2), half_width = random_.uniform(1.2, 2.8);
  const double height = random_.uniform(2, 3);
  add(Shape::kBox, at, height / 2 - 0.5, {half_length, half_width, height / 2 + 0.5}, wall);
  if (random_.chance(0.5)) {
    add(Shape::kBox, at, height + 0.3, {half_length + 0.2, half_width + 0.2, 0.3}, wall, {0.3, 0.9});
  }
}

void ObjectBuilder::wall(Place at, double length, double height) {
  const Material stone{SemanticId::kFence, random_.uniform(0.2, 0.45), kOpaque};
  const double pillar = random_.uniform(2, 4);
  add(Shape::kBox, at, height / 2 - 0.5, {length / 2, random_.uniform(0.08, 0.2), height / 2 + 0.5}, stone);
  if (random_.chance(0.5))
    for (double along = -length / 2; along <= length / 2; along += pillar)
      add(Shape::kBox, at.moved(along, 0), height / 2, {0.2, 0.22, height / 2 + 0.1}, stone);
}

// Pickets, bars or mesh between posts, on a plinth or not.
void ObjectBuilder::fence(Place at, double length, double height) {
  const Material post{SemanticId::kFence, random_.uniform(0.2, 0.5), kOpaque};
  const Material mesh{SemanticId::kFence, random_.uniform(0.2, 0.5), random_.uniform(5, 30)};
  const double thickness = random_.uniform(0.015, 0.04), spacing = random_.uniform(1.5, 3);
  if (random_.chance(0.35)) {
    const double plinth = random_.uniform(0.15, 0.5);
    add(Shape::kBox, at, plinth / 2 - 0.2, {length / 2, 0.12, plinth / 2 + 0.2}, post);
  }
  for (double begin = -length / 2; begin < length / 2; begin += spacing) {
    const double end = std::min(length / 2, begin + spacing);
    add(Shape::kBox, at.moved((begin + end) / 2, 0), height / 2, {(end - begin) / 2, thickness, height / 2}, mesh);
    add(Shape::kBox, at.moved(begin, 0), height / 2, {0.05, 0.05, height / 2 + 0.1}, post);
  }
  if (random_.chance(0.5))
    for (const double rail : {0.25, 0.9}) add(Shape::kBox, at, rail * height, {length / 2, 0.03, 0.04}, post);
}

void ObjectBuilder::guard_rail(Place at, double length) {
  const Material steel{SemanticId::kFence, random_.uniform(0.3, 0.6), kOpaque};
  constexpr double kSpacing = 4;
  for (double begin = -length / 2; begin < length / 2; begin += kSpacing) {
    add(Shape::kBox, at.moved(begin + kSpacing / 2, 0), 0.6, {kSpacing / 2, 0.04, 0.16}, steel);
    add(Shape::kBox, at.moved(begin, -0.1), 0.3, {0.06, 0.06, 0.4}, steel);
  }
}

}  // namespace voxshift
