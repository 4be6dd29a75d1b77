// How large the numbers of a value are, and the scale of i8 that rounds and clips them with the least squared error.
#pragma once

#include <cstdint>
#include <vector>

namespace voxshift {

/// Counts of |x| in bins of one width from 0 to a range that doubles, neighbouring bins then becoming one, as often as
/// a larger number comes. Zeros stand in no bin: every scale keeps them.
class Histogram {
 public:
  explicit Histogram(std::size_t bins = 2048) : counts_(bins) {}

  /// Adds `count` numbers, each `stride` after the one before. NaN and infinities are left out, and counted apart.
  void add(const float* x, std::int64_t count, std::int64_t stride);

  float most() const { return most_; }  ///< the largest |x|
  std::int64_t not_finite() const { return not_finite_; }

  /// What one whole number of -127..127 stands for, so that the sum of (x - n(x) * scale)^2 is least among thresholds
  /// most / 2^(k / 128): n rounds to nearest and clips. 1 where no number is other than 0.
  float best_scale() const;

 private:
  void grow();
  double error(double scale) const;

  std::vector<std::int64_t> counts_;
  float range_ = 0, bins_per_unit_ = 0;
  float most_ = 0;
  std::int64_t not_finite_ = 0;
};

/// A scale that a model file may hold: one that is normal, and whose inverse is.
float valid_scale(double scale);

}  // namespace voxshift
