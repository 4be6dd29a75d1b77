// Pooling, spreading, normalising and keeping of pixels, and the temporal shift, in i8, f16, bf16 and f32 on the CPU:
// in plain loops, equal to the bit.
#include <voxshift/temporal_shift/kernels.h>
#include <voxshift/temporal_shift/temporal_shift.h>
#include <voxshift/video/kernels.h>

#include <cmath>
#include <numeric>

#include "narrow_rows.h"

namespace voxshift {
namespace {

class NarrowPixelsTest : public NarrowTest {
 protected:
  static const VideoKernels& kernels() { return cpu::video_kernels(); }

  static Rows filled(DType dtype, std::int64_t count, std::int64_t channels, unsigned seed) {
    Rows rows(dtype, count, channels, seed);
    rows.fill(seed, true);
    return rows;
  }

  // Over the window of pixel q: f32 in row-major order, sums of i8 whole.
  static float pooled(const Rows& in, Extent2d extent, const Window2d& w, bool max, std::int64_t q, std::int64_t c) {
    const std::int64_t width = w.out(extent).width;
    float result = 0, count = 0;
    double whole = 0;
    for (std::int64_t i = 0; i < w.kernel; ++i)
      for (std::int64_t j = 0; j < w.kernel; ++j) {
        const std::int64_t y = q / width * w.stride - w.padding + i, x = q % width * w.stride - w.padding + j;
        if (y < 0 || x < 0 || y >= extent.height || x >= extent.width) continue;
        const float value = in.value(y * extent.width + x, c);
        whole += in.number(y * extent.width + x, c);
        result = max ? (count == 0 || value > result ? value : result) : plus(result, value);
        ++count;
      }
    if (max) return result;
    if (in.dtype() == DType::kI8) result = times(static_cast<float>(whole), in.scales().scale[c]);
    return over(result, count);
  }

  void expect_pools(Extent2d extent, const Window2d& window, std::int64_t channels, DType from, DType to,
                    const std::vector<std::int32_t>& picked) {
    const Rows in = filled(from, extent.pixels(), channels, 1);
    const std::int64_t all = window.out(extent).pixels();
    const auto count = picked.empty() ? all : static_cast<std::int64_t>(picked.size());
    const Pixels pixels{picked.empty() ? nullptr : picked.data(), count};
    for (const unsigned scales : {1u, 2u})  // those of the input, and others
      for (const bool max : {true, false}) {
        Rows out(to, count, channels, scales);
        if (max) {
          kernels().max_pool(context(), window, extent, in.view(), pixels, out.view());
        } else {
          kernels().avg_pool(context(), window, extent, in.view(), pixels, out.view());
        }
        SCOPED_TRACE(std::string(max ? "max " : "mean ") + name(from) + " -> " + name(to));
        expect_rows(out, [&](std::int64_t i, std::int64_t c) {
          return pooled(in, extent, window, max, picked.empty() ? i : picked[static_cast<std::size_t>(i)], c);
        });
      }
  }
};

TEST_F(NarrowPixelsTest, PoolsOfEveryDtypeAndWidth) {
  for (std::int64_t channels = 1; channels <= 67; ++channels)
    for (const DType from : kNumberTypes)
      for (const DType to : kNumberTypes) {
        expect_pools({5, 4}, {3, 2, 1}, channels, from, to, {});
        if (channels % 8 == 3) expect_pools({6, 7}, {2, 1, 0}, channels, from, to, {0, 1, 7, 12, 13, 29});
      }
}

TEST_F(NarrowPixelsTest, WidePoolsOfBytes) { expect_pools({7, 7}, {3, 2, 1}, 200, DType::kI8, DType::kI8, {}); }

TEST_F(NarrowPixelsTest, MeansOfRows) {
  for (std::int64_t channels = 1; channels <= 67; ++channels)
    for (const DType from : kNumberTypes)
      for (const DType to : kNumberTypes) {
        const Rows in = filled(from, 49, channels, 1);
        Rows out(to, 1, channels, 2);
        kernels().mean_rows(context(), in.view(), out.view());
        expect_rows(out, [&](std::int64_t, std::int64_t c) {
          float sum = 0;
          double whole = 0;
          for (std::int64_t i = 0; i < 49; ++i) {
            sum = plus(sum, in.value(i, c));
            whole += in.number(i, c);
          }
          if (from == DType::kI8) sum = times(static_cast<float>(whole), in.scales().scale[c]);
          return over(sum, 49);
        });
      }
}

TEST_F(NarrowPixelsTest, SpreadPixels) {
  constexpr Extent2d kExtent{2, 3};
  for (const DType from : kNumberTypes)
    for (const DType to : kNumberTypes)
      for (const std::int64_t channels : {1, 5, 16, 21}) {
        const Rows in = filled(from, 6, 4 * channels, 1);
        Rows out(to, 24, channels, 2);
        kernels().spread_pixels(context(), in.view(), kExtent, 2, out.view());
        expect_rows(out, [&](std::int64_t p, std::int64_t c) {
          const std::int64_t y = p / 6, x = p % 6;
          return in.value(y / 2 * 3 + x / 2, (y % 2 * 2 + x % 2) * channels + c);
        });
      }
}

TEST_F(NarrowPixelsTest, NormalizedFrames) {
  constexpr Extent2d kExtent{3, 41};
  std::vector<std::uint8_t> frame(static_cast<std::size_t>(kExtent.pixels() * 3));
  std::iota(frame.begin(), frame.end(), std::uint8_t{0});
  const float scale[] = {0.25f, 1 / 64.0f, 2}, shift[] = {-0.5f, 0.125f, 3};  // exact in f32
  const std::vector<std::int32_t> some{0, 1, 2, 60, 61, 100};
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
    for (const bool all : {true, false}) {
      Rows image(dtype, 3, 41 * 3, 0, 6);
      const Pixels pixels = all ? Pixels{nullptr, kExtent.pixels()} : Pixels{some.data(), 6};
      const Rows before = image;
      kernels().normalize(context(), frame.data(), kExtent, scale, shift, pixels, image.view().base, dtype,
                          image.stride());
      for (std::int64_t y = 0; y < 3; ++y)
        for (std::int64_t c = 0; c < 41 * 3; ++c) {
          const std::int64_t p = y * 41 + c / 3;
          const bool picked = all || std::find(some.begin(), some.end(), p) != some.end();
          const float x = static_cast<float>(frame[static_cast<std::size_t>(p * 3 + c % 3)]) * scale[c % 3];
          expect_number(image, y, c, picked ? stored(image, c, x + shift[c % 3]) : before.number(y, c));
        }
      expect_gaps(image);
    }
}

// Row i is the value of pixel p: kept where no channel is further than the threshold from what was kept.
TEST_F(NarrowPixelsTest, CommittedPixels) {
  const std::vector<std::int32_t> rows{0, 2, 3, 7, 8, 11};
  for (const DType dtype : kNumberTypes)
    for (std::int64_t channels = 1; channels <= 67; ++channels)
      for (const float threshold : {0.0f, 0.05f, 0.4f}) {
        Rows kept = filled(dtype, 12, channels, 1), values(dtype, 6, channels, 1);
        for (std::int64_t i = 0; i < 6; ++i)
          for (std::int64_t c = 0; c < channels; ++c) {
            const double x = kept.number(rows[static_cast<std::size_t>(i)], c);
            const bool moves = c == (i * 31) % channels && i > 0;
            const double step = dtype == DType::kI8 ? 1 + (channels + i) % 3 : 0.02 * static_cast<double>(i);
            values.set(i, c,
                       !moves                ? x
                       : dtype == DType::kI8 ? (x > 0 ? x - step : x + step)
                                             : narrow_images::as(dtype, x + step));
          }
        const Rows before = kept;
        std::vector<std::uint8_t> mask(12, 7);
        const std::int64_t active = kernels().commit(context(), std::as_const(values).view(), {rows.data(), 6},
                                                     threshold, kept.view(), mask.data());
        std::int64_t expected_active = 0;
        for (std::int64_t p = 0; p < 12; ++p) {
          const auto found = std::find(rows.begin(), rows.end(), p);
          const std::int64_t i = found == rows.end() ? -1 : found - rows.begin();
          bool changed = false;
          for (std::int64_t c = 0; c < channels && i >= 0; ++c) {
            const auto apart = static_cast<float>(std::abs(values.number(i, c) - before.number(p, c)));
            const float size = dtype == DType::kI8 ? times(apart, kept.scales().scale[c]) : apart;
            changed = changed || size > threshold;
          }
          expected_active += changed;
          ASSERT_EQ(mask[static_cast<std::size_t>(p)], changed) << p << ", " << name(dtype) << ", " << channels;
          for (std::int64_t c = 0; c < channels; ++c)
            expect_number(kept, p, c, changed ? values.number(i, c) : before.number(p, c));
        }
        ASSERT_EQ(active, expected_active);
        expect_gaps(kept);
      }
}

// Zeros of other signs are other bits, and what is no number differs from itself.
TEST_F(NarrowPixelsTest, CommittedBits) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const std::uint16_t nan = dtype == DType::kF16 ? 0x7E00 : 0x7FC0, infinity = dtype == DType::kF16 ? 0x7C00 : 0x7F80;
    std::vector<std::uint16_t> kept{0, 0x8000, nan, infinity, 0x3C00};
    const std::vector<std::uint16_t> values{0x8000, 0x8000, nan, infinity, 0x3C00};
    std::vector<std::uint8_t> mask(5);
    const auto commit = [&](float threshold) {
      return kernels().commit(context(), {values.data(), 1, 5, 1, dtype}, {nullptr, 5}, threshold,
                              {kept.data(), 1, 5, 1, dtype}, mask.data());
    };
    EXPECT_EQ(commit(0.5f), 2);  // infinity minus infinity is no number either
    EXPECT_EQ(mask, (std::vector<std::uint8_t>{0, 0, 1, 1, 0}));
    EXPECT_EQ(commit(0), 3);
    EXPECT_EQ(mask, (std::vector<std::uint8_t>{1, 0, 1, 1, 0}));
    EXPECT_EQ(kept, values);
  }
}

TEST_F(NarrowPixelsTest, ShiftedChannels) {
  for (const DType from : kNumberTypes)
    for (const DType to : kNumberTypes)
      for (const std::int64_t channels : {8, 13, 40, 67}) {
        const Rows frame = filled(from, 6, channels, 1), before = filled(from, 6, channels, 1),
                   after = filled(from, 6, channels, 1);
        for (const bool both : {false, true}) {
          const TemporalShift shift{8, both};
          const std::int64_t fold = channels / 8;
          const std::vector<float> zeros(static_cast<std::size_t>(fold));
          Rows out(to, 6, channels, 2);
          const ChannelRuns runs =
              shifted_runs(shift, frame.view(), before.view(), both ? after.view() : ConstRowView(), zeros.data());
          cpu::temporal_shift_kernels().gather_runs(context(), runs, out.view());
          expect_rows(out, [&](std::int64_t i, std::int64_t c) {
            if (both) return c < fold ? after.value(i, c) : c < 2 * fold ? before.value(i, c) : frame.value(i, c);
            return c < fold ? before.value(i, c) : frame.value(i, c);
          });
          cpu::temporal_shift_kernels().gather_runs(context(), shifted_runs(shift, frame.view(), {}, {}, zeros.data()),
                                                    out.view());
          const std::int64_t moved = both ? 2 * fold : fold;
          expect_rows(out, [&](std::int64_t i, std::int64_t c) { return c < moved ? 0.0f : frame.value(i, c); });
        }
      }
}

TEST_F(NarrowPixelsTest, RememberedChannels) {
  const std::vector<std::int32_t> rows{1, 4};
  for (const DType from : kNumberTypes)
    for (const DType to : kNumberTypes)
      for (const std::int64_t channels : {1, 6, 16, 37}) {
        const Rows frame = filled(from, 6, channels + 3, 1);
        Rows cache = filled(to, 6, channels, 2);
        const Rows before = cache;
        cpu::temporal_shift_kernels().remember(context(), frame.view(), rows.data(), 2, cache.view());
        for (std::int64_t i = 0; i < 6; ++i)
          for (std::int64_t c = 0; c < channels; ++c)
            expect_number(cache, i, c, i == 1 || i == 4 ? stored(cache, c, frame.value(i, c)) : before.number(i, c));
        cpu::temporal_shift_kernels().remember(context(), frame.view(), nullptr, 6, cache.view());
        expect_rows(cache, [&](std::int64_t i, std::int64_t c) { return frame.value(i, c); });
      }
}

}  // namespace
}  // namespace voxshift
