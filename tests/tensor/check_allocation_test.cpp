// Checks that pass call the allocator for nothing: what their messages would say is printed where they fail only.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/group.h>
#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/rows/ops.h>
#include <voxshift/rows/training.h>
#include <voxshift/sparse_conv/pool.h>
#include <voxshift/tensor/runtime.h>
#include <voxshift/video/checks.h>

#include <functional>

#include "counting_allocator.h"

namespace voxshift {
namespace {

// No rows: an op checks its operands, and computes nothing. The text of the larger shapes fits no std::string that
// lies on the stack.
constexpr std::int64_t kFew = 1, kMany = 1'000'000'000'000'000;

struct Operands {
  explicit Operands(std::int64_t channels)
      : rows({0, channels}, DType::kF32), x(SparseTensor(Array({0, 4}, DType::kI32), rows)) {}

  Array rows;
  SparseTensor x;
  Array indices{{0, 3}, DType::kI32}, weights{{0, 3}, DType::kF32};
  Interpolation interpolation{indices, weights, 0};
};

class CheckAllocation : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!kCanCount) GTEST_SKIP() << "a sanitizer, or another libc than glibc, has the allocator";
    set_num_threads(1);
  }
};

TEST_F(CheckAllocation, Parts) {
  const Shape shape{1, 1080, 1920, kMany};
  EXPECT_GE(calls_in([&] { static_cast<void>(to_string(shape)); }), 1);
  EXPECT_EQ(calls_in([&] { check(shape.size() == 4, "[op] x expects ", shape, ", found ", shape); }), 0);
  float pixel = 0;
  const Array image(&pixel, {1, 100'000'000, 1'000'000'000, 1}, DType::kF32, Device::cpu(), {});
  EXPECT_EQ(calls_in([&] { check_images("op", image); }), 0);
}

TEST_F(CheckAllocation, OpsWhateverTheShape) {
  const std::pair<const char*, std::function<void(const Operands&)>> ops[] = {
      {"affine", [](const Operands& o) { affine(o.rows, {}, {}); }},
      {"gather", [](const Operands& o) { gather(o.rows, o.indices); }},
      {"gather_backward",
       [](const Operands& o) {
         gather_backward(o.indices, Array({0, 3, o.rows.dim(1)}, DType::kF32), 0);
       }},
      {"interpolate", [](const Operands& o) { interpolate(o.rows, o.interpolation); }},
      {"interpolate_backward", [](const Operands& o) { interpolate_backward(o.interpolation, o.rows); }},
      {"with_features", [](const Operands& o) { o.x.with_features(o.rows); }},
      {"SparseTensor", [](const Operands& o) { SparseTensor(o.x.coords(), o.rows); }},
      {"pool_backward", [](const Operands& o) { pool_backward(o.x, o.rows, Pooling::kSum, {}); }},
      {"reshaped",
       [](const Operands& o) {
         [[maybe_unused]] const Array a = o.rows.reshaped({o.rows.dim(1), 0});
       }},
  };
  const Operands few(kFew), many(kMany);
  for (const auto& op : ops) {
    op.second(few);
    op.second(many);
    EXPECT_EQ(calls_in([&] { op.second(many); }), calls_in([&] { op.second(few); })) << op.first;
  }
}

TEST_F(CheckAllocation, MessagesOfShapes) {
  const auto message = [](const Shape& shape) -> std::string {
    try {
      check(false, "found ", shape, ".");
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message({3, 32}), "found [3, 32].");
  EXPECT_EQ(message({7}), "found [7].");
  EXPECT_EQ(message({}), "found [].");
}

}  // namespace
}  // namespace voxshift
