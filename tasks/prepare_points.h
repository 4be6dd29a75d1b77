// What points from elsewhere need before a network sees them: its unit of remission, its origin, no strays.
#pragma once

#include <voxshift/tasks/profile.h>
#include <voxshift/tasks/sensor.h>

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

/// What is known of points. What is not given is guessed from their values, and a note says so.
struct PrepareOptions {
  std::optional<Sensor> sensor;         ///< gives full_remission, range and height
  std::optional<float> full_remission;  ///< of a perfect reflector; 0: unbounded, tanh is taken
  std::optional<std::array<double, 3>>
      origin;                     ///< where the sensor, or the middle of the tile, is in the points' frame
  std::array<double, 3> frame{};  ///< where the points' zero is in the file; where that is not 0, no sensor is there
};

/// How points become those that a profile expects: (xyz - origin), remission * factor, far points left out. Keeps its
/// memory from scan to scan.
class Preparation {
 public:
  /// Looks at points f32 [count, columns], row-major. What is decided:
  ///  origin     networks on voxels: of a profile relative to a sensor, where of 100 points and more fewer than 1 in
  ///  1,000 lie within
  ///             20 m of the origin along the ground, the sensor is put at the median x and y, at its height over the
  ///             points there. Of a profile relative to a tile, always the middle and the lowest percent of the tile.
  ///  remission  and other columns that a profile scales: where more than 1 in 100 values are more than twice what the
  ///             profile expects at most, they are taken for 0..255, or 0..65535; where it expects 100 and more and all
  ///             are in 0..1, not all whole, for 0..1.
  ///  strays     networks on voxels without a range: points further from the origin along x or y than the sensor's
  ///             range. Without a sensor, where the points span more cells than a map can hold, points further than
  ///             2^17 cells from the middle.
  void examine(std::span<const float> points, std::int64_t columns, const Profile& profile,
               const PrepareOptions& options = {});

  /// Whether anything has to be done; else the points are as they should be.
  bool needed() const;

  /// The prepared points, columns as they were; a stray's x is NaN, which drops it.
  void apply(std::span<const float> points, std::span<float> prepared) const;

  /// What is subtracted from x, y and z.
  const std::array<float, 3>& origin() const { return origin_; }

  /// What was guessed, a line each.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  void find_origin(std::span<const float> points, const Profile& profile, const PrepareOptions& options);
  void find_strays(std::span<const float> points, const Profile& profile, const PrepareOptions& options);
  bool is_stray(const float* point) const;
  void find_factors(std::span<const float> points, const Profile& profile, const PrepareOptions& options);

  std::int64_t columns_ = 3;
  std::array<float, 3> origin_{};
  std::vector<float> factors_;  ///< of the columns from the fourth on
  bool unbounded_remission_ = false;
  std::array<float, 3> reach_{};  ///< metres from middle_ along each axis
  bool has_strays_ = false;
  std::array<float, 3> middle_{};
  std::vector<std::string> notes_;
};

}  // namespace voxshift
