// Mixtures, reductions and groups of rows of i8, f16, bf16 and f32, every view of a dtype of its own, on the CPU: in
// plain loops.
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/tensor/kernels.h>

#include <cmath>
#include <random>

#include "narrow_rows.h"

namespace voxshift {
namespace {

class NarrowPointsTest : public NarrowTest {
 protected:
  static Rows filled(DType dtype, std::int64_t count, std::int64_t channels, unsigned seed) {
    Rows rows(dtype, count, channels, seed);
    rows.fill(seed, true);
    return rows;
  }
};

TEST_F(NarrowPointsTest, Mixtures) {
  constexpr std::int64_t kRows = 20;
  std::mt19937 random(1);
  for (const std::int64_t k : {1, 3, 8})
    for (std::int64_t channels = 1; channels <= 67; ++channels)
      for (const DType from : kNumberTypes)
        for (const DType to : kNumberTypes) {
          if ((channels + k) % 4 != 0 && channels % 16 > 1) continue;
          std::vector<std::int32_t> indices;
          std::vector<float> weights;
          for (std::int64_t j = 0; j < kRows * k; ++j) {
            indices.push_back(static_cast<std::int32_t>(random() % 13) - 1);
            weights.push_back(random() % 5 == 0 ? 0.0f : static_cast<float>(random() % 1000) / 1000);
          }
          const Rows in = filled(from, 12, channels, 1);
          Rows out(to, kRows, channels, 2);
          cpu::point_voxel_kernels().interpolate(context(), in.view(), indices.data(), weights.data(), k, out.view());
          const auto sum = [&](std::int64_t i, std::int64_t c, auto total, const auto& add) {
            for (auto j = static_cast<std::size_t>(i * k); j < static_cast<std::size_t>((i + 1) * k); ++j)
              if (indices[j] >= 0 && weights[j] != 0) total = add(total, weights[j], in.value(indices[j], c));
            return total;
          };
          SCOPED_TRACE(std::string(name(from)) + " -> " + name(to) + ", " + std::to_string(channels));
          if (from == DType::kI8 || to == DType::kI8) {
            expect_rows(out, [&](std::int64_t i, std::int64_t c) {
              return sum(i, c, 0.0f, [](float t, float w, float x) { return plus(t, times(w, x)); });
            });
          } else {
            expect_near_rows(
                out,
                [&](std::int64_t i, std::int64_t c) {
                  return sum(i, c, 0.0, [](double t, double w, double x) { return t + w * x; });
                },
                [&](std::int64_t i, std::int64_t c) {
                  return sum(i, c, 0.0, [](double t, double w, double x) { return t + std::abs(w * x); });
                },
                static_cast<double>(k));
          }
        }
}

// Rows of a segment in order; of more than 256 rows partial sums; of i8 whole numbers.
float reduced(const Rows& in, const std::vector<std::int32_t>& segment, std::int32_t s, Reduce reduce, std::int64_t c) {
  constexpr int kPartial = 256;
  float result = 0, partial = 0, count = 0;
  double whole = 0;
  const auto members = std::count(segment.begin(), segment.end(), s);
  for (std::size_t i = 0; i < segment.size(); ++i) {
    if (segment[i] != s) continue;
    const auto row = static_cast<std::int64_t>(i);
    const float x = in.value(row, c);
    whole += in.number(row, c);
    if (reduce == Reduce::kFirst) {
      if (count++ == 0) result = x;
      continue;
    }
    if (reduce == Reduce::kMax) {
      result = count == 0 || x > result ? x : result;
    } else if (members <= kPartial) {
      result = count == 0 ? x : plus(result, x);
    } else {
      partial = static_cast<int>(count) % kPartial == 0 ? x : plus(partial, x);
      if (static_cast<int>(count) % kPartial == kPartial - 1 || count + 1 == static_cast<float>(members))
        result = plus(result, partial);
    }
    ++count;
  }
  const bool sums = reduce == Reduce::kSum || reduce == Reduce::kMean;
  if (sums && in.dtype() == DType::kI8) result = times(static_cast<float>(whole), in.scales().scale[c]);
  return reduce == Reduce::kMean && count > 0 ? over(result, count) : result;
}

TEST_F(NarrowPointsTest, Reductions) {
  std::vector<std::int32_t> segment;  // some rows in none, segments of one row, of none, and a large one
  std::mt19937 random(2);
  for (int i = 0; i < 60; ++i) segment.push_back(static_cast<std::int32_t>(random() % 12) - 1);
  std::vector<std::int32_t> large = segment;
  for (int i = 0; i < 700; ++i) large.push_back(i % 10 == 0 ? 3 : 5);
  for (std::int64_t channels = 1; channels <= 67; ++channels)
    for (const DType from : kNumberTypes)
      for (const DType to : kNumberTypes)
        for (const Reduce reduce : {Reduce::kFirst, Reduce::kSum, Reduce::kMean, Reduce::kMax}) {
          const auto& segments = channels % 17 == 3 ? large : segment;
          const Rows in = filled(from, static_cast<std::int64_t>(segments.size()), channels, 1);
          Rows out(to, 14, channels, channels % 2 == 0 ? 1 : 2);
          const int threads = channels % 3 == 0 ? 2 : 1;
          cpu::coordinate_kernels().reduce(context(threads), in.view(), segments.data(), reduce, out.view());
          SCOPED_TRACE(std::string(name(from)) + " -> " + name(to) + ", " + std::to_string(channels));
          expect_rows(out, [&](std::int64_t s, std::int64_t c) {
            return reduced(in, segments, static_cast<std::int32_t>(s), reduce, c);
          });
        }
}

TEST_F(NarrowPointsTest, MaximaOfWhatIsNoNumber) {
  const std::vector<std::int32_t> segment{0, 0, 0};
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const std::uint16_t nan = dtype == DType::kF16 ? 0x7E00 : 0x7FC0, one = dtype == DType::kF16 ? 0x3C00 : 0x3F80;
    const std::vector<std::uint16_t> in{one, nan, 0, nan, one, one, 0x8000, nan, 0};
    std::vector<std::uint16_t> out(3);
    cpu::coordinate_kernels().reduce(context(), {in.data(), 3, 3, 3, dtype}, segment.data(), Reduce::kMax,
                                     {out.data(), 3, 1, 3, dtype});
    EXPECT_EQ(out[0] & 0x7FFF, nan);
    EXPECT_EQ(out[1] & 0x7FFF, nan);
    EXPECT_EQ(out[2], one);
  }
}

TEST_F(NarrowPointsTest, Groups) {
  const Rows points = filled(DType::kF32, 6, 3, 1), centers = filled(DType::kF32, 2, 3, 2);
  const std::vector<std::int32_t> indices{5, 0, -1, 2, 2, 4};
  for (const DType from : kNumberTypes)
    for (const DType to : kNumberTypes)
      for (const std::int64_t channels : {0, 1, 7, 16, 35}) {
        const Rows features = filled(from, 6, channels, 3);
        Rows out(to, 6, 3 + channels, 4);
        cpu::point_voxel_kernels().group(context(), points.view(), centers.view(), indices.data(), 3,
                                         channels > 0 ? features.view() : ConstRowView(), out.view());
        expect_rows(out, [&](std::int64_t j, std::int64_t c) {
          const std::int32_t k = indices[static_cast<std::size_t>(j)];
          if (k < 0) return 0.0f;
          return c < 3 ? plus(points.value(k, c), -centers.value(j / 3, c)) : features.value(k, c - 3);
        });
      }
}

TEST_F(NarrowPointsTest, Cylinders) {
  for (const DType from : kNumberTypes)
    for (const DType to : kNumberTypes) {
      const Rows in = filled(from, 9, 4, 1);
      Rows out(to, 9, 3, 2), exact(DType::kF32, 9, 3);
      cpu::point_voxel_kernels().cylindrical(context(), in.view(), out.view());
      cpu::point_voxel_kernels().cylindrical(context(), in.view(), exact.view());
      for (std::int64_t i = 0; i < 9; ++i) {
        ASSERT_NEAR(exact.value(i, 0), std::hypot(in.value(i, 0), in.value(i, 1)), 1e-5);
        ASSERT_NEAR(exact.value(i, 1), std::atan2(in.value(i, 1), in.value(i, 0)), 1e-6);
        ASSERT_EQ(exact.value(i, 2), in.value(i, 2));
      }
      expect_rows(out, [&](std::int64_t i, std::int64_t c) { return exact.value(i, c); });
    }
}

}  // namespace
}  // namespace voxshift
