// Intervals between the time stamps of a file's frames, which tell of missing ones.
#pragma once

#include <voxshift/video/frame_source.h>

#include <cmath>
#include <cstdint>
#include <map>

namespace voxshift {

/// Counts the intervals between frames, so that memory does not grow with the file.
class FrameTimes {
 public:
  /// Of a frame and of the one before it, by the file itself.
  void add(std::int64_t number, double seconds, double seconds_before) {
    const double interval = seconds - seconds_before;
    ++intervals_[std::llround(interval * kUnits)];
    ++count_;
    if (interval <= longest_) return;
    longest_ = interval;
    after_ = number - 1;
    after_seconds_ = seconds_before;
  }

  /// An interval of n steps lacks n - 1 frames; the step is the median. Where fewer than three quarters of the
  /// intervals are one step, the rate varies by itself and nothing is known to be missing.
  MissingFrames missing() const {
    constexpr std::int64_t kFewest = 4;
    constexpr double kEven = 0.75, kTolerance = 0.25;
    const auto step = static_cast<double>(median());
    std::int64_t even = 0;
    MissingFrames missing;
    for (const auto& [units, count] : intervals_) {
      const auto interval = static_cast<double>(units);
      if (std::abs(interval - step) <= kTolerance * step) even += count;
      if (step > 0 && interval > step) missing.count += count * (std::llround(interval / step) - 1);
    }
    if (count_ < kFewest || static_cast<double>(even) < kEven * static_cast<double>(count_) || missing.count == 0)
      return {};
    missing.after = after_;
    missing.after_seconds = after_seconds_;
    return missing;
  }

 private:
  static constexpr double kUnits = 1e4;  // a second's

  std::int64_t median() const {
    std::int64_t before = 0;
    for (const auto& [units, count] : intervals_)
      if ((before += count) * 2 >= count_) return units;
    return 0;
  }

  std::map<std::int64_t, std::int64_t> intervals_;  ///< length in units -> how many
  std::int64_t count_ = 0, after_ = 0;
  double longest_ = 0, after_seconds_ = 0;
};

}  // namespace voxshift
