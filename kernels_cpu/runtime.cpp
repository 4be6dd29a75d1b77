// Memory of the CPU.
#include <voxshift/kernels_cpu/host_memory.h>
#include <voxshift/kernels_cpu/memory_cache.h>
#include <voxshift/kernels_cpu/narrow_product.h>
#include <voxshift/kernels_cpu/peak.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/tensor/runtime.h>

#include <cstring>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace voxshift::cpu {
namespace {

constexpr std::size_t kAlignment = 64;  // a cache line, and the widest vector
constexpr std::size_t kHugePage = std::size_t{1} << 21;

// Large memory in huge pages: the first touch of 63 MB costs some 25 ms in pages of 4 KB.
void use_huge_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef __linux__
  madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: where it fails, small pages do
#endif
}

constexpr std::size_t alignment_of(std::size_t bytes) { return bytes >= 2 * kHugePage ? kHugePage : kAlignment; }

// A whole number of aligned units, at least one; less than `bytes` where there is no such number.
constexpr std::size_t rounded_size(std::size_t bytes) {
  const std::size_t unit = alignment_of(bytes);
  return bytes == 0 ? unit : (bytes + unit - 1) / unit * unit;
}

// Never destroyed: arrays that outlive main() are freed through it.
MemoryCache& cache() {
  static auto* const cache = new MemoryCache;
  return *cache;
}

class CpuRuntime final : public Runtime {
 public:
  bool available(Device) const override { return true; }

  void* allocate(Device, std::size_t bytes) const override {
    if (void* kept = cache().take(bytes)) return kept;
    const std::size_t rounded = rounded_size(bytes);
    void* memory = rounded < bytes ? nullptr : take_host_memory(rounded, alignment_of(bytes));
    check<OutOfMemory>(memory != nullptr, "[allocate] the CPU has no ", bytes, " bytes left");
    if (alignment_of(bytes) == kHugePage) use_huge_pages(memory, rounded);
    return memory;
  }

  void free(Device, void* memory, std::size_t bytes) const noexcept override {
    if (may_keep_host_memory() && cache().keep(memory, bytes)) return;
    give_host_memory(memory, rounded_size(bytes));
  }

  void set_memory_cache(Device, std::size_t bytes) const override { cache().set_limit(bytes); }

  bool shares_memory(Device) const override { return true; }
  void* allocate_shared(Device device, std::size_t bytes) const override { return allocate(device, bytes); }
  void free_shared(Device device, void* memory, std::size_t bytes) const noexcept override {
    free(device, memory, bytes);
  }
  bool reads_in_place(Device, const void*) const override { return true; }

  void copy_from_host(Device, void* to, const void* from, std::size_t bytes) const override {
    copy_bytes(to, from, bytes);
  }
  void copy_to_host(Device, void* to, const void* from, std::size_t bytes) const override {
    copy_bytes(to, from, bytes);
  }
  void copy(Device, void* to, const void* from, std::size_t bytes) const override { copy_bytes(to, from, bytes); }
  void fill(Device, void* memory, int byte, std::size_t bytes) const override {
    if (bytes > 0) std::memset(memory, byte, bytes);
  }
  void synchronize(Device) const override {}
  void* use_stream(Device, void*) const override { return nullptr; }
  void wait_for(Device, void*) const override {}
  std::unique_ptr<const Recording> record(const Context&, const std::function<void(const Context&)>&) const override {
    return nullptr;
  }

  double fma_peak(Device, int threads) const override { return cpu::fma_peak(threads); }
  std::string target(Device) const override { return target_name(); }

 private:
  static void copy_bytes(void* to, const void* from, std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
};

}  // namespace

void* MemoryCache::take(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  auto best = blocks_.end();
  for (auto block = blocks_.begin(); block != blocks_.end(); ++block)
    if (block->bytes >= bytes && block->bytes - bytes <= bytes / 8 &&
        (best == blocks_.end() || block->bytes < best->bytes))
      best = block;
  if (best == blocks_.end()) return nullptr;
  void* const memory = best->memory;
  kept_ -= best->bytes;
  blocks_.erase(best);
  return memory;
}

bool MemoryCache::keep(void* memory, std::size_t bytes) noexcept try {
  constexpr std::size_t kSmallest = std::size_t{128} << 10;  // below, malloc keeps blocks itself
  if (bytes < kSmallest) return false;
  const std::lock_guard lock(mutex_);
  if (kept_ + bytes > limit_) return false;
  blocks_.push_back({memory, bytes});
  kept_ += bytes;
  return true;
} catch (...) {
  return false;
}

void MemoryCache::set_limit(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = bytes;
  while (kept_ > limit_) {
    kept_ -= blocks_.front().bytes;
    give_host_memory(blocks_.front().memory, rounded_size(blocks_.front().bytes));
    blocks_.erase(blocks_.begin());
  }
}

std::string product_instructions(DType dtype) { return narrow_product(dtype).name; }

const Runtime& runtime() {
  static const CpuRuntime& runtime = *new CpuRuntime;  // outlives arrays of static lifetime
  return runtime;
}

}  // namespace voxshift::cpu
