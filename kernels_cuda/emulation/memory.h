// Device memory of the emulation: closed to the host, as a GPU's is. A host that reads or writes it outside of a kernel
// or a copy is stopped by the system.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace voxshift::cuda::emulated {

/// Null where no memory is left.
void* allocate(std::size_t bytes);
void release(void* memory, std::size_t bytes) noexcept;

/// All that is ever given out.
std::span<const std::byte> device_memory();

/// Opens the memory as long as it lives.
class MemoryOpen {
 public:
  MemoryOpen();
  ~MemoryOpen();
  MemoryOpen(const MemoryOpen&) = delete;
  MemoryOpen& operator=(const MemoryOpen&) = delete;
};

/// Of the order in which blocks and threads run: VOXSHIFT_EMULATION_SEED, else 1.
std::uint32_t seed();

}  // namespace voxshift::cuda::emulated
