// Freed memory that is kept for the next request.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

namespace voxshift::cpu {

/// Large blocks given back, up to a number of bytes in all; thread-safe. A training step allocates and frees the same
/// few hundred results again and again, and the first touch of memory fresh from the system costs as much as a pass
/// over it.
class MemoryCache {
 public:
  /// A kept block of at least `bytes` and at most an eighth more, which becomes the caller's; null where there is none.
  void* take(std::size_t bytes);

  /// Keeps the block, or says false: it is the caller's to free.
  bool keep(void* memory, std::size_t bytes) noexcept;

  /// Keeps at most this much from now on; frees what is above it.
  void set_limit(std::size_t bytes);

 private:
  struct Block {
    void* memory;
    std::size_t bytes;
  };

  std::mutex mutex_;
  std::vector<Block> blocks_;
  std::size_t limit_ = 0, kept_ = 0;
};

}  // namespace voxshift::cpu
