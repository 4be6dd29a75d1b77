// Freed memory that results reuse.
#include <gtest/gtest.h>
#include <voxshift/tensor/array.h>
#include <voxshift/tensor/runtime.h>

#include <cstring>
#include <utility>

namespace voxshift {
namespace {

constexpr std::int64_t kNumbers = 1 << 18;  // 1 MB

class MemoryCacheTest : public ::testing::Test {
 protected:
  void TearDown() override { set_memory_cache(0); }

  static const void* freed(std::int64_t numbers) {
    Array array({numbers}, DType::kF32);
    std::memset(array.memory(), 1, array.bytes());
    return array.memory();
  }
};

TEST_F(MemoryCacheTest, GivesAFreedBlockToARequestOfAboutItsSize) {
  set_memory_cache(std::size_t{8} << 20);
  const void* first = freed(kNumbers);
  const Array same({kNumbers}, DType::kF32);
  EXPECT_EQ(same.memory(), first);
  const void* second = freed(kNumbers);
  const Array fewer({kNumbers * 15 / 16}, DType::kF32);
  EXPECT_EQ(fewer.memory(), second);
}

TEST_F(MemoryCacheTest, TheSmallestThatFits) {
  set_memory_cache(std::size_t{16} << 20);
  const void *large = nullptr, *small = nullptr;
  {
    const Array a({kNumbers + kNumbers / 16}, DType::kF32), b({kNumbers}, DType::kF32);
    large = a.memory();
    small = b.memory();
  }
  const Array one({kNumbers}, DType::kF32), other({kNumbers}, DType::kF32);
  EXPECT_EQ(one.memory(), small);
  EXPECT_EQ(other.memory(), large);
}

// A kept block cannot be seen from outside, but two arrays never share one.
TEST_F(MemoryCacheTest, ArraysThatLiveTogetherAreApart) {
  set_memory_cache(std::size_t{8} << 20);
  freed(kNumbers);
  Array a({kNumbers}, DType::kF32), b({kNumbers}, DType::kF32);
  std::memset(a.memory(), 1, a.bytes());
  std::memset(b.memory(), 2, b.bytes());
  EXPECT_EQ(*static_cast<const char*>(std::as_const(a).memory()), 1);
}

TEST_F(MemoryCacheTest, KeepsNoMoreThanItsLimit) {
  set_memory_cache(std::size_t{1} << 20);
  const void *first = nullptr, *second = nullptr;
  {
    const Array a({kNumbers}, DType::kF32), b({kNumbers}, DType::kF32);  // b is freed first and fills the limit
    first = a.memory();
    second = b.memory();
  }
  const Array one({kNumbers}, DType::kF32);
  EXPECT_EQ(one.memory(), second);
  EXPECT_NE(first, second);
}

}  // namespace
}  // namespace voxshift
