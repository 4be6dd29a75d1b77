// Random numbers for synthetic data: the same sequence with every standard library.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>

namespace voxshift {

/// Draws from std::mt19937_64, whose sequence the standard fixes. The distributions of <random> are left to each
/// standard library, so they are written out here. Draw at most once per full expression, or within braces: the order
/// in which a compiler evaluates arguments and operands is its own.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  /// Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * unit(); }

  /// Uniform in {low, ..., high}.
  int integer(int low, int high) { return low + static_cast<int>((high - low + 1) * unit()); }

  bool chance(double probability) { return unit() < probability; }

  /// A magnitude uniform in [low, high) with a random sign.
  double either_sign(double low, double high) {
    const double magnitude = uniform(low, high);
    return chance(0.5) ? magnitude : -magnitude;
  }

  /// Standard normal by Box and Muller.
  double normal() {
    const double radius = std::sqrt(2 * exponential());
    return radius * std::cos(2 * std::numbers::pi * unit());
  }

  /// Exponential of mean 1.
  double exponential() { return -std::log(1 - unit()); }

 private:
  double unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

  std::mt19937_64 engine_;
};

}  // namespace voxshift
