// The sensor: beams, ray casting, range noise, lost returns and remission.
#include <voxshift/synth/lidar.h>
#include <voxshift/synth/street.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <vector>

namespace voxshift {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kDegree = kPi / 180;
constexpr double kMaxRange = 80;  // m

/// What one sensor on one car is like.
struct SensorModel {
  std::vector<double> elevations;           // of the beams, radians, from the top
  int columns = 2165;                       // of a turn
  double height = 1.73;                     // m over the road
  double roll = 0, pitch = 0;               // radians
  double beam_bias = 0.025;                 // m, standard deviation of a beam's calibration error in range
  double range_noise = 0.011;               // m, per return, from second differences along KITTI's rings
  double pointing_noise = 0.015 * kDegree;  // of a ray: a beam is some centimetres wide
  double reach = 50;                        // m, at which half of the returns of a flat road are lost
  double lost = 0.005;                      // share of returns lost for no reason modelled here
  double gain = 1;                          // of the remission
};

// HDL-64E as in KITTI: an upper block of 32 beams every third of a degree, a lower one every half degree.
SensorModel hdl64() {
  SensorModel model;
  const auto block = [&](double top, double bottom) {
    for (int i = 0; i < 32; ++i) model.elevations.push_back((top + (bottom - top) * i / 31) * kDegree);
  };
  block(2.4, -8.05);
  block(-8.45, -24.0);
  return model;
}

SensorModel varied(Random& random) {
  SensorModel model = hdl64();
  if (random.chance(0.2)) {  // 32 even beams, as HDL-32E (+10.7 to -30.7 degrees) and relatives
    model.elevations.clear();
    const double top = random.uniform(3, 11), bottom = random.uniform(-31, -24);
    for (int i = 0; i < 32; ++i) model.elevations.push_back((top + (bottom - top) * i / 31) * kDegree);
    model.columns = random.integer(1000, 1900);
  } else {
    model.columns = random.integer(1900, 2200);
  }
  model.height = 1.73 + (random.chance(0.75) ? random.uniform(-0.08, 0.08) : random.uniform(-0.25, 0.35));
  model.roll = 0.7 * kDegree * random.normal();
  model.pitch = 0.7 * kDegree * random.normal();
  for (double& elevation : model.elevations) elevation += 0.06 * kDegree * random.normal();
  std::sort(model.elevations.rbegin(), model.elevations.rend());
  model.beam_bias = random.uniform(0.005, 0.04);
  model.range_noise = random.uniform(0.006, 0.025);
  model.pointing_noise = random.uniform(0.005, 0.04) * kDegree;
  model.reach = random.uniform(35, 70);
  model.lost = random.chance(0.3) ? random.uniform(0.01, 0.15) : 0.005;
  model.gain = random.uniform(0.5, 1.5);
  return model;
}

// Remission as KITTI reports it: range is compensated for, the angle of incidence in part.
constexpr double kDiffuseFloor = 0.7;     // share of the remission kept at a grazing angle
constexpr double kRemissionNoise = 0.07;  // standard deviation
constexpr double kGrassReach =
    0.1;  // grass returns at most this share of the range before the soil, at a grazing angle

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
  std::int32_t object;  // of the scene, -1: none
};

/// The ground along one azimuth, sampled so finely that a kerb shows: distances grow by 1 %, by 4 cm at least.
class GroundProfile {
 public:
  GroundProfile() {
    for (double r = 1; r < kMaxRange; r += std::max(0.04, 0.01 * r)) radii_.push_back(r);
    samples_.resize(radii_.size());
  }

  void look(const Ground& ground, double azimuth) {
    const double c = std::cos(azimuth), s = std::sin(azimuth);
    for (std::size_t i = 0; i < radii_.size(); ++i) samples_[i] = ground.sample(radii_[i] * c, radii_[i] * s);
  }

  struct Hit {
    double distance;  // horizontal, m
    double slope;     // of the ground along the azimuth
    Ground::Sample sample;
  };
  /// The first crossing of the ray z = slope * r at or after sample `start`, which moves there: rays go from the lowest
  /// to the highest, and a higher one crosses no earlier.
  std::optional<Hit> cross(double slope, std::size_t& start) const {
    for (std::size_t i = std::max<std::size_t>(start, 1); i < radii_.size(); ++i) {
      const double above = slope * radii_[i] - samples_[i].z;
      if (above > 0) continue;
      start = i;
      const double before = slope * radii_[i - 1] - samples_[i - 1].z, width = radii_[i] - radii_[i - 1];
      const double share = before > 0 ? before / (before - above) : 0;
      return Hit{radii_[i - 1] + share * width, (samples_[i].z - samples_[i - 1].z) / width,
                 share < 0.5 ? samples_[i - 1] : samples_[i]};
    }
    start = radii_.size();
    return std::nullopt;
  }

 private:
  std::vector<double> radii_;  // m
  std::vector<Ground::Sample> samples_;
};

class Scanner {
 public:
  Scanner(const Scene& scene, const SensorModel& model, Random& random)
      : scene_(scene), model_(model), random_(random), in_column_(static_cast<std::size_t>(model.columns)) {
    for (const Part& part : scene.parts) list_in_columns(part);
    object_of_part_.resize(scene.parts.size(), -1);
    for (std::size_t i = 0; i < scene.objects.size(); ++i)
      for (std::size_t part = scene.objects[i].begin; part < scene.objects[i].end; ++part)
        object_of_part_[part] = static_cast<std::int32_t>(i);
    for (auto& column : in_column_)
      std::sort(column.begin(), column.end(), [](const Sight& a, const Sight& b) {
        return std::pair(a.nearest, a.part) < std::pair(b.nearest, b.part);
      });
    for (std::size_t i = 0; i < model.elevations.size(); ++i) bias_.push_back(model.beam_bias * random.normal());
  }

  SynthScan scan() {
    const std::size_t beams = model_.elevations.size();
    struct Point {
      std::array<float, 4> values;
      SemanticId id;
      std::int32_t object;
    };
    std::vector<std::vector<Point>> rings(beams);
    for (int column = 0; column < model_.columns; ++column) {
      const double azimuth = column * 2 * kPi / model_.columns;
      profile_.look(scene_.ground, azimuth);
      std::size_t start = 0;
      for (std::size_t beam = beams; beam-- > 0;) {
        const Vec3 direction = direction_of(model_.elevations[beam], azimuth);
        const std::optional<Return> seen = cast(beam, azimuth, in_column_[static_cast<std::size_t>(column)], start);
        if (!seen || is_lost(*seen) || hits_own_roof(direction)) continue;
        const double range = seen->range + bias_[beam] + model_.range_noise * random_.normal();
        const double facing = kDiffuseFloor + (1 - kDiffuseFloor) * seen->cosine;
        const double remission = model_.gain * seen->remission * facing + kRemissionNoise * random_.normal();
        rings[beam].push_back(
            {{static_cast<float>(range * direction.x), static_cast<float>(range * direction.y),
              static_cast<float>(range * direction.z), static_cast<float>(std::clamp(remission, 0.0, 1.0))},
             seen->id,
             seen->object});
      }
    }
    SynthScan result;
    for (const auto& ring : rings)
      for (const Point& point : ring) {
        result.points.insert(result.points.end(), point.values.begin(), point.values.end());
        result.labels.push_back(static_cast<std::uint32_t>(point.id));
        result.object.push_back(point.object);
      }
    list_objects(result);
    return result;
  }

 private:
  /// A part in a column: the distances and slopes at which rays may meet it.
  struct Sight {
    double nearest, lowest, highest;
    std::size_t part;
  };

  static Vec3 direction_of(double elevation, double azimuth) {
    return {std::cos(elevation) * std::cos(azimuth), std::cos(elevation) * std::sin(azimuth), std::sin(elevation)};
  }

  // Tilt: small angles, so roll and pitch add to the elevation.
  double tilt(double azimuth) const { return model_.roll * std::sin(azimuth) - model_.pitch * std::cos(azimuth); }

  // The box where the points lie, which have the elevations that the beams would have without the tilt.
  Box3d as_scanned(Box3d box) const {
    const double x = box.x, y = box.y, z = box.z;
    const double distance = std::hypot(x, y), range = std::hypot(distance, z), azimuth = std::atan2(y, x);
    const Vec3 direction = direction_of(std::atan2(z, distance) - tilt(azimuth), azimuth);
    box.x = static_cast<float>(range * direction.x);
    box.y = static_cast<float>(range * direction.y);
    box.z = static_cast<float>(range * direction.z);
    return box;
  }

  // Lists what has a point and renumbers the points' objects, from those of the scene to those of the list.
  void list_objects(SynthScan& result) const {
    std::vector<std::int64_t> points(scene_.objects.size());
    for (const std::int32_t object : result.object)
      if (object >= 0) ++points[static_cast<std::size_t>(object)];
    std::vector<std::int32_t> listed(scene_.objects.size(), -1);
    for (std::size_t i = 0; i < scene_.objects.size(); ++i) {
      if (points[i] == 0) continue;
      listed[i] = static_cast<std::int32_t>(result.objects.size());
      result.objects.push_back({scene_.objects[i].kind, as_scanned(scene_.objects[i].box), points[i]});
    }
    for (std::int32_t& object : result.object)
      if (object >= 0) object = listed[static_cast<std::size_t>(object)];
  }

  // Enters the part in every column whose azimuth its bounding cylinder covers.
  void list_in_columns(const Part& part) {
    const Vec3 centre = part.centre();
    const double distance = std::hypot(centre.x, centre.y), radius = part.horizontal_radius();
    const double nearest = std::max(0.5, distance - radius), farthest = distance + radius;
    if (nearest > kMaxRange) return;
    const double top = centre.z + part.half_height(), bottom = centre.z - part.half_height();
    constexpr double kMargin = 0.02;  // slope, for the sensor's tilt
    const Sight sight{nearest, bottom / (bottom > 0 ? farthest : nearest) - kMargin,
                      top / (top > 0 ? nearest : farthest) + kMargin,
                      static_cast<std::size_t>(&part - scene_.parts.data())};
    if (sight.lowest > std::tan(model_.elevations.front()) || sight.highest < std::tan(model_.elevations.back()))
      return;
    const double half_angle = distance > radius ? std::asin(radius / distance) : kPi;
    const double columns_per_radian = model_.columns / (2 * kPi), azimuth = std::atan2(centre.y, centre.x);
    const int first = static_cast<int>(std::floor((azimuth - half_angle) * columns_per_radian)) - 1;
    const int last = static_cast<int>(std::ceil((azimuth + half_angle) * columns_per_radian)) + 1;
    for (int column = first; column <= std::min(last, first + model_.columns - 1); ++column)
      in_column_[static_cast<std::size_t>((column + 2 * model_.columns) % model_.columns)].push_back(sight);
  }

  std::optional<Return> cast(std::size_t beam, double azimuth, const std::vector<Sight>& column, std::size_t& start) {
    const double elevation = model_.elevations[beam] + tilt(azimuth) + model_.pointing_noise * random_.normal();
    const Vec3 direction = direction_of(elevation, azimuth + model_.pointing_noise * random_.normal());
    const double slope = std::tan(elevation), stretch = 1 / std::cos(elevation);  // range per horizontal distance
    std::size_t from = start > 3 ? start - 3 : 0;  // noise may turn the order of neighbouring beams round
    const auto soil = profile_.cross(slope, from);
    start = from;
    double range = soil ? std::min(kMaxRange, soil->distance * stretch) : kMaxRange;
    const Part* nearest = nullptr;
    for (const Sight& sight : column) {
      if (sight.nearest > range) break;
      if (slope < sight.lowest || slope > sight.highest) continue;
      const Part& part = scene_.parts[sight.part];
      const std::optional<Part::Interval> inside = part.cross(direction);
      if (!inside || inside->enter >= range) continue;
      const double depth = random_.exponential() / part.material().extinction;
      if (inside->enter + depth >= std::min(inside->exit, range)) continue;
      range = inside->enter + depth;
      nearest = &part;
    }
    if (nearest) {
      const Material& material = nearest->material();
      return Return{range, nearest->incidence_cosine(direction, range), material.remission, material.id,
                    object_of_part_[static_cast<std::size_t>(nearest - scene_.parts.data())]};
    }
    if (!soil || soil->distance * stretch >= kMaxRange) return std::nullopt;
    const double cosine = std::abs(slope - soil->slope) / std::hypot(1, slope) / std::hypot(1, soil->slope);
    if (soil->sample.rough > 0)
      range -= std::min(soil->sample.rough * random_.exponential() / std::max(cosine, 0.01), kGrassReach * range);
    return Return{range, cosine, soil->sample.remission, soil->sample.surface, -1};
  }

  // With probability exp(-power / threshold), power = remission * cos / range^2. The threshold loses half of a flat
  // road's returns at model.reach, where cos = sensor height / range, and nearly none of a wall's at 80 m.
  bool is_lost(const Return& seen) {
    const double threshold = 0.25 * (model_.height / model_.reach) / (model_.reach * model_.reach) / std::numbers::ln2;
    const double power = seen.remission * seen.cosine / (seen.range * seen.range);
    return random_.chance(model_.lost + std::exp(-power / threshold));
  }

  const Scene& scene_;
  const SensorModel& model_;
  Random& random_;
  std::vector<std::vector<Sight>> in_column_;
  std::vector<double> bias_;  // m, of each beam
  std::vector<std::int32_t> object_of_part_;
  GroundProfile profile_;
};

}  // namespace

SynthScan synth_lidar(std::uint64_t seed, const SynthLidarOptions& options) {
  Random random(seed);
  const SensorModel model = options.vary_sensor ? varied(random) : hdl64();
  const Scene scene = make_street(random, model.height);
  return Scanner(scene, model, random).scan();
}

}  // namespace voxshift
