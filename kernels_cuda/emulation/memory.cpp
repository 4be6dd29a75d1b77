#include <sys/mman.h>
#include <voxshift/kernels_cuda/emulation/memory.h>
#include <voxshift/tensor/sanitizers.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <vector>
#ifdef VOXSHIFT_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#endif

namespace voxshift::cuda::emulated {
namespace {

// One range of addresses, given out in powers of two and protected as a whole. A piece is at least twice what was
// asked for, so that what lies behind it is nobody's.
class Memory {
 public:
  Memory()
      : base_(static_cast<std::byte*>(
            mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}

  void* allocate(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes > kLargest || base_ == MAP_FAILED) return nullptr;
    const std::size_t piece = piece_bytes(bytes);
    std::vector<std::byte*>& free = free_[static_cast<std::size_t>(std::countr_zero(piece))];
    std::byte* memory = nullptr;
    if (!free.empty()) {
      memory = free.back();
      free.pop_back();
    } else {
      if (used_ + piece > kReserved) return nullptr;
      memory = base_ + used_;
      used_ += piece;
      protect(memory, piece);
    }
    ASAN_POISON_MEMORY_REGION(memory, piece);
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
    return memory;
  }

  void release(void* memory, std::size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    const std::size_t piece = piece_bytes(bytes);
    ASAN_POISON_MEMORY_REGION(memory, piece);
    if (piece > kKept) madvise(memory, piece, MADV_DONTNEED);
    free_[static_cast<std::size_t>(std::countr_zero(piece))].push_back(static_cast<std::byte*>(memory));
  }

  std::span<const std::byte> whole() const { return {base_, kReserved}; }

  void open(int change) {
    const std::lock_guard lock(mutex_);
    const bool was_open = users_ > 0;
    users_ += change;
    if ((users_ > 0) != was_open) protect(base_, used_);
  }

 private:
  static constexpr std::size_t kReserved = std::size_t{1} << 36, kLargest = std::size_t{1} << 32;
  static constexpr std::size_t kSmallest = 4096, kKept = std::size_t{1} << 22;

  static std::size_t piece_bytes(std::size_t bytes) { return std::bit_ceil(std::max(2 * bytes, kSmallest)); }

  void protect(std::byte* memory, std::size_t bytes) const {
    if (bytes > 0) mprotect(memory, bytes, users_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE);
  }

  std::byte* base_;
  std::size_t used_ = 0;
  int users_ = 0;
  std::array<std::vector<std::byte*>, 40> free_;
  std::mutex mutex_;
};

Memory& memory() {
  static Memory& memory = *new Memory;  // arrays of static lifetime are freed after any destructor here
  return memory;
}

}  // namespace

void* allocate(std::size_t bytes) { return memory().allocate(bytes); }
void release(void* piece, std::size_t bytes) noexcept { memory().release(piece, bytes); }
std::span<const std::byte> device_memory() { return memory().whole(); }

MemoryOpen::MemoryOpen() { memory().open(1); }
MemoryOpen::~MemoryOpen() { memory().open(-1); }

std::uint32_t seed() {
  const char* text = std::getenv("VOXSHIFT_EMULATION_SEED");
  return text != nullptr ? static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10)) : 1;
}

}  // namespace voxshift::cuda::emulated
