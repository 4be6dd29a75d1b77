// Scales from histograms, against the least squared error that a search over the numbers themselves finds; and rows and
// weights rounded, in plain loops.
#include <gtest/gtest.h>
#include <voxshift/quantize/histogram.h>
#include <voxshift/quantize/rounding.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/narrow.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace voxshift {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

/// Sum of squared errors of rounding to n * scale with n of -127..127.
double error_of(const std::vector<float>& values, double scale) {
  double sum = 0;
  for (const float x : values) {
    const double n = std::clamp(std::nearbyint(x / scale), -127.0, 127.0);
    sum += (x - n * scale) * (x - n * scale);
  }
  return sum;
}

double least_error(const std::vector<float>& values) {
  double most = 0;
  for (const float x : values) most = std::max(most, std::abs(static_cast<double>(x)));
  double least = error_of(values, most / 127);
  for (double threshold = most; threshold > most / 64; threshold *= 0.99)
    least = std::min(least, error_of(values, threshold / 127));
  return least;
}

float scale_of(const std::vector<float>& values) {
  Histogram histogram;
  histogram.add(values.data(), static_cast<std::int64_t>(values.size()), 1);
  return histogram.best_scale();
}

std::vector<float> drawn(int kind, std::size_t count) {
  std::mt19937 random(static_cast<unsigned>(kind));
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  for (float& x : values) {
    x = kind % 3 == 0 ? normal(random) : kind % 3 == 1 ? uniform(random) : std::pow(normal(random), 3.0f);
    if (kind >= 3) x = std::max(x, 0.0f) * 1e-4f;  // as relu leaves them, and small
  }
  return values;
}

TEST(Histogram, ClipsWithTheLeastSquaredError) {
  for (int kind = 0; kind < 6; ++kind)
    for (const std::size_t count : {300u, 8000u}) {
      SCOPED_TRACE(kind);
      const std::vector<float> values = drawn(kind, count);
      EXPECT_LE(error_of(values, scale_of(values)), 1.03 * least_error(values));
    }
  // Far from the largest number where that is a stray one.
  std::vector<float> values = drawn(0, 200000);
  values.push_back(60);
  EXPECT_LT(scale_of(values) * 127, 32);
  EXPECT_GT(error_of(values, 60.0 / 127), 1.5 * error_of(values, scale_of(values)));
}

TEST(Histogram, DoesNotDependOnTheOrderOfNumbers) {
  std::vector<float> values = drawn(2, 5000);
  std::ranges::sort(values, {}, [](float x) { return std::abs(x); });
  const float growing = scale_of(values);
  std::ranges::reverse(values);
  EXPECT_EQ(scale_of(values), growing);
  Histogram strided;
  for (const std::int64_t first : {1, 0}) strided.add(values.data() + first, 2500, 2);
  EXPECT_EQ(strided.best_scale(), growing);
}

TEST(Histogram, LeavesOutWhatIsNotFiniteAndTakesZerosAndConstants) {
  Histogram histogram;
  EXPECT_EQ(histogram.best_scale(), 1);
  const std::vector<float> zeros(10, 0.0f), strays{kNan, kInfinity, -kInfinity, kNan};
  histogram.add(zeros.data(), 10, 1);
  histogram.add(strays.data(), 4, 1);
  EXPECT_EQ(histogram.best_scale(), 1);
  EXPECT_EQ(histogram.not_finite(), 4);
  const std::vector<float> constant(10, -2.54f);
  histogram.add(constant.data(), 10, 1);
  EXPECT_EQ(histogram.most(), 2.54f);
  EXPECT_NEAR(histogram.best_scale(), 0.02f, 1e-6f);
  for (const float extreme : {std::numeric_limits<float>::max(), std::numeric_limits<float>::denorm_min()}) {
    const float scale = scale_of({extreme, -extreme / 3});
    EXPECT_TRUE(std::isnormal(scale) && std::isnormal(1 / scale)) << scale;
  }
}

TEST(Rounding, RowsAreWhatI8Keeps) {
  std::vector<float> values{0,     -0.0f, 0.25f, 0.75f, -0.75f, 1.25f,     63.25f,
                            63.5f, 64,    100,   -64,   kNan,   kInfinity, -kInfinity};
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 40);
  while (values.size() < 4000) values.push_back(normal(random));
  const std::vector<float> scale{0.5f, 0.3f, 0.0071f};
  std::vector<float> rows(4 * values.size()), rounded(rows.size(), 77);
  for (std::size_t i = 0; i < values.size(); ++i)
    for (std::size_t c = 0; c < 3; ++c) rows[4 * i + c] = values[i];
  const auto count = static_cast<std::int64_t>(values.size());
  round_rows({rows.data(), 4, count, 3}, scale, {rounded.data(), 4, count, 3});
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      const float expected = static_cast<float>(to_i8(values[i], 1 / scale[c])) * scale[c];
      ASSERT_EQ(std::abs(rounded[4 * i + c]), std::abs(expected)) << values[i];
      ASSERT_EQ(rounded[4 * i + c] < 0, expected < 0) << values[i];
    }
    ASSERT_EQ(rounded[4 * i + 3], 77);
  }
}

TEST(Rounding, WeightsHaveAScaleForEveryOutput) {
  const std::int64_t taps = 9, in = 5, out = 4;
  Array weight({taps, in, out}, DType::kF32);
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (std::int64_t e = 0; e < weight.count(); ++e)
    weight.data<float>()[e] = e % out == 2 ? 0 : normal(random) * std::pow(10.0f, static_cast<float>(e % out));
  const Node node{"layer", "conv", {"x"}, {{"weight", "w"}}, {{"groups", std::int64_t{1}}}};
  Parameters parameters{{"w", weight}};
  const std::vector<float> scale{1, 0.5f, 4, 0.1f, 2};
  for (const WeightScale how : {WeightScale::kMaximum, WeightScale::kLeastSquares}) {
    const RoundedWeight made = rounded_weight(node, parameters, scale, how);
    ASSERT_EQ(made.multiplier.size(), 4u);
    EXPECT_EQ(made.multiplier[2], 1);
    for (std::size_t o = 0; o < 4; ++o) {
      const float m = made.multiplier[o];
      std::vector<float> products;
      for (std::size_t t = 0; t < 9; ++t)
        for (std::size_t i = 0; i < 5; ++i) {
          const std::size_t at = (t * 5 + i) * 4 + o;
          const float value = weight.data<float>()[at] * scale[i];
          products.push_back(value);
          const auto n = static_cast<float>(made.whole.data<std::int8_t>()[at]);
          EXPECT_EQ(n, std::clamp(std::nearbyint(value * (1 / m)), -127.0f, 127.0f));
          const float rounded = n * m / scale[i];
          EXPECT_NEAR(made.rounded.data<float>()[at], rounded, std::abs(rounded) * 1e-6f);
        }
      if (o == 2) continue;
      double most = 0;
      for (const float x : products) most = std::max(most, std::abs(static_cast<double>(x)));
      if (how == WeightScale::kMaximum) {
        EXPECT_NEAR(m * 127 / most, 1, 1e-6);
      } else {
        EXPECT_LE(error_of(products, m), 1.03 * least_error(products));
      }
    }
  }
  weight.data<float>()[7] = kInfinity;
  try {
    rounded_weight(node, parameters, scale);
    FAIL() << "infinite weights were taken";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("layer"), std::string::npos);
  }
}

}  // namespace
}  // namespace voxshift
