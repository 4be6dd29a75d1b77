#include <voxshift/kernels_cpu/host_memory.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/host_allocator.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <shared_mutex>

#ifdef _WIN32
#include <malloc.h>
#endif

namespace voxshift {
namespace {

// Neither Windows nor Android before 9 has std::aligned_alloc(), and Windows keeps aligned memory apart.
void* from_system(void*, std::size_t bytes, std::size_t alignment) {
#ifdef _WIN32
  return _aligned_malloc(bytes, alignment);
#else
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, bytes) == 0 ? memory : nullptr;
#endif
}

void to_system(void*, void* memory, std::size_t) {
#ifdef _WIN32
  _aligned_free(memory);
#else
  std::free(memory);
#endif
}

constexpr HostAllocator kSystem{from_system, to_system, nullptr};

struct Source {
  std::shared_mutex mutex;  ///< those who take memory share it
  HostAllocator allocator = kSystem;
  std::atomic<std::int64_t> blocks{0};  ///< in use, so that the allocator may not change
  std::atomic<bool> is_system{true};
};

// Never destroyed: arrays that outlive main() are freed through it.
Source& source() {
  static auto* const source = new Source;
  return *source;
}

}  // namespace

void set_host_allocator(const HostAllocator* allocator) {
  Source& from = source();
  const std::lock_guard lock(from.mutex);
  const std::int64_t blocks = from.blocks;
  check(blocks == 0, "[allocator] ", blocks,
        " blocks of memory are in use; expected none: close what holds them first");
  from.allocator = allocator != nullptr ? *allocator : kSystem;
  from.is_system = allocator == nullptr;
}

namespace cpu {

void* take_host_memory(std::size_t bytes, std::size_t alignment) noexcept {
  Source& from = source();
  const std::shared_lock lock(from.mutex);
  void* const memory = from.allocator.allocate(from.allocator.user, bytes, alignment);
  if (memory != nullptr) from.blocks.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

void give_host_memory(void* memory, std::size_t bytes) noexcept {
  Source& from = source();
  from.allocator.release(from.allocator.user, memory, bytes);  // which stays while blocks are in use
  from.blocks.fetch_sub(1, std::memory_order_release);
}

bool may_keep_host_memory() noexcept { return source().is_system.load(std::memory_order_relaxed); }

}  // namespace cpu
}  // namespace voxshift
