// Objects of the street, one function per kind, and their places.
#include <voxshift/synth/street.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

namespace voxshift {
namespace {

using Shape = Part::Shape;

constexpr double kPi = std::numbers::pi;
constexpr double kOpaque = std::numeric_limits<double>::infinity();
constexpr double kSceneRadius = 80;  // m, the sensor's range: objects are placed up to here

// Remissions are set so that scans show KITTI's distribution: median 0.3, 90 % of the returns below 0.5, signs at 1.
// Extinctions (1 / m): a beam goes 0.25 m into a hedge, 0.4 m into a bush, 2 m into a crown, 3 m into undergrowth.
constexpr Material kBark{SemanticId::kTrunk, 0.35, kOpaque};
constexpr Material kBush{SemanticId::kVegetation, 0.4, 2.5};
constexpr Material kHedge{SemanticId::kVegetation, 0.4, 4};
constexpr Material kCrown{SemanticId::kVegetation, 0.45, 0.5};
constexpr Material kThicket{SemanticId::kVegetation, 0.4, 0.3};
constexpr Material kWire{SemanticId::kFence, 0.4, 8};  // 0.06 m thick: stops 4 of 10 beams
constexpr Material kFencePost{SemanticId::kFence, 0.4, kOpaque};
constexpr Material kMetalPole{SemanticId::kPole, 0.45, kOpaque};
constexpr Material kSignFace{SemanticId::kTrafficSign, 1.0, kOpaque};
constexpr Material kWalker{SemanticId::kPerson, 0.35, kOpaque};
constexpr Material kRider{SemanticId::kBicyclist, 0.35, kOpaque};
constexpr Material kBicycle{SemanticId::kBicyclist, 0.4, 8};
constexpr Material kGlass{SemanticId::kCar, 0.15, 4};  // beams return from the seats behind the windows
constexpr Material kWheel{SemanticId::kCar, 0.1, kOpaque};

/// A point on the ground and the heading there.
struct Place {
  double x, y, yaw;

  /// The place `along` metres ahead of this one and `across` metres to its left.
  Place moved(double along, double across) const {
    return {x + along * std::cos(yaw) - across * std::sin(yaw), y + along * std::sin(yaw) + across * std::cos(yaw),
            yaw};
  }
};

class StreetBuilder {
 public:
  explicit StreetBuilder(Random& random) : random_(random), scene_{Ground(random), {}} {}

  Scene build() {
    for (const int side : {-1, 1}) {
      line_with_plots(side);
      line_with_poles(side);
      park_cars(side);
      people_sidewalk(side);
    }
    fill_road();
    scatter_vegetation();
    return std::move(scene_);
  }

 private:
  // --- one function per kind of object; lengths in metres ---------------------------------------------------------

  // A facade with bays and porches that break its plane.
  void add_building(Place at, double length, double depth) {
    const double half_height = random_.uniform(3.5, 6);
    const Material wall{SemanticId::kBuilding, random_.uniform(0.25, 0.45), kOpaque};
    constexpr double kCellar = 2;  // keeps the wall closed down to sloping ground
    add(Shape::kBox, at, half_height - kCellar, {length / 2, depth / 2, half_height}, wall);
    const int bays = random_.integer(2, 5);
    for (int i = 0; i < bays; ++i) {
      const double along = random_.uniform(-0.45, 0.45) * length, across = random_.chance(0.5) ? depth / 2 : -depth / 2;
      const Vec3 half{random_.uniform(0.4, 1.4), random_.uniform(0.15, 0.8), random_.uniform(0.8, 2)};
      add(Shape::kBox, at.moved(along, across), half.z, half, wall);
    }
  }

  // A low wall, or posts and wire.
  void add_fence(Place at, double length) {
    const double half_height = random_.uniform(0.4, 0.8);
    if (random_.chance(0.3)) {
      const Material wall{SemanticId::kFence, random_.uniform(0.3, 0.45), kOpaque};
      add(Shape::kBox, at, half_height, {length / 2, 0.1, half_height}, wall);
      return;
    }
    add(Shape::kBox, at, half_height, {length / 2, 0.03, half_height}, kWire);
    constexpr double kPostSpacing = 2.5;
    for (double along = -length / 2; along <= length / 2; along += kPostSpacing) {
      add(Shape::kCylinder, at.moved(along, 0), half_height, {0.05, 0.05, half_height + 0.1}, kFencePost);
    }
  }

  // A row of overlapping ellipsoids.
  void add_hedge(Place at, double length) {
    const double half_height = random_.uniform(0.4, 0.8);
    constexpr double kSpacing = 0.7;
    for (double along = -length / 2; along <= length / 2; along += kSpacing) {
      const double across = random_.uniform(-0.15, 0.15);
      const Vec3 half{kSpacing, random_.uniform(0.4, 0.7), half_height * random_.uniform(0.8, 1.2)};
      add(Shape::kEllipsoid, at.moved(along, across), 0.8 * half.z, half, kHedge);
    }
  }

  // `count` spheres spread normally about a point `height` over the ground.
  struct Spread {
    double across, up;  // standard deviations
  };
  void add_clump(Place at, int count, double height, Spread spread, double smallest, double largest,
                 Material material) {
    for (int i = 0; i < count; ++i) {
      const double radius = random_.uniform(smallest, largest);
      const Vec3 offset{spread.across * random_.normal(), spread.across * random_.normal(),
                        spread.up * random_.normal()};
      add(Shape::kEllipsoid, at.moved(offset.x, offset.y), height + offset.z, {radius, radius, radius}, material);
    }
  }

  void add_bush(Place at) { add_clump(at, random_.integer(2, 5), 0.5, {0.6, 0.2}, 0.3, 0.8, kBush); }

  // Undergrowth and low branches of the background.
  void add_thicket(Place at) { add_clump(at, random_.integer(2, 4), 1, {2, 0.6}, 0.5, 1.8, kThicket); }

  void add_tree(Place at) {
    const double radius = random_.uniform(0.1, 0.25), crown_height = random_.uniform(3, 5);
    add(Shape::kCylinder, at, crown_height / 2, {radius, radius, crown_height / 2 + 0.3}, kBark);
    add_clump(at, random_.integer(14, 22), crown_height, {1, 0.8}, 0.3, 0.8, kCrown);
  }

  void add_car(Place at) {
    const Material paint{SemanticId::kCar, random_.uniform(0.05, 0.5), kOpaque};
    const double half_length = random_.uniform(1.9, 2.3), half_width = random_.uniform(0.8, 0.9);
    add(Shape::kBox, at, 0.6, {half_length, half_width, 0.35}, paint);
    add(Shape::kBox, at, 1.2, {0.55 * half_length, 0.85 * half_width, 0.25}, kGlass);
    add(Shape::kBox, at, 1.45, {0.5 * half_length, 0.8 * half_width, 0.04}, paint);  // roof
    for (const double axle : {-0.62 * half_length, 0.62 * half_length}) {
      add(Shape::kBox, at.moved(axle, 0), 0.15, {0.3, 0.95 * half_width, 0.2}, kWheel);
    }
  }

  void add_truck(Place at) {
    const Material paint{SemanticId::kTruck, random_.uniform(0.2, 0.5), kOpaque};
    constexpr double kHalfLength = 3.2, kCabHalfLength = 0.9, kGap = 0.2, kHalfWidth = 1.15;
    add(Shape::kBox, at, 2.0, {kHalfLength, kHalfWidth, 1.2}, paint);
    add(Shape::kBox, at, 0.6, {kHalfLength - 0.3, 0.9 * kHalfWidth, 0.25}, paint);  // chassis
    add(Shape::kBox, at.moved(kHalfLength + kGap + kCabHalfLength, 0), 1.4, {kCabHalfLength, kHalfWidth, 1}, paint);
  }

  void add_person(Place at) {
    add(Shape::kCylinder, at, 0.4, {0.12, 0.16, 0.4}, kWalker);  // legs
    add_upper_body(at, 0.8, kWalker);
  }

  void add_bicyclist(Place at) {
    add(Shape::kBox, at, 0.5, {0.85, 0.08, 0.45}, kBicycle);
    add_upper_body(at, 0.9, kRider);
  }

  void add_upper_body(Place at, double hip_height, Material clothes) {
    add(Shape::kEllipsoid, at, hip_height + 0.3, {0.18, 0.25, 0.4}, clothes);
    add(Shape::kEllipsoid, at, hip_height + 0.8, {0.11, 0.11, 0.14}, clothes);
  }

  void add_pole(Place at) {
    constexpr double kRadius = 0.07, kHalfHeight = 3;  // a street lamp
    add(Shape::kCylinder, at, kHalfHeight, {kRadius, kRadius, kHalfHeight}, kMetalPole);
  }

  // A plate that faces along the road, on a thin post.
  void add_traffic_sign(Place at) {
    add(Shape::kCylinder, at, 1.2, {0.04, 0.04, 1.2}, kMetalPole);
    add(Shape::kBox, at, 2.2, {0.06, 0.35, 0.35}, kSignFace);
  }

  // --- where they stand -------------------------------------------------------------------------------------------

  // Gardens along one side of the road. Boundaries and setbacks alternate, so that every seed has near and far ones.
  void line_with_plots(int side) {
    double x = -kSceneRadius + random_.uniform(0, 10);
    for (int plot = random_.integer(0, 3); x < kSceneRadius; ++plot) {
      const double length = random_.uniform(10, 18), middle = x + length / 2;
      constexpr double kPath = 1, kCornerClear = 6;  // m, between plots and beside the side street
      x += length + kPath;
      if (near_side_street(middle, length / 2 + kCornerClear)) continue;
      const double front =
          ground().half_width() + Ground::kParkingWidth + ground().sidewalk_width() + random_.uniform(0.5, 2);
      const auto garden = [&](double along, double behind_front) {
        return beside_centre_line(middle, side * (front + behind_front)).moved(along, 0);
      };

      const double drive = (random_.chance(0.5) ? 0.25 : -0.25) * length;  // the other half of the front is open
      if (plot % 2 == 0) {
        add_hedge(garden(drive, 0), length / 2);
      } else {
        add_fence(garden(drive, 0), length / 2);
      }

      const double depth = random_.uniform(7, 11), width = random_.uniform(0.5, 0.8) * length;
      const double setback = plot / 2 % 2 == 0 ? random_.uniform(8, 18) : random_.uniform(20, 35);
      Place house = garden(0, setback + depth / 2);
      house.yaw += random_.uniform(-0.1, 0.1);
      add_building(house, width, depth);

      const auto spot = [&](double nearest, double farthest) {
        const double along = random_.uniform(-0.5, 0.5) * length;
        return garden(along, random_.uniform(nearest, farthest));
      };
      if (random_.chance(0.7)) add_tree(spot(1.5, 5));
      for (int bush = 0; bush < 2; ++bush) add_bush(spot(1, 6));
    }
  }

  // Lamps along the kerb, and signs at the side street.
  void line_with_poles(int side) {
    constexpr double kLampSpacing = 25, kFromKerb = 0.5, kSignFromSideStreet = 5;
    for (double x = -kSceneRadius + random_.uniform(0, kLampSpacing); x < kSceneRadius; x += kLampSpacing) {
      if (!near_side_street(x, kSignFromSideStreet)) add_pole(beside_kerb(x, side, kFromKerb));
    }
    for (const double offset : {-kSignFromSideStreet, kSignFromSideStreet}) {
      add_traffic_sign(beside_kerb(ground().side_street() + offset, side, kFromKerb));
    }
  }

  // A car right beside the sensor would hide a third of the scene, so none parks there.
  void park_cars(int side) {
    constexpr double kSpacing = 5.6, kOccupied = 0.45, kKeptClear = 5, kCornerClear = 7;
    const Ground::Span lane = ground().parking(side);
    for (double x = lane.begin + kSpacing / 2; x < lane.end - kSpacing / 2; x += kSpacing) {
      if (std::abs(x) < kKeptClear || near_side_street(x, kCornerClear) || !random_.chance(kOccupied)) continue;
      Place place = beside_kerb(x, side, -Ground::kParkingWidth / 2);
      place.yaw += random_.uniform(-0.03, 0.03);
      add_car(place);
    }
  }

  void people_sidewalk(int side) {
    constexpr int kPeople = 4;
    for (int i = 0; i < kPeople; ++i) {
      const double x = random_.either_sign(5, 35);
      Place place = beside_kerb(x, side, random_.uniform(0.5, 1.3));
      place.yaw = random_.uniform(0, kPi);
      add_person(place);
    }
  }

  // Moving traffic: cars before and behind in the sensor's lane, a car and a truck in the other, bicyclists.
  void fill_road() {
    const double lane = ground().half_width() / 2, edge = ground().half_width() - 0.6;
    add_car(beside_centre_line(random_.uniform(-45, -25), -lane));
    add_car(beside_centre_line(random_.uniform(12, 35), -lane));
    add_car(beside_centre_line(random_.uniform(-30, -15), lane));
    Place truck = beside_centre_line(random_.uniform(14, 30), lane);
    truck.yaw += kPi;
    add_truck(truck);
    add_bicyclist(beside_centre_line(random_.uniform(-12, -7), -edge));
    add_bicyclist(beside_centre_line(random_.uniform(7, 12), edge));
  }

  // Trees and thickets of the background, one in each cell of a polar grid, so that no seed is bare or overgrown.
  void scatter_vegetation() {
    constexpr int kSectors = 36, kRings = 10;
    constexpr double kNearest = 18, kRingWidth = (kSceneRadius - kNearest) / kRings, kFromSidewalk = 2.5, kTrees = 0.3;
    for (int sector = 0; sector < kSectors; ++sector) {
      for (int ring = 0; ring < kRings; ++ring) {
        const double angle = (sector + random_.uniform(0, 1)) * 2 * kPi / kSectors;
        const double radius = kNearest + (ring + random_.uniform(0, 1)) * kRingWidth;
        const Place place{radius * std::cos(angle), radius * std::sin(angle), 0};
        if (ground().beyond_kerb(place.x, place.y) < ground().sidewalk_width() + kFromSidewalk) continue;
        if (random_.chance(kTrees)) {
          add_tree(place);
        } else {
          add_thicket(place);
        }
      }
    }
  }

  // --- helpers ----------------------------------------------------------------------------------------------------

  const Ground& ground() const { return scene_.ground; }

  bool near_side_street(double x, double distance) const { return std::abs(x - ground().side_street()) < distance; }

  // Heading along the road, `offset` metres to the left of its centre line.
  Place beside_centre_line(double x, double offset) const {
    return {x, ground().centre_line(x) + offset, ground().heading(x)};
  }

  Place beside_kerb(double x, int side, double distance) const {
    return beside_centre_line(x, side * (ground().kerb_offset(x, side) + distance));
  }

  // `height` is that of the part's centre over the ground.
  void add(Shape shape, Place at, double height, Vec3 half_extent, Material material) {
    scene_.parts.emplace_back(shape, Vec3{at.x, at.y, ground().height(at.x, at.y) + height}, half_extent, at.yaw,
                              material);
  }

  Random& random_;
  Scene scene_;
};

}  // namespace

Scene make_street(Random& random) { return StreetBuilder(random).build(); }

}  // namespace voxshift
