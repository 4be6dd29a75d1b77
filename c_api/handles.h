// Handles: numbers that stand for objects, so that a closed or a foreign one is found out instead of followed.
#pragma once

#include <voxshift/tensor/error.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "c_api.h"

namespace voxshift::c_api {

/// Another thread is running a call on the object.
struct Busy : Error {
  using Error::Error;
};

/// All objects of one kind. A handle's lowest two bits are the kind, 1 to 3, so none is null or the address of an
/// object; then come the slot and how often that was used. Thread-safe.
template <class Object>
class HandleTable {
 public:
  using Handle = typename Object::Handle;

  /// Leaked, so that handles work while static objects of the program are destroyed.
  static HandleTable& instance() {
    static auto* const table = new HandleTable;
    return *table;
  }

  Handle add(std::shared_ptr<Object> object) {
    const std::lock_guard lock(mutex_);
    std::size_t slot = 0;
    while (slot < slots_.size() && slots_[slot].object) ++slot;
    check(slot < kMostSlots, "more than ", kMostSlots, " objects are open");
    if (slot == slots_.size()) slots_.emplace_back();
    slots_[slot].object = std::move(object);
    return handle_of(slot);
  }

  /// Throws InvalidArgument for what add() did not give, and for what was closed.
  std::shared_ptr<Object> get(Handle handle) {
    const std::lock_guard lock(mutex_);
    return slots_[slot_of(handle)].object;
  }

  void close(Handle handle) {
    std::shared_ptr<Object> last;  // destroyed when the lock is gone
    const std::lock_guard lock(mutex_);
    Slot& slot = slots_[slot_of(handle)];
    last = std::move(slot.object);
    slot.object = nullptr;
    ++slot.uses;
  }

 private:
  struct Slot {
    std::shared_ptr<Object> object;
    std::uintptr_t uses = 0;
  };

  static constexpr unsigned kKindBits = 2, kSlotBits = 14;
  static constexpr std::size_t kMostSlots = std::size_t{1} << kSlotBits;

  Handle handle_of(std::size_t slot) const {
    const std::uintptr_t number =
        (slots_[slot].uses << (kKindBits + kSlotBits)) | (std::uintptr_t{slot} << kKindBits) | Object::kKind;
    return reinterpret_cast<Handle>(number);
  }

  std::size_t slot_of(Handle handle) const {
    const std::size_t slot = (reinterpret_cast<std::uintptr_t>(handle) >> kKindBits) & (kMostSlots - 1);
    const bool open = slot < slots_.size() && slots_[slot].object && handle_of(slot) == handle;
    check(open, handle == nullptr ? "null is no open " : "the handle is of no open ", Object::kName);
    return slot;
  }

  std::mutex mutex_;
  std::vector<Slot> slots_;
};

/// One thread's turn with an object that several may not use at once. Throws Busy.
class Turn {
 public:
  explicit Turn(std::atomic<bool>& taken) : taken_(taken) {
    check<Busy>(!taken_.exchange(true, std::memory_order_acquire), "another thread is running a call on it");
  }
  ~Turn() { taken_.store(false, std::memory_order_release); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::atomic<bool>& taken_;
};

}  // namespace voxshift::c_api
