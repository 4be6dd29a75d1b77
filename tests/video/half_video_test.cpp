// Kernels of video in f16 and bf16 on CUDA, against plain loops in double on the same rounded numbers; some pixels have
// the bits that they have among all of them.
#include <gtest/gtest.h>
#include <voxshift/temporal_shift/kernels.h>
#include <voxshift/temporal_shift/temporal_shift.h>
#include <voxshift/video/kernels.h>

#include "half_fixture.h"
#include "image_fixture.h"

namespace voxshift {
namespace {

using oracle::Image;
using oracle::Matrix;
using oracle::Square;

Matrix matrix_of(const Image& image) {
  Matrix m(static_cast<std::size_t>(image.height * image.width), static_cast<std::size_t>(image.channels));
  m.values = image.values;
  return m;
}

double relu6(double x) { return std::min(6.0, std::max(0.0, x)); }

constexpr Activation kRelu6{Activation::Kind::kRelu6, 0};

class HalfVideoTest : public HalfTest {
 protected:
  const VideoKernels& kernels() const { return video_kernels(device()); }
  using HalfTest::half;
  Array half(const Image& image) const { return half(matrix_of(image)); }
  static ConstRowView rows(const Array& x) { return rows_of(x); }

  // Numbers of [-1, 1) as f16 or bf16 has them.
  std::vector<double> rounded(const std::vector<double>& values) const {
    const auto numbers = host<float>(
        converted(converted(array(values, {1, static_cast<std::int64_t>(values.size())}), narrow()), DType::kF32));
    return {numbers.begin(), numbers.end()};
  }
  Image real(std::int64_t height, std::int64_t width, std::int64_t channels) const {
    return {height, width, channels, rounded(real_numbers(height * width * channels, 1))};
  }

  // A convolution of whole numbers, or of real ones, and what it gives of `in`.
  struct Layer {
    Conv2dLayer layer;
    Image expected;
  };
  Layer layer_of(const Image& in, std::int64_t out, const Square& w, bool depthwise, unsigned seed = 2,
                 bool whole = true) const {
    const std::int64_t count = out * (depthwise ? 1 : in.channels) * w.kernel * w.kernel;
    const auto weight = whole ? whole_numbers(count, seed) : rounded(real_numbers(count, seed));
    const auto bias = whole_numbers(out, seed + 1);
    const Array weights = vector(weight), biases = vector(bias);
    const auto* numbers = weights.data<float>();
    auto packed =
        depthwise
            ? kernels().pack_depthwise(context(), numbers, biases.data<float>(), w.kernel, out, narrow())
            : kernels().pack_conv2d(context(), numbers, biases.data<float>(), w.kernel, in.channels, out, narrow());
    return {{{w.kernel, w.stride, w.padding}, in.channels, out, std::move(packed), {}},
            oracle::conv2d(in, weight, bias, out, w, depthwise ? out : 1).value};
  }

  // `run` of all pixels gives `expected`, and of some, in a list, the bits that they have there. On as many pixels as
  // a list has there may be other tiles than on all of them.
  void expect_pixels(const Image& expected, const std::function<void(const Pixels&, const RowView&)>& run,
                     double slack = 1e-6) const {
    const std::int64_t count = expected.height * expected.width;
    Array all = half(static_cast<std::size_t>(count), static_cast<std::size_t>(expected.channels));
    run({nullptr, count}, rows_of(all));
    expect_half(all, matrix_of(expected), slack);
    for (const std::int32_t step : {1, 3}) {
      std::vector<std::int32_t> pixels;
      for (std::int32_t p = step / 2; p < count; p += step) pixels.push_back(p);
      const auto listed = static_cast<std::int64_t>(pixels.size());
      const Array list = Array::from(pixels, {listed}).to(device());
      Array some = half(pixels.size(), static_cast<std::size_t>(expected.channels) + 3);
      spoil_scratch();
      const RowView columns = rows_of(some).columns(step == 1 ? 0 : 3, expected.channels);
      run({list.data<std::int32_t>(), listed}, columns);
      Array picked = half(pixels.size(), static_cast<std::size_t>(expected.channels));
      Array same = half(pixels.size(), static_cast<std::size_t>(expected.channels));
      row_kernels(device()).affine(context(), columns, nullptr, nullptr, {}, {}, rows_of(picked));
      row_kernels(device()).gather(context(), rows(all), list.data<std::int32_t>(), rows_of(same));
      expect_same_bits(picked, same);
    }
  }

  // The bits of real numbers show the order of a sum. The large tiles, those of a third of the pixels, and the
  // smallest.
  void expect_bits(const Image& in, std::int64_t out, const Square& w, bool depthwise) const {
    SCOPED_TRACE(describe(in, w) + " -> " + std::to_string(out));
    const Layer conv = layer_of(in, out, w, depthwise, 2, false);
    const Array x = half(in);
    ImageView view;
    view.rows = rows(x);
    expect_pixels(
        conv.expected,
        [&](const Pixels& pixels, const RowView& to) {
          if (depthwise) return kernels().depthwise(context(), conv.layer, {in.height, in.width}, rows(x), pixels, to);
          kernels().conv2d(context(), conv.layer, {in.height, in.width}, view, {}, pixels, to);
        },
        1e-4);
  }

  // What the last call left in scratch memory must not do for the next one.
  void spoil_scratch() const {
    constexpr std::size_t kBytes = 1 << 20;
    const Arena::Mark mark = context().arena->mark();
    runtime(device()).fill(device(), context().arena->allocate_bytes(kBytes), 0xFF, kBytes);
    context().arena->rewind(mark);
  }

  // With a residual and relu6.
  void expect_conv(const Image& in, const std::vector<std::int64_t>& runs, std::int64_t out, const Square& w) const {
    SCOPED_TRACE(describe(in, w) + " -> " + std::to_string(out));
    Layer conv = layer_of(in, out, w, false);
    conv.layer.activation = kRelu6;
    const Image residual = whole_image(conv.expected.height, conv.expected.width, out, 5);
    for (std::size_t i = 0; i < residual.values.size(); ++i)
      conv.expected.values[i] = relu6(conv.expected.values[i] + residual.values[i]);
    const Array added = half(residual);
    std::vector<Array> parts;
    const ImageView view = view_of(in, runs, parts);
    expect_pixels(conv.expected, [&](const Pixels& pixels, const RowView& to) {
      kernels().conv2d(context(), conv.layer, {in.height, in.width}, view, rows(added), pixels, to);
    });
  }

  // `in` with each of the runs in an array of `parts`, the last run at its place in the whole image, as a shift has it.
  // The first one has rows that all begin at 16 bytes, whatever its width.
  ImageView view_of(const Image& in, const std::vector<std::int64_t>& runs, std::vector<Array>& parts) const {
    ImageView view;
    view.rows.dtype = narrow();
    std::int64_t first = 0;
    for (std::size_t r = 0; r < runs.size(); ++r) {
      const bool last = r + 1 == runs.size();
      Image part(in.height, in.width, last ? in.channels : r == 0 ? (runs[r] + 7) / 8 * 8 : runs[r]);
      for (std::int64_t y = 0; y < in.height; ++y)
        for (std::int64_t x = 0; x < in.width; ++x)
          for (std::int64_t c = 0; c < part.channels; ++c)
            part.at(y, x, c) = last ? in.at(y, x, c) : c < runs[r] ? in.at(y, x, first + c) : 99;
      parts.push_back(half(part));
      const ConstRowView columns = rows(parts.back()).columns(last ? first : 0, runs[r]);
      view.rows.add({columns.base, columns.row_stride, columns.channels});
      first += runs[r];
    }
    return view;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, HalfVideoTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(HalfVideoTest, ConvOfAllChannelCounts) {
  in_f16_and_bf16([&] {
    for (std::int64_t channels = 1; channels <= 67; ++channels) {
      expect_conv(whole_image(3, 4, channels, 1), {channels}, 1 + channels * 5 % 19, {3, 1, 1});
      expect_conv(whole_image(2, 5, 1 + channels * 7 % 23, 1), {1 + channels * 7 % 23}, channels, {1, 1, 0});
    }
  });
}

TEST_P(HalfVideoTest, ConvOfManyWindows) {
  in_f16_and_bf16([&] {
    for (const Square& w : kSquares) {
      expect_conv(whole_image(7, 9, 3, 1), {3}, 8, w);
      expect_conv(whole_image(7, 9, 16, 1), {16}, 12, w);
    }
  });
}

// Runs as the shift makes them, whose borders lie inside chunks, and at them.
TEST_P(HalfVideoTest, ConvOfShiftedRuns) {
  in_f16_and_bf16([&] {
    for (const auto& [channels, fold] :
         {std::pair<std::int64_t, std::int64_t>{24, 3}, {32, 4}, {64, 8}, {96, 12}, {160, 20}, {35, 4}}) {
      expect_conv(whole_image(5, 7, channels, 1), {fold, channels - fold}, 24, {1, 1, 0});
      expect_conv(whole_image(3, 4, channels, 1), {fold, fold, channels - 2 * fold}, 17, {1, 1, 0});
    }
    expect_conv(whole_image(5, 6, 32, 1), {4, 28}, 16, {3, 2, 1});
  });
}

// Enough pixels and channels for the largest tiles, of which the last ones are partly empty; deep sums.
TEST_P(HalfVideoTest, ConvInLargeTiles) {
  in_f16_and_bf16([&] {
    expect_conv(whole_image(15, 19, 24, 1), {24}, 72, {1, 1, 0});
    expect_conv(whole_image(9, 15, 20, 1), {20}, 36, {3, 1, 1});
    expect_conv(whole_image(1, 1, 1280, 1), {1280}, 27, {1, 1, 0});
    if (!emulated()) expect_conv(whole_image(112, 112, 32, 1), {4, 28}, 144, {1, 1, 0});
  });
}

TEST_P(HalfVideoTest, ListsHaveTheBitsOfTheWholeImage) {
  in_f16_and_bf16([&] {
    for (const std::int64_t channels : {16, 67, 160}) {
      expect_bits(real(10, 16, channels), 72, {1, 1, 0}, false);
      expect_bits(real(7, 9, channels), 40, {3, 1, 1}, false);
      expect_bits(real(3, 5, channels), 9, {1, 1, 0}, false);
      expect_bits(real(7, 9, channels), channels, {3, 1, 1}, true);
    }
  });
}

TEST_P(HalfVideoTest, Depthwise) {
  in_f16_and_bf16([&] {
    const auto expect_depthwise = [&](std::int64_t channels, const Square& w) {
      const Image in = whole_image(5, 7, channels, 1);
      SCOPED_TRACE(describe(in, w));
      const Layer filter = layer_of(in, channels, w, true);
      const Array x = half(in);
      expect_pixels(filter.expected, [&](const Pixels& pixels, const RowView& to) {
        kernels().depthwise(context(), filter.layer, {in.height, in.width}, rows(x), pixels, to);
      });
    };
    for (std::int64_t channels = 1; channels <= 67; ++channels) expect_depthwise(channels, {3, 1, 1});
    for (const std::int64_t channels : {3, 16, 40})
      for (const Square& w : {Square{3, 2, 1}, Square{5, 1, 2}, Square{5, 2, 2}, Square{2, 1, 0}, Square{7, 2, 3}})
        expect_depthwise(channels, w);
  });
}

// Hidden values of at most 6 are exact.
TEST_P(HalfVideoTest, FusedBlock) {
  in_f16_and_bf16([&] {
    struct Case {
      Image in;
      std::vector<std::int64_t> runs;
      std::int64_t hidden, out;
      Square first, depthwise;
    };
    for (const Case& c : {Case{whole_image(6, 9, 32, 1), {4, 28}, 40, 32, {1, 1, 0}, {3, 1, 1}},
                          Case{whole_image(7, 5, 9, 1), {9}, 17, 9, {1, 1, 0}, {5, 2, 2}},
                          Case{whole_image(11, 13, 3, 1), {3}, 32, 16, {3, 2, 1}, {3, 1, 1}}}) {
      SCOPED_TRACE(describe(c.in, c.depthwise));
      Layer first = layer_of(c.in, c.hidden, c.first, false, 2);
      first.layer.activation = kRelu6;
      const Image expanded = oracle::apply(first.expected, relu6);
      Layer filter = layer_of(expanded, c.hidden, c.depthwise, true, 4);
      filter.layer.activation = kRelu6;
      Layer project = layer_of(oracle::apply(filter.expected, relu6), c.out, {1, 1, 0}, false, 6);
      const Image residual = whole_image(project.expected.height, project.expected.width, c.out, 8);
      for (std::size_t i = 0; i < residual.values.size(); ++i) project.expected.values[i] += residual.values[i];
      const FusedBlock block{{c.in.height, c.in.width}, first.layer, filter.layer, project.layer, {}, {}};
      const Array added = half(residual);
      std::vector<Array> parts;
      ImageView view = view_of(c.in, c.runs, parts);
      if (c.first.padding > 0) {
        view.border = c.first.padding;
        Image bordered(c.in.height + 2 * view.border, c.in.width + 2 * view.border, c.in.channels);
        for (std::int64_t y = 0; y < c.in.height; ++y)
          for (std::int64_t x = 0; x < c.in.width; ++x)
            for (std::int64_t k = 0; k < c.in.channels; ++k)
              bordered.at(y + view.border, x + view.border, k) = c.in.at(y, x, k);
        parts.push_back(half(bordered));
        view.pitch = bordered.width * bordered.channels;
        view.rows = rows(parts.back()).rows(view.border * (bordered.width + 1), 1);
      }
      expect_pixels(project.expected, [&](const Pixels& pixels, const RowView& to) {
        std::vector<std::uint8_t> hidden(expanded.values.size() / static_cast<std::size_t>(c.hidden), 0);
        if (pixels.rows != nullptr) {
          std::vector<std::int32_t> listed(static_cast<std::size_t>(pixels.count));
          runtime(device()).copy_to_host(device(), listed.data(), pixels.rows, listed.size() * sizeof(std::int32_t));
          std::vector<bool> wanted(static_cast<std::size_t>(project.expected.height * project.expected.width));
          for (const std::int32_t p : listed) wanted[static_cast<std::size_t>(p)] = true;
          oracle::for_taps(expanded.height, expanded.width, c.depthwise,
                           [&](auto y, auto x, auto from_y, auto from_x, auto, auto) {
                             if (wanted[static_cast<std::size_t>(y * project.expected.width + x)])
                               hidden[static_cast<std::size_t>(from_y * expanded.width + from_x)] = 1;
                           });
        }
        const Array mask = Array::from(hidden, {static_cast<std::int64_t>(hidden.size())}).to(device());
        kernels().fused_block(context(), block, view, rows(added),
                              pixels.rows != nullptr ? mask.data<std::uint8_t>() : nullptr, pixels, to);
      });
    }
  });
}

TEST_P(HalfVideoTest, Pools) {
  in_f16_and_bf16([&] {
    for (const std::int64_t channels : {1, 8, 21}) {
      const Image in = whole_image(7, 9, channels, 1);
      const Square w{3, 2, 1};
      const Array x = half(in);
      const Window2d window{w.kernel, w.stride, w.padding};
      expect_pixels(oracle::max_pool2d(in, w), [&](const Pixels& pixels, const RowView& to) {
        kernels().max_pool(context(), window, {7, 9}, rows(x), pixels, to);
      });
      expect_pixels(oracle::avg_pool2d(in, w).value, [&](const Pixels& pixels, const RowView& to) {
        kernels().avg_pool(context(), window, {7, 9}, rows(x), pixels, to);
      });
      Matrix mean(1, static_cast<std::size_t>(channels));
      for (std::size_t i = 0; i < in.values.size(); ++i) mean.values[i % mean.cols] += in.values[i] / 63;
      Array out = half(1, mean.cols);
      kernels().mean_rows(context(), rows(x), rows_of(out));
      expect_half(out, mean);
    }
  });
}

// Of networks in bf16 frames are f32.
TEST_P(HalfVideoTest, NormalizedFrames) {
  constexpr float kScale[] = {1 / 64.0F, 1 / 32.0F, 1 / 128.0F}, kShift[] = {-2, 1, 0.5F};
  std::vector<std::uint8_t> bytes;
  Matrix expected(4, 5 * 3 + 2);
  for (std::size_t y = 0; y < 4; ++y)
    for (std::size_t i = 0; i < 15; ++i) {
      bytes.push_back(static_cast<std::uint8_t>(y * 61 + i * 37));
      expected.at(y, i) = bytes.back() * static_cast<double>(kScale[i % 3]) + static_cast<double>(kShift[i % 3]);
    }
  const Array frame = Array::from(bytes, {60}).to(device());
  Array out = half(Matrix(4, 17));
  kernels().normalize(context(), frame.data<std::uint8_t>(), {4, 5}, kScale, kShift, {nullptr, 20}, out.memory(),
                      DType::kF16, 17);
  expect_half(out, expected);
}

TEST_P(HalfVideoTest, Commits) {
  in_f16_and_bf16([&] {
    Matrix kept = test_data::whole(70, 11, 1), values(30, 11);
    std::vector<std::int32_t> pixels;
    std::vector<std::uint8_t> expected_mask(70, 0);
    std::int64_t changed = 0;
    const Array old = half(kept);
    for (std::size_t i = 0; i < 30; ++i) {
      const std::size_t p = 2 * i + i / 4;
      pixels.push_back(static_cast<std::int32_t>(p));
      for (std::size_t c = 0; c < 11; ++c) values.at(i, c) = kept.at(p, c);
      if (i % 3 == 0) continue;
      values.at(i, i % 11) += i % 3 == 1 ? 1 : -1.25;  // at the threshold, and beyond it
      if (i % 3 == 1) continue;
      for (std::size_t c = 0; c < 11; ++c) kept.at(p, c) = values.at(i, c);
      expected_mask[p] = 1;
      ++changed;
    }
    const Array list = Array::from(pixels, {30}).to(device()), next = half(values);
    Array result = old, mask({70}, DType::kU8, device());
    EXPECT_EQ(kernels().commit(context(), rows(next), {list.data<std::int32_t>(), 30}, 1, rows_of(result),
                               mask.data<std::uint8_t>()),
              changed);
    expect_half(result, kept);
    EXPECT_EQ(host<std::uint8_t>(mask), expected_mask);
  });
}

TEST_P(HalfVideoTest, ShiftedRowsAreGatheredAndRemembered) {
  in_f16_and_bf16([&] {
    const Matrix frame = test_data::whole(9, 20, 1), last = test_data::whole(9, 20, 2);
    const TemporalShift shift{4, true};
    Matrix expected = frame, cache(9, 5);
    for (std::size_t i = 0; i < 9; ++i)
      for (std::size_t c = 0; c < 5; ++c) {
        expected.at(i, c) = 0;
        expected.at(i, 5 + c) = last.at(i, 5 + c);
        cache.at(i, c) = i % 2 == 0 ? frame.at(i, c) : 0;
      }
    const Array x = half(frame), before = half(last), zeros = half(Matrix(1, 5));
    Array shifted = half(9, 20), remembered = half(Matrix(9, 5));
    const auto& shifts = temporal_shift_kernels(device());
    shifts.gather_runs(context(), shifted_runs(shift, rows(x), rows(before), {}, zeros.memory()), rows_of(shifted));
    expect_half(shifted, expected);
    const Array list = Array::from(std::vector<std::int32_t>{0, 2, 4, 6, 8}, {5}).to(device());
    shifts.remember(context(), rows(x), list.data<std::int32_t>(), 5, rows_of(remembered));
    expect_half(remembered, cache);
    shifts.remember(context(), rows(x), nullptr, 0, rows_of(remembered));
    for (std::size_t i = 0; i < 9; ++i)
      for (std::size_t c = 0; c < 5; ++c) cache.at(i, c) = frame.at(i, c);
    expect_half(remembered, cache);
  });
}

}  // namespace
}  // namespace voxshift
