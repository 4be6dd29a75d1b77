// Hand-over of the newest item from one thread to a slower one; older items are dropped.
#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>

namespace voxshift {

/// Holds one item at most: a newer one takes the place of one that was not taken in time.
template <class Item>
class LatestFrame {
 public:
  void put(Item item) {
    {
      const std::scoped_lock lock(mutex_);
      item_ = std::move(item);
    }
    changed_.notify_one();
  }

  /// No item comes any more; `why` is thrown by take() after the last one.
  void close(std::exception_ptr why = nullptr) {
    {
      const std::scoped_lock lock(mutex_);
      closed_ = true;
      why_ = std::move(why);
    }
    changed_.notify_one();
  }

  /// Waits for the next item; nothing where none comes any more.
  std::optional<Item> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return item_ || closed_; });
    if (!item_ && why_) std::rethrow_exception(why_);
    return std::exchange(item_, std::nullopt);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Item> item_;
  bool closed_ = false;
  std::exception_ptr why_;
};

}  // namespace voxshift
