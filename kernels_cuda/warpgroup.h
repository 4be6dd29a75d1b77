// Words of device.h for Hopper's warpgroups: four neighbouring warps that multiply what lies in shared memory.
#pragma once

#include <cstdint>

#define VOXSHIFT_SUMS(p) "+f"(d[p][0]), "+f"(d[p][1]), "+f"(d[p][2]), "+f"(d[p][3])
#define VOXSHIFT_SUMS_16(p) VOXSHIFT_SUMS(p), VOXSHIFT_SUMS(p + 1), VOXSHIFT_SUMS(p + 2), VOXSHIFT_SUMS(p + 3)
#define VOXSHIFT_NAMES_16 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define VOXSHIFT_NAMES_32 VOXSHIFT_NAMES_16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define VOXSHIFT_NAMES_48 VOXSHIFT_NAMES_32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define VOXSHIFT_NAMES_64 VOXSHIFT_NAMES_48 ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define VOXSHIFT_WGMMA(columns, names, a_name, b_name, ...)                                                   \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.f16.f16 {" names "}, " a_name ", " b_name \
               ", 1, 1, 1, 0, 1;"                                                                             \
               : __VA_ARGS__                                                                                  \
               : "l"(a), "l"(b))

namespace voxshift::cuda {

/// Where shared memory lies for those that compute with its addresses.
__device__ inline std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

/// Writes of this thread to shared memory, for products of warpgroups that begin after a barrier.
__device__ inline void show_to_warpgroups() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/// Before the first product after sums were touched.
__device__ inline void warpgroup_begin() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

__device__ inline void warpgroup_commit() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

/// Waits for all products of this warpgroup.
__device__ inline void warpgroup_wait() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#endif
}

/// Starts d += a * b of f16, summed in f32: a is 64 x 16, row by row, b 16 x kColumns, row by row, both where
/// matrix_descriptor() says. Lane l of warp w has in d[p][e] row 16 w + l / 4 + 8 (e / 2), column 8 p + 2 (l % 4) + e
/// % 2.
template <int kColumns>
__device__ void warpgroup_product(float (&d)[kColumns / 8][4], std::uint64_t a, std::uint64_t b) {
  static_assert(kColumns == 32 || kColumns == 64 || kColumns == 96 || kColumns == 128);
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  if constexpr (kColumns == 32) {
    VOXSHIFT_WGMMA("32", VOXSHIFT_NAMES_16, "%16", "%17", VOXSHIFT_SUMS_16(0));
  } else if constexpr (kColumns == 64) {
    VOXSHIFT_WGMMA("64", VOXSHIFT_NAMES_32, "%32", "%33", VOXSHIFT_SUMS_16(0), VOXSHIFT_SUMS_16(4));
  } else if constexpr (kColumns == 96) {
    VOXSHIFT_WGMMA("96", VOXSHIFT_NAMES_48, "%48", "%49", VOXSHIFT_SUMS_16(0), VOXSHIFT_SUMS_16(4),
                   VOXSHIFT_SUMS_16(8));
  } else {
    VOXSHIFT_WGMMA("128", VOXSHIFT_NAMES_64, "%64", "%65", VOXSHIFT_SUMS_16(0), VOXSHIFT_SUMS_16(4),
                   VOXSHIFT_SUMS_16(8), VOXSHIFT_SUMS_16(12));
  }
#endif
}

/// Whether the current device multiplies by warpgroups: one of compute capability 9.0.
inline bool has_warpgroups() {
  int major = 0, minor = 0;
  const int device = current_device();
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess && major == 9 &&
         minor == 0;
}

}  // namespace voxshift::cuda

#undef VOXSHIFT_SUMS
#undef VOXSHIFT_SUMS_16
#undef VOXSHIFT_NAMES_16
#undef VOXSHIFT_NAMES_32
#undef VOXSHIFT_NAMES_48
#undef VOXSHIFT_NAMES_64
#undef VOXSHIFT_WGMMA
