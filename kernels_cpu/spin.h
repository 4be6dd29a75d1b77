// Waiting of threads for each other: they spin for a little while, then sleep.
#pragma once

#include <hwy/cache_control.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <limits>
#include <optional>

namespace voxshift::cpu {

using SpinClock = std::chrono::steady_clock;

constexpr std::chrono::microseconds kSpin{50};   // covers what lies between two regions of a frame
constexpr std::chrono::milliseconds kTrial{50};  // of spinning: the system has time to spread threads over processors
constexpr std::chrono::seconds kBusy{5};         // without spinning, where the trial went wrong

/// CPU time of the calling thread; none where the system does not tell.
inline std::optional<std::chrono::nanoseconds> thread_time() {
#ifdef CLOCK_THREAD_CPUTIME_ID
  timespec time{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0)
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
#endif
  return std::nullopt;
}

/// Spins before a wait sleeps, unless the machine is busy: there spinning uses up the share that the pool would compute
/// in, and sleeping is what the system rewards: who wakes up runs soon.
class Spin {
 public:
  bool allowed() const {
    return SpinClock::now().time_since_epoch().count() >= busy_until_.load(std::memory_order_relaxed);
  }

  void machine_is_busy() {
    busy_until_.store((SpinClock::now() + kBusy).time_since_epoch().count(), std::memory_order_relaxed);
  }

  /// Whether done() became true while spinning.
  template <class Done>
  bool until(const Done& done) const {
    if (done()) return true;
    if (!allowed()) return false;
    const SpinClock::time_point end = SpinClock::now() + kSpin;
    for (int i = 1; !done(); ++i) {
      hwy::Pause();
      if (i % 16 == 0 && SpinClock::now() > end) return false;
    }
    return true;
  }

 private:
  std::atomic<SpinClock::rep> busy_until_{std::numeric_limits<SpinClock::rep>::min()};
};

/// What a thread that spins lost to others: the time that it was neither asleep nor let compute.
class LostTime {
 public:
  /// A trial begins.
  void restart() { begun_ = false; }

  void slept(SpinClock::duration time) { wanted_from_ += time; }

  /// Whether a trial has ended in which it was more than a third.
  bool is_much() {
    const SpinClock::time_point now = SpinClock::now();
    if (begun_ && now - wanted_from_ < kTrial) return false;
    const std::optional<std::chrono::nanoseconds> cpu = thread_time();
    const auto wanted = now - wanted_from_;
    const bool much = begun_ && cpu && last_cpu_ && 3 * (wanted - (*cpu - *last_cpu_)) > wanted;
    begun_ = true;
    wanted_from_ = now;
    last_cpu_ = cpu;
    return much;
  }

 private:
  bool begun_ = false;
  SpinClock::time_point wanted_from_;
  std::optional<std::chrono::nanoseconds> last_cpu_;
};

}  // namespace voxshift::cpu
