// Arena allocator: memory is given out in pieces and taken back all at once.
#pragma once

#include <voxshift/tensor/device.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace voxshift {

/// Gives out pieces of a few large blocks. After `reset` the same sequence of requests, or any smaller one, is served
/// without a call to the device's allocator. Not thread-safe; pieces are aligned to 64 bytes and not initialised.
class Arena {
 public:
  explicit Arena(Device device = Device::cpu()) : device_(device) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  template <class T>
  T* allocate(std::int64_t count) {
    return static_cast<T*>(allocate_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }
  void* allocate_bytes(std::size_t bytes);

  /// Takes every piece back; joins the blocks into one of the size that was needed.
  void reset();

  /// A place to come back to: `rewind(mark())` frees what was allocated in between.
  struct Mark {
    std::size_t block, used;
  };
  Mark mark() const { return {current_, used_}; }
  void rewind(Mark mark);

  Device device() const { return device_; }

  /// Memory taken from the device.
  std::size_t bytes() const;

 private:
  struct Block {
    std::byte* memory;
    std::size_t bytes;
  };

  void add_block(std::size_t bytes);
  void free_blocks() noexcept;

  Device device_;
  std::vector<Block> blocks_;
  std::size_t current_ = 0;  // block in use
  std::size_t used_ = 0;     // bytes of it given out
};

}  // namespace voxshift
