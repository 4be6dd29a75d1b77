// Races between the threads of an emulated kernel are errors, and nothing else is.
#include <gtest/gtest.h>
#include <voxshift/kernels_cuda/device.h>

#include <stdexcept>
#include <string>

namespace voxshift::cuda {
namespace {

constexpr std::size_t kInts = 1024;

// Neighbours exchange numbers through shared memory, static or dynamic.
template <bool kStatic, bool kBarrier>
void exchange_kernel(int* out) {
  __shared__ int fixed[256];
  int* const shared = kStatic ? fixed : reinterpret_cast<int*>(dynamic_shared());
  for (int round = 0; round < 3; ++round) {
    if (kBarrier) __syncthreads();
    shared[threadIdx.x] = static_cast<int>(threadIdx.x);
    if (kBarrier) __syncthreads();
    out[blockIdx.x * blockDim.x + threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
  }
}

void one_barrier_too_few_kernel(int* out) {
  __shared__ int shared[64];
  for (int round = 0; round < 2; ++round) {
    shared[threadIdx.x] = round;
    __syncthreads();
    out[threadIdx.x] = shared[63 - threadIdx.x];
  }
}

void one_word_of_all_blocks_kernel(int* out) {
  if (threadIdx.x == 0) *out = static_cast<int>(blockIdx.x);
}

void read_of_another_block_kernel(int* out) {
  if (blockIdx.x == 0) out[1] = out[0];
  if (blockIdx.x == 1) out[0] = 1;
}

void atomic_kernel(int* out) { atomicAdd(out, 1); }

void atomic_and_plain_kernel(int* out) {
  atomicMax(out, static_cast<int>(threadIdx.x));
  if (threadIdx.x == 7) out[1] = out[0];
}

enum class Between { kNothing, kVote, kWarp };

// Lanes exchange through memory: a vote does not order it.
template <Between kBetween>
void lanes_kernel(int* out) {
  __shared__ int shared[64];
  shared[threadIdx.x] = 1;
  if (kBetween == Between::kWarp) __syncwarp();
  if (kBetween == Between::kVote) __ballot_sync(0xffffffffu, 1);
  out[threadIdx.x] = shared[threadIdx.x ^ 1];
}

// __syncwarp orders one warp alone.
void other_warp_kernel(int* out) {
  __shared__ int shared[64];
  shared[threadIdx.x] = 1;
  __syncwarp();
  out[threadIdx.x] = shared[threadIdx.x ^ 32];
}

// Three warps read, thread after thread.
template <int kWriter>
void write_after_reads_kernel(int* out) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int reader = 95; reader >= 0; --reader) {
    if (thread == reader) out[1 + thread] = out[0];
    __syncwarp();
  }
  if (thread == kWriter) out[0] = 1;
}

// With or without a barrier between the reads of a stage and the next copy to it.
template <bool kBarrier>
void copy_kernel(int* out) {
  __shared__ __align__(16) int stage[4];
  if (threadIdx.x == 0) copy_async_16(stage, out, true);
  copies_commit();
  copies_wait<0>();
  __syncthreads();
  out[4 + blockIdx.x * blockDim.x + threadIdx.x] = stage[threadIdx.x % 4];
  if (kBarrier) __syncthreads();
  if (threadIdx.x == 0) copy_async_16(stage, out, false);
  copies_commit();
  copies_wait<0>();
}

void neighbouring_bytes_kernel(int* out) {
  reinterpret_cast<unsigned char*>(out)[blockIdx.x * blockDim.x + threadIdx.x] = 1;
}

class EmulatedRaces : public ::testing::Test {
 protected:
  void SetUp() override { memory_ = static_cast<int*>(emulated::allocate(kInts * sizeof(int))); }
  void TearDown() override { emulated::release(memory_, kInts * sizeof(int)); }

  // What was found; empty: nothing.
  std::string races(void (*kernel)(int*), unsigned blocks, unsigned threads) const {
    try {
      launch_kernel(kernel, dim3(blocks), dim3(threads), threads * sizeof(int), nullptr, memory_);
    } catch (const std::logic_error& error) {
      return error.what();
    }
    return "";
  }

  int* memory_ = nullptr;
};

TEST_F(EmulatedRaces, AMissingBarrier) {
  EXPECT_NE(races(exchange_kernel<true, false>, 1, 256), "");
  EXPECT_NE(races(exchange_kernel<false, false>, 1, 256), "");
  EXPECT_NE(races(one_barrier_too_few_kernel, 1, 64), "");
  EXPECT_EQ(races(exchange_kernel<true, true>, 3, 256), "");
  EXPECT_EQ(races(exchange_kernel<false, true>, 3, 256), "");
}

TEST_F(EmulatedRaces, TheMessageNamesBothPlaces) {
  const std::string text = races(exchange_kernel<true, false>, 1, 256);
  const std::size_t against = text.find("against a ");
  ASSERT_NE(against, std::string::npos) << text;
  EXPECT_LT(text.find("exchange_kernel"), against) << text;
  EXPECT_NE(text.find("exchange_kernel", against), std::string::npos) << text;
}

TEST_F(EmulatedRaces, BlocksAreNotOrdered) {
  EXPECT_NE(races(one_word_of_all_blocks_kernel, 2, 32), "");
  EXPECT_EQ(races(one_word_of_all_blocks_kernel, 1, 32), "");
  EXPECT_NE(races(read_of_another_block_kernel, 2, 1), "");
  EXPECT_EQ(races(neighbouring_bytes_kernel, 8, 64), "");
}

TEST_F(EmulatedRaces, AtomicsAreOrderedAmongThemselves) {
  EXPECT_EQ(races(atomic_kernel, 3, 64), "");
  EXPECT_NE(races(atomic_and_plain_kernel, 1, 64), "");
}

TEST_F(EmulatedRaces, LanesMeetAtSyncwarpOnly) {
  EXPECT_NE(races(lanes_kernel<Between::kNothing>, 1, 64), "");
  EXPECT_NE(races(lanes_kernel<Between::kVote>, 1, 64), "");
  EXPECT_EQ(races(lanes_kernel<Between::kWarp>, 1, 64), "");
  EXPECT_NE(races(other_warp_kernel, 1, 64), "");
}

TEST_F(EmulatedRaces, EveryReaderCounts) {
  EXPECT_NE(races(write_after_reads_kernel<0>, 1, 96), "");
  EXPECT_NE(races(write_after_reads_kernel<40>, 1, 96), "");
  EXPECT_NE(races(write_after_reads_kernel<95>, 1, 96), "");
  EXPECT_EQ(races(write_after_reads_kernel<0>, 1, 32), "");
}

TEST_F(EmulatedRaces, ACopyIsUnderWayFromItsStart) {
  EXPECT_NE(races(copy_kernel<false>, 1, 64), "");
  EXPECT_EQ(races(copy_kernel<true>, 2, 64), "");
}

TEST_F(EmulatedRaces, ThreadsWithoutBarriers) {
  int* const memory = memory_;
  const auto run = [](std::int64_t n, auto f) { launch_for_each(n, nullptr, f); };
  EXPECT_THROW(run(2, [memory](std::int64_t) { memory[0] = 1; }), std::logic_error);
  EXPECT_THROW(run(300, [memory](std::int64_t i) { memory[i] = memory[(i + 1) % 300]; }), std::logic_error);
  EXPECT_NO_THROW(run(300, [memory](std::int64_t i) { memory[i] = memory[300]; }));
}

TEST_F(EmulatedRaces, LaunchesAreOrdered) {
  EXPECT_EQ(races(exchange_kernel<true, true>, 1, 256), "");
  EXPECT_EQ(races(one_word_of_all_blocks_kernel, 1, 32), "");
  EXPECT_EQ(races(exchange_kernel<true, true>, 1, 32), "");
}

}  // namespace
}  // namespace voxshift::cuda
