// Counts calls of the allocator by standing in for glibc's entry points. For programs of one source.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

// NOLINTBEGIN(misc-definitions-in-headers): one source includes it
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
constexpr bool kCanCount = false;
namespace {
std::atomic<long> calls{0};
std::atomic<bool> counting{false};
}  // namespace
#else
constexpr bool kCanCount = true;
namespace {
std::atomic<long> calls{0};
std::atomic<bool> counting{false};
void count() {
  if (counting.load(std::memory_order_relaxed)) calls.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

extern "C" {
// NOLINTBEGIN: names of glibc
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
// NOLINTEND

void* malloc(std::size_t bytes) {
  count();
  return __libc_malloc(bytes);
}
void* calloc(std::size_t n, std::size_t bytes) {
  count();
  return __libc_calloc(n, bytes);
}
void* realloc(void* memory, std::size_t bytes) {
  count();
  return __libc_realloc(memory, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  count();
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
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

}  // namespace voxshift
