// The emulation of the CUDA machine finds what a GPU would let pass, or hang on.
#include <gtest/gtest.h>
#include <voxshift/kernels_cuda/device.h>

#include <stdexcept>
#include <vector>

namespace voxshift::cuda {
namespace {

// Memory that kernels of these tests may write: the device's is closed to tests.
std::vector<int> results(1024);

void one_thread_waits_kernel() {
  if (threadIdx.x == 0) __syncthreads();
  __syncwarp();
}

void lanes_part_kernel(int* out) {
  if (threadIdx.x < 16) {
    out[threadIdx.x] = static_cast<int>(__ballot_sync(0xffffffffu, 1));
  } else {
    out[threadIdx.x] = __shfl_sync(0xffffffffu, 1, 0);
  }
}

void missing_barrier_kernel(int* out) {
  __shared__ int shared[256];
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  out[threadIdx.x] = shared[255 - threadIdx.x];
}

void with_barrier_kernel(int* out) {
  __shared__ int shared[256];
  shared[threadIdx.x] = static_cast<int>(threadIdx.x) + 1;
  __syncthreads();
  out[threadIdx.x] = shared[255 - threadIdx.x];
}

void exited_lanes_kernel(int* out) {
  if (threadIdx.x >= 20) return;
  out[threadIdx.x] = static_cast<int>(__ballot_sync(0xffffffffu, 1));
}

alignas(16) const int source[4] = {1, 2, 3, 4};

void early_read_kernel(int* out) {
  __shared__ __align__(16) int shared[4];
  for (int i = 0; i < 4; ++i) shared[i] = -1;
  copy_async_16(shared, source, true);
  copies_commit();
  out[0] = shared[3];
  copies_wait<0>();
  out[1] = shared[3];
}

void run(void (*kernel)(int*), unsigned threads) {
  launch_kernel(kernel, dim3(1), dim3(threads), 0, nullptr, results.data());
}

TEST(Emulation, ABarrierThatSomeThreadsReach) {
  EXPECT_THROW(launch_kernel(one_thread_waits_kernel, dim3(1), dim3(64), 0, nullptr), std::logic_error);
}

TEST(Emulation, LanesAtDifferentOperations) { EXPECT_THROW(run(lanes_part_kernel, 32), std::logic_error); }

TEST(Emulation, AMissingBarrierIsSeen) {
  run(missing_barrier_kernel, 256);
  int wrong = 0;
  for (int i = 0; i < 256; ++i) wrong += results[static_cast<std::size_t>(i)] != 255 - i;
  EXPECT_GT(wrong, 0);
  run(with_barrier_kernel, 256);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], 256 - i);
}

TEST(Emulation, ExitedLanesGiveZero) {
  run(exited_lanes_kernel, 32);
  EXPECT_EQ(results[0], (1 << 20) - 1);
}

TEST(Emulation, AsynchronousCopiesArriveWhenTheyAreWaitedFor) {
  run(early_read_kernel, 1);
  EXPECT_EQ(results[0], -1);
  EXPECT_EQ(results[1], 4);
}

TEST(Emulation, MemoryOfTheDeviceIsClosedToTheHost) {
  auto* const memory = static_cast<volatile char*>(emulated::allocate(100));
  EXPECT_DEATH(memory[0] = 1, "");
  {
    const emulated::MemoryOpen open;
    memory[99] = 1;
  }
  emulated::release(const_cast<char*>(memory), 100);
}

}  // namespace
}  // namespace voxshift::cuda
