// Objects with state that several Python threads may call.
#pragma once

#include <mutex>
#include <utility>

namespace voxshift::python {

/// Threads that use one object take turns. To be used without the GIL, which the thread that holds the mutex may need.
template <class T>
class Guarded {
 public:
  explicit Guarded(T object) : object_(std::move(object)) {}

  template <class Use>
  auto use(const Use& use) {
    const std::lock_guard lock(mutex_);
    return use(object_);
  }

 private:
  T object_;
  std::mutex mutex_;
};

}  // namespace voxshift::python
