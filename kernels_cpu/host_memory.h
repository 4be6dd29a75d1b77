// Memory of the CPU: the system's, or that of the allocator which a program has set.
#pragma once

#include <cstddef>

namespace voxshift::cpu {

/// `bytes` at a multiple of `alignment`, a power of two; null where there is none.
void* take_host_memory(std::size_t bytes, std::size_t alignment) noexcept;

/// Gives back what take_host_memory gave for as many bytes.
void give_host_memory(void* memory, std::size_t bytes) noexcept;

/// Whether blocks that are given back may be kept for the next request: not those of a program's allocator.
bool may_keep_host_memory() noexcept;

}  // namespace voxshift::cpu
