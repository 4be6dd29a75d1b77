// Masks of active pixels: carried through windows, joined, listed, and committed.
#include <gtest/gtest.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/video/kernels.h>

#include <limits>
#include <random>

#include "image_fixture.h"

namespace voxshift {
namespace {

using Mask = std::vector<std::uint8_t>;
using oracle::Matrix;
using oracle::Square;

// About one active pixel in `sparsity`; 0: none.
Mask random_mask(std::int64_t pixels, unsigned sparsity, unsigned seed) {
  std::mt19937 random(seed);
  Mask mask(static_cast<std::size_t>(pixels));
  for (auto& m : mask) m = sparsity > 0 && random() % sparsity == 0 ? 1 : 0;
  return mask;
}

std::int64_t active_of(const Mask& mask) { return std::count(mask.begin(), mask.end(), 1); }

class PixelMasksTest : public DeviceTest {
 protected:
  Context context() { return {device(), nullptr, num_threads(), &scratch_}; }
  const VideoKernels& kernels() const { return video_kernels(device()); }
  Array mask_of(const Mask& values) const {
    return Array::from(values, {static_cast<std::int64_t>(values.size())}).to(device());
  }
  // Of `pixels` pixels, filled with what a kernel must overwrite.
  Array used_mask(std::int64_t pixels) const { return mask_of(Mask(static_cast<std::size_t>(pixels), 7)); }

  template <class Case>
  void for_masks(const Case& check_case) {
    for (const auto& [height, width] : kExtents)
      for (const Square& w : kSquares) {
        const std::int64_t out_height = oracle::out_size(height, w), out_width = oracle::out_size(width, w);
        if (out_height == 0 || out_width == 0) continue;
        for (const unsigned sparsity : {0U, 1U, 3U, 40U}) {
          SCOPED_TRACE(describe(oracle::Image(height, width, 1), w) + ", one in " + std::to_string(sparsity));
          check_case(Extent2d{height, width}, Extent2d{out_height, out_width}, w, sparsity);
          if (HasFatalFailure()) return;
        }
      }
  }

 private:
  Arena scratch_{GetParam()};
};
VOXSHIFT_FOR_EACH_DEVICE(PixelMasksTest);

TEST_P(PixelMasksTest, ReachedOutputs) {
  for_masks([&](Extent2d in, Extent2d out, const Square& w, unsigned sparsity) {
    const Mask given = random_mask(in.pixels(), sparsity, 1);
    Mask expected(static_cast<std::size_t>(out.pixels()));
    oracle::for_taps(in.height, in.width, w, [&](auto y, auto x, auto from_y, auto from_x, auto, auto) {
      expected[static_cast<std::size_t>(y * out.width + x)] |=
          given[static_cast<std::size_t>(from_y * in.width + from_x)];
    });
    const Array source = mask_of(given);
    Array found = used_mask(out.pixels());
    const std::int64_t active = kernels().reached(context(), {w.kernel, w.stride, w.padding}, in,
                                                  source.data<std::uint8_t>(), found.data<std::uint8_t>());
    ASSERT_EQ(host<std::uint8_t>(found), expected);
    ASSERT_EQ(active, active_of(expected));
  });
}

TEST_P(PixelMasksTest, NeededInputs) {
  for_masks([&](Extent2d in, Extent2d out, const Square& w, unsigned sparsity) {
    const Mask given = random_mask(out.pixels(), sparsity, 2);
    Mask expected(static_cast<std::size_t>(in.pixels()));
    oracle::for_taps(in.height, in.width, w, [&](auto y, auto x, auto from_y, auto from_x, auto, auto) {
      expected[static_cast<std::size_t>(from_y * in.width + from_x)] |=
          given[static_cast<std::size_t>(y * out.width + x)];
    });
    const Array source = mask_of(given);
    Array found = used_mask(in.pixels());
    const std::int64_t active = kernels().needed(context(), {w.kernel, w.stride, w.padding}, in,
                                                 source.data<std::uint8_t>(), found.data<std::uint8_t>());
    ASSERT_EQ(host<std::uint8_t>(found), expected);
    ASSERT_EQ(active, active_of(expected));
  });
}

const std::vector<std::int64_t> kPixels = {1, 7, 8, 9, 49, 255, 1000, 2040, 2041, 12544, 50176};

TEST_P(PixelMasksTest, Union) {
  for (const std::int64_t pixels : kPixels)
    for (const unsigned sparsity : {0U, 1U, 2U, 50U}) {
      const Mask a = random_mask(pixels, sparsity, 3), b = random_mask(pixels, 3, 4);
      Mask expected = a;
      for (std::size_t p = 0; p < a.size(); ++p) expected[p] = a[p] != 0 || b[p] != 0;
      Array into = mask_of(a);
      const Array other = mask_of(b);
      const std::int64_t active =
          kernels().unite(context(), into.data<std::uint8_t>(), other.data<std::uint8_t>(), pixels);
      ASSERT_EQ(host<std::uint8_t>(into), expected);
      ASSERT_EQ(active, active_of(expected));
    }
}

TEST_P(PixelMasksTest, List) {
  for (const std::int64_t pixels : kPixels)
    for (const unsigned sparsity : {0U, 1U, 2U, 50U}) {
      const Mask mask = random_mask(pixels, sparsity, 5);
      std::vector<std::int32_t> expected;
      for (std::size_t p = 0; p < mask.size(); ++p)
        if (mask[p] != 0) expected.push_back(static_cast<std::int32_t>(p));
      const Array given = mask_of(mask);
      Array rows({pixels}, DType::kI32, device());
      const std::int64_t count =
          row_kernels(device()).list(context(), given.data<std::uint8_t>(), pixels, rows.data<std::int32_t>());
      auto found = host<std::int32_t>(rows);
      ASSERT_EQ(count, static_cast<std::int64_t>(expected.size()));
      found.resize(expected.size());
      ASSERT_EQ(found, expected);
    }
}

// `values` are those of the listed pixels, or of all where the list is empty.
struct CommitCase {
  Matrix values, kept;
  std::vector<std::int32_t> rows;
  float threshold;
};

class CommitTest : public PixelMasksTest {
 protected:
  void expect_commit(const CommitCase& c) {
    const auto pixels = static_cast<std::int64_t>(c.kept.rows), channels = static_cast<std::int64_t>(c.kept.cols);
    Matrix expected_kept = c.kept;
    Mask expected_mask(c.kept.rows);
    for (std::size_t i = 0; i < c.values.rows; ++i) {
      const std::size_t p = c.rows.empty() ? i : static_cast<std::size_t>(c.rows[i]);
      bool stays = true;
      for (std::size_t ch = 0; ch < c.kept.cols; ++ch)
        stays = stays &&
                std::abs(static_cast<float>(c.values.at(i, ch)) - static_cast<float>(c.kept.at(p, ch))) <= c.threshold;
      if (stays) continue;
      expected_mask[p] = 1;
      for (std::size_t ch = 0; ch < c.kept.cols; ++ch) expected_kept.at(p, ch) = c.values.at(i, ch);
    }
    const Array values = array(c.values);
    Array kept = array(c.kept), mask = used_mask(pixels);
    const Array rows = Array::from(c.rows, {static_cast<std::int64_t>(c.rows.size())}).to(device());
    const Pixels listed{c.rows.empty() ? nullptr : rows.data<std::int32_t>(), values.dim(0)};
    const std::int64_t active =
        kernels().commit(context(), rows_of(values), listed, c.threshold, rows_of(kept), mask.data<std::uint8_t>());
    ASSERT_EQ(host<std::uint8_t>(mask), expected_mask) << channels << " channels, threshold " << c.threshold;
    ASSERT_EQ(active, active_of(expected_mask));
    const Array expected = array(expected_kept);
    expect_same_bits(kept, expected);
  }

  // Values next to kept ones: equal, a little off in one channel, or far.
  static Matrix moved(const Matrix& kept, const std::vector<std::int32_t>& rows, std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    Matrix values(count, kept.cols);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t p = rows.empty() ? i : static_cast<std::size_t>(rows[i]);
      for (std::size_t c = 0; c < kept.cols; ++c) values.at(i, c) = kept.at(p, c);
      const double steps[] = {0, 0.25, -0.25, 0.5, -0.5, 0.50001, 2};
      values.at(i, random() % kept.cols) += steps[random() % 7];
    }
    return values;
  }
};
VOXSHIFT_FOR_EACH_DEVICE(CommitTest);

TEST_P(CommitTest, AllPixelsAndLists) {
  for (std::size_t channels = 1; channels <= 67; ++channels) {
    const Matrix kept = test_data::whole(90, channels, 6);
    std::vector<std::int32_t> rows;
    for (std::int32_t p = 0; p < 90; ++p)
      if (p % 4 == 1 || p > 70) rows.push_back(p);
    for (const float threshold : {0.0F, 0.25F, 0.5F, 100.0F}) {
      expect_commit({moved(kept, {}, 90, 7), kept, {}, threshold});
      expect_commit({moved(kept, rows, rows.size(), 8), kept, rows, threshold});
    }
  }
}

TEST_P(CommitTest, ManyTasksOnAnyNumberOfThreads) {
  const Matrix kept = test_data::whole(5003, 24, 9);
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    expect_commit({moved(kept, {}, kept.rows, 10), kept, {}, 0.5F});
  }
}

TEST_P(CommitTest, ANaNIsAlwaysAChange) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const std::size_t channels : {1, 3, 16, 19}) {
    Matrix values(4, channels), kept(4, channels);
    values.at(0, channels - 1) = nan;
    values.at(1, 0) = kept.at(1, 0) = nan;
    values.at(2, channels / 2) = infinity;
    const Array given = array(values);
    Array into = array(kept), mask = used_mask(4);
    const std::int64_t active =
        kernels().commit(context(), rows_of(given), {nullptr, 4}, 1e30F, rows_of(into), mask.data<std::uint8_t>());
    EXPECT_EQ(host<std::uint8_t>(mask), (Mask{1, 1, 1, 0}));
    EXPECT_EQ(active, 3);
    expect_same_bits(into, given);
  }
}

// Exact means bits: a dense layer would have the other zero.
TEST_P(CommitTest, AtThreshold0TheSignOfZeroIsAChange) {
  for (const std::size_t channels : {1, 3, 16, 19})
    for (const double sign : {1.0, -1.0})
      for (const float threshold : {0.0F, 0.25F}) {
        Matrix values(2, channels), kept(2, channels);
        values.at(1, channels - 1) = -0.0 * sign;
        kept.at(1, channels - 1) = 0.0 * sign;
        const Array given = array(values), before = array(kept);
        Array into = array(kept), mask = used_mask(2);
        kernels().commit(context(), rows_of(given), {nullptr, 2}, threshold, rows_of(into), mask.data<std::uint8_t>());
        EXPECT_EQ(host<std::uint8_t>(mask), (Mask{0, static_cast<std::uint8_t>(threshold == 0 ? 1 : 0)}));
        expect_same_bits(into, threshold == 0 ? given : before);
      }
}

TEST_P(CommitTest, NoPixels) {
  const std::vector<std::int32_t> none;
  const Matrix kept = test_data::whole(20, 3, 11);
  Array into = array(kept), mask = used_mask(20);
  const Array values = array(Matrix(), {0, 3});
  const Array rows = Array::from(none, {0}).to(device());
  EXPECT_EQ(kernels().commit(context(), rows_of(values), {rows.data<std::int32_t>(), 0}, 0, rows_of(into),
                             mask.data<std::uint8_t>()),
            0);
  EXPECT_EQ(host<std::uint8_t>(mask), Mask(20));
  expect_equal(into, kept);
}

}  // namespace
}  // namespace voxshift
