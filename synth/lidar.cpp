// The sensor: beams, ray casting, range noise, lost returns and remission.
#include <voxshift/synth/lidar.h>
#include <voxshift/synth/street.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <vector>

namespace voxshift {
namespace {

constexpr double kPi = std::numbers::pi;

// HDL-64E as in KITTI: an upper block of 32 beams every third of a degree, a lower one every half degree.
constexpr int kBeams = 64, kColumns = 2165;
constexpr double kMaxRange = 80;  // m

double beam_elevation(int beam) {  // radians
  const auto spread = [](int i, double top, double bottom) { return (top + (bottom - top) * i / 31) * kPi / 180; };
  return beam < 32 ? spread(beam, 2.4, -8.05) : spread(beam - 32, -8.45, -24.0);
}

constexpr double kBeamBias = 0.03;     // m, standard deviation of a beam's calibration error in range
constexpr double kRangeNoise = 0.011;  // m, standard deviation per return, from second differences along KITTI's rings
constexpr double kGrassHeight = 0.04;  // m, mean height over the soil at which terrain returns
constexpr double kGrassReach = 0.1;    // and at most this share of the range before the soil, at a grazing angle

// A return is lost with probability exp(-power / kThresholdPower), power = remission * cos / range^2. The threshold
// loses half of a flat road's returns at 50 m, where cos = sensor height / range, and nearly none of a wall's at 80 m.
constexpr double kThresholdPower = 0.32 * (kSensorHeight / 50) / (50.0 * 50.0) / std::numbers::ln2;
constexpr double kLostAnyway = 0.005;  // share of returns lost for no reason modelled here

// Remission as KITTI reports it: range is compensated for, the angle of incidence in part.
constexpr double kDiffuseFloor = 0.7;     // share of the remission kept at a grazing angle
constexpr double kRemissionNoise = 0.04;  // standard deviation

// The sensor stands on a car whose roof hides the lowest beams: the last one keeps a little over half of
// its returns, as in KITTI. The roof is an ellipse about kRoofCentre, which lies behind the sensor.
constexpr double kRoofBelowSensor = 0.38, kRoofCentre = -0.35, kRoofHalfLength = 1.35, kRoofHalfWidth = 0.68;  // m

bool hits_own_roof(Vec3 direction) {
  if (direction.z >= 0) return false;
  const double range = -kRoofBelowSensor / direction.z;
  return std::hypot((range * direction.x - kRoofCentre) / kRoofHalfLength, range * direction.y / kRoofHalfWidth) < 1;
}

struct Return {
  double range;   // m
  double cosine;  // |cos| of the angle of incidence
  double remission;
  SemanticId id;
};

// Range at which the ray meets the ground. Steps are as long as the clearance allows while no slope exceeds kMaxSlope.
// Kerbs and tussocks do but are low: at worst a grazing ray passes through the edge of one.
std::optional<double> trace_ground(const Ground& ground, Vec3 direction) {
  constexpr double kMaxSlope = 0.25, kShortestStep = 0.05, kTolerance = 1e-3;  // -, m, m
  const auto clearance = [&](double t) { return direction.z * t - ground.height(direction.x * t, direction.y * t); };
  const double descent = kMaxSlope * std::hypot(direction.x, direction.y) - direction.z;  // at most, per metre of range
  if (descent <= 0) return std::nullopt;
  double above = 0, below = 0;
  for (double gap = clearance(0); gap > 0; gap = clearance(below)) {
    above = below;
    below += std::max(gap / descent, kShortestStep);
    if (below > kMaxRange) return std::nullopt;
  }
  while (below - above > kTolerance) {
    const double middle = (above + below) / 2;
    (clearance(middle) > 0 ? above : below) = middle;
  }
  return below;
}

double ground_incidence_cosine(const Ground& ground, Vec3 direction, double range) {
  constexpr double kStep = 0.02;  // m
  const double x = direction.x * range, y = direction.y * range, z = ground.height(x, y);
  const double dx = (ground.height(x + kStep, y) - z) / kStep, dy = (ground.height(x, y + kStep) - z) / kStep;
  return std::abs(direction.z - dx * direction.x - dy * direction.y) / std::sqrt(1 + dx * dx + dy * dy);
}

double ground_remission(SemanticId surface) {
  switch (surface) {
    case SemanticId::kRoad:
    case SemanticId::kParking:
      return 0.32;
    case SemanticId::kSidewalk:
      return 0.4;
    default:
      return 0.45;
  }
}

class Sensor {
 public:
  Sensor(const Scene& scene, Random& random) : scene_(scene), random_(random), parts_in_column_(kColumns) {
    for (const Part& part : scene.parts) list_in_columns(part);
  }

  SynthScan scan() {
    SynthScan result;
    result.points.reserve(std::size_t{4} * kBeams * kColumns);
    result.labels.reserve(std::size_t{kBeams} * kColumns);
    for (int beam = 0; beam < kBeams; ++beam) {
      const double elevation = beam_elevation(beam), bias = kBeamBias * random_.normal();
      for (int column = 0; column < kColumns; ++column) {
        const double azimuth = column * 2 * kPi / kColumns;
        const Vec3 direction{std::cos(elevation) * std::cos(azimuth), std::cos(elevation) * std::sin(azimuth),
                             std::sin(elevation)};
        if (hits_own_roof(direction)) continue;
        const std::optional<Return> seen = nearest_return(direction, parts_in_column_[column]);
        if (!seen || is_lost(*seen)) continue;
        const double range = seen->range + bias + kRangeNoise * random_.normal();
        const double facing = kDiffuseFloor + (1 - kDiffuseFloor) * seen->cosine;
        const double remission = seen->remission * facing + kRemissionNoise * random_.normal();
        for (const double value : {range * direction.x, range * direction.y, range * direction.z}) {
          result.points.push_back(static_cast<float>(value));
        }
        result.points.push_back(static_cast<float>(std::clamp(remission, 0.0, 1.0)));
        result.labels.push_back(static_cast<std::uint32_t>(seen->id));
      }
    }
    return result;
  }

 private:
  // Enters the part in every column whose azimuth its bounding cylinder covers.
  void list_in_columns(const Part& part) {
    const Vec3 centre = part.centre();
    const double distance = std::hypot(centre.x, centre.y), radius = part.horizontal_radius();
    const double half_angle = distance > radius ? std::asin(radius / distance) : kPi;
    const double columns_per_radian = kColumns / (2 * kPi), azimuth = std::atan2(centre.y, centre.x);
    const int first = static_cast<int>(std::floor((azimuth - half_angle) * columns_per_radian));
    const int last = static_cast<int>(std::ceil((azimuth + half_angle) * columns_per_radian));
    for (int column = first; column <= std::min(last, first + kColumns - 1); ++column) {
      parts_in_column_[(column + 2 * kColumns) % kColumns].push_back(&part);
    }
  }

  std::optional<Return> nearest_return(Vec3 direction, const std::vector<const Part*>& candidates) {
    double range = kMaxRange;
    const Part* nearest = nullptr;
    for (const Part* part : candidates) {
      const std::optional<Part::Interval> inside = part->cross(direction);
      if (!inside || inside->enter >= range) continue;
      const double depth = random_.exponential() / part->material().extinction;
      if (inside->enter + depth >= std::min(inside->exit, range)) continue;
      range = inside->enter + depth;
      nearest = part;
    }
    const std::optional<double> soil = trace_ground(scene_.ground, direction);
    if (soil && *soil < range) return ground_return(direction, *soil);
    if (!nearest) return std::nullopt;
    const Material& material = nearest->material();
    return Return{range, nearest->incidence_cosine(direction, range), material.remission, material.id};
  }

  Return ground_return(Vec3 direction, double range) {
    const SemanticId id = scene_.ground.surface(direction.x * range, direction.y * range);
    const double cosine = ground_incidence_cosine(scene_.ground, direction, range);
    if (id == SemanticId::kTerrain) {
      range -= std::min(kGrassHeight * random_.exponential() / cosine, kGrassReach * range);
    }
    return {range, cosine, ground_remission(id), id};
  }

  bool is_lost(const Return& seen) {
    const double power = seen.remission * seen.cosine / (seen.range * seen.range);
    return random_.chance(kLostAnyway + std::exp(-power / kThresholdPower));
  }

  const Scene& scene_;
  Random& random_;
  std::vector<std::vector<const Part*>> parts_in_column_;
};

}  // namespace

SynthScan synth_lidar(std::uint64_t seed) {
  Random random(seed);
  const Scene scene = make_street(random);
  return Sensor(scene, random).scan();
}

}  // namespace voxshift
