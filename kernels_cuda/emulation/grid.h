// Grids of kernels, emulated: every thread of a block is a fiber, blocks run one after the other. The order of
// blocks, and of threads at every barrier, is shuffled by a seed, so that a missing barrier is seen. Errors: a barrier
// that only some threads of a block reach, lanes of a warp that meet at different operations. Lanes that have left a
// kernel give 0. Asynchronous copies take place when they are waited for and not before.
#pragma once

#include <voxshift/kernels_cuda/emulation/memory.h>
#include <voxshift/kernels_cuda/emulation/mma.h>
#include <voxshift/kernels_cuda/emulation/races.h>
#include <voxshift/tensor/sanitizers.h>

#include <algorithm>
#include <array>
#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>
#ifdef VOXSHIFT_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static thread_local  // blocks of one host thread run one after another

using cudaStream_t = void*;

struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace voxshift::cuda {

using half_t = _Float16;

/// The upper half of a float, rounded to the nearest, ties to even.
struct bfloat_t {
  std::uint16_t bits;

  bfloat_t() = default;
  explicit bfloat_t(float x) {
    std::uint32_t all;
    std::memcpy(&all, &x, 4);
    if ((all & 0x7fffffffu) > 0x7f800000u) {
      bits = 0x7fff;
    } else {
      bits = static_cast<std::uint16_t>((all + 0x7fffu + (all >> 16 & 1)) >> 16);
    }
  }
};

inline float to_float(float x) { return x; }
inline float to_float(half_t x) { return static_cast<float>(x); }
inline float to_float(bfloat_t x) {
  const std::uint32_t all = std::uint32_t{x.bits} << 16;
  float value;
  std::memcpy(&value, &all, 4);
  return value;
}
template <class T>
T from_float(float x) {
  return static_cast<T>(x);
}

namespace emulated {

namespace context = boost::context::detail;
constexpr std::size_t kStackBytes = 64 << 10;

/// What a fiber waits for.
enum class Wait { kNothing, kBlock, kWarp, kDone };

struct AsyncCopy {
  void* to;
  const void* from;
  std::size_t bytes;
  bool present;
};

/// A product of a warpgroup, and the sums of a lane that it is added to.
struct PendingProduct {
  std::shared_ptr<WarpgroupProduct> product;
  float (*sums)[4];
};

struct Thread {
  dim3 index;
  unsigned linear = 0;
  unsigned turn = 0;  // of the two memories of its warp
  Wait wait = Wait::kNothing;
  const char* operation = nullptr;  // of the warp, that it waits at
  context::fcontext_t place = nullptr;
  std::unique_ptr<unsigned char[]> stack{new unsigned char[kStackBytes]};
  void* fake_stack = nullptr;
  std::vector<std::vector<AsyncCopy>> copies{1};  // groups, the last one open
  std::vector<PendingProduct> products;           // of its warpgroup, that are not waited for
  std::size_t committed = 0;                      // of these
  bool may_multiply = false;                      // warpgroup_begin() was called since the last wait
  bool wrote_unshown = false;                     // to shared memory, and has not called show_to_warpgroups() since
};

/// What the lanes of a warp show each other, and products of it that the first lane there made for all.
struct Exchange {
  Words lanes;
  std::vector<Product> products;
  std::shared_ptr<WarpgroupProduct> warpgroup;
};

struct Block {
  dim3 index, size, grid;
  std::vector<std::unique_ptr<Thread>> threads;
  std::size_t count = 0;
  std::vector<std::array<Exchange, 2>> exchange;  // per warp
  std::unique_ptr<unsigned char[]> shared;
  std::size_t shared_bytes = 0;
  const std::function<void()>* kernel = nullptr;
  bool wrote_unshown = false;  // any thread at the last barrier of the block
};

inline thread_local Block* block = nullptr;
inline thread_local Thread* thread = nullptr;
inline thread_local context::fcontext_t scheduler = nullptr;
inline thread_local const void* scheduler_stack = nullptr;
inline thread_local std::size_t scheduler_stack_bytes = 0;

inline std::mt19937& order_random() {
  static thread_local std::mt19937 random(seed());
  return random;
}

// AddressSanitizer must be told whenever the stack changes.
inline void leave([[maybe_unused]] void** keep, [[maybe_unused]] const void* bottom,
                  [[maybe_unused]] std::size_t bytes) {
#ifdef VOXSHIFT_ASAN
  __sanitizer_start_switch_fiber(keep, bottom, bytes);
#endif
}
inline void arrive([[maybe_unused]] void* kept, [[maybe_unused]] const void** from,
                   [[maybe_unused]] std::size_t* bytes) {
#ifdef VOXSHIFT_ASAN
  __sanitizer_finish_switch_fiber(kept, from, bytes);
#endif
}

// What fibers and the scheduler share is no memory of the kernel's.
#define VOXSHIFT_UNSEEN __attribute__((no_sanitize("thread")))

VOXSHIFT_UNSEEN inline void wait(Wait why, const char* operation = nullptr) {
  Thread* self = thread;
  self->wait = why;
  self->operation = operation;
  leave(why == Wait::kDone ? nullptr : &self->fake_stack, scheduler_stack, scheduler_stack_bytes);
  scheduler = context::jump_fcontext(scheduler, nullptr).fctx;
  arrive(self->fake_stack, &scheduler_stack, &scheduler_stack_bytes);
}

VOXSHIFT_UNSEEN inline void thread_main(context::transfer_t from) {
  scheduler = from.fctx;
  arrive(nullptr, &scheduler_stack, &scheduler_stack_bytes);
  (*block->kernel)();
  wait(Wait::kDone);  // does not return
}

VOXSHIFT_UNSEEN inline void run_until_barrier(Thread& t) {
  thread = &t;
  if constexpr (kFindRaces) races().run(static_cast<int>(t.linear));
  void* fake_stack = nullptr;
  leave(&fake_stack, t.stack.get(), kStackBytes);
  t.place = context::jump_fcontext(t.place, nullptr).fctx;
  arrive(fake_stack, nullptr, nullptr);
  if constexpr (kFindRaces) races().run(-1);
}

// The operation at which every thread of [first, last) that has not left waits for `why`; null where not all do, or all
// have left.
inline const char* all_wait(std::size_t first, std::size_t last, Wait why) {
  const char* operation = nullptr;
  for (std::size_t i = first; i < last; ++i) {
    const Thread& t = *block->threads[i];
    if (t.wait == Wait::kDone) continue;
    if (t.wait != why) return nullptr;
    if (operation != nullptr && operation != t.operation && std::strcmp(t.operation, operation) != 0)
      throw std::logic_error(std::string("lanes of one warp meet at ") + operation + " and " + t.operation);
    operation = t.operation;
  }
  return operation;
}

// Every thread to its next barrier, then opens the barriers that all of their threads have reached.
inline void run_block(Block& b) {
  block = &b;
  if constexpr (kFindRaces) races().begin_block(b.count, b.shared.get(), b.shared_bytes + 128);
  std::vector<std::size_t> order(b.count);
  for (std::size_t i = 0; i < b.count; ++i) {
    order[i] = i;
    Thread& t = *b.threads[i];
    t.wait = Wait::kNothing;
    t.place = context::make_fcontext(t.stack.get() + kStackBytes, kStackBytes, thread_main);
    t.fake_stack = nullptr;
    t.copies.assign(1, {});
    t.products.clear();
    t.committed = 0;
    t.may_multiply = t.wrote_unshown = false;
    t.turn = 0;
    for (Exchange& x : b.exchange[i / 32]) x.lanes[i % 32] = {};
  }
  for (;;) {
    std::shuffle(order.begin(), order.end(), order_random());
    for (const std::size_t i : order)
      if (b.threads[i]->wait == Wait::kNothing) run_until_barrier(*b.threads[i]);
    bool opened = false;
    for (std::size_t first = 0; first < b.count; first += 32) {
      const std::size_t last = std::min(first + 32, b.count);
      const char* const operation = all_wait(first, last, Wait::kWarp);
      if (operation == nullptr) continue;
      opened = true;
      if constexpr (kFindRaces)
        if (std::strcmp(operation, "__syncwarp") == 0) races().order_warp(first / 32);
      for (std::size_t i = first; i < last; ++i) {
        if (b.threads[i]->wait == Wait::kWarp) b.threads[i]->wait = Wait::kNothing;
        if (b.threads[i]->wait == Wait::kDone)
          for (Exchange& x : b.exchange[i / 32]) x.lanes[i % 32] = {};
      }
    }
    if (!opened && all_wait(0, b.count, Wait::kBlock) != nullptr) {
      opened = true;
      if constexpr (kFindRaces) races().order_block();
      b.wrote_unshown = std::any_of(b.threads.begin(), b.threads.begin() + static_cast<std::ptrdiff_t>(b.count),
                                    [](const auto& t) { return t->wrote_unshown; });
      for (std::size_t i = 0; i < b.count; ++i)
        if (b.threads[i]->wait == Wait::kBlock) b.threads[i]->wait = Wait::kNothing;
    }
    if (opened) continue;
    for (std::size_t i = 0; i < b.count; ++i)
      if (b.threads[i]->wait != Wait::kDone)
        throw std::logic_error("a barrier was reached by some threads of its warp or block only");
    return;
  }
}

inline void run_grid(const std::function<void()>& kernel, dim3 grid, dim3 size, std::size_t shared_bytes) {
  static thread_local Block b;
  b.size = size;
  b.grid = grid;
  b.count = std::size_t{size.x} * size.y * size.z;
  b.exchange.resize((b.count + 31) / 32);
  b.shared_bytes = shared_bytes;
  b.shared = std::make_unique<unsigned char[]>(shared_bytes + 128);
  b.kernel = &kernel;
  while (b.threads.size() < b.count) b.threads.push_back(std::make_unique<Thread>());
  for (unsigned i = 0; i < b.count; ++i) {
    b.threads[i]->linear = i;
    b.threads[i]->index = dim3(i % size.x, i / size.x % size.y, i / size.x / size.y);
  }
  std::vector<std::uint64_t> order(std::uint64_t{grid.x} * grid.y * grid.z);
  for (std::uint64_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), order_random());
  if constexpr (kFindRaces) races().begin_launch();
  for (const std::uint64_t i : order) {
    b.index = dim3(static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                   static_cast<unsigned>(i / grid.x / grid.y));
    std::memset(b.shared.get(), 0xff, shared_bytes + 128);  // NaN: nobody may count on zeros
    run_block(b);
  }
  if constexpr (kFindRaces) races().end_launch();
}

/// What was queued while a thread records, with its arguments as they were.
using Recorded = std::vector<std::function<void()>>;
inline thread_local Recorded* recorded = nullptr;  // itself the stream that is recorded

/// Runs the work with the device's memory open, or records it.
template <class F>
void enqueue(cudaStream_t stream, const F& work) {
  if (recorded == nullptr) {
    const MemoryOpen open;
    return work();
  }
  if (stream != recorded) throw std::logic_error("work was queued beside the stream that is recorded");
  recorded->push_back(work);
}

/// What a recording must not do.
inline void refuse_in_recording(const char* what) {
  if (recorded != nullptr) throw std::logic_error(std::string(what) + " in the middle of a recording");
}

}  // namespace emulated
}  // namespace voxshift::cuda
