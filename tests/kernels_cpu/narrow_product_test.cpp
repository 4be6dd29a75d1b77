// Every table of narrow products that this CPU has, against plain loops.
#include <gtest/gtest.h>
#include <voxshift/kernels_cpu/narrow_product.h>
#include <voxshift/kernels_cpu/packed_narrow.h>
#include <voxshift/tensor/half.h>
#include <voxshift/tensor/runtime.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "cpu_targets.h"

namespace voxshift::cpu {
namespace {

const Context kContext{Device::cpu(), nullptr, 1};

/// Memory whose first byte lies at a multiple of 64.
class Aligned {
 public:
  explicit Aligned(std::int64_t bytes)
      : bytes_(static_cast<std::size_t>(bytes)), memory_(runtime().allocate(Device::cpu(), bytes_)) {
    std::memset(memory_, 0x5A, bytes_);
  }
  ~Aligned() { runtime().free(Device::cpu(), memory_, bytes_); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;

  std::byte* data() const { return static_cast<std::byte*>(memory_); }
  template <class T>
  T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  std::size_t bytes_;
  void* memory_;
};

struct Case {
  std::int64_t rows, channels, outputs;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (std::int64_t c = 1; c <= 67; ++c) all.push_back({c % 20 + 1, c, 68 - c});
  for (std::int64_t rows = 1; rows <= 50; ++rows) all.push_back({rows, 9, rows % 7 * 16 + 1});
  all.push_back({97, 256, 128});
  return all;
}

/// Numbers of a dtype in rows that lie a few numbers apart, picked by index, and the f32 that they are.
template <class T, class Make, class Value>
class Rows {
 public:
  Rows(const Case& c, std::mt19937& random, const Make& make, const Value& value)
      : stride_(c.channels + 3), numbers(static_cast<std::size_t>((3 * c.rows) * stride_)), value_(value) {
    for (T& number : numbers) number = make(random);
    for (std::int64_t r = 0; r < c.rows; ++r) picked.push_back(static_cast<std::int32_t>((7 * r + 1) % (3 * c.rows)));
  }
  auto at(std::int64_t r, std::int64_t i) const {
    return value_(numbers[static_cast<std::size_t>(picked[static_cast<std::size_t>(r)] * stride_ + i)]);
  }
  NarrowRows staged(const Case& c, const Aligned& to, std::int64_t stride) const {
    return {reinterpret_cast<const std::byte*>(numbers.data()),
            stride_ * static_cast<std::int64_t>(sizeof(T)),
            picked.data(),
            c.rows,
            c.channels,
            to.data(),
            stride};
  }

 private:
  std::int64_t stride_;

 public:
  std::vector<T> numbers;
  std::vector<std::int32_t> picked;

 private:
  Value value_;
};

/// Adds the product to sums that hold `start` everywhere; row r goes to row places[r] of twice as many.
template <class Sum, class Source>
std::vector<Sum> product(const NarrowProduct& table, const Case& c, const Source& source, const PackedNarrow& weights,
                         Sum start, const std::vector<std::int32_t>& places) {
  const std::int64_t stride = table.row_bytes(c.channels), sums_stride = weights.panels() * kPanel;
  const Aligned staged(c.rows * stride), scratch(table.scratch_bytes(c.channels) + 64),
      sums(2 * c.rows * sums_stride * 4);
  table.stage(source.staged(c, staged, stride));
  std::fill_n(sums.as<Sum>(), 2 * c.rows * sums_stride, start);
  NarrowTile tile{
      staged.data(),    stride,         c.rows,     table.groups(c.channels), weights.offset(0), weights.panel_bytes(),
      weights.panels(), sums.as<Sum>(), sums_stride};
  tile.sum_rows = places.data();
  tile.first_sum_row = 5;
  tile.scratch = scratch.data();
  table.multiply(tile);
  std::vector<Sum> result;
  for (std::int64_t r = 0; r < 2 * c.rows; ++r)
    result.insert(result.end(), sums.as<Sum>() + r * sums_stride, sums.as<Sum>() + r * sums_stride + c.outputs);
  return result;
}

/// Every other row, from 5 on.
std::vector<std::int32_t> other_rows(std::int64_t rows) {
  std::vector<std::int32_t> places;
  for (std::int64_t r = 0; r < rows; ++r) places.push_back(static_cast<std::int32_t>(5 + 2 * r + 1));
  return places;
}

void check_i8(const NarrowProduct& table, const Case& c, bool extreme) {
  std::mt19937 random(static_cast<unsigned>(c.channels * 100 + c.rows));
  std::uniform_int_distribution<int> any(-127, 127), sign(0, 1);
  const auto make = [&](std::mt19937& r) { return static_cast<std::int8_t>(extreme ? 254 * sign(r) - 127 : any(r)); };
  const Rows<std::int8_t, decltype(make), int (*)(std::int8_t)> rows(
      c, random, make, +[](std::int8_t x) { return int{x}; });
  std::vector<std::int8_t> weight(static_cast<std::size_t>(c.channels * c.outputs));
  for (auto& w : weight) w = make(random);
  const std::vector<float> multiplier(static_cast<std::size_t>(c.outputs), 1.0f);
  const PackedNarrow packed(kContext, table, QuantizedWeights{weight.data(), multiplier.data()}, 1, c.channels,
                            c.outputs);
  const auto found = product<std::int32_t>(table, c, rows, packed, 1000, other_rows(c.rows));
  for (std::int64_t r = 0; r < 2 * c.rows; ++r)
    for (std::int64_t o = 0; o < c.outputs; ++o) {
      std::int32_t expected = 1000;
      for (std::int64_t i = 0; r % 2 == 1 && i < c.channels; ++i)
        expected += rows.at(r / 2, i) * weight[static_cast<std::size_t>(i * c.outputs + o)];
      ASSERT_EQ(found[static_cast<std::size_t>(r * c.outputs + o)], expected)
          << table.name << ", " << c.rows << " rows, " << c.channels << " -> " << c.outputs << ", row " << r
          << ", output " << o;
    }
}

void check_floats(const NarrowProduct& table, const Case& c) {
  const bool half = table.dtype == DType::kF16;
  std::mt19937 random(static_cast<unsigned>(c.channels * 100 + c.rows));
  std::normal_distribution<float> normal;
  const auto round = half ? to_half : to_bfloat;
  const auto value = half ? from_half : from_bfloat;
  const auto make = [&](std::mt19937& r) { return round(normal(r)); };
  const Rows<std::uint16_t, decltype(make), float (*)(std::uint16_t)> rows(c, random, make, value);
  std::vector<float> weight(static_cast<std::size_t>(c.channels * c.outputs));
  for (auto& w : weight) w = normal(random);
  const PackedNarrow packed(kContext, table, weight.data(), 1, c.channels, c.outputs);
  const auto found = product<float>(table, c, rows, packed, 0.5f, other_rows(c.rows));
  for (std::int64_t r = 0; r < 2 * c.rows; ++r)
    for (std::int64_t o = 0; o < c.outputs; ++o) {
      double expected = 0.5, size = 0.5;
      for (std::int64_t i = 0; r % 2 == 1 && i < c.channels; ++i) {
        const double term =
            double{rows.at(r / 2, i)} * double{value(round(weight[static_cast<std::size_t>(i * c.outputs + o)]))};
        expected += term;
        size += std::abs(term);
      }
      const double error = std::abs(found[static_cast<std::size_t>(r * c.outputs + o)] - expected);
      ASSERT_LE(error, static_cast<double>(c.channels + 1) * 0x1p-24 * size)
          << table.name << ", " << c.rows << " rows, " << c.channels << " -> " << c.outputs << ", row " << r
          << ", output " << o;
    }
}

TEST(NarrowProduct, EveryTableIsEqualToPlainLoops) {
  for (const NarrowProduct* table : narrow_products())
    for (const Case& c : cases()) {
      SCOPED_TRACE(table->name);
      if (table->dtype == DType::kI8) {
        check_i8(*table, c, false);
        check_i8(*table, c, true);
      } else if (table->name != std::string("NEON f16")) {  // whose sums are f16: narrow_f16_test.cpp
        check_floats(*table, c);
      }
      if (HasFatalFailure()) return;
    }
}

TEST(NarrowProduct, RowsBesideEachOtherAreStagedAndSummedWithoutLists) {
  for (const NarrowProduct* table : narrow_products()) {
    if (table->dtype != DType::kI8) continue;
    const std::vector<std::int8_t> numbers = {1, -2, 3, 127, -127, 4}, weight = {5, -127, 7};
    const std::vector<float> multiplier = {1};
    const PackedNarrow packed(kContext, *table, QuantizedWeights{weight.data(), multiplier.data()}, 1, 3, 1);
    const std::int64_t stride = table->row_bytes(3);
    const Aligned staged(2 * stride), sums(2 * 16 * 4);
    table->stage({reinterpret_cast<const std::byte*>(numbers.data()), 3, nullptr, 2, 3, staged.data(), stride});
    std::memset(sums.data(), 0, 2 * 16 * 4);
    table->multiply(
        {staged.data(), stride, 2, table->groups(3), packed.offset(0), packed.panel_bytes(), 1, sums.data(), 16});
    EXPECT_EQ(sums.as<std::int32_t>()[0], 5 + 254 + 21) << table->name;
    EXPECT_EQ(sums.as<std::int32_t>()[16], 635 + 127 * 127 + 28) << table->name;
  }
}

/// Small whole numbers of any dtype, and weights of the same.
PackedNarrow small_weights(const NarrowProduct& table, std::int64_t channels, std::int64_t outputs) {
  std::vector<float> weight(static_cast<std::size_t>(channels * outputs));
  for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(i * 5 % 7) - 3;
  if (table.dtype != DType::kI8) return {kContext, table, weight.data(), 1, channels, outputs};
  const std::vector<std::int8_t> whole(weight.begin(), weight.end());
  const std::vector<float> multiplier(static_cast<std::size_t>(outputs), 1.0f);
  return {kContext, table, QuantizedWeights{whole.data(), multiplier.data()}, 1, channels, outputs};
}

TEST(NarrowProduct, FreshSumsAreThoseThatBeginWithZero) {
  constexpr std::int64_t kChannels = 70, kOutputs = 70, kSums = 80;
  for (const NarrowProduct* table : narrow_products()) {
    if (!table->fresh) continue;
    const PackedNarrow packed = small_weights(*table, kChannels, kOutputs);
    const std::int64_t stride = table->row_bytes(kChannels);
    const Aligned numbers(17 * kChannels * 2), staged(17 * stride), scratch(table->scratch_bytes(kChannels) + 64);
    const Aligned begun(17 * kSums * 4), fresh(17 * kSums * 4);
    for (std::int64_t i = 0; i < 17 * kChannels; ++i) {
      const auto number = static_cast<float>(i * 3 % 11 - 5);
      if (table->dtype == DType::kI8) {
        numbers.as<std::int8_t>()[i] = static_cast<std::int8_t>(number);
      } else {
        numbers.as<std::uint16_t>()[i] = table->dtype == DType::kF16 ? to_half(number) : to_bfloat(number);
      }
    }
    const std::int64_t row_bytes = kChannels * (table->dtype == DType::kI8 ? 1 : 2);
    for (std::int64_t rows = 1; rows <= 17; ++rows) {
      table->stage({numbers.data(), row_bytes, nullptr, rows, kChannels, staged.data(), stride});
      std::memset(begun.data(), 0, 17 * kSums * 4);
      std::memset(fresh.data(), 0x5A, 17 * kSums * 4);
      NarrowTile tile{
          staged.data(),   stride,       rows, table->groups(kChannels), packed.offset(0), packed.panel_bytes(),
          packed.panels(), begun.data(), kSums};
      tile.scratch = scratch.data();
      table->multiply(tile);
      tile.sums = fresh.data();
      tile.fresh = true;
      table->multiply(tile);
      ASSERT_EQ(std::memcmp(begun.data(), fresh.data(), static_cast<std::size_t>(rows * kSums * 4)), 0)
          << table->name << ", " << rows << " rows";
    }
  }
}

TEST(NarrowProduct, WeightsOfMoreProductsThanInt32SumsAreRefused) {
  const std::int64_t inputs = 133145;
  const std::vector<std::int8_t> weight(static_cast<std::size_t>(inputs));
  const float multiplier = 1;
  try {
    const PackedNarrow packed(kContext, narrow_product(DType::kI8), QuantizedWeights{weight.data(), &multiplier}, 1,
                              inputs, 1);
    ADD_FAILURE() << "taken";
  } catch (const InvalidArgument& error) {
    EXPECT_STREQ(error.what(),
                 "[cpu] weight of i8 expects at most 133144 numbers per output, whose products int32 sums, found 1 "
                 "offsets of 133145 channels");
  }
}

TEST(NarrowProduct, PicksTheFirstThatIsAllowed) {
  const std::string wanted = wanted_cpu_target();
  if (!wanted.empty() && !cpu_has(wanted)) GTEST_SKIP() << "this CPU has no " << wanted;
  for (const DType dtype : {DType::kI8, DType::kBF16, DType::kF16}) {
    const NarrowProduct& picked = narrow_product(dtype);
    EXPECT_EQ(picked.dtype, dtype);
    const std::string name = picked.name;
    if (wanted == "sse4" || wanted == "avx2") {
      EXPECT_EQ(name, dtype != DType::kI8 ? "f32" : wanted == "sse4" ? "SSE4" : "AVX2");
    }
    if (wanted.empty())
      for (const NarrowProduct* table : narrow_products())
        if (table->dtype == dtype) {
          EXPECT_EQ(&picked, table) << "the fastest is " << table->name;
          break;
        }
  }
}

}  // namespace
}  // namespace voxshift::cpu
