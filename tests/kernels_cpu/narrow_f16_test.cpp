// Products of f16 by instructions of f16: equal to plain loops that round in the same order.
#include <gtest/gtest.h>
#include <voxshift/kernels_cpu/narrow_product.h>
#include <voxshift/kernels_cpu/packed_narrow.h>
#include <voxshift/tensor/half.h>
#include <voxshift/tensor/runtime.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <random>
#include <string>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kStage = 64;  // of channels, whose sum is f16

class NarrowF16 : public testing::Test {
 protected:
  void SetUp() override {
    for (const NarrowProduct* product : narrow_products())
      if (std::string(product->name) == "NEON f16") table = product;
    if (table == nullptr) GTEST_SKIP() << "this CPU has no f16 arithmetic that is used";
  }

  /// Rows x [rows, channels] times weight [channels, outputs], both f16, added to `start`.
  std::vector<float> product(const std::vector<std::uint16_t>& x, const std::vector<float>& weight,
                             std::int64_t channels, std::int64_t outputs, float start) const {
    const Context context{Device::cpu(), nullptr, 1};
    const auto rows = static_cast<std::int64_t>(x.size()) / channels;
    const PackedNarrow packed(context, *table, weight.data(), 1, channels, outputs);
    const std::int64_t stride = table->row_bytes(channels), sums_stride = packed.panels() * kPanel;
    const auto staged_bytes = static_cast<std::size_t>(rows * stride);
    const auto sums_bytes = static_cast<std::size_t>(rows * sums_stride * 4);
    auto* const staged = static_cast<std::byte*>(runtime().allocate(Device::cpu(), staged_bytes));
    auto* const sums = static_cast<float*>(runtime().allocate(Device::cpu(), sums_bytes));
    std::memset(staged, 0xFF, staged_bytes);  // NaN
    std::fill_n(sums, rows * sums_stride, start);
    table->stage({reinterpret_cast<const std::byte*>(x.data()), channels * 2, nullptr, rows, channels, staged, stride});
    table->multiply({staged, stride, rows, table->groups(channels), packed.offset(0), packed.panel_bytes(),
                     packed.panels(), sums, sums_stride});
    std::vector<float> result;
    for (std::int64_t r = 0; r < rows; ++r)
      result.insert(result.end(), sums + r * sums_stride, sums + r * sums_stride + outputs);
    runtime().free(Device::cpu(), staged, staged_bytes);
    runtime().free(Device::cpu(), sums, sums_bytes);
    return result;
  }

  const NarrowProduct* table = nullptr;
};

/// x to the nearest f16, ties to even; not beyond 65504.
long double rounded(long double x) {
  int exponent = 0;
  std::frexp(x, &exponent);
  const long double last = std::ldexp(1.0L, std::max(exponent - 1, -14) - 10);
  return std::nearbyint(x / last) * last;
}

TEST_F(NarrowF16, IsEqualToALoopThatRoundsInTheSameOrder) {
  ASSERT_GE(std::numeric_limits<long double>::digits, 81) << "products and sums of f16 are exact in long double";
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  const auto halves = [&](std::int64_t count, float scale) {
    std::vector<float> numbers(static_cast<std::size_t>(count));
    for (float& number : numbers) number = from_half(to_half(scale * normal(random)));
    return numbers;
  };
  for (std::int64_t channels = 1; channels <= 200; channels += channels < 67 ? 1 : 19)
    for (const float scale : {1.0f, 0x1p-10f}) {  // the squares of small ones are subnormal
      const std::int64_t rows = channels % 17 + 1, outputs = channels % 37 + 1;
      const std::vector<float> x = halves(rows * channels, scale), weight = halves(channels * outputs, scale);
      std::vector<std::uint16_t> bits;
      std::transform(x.begin(), x.end(), std::back_inserter(bits), to_half);
      const std::vector<float> found = product(bits, weight, channels, outputs, 0.1f);
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t o = 0; o < outputs; ++o) {
          float expected = 0.1f;
          for (std::int64_t first = 0; first < channels; first += kStage) {
            long double sum = 0;
            for (std::int64_t i = first; i < std::min(first + kStage, channels); ++i)
              sum = rounded(sum + static_cast<long double>(x[static_cast<std::size_t>(r * channels + i)]) *
                                      static_cast<long double>(weight[static_cast<std::size_t>(i * outputs + o)]));
            expected += static_cast<float>(sum);
          }
          ASSERT_EQ(found[static_cast<std::size_t>(r * outputs + o)], expected)
              << rows << " rows, " << channels << " -> " << outputs << ", row " << r << ", output " << o;
        }
    }
}

TEST_F(NarrowF16, SumsOfOneStageAreInfiniteBeyond65504) {
  const auto sum = [&](std::int64_t channels) {
    const std::vector<std::uint16_t> x(static_cast<std::size_t>(channels), to_half(32));
    return product(x, std::vector<float>(static_cast<std::size_t>(channels), 32.0f), channels, 1, 1)[0];
  };
  EXPECT_EQ(sum(63), 64513.0f);
  EXPECT_TRUE(std::isinf(sum(64)));
}

TEST_F(NarrowF16, SumsOfManyStagesAreF32) {
  const std::vector<std::uint16_t> x(512, to_half(16));
  EXPECT_EQ(product(x, std::vector<float>(512, 16.0f), 512, 1, 1)[0], 131073.0f);
}

}  // namespace
}  // namespace voxshift::cpu
