// Counts calls of the allocator, and refuses some, by standing in for glibc's entry points: operator new and the memory
// of runtime(Device::cpu()) both come from there. For programs of one source.
#pragma once

#include <voxshift/tensor/sanitizers.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <limits>

// NOLINTBEGIN(misc-definitions-in-headers): one source includes it
namespace {
std::atomic<long> calls{0};
std::atomic<bool> counting{false};
std::atomic<long> live{0};           // pieces of memory that were not given back
std::atomic<long> first_refused{0};  // of the calls that are counted
std::atomic<long> last_refused{0};   // below the first: none
}  // namespace

#if defined(VOXSHIFT_ASAN) || defined(VOXSHIFT_TSAN) || !defined(__GLIBC__)
constexpr bool kCanCount = false;
#else
constexpr bool kCanCount = true;
namespace {
bool refuses() {
  if (!counting.load(std::memory_order_relaxed)) return false;
  const long call = calls.fetch_add(1, std::memory_order_relaxed) + 1;
  if (call < first_refused.load(std::memory_order_relaxed) || call > last_refused.load(std::memory_order_relaxed))
    return false;
  errno = ENOMEM;
  return true;
}

void* given(void* memory) {
  if (memory != nullptr) live.fetch_add(1, std::memory_order_relaxed);
  return memory;
}
}  // namespace

extern "C" {
// NOLINTBEGIN: names of glibc
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);
// NOLINTEND

void* malloc(std::size_t bytes) { return refuses() ? nullptr : given(__libc_malloc(bytes)); }
void* calloc(std::size_t n, std::size_t bytes) { return refuses() ? nullptr : given(__libc_calloc(n, bytes)); }
void* realloc(void* memory, std::size_t bytes) {
  if (refuses()) return nullptr;
  if (memory == nullptr) return given(__libc_realloc(memory, bytes));
  if (bytes == 0) live.fetch_sub(1, std::memory_order_relaxed);  // glibc frees
  return __libc_realloc(memory, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) {
  return refuses() ? nullptr : given(__libc_memalign(alignment, bytes));
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return refuses() ? nullptr : given(__libc_memalign(alignment, bytes));
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  void* const piece = refuses() ? nullptr : given(__libc_memalign(alignment, bytes));
  if (piece == nullptr) return ENOMEM;
  *memory = piece;
  return 0;
}
void free(void* memory) {
  if (memory != nullptr) live.fetch_sub(1, std::memory_order_relaxed);
  __libc_free(memory);
}
}
#endif
// NOLINTEND(misc-definitions-in-headers)

namespace voxshift {

/// Calls of the allocator, by any thread, while call() runs; only where kCanCount.
template <class Call>
long calls_in(Call call) {
  calls = 0;
  counting = true;
  call();
  counting = false;
  return calls;
}

/// As calls_in, where the allocator refuses the calls first .. first + count - 1, by any thread. call() must not throw.
template <class Call>
long calls_refusing(long first, long count, Call call) {
  first_refused = first;
  last_refused = count < std::numeric_limits<long>::max() - first ? first + count - 1 : count;
  const long made = calls_in(call);
  last_refused = 0;
  return made;
}

}  // namespace voxshift
