// What the kernels know of the machine's caches.
#pragma once

#include <cstdint>

namespace voxshift::cpu {

/// Bytes of sums that a block of rows keeps while the offsets of a kernel pass over it: a quarter of a core's L2 cache,
/// as input rows and weights want to lie there, too; 256 KB where the system does not tell its size. Results do not
/// depend on it.
std::int64_t block_bytes();

}  // namespace voxshift::cpu
