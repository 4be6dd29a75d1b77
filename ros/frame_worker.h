// A thread that works on the newest frame, and counts what became of all of them.
#pragma once

#include <voxshift/ros/latency.h>
#include <voxshift/ros/latest_frame.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace voxshift::ros {

/// given = done + failed + dropped + the one that waits and the one in work, if any.
struct FrameReport {
  std::int64_t given = 0, done = 0, failed = 0, dropped = 0;
  LatencyBudget latency;  ///< of those that were done, from give() to the end of the work

  /// One line: the counts, then the latency's own text.
  std::string text() const {
    return std::to_string(given) + " given, " + std::to_string(dropped) + " dropped, " + std::to_string(failed) +
           " failed; " + latency.text();
  }
};

/// Calls work(frame) on a thread of its own for the newest frame that was given (latest_frame.h).
template <class Frame>
class FrameWorker {
 public:
  using Time = std::chrono::nanoseconds;

  /// work() may throw: failed(text) is called then, which must not, and the next frame is worked on. `now` is a clock
  /// that does not go back. Throws InvalidArgument for a budget of 0 and less.
  FrameWorker(std::function<void(Frame&)> work, std::function<void(const std::string&)> failed,
              Time budget = std::chrono::milliseconds(100), std::function<Time()> now = steady_time)
      : work_(std::move(work)),
        failed_(std::move(failed)),
        now_(std::move(now)),
        report_{.latency = LatencyBudget(budget)} {
    thread_ = std::thread([this] { run(); });
  }
  FrameWorker(const FrameWorker&) = delete;
  FrameWorker& operator=(const FrameWorker&) = delete;
  ~FrameWorker() { finish(); }

  /// Never waits for the work. False after finish().
  bool give(Frame frame) { return frames_.give({std::move(frame), now_()}); }

  /// Takes no more frames, and returns when the one that waits is done.
  void finish() {
    frames_.close();
    if (thread_.joinable()) thread_.join();
  }

  FrameReport report() const {
    const std::lock_guard lock(mutex_);
    FrameReport report = report_;
    const auto counts = frames_.counts();
    report.given = counts.given;
    report.dropped = counts.dropped;
    return report;
  }

  static Time steady_time() { return std::chrono::steady_clock::now().time_since_epoch(); }

 private:
  struct Arrived {
    Frame frame;
    Time at;
  };

  void run() {
    while (auto arrived = frames_.take()) {
      std::string error;
      bool done = true;
      try {
        work_(arrived->frame);
      } catch (const std::exception& thrown) {
        done = false;
        error = thrown.what();
      }
      count(done, now_() - arrived->at);
      if (!done) failed_(error);
    }
  }

  void count(bool done, Time taken) {
    const std::lock_guard lock(mutex_);
    ++(done ? report_.done : report_.failed);
    if (done) report_.latency.add(taken);
  }

  std::function<void(Frame&)> work_;
  std::function<void(const std::string&)> failed_;
  std::function<Time()> now_;
  LatestFrame<Arrived> frames_;
  mutable std::mutex mutex_;
  FrameReport report_;
  std::thread thread_;
};

}  // namespace voxshift::ros
