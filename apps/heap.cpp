#include "heap.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace voxshift {

#ifdef __GLIBC__
namespace {

constexpr int kPiece = 128 << 20;  // address space, no memory before it is touched
constexpr std::uintptr_t kHugePage = std::uintptr_t{1} << 21;
constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, which headers before Linux 5.14 do not name

struct Piece {
  std::uintptr_t first = 0, last = 0;
};

Piece& kept_piece() {
  static Piece piece;
  return piece;
}

std::uintptr_t heap_end() { return reinterpret_cast<std::uintptr_t>(sbrk(0)); }

}  // namespace

void keep_heap() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, kPiece);
  mallopt(M_ARENA_MAX, 1);  // what one thread frees is there for the next
  const std::uintptr_t first = (heap_end() + kHugePage - 1) / kHugePage * kHugePage;
  void* volatile block = std::malloc(kHugePage);  // volatile, or the compiler leaves both calls out
  std::free(block);
  if (heap_end() <= first || madvise(reinterpret_cast<void*>(first), heap_end() - first, MADV_HUGEPAGE) != 0) return;
  kept_piece() = {first, heap_end()};
}

std::future<void> touch_heap(std::size_t bytes) {
  const Piece piece = kept_piece();
  return std::async(std::launch::async | std::launch::deferred, [piece, bytes] {
    const std::size_t some = std::min<std::size_t>(bytes, piece.last - piece.first) / kHugePage * kHugePage;
    if (some > 0) madvise(reinterpret_cast<void*>(piece.first), some, kPopulateWrite);
  });
}
#else
void keep_heap() {}

std::future<void> touch_heap(std::size_t) { return {}; }
#endif

}  // namespace voxshift
