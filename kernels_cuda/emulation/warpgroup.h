// The words of warpgroup.h for the emulated machine. A product takes place when it is waited for and not before, as
// asynchronous copies do: what it reads, and the sums, must stay as they are until then. Errors: a product that begins
// without warpgroup_begin() after a wait, that may read what a thread copied and did not show to warpgroups before the
// last barrier, or whose matrices lie outside of shared memory.
#pragma once

#include <voxshift/kernels_cuda/emulation/grid.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>

namespace voxshift::cuda {
namespace emulated {

constexpr std::uint32_t kSharedAddress = 1152;  // of dynamic_shared(): no multiple of more than 128

// The lanes of a warp share its reads: all of b, and the 16 rows of a that are its own.
inline void note_reads(const WarpgroupProduct& product) {
  if constexpr (kFindRaces) {
    const std::uint32_t lane = thread->linear % 32;
    note_access(AccessKind::kRead, product.a.chunk_of_row(16 * product.warp + lane / 2, lane % 2), 16, this_place());
    for (std::uint32_t e = lane; e < 2 * product.columns; e += 32)
      note_access(AccessKind::kRead, product.b.chunk_of_depth(e % 16, e / 16), 16, this_place());
  }
}

}  // namespace emulated

inline std::uint32_t shared_address(const void* shared) {
  return emulated::kSharedAddress +
         static_cast<std::uint32_t>(static_cast<const unsigned char*>(shared) - dynamic_shared());
}

inline bool has_warpgroups() { return true; }

inline void show_to_warpgroups() { emulated::thread->wrote_unshown = false; }
inline void warpgroup_begin() {
  emulated::show<1>("warpgroup_begin", {0});
  emulated::thread->may_multiply = true;
}
inline void warpgroup_commit() { emulated::thread->committed = emulated::thread->products.size(); }

inline void warpgroup_wait() {
  emulated::Thread& self = *emulated::thread;
  for (std::size_t i = 0; i < self.committed; ++i) {
    const auto& [product, sums] = self.products[i];
    emulated::note_reads(*product);
    product->make();
    for (std::size_t p = 0; p < product->panels.size(); ++p) {
      float sum[4] = {sums[p][0], sums[p][1], sums[p][2], sums[p][3]};
      emulated::add(sum, product->panels[p], self.linear % 32);
      for (std::size_t e = 0; e < 4; ++e) sums[p][e] = sum[e];
    }
  }
  self.products.erase(self.products.begin(), self.products.begin() + static_cast<std::ptrdiff_t>(self.committed));
  self.committed = 0;
  self.may_multiply = false;
}

template <int kColumns>
void warpgroup_product(float (&d)[kColumns / 8][4], std::uint64_t a, std::uint64_t b) {
  emulated::Thread& self = *emulated::thread;
  if (!self.may_multiply) throw std::logic_error("a product of a warpgroup without warpgroup_begin()");
  if (emulated::block->wrote_unshown)
    throw std::logic_error("a product of a warpgroup after copies that were not shown to it");
  const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  emulated::Exchange& x = emulated::show<4>("warpgroup_product", {low(a), low(a >> 32), low(b), low(b >> 32)});
  for (const auto& lane : x.lanes)
    if (lane[0] != low(a) || lane[1] != low(a >> 32) || lane[2] != low(b) || lane[3] != low(b >> 32))
      throw std::logic_error("lanes of a warp name different matrices");
  if (x.warpgroup == nullptr) {
    const emulated::SharedMatrix shared{{dynamic_shared(), emulated::block->shared_bytes}, emulated::kSharedAddress, 0};
    x.warpgroup = std::make_shared<emulated::WarpgroupProduct>();
    x.warpgroup->a = x.warpgroup->b = shared;
    x.warpgroup->a.descriptor = a;
    x.warpgroup->b.descriptor = b;
    x.warpgroup->warp = self.linear / 32 % 4;
    x.warpgroup->columns = kColumns;
  }
  emulated::note_reads(*x.warpgroup);
  self.products.push_back({x.warpgroup, d});
}

}  // namespace voxshift::cuda
