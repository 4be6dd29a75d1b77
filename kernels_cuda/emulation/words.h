// The words of device.h for the emulated machine (grid.h). Warps exchange through memory that each lane writes
// and, after a barrier, all lanes read: two such memories in turn, so that nobody writes where others still read.
#pragma once

#include <voxshift/kernels_cuda/emulation/grid.h>

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

// Every lane shows `words` to its warp; returns what all have shown.
template <std::size_t N>
Exchange& show(const char* operation, const std::array<std::uint32_t, N>& words) {
  thread->turn ^= 1;
  Exchange& exchange = block->exchange[thread->linear / 32][thread->turn];
  auto& lane = exchange.lanes[thread->linear % 32];
  for (std::size_t i = 0; i < N; ++i) lane[i] = words[i];
  exchange.products.clear();
  exchange.warpgroup.reset();
  wait(Wait::kWarp, operation);
  return exchange;
}

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

template <class Half = half_t>
void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  constexpr auto product = std::is_same_v<Half, bfloat_t> ? emulated::product_of_bfloats : emulated::product_of_halves;
  emulated::Exchange& x = emulated::show<6>("mma", {a[0], a[1], a[2], a[3], b[0], b[1]});
  if (x.products.empty()) x.products = {product(x.lanes, 0, 4)};
  emulated::add(d, x.products[0], emulated::thread->linear % 32);
}

inline void mma_m16n8k32(std::int32_t (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  emulated::Exchange& x = emulated::show<6>("mma", {a[0], a[1], a[2], a[3], b[0], b[1]});
  if (x.products.empty()) x.products = {emulated::product_of_bytes(x.lanes, 0, 4)};
  emulated::add(d, x.products[0], emulated::thread->linear % 32);
}

struct SplitFloat {
  std::uint32_t high, low;
};

inline void mma_m16n8k8(float (&d)[4], const SplitFloat (&a)[4], const SplitFloat (&b)[2]) {
  using emulated::product_of_floats;
  emulated::Exchange& x = emulated::show<12>("mma", {a[0].high, a[1].high, a[2].high, a[3].high, a[0].low, a[1].low,
                                                     a[2].low, a[3].low, b[0].high, b[1].high, b[0].low, b[1].low});
  if (x.products.empty())
    x.products = {product_of_floats(x.lanes, 4, 8), product_of_floats(x.lanes, 0, 10),
                  product_of_floats(x.lanes, 0, 8)};
  for (const emulated::Product& product : x.products) emulated::add(d, product, emulated::thread->linear % 32);
}

template <bool kTransposed>
void load_matrices(std::uint32_t (&r)[4], const void* row) {
  const auto address = reinterpret_cast<std::uintptr_t>(row);
  const unsigned lane = emulated::thread->linear % 32;
  const auto& lanes = emulated::show<2>("load_matrices", {static_cast<std::uint32_t>(address),
                                                          static_cast<std::uint32_t>(address >> 32)})
                          .lanes;
  for (unsigned m = 0; m < 4; ++m) {
    const auto element = [&](unsigned i, unsigned j) {
      const auto& words = lanes[8 * m + (kTransposed ? j : i)];
      const auto* from = reinterpret_cast<const std::uint16_t*>(static_cast<std::uintptr_t>(words[0]) |
                                                                static_cast<std::uintptr_t>(words[1]) << 32);
      return std::uint32_t{from[kTransposed ? i : j]};
    };
    r[m] = element(lane / 4, lane % 4 * 2) | element(lane / 4, lane % 4 * 2 + 1) << 16;
  }
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
      emulated::thread->wrote_unshown = true;
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

#include <voxshift/kernels_cuda/emulation/warpgroup.h>

#define threadIdx (::voxshift::cuda::emulated::thread->index)
#define blockIdx (::voxshift::cuda::emulated::block->index)
#define blockDim (::voxshift::cuda::emulated::block->size)
#define gridDim (::voxshift::cuda::emulated::block->grid)

inline void __syncthreads() { voxshift::cuda::emulated::wait(voxshift::cuda::emulated::Wait::kBlock, "__syncthreads"); }
inline void __syncwarp() { voxshift::cuda::emulated::wait(voxshift::cuda::emulated::Wait::kWarp, "__syncwarp"); }
inline unsigned __ballot_sync(unsigned, int predicate) {
  unsigned bits = 0;
  const auto& lanes = voxshift::cuda::emulated::show<1>("__ballot_sync", {std::uint32_t{predicate != 0}}).lanes;
  for (unsigned l = 0; l < 32; ++l) bits |= (lanes[l][0] & 1u) << l;
  return bits;
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  using namespace voxshift::cuda::emulated;
  return from_bits<T>(show<1>("__shfl_sync", {bits_of(value)}).lanes[static_cast<unsigned>(lane) & 31][0]);
}
inline unsigned __reduce_or_sync(unsigned, unsigned value) {
  unsigned all = 0;
  for (const auto& words : voxshift::cuda::emulated::show<1>("__reduce_or_sync", {value}).lanes) all |= words[0];
  return all;
}
inline unsigned __float_as_uint(float x) { return voxshift::cuda::emulated::bits_of(x); }
inline float __uint_as_float(unsigned bits) { return voxshift::cuda::emulated::from_bits<float>(bits); }
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
