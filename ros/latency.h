// How long frames take, and how many of them too long.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace voxshift::ros {

/// A histogram of times in 8 KiB, however many are added: microseconds below 64 exactly, above that 32 bins in each
/// doubling, up to 2^36 us (19 hours), which longer ones are counted as.
class LatencyHistogram {
 public:
  /// A negative time, as of clocks that differ, is counted as 0.
  void add(std::chrono::nanoseconds time);

  std::int64_t count() const { return count_; }
  std::chrono::nanoseconds least() const { return least_; }  ///< 0 without any
  std::chrono::nanoseconds most() const { return most_; }

  /// The time that `share` (0..1) of all do not exceed: by nearest rank, at most 1/32 of itself and 1 us above the one
  /// that was added, never above most(). 0 without any.
  std::chrono::nanoseconds quantile(double share) const;

 private:
  std::array<std::int64_t, 1024> bins_{};
  std::int64_t count_ = 0;
  std::chrono::nanoseconds least_{}, most_{};
};

/// Times beside a budget: 100 ms at the 10 Hz of most LiDARs.
class LatencyBudget {
 public:
  /// Throws InvalidArgument for a budget of 0 and less.
  explicit LatencyBudget(std::chrono::nanoseconds budget = std::chrono::milliseconds(100));

  void add(std::chrono::nanoseconds time);

  std::chrono::nanoseconds budget() const { return budget_; }
  std::int64_t late() const { return late_; }  ///< longer than the budget
  const LatencyHistogram& times() const { return times_; }

  /// One line: "12 frames, 1 later than 100.0 ms; p50 41.2 ms, p90 55.0 ms, p99 103.1 ms, most 103.1 ms".
  std::string text() const;

 private:
  std::chrono::nanoseconds budget_;
  std::int64_t late_ = 0;
  LatencyHistogram times_;
};

}  // namespace voxshift::ros
