// The only header through which kernels see the machine: CUDA's own words where nvcc compiles, an emulation of them on
// the CPU (emulation/) where the host compiler does. A kernel is written once; tests run it anywhere, with sanitizers.
//
// Words: blockIdx threadIdx blockDim gridDim, __syncthreads, __syncwarp, __ballot_sync and __shfl_sync with all lanes,
// __reduce_or_sync, __popc, __ffs, __clz, __float_as_uint, __uint_as_float, uint4, atomicAdd atomicCAS
// atomicMin atomicMax atomicOr on 32 and 64 bits, and what stands below.
#pragma once

#ifdef VOXSHIFT_EMULATED
#include <voxshift/kernels_cuda/emulation/words.h>
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <type_traits>

namespace voxshift::cuda {

using half_t = __half;
using bfloat_t = __nv_bfloat16;

__host__ __device__ inline float to_float(float x) { return x; }
__host__ __device__ inline float to_float(half_t x) { return __half2float(x); }
__host__ __device__ inline float to_float(bfloat_t x) { return __bfloat162float(x); }
template <class T>
__host__ __device__ T from_float(float x) {
  if constexpr (std::is_same_v<T, half_t>) {
    return __float2half_rn(x);
  } else if constexpr (std::is_same_v<T, bfloat_t>) {
    return __float2bfloat16_rn(x);
  } else {
    return x;
  }
}

template <class... P, class... A>
void launch_kernel(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
                   A&&... arguments) {
  // clang-format off
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<P>(arguments)...);
  // clang-format on
}

constexpr int kMostDevices = 64;

/// Below kMostDevices. Throws DeviceError.
int current_device();

/// Lets the kernel have more than 48 KB of dynamic shared memory.
template <auto kKernel>
void allow_shared(std::size_t bytes) {
  static std::atomic<std::size_t> allowed[kMostDevices];
  static std::mutex raising;  // the attribute never falls below what another thread is about to launch with
  const int device = current_device();
  if (bytes <= allowed[device]) return;
  const std::lock_guard lock(raising);
  if (bytes <= allowed[device]) return;
  const cudaError_t status =
      cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (status == cudaSuccess) allowed[device] = bytes;  // else the launch fails
}

template <class F>
__global__ void for_each_kernel(std::int64_t n, F f) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step) f(i);
}

template <class F>
void launch_for_each(std::int64_t n, cudaStream_t stream, const F& f) {
  constexpr int kThreads = 256;
  constexpr std::int64_t kMostBlocks = std::int64_t{1} << 20;
  const std::int64_t blocks = (n + kThreads - 1) / kThreads;
  // clang-format off
  for_each_kernel<<<static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks), kThreads, 0, stream>>>(n, f);
  // clang-format on
}

/// The dynamic shared memory of the block, aligned to 128 bytes.
__device__ inline unsigned char* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char dynamic_shared_bytes[];
  return dynamic_shared_bytes;
}

// d += a * b for a 16 x 16 and b 16 x 8 held by one warp, as PTX lays the fragments out; f16, or bf16 where Half is
// bfloat_t, in, f32 accumulated.
template <class Half = half_t>
__device__ void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<Half, bfloat_t>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
}

// The same of i8, for a 16 x 32 and b 32 x 8; int32 accumulated.
__device__ inline void mma_m16n8k32(std::int32_t (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The same in TF32, for a 16 x 8 and b 8 x 8.
__device__ inline void mma_m16n8k8(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// A float as the sum of two in TF32, of which tensor cores read the sign, the exponent and 10 bits of the fraction:
// |x - high - low| <= 2^-22 |x|.
struct SplitFloat {
  std::uint32_t high, low;
};

// d += (a + a')(b + b') - a' b', high parts without and low ones with a prime: f32 to its own precision.
__device__ inline void mma_m16n8k8(float (&d)[4], const SplitFloat (&a)[4], const SplitFloat (&b)[2]) {
  const std::uint32_t high[4] = {a[0].high, a[1].high, a[2].high, a[3].high};
  mma_m16n8k8(d, {a[0].low, a[1].low, a[2].low, a[3].low}, {b[0].high, b[1].high});
  mma_m16n8k8(d, high, {b[0].low, b[1].low});
  mma_m16n8k8(d, high, {b[0].high, b[1].high});
}

// Four 8 x 8 matrices of halves, or 8 x 4 of floats, or 8 x 16 of bytes, from shared memory: lane l gives the address
// of row l % 8 of matrix l / 8. Lane l gets the elements (l / 4, 2 (l % 4)) and the one after of each, or with
// kTransposed those of the transposed matrices.
template <bool kTransposed>
__device__ void load_matrices(std::uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  }
}

// Starts a copy of 16 bytes to shared memory, of zeros where `present` is false: then nothing is read. It is there
// after copies_wait, for other threads after a barrier too.
__device__ inline void copy_async_16(void* shared, const void* global, bool present) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global), "r"(present ? 16 : 0)
               : "memory");
}
// The same for 4 bytes, always present.
__device__ inline void copy_async_4(void* shared, const void* global) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(address), "l"(global) : "memory");
}
__device__ inline void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most `kPending` of the groups committed by this thread are under way.
template <int kPending>
__device__ void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace voxshift::cuda

#include <voxshift/kernels_cuda/warpgroup.h>
#endif
