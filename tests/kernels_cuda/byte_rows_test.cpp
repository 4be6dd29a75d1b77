// Kernels on rows of i8, and between dtypes, on CUDA: the bits of the CPU's, whose tests know plain loops.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/sparse_conv/conv_plan.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/temporal_shift/kernels.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/video/kernels.h>

#include "byte_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

constexpr DType kI8 = DType::kI8, kF32 = DType::kF32, kF16 = DType::kF16;

/// One of the two devices, with rows in its memory.
struct Machine {
  Device device;
  Arena* scratch;

  Context context() const { return {device, nullptr, 2, scratch}; }
  const RowKernels& rows() const { return row_kernels(device); }

  template <class T>
  Array array(const std::vector<T>& values, Shape shape) const {
    return Array::from(values, std::move(shape)).to(device);
  }
  template <class T>
  Array array(const std::vector<T>& values) const {
    return array(values, {static_cast<std::int64_t>(values.size())});
  }

  struct Rows {
    Array memory, scales;

    RowView view() {
      RowView view = rows_of(memory);
      if (memory.dtype() != kI8) return view;
      view.scales = {scales.data<float>(), scales.data<float>() + memory.dim(1)};
      return view;
    }
  };
  Rows store(std::int64_t count, std::int64_t channels, DType dtype, unsigned seed, float around = 0.02f) const {
    const auto whole = bytes_of(static_cast<std::size_t>(count * channels), seed);
    std::vector<float> both = scales_of(static_cast<std::size_t>(channels), around);
    for (std::int64_t c = 0; c < channels; ++c) both.push_back(1 / both[static_cast<std::size_t>(c)]);
    if (dtype == kI8) return {array(whole, {count, channels}), array(both)};
    if (dtype == kF16) {
      Array halves({count, channels}, kF16);
      for (std::size_t e = 0; e < whole.size(); ++e)
        static_cast<std::uint16_t*>(halves.memory())[e] = to_half(static_cast<float>(whole[e]) * 0.037f);
      return {halves.to(device), {}};
    }
    std::vector<float> numbers(whole.begin(), whole.end());
    for (float& x : numbers) x *= 0.037f;
    return {array(numbers, {count, channels}), {}};
  }
};

class ByteRowsTest : public ByteTest {
 protected:
  /// run(machine, out) leaves the same bytes in rows of either device.
  void expect_same(std::int64_t count, std::int64_t channels, DType dtype,
                   const std::function<void(const Machine&, const RowView&)>& run) {
    std::vector<Array> results;
    for (const Device on : {Device::cpu(), device()}) {
      Arena scratch(on);
      const Machine machine{on, &scratch};
      Machine::Rows out = machine.store(count, channels, dtype, 99);
      run(machine, out.view());
      results.push_back(out.memory);
    }
    expect_same_bits(results[0], results[1]);
  }

  /// Dtypes of what goes in and what comes out, one of them i8.
  static std::vector<std::pair<DType, DType>> dtypes() {
    return {{kI8, kI8}, {kI8, kF16}, {kI8, kF32}, {kF16, kI8}, {kF32, kI8}};
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, ByteRowsTest, ::testing::Values(Device::cuda()), device_name);

// Chunks of channels and single ones.
constexpr std::int64_t kWidths[] = {32, 13};

TEST_P(ByteRowsTest, Affine) {
  for (const auto& [from, to] : dtypes())
    for (const std::int64_t channels : kWidths)
      for (const PlainActivation& plain : plain_activations())
        for (const int given : {0, 1, 2, 3}) {  // of scale and shift
          SCOPED_TRACE(std::string(name(from)) + " to " + name(to) + ", " + std::to_string(given));
          expect_same(70, channels, to, [&, read = from](const Machine& on, const RowView& out) {
            Machine::Rows in = on.store(70, channels, read, 1), residual = on.store(70, channels, kI8, 2, 0.031f);
            const Array scale = on.array(scales_of(static_cast<std::size_t>(channels), 0.7f)),
                        shift = on.array(scales_of(static_cast<std::size_t>(channels), -0.3f));
            on.rows().affine(on.context(), in.view(), (given & 1) != 0 ? scale.data<float>() : nullptr,
                             (given & 2) != 0 ? shift.data<float>() : nullptr,
                             given > 0 ? ConstRowView(residual.view()) : ConstRowView(), plain.activation, out);
          });
        }
}

TEST_P(ByteRowsTest, FunctionsThatNeedNoLibrary) {
  for (const auto& [from, to] : dtypes())
    for (const Elementwise& f :
         {Elementwise{Elementwise::Kind::kClip, -0.7f, 1.3f}, Elementwise{Elementwise::Kind::kHardSigmoid},
          Elementwise{Elementwise::Kind::kHardSwish}})
      expect_same(40, 13, to, [&, read = from](const Machine& on, const RowView& out) {
        Machine::Rows in = on.store(40, 13, read, 1);
        on.rows().apply(on.context(), f, in.view(), out);
      });
  for (const auto& [from, to] : dtypes())
    expect_same(40, 13, to, [&, read = from](const Machine& on, const RowView& out) {
      Machine::Rows in = on.store(40, 13, read, 1);
      const Array slopes = on.array(scales_of(13, 0.2f));
      on.rows().apply(on.context(), RowFunction{RowFunction::Kind::kPrelu, 0, slopes.data<float>()}, in.view(), out);
    });
}

TEST_P(ByteRowsTest, ProductsOfRows) {
  for (const auto& [from, to] : dtypes()) {
    expect_same(40, 13, to, [&, read = from](const Machine& on, const RowView& out) {
      Machine::Rows a = on.store(40, 13, read, 1), b = on.store(40, 13, kI8, 2, 0.3f);
      on.rows().multiply(on.context(), a.view(), b.view(), out);
    });
    expect_same(40, 5, to, [&, read = from](const Machine& on, const RowView& out) {
      Machine::Rows in = on.store(40, 7, read, 1), matrices = on.store(6, 35, kI8, 2);
      std::vector<std::int32_t> picked(40);
      for (std::size_t i = 0; i < picked.size(); ++i) picked[i] = static_cast<std::int32_t>(i % 7) - 1;
      const Array list = on.array(picked);
      on.rows().matmul_picked(on.context(), in.view(), matrices.view(), list.data<std::int32_t>(), out);
    });
  }
}

TEST_P(ByteRowsTest, CopiesOfRows) {
  for (const auto& [from, to] : dtypes())
    for (const bool same_scales : {false, true})
      for (const bool bare : {false, true}) {  // i8 without scales, which such a copy does not need
        if ((bare && !same_scales) || (same_scales && (from != kI8 || to != kI8))) continue;
        const auto with = [&](Machine::Rows& in, const RowView& out) {
          RowView view = in.view();
          if (same_scales) view.scales = out.scales;
          if (bare) view.scales = {};
          return view;
        };
        const auto given = [&](RowView out) {
          if (bare) out.scales = {};
          return out;
        };
        expect_same(50, 13, to, [&, read = from](const Machine& on, const RowView& out) {
          Machine::Rows in = on.store(40, 13, read, 1, 0.03f);
          std::vector<std::int32_t> picked(50);
          for (std::size_t i = 0; i < picked.size(); ++i) picked[i] = static_cast<std::int32_t>(i * 17 % 41) - 1;
          const Array list = on.array(picked);
          on.rows().gather(on.context(), with(in, out), list.data<std::int32_t>(), given(out));
        });
        expect_same(40, 13, to, [&, read = from](const Machine& on, const RowView& out) {
          Machine::Rows in = on.store(40, 13, read, 1, 0.03f);
          on.rows().affine(on.context(), with(in, out), nullptr, nullptr, {}, {}, given(out));
        });
        expect_same(4 * 12, 3, to, [&, read = from](const Machine& on, const RowView& out) {
          Machine::Rows in = on.store(12, 12, read, 1, 0.03f);
          if (same_scales) return;
          video_kernels(on.device).spread_pixels(on.context(), in.view(), {3, 4}, 2, out);
        });
        expect_same(40, 5, to, [&, read = from](const Machine& on, const RowView& out) {
          Machine::Rows in = on.store(40, 13, read, 1, 0.03f);
          const Array list = on.array(std::vector<std::int32_t>{0, 3, 17, 39});
          const auto& kernels = temporal_shift_kernels(on.device);
          kernels.remember(on.context(), with(in, out), list.data<std::int32_t>(), 4, given(out));
          if (!bare) kernels.remember(on.context(), with(in, out), nullptr, 0, out.columns(3, 2));
        });
      }
}

TEST_P(ByteRowsTest, Selections) {
  std::vector<std::int32_t> segment(90);
  for (std::size_t i = 0; i < segment.size(); ++i) segment[i] = static_cast<std::int32_t>(i / 20);
  for (const bool best : {false, true}) {
    std::vector<std::vector<std::uint8_t>> masks, labels;
    for (const Device at : {Device::cpu(), device()}) {
      Arena scratch(at);
      const Machine on{at, &scratch};
      Machine::Rows in = on.store(90, 1, kI8, 5), scores = on.store(90, 13, kI8, 6);
      const Array segments = on.array(segment);
      Array mask({90}, DType::kU8, at), label({90}, DType::kU8, at);
      if (best) {
        on.rows().top(on.context(), in.view(), segments.data<std::int32_t>(), 7, mask.data<std::uint8_t>());
      } else {
        on.rows().above(on.context(), in.view(), 0.02f * 5, mask.data<std::uint8_t>());
      }
      on.rows().argmax(on.context(), scores.view(), label.data<std::uint8_t>());
      masks.push_back(host<std::uint8_t>(mask));
      labels.push_back(host<std::uint8_t>(label));
    }
    EXPECT_EQ(masks[0], masks[1]);
    EXPECT_EQ(labels[0], labels[1]);
  }
}

TEST_P(ByteRowsTest, ScoresAreNear) {
  std::vector<std::vector<float>> scores;
  for (const Device at : {Device::cpu(), device()}) {
    Arena scratch(at);
    const Machine on{at, &scratch};
    Machine::Rows logits = on.store(30, 13, kI8, 6);
    Array out({30, 13}, kF32, at);
    std::vector<std::int32_t> all(30);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int32_t>(29 - i);
    const Array places = on.array(all);
    on.rows().spread_scores(on.context(), logits.view(), nullptr, places.data<std::int32_t>(), 30, out.data<float>());
    scores.push_back(host<float>(out));
  }
  for (std::size_t e = 0; e < scores[0].size(); ++e) ASSERT_NEAR(scores[0][e], scores[1][e], 1e-6);
}

// Sums of i8 are exact: also of more rows than a partial sum has.
TEST_P(ByteRowsTest, Reductions) {
  for (const auto& [from, to] : dtypes())
    for (const std::size_t rows : {std::size_t{500}, std::size_t{20}})
      for (const Reduce reduce : {Reduce::kFirst, Reduce::kSum, Reduce::kMean, Reduce::kMax}) {
        if (from != kI8 && rows == 500 && (reduce == Reduce::kSum || reduce == Reduce::kMean)) continue;
        expect_same(6, 37, to, [&, read = from](const Machine& on, const RowView& out) {
          std::vector<std::int32_t> segment(rows);
          for (std::size_t i = 0; i < rows; ++i)
            segment[i] = static_cast<std::int32_t>(i * i % 7) - 1;  // 2 and 3: none
          Machine::Rows in = on.store(static_cast<std::int64_t>(rows), 37, read, 1);
          const Array segments = on.array(segment);
          coordinate_kernels(on.device).reduce(on.context(), in.view(), segments.data<std::int32_t>(), reduce, out);
        });
      }
}

TEST_P(ByteRowsTest, InterpolationAndGroups) {
  std::vector<std::int32_t> indices(90);
  std::vector<float> weights(90);
  for (std::size_t e = 0; e < 90; ++e) {
    indices[e] = e % 11 == 0 ? -1 : static_cast<std::int32_t>(e * 7 % 40);
    weights[e] = static_cast<float>(e % 5) * 0.137f;
  }
  for (const auto& [from, to] : dtypes())
    for (const std::int64_t channels : kWidths) {
      expect_same(30, channels, to, [&, read = from](const Machine& on, const RowView& out) {
        Machine::Rows in = on.store(40, channels, read, 1);
        const Array rows = on.array(indices), factors = on.array(weights);
        point_voxel_kernels(on.device).interpolate(on.context(), in.view(), rows.data<std::int32_t>(),
                                                   factors.data<float>(), 3, out);
      });
      expect_same(90, 3 + channels, to, [&, read = from](const Machine& on, const RowView& out) {
        Machine::Rows points = on.store(40, 3, kF32, 1), centers = on.store(30, 3, kF32, 2),
                      features = on.store(40, channels, read, 3, 0.03f);
        const Array rows = on.array(indices);
        point_voxel_kernels(on.device).group(on.context(), points.view(), centers.view(), rows.data<std::int32_t>(), 3,
                                             features.view(), out);
      });
    }
}

// Pooling, depthwise convolution and the view from above of sparse tensors.
TEST_P(ByteRowsTest, SparseTensors) {
  const auto coords = test_data::cloud(3, 120, 1, 0);
  const oracle::Window w = test_data::cube(3, 3, 2);
  const auto coarse = static_cast<std::int64_t>(oracle::floor_outputs(coords, w).size());
  const auto count = static_cast<std::int64_t>(coords.size());
  std::vector<std::int32_t> flat;
  for (const auto& c : coords) flat.insert(flat.end(), c.begin(), c.end());
  for (const auto& [from, to] : dtypes())
    for (const int op : {0, 1, 2, 3, 4}) {
      SCOPED_TRACE(std::string(name(from)) + " to " + name(to) + ", op " + std::to_string(op));
      const std::int64_t rows = op == 4 ? 4 * 5 * 6 : coarse, channels = op == 4 ? 13 * 3 : 13;
      expect_same(rows, channels, to, [&, read = from](const Machine& on, const RowView& out) {
        const SparseTensor x(on.array(flat, {count, 4}), Array({count, 1}, kF32, on.device));
        const Window window = make_window("test", 3, options_of(w));
        const auto map = x.cache()->kernel_map(x.map(), x.cache()->coarser(x.map(), window, {}), window)->forward();
        Machine::Rows in = on.store(count, 13, read, 1), residual = on.store(coarse, 13, kI8, 2);
        const Array weight = on.array(scales_of(27 * 13, 0.2f)), bias = on.array(scales_of(13, 0.3f));
        const auto& kernels = sparse_conv_kernels(on.device);
        if (op < 3)
          return kernels.pool(on.context(), in.view(), map,
                              std::array{Pooling::kMax, Pooling::kSum, Pooling::kAverage}[static_cast<std::size_t>(op)],
                              out);
        if (op == 3)
          return kernels.depthwise(on.context(), in.view(), map, weight.data<float>(),
                                   {bias.data<float>(), residual.view(), plain_activations()[4].activation, true}, out);
        kernels.bird_eye_view(on.context(), in.view(), x.map()->level(), {2, 3, 5, 6}, out);
      });
    }
}

TEST_P(ByteRowsTest, Images) {
  for (const auto& [from, to] : dtypes())
    for (const Window2d& window : {Window2d{3, 2, 1}, Window2d{2, 2, 0}}) {
      const Extent2d extent{7, 9};
      const std::int64_t pixels = window.out(extent).pixels();
      for (const bool max : {false, true})
        expect_same(pixels, 13, to, [&, read = from](const Machine& on, const RowView& out) {
          Machine::Rows in = on.store(extent.pixels(), 13, read, 1, 0.03f);
          const auto& kernels = video_kernels(on.device);
          if (max) return kernels.max_pool(on.context(), window, extent, in.view(), {nullptr, pixels}, out);
          kernels.avg_pool(on.context(), window, extent, in.view(), {nullptr, pixels}, out);
        });
    }
  for (const DType to : {kI8, kF16, kF32})
    expect_same(1, 37, to, [](const Machine& on, const RowView& out) {
      Machine::Rows in = on.store(49, 37, kI8, 1);
      video_kernels(on.device).mean_rows(on.context(), in.view(), out);
    });
}

TEST_P(ByteRowsTest, KeptValues) {
  for (const float threshold : {0.0f, 0.05f, 1.5f}) {
    std::vector<std::vector<std::uint8_t>> masks;
    expect_same(60, 37, kI8, [&](const Machine& on, const RowView& kept) {
      Machine::Rows values = on.store(60, 37, kI8, 99);  // what is kept, but for some numbers
      std::vector<std::int8_t> numbers = host<std::int8_t>(values.memory);
      for (std::size_t i = 0; i < numbers.size(); i += 61) {
        const int moved = numbers[i] + static_cast<int>(i % 5);
        numbers[i] = static_cast<std::int8_t>(std::min(moved, 127));
      }
      values.memory = on.array(numbers, values.memory.shape());
      Array mask({60}, DType::kU8, on.device);
      const std::int64_t active = video_kernels(on.device).commit(on.context(), values.view(), {nullptr, 60}, threshold,
                                                                  kept, mask.data<std::uint8_t>());
      masks.push_back(host<std::uint8_t>(mask));
      EXPECT_EQ(active, std::count(masks.back().begin(), masks.back().end(), 1));
      EXPECT_EQ(active > 0, threshold < 1);
      EXPECT_LT(active, 60);
    });
    EXPECT_EQ(masks[0], masks[1]);
  }
}

TEST_P(ByteRowsTest, GatheredRuns) {
  for (const auto& [from, to] : dtypes())
    for (const bool bare : {false, true}) {
      if (bare && (from != kI8 || to != kI8)) continue;
      expect_same(40, 13, to, [&, read = from](const Machine& on, const RowView& out) {
        Machine::Rows first = on.store(40, 5, read, 1), second = on.store(1, 2, read, 2),
                      third = on.store(40, 9, read, 3), scales = on.store(1, 13, read, 4, 0.03f);
        ChannelRuns runs;
        runs.dtype = read;
        runs.scales = bare ? Scales{} : scales.view().scales;
        runs.add({first.memory.memory(), 5, 4});
        runs.add({second.memory.memory(), 0, 2});
        runs.add({third.memory.memory(), 9, 7});
        RowView given = out;
        if (bare) given.scales = {};
        temporal_shift_kernels(on.device).gather_runs(on.context(), runs, given);
      });
    }
}

}  // namespace
}  // namespace voxshift
