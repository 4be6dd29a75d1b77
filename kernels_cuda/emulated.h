// The words of device.h for the emulated machine (emulated_grid.h). Warps exchange through memory that each lane writes
// and all lanes read, a barrier after either.
#pragma once

#include <voxshift/kernels_cuda/emulated_grid.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <vector>

namespace voxshift::cuda {
namespace emulated {

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

// A copy takes place at any time between its start and the wait for it.
inline void note_copy(const AsyncCopy& copy) {
  if constexpr (kFindRaces) {
    if (copy.present) note_access(AccessKind::kRead, copy.from, copy.bytes, this_place());
    note_access(AccessKind::kWrite, copy.to, copy.bytes, this_place());
  }
}
inline void start_copy(const AsyncCopy& copy) {
  note_copy(copy);
  thread->copies.back().push_back(copy);
}

// Threads of a block take turns, blocks run one at a time: a read and a write are one operation.
template <class T, class F>
VOXSHIFT_UNSEEN T update(T* address, const F& f) {
  if constexpr (kFindRaces) note_access(AccessKind::kAtomic, address, sizeof(T), __builtin_return_address(0));
  const T old = *address;
  *address = f(old);
  return old;
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
  emulated::start_copy({shared, global, 16, present});
}
inline void copy_async_4(void* shared, const void* global) { emulated::start_copy({shared, global, 4, true}); }
inline void copies_commit() { emulated::thread->copies.emplace_back(); }
template <int kPending>
void copies_wait() {
  auto& groups = emulated::thread->copies;
  while (groups.size() > static_cast<std::size_t>(kPending) + 1) {
    for (const emulated::AsyncCopy& copy : groups.front()) {
      emulated::note_copy(copy);
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
    if constexpr (emulated::kFindRaces) emulated::races().begin_launch();
    for (const std::int64_t first : order)
      for (std::int64_t i = std::min(n, first + kThreads); i-- > first;) emulated::run_alone([&] { f(i); });
    if constexpr (emulated::kFindRaces) emulated::races().end_launch();
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

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return voxshift::cuda::emulated::update(address, [=](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return voxshift::cuda::emulated::update(address, [=](T old) { return old == expected ? value : old; });
}
template <class T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return voxshift::cuda::emulated::update(address, [=](T old) { return old | value; });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return voxshift::cuda::emulated::update(address, [=](T old) { return std::min(old, value); });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return voxshift::cuda::emulated::update(address, [=](T old) { return std::max(old, value); });
}
