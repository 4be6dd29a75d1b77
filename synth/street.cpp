// Layouts: roads and their sides first, since the ground follows from them, then what stands on it.
#include <voxshift/synth/objects.h>
#include <voxshift/synth/street.h>
#include <voxshift/synth/street_styles.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

namespace voxshift {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kSceneRadius = 80;     // m, the sensor's range: objects are placed up to here
constexpr double kClearOfSensor = 2.6;  // m, no object's centre is nearer

struct Plot {
  std::size_t road;
  bool left;
  double begin, end;  // along the road
  Span drive;         // empty: none
};

class StreetBuilder {
 public:
  StreetBuilder(Random& random, double sensor_height)
      : random_(random), style_(pick_style()), objects_(random, lay_out(sensor_height)) {}

  Scene build() {
    for (const Plot& plot : plots_) furnish(plot);
    for (std::size_t road = 0; road < roads().size(); ++road)
      for (const bool left : {false, true}) line(road, left);
    fill_roads();
    scatter_vegetation();
    return objects_.take();
  }

 private:
  double draw(Interval range) { return random_.uniform(range.low, range.high); }

  StreetStyle pick_style() {
    double pick = random_.uniform(0, 1);
    for (const StreetStyle& style : kStreetStyles)
      if ((pick -= style.share) < 0) return style;
    return kStreetStyles[0];
  }

  // --- roads and ground -------------------------------------------------------------------------------------------

  RoadSide side() {
    RoadSide side;
    side.kerb_height = draw(style_.kerb);
    if (random_.chance(style_.verge)) side.verge = random_.uniform(0.4, 3);
    if (random_.chance(style_.sidewalk_share)) side.sidewalk = draw(style_.sidewalk);
    if (random_.chance(style_.parking_lane)) {
      const double begin = random_.uniform(-70, 10);
      side.parking = {begin, begin + random_.uniform(20, 80)};
      side.parking_width = random_.uniform(1.9, 2.5);
      side.paved_parking = random_.chance(0.75);
    }
    if (style_.setback.high < 2) side.open = SemanticId::kSidewalk;  // a town is paved
    return side;
  }

  Ground lay_out(double sensor_height) {
    Road main;
    main.half_width = draw(style_.half_width);
    main.camber = random_.uniform(0, 0.04);
    main.y = main.half_width * random_.uniform(0.25, 0.6);  // the sensor drives on the right
    main.heading = random_.uniform(-0.04, 0.04);
    main.curvature = random_.chance(0.3) ? random_.either_sign(1.0 / 200, 1.0 / 60) : random_.uniform(-1, 1) / 500;
    main.sides = {side(), side()};
    std::vector<Road> roads{main};
    const int count = random_.integer(0, style_.side_roads);
    for (int i = 0; i < count; ++i) {
      const auto [x, y, heading] = main.at(random_.either_sign(i == 0 ? 6 : 15, 60), 0);
      Road branch;
      branch.x = x;
      branch.y = y;
      branch.heading = heading + random_.either_sign(0.38, 0.62) * kPi;
      branch.half_width = random_.uniform(2, 3.6);
      branch.camber = random_.uniform(0, 0.04);
      branch.curvature = random_.uniform(-1, 1) / 200;
      branch.extent = {random_.chance(0.35) ? -90.0 : 0.0, 90};
      branch.sides = {side(), side()};
      roads.push_back(branch);
    }
    std::vector<Patch> patches;
    for (std::size_t road = 0; road < roads.size(); ++road)
      for (const bool left : {false, true}) divide(roads, road, left, patches);
    std::array<Bank, 2> banks{};
    for (Bank& bank : banks) {
      bank.slope = random_.uniform(-style_.bank, style_.bank);
      bank.height = random_.uniform(0.2, 3.5);
    }
    const double roughness = random_.uniform(0.01, random_.chance(0.3) ? 0.25 : 0.08);
    return {random_, sensor_height, roughness, banks, std::move(roads), std::move(patches)};
  }

  // Plots along one side, with drives, and car parks.
  void divide(const std::vector<Road>& roads, std::size_t road, bool left, std::vector<Patch>& patches) {
    const RoadSide& side = roads[road].sides[left];
    const double last = road == 0 ? kSceneRadius : 55;
    double u = road == 0 ? -kSceneRadius : roads[0].half_width + 6;
    while (u < last) {
      Plot plot{road, left, u, u + draw(style_.plot), {}};
      u = plot.end;
      if (road == 0 && near_branch(roads, plot)) continue;
      const double length = plot.end - plot.begin;
      if (style_.setback.high > 2 && random_.chance(0.6)) {
        const double begin = plot.begin + random_.uniform(0.02, 0.7) * length, width = random_.uniform(2.6, 4.5);
        plot.drive = {begin, begin + width};
        patches.push_back({road,
                           left,
                           plot.drive,
                           {side.paved(), side.paved() + random_.uniform(4, 12)},
                           random_.chance(0.75) ? SemanticId::kParking : SemanticId::kSidewalk});
      } else if (random_.chance(0.06)) {  // car park along the plot
        plot.drive = {plot.begin, plot.end};
        patches.push_back({road, left, plot.drive, {side.paved(), side.paved() + 5.5}, SemanticId::kParking});
      }
      plots_.push_back(plot);
    }
  }

  static bool near_branch(const std::vector<Road>& roads, const Plot& plot) {
    for (std::size_t r = 1; r < roads.size(); ++r) {
      const double at = roads[0].locate(roads[r].x, roads[r].y).u, clear = roads[r].half_width + 5;
      if (at > plot.begin - clear && at < plot.end + clear) return true;
    }
    return false;
  }

  // --- what stands on plots ---------------------------------------------------------------------------------------

  void furnish(const Plot& plot) {
    const double length = plot.end - plot.begin, middle = (plot.begin + plot.end) / 2;
    const double front = roads()[plot.road].sides[plot.left].paved();
    const double setback = draw(style_.setback);
    if (random_.chance(style_.built)) {
      const double depth = random_.uniform(7, 13);
      const double width =
          style_.setback.high < 2 ? length * random_.uniform(0.9, 1.02) : length * random_.uniform(0.45, 0.85);
      Place at = beyond_kerb(plot.road, plot.left, middle + random_.uniform(-0.1, 0.1) * length, front + setback);
      if (plot.left) at = at.turned(kPi);
      if (style_.setback.high > 2) at = at.turned(random_.uniform(-0.06, 0.06));
      if (fits(at, width, depth)) objects_.house(at, width, depth, draw(style_.height));
    }
    if (random_.chance(style_.closed)) close_front(plot, front + random_.uniform(0.1, 0.6));
    const int plants = static_cast<int>(style_.garden * random_.uniform(0.3, 1.5));
    for (int i = 0; i < plants; ++i) plant(spot(plot, front + 0.8, front + std::max(3.0, setback)));
    if (random_.chance(0.25 * style_.closed)) objects_.shed(spot(plot, front + 3, front + setback + 6));
    // Boundaries between gardens.
    if (style_.setback.high > 2 && random_.chance(style_.closed)) {
      const double deep = setback + 6;
      const Place at = beyond_kerb(plot.road, plot.left, plot.end, front + deep / 2 + 0.5).turned(kPi / 2);
      if (free(at, deep / 2)) boundary(at, deep);
    }
    if (plot.drive.end > plot.drive.begin) {
      const bool park = plot.drive.end - plot.drive.begin > 6;
      for (double u = plot.drive.begin + 1.4; u < plot.drive.end - 1; u += 2.7)
        if (random_.chance(park ? 0.65 : 0.35))
          park_at(beyond_kerb(plot.road, plot.left, u, front + random_.uniform(2.5, 3.5)).turned(kPi / 2));
    }
  }

  // A boundary on either side of the drive.
  void close_front(const Plot& plot, double beyond) {
    const Span whole{plot.begin + 0.2, plot.end - 0.2};
    const bool open = plot.drive.end > plot.drive.begin;
    for (const Span& part :
         {Span{whole.begin, open ? plot.drive.begin : whole.end}, Span{open ? plot.drive.end : whole.end, whole.end}}) {
      if (part.end - part.begin < 1) continue;
      const Place at = beyond_kerb(plot.road, plot.left, (part.begin + part.end) / 2, beyond);
      if (free(at, 0.3)) boundary(at, part.end - part.begin);
    }
  }

  void boundary(Place at, double length) {
    const double kind = random_.uniform(0, 1);
    if (kind < 0.42) {
      objects_.hedge(at, length, random_.uniform(0.5, 2), random_.uniform(0.5, 1.5));
    } else if (kind < 0.75) {
      objects_.fence(at, length, random_.uniform(0.6, 1.6));
      if (random_.chance(0.4))
        objects_.hedge(at.moved(0, random_.either_sign(0.4, 0.7)), length * random_.uniform(0.4, 1),
                       random_.uniform(0.6, 1.8), 0.6);
    } else {
      objects_.wall(at, length, random_.uniform(0.3, 1.8));
    }
    if (random_.chance(0.3)) objects_.weeds(at.moved(random_.uniform(-0.4, 0.4) * length, 0.3), 1);
  }

  void plant(Place at) {
    if (!free(at, 0.5)) return;
    const double kind = random_.uniform(0, 1);
    if (kind < 0.5) {
      objects_.bush(at, random_.uniform(0.3, 1.5));
    } else if (kind < 0.85) {
      objects_.tree(at, random_.uniform(3, 12));
    } else {
      objects_.conifer(at, random_.uniform(2, 12));
    }
  }

  // --- along the roads --------------------------------------------------------------------------------------------

  void line(std::size_t road, bool left) {
    const RoadSide& side = roads()[road].sides[left];
    const double first = road == 0 ? -kSceneRadius : roads()[0].half_width + 4, last = road == 0 ? kSceneRadius : 55;
    // Parked cars, all one way or mixed.
    for (double u = first; u < last; u += random_.uniform(5.2, 6.6)) {
      const bool lane = side.parking.holds(u);
      if (!random_.chance(lane ? style_.parked : style_.double_parked)) continue;
      const double width = lane ? -side.parking_width / 2 : random_.uniform(-1.1, side.verge > 0 ? -0.9 : 0.6);
      park_at(beyond_kerb(road, left, u, width).turned(left == random_.chance(0.85) ? kPi : 0.0));
    }
    const double behind = side.sidewalk > 0 ? random_.uniform(0.3, 0.7) : random_.uniform(0.6, 1.5);
    for (double u = first + random_.uniform(0, 25); u < last; u += random_.uniform(18, 38)) {
      const Place at = beyond_kerb(road, left, u, behind);
      if (!free(at, 0.3)) continue;
      const double kind = random_.uniform(0, 1);
      if (kind < 0.5) {
        objects_.lamp(at);
      } else if (kind < 0.8) {
        objects_.traffic_sign(at.turned(left ? kPi : 0));
      } else {
        objects_.pole(at, random_.uniform(0.8, 1.2), random_.uniform(0.04, 0.08));  // bollard
      }
    }
    const auto beside = [&](double low, double high) {
      return beyond_kerb(road, left, random_.uniform(first, last), random_.uniform(low, high));
    };
    if (road > 0)
      for (const double clear : {1.5, 3.5})
        objects_.traffic_sign(beyond_kerb(road, left, roads()[0].half_width + clear, 0.6));
    if (random_.chance(style_.street_trees)) {
      const double spacing = random_.uniform(7, 16), height = random_.uniform(5, 16);
      const double across = side.verge > 1 ? side.verge / 2 : side.paved() + random_.uniform(0.4, 2);
      for (double u = first; u < last; u += spacing) {
        const Place at = beyond_kerb(road, left, u, across);
        if (free(at, 0.3)) objects_.tree(at, height * random_.uniform(0.8, 1.2));
      }
    }
    if (random_.chance(style_.rails))
      objects_.guard_rail(beyond_kerb(road, left, random_.uniform(-40, 40), 0.6), random_.uniform(30, 90));
    // Growth that closes the road in.
    const int thickets = random_.integer(0, style_.built < 0.8 ? 3 : 1);
    for (int i = 0; i < thickets; ++i) {
      const double depth = random_.uniform(2, 12), length = random_.uniform(8, 45);
      const Place at =
          beyond_kerb(road, left, random_.uniform(first, last), side.paved() + depth / 2 + random_.uniform(0.5, 6));
      if (free(at, depth / 2)) objects_.thicket(at, length, depth, random_.uniform(3, 12));
    }
    const int weeds = random_.integer(0, 8);
    for (int i = 0; i < weeds; ++i)
      objects_.weeds(beside(side.paved() + 0.2, side.paved() + 4), random_.uniform(0.3, 2));
    const int things = random_.integer(0, 4);
    for (int i = 0; i < things; ++i) {
      const Place at = beside(0.4, side.paved() + 1.5);
      if (free(at, 0.5)) objects_.clutter(at);
    }
    const int people = random_.integer(0, style_.people);
    for (int i = 0; i < people; ++i) {
      const Place at = beside(0.3, std::max(1.0, side.paved()));
      if (free(at, 0.4)) objects_.person(at.turned(random_.uniform(0, 2 * kPi)));
    }
  }

  // Moving traffic in both lanes; what would stand on the sensor is left out.
  void fill_roads() {
    const Road& main = roads()[0];
    for (int i = random_.integer(0, style_.traffic); i > 0; --i) {
      const bool oncoming = random_.chance(0.55);
      const double lateral = (oncoming ? 1 : -1) * main.half_width * random_.uniform(0.4, 0.6);
      const double u = random_.either_sign(7, 60);
      Place at = on_road(0, u, lateral);
      if (oncoming) at = at.turned(kPi);
      if (!clear_of_sensor(at, 4)) continue;
      const double kind = random_.uniform(0, 1);
      if (kind < 0.7) {
        objects_.car(at);
      } else if (kind < 0.85) {
        objects_.van(at);
      } else {
        objects_.truck(at);
      }
    }
    for (int i = random_.integer(0, 3); i > 0; --i) {
      const double lateral = random_.either_sign(0.6, 0.9) * main.half_width;
      const Place at = on_road(0, random_.either_sign(4, 35), lateral);
      if (clear_of_sensor(at, kClearOfSensor)) objects_.bicyclist(at.turned(lateral > 0 ? kPi : 0));
    }
  }

  void park_at(Place at) {
    if (!clear_of_sensor(at, kClearOfSensor) || !free_of_carriageway(at)) return;
    at = at.turned(random_.uniform(-0.04, 0.04));
    const double kind = random_.uniform(0, 1);
    if (kind < 0.85) {
      objects_.car(at);
    } else if (kind < 0.95) {
      objects_.van(at);
    } else {
      objects_.truck(at);
    }
  }

  // The background: trees and thickets in the cells of a polar grid.
  void scatter_vegetation() {
    constexpr int kSectors = 30, kRings = 8;
    constexpr double kNearest = 14, kRingWidth = (kSceneRadius - kNearest) / kRings;
    const double density = style_.background * random_.uniform(0.3, 1.3);
    for (int sector = 0; sector < kSectors; ++sector)
      for (int ring = 0; ring < kRings; ++ring) {
        const double angle = (sector + random_.uniform(0, 1)) * 2 * kPi / kSectors;
        const double radius = kNearest + (ring + random_.uniform(0, 1)) * kRingWidth;
        const Place at{radius * std::cos(angle), radius * std::sin(angle), random_.uniform(0, kPi)};
        if (!random_.chance(density) || ground().beyond_sidewalk(at.x, at.y) < 3.5) continue;
        const double kind = random_.uniform(0, 1);
        if (kind < 0.45) {
          objects_.tree(at, random_.uniform(5, 18));
        } else if (kind < 0.55) {
          objects_.conifer(at, random_.uniform(4, 16));
        } else {
          objects_.thicket(at, random_.uniform(4, 14), random_.uniform(3, 6), random_.uniform(3, 8));
        }
      }
  }

  // --- places -----------------------------------------------------------------------------------------------------

  const Ground& ground() const { return objects_.ground(); }
  const std::vector<Road>& roads() const { return ground().roads(); }

  Place on_road(std::size_t road, double u, double lateral) const {
    const auto [x, y, heading] = roads()[road].at(u, lateral);
    return {x, y, heading};
  }

  Place beyond_kerb(std::size_t road, bool left, double u, double beyond) const {
    return on_road(road, u, (left ? 1 : -1) * (roads()[road].kerb(u, left) + beyond));
  }

  Place spot(const Plot& plot, double nearest, double farthest) {
    const double u = random_.uniform(plot.begin, plot.end);
    return beyond_kerb(plot.road, plot.left, u, random_.uniform(nearest, farthest));
  }

  static bool clear_of_sensor(Place at, double distance) { return std::hypot(at.x, at.y) > distance; }

  /// Whether a thing of this radius stands beside all roads and away from the sensor.
  bool free(Place at, double radius) const {
    return clear_of_sensor(at, kClearOfSensor + radius) && ground().beyond_kerb(at.x, at.y) > radius * 0.3 + 0.1;
  }

  /// Whether no road runs through a house of this front.
  bool fits(Place front, double length, double depth) const {
    for (const double along : {-0.5, -0.25, 0.0, 0.25, 0.5})
      for (const double across : {0.0, -0.5, -1.0})
        if (!free(front.moved(along * length, across * depth), 0.8)) return false;
    return true;
  }

  /// Parked cars keep the middle of every road open.
  bool free_of_carriageway(Place at) const {
    return std::all_of(roads().begin(), roads().end(), [&](const Road& road) {
      const Road::Place place = road.locate(at.x, at.y);
      return !road.extent.holds(place.u) || std::abs(place.lateral) > road.half_width - 1.3;
    });
  }

  Random& random_;
  StreetStyle style_;
  std::vector<Plot> plots_;
  ObjectBuilder objects_;
};

}  // namespace

Scene make_street(Random& random, double sensor_height) { return StreetBuilder(random, sensor_height).build(); }

}  // namespace voxshift
