// A place for one frame between a driver that gives them and a network that is slower at times.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

namespace voxshift::ros {

/// The newest frame waits to be taken; one that waited before is dropped and counted. So work that takes longer than
/// the time between two frames sees fewer of them and none of them late by more than itself: no queue grows. For any
/// number of threads on either side.
template <class Frame>
class LatestFrame {
 public:
  /// given = taken + dropped + the one that waits, if any.
  struct Counts {
    std::int64_t given = 0, taken = 0, dropped = 0;
  };

  /// Never waits for a taker. False after close(), which drops and counts the frame.
  bool give(Frame frame) {
    std::optional<Frame> old(std::move(frame));  // given up after the lock: a frame may be large
    {
      const std::lock_guard lock(mutex_);
      ++counts_.given;
      if (closed_) {
        ++counts_.dropped;
        return false;
      }
      counts_.dropped += frame_.has_value() ? 1 : 0;
      frame_.swap(old);
    }
    changed_.notify_one();
    return true;
  }

  /// Waits for a frame. Nothing once the place is closed and empty.
  std::optional<Frame> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return frame_.has_value() || closed_; });
    counts_.taken += frame_.has_value() ? 1 : 0;
    return std::exchange(frame_, std::nullopt);
  }

  /// No more frames; the one that waits can still be taken.
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
  }

  Counts counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Frame> frame_;
  bool closed_ = false;
  Counts counts_;
};

}  // namespace voxshift::ros
