// Races between the threads of an emulated kernel: two accesses of one byte of device or shared memory, one of them a
// write and not both atomic, that nothing orders. What orders them is the end of a launch; within a block __syncthreads
// between them, within a warp __syncwarp too. Votes, shuffles and products exchange registers and order no memory.
// Accesses are those of code compiled with -fsanitize=thread, whose calls to a run-time library end here. Blocks run
// one after the other and threads take turns, so the times of the last barriers say all that is to know.
#pragma once

#include <voxshift/tensor/sanitizers.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace voxshift::cuda::emulated {

#ifdef VOXSHIFT_TSAN
constexpr bool kFindRaces = true;
#else
constexpr bool kFindRaces = false;
#endif

enum class AccessKind { kRead, kWrite, kAtomic };

/// The race detector of the launches of one thread of the host.
class Races {
 public:
  Races();

  /// Forgets all accesses: launches are ordered.
  void begin_launch();
  /// Of so many threads, with dynamic shared memory where there is any.
  void begin_block(std::size_t threads, const void* shared = nullptr, std::size_t shared_bytes = 0);
  /// Accesses are the thread's from here on; -1: nobody's.
  void run(int thread);
  /// All threads of the block, or of one of its warps, have met.
  void order_block() { block_ordered_ = ++now_; }
  void order_warp(std::size_t warp) { warp_ordered_[warp] = ++now_; }
  /// Throws std::logic_error where races were found.
  void end_launch();

  /// Of the running thread.
  void access(AccessKind kind, std::uintptr_t address, std::size_t bytes, const void* code);

 private:
  struct Access {
    const void* code = nullptr;
    std::uint32_t time = 0;  // 0: none
    int thread = 0;
  };

  // Enough of the accesses of one kind that whoever races with any of them races with one of these: one of a block
  // before, and two of the present one that nothing orders, of two warps where there are two.
  struct Accesses {
    Access before, first, second;
  };

  struct Cell {
    Access write;
    Accesses reads, atomics;
  };

  // Four bytes as one until fewer of them are accessed.
  struct Word {
    Cell cell;
    std::unique_ptr<std::array<Cell, 4>> bytes;
  };

  struct Race {
    AccessKind kind, earlier_kind;
    int thread, earlier_thread;
    bool one_block;
  };

  static constexpr std::uintptr_t kWordBytes = 4, kPageBytes = 256;
  using Page = std::array<Word, kPageBytes / kWordBytes>;

  struct Recent {
    std::uintptr_t begin = 0;
    Page* page = nullptr;
  };

  struct Range {
    std::uintptr_t begin = 0, end = 0;
    bool contains(std::uintptr_t address) const { return address >= begin && address < end; }
  };
  static Range thread_locals();

  Word& word(std::uintptr_t address);
  void touch(Cell& cell, bool shared);
  bool ordered(const Access& earlier, bool shared) const;
  void compare(const Access& earlier, AccessKind earlier_kind, bool shared);
  void compare(const Accesses& earlier, AccessKind kind, bool shared);
  void keep(Accesses& accesses) const;

  Range device_, static_shared_, dynamic_shared_;
  std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages_;
  std::array<Recent, 256> recent_;  // pages, by their lowest bits
  int thread_ = -1;
  std::uint32_t now_ = 0, block_began_ = 0, block_ordered_ = 0;
  std::vector<std::uint32_t> warp_ordered_;
  Access access_;  // that is noted
  AccessKind kind_ = AccessKind::kRead;
  std::map<std::pair<const void*, const void*>, Race> found_;  // by their places
};

Races& races();

/// Of the running thread, where one runs.
void note_access(AccessKind kind, const void* memory, std::size_t bytes, const void* code);

/// In the code that calls it.
__attribute__((noinline)) inline const void* this_place() { return __builtin_return_address(0); }

/// Runs f as the only thread of a block.
template <class F>
void run_alone(const F& f) {
  if constexpr (kFindRaces) {
    races().begin_block(1);
    races().run(0);
    f();
    races().run(-1);
  } else {
    f();
  }
}

}  // namespace voxshift::cuda::emulated
