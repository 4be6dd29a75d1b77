// Arrays, element types, devices, arenas and the number of threads.
#include <gtest/gtest.h>
#include <voxshift/tensor/arena.h>

#include <cstdint>
#include <limits>
#include <numeric>

#include "device_fixture.h"

namespace voxshift {
namespace {

class ArrayTest : public DeviceTest {};
VOXSHIFT_FOR_EACH_DEVICE(ArrayTest);

TEST_P(ArrayTest, HoldsWhatItWasGiven) {
  const std::vector<std::int32_t> values = {1, -2, 3, 4, 5, 6};
  const Array a = Array::from(values, {2, 3}).to(device());
  EXPECT_EQ(a.device(), device());
  EXPECT_EQ(a.shape(), (Shape{2, 3}));
  EXPECT_EQ(a.count(), 6);
  EXPECT_EQ(a.bytes(), 24U);
  EXPECT_EQ(a.dim(1), 3);
  EXPECT_EQ(a.dim(2), 1) << "axes beyond the rank have extent 1";
  EXPECT_EQ(host<std::int32_t>(a), values);
}

TEST_P(ArrayTest, CopiesShareTheMemory) {
  const Array a = vector({1, 2, 3, 4});
  const Array copy = a, same_device = a.to(device()), square = a.reshaped({2, 2});
  EXPECT_EQ(copy.memory(), a.memory());
  EXPECT_EQ(same_device.memory(), a.memory());
  EXPECT_EQ(square.memory(), a.memory());
  EXPECT_EQ(square.shape(), (Shape{2, 2}));
}

TEST_P(ArrayTest, MemoryIsAligned) {
  for (const std::int64_t n : {0, 1, 63, 64, 1000}) {
    const Array a({n}, DType::kU8, device());
    EXPECT_NE(a.memory(), nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.memory()) % 64, 0U);
  }
}

TEST_P(ArrayTest, EmptyShapes) {
  for (const Shape& shape : {Shape{0}, Shape{0, 7}, Shape{7, 0}, Shape{std::int64_t{1} << 40, 0}}) {
    const Array a(shape, DType::kF32, device());
    EXPECT_EQ(a.count(), 0);
    EXPECT_TRUE(host<float>(a).empty());
  }
}

TEST_P(ArrayTest, TooMuchMemoryIsOutOfMemory) {
  expect_throw<OutOfMemory>([&] { Array({std::int64_t{1} << 50}, DType::kU8, device()); }, {"[allocate]"});
}

TEST(Array, ForeignMemoryIsKeptAlive) {
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3});
  const std::weak_ptr<void> watch = owner;
  {
    const Array a(owner->data(), {3}, DType::kF32, Device::cpu(), owner);
    owner.reset();
    EXPECT_FALSE(watch.expired());
    EXPECT_EQ(a.values<float>()[2], 3.0F);
  }
  EXPECT_TRUE(watch.expired());
}

TEST(Array, ScalarShapeHoldsOneElement) {
  EXPECT_EQ(Array(Shape{}, DType::kI64).count(), 1);
  EXPECT_EQ(to_string(Shape{}), "[]");
  EXPECT_EQ(to_string(Shape{3, 32}), "[3, 32]");
}

TEST(Array, WrongShapesAndTypesAreRefused) {
  const std::vector<float> three = {1, 2, 3};
  expect_throw([&] { Array::from(three, {2, 2}); }, {"[array]", "[2, 2]", "4", "3"});
  expect_throw([&] { Array({-1, 2}, DType::kF32); }, {"[array]", "negative", "[-1, 2]"});
  const std::int64_t huge = std::int64_t{1} << 40;
  expect_throw([&] { Array({huge, huge}, DType::kU8); }, {"[array]", "too large"});
  expect_throw([&] { Array({huge, huge, 2}, DType::kU8); }, {"[array]", "too large"});
  Array a = Array::from(three, {3});
  expect_throw([&] { a.data<std::int32_t>(); }, {"[array]", "i32", "f32"});
  expect_throw([&] { a.reshaped({2}); }, {"[reshape]", "[3]", "[2]"});
}

TEST(DTypes, SizesAndNames) {
  const std::vector<std::tuple<DType, std::size_t, std::string>> table = {
      {DType::kF32, 4, "f32"}, {DType::kF16, 2, "f16"}, {DType::kBF16, 2, "bf16"}, {DType::kI64, 8, "i64"},
      {DType::kI32, 4, "i32"}, {DType::kI8, 1, "i8"},   {DType::kU8, 1, "u8"}};
  for (const auto& [dtype, size, text] : table) {
    EXPECT_EQ(size_of(dtype), size);
    EXPECT_EQ(name(dtype), text);
    EXPECT_EQ(Array({3}, dtype).bytes(), 3 * size);
  }
}

TEST(Devices, NamesAreReadAndWritten) {
  EXPECT_EQ(parse_device("cpu"), Device::cpu());
  EXPECT_EQ(parse_device("cuda"), Device::cuda(0));
  EXPECT_EQ(parse_device("cuda:3"), Device::cuda(3));
  EXPECT_EQ(name(Device::cpu()), "cpu");
  EXPECT_EQ(name(Device::cuda(3)), "cuda:3");
  for (const std::string bad : {"", "gpu", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999999999", "CPU"})
    expect_throw([&] { parse_device(bad); }, {"[device]", "\"" + bad + "\""});
}

TEST(Devices, AnAbsentBackendSaysSo) {
  if (runtime(Device::cuda()).available(Device::cuda())) GTEST_SKIP() << "this machine has a CUDA device";
  const Array x = Array::from(std::vector<float>{1, 2}, {1, 2});
  expect_throw<BackendUnavailable>([&] { x.to(Device::cuda()); }, {"[cuda]", "cpu"});
}

TEST(Threads, AtLeastOne) {
  const int before = num_threads();
  EXPECT_GE(before, 1);
  set_num_threads(3);
  EXPECT_EQ(num_threads(), 3);
  for (const int bad : {0, -1}) expect_throw([&] { set_num_threads(bad); }, {"[set_num_threads]"});
  EXPECT_EQ(num_threads(), 3);
  set_num_threads(before);
}

// In multiply-adds a second: no core does less than 10^7, even emulated, and none does 10^13.
TEST(Threads, TheirPeakHasItsUnit) {
  for (const int threads : {1, 2}) {
    const double peak = runtime(Device::cpu()).fma_peak(Device::cpu(), threads);
    EXPECT_GT(peak, 1e7);
    EXPECT_LT(peak, 1e13 * threads);
  }
}

class ArenaTest : public DeviceTest {};
VOXSHIFT_FOR_EACH_DEVICE(ArenaTest);

// Requests of odd sizes from nothing to several blocks.
std::vector<std::size_t> request_sizes() {
  return {1, 64, 65, 0, 1000, std::size_t{1} << 20, 3 * (std::size_t{1} << 20) + 1, 7};
}

TEST_P(ArenaTest, PiecesAreAlignedAndApart) {
  Arena arena(device());
  std::vector<std::pair<std::uintptr_t, std::size_t>> pieces;
  for (const std::size_t bytes : request_sizes()) {
    const auto at = reinterpret_cast<std::uintptr_t>(arena.allocate_bytes(bytes));
    EXPECT_EQ(at % 64, 0U);
    for (const auto& [other, length] : pieces) EXPECT_TRUE(at + bytes <= other || other + length <= at);
    pieces.emplace_back(at, bytes);
  }
}

TEST_P(ArenaTest, AfterResetOneBlockServesTheSameRequests) {
  Arena arena(device());
  for (const std::size_t bytes : request_sizes()) arena.allocate_bytes(bytes);
  arena.reset();
  for (int round = 0; round < 2; ++round) {
    const auto begin = reinterpret_cast<std::uintptr_t>(arena.allocate_bytes(0));
    std::size_t used = 0;
    for (const std::size_t bytes : request_sizes()) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.allocate_bytes(bytes)), begin + used);
      used += (bytes + 63) / 64 * 64;
    }
    arena.reset();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.allocate_bytes(0)), begin) << "the block stays where it is";
  }
}

TEST_P(ArenaTest, RewindGivesBackWhatCameAfterTheMark) {
  Arena arena(device());
  arena.allocate_bytes(100);
  const Arena::Mark mark = arena.mark();
  void* first = arena.allocate_bytes(10);
  arena.allocate_bytes(std::size_t{5} << 20);
  arena.rewind(mark);
  EXPECT_EQ(arena.allocate_bytes(10), first);
}

}  // namespace
}  // namespace voxshift
