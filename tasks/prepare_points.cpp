#include <voxshift/tasks/prepare_points.h>
#include <voxshift/tasks/quantile.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <limits>
#include <sstream>

namespace voxshift {
namespace {

constexpr float kUsualHeight = 1.73f;  // metres, KITTI's sensor over the road

template <class... Parts>
std::string note_of(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

bool is_finite(const float* point) {
  return std::isfinite(point[0]) && std::isfinite(point[1]) && std::isfinite(point[2]);
}

/// function(point) for every finite point.
template <class Function>
void for_finite(std::span<const float> points, std::int64_t columns, const Function& function) {
  for (std::size_t i = 0; i < points.size(); i += static_cast<std::size_t>(columns))
    if (is_finite(points.data() + i)) function(points.data() + i);
}

/// One axis of all finite points.
std::vector<float> along(std::size_t axis, std::span<const float> points, std::int64_t columns) {
  std::vector<float> values;
  for_finite(points, columns, [&](const float* point) { values.push_back(point[axis]); });
  return values;
}

std::array<float, 3> medians(std::span<const float> points, std::int64_t columns) {
  std::array<float, 3> middle{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    std::vector<float> values = along(axis, points, columns);
    middle[axis] = quantile(values, 0.5);
  }
  return middle;
}

/// Where a sensor `height` over the ground would be: LiDARs see most around themselves, and most of that is ground.
std::array<float, 3> sensor_of(std::span<const float> points, std::int64_t columns, float height) {
  constexpr float kAround = 10;
  std::array<float, 3> sensor = medians(points, columns);
  std::vector<float> heights;
  for_finite(points, columns, [&](const float* point) {
    if (std::hypot(point[0] - sensor[0], point[1] - sensor[1]) < kAround) heights.push_back(point[2]);
  });
  if (!heights.empty()) sensor[2] = quantile(heights, 0.25) + height;
  return sensor;
}

std::array<float, 3> tile_of(std::span<const float> points, std::int64_t columns) {
  std::array<float, 3> origin{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    std::vector<float> values = along(axis, points, columns);
    const float low = quantile(values, 0.01);
    origin[axis] = axis == 2 ? low : (low + quantile(values, 0.99)) / 2;
  }
  return origin;
}

bool sees_ground_around(std::span<const float> points, std::int64_t columns) {
  constexpr float kAround = 20;
  constexpr std::int64_t kFew = 100;  // so few show nothing
  std::int64_t all = 0, near = 0;
  for_finite(points, columns, [&](const float* point) {
    if (point[0] == 0 && point[1] == 0 && point[2] == 0) return;  // a return that is missing
    ++all;
    if (std::abs(point[0]) < kAround && std::abs(point[1]) < kAround) ++near;
  });
  return all < kFew || near * 1000 >= all;
}

/// Whether a key (tensor/key_layout.h) holds the cells of all finite points: it has 63 bits, one more per axis than its
/// extent needs, and a cell is less than 2^30.
bool fits_a_map(std::span<const float> points, std::int64_t columns, const VoxelSize& voxel_size) {
  constexpr double kFarthestCell = 1 << 30;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::array<float, 3> lowest{kInfinity, kInfinity, kInfinity}, highest{-kInfinity, -kInfinity, -kInfinity};
  for_finite(points, columns, [&](const float* point) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
      lowest[axis] = std::min(lowest[axis], point[axis]);
      highest[axis] = std::max(highest[axis], point[axis]);
    }
  });
  int bits = 0;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    if (!(lowest[axis] <= highest[axis])) return true;  // no finite point
    const double size = voxel_size.each[axis];
    if (std::max(-lowest[axis], highest[axis]) / size >= kFarthestCell) return false;
    bits += static_cast<int>(std::log2((double{highest[axis]} - lowest[axis]) / size + 2)) + 2;
  }
  return bits <= 63;
}

}  // namespace

void Preparation::examine(std::span<const float> points, std::int64_t columns, const Profile& profile,
                          const PrepareOptions& options) {
  columns_ = columns;
  origin_ = {};
  factors_.assign(static_cast<std::size_t>(columns - 3), 1.0f);
  unbounded_remission_ = false;
  has_strays_ = false;
  notes_.clear();
  if (points.empty()) return;
  if (!profile.blocks || options.origin) find_origin(points, profile, options);
  if (!profile.blocks && !profile.voxelize.range) find_strays(points, profile, options);
  find_factors(points, profile, options);
}

bool Preparation::needed() const {
  return origin_ != std::array<float, 3>{} || has_strays_ || unbounded_remission_ ||
         std::ranges::any_of(factors_, [](float factor) { return factor != 1; });
}

bool Preparation::is_stray(const float* point) const {
  for (std::size_t axis = 0; axis < 3; ++axis)
    if (!(std::abs(point[axis] - middle_[axis]) <= reach_[axis])) return true;
  return false;
}

void Preparation::find_strays(std::span<const float> points, const Profile& profile, const PrepareOptions& options) {
  constexpr float kMostCells = 1 << 17;
  std::array<float, 3> cells = profile.voxelize.voxel_size.each;
  for (float& reach : cells) reach *= kMostCells;
  if (options.sensor) {
    middle_ = origin_;
    reach_ = {options.sensor->range, options.sensor->range, cells[2]};
  } else if (!fits_a_map(points, columns_, profile.voxelize.voxel_size)) {
    middle_ = medians(points, columns_);
    reach_ = cells;
  } else {
    return;
  }
  std::int64_t strays = 0;
  for_finite(points, columns_, [&](const float* point) { strays += is_stray(point); });
  has_strays_ = strays > 0;
  if (has_strays_)
    notes_.push_back(note_of(strays, " points further than ", reach_[0], " m from the ",
                             options.sensor ? "sensor" : "others", " were left out"));
}

void Preparation::find_origin(std::span<const float> points, const Profile& profile, const PrepareOptions& options) {
  if (options.origin) {
    for (std::size_t axis = 0; axis < 3; ++axis) origin_[axis] = static_cast<float>((*options.origin)[axis]);
    return;
  }
  if (profile.relative_to == RelativeTo::kTile) {
    origin_ = tile_of(points, columns_);
    return;
  }
  const bool at_zero = options.frame == std::array<double, 3>{};
  if (at_zero && sees_ground_around(points, columns_)) return;
  origin_ = sensor_of(points, columns_, options.sensor ? options.sensor->height : kUsualHeight);
  std::ostringstream note;
  note << std::fixed << std::setprecision(1)
       << (at_zero ? "no points around the origin" : "coordinates are no sensor's") << ": the sensor was put at";
  for (std::size_t axis = 0; axis < 3; ++axis) note << (axis > 0 ? ", " : " ") << origin_[axis] + options.frame[axis];
  notes_.push_back(note.str());
}

void Preparation::find_factors(std::span<const float> points, const Profile& profile, const PrepareOptions& options) {
  std::optional<float> full = options.full_remission;
  if (!full && options.sensor) full = options.sensor->full_remission;
  constexpr float kBytes = 100;  // a profile that expects more than this takes no fractions of 1
  // What follows the remission of a detector's points is their age in seconds.
  const auto last = std::min<std::int64_t>(columns_, profile.cloud ? 4 : profile.columns());
  for (std::int64_t column = 3; column < last; ++column) {
    const auto c = static_cast<std::size_t>(column);
    const float expected = profile.cloud ? profile.cloud->remission : profile.scale[c] > 0 ? 1 / profile.scale[c] : 0;
    float& factor = factors_[c - 3];
    if (column == 3 && full) {
      unbounded_remission_ = *full == 0;
      factor = expected > 0 ? expected / (*full > 0 ? *full : 1) : 1;
      continue;
    }
    if (expected == 0) continue;
    std::int64_t all = 0, larger = 0, beyond_byte = 0, fractions = 0, outside = 0, other = 0;
    for_finite(points, columns_, [&](const float* point) {
      const float value = point[c];
      ++all;
      larger += value > 2 * expected;
      beyond_byte += value > 255;
      outside += !(value >= 0 && value <= 1);
      fractions += value != std::trunc(value);
      other += value != 0;
    });
    if (all > 0 && column == 3 && other == 0) {
      notes_.push_back("remission is 0 everywhere: results will be worse than with it");
    } else if (larger * 100 > all) {
      const float found = beyond_byte * 1000 > all ? 65535.0f : 255.0f;
      factor = expected / found;
      notes_.push_back(note_of("column ", column + 1, " was taken for 0..", found, ", the model takes 0..", expected));
    } else if (expected >= kBytes && outside == 0 && fractions > 0) {
      factor = expected;
      notes_.push_back(note_of("column ", column + 1, " was taken for 0..1, the model takes 0..", expected));
    }
  }
}

void Preparation::apply(std::span<const float> points, std::span<float> prepared) const {
  const auto columns = static_cast<std::size_t>(columns_);
  for (std::size_t i = 0; i < points.size(); i += columns) {
    const float* from = points.data() + i;
    float* to = prepared.data() + i;
    for (std::size_t axis = 0; axis < 3; ++axis) to[axis] = from[axis] - origin_[axis];
    if (has_strays_ && is_stray(from)) to[0] = std::numeric_limits<float>::quiet_NaN();
    for (std::size_t c = 3; c < columns; ++c)
      to[c] = (c == 3 && unbounded_remission_ ? std::tanh(from[c]) : from[c]) * factors_[c - 3];
  }
}

}  // namespace voxshift
