// Where memory of the CPU comes from.
#pragma once

#include <cstddef>

namespace voxshift {

/// What stands in for the system: thread-safe functions that do not throw.
struct HostAllocator {
  /// `bytes` of memory at a multiple of `alignment`, a power of two of at least 64; null where there is none.
  void* (*allocate)(void* user, std::size_t bytes, std::size_t alignment);
  /// Takes back what allocate gave for as many bytes.
  void (*release)(void* user, void* memory, std::size_t bytes);
  void* user;  ///< handed to both
};

/// Arrays and arenas of the CPU come from the allocator from now on; null: from the system, as at first. Throws
/// InvalidArgument while there are any: their memory must go back to where it came from.
void set_host_allocator(const HostAllocator* allocator);

}  // namespace voxshift
