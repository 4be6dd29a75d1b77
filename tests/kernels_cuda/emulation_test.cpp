// The emulation of the CUDA machine finds what a GPU would let pass, or hang on.
#include <gtest/gtest.h>
#include <voxshift/kernels_cuda/device.h>

#include <array>
#include <cstdint>
#include <random>
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

// A product of a warpgroup whose matrices lie in rows of 64 bytes, as the PTX manual draws them: 16-byte chunk c of a
// row r stands in the place of chunk c ^ r / 2 % 4.
constexpr std::size_t kColumns = 96;
using Whole = std::array<std::array<int, kColumns>, 64>;
Whole left, right, product_found;

void put(unsigned char* shared, std::size_t row, std::size_t column, int value) {
  const std::size_t chunk = (column / 8) ^ (row / 2 % 4);
  reinterpret_cast<half_t*>(shared)[row * 32 + chunk * 8 + column % 8] = static_cast<half_t>(value);
}

enum class Mistake { kNone, kNoBegin, kNotShown, kNoCommit, kNoWait };

void warpgroup_kernel(Mistake mistake) {
  // 64 rows of 32 inputs, of which the product takes the last 16, then three blocks of 16 rows of 32 columns.
  unsigned char* const shared = dynamic_shared() + (1024 - shared_address(dynamic_shared()) % 1024) % 1024;
  const std::size_t t = threadIdx.x;
  for (std::size_t k = 0; t < 64 && k < 16; ++k) put(shared, t, 16 + k, left[t][k]);
  for (std::size_t k = 0; t < kColumns && k < 16; ++k) put(shared + 4096 + t / 32 * 1024, k, t % 32, right[k][t]);
  alignas(16) static const int numbers[4] = {};
  copy_async_16(shared + 8192, numbers, true);
  copies_commit();
  copies_wait<0>();
  if (mistake != Mistake::kNotShown || t != 5) show_to_warpgroups();
  __syncthreads();
  const std::uint64_t address = shared_address(shared) / 16;
  float sums[kColumns / 8][4] = {};
  if (mistake != Mistake::kNoBegin) warpgroup_begin();
  warpgroup_product<kColumns>(
      sums, (address + 2) | std::uint64_t{512 / 16} << 32 | std::uint64_t{2} << 62,
      (address + 256) | std::uint64_t{1024 / 16} << 16 | std::uint64_t{512 / 16} << 32 | std::uint64_t{2} << 62);
  if (mistake != Mistake::kNoCommit) warpgroup_commit();
  if (mistake != Mistake::kNoWait) warpgroup_wait();
  for (std::size_t p = 0; p < kColumns / 8; ++p)
    for (std::size_t e = 0; e < 4; ++e)
      product_found[t / 32 * 16 + t % 32 / 4 + e / 2 * 8][p * 8 + t % 4 * 2 + e % 2] = static_cast<int>(sums[p][e]);
}

bool has_product(Mistake mistake) {
  std::mt19937 random(1);
  for (Whole* const m : {&left, &right})
    for (auto& row : *m)
      for (int& v : row) v = static_cast<int>(random() % 17) - 8;
  launch_kernel(warpgroup_kernel, dim3(1), dim3(128), 12288, nullptr, mistake);
  Whole expected{};
  for (std::size_t r = 0; r < 64; ++r)
    for (std::size_t c = 0; c < kColumns; ++c)
      for (std::size_t k = 0; k < 16; ++k) expected[r][c] += left[r][k] * right[k][c];
  return product_found == expected;
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

TEST(Emulation, ProductsOfWarpgroups) {
  EXPECT_TRUE(has_product(Mistake::kNone));
  EXPECT_FALSE(has_product(Mistake::kNoCommit));
  EXPECT_FALSE(has_product(Mistake::kNoWait));
  EXPECT_DEATH(has_product(Mistake::kNoBegin), "without warpgroup_begin");
  EXPECT_DEATH(has_product(Mistake::kNotShown), "not shown");
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
