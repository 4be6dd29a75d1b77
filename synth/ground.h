// The ground of a simulated scene: roads with kerbs, verges and sidewalks on rolling terrain.
#pragma once

#include <voxshift/synth/random.h>

#include <array>
#include <cstdint>
#include <vector>

namespace voxshift {

/// Raw ids of SemanticKITTI. kOther is what has no class there: networks are not asked about it.
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
  kOther = 99,
};

struct Span {
  double begin = 0, end = 0;
  bool holds(double x) const { return x > begin && x < end; }
};

/// What lies beside a carriageway, outwards: a parking lane along part of it, a kerb, grass, a sidewalk, then open
/// ground. Metres.
struct RoadSide {
  Span parking;  ///< along the road; empty: no parking lane
  double parking_width = 0;
  bool paved_parking = false;  ///< cobbles behind a low lip, else asphalt like the road
  double kerb_height = 0;
  double verge = 0, sidewalk = 0;

  SemanticId open = SemanticId::kTerrain;  ///< what the open ground is

  /// Metres from the kerb to the open ground.
  double paved() const { return verge + sidewalk; }
};

/// A road along the parabola v = curvature / 2 u^2 in the frame (u, v) at a point with a heading.
struct Road {
  double x = 0, y = 0, heading = 0;  ///< origin of (u, v): m, m, radians
  double curvature = 0;              ///< 1 / m
  double half_width = 3;
  double camber = 0;              ///< fall from the centre line to both sides, metres per metre
  Span extent{-200, 200};         ///< in u
  std::array<RoadSide, 2> sides;  ///< right (v < 0), left

  struct Place {
    double u, lateral;  ///< metres along, and to the left of the centre line
  };
  Place locate(double px, double py) const;
  /// The point `lateral` metres to the left of the centre line at u, and the heading there.
  std::array<double, 3> at(double u, double lateral) const;

  /// Metres from the centre line to the kerb.
  double kerb(double u, bool left) const;
};

/// A rectangle of another surface on open ground, such as a drive: along and across a road, beyond its kerb.
struct Patch {
  std::size_t road;
  bool left;
  Span along, beyond;
  SemanticId surface;
};

/// How open ground rises (or falls) from the sidewalks on one side of the first road.
struct Bank {
  double slope = 0, height = 0;  ///< metres per metre, up to so many metres
};

/// The height field z(x, y). The sensor is at the origin, `height` metres over the first road.
class Ground {
 public:
  Ground(Random& random, double sensor_height, double roughness, std::array<Bank, 2> banks, std::vector<Road> roads,
         std::vector<Patch> patches);

  struct Sample {
    double z;
    SemanticId surface;
    double rough;      ///< mean height of the grass over the soil, m
    double remission;  ///< share of the light returned at normal incidence
  };
  Sample sample(double x, double y) const;
  double height(double x, double y) const { return sample(x, y).z; }

  /// Metres beyond the kerb of the nearest road; negative on a carriageway or parking lane.
  double beyond_kerb(double x, double y) const { return nearest(x, y).beyond; }
  /// Metres beyond the sidewalk of the nearest road.
  double beyond_sidewalk(double x, double y) const;

  const std::vector<Road>& roads() const { return roads_; }

 private:
  struct Nearest {
    std::size_t road;
    Road::Place place;
    double beyond;
    bool left_of_first;  // side of the first road
  };
  Nearest nearest(double x, double y) const;
  double hills(double x, double y) const;
  double below_crown(const Nearest& at) const;  ///< metres that the camber of the roads takes off the height

  static constexpr int kCells = 90;                // of the grid of hills, from -kReach
  static constexpr double kCell = 2, kReach = 90;  // m

  std::vector<Road> roads_;
  std::vector<Patch> patches_;
  double roughness_;
  double asphalt_, paving_, grass_;  // remissions: streets differ in age and stone
  std::array<Bank, 2> banks_;
  std::array<std::array<double, kCells + 1>, kCells + 1> hills_{};
  double datum_ = 0;
};

}  // namespace voxshift
