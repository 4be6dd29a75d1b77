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
constexpr std::size_t kHugePage = std::size_t{1} << 21;
constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, which headers before Linux 5.14 do not name

struct Piece {
  char* first = nullptr;
  std::size_t bytes = 0;
};

Piece& kept_piece() {
  static Piece piece;
  return piece;
}

char* heap_end() { return static_cast<char*>(sbrk(0)); }

}  // namespace

void keep_heap() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, kPiece);
  mallopt(M_ARENA_MAX, 1);  // what one thread frees is there for the next
  char* const end = heap_end();
  char* const first = end + (kHugePage - reinterpret_cast<std::uintptr_t>(end) % kHugePage);
  void* volatile block = std::malloc(kHugePage);  // volatile, or the compiler leaves both calls out
  std::free(block);
  if (heap_end() <= first) return;
  const Piece piece{first, static_cast<std::size_t>(heap_end() - first)};
  if (madvise(piece.first, piece.bytes, MADV_HUGEPAGE) == 0) kept_piece() = piece;
}

std::future<void> touch_heap(std::size_t bytes) {
  const Piece piece = kept_piece();
  return std::async(std::launch::async | std::launch::deferred, [piece, bytes] {
    const std::size_t some = std::min(bytes, piece.bytes) / kHugePage * kHugePage;
    if (some > 0) madvise(piece.first, some, kPopulateWrite);
  });
}
#else
void keep_heap() {}

std::future<void> touch_heap(std::size_t) { return {}; }
#endif

}  // namespace voxshift
