// Ops on rows of i8, f16, bf16 and f32, every view of a dtype of its own, on the CPU: in plain loops that round after
// every operation, equal to the bit.
#include "narrow_rows.h"

#include <voxshift/rows/kernels.h>

#include <algorithm>
#include <cmath>

namespace voxshift {
namespace {

using Kind = Activation::Kind;

class NarrowRowsTest : public NarrowTest {
 protected:
  static const RowKernels& kernels() { return cpu::row_kernels(); }

  static Rows filled(DType dtype, std::int64_t count, std::int64_t channels, unsigned seed) {
    Rows rows(dtype, count, channels, seed);
    rows.fill(seed, true);
    return rows;
  }

  static std::vector<float> factors(std::int64_t channels, unsigned seed) {
    const Rows rows = filled(DType::kF32, 1, channels, seed);
    std::vector<float> result;
    for (std::int64_t c = 0; c < channels; ++c) result.push_back(rows.value(0, c));
    return result;
  }
};

float act(const Activation& activation, float x) {
  switch (activation.kind) {
    case Kind::kNone:
      return x;
    case Kind::kRelu:
      return x < 0 ? 0 : x;
    case Kind::kRelu6:
      return x < 0 ? 0 : x > 6 ? 6 : x;
    case Kind::kLeakyRelu:
      return x > 0 ? x : times(x, activation.slope);
    case Kind::kFunction:
      return times(x, over(std::min(std::max(plus(x, 3), 0.0f), 6.0f), 6));
  }
  return x;
}

const Activation kActivations[] = {{},
                                   {Kind::kRelu, 0},
                                   {Kind::kRelu6, 0},
                                   {Kind::kLeakyRelu, 0.3f},
                                   {Kind::kFunction, 0, {Elementwise::Kind::kHardSwish}}};

TEST_F(NarrowRowsTest, AffineOfEveryDtype) {
  std::size_t combination = 0;
  for (const DType in : kNumberTypes)
    for (const DType added : kNumberTypes)
      for (const DType out : kNumberTypes)
        for (std::int64_t channels = 1; channels <= 67; ++channels, ++combination) {
          if (combination % 3 != 0 && channels != 67) continue;
          const Activation& activation = kActivations[combination % 5];
          const Rows x = filled(in, 4, channels, 1), residual = filled(added, 4, channels, 2);
          const auto scale = factors(channels, 3), shift = factors(channels, 4);
          const bool scales = combination % 2 == 0, shifts = combination % 4 < 3, adds = combination % 7 < 5;
          Rows y(out, 4, channels, 5);
          kernels().affine(context(), x.view(), scales ? scale.data() : nullptr, shifts ? shift.data() : nullptr,
                           adds ? residual.view() : ConstRowView(), activation, y.view());
          SCOPED_TRACE(std::string(name(in)) + " + " + name(added) + " -> " + name(out));
          expect_rows(y, [&](std::int64_t i, std::int64_t c) {
            float v = x.value(i, c);
            if (scales) v = times(v, scale[static_cast<std::size_t>(c)]);
            if (shifts) v = plus(v, shift[static_cast<std::size_t>(c)]);
            if (adds) v = plus(v, residual.value(i, c));
            return act(activation, v);
          });
        }
}

// A whole f32 row of a function passes through in pieces.
TEST_F(NarrowRowsTest, FunctionsOfWideRows) {
  for (const DType dtype : kNumberTypes) {
    const Rows x = filled(dtype, 3, 1030, 1);
    Rows y(DType::kI8, 3, 1030, 2), z(DType::kF16, 3, 1030, 2);
    const Elementwise f{Elementwise::Kind::kHardSwish};
    kernels().apply(context(), f, x.view(), y.view());
    kernels().apply(context(), f, x.view(), z.view());
    const auto expected = [&](std::int64_t i, std::int64_t c) { return act(kActivations[4], x.value(i, c)); };
    expect_rows(y, expected);
    expect_rows(z, expected);
  }
}

TEST_F(NarrowRowsTest, InPlace) {
  for (const DType dtype : kNumberTypes) {
    Rows x = filled(dtype, 5, 37, 1);
    const Rows before = x;
    kernels().affine(context(), std::as_const(x).view(), nullptr, nullptr, std::as_const(x).view(), {Kind::kRelu, 0},
                     x.view());
    expect_rows(x, [&](std::int64_t i, std::int64_t c) {
      return act({Kind::kRelu, 0}, plus(before.value(i, c), before.value(i, c)));
    });
  }
}

TEST_F(NarrowRowsTest, Products) {
  for (const DType a : kNumberTypes)
    for (const DType b : kNumberTypes)
      for (const DType out : kNumberTypes)
        for (const std::int64_t channels : {1, 7, 16, 33, 67}) {
          const Rows x = filled(a, 3, channels, 1), y = filled(b, 3, channels, 2);
          Rows z(out, 3, channels, 3);
          kernels().multiply(context(), x.view(), y.view(), z.view());
          expect_rows(z, [&](std::int64_t i, std::int64_t c) { return times(x.value(i, c), y.value(i, c)); });
        }
}

TEST_F(NarrowRowsTest, MatricesThatArePicked) {
  const std::vector<std::int32_t> picked{1, -1, 0, 1};
  for (const DType a : kNumberTypes)
    for (const DType b : kNumberTypes)
      for (const DType out : kNumberTypes)
        for (const std::int64_t channels : {1, 5, 16, 33}) {
          const std::int64_t results = channels + 2;
          const Rows x = filled(a, 4, channels, 1), matrices = filled(b, 2, channels * results, 2);
          Rows y(out, 4, results, 3);
          kernels().matmul_picked(context(), x.view(), matrices.view(), picked.data(), y.view());
          const auto factor = [&](std::int64_t i, std::int64_t c, std::int64_t d) {
            return matrices.value(picked[static_cast<std::size_t>(i)], c * results + d);
          };
          const auto terms = [&](std::int64_t i) { return picked[static_cast<std::size_t>(i)] < 0 ? 0 : channels; };
          if (a == DType::kI8 || b == DType::kI8 || out == DType::kI8) {
            expect_rows(y, [&](std::int64_t i, std::int64_t d) {
              float sum = 0;
              for (std::int64_t c = 0; c < terms(i); ++c) sum = plus(sum, times(x.value(i, c), factor(i, c, d)));
              return sum;
            });
            continue;
          }
          const auto sum = [&](std::int64_t i, std::int64_t d, bool sizes) {
            double total = 0;
            for (std::int64_t c = 0; c < terms(i); ++c) {
              const double term = static_cast<double>(x.value(i, c)) * static_cast<double>(factor(i, c, d));
              total += sizes ? std::abs(term) : term;
            }
            return total;
          };
          expect_near_rows(
              y, [&](std::int64_t i, std::int64_t d) { return sum(i, d, false); },
              [&](std::int64_t i, std::int64_t d) { return sum(i, d, true); }, static_cast<double>(channels));
        }
}

TEST_F(NarrowRowsTest, RowsThatAreGathered) {
  const std::vector<std::int32_t> rows{3, -1, 0, 0, 4};
  for (const DType in : kNumberTypes)
    for (const DType out : kNumberTypes)
      for (std::int64_t channels = 1; channels <= 67; ++channels) {
        const Rows x = filled(in, 5, channels, 1);
        for (const unsigned scales : {1u, 2u}) {  // those of x, and others
          Rows y(out, 5, channels, scales);
          kernels().gather(context(), x.view(), rows.data(), y.view());
          expect_rows(y, [&](std::int64_t i, std::int64_t c) {
            const std::int32_t from = rows[static_cast<std::size_t>(i)];
            return from < 0 ? 0.0f : x.value(from, c);
          });
        }
      }
}

// A slice of the columns takes its scales along.
TEST_F(NarrowRowsTest, SlicesOfColumns) {
  const Rows x = filled(DType::kI8, 4, 40, 1);
  Rows y(DType::kI8, 4, 40, 2);
  y.fill(3);
  Rows expected = y;
  kernels().affine(context(), x.view().columns(5, 19), nullptr, nullptr, {}, {}, y.view().columns(11, 19));
  for (std::int64_t i = 0; i < 4; ++i)
    for (std::int64_t c = 0; c < 40; ++c) {
      if (c >= 11 && c < 30) expected.set(i, c, stored(y, c, x.value(i, c - 6)));
      expect_number(y, i, c, expected.number(i, c));
    }
}

TEST_F(NarrowRowsTest, LabelsAreTheLowestMaximum) {
  for (const DType dtype : kNumberTypes)
    for (const std::int64_t channels : {1, 3, 19, 64, 200}) {
      Rows x = filled(dtype, 40, channels, 1);
      x.set(0, channels / 2, x.number(0, channels - 1));
      std::vector<std::uint8_t> labels(40);
      kernels().argmax(context(), std::as_const(x).view(), labels.data());
      for (std::int64_t i = 0; i < 40; ++i) {
        std::int64_t best = 0;
        for (std::int64_t c = 1; c < channels; ++c)
          if (x.value(i, c) > x.value(i, best)) best = c;
        ASSERT_EQ(labels[static_cast<std::size_t>(i)], best) << "row " << i << ", " << name(dtype);
      }
    }
}

TEST_F(NarrowRowsTest, NumbersThatSelect) {
  const std::vector<std::int32_t> segment{0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 5, 5};
  for (const DType dtype : kNumberTypes) {
    const Rows x = filled(dtype, 12, 2, 1);
    std::vector<std::uint8_t> above(12), top(12);
    const float threshold = x.value(4, 0);
    kernels().above(context(), x.view(), threshold, above.data());
    kernels().top(context(), x.view(), segment.data(), 2, top.data());
    for (std::size_t i = 0; i < 12; ++i) {
      const auto number = [&](std::size_t j) { return x.value(static_cast<std::int64_t>(j), 0); };
      std::size_t before = 0;
      for (std::size_t j = 0; j < 12; ++j)
        before += segment[j] == segment[i] && (number(j) > number(i) || (number(j) == number(i) && j < i));
      EXPECT_EQ(above[i], number(i) > threshold) << i;
      EXPECT_EQ(top[i], before < 2) << i << ", " << name(dtype);
    }
  }
}

// Functions of a row are those of its numbers as f32: of an f32 copy the same bits come out.
TEST_F(NarrowRowsTest, FunctionsOfRows) {
  using F = RowFunction::Kind;
  for (const DType in : kNumberTypes)
    for (const DType out : kNumberTypes)
      for (const F kind : {F::kSoftmax, F::kLogSoftmax, F::kLayerNorm, F::kL2Norm, F::kPrelu}) {
        const Rows x = filled(in, 6, 21, 1);
        const auto weight = factors(21, 2), bias = factors(21, 3);
        const RowFunction f{kind, 1e-3f, weight.data(), bias.data()};
        Rows copy(DType::kF32, 6, 21), result(DType::kF32, 6, 21), y(out, 6, 21, 4);
        for (std::int64_t i = 0; i < 6; ++i)
          for (std::int64_t c = 0; c < 21; ++c) copy.set(i, c, x.value(i, c));
        kernels().apply(context(), f, std::as_const(copy).view(), result.view());
        kernels().apply(context(), f, x.view(), y.view());
        expect_rows(y, [&](std::int64_t i, std::int64_t c) { return result.value(i, c); });
      }
}

TEST_F(NarrowRowsTest, ScoresOfLogits) {
  const std::vector<std::int32_t> picked{2, 0, 2}, places{1, 3, 0};
  for (const DType dtype : kNumberTypes) {
    const Rows x = filled(dtype, 3, 19, 1);
    std::vector<float> scores(4 * 19, -1.0f);
    kernels().spread_scores(context(), x.view(), picked.data(), places.data(), 3, scores.data());
    for (std::size_t i = 0; i < 3; ++i) {
      double sum = 0;
      for (std::int64_t c = 0; c < 19; ++c) sum += std::exp(static_cast<double>(x.value(picked[i], c)));
      for (std::int64_t c = 0; c < 19; ++c)
        EXPECT_NEAR(scores[static_cast<std::size_t>(places[i] * 19 + c)],
                    std::exp(static_cast<double>(x.value(picked[i], c))) / sum, 1e-5);
    }
    for (std::size_t c = 0; c < 19; ++c) EXPECT_EQ(scores[2 * 19 + c], -1.0f);
  }
}

TEST_F(NarrowRowsTest, AnyNumberOfThreads) {
  const Rows x = filled(DType::kI8, 9000, 13, 1);
  const auto scale = factors(13, 2);
  Rows one(DType::kI8, 9000, 13, 3);
  kernels().affine(context(), x.view(), scale.data(), nullptr, x.view(), kActivations[4], one.view());
  for (const int threads : {2, 3}) {
    Rows y(DType::kI8, 9000, 13, 3);
    kernels().affine(context(threads), x.view(), scale.data(), nullptr, x.view(), kActivations[4], y.view());
    for (std::int64_t i = 0; i < 9000; ++i)
      for (std::int64_t c = 0; c < 13; ++c) expect_number(y, i, c, one.number(i, c));
  }
}

}  // namespace
}  // namespace voxshift
