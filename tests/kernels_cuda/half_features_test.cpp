// Features in f16 and bf16 on CUDA: products on tensor cores and the other ops of inference, against plain loops in
// double on the same rounded numbers.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/sparse_conv/conv_plan.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tasks/segmenter.h>
#include <voxshift/tensor/kernels.h>

#include <cmath>

#include "half_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Matrix;

class HalfFeaturesTest : public HalfTest {
 protected:
  // relu(conv + bias + residual) on the map of a window, forward and back.
  void expect_conv(const oracle::Coords& coords, const oracle::Window& w, std::size_t in, std::size_t out) const {
    SCOPED_TRACE(describe(w) + ", " + std::to_string(in) + " -> " + std::to_string(out));
    const auto coarse = oracle::outputs(coords, w, {});
    const auto pairs = oracle::pairs(coords, coarse, w);
    const SparseTensor x = tensor(coords, Matrix(coords.size(), 1));
    const Window window = make_window("test", x.dims(), options_of(w));
    const auto outputs = x.cache()->coarser(x.map(), window, {});
    const auto map = x.cache()->kernel_map(x.map(), outputs, window);
    for (const bool back : {false, true}) {
      const std::size_t rows = back ? coarse.size() : coords.size(), results = back ? coords.size() : coarse.size();
      const Matrix features = test_data::whole(rows, in, 1), weights = test_data::whole(oracle::volume(w) * in, out, 2);
      const Matrix bias = test_data::whole(1, out, 3), residual = test_data::whole(results, out, 4);
      const auto& kernels = sparse_conv_kernels(device());
      const auto packed = kernels.pack(context(), weight(weights, oracle::volume(w)).data<float>(),
                                       static_cast<std::int64_t>(oracle::volume(w)), static_cast<std::int64_t>(in),
                                       static_cast<std::int64_t>(out), narrow());
      const Array biases = array(bias), added = half(residual), source = half(features);
      Array result = half(results, out);
      const Epilogue epilogue{biases.data<float>(), rows_of(added), {Activation::Kind::kRelu, 0}, false};
      kernels.conv(context(), rows_of(source), back ? map->transposed() : map->forward(), *packed, epilogue,
                   rows_of(result));
      Matrix expected = oracle::conv(features, back ? oracle::swapped(pairs) : pairs, weights, results);
      expected = oracle::plus(oracle::plus_bias(expected, bias.values), residual);
      expect_half(result, oracle::apply(expected, [](double v) { return v > 0 ? v : 0; }));
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, HalfFeaturesTest, ::testing::Values(Device::cuda()), device_name);

// Below, at and above the widths of chunks, stages and tiles.
TEST_P(HalfFeaturesTest, ConvOfManyChannelCounts) {
  const auto coords = test_data::cloud(3, 150, 1);
  in_f16_and_bf16([&] {
    const std::size_t part = !emulated() ? 1 : narrow() == DType::kF16 ? 3 : 6;
    for (const std::size_t in : {1u, 4u, 7u, 8u, 9u, 31u, 32u, 33u, 40u, 64u, 67u, 96u})
      for (const std::size_t out : {1u, 3u, 8u, 19u, 32u, 33u, 64u, 67u, 96u, 130u})
        if ((in * 7 + out) % part == 0) expect_conv(coords, test_data::cube(3, 3), in, out);
  });
}

// A tile whose rows share few offsets, more offsets than a word has bits, and maps that are not symmetric.
TEST_P(HalfFeaturesTest, ConvOfManyWindows) {
  const auto coords = test_data::cloud(3, emulated() ? 300 : 3000, 2);
  in_f16_and_bf16([&] {
    for (const auto& w : {test_data::cube(3, 1), test_data::cube(3, 2, 2), test_data::cube(3, 3, 2),
                          test_data::cube(3, 3, 1, 2), test_data::cube(3, 4, 1), test_data::cube(3, 5)})
      expect_conv(coords, w, 16, 24);
  });
}

// Enough rows that all processors have tall tiles.
TEST_P(HalfFeaturesTest, ConvInTallTiles) {
  const auto coords = test_data::cloud(3, emulated() ? 1300 : 40000, 3);
  in_f16_and_bf16([&] {
    for (const std::size_t out : {96u, 128u, 160u})
      if (!emulated() || narrow() == DType::kF16 || out < 160)
        expect_conv(coords, test_data::cube(3, 3), emulated() ? 8 : 64, out);
  });
}

TEST_P(HalfFeaturesTest, SlicesOfColumns) {
  in_f16_and_bf16([&] {
    const Matrix in = test_data::whole(300, 48, 5), weights = test_data::whole(16, 24, 6);
    const Array source = half(in), w = array(weights);
    Array wide = half(test_data::whole(300, 64, 7));
    const auto& kernels = row_kernels(device());
    const auto packed = kernels.pack(context(), w.data<float>(), 16, 24, narrow());
    Matrix expected = test_data::whole(300, 64, 7), slice(300, 16);
    for (const std::int64_t first : {8, 3}) {  // 16-byte chunks, and single halves
      for (std::size_t r = 0; r < 300; ++r)
        for (std::size_t c = 0; c < 16; ++c) slice.at(r, c) = in.at(r, static_cast<std::size_t>(first) + c);
      kernels.linear(context(), rows_of(source).columns(first, 16), *packed, {}, rows_of(wide).columns(5, 24));
      const Matrix product = oracle::linear(slice, weights);
      for (std::size_t r = 0; r < 300; ++r)
        for (std::size_t c = 0; c < 24; ++c) expected.at(r, 5 + c) = product.at(r, c);
      expect_half(wide, expected);
    }
  });
}

TEST_P(HalfFeaturesTest, NoRowsAndNoChannels) {
  in_f16_and_bf16([&] {
    const auto& kernels = row_kernels(device());
    const Array w({32, 8}, DType::kF32, device());
    Array out = half(0, 8);
    kernels.linear(context(), rows_of(half(0, 32)), *kernels.pack(context(), w.data<float>(), 32, 8, narrow()), {},
                   rows_of(out));
    // Without inputs the epilogue is what remains.
    const Matrix bias = test_data::whole(1, 8, 2);
    const Array biases = array(bias), nothing({0, 8}, DType::kF32, device());
    Array rows = half(9, 8);
    kernels.linear(context(), rows_of(half(9, 0)), *kernels.pack(context(), nothing.data<float>(), 0, 8, narrow()),
                   {biases.data<float>(), {}, {}, false}, rows_of(rows));
    expect_half(rows, oracle::plus_bias(Matrix(9, 8), bias.values));
  });
}

TEST_P(HalfFeaturesTest, RowsAndSegments) {
  in_f16_and_bf16([&] {
    const Matrix in = test_data::whole(500, 20, 8), other = test_data::whole(500, 20, 9);
    const Array source = half(in), added = half(other);
    Array out = half(500, 20);
    const auto& kernels = row_kernels(device());
    kernels.affine(context(), rows_of(source), nullptr, nullptr, rows_of(added), {Activation::Kind::kRelu, 0},
                   rows_of(out));
    expect_half(out, oracle::apply(oracle::plus(in, other), [](double v) { return v > 0 ? v : 0; }));
    kernels.apply(context(), Elementwise{Elementwise::Kind::kSigmoid}, rows_of(source), rows_of(out));
    expect_half(out, oracle::apply(in, [](double v) { return 1 / (1 + std::exp(-v)); }));

    std::vector<std::int32_t> segment(500);
    std::vector<std::vector<std::size_t>> members(60);
    for (std::size_t i = 0; i < 500; ++i) {
      segment[i] = static_cast<std::int32_t>(i * 37 % 61) - 1;
      if (segment[i] >= 0) members[static_cast<std::size_t>(segment[i])].push_back(i);
    }
    const Array segments = Array::from(segment, {500}).to(device());
    Array reduced = half(60, 20);
    for (const auto& [reduce, pool] :
         {std::pair{Reduce::kMax, oracle::Pool::kMax}, {Reduce::kMean, oracle::Pool::kAverage}}) {
      coordinate_kernels(device()).reduce(context(), rows_of(source), segments.data<std::int32_t>(), reduce,
                                          rows_of(reduced));
      expect_half(reduced, oracle::pool(in, members, pool));
    }

    std::vector<std::int32_t> picked(90);
    std::vector<float> weights(90);
    Matrix mixed(30, 20);
    for (std::size_t e = 0; e < 90; ++e) {
      picked[e] = static_cast<std::int32_t>(e * 7 % 500) - (e % 10 == 0 ? 500 : 0);
      if (picked[e] < 0) picked[e] = -1;
      weights[e] = static_cast<float>(e % 4);
      for (std::size_t c = 0; c < 20 && picked[e] >= 0; ++c)
        mixed.at(e / 3, c) += weights[e] * in.at(static_cast<std::size_t>(picked[e]), c);
    }
    Array result = half(30, 20);
    const Array indices = Array::from(picked, {30, 3}).to(device()),
                factors = Array::from(weights, {30, 3}).to(device());
    point_voxel_kernels(device()).interpolate(context(), rows_of(source), indices.data<std::int32_t>(),
                                              factors.data<float>(), 3, rows_of(result));
    expect_half(result, mixed);
  });
}

// The same labels as f32 on nearly all points of a scan, the same bits on every run. f16 may change 3 % of them; bf16,
// which rounds by 8 times as much, 8 times as many.
TEST_P(HalfFeaturesTest, NetworkAgreesWithFloat) {
  const Model model = Model::create({"minkunet", 0.25, 19, 3});
  const SynthScan scan = synth_lidar(9);
  const std::int64_t n = emulated() ? 400 : static_cast<std::int64_t>(scan.labels.size());
  const Array points =
      Array::from(std::vector<float>(scan.points.begin(), scan.points.begin() + 4 * n), {n, 4}).to(device());
  const auto expected = host<std::uint8_t>(Segmenter(model, device(), 0, DType::kF32).segment(points).labels);
  EXPECT_EQ(Segmenter(model, device()).session().dtype(), DType::kF16);
  in_f16_and_bf16([&] {
    Segmenter segmenter(model, device(), 0, narrow());
    EXPECT_EQ(segmenter.session().dtype(), narrow());
    const Segmentation first = segmenter.segment(points, true);
    const auto labels = host<std::uint8_t>(first.labels);
    std::int64_t other = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) other += labels[i] != expected[i];
    EXPECT_LE(static_cast<double>(other), (narrow() == DType::kF16 ? 0.03 : 0.24) * static_cast<double>(n));
    for (int run = 0; run < repeats(); ++run) {
      const Segmentation again = segmenter.segment(points, true);
      expect_same_bits(again.labels, first.labels);
      expect_same_bits(again.scores, first.scores);
    }
  });
}

}  // namespace
}  // namespace voxshift
