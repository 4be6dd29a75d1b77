// The machine of kernels, emulated: every thread of a block is a fiber, blocks run one after the other. The order of
// blocks, and of threads at every barrier, is shuffled by a seed, so that a missing barrier is seen. Errors: a barrier
// that only some threads of a block reach, lanes of a warp that meet at different operations. Lanes that have left a
// kernel give 0. Asynchronous copies take place when they are waited for and not before.
#pragma once

#include <voxshift/kernels_cuda/emulated_memory.h>

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
#ifdef __SANITIZE_ADDRESS__
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
struct alignas(16) float4 {
  float x, y, z, w;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace voxshift::cuda {

using half_t = _Float16;

inline float to_float(float x) { return x; }
inline float to_float(half_t x) { return static_cast<float>(x); }
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

struct Thread {
  dim3 index;
  unsigned linear = 0;
  Wait wait = Wait::kNothing;
  const char* operation = nullptr;  // of the warp, that it waits at
  context::fcontext_t place = nullptr;
  std::unique_ptr<unsigned char[]> stack{new unsigned char[kStackBytes]};
  void* fake_stack = nullptr;
  std::vector<std::vector<AsyncCopy>> copies{1};  // groups, the last one open
};

using Words = std::array<std::uint32_t, 8>;

struct Block {
  dim3 index, size, grid;
  std::vector<std::unique_ptr<Thread>> threads;
  std::size_t count = 0;
  std::vector<std::array<Words, 32>> exchange;  // per warp, per lane
  std::unique_ptr<unsigned char[]> shared;
  std::size_t shared_bytes = 0;
  const std::function<void()>* kernel = nullptr;
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
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(keep, bottom, bytes);
#endif
}
inline void arrive([[maybe_unused]] void* kept, [[maybe_unused]] const void** from,
                   [[maybe_unused]] std::size_t* bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(kept, from, bytes);
#endif
}

inline void wait(Wait why, const char* operation = nullptr) {
  Thread* self = thread;
  self->wait = why;
  self->operation = operation;
  leave(why == Wait::kDone ? nullptr : &self->fake_stack, scheduler_stack, scheduler_stack_bytes);
  scheduler = context::jump_fcontext(scheduler, nullptr).fctx;
  arrive(self->fake_stack, &scheduler_stack, &scheduler_stack_bytes);
}

inline void thread_main(context::transfer_t from) {
  scheduler = from.fctx;
  arrive(nullptr, &scheduler_stack, &scheduler_stack_bytes);
  (*block->kernel)();
  wait(Wait::kDone);  // does not return
}

inline void run_until_barrier(Thread& t) {
  thread = &t;
  void* fake_stack = nullptr;
  leave(&fake_stack, t.stack.get(), kStackBytes);
  t.place = context::jump_fcontext(t.place, nullptr).fctx;
  arrive(fake_stack, nullptr, nullptr);
}

// Whether every thread of [first, last) that has not left waits for `why`, at one operation, and any does.
inline bool all_wait(std::size_t first, std::size_t last, Wait why) {
  const char* operation = nullptr;
  bool any = false;
  for (std::size_t i = first; i < last; ++i) {
    const Thread& t = *block->threads[i];
    if (t.wait == Wait::kDone) continue;
    if (t.wait != why) return false;
    if (any && std::strcmp(t.operation, operation) != 0)
      throw std::logic_error(std::string("lanes of one warp meet at ") + operation + " and " + t.operation);
    operation = t.operation;
    any = true;
  }
  return any;
}

// Every thread to its next barrier, then opens the barriers that all of their threads have reached.
inline void run_block(Block& b) {
  block = &b;
  std::vector<std::size_t> order(b.count);
  for (std::size_t i = 0; i < b.count; ++i) {
    order[i] = i;
    Thread& t = *b.threads[i];
    t.wait = Wait::kNothing;
    t.place = context::make_fcontext(t.stack.get() + kStackBytes, kStackBytes, thread_main);
    t.fake_stack = nullptr;
    t.copies.assign(1, {});
    if (b.exchange.size() > i / 32) b.exchange[i / 32][i % 32] = {};
  }
  for (;;) {
    std::shuffle(order.begin(), order.end(), order_random());
    for (const std::size_t i : order)
      if (b.threads[i]->wait == Wait::kNothing) run_until_barrier(*b.threads[i]);
    bool opened = false;
    for (std::size_t first = 0; first < b.count; first += 32) {
      const std::size_t last = std::min(first + 32, b.count);
      if (!all_wait(first, last, Wait::kWarp)) continue;
      opened = true;
      for (std::size_t i = first; i < last; ++i) {
        if (b.threads[i]->wait == Wait::kWarp) b.threads[i]->wait = Wait::kNothing;
        if (b.threads[i]->wait == Wait::kDone) b.exchange[i / 32][i % 32] = {};
      }
    }
    if (!opened && all_wait(0, b.count, Wait::kBlock)) {
      opened = true;
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
  for (const std::uint64_t i : order) {
    b.index = dim3(static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                   static_cast<unsigned>(i / grid.x / grid.y));
    std::memset(b.shared.get(), 0xff, shared_bytes + 128);  // NaN: nobody may count on zeros
    run_block(b);
  }
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

inline std::array<Words, 32>& lanes() { return block->exchange[thread->linear / 32]; }

// Every lane shows `words` to its warp and reads what the others show.
template <std::size_t N, class F>
auto exchange(const char* operation, const std::array<std::uint32_t, N>& words, F&& read) {
  std::copy(words.begin(), words.end(), lanes()[thread->linear % 32].begin());
  wait(Wait::kWarp, operation);
  const auto result = read(lanes());
  wait(Wait::kWarp, operation);
  return result;
}

inline half_t low(std::uint32_t w) {
  half_t h;
  const auto bits = static_cast<std::uint16_t>(w);
  std::memcpy(&h, &bits, 2);
  return h;
}
inline half_t high(std::uint32_t w) { return low(w >> 16); }

template <class T>
std::uint32_t bits_of(T value) {
  static_assert(sizeof(T) == 4);
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
template <class T>
T from_bits(std::uint32_t bits) {
  T value;
  std::memcpy(&value, &bits, 4);
  return value;
}

}  // namespace emulated

inline unsigned char* dynamic_shared() {
  auto address = reinterpret_cast<std::uintptr_t>(emulated::block->shared.get());
  return reinterpret_cast<unsigned char*>((address + 127) / 128 * 128);
}

inline void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  using emulated::high, emulated::low;
  const unsigned lane = emulated::thread->linear % 32, group = lane / 4, pair = lane % 4;
  const auto sums = emulated::exchange<6>("mma", {a[0], a[1], a[2], a[3], b[0], b[1]}, [&](const auto& lanes) {
    // a: lane 4 g + p holds rows g, g + 8 and columns 2p, 2p + 1, 2p + 8, 2p + 9; b: column g, the same four k.
    std::array<float, 4> sum{};
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned row_half = i / 2, column = 2 * pair + i % 2;
      for (unsigned k = 0; k < 16; ++k) {
        const auto& al = lanes[4 * group + k % 8 / 2];
        const auto& bl = lanes[4 * column + k % 8 / 2];
        const std::uint32_t aw = al[(k / 8) * 2 + row_half], bw = bl[4 + k / 8];
        sum[i] += to_float(k % 2 ? high(aw) : low(aw)) * to_float(k % 2 ? high(bw) : low(bw));
      }
    }
    return sum;
  });
  for (int i = 0; i < 4; ++i) d[i] += sums[static_cast<std::size_t>(i)];
}

template <bool kTransposed>
void load_matrices(std::uint32_t (&r)[4], const half_t* row) {
  const auto address = reinterpret_cast<std::uintptr_t>(row);
  const unsigned lane = emulated::thread->linear % 32;
  const auto values = emulated::exchange<2>(
      "load_matrices", {static_cast<std::uint32_t>(address), static_cast<std::uint32_t>(address >> 32)},
      [&](const auto& lanes) {
        std::array<std::uint32_t, 4> result{};
        for (unsigned m = 0; m < 4; ++m) {
          const auto element = [&](unsigned i, unsigned j) {
            const auto& words = lanes[8 * m + (kTransposed ? j : i)];
            const auto* from = reinterpret_cast<const std::uint16_t*>(static_cast<std::uintptr_t>(words[0]) |
                                                                      static_cast<std::uintptr_t>(words[1]) << 32);
            return std::uint32_t{from[kTransposed ? i : j]};
          };
          result[m] = element(lane / 4, lane % 4 * 2) | element(lane / 4, lane % 4 * 2 + 1) << 16;
        }
        return result;
      });
  for (std::size_t m = 0; m < 4; ++m) r[m] = values[m];
}

inline void copy_async_16(void* shared, const void* global, bool present) {
  if (reinterpret_cast<std::uintptr_t>(shared) % 16 != 0 ||
      (present && reinterpret_cast<std::uintptr_t>(global) % 16 != 0))
    throw std::logic_error("an asynchronous copy is not aligned to 16 bytes");
  emulated::thread->copies.back().push_back({shared, global, 16, present});
}
inline void copy_async_4(void* shared, const void* global) {
  emulated::thread->copies.back().push_back({shared, global, 4, true});
}
inline void copies_commit() { emulated::thread->copies.emplace_back(); }
template <int kPending>
void copies_wait() {
  auto& groups = emulated::thread->copies;
  while (groups.size() > static_cast<std::size_t>(kPending) + 1) {
    for (const emulated::AsyncCopy& copy : groups.front()) {
      if (copy.present) {
        std::memcpy(copy.to, copy.from, copy.bytes);
      } else {
        std::memset(copy.to, 0, copy.bytes);
      }
    }
    groups.erase(groups.begin());
  }
}

template <class... P, class... A>
void launch_kernel(void (*kernel)(P...), dim3 grid, dim3 size, std::size_t shared_bytes, cudaStream_t stream,
                   A&&... arguments) {
  const std::tuple<P...> values(static_cast<P>(arguments)...);
  emulated::enqueue(stream, [=] { emulated::run_grid([&] { std::apply(kernel, values); }, grid, size, shared_bytes); });
}

template <auto kKernel>
void allow_shared(std::size_t) {}

/// Without barriers a thread needs no fiber.
template <class F>
void launch_for_each(std::int64_t n, cudaStream_t stream, const F& f) {
  emulated::enqueue(stream, [n, f] {
    constexpr std::int64_t kThreads = 256;
    std::vector<std::int64_t> order(static_cast<std::size_t>((n + kThreads - 1) / kThreads));
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i) * kThreads;
    std::shuffle(order.begin(), order.end(), emulated::order_random());
    for (const std::int64_t first : order)
      for (std::int64_t i = std::min(n, first + kThreads); i-- > first;) f(i);
  });
}

}  // namespace voxshift::cuda

#define threadIdx (::voxshift::cuda::emulated::thread->index)
#define blockIdx (::voxshift::cuda::emulated::block->index)
#define blockDim (::voxshift::cuda::emulated::block->size)
#define gridDim (::voxshift::cuda::emulated::block->grid)

inline void __syncthreads() { voxshift::cuda::emulated::wait(voxshift::cuda::emulated::Wait::kBlock, "__syncthreads"); }
inline void __syncwarp() { voxshift::cuda::emulated::wait(voxshift::cuda::emulated::Wait::kWarp, "__syncwarp"); }
inline unsigned __ballot_sync(unsigned, int predicate) {
  return voxshift::cuda::emulated::exchange<1>("__ballot_sync", {std::uint32_t{predicate != 0}},
                                               [&](const auto& lanes) {
                                                 unsigned bits = 0;
                                                 for (unsigned l = 0; l < 32; ++l) bits |= (lanes[l][0] & 1u) << l;
                                                 return bits;
                                               });
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  using namespace voxshift::cuda::emulated;
  return exchange<1>("__shfl_sync", {bits_of(value)},
                     [&](const auto& lanes) { return from_bits<T>(lanes[static_cast<unsigned>(lane) & 31][0]); });
}
inline unsigned __reduce_or_sync(unsigned, unsigned value) {
  return voxshift::cuda::emulated::exchange<1>("__reduce_or_sync", {value}, [&](const auto& lanes) {
    unsigned all = 0;
    for (unsigned l = 0; l < 32; ++l) all |= lanes[l][0];
    return all;
  });
}
inline int __clz(int v) { return v == 0 ? 32 : __builtin_clz(static_cast<unsigned>(v)); }
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __ffs(int v) { return __builtin_ffs(v); }

// Threads of a block take turns, blocks run one at a time: plain reads and writes are atomic.
template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  const T old = *address;
  *address = static_cast<T>(old + value);
  return old;
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  const T old = *address;
  if (old == expected) *address = value;
  return old;
}
template <class T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  const T old = *address;
  *address = old | value;
  return old;
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  const T old = *address;
  *address = std::min(old, value);
  return old;
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  const T old = *address;
  *address = std::max(old, value);
  return old;
}
