#include <voxshift/synth/ground.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace voxshift {

Road::Place Road::locate(double px, double py) const {
  const double c = std::cos(heading), s = std::sin(heading), dx = px - x, dy = py - y;
  const double u = c * dx + s * dy, v = c * dy - s * dx;
  // Across the road by its heading there: exact on a straight road, within 1 % for the curvatures that occur.
  const double slope = curvature * u;
  return {u, (v - curvature * u * u / 2) / std::sqrt(1 + slope * slope)};
}

std::array<double, 3> Road::at(double u, double lateral) const {
  const double turn = std::atan(curvature * u), v = curvature * u * u / 2 + lateral * std::cos(turn);
  const double along = u - lateral * std::sin(turn), c = std::cos(heading), s = std::sin(heading);
  return {x + c * along - s * v, y + s * along + c * v, heading + turn};
}

double Road::kerb(double u, bool left) const {
  const RoadSide& side = sides[left];
  return half_width + (side.parking.holds(u) ? side.parking_width : 0);
}

Ground::Ground(Random& random, double sensor_height, double roughness, std::array<Bank, 2> banks,
               std::vector<Road> roads, std::vector<Patch> patches)
    : roads_(std::move(roads)),
      patches_(std::move(patches)),
      roughness_(roughness),
      // seen in KITTI's streets, at grazing angles: 0.16 to 0.22 on asphalt, 0.30 to 0.32 on sidewalks, 0.35 to 0.42 on
      // grass
      asphalt_(random.uniform(0.16, 0.32)),
      paving_(asphalt_ + (random.chance(0.2) ? random.uniform(-0.02, 0.06) : random.uniform(0.08, 0.2))),
      grass_(random.uniform(0.4, 0.56)),
      banks_(banks) {
  struct Wave {
    double amplitude, kx, ky, phase;  // m, rad / m, rad / m, rad
  };
  std::array<Wave, 8> waves{};
  const double steepness = random.uniform(0.2, 1);
  for (Wave& wave : waves) {
    const double length = random.uniform(25, 140), heading = random.uniform(0, 2 * std::numbers::pi);
    const double k = 2 * std::numbers::pi / length;
    wave = {steepness * random.uniform(0.001, 0.006) * length, k * std::cos(heading), k * std::sin(heading),
            random.uniform(0, 2 * std::numbers::pi)};
  }
  const double grade = random.uniform(-0.03, 0.03), cross = random.uniform(-0.03, 0.03);
  for (int i = 0; i <= kCells; ++i)
    for (int j = 0; j <= kCells; ++j) {
      const double px = i * kCell - kReach, py = j * kCell - kReach;
      double z = grade * px + cross * py;
      for (const Wave& w : waves) z += w.amplitude * std::sin(w.kx * px + w.ky * py + w.phase);
      hills_[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)] = z;
    }
  datum_ = hills(0, 0) + sensor_height - below_crown(nearest(0, 0));
}

double Ground::hills(double x, double y) const {
  const double fx = std::clamp((x + kReach) / kCell, 0.0, kCells - 1e-6);
  const double fy = std::clamp((y + kReach) / kCell, 0.0, kCells - 1e-6);
  const auto i = static_cast<std::size_t>(fx), j = static_cast<std::size_t>(fy);
  const double a = fx - static_cast<double>(i), b = fy - static_cast<double>(j);
  return (1 - a) * ((1 - b) * hills_[i][j] + b * hills_[i][j + 1]) +
         a * ((1 - b) * hills_[i + 1][j] + b * hills_[i + 1][j + 1]);
}

Ground::Nearest Ground::nearest(double x, double y) const {
  Nearest best{0, {}, 1e9, false};
  for (std::size_t r = 0; r < roads_.size(); ++r) {
    const Road& road = roads_[r];
    const Road::Place place = road.locate(x, y);
    const double beside = std::abs(place.lateral) - road.kerb(place.u, place.lateral > 0);
    const double beyond = std::max({beside, road.extent.begin - place.u, place.u - road.extent.end});
    const bool left_of_first = r == 0 ? place.lateral > 0 : best.left_of_first;
    best = beyond < best.beyond ? Nearest{r, place, beyond, left_of_first} : best;
  }
  return best;
}

double Ground::beyond_sidewalk(double x, double y) const {
  const Nearest at = nearest(x, y);
  return at.beyond - roads_[at.road].sides[at.place.lateral > 0].paved();
}

// Side roads begin at the edge of the first road and take on their own camber over some metres.
double Ground::below_crown(const Nearest& at) const {
  constexpr double kMouth = 10;  // m
  const auto fall = [](const Road& road, double lateral) { return road.camber * std::min(lateral, road.half_width); };
  const Road& road = roads_[at.road];
  const double own = fall(road, std::abs(at.place.lateral));
  if (at.road == 0) return own;
  return fall(roads_[0], roads_[0].half_width) + own * std::min(1.0, std::abs(at.place.u) / kMouth);
}

Ground::Sample Ground::sample(double x, double y) const {
  constexpr double kKerbWidth = 0.06;  // m, over which a kerb rises
  constexpr double kLowered = 0.25;    // share of its height that a kerb keeps before a drive
  constexpr double kLip = 0.025;       // m, of paved parking over the gutter
  const Nearest at = nearest(x, y);
  const Road& road = roads_[at.road];
  const bool left = at.place.lateral > 0;
  const RoadSide& side = road.sides[left];
  const double z = hills(x, y) - datum_ - below_crown(at);
  const double off_lanes = std::abs(at.place.lateral) - road.half_width;
  if (at.beyond <= 0 && off_lanes <= 0) return {z, SemanticId::kRoad, 0, asphalt_};
  const double lip = side.paved_parking && side.parking.holds(at.place.u) ? kLip : 0;
  if (at.beyond <= 0)
    return {z + lip * std::min(1.0, off_lanes / kKerbWidth), SemanticId::kParking, 0, lip > 0 ? paving_ : asphalt_};

  SemanticId surface = side.open;
  double kerb = std::max(side.kerb_height, lip);
  if (at.beyond <= side.verge) {
    surface = SemanticId::kTerrain;
  } else if (at.beyond <= side.paved()) {
    surface = SemanticId::kSidewalk;
  }
  for (const Patch& patch : patches_) {
    if (patch.road != at.road || patch.left != left || !patch.along.holds(at.place.u)) continue;
    if (patch.surface == SemanticId::kParking) kerb *= kLowered;
    if (patch.beyond.holds(at.beyond)) surface = patch.surface;
  }
  const double open = std::max(0.0, at.beyond - side.paved());
  const Bank& rise = banks_[at.left_of_first];
  const double bank = std::clamp(rise.slope * open, -rise.height, rise.height);
  const bool overgrown = surface == SemanticId::kTerrain;
  return {z + lip + (kerb - lip) * std::min(1.0, at.beyond / kKerbWidth) + bank, surface, overgrown ? roughness_ : 0,
          overgrown ? grass_ : paving_};
}

}  // namespace voxshift
