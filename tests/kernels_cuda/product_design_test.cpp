// The designs of the product of f16 rows: the same bits from each, in the emulation; on a device, whose tensor cores
// sum in an order of their own, the same results up to it.
#include <gtest/gtest.h>
#include <voxshift/kernels_cuda/product_design.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/conv_plan.h>
#include <voxshift/sparse_conv/kernels.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <utility>

#include "half_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using cuda::ProductDesign;
using oracle::Matrix;

class ProductDesignTest : public HalfTest {
 protected:
  void TearDown() override { cuda::set_product_design(ProductDesign::kPortable); }

  // Numbers whose products and sums are rounded, some rows and weights far larger than others.
  static Matrix any(std::size_t rows, std::size_t cols, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    Matrix m(rows, cols);
    for (double& v : m.values) v = normal(random) * (random() % 5 == 0 ? 16 : 0.25);
    return m;
  }

  template <class F>
  void expect_same(const F& run) {
    cuda::set_product_design(ProductDesign::kPortable);
    const Array expected = run();
    for (const ProductDesign design : {ProductDesign::kTall, ProductDesign::kWarpgroup}) {
      SCOPED_TRACE(design == ProductDesign::kTall ? "tall" : "wgmma");
      cuda::set_product_design(design);
      const Array first = run();
      if (emulated() || design == ProductDesign::kTall) {
        expect_same_bits(first, expected);
      } else {
        const auto wide = host<float>(converted(expected, DType::kF32));
        Matrix sums(static_cast<std::size_t>(expected.dim(0)), static_cast<std::size_t>(expected.dim(1)));
        std::copy(wide.begin(), wide.end(), sums.values.begin());
        expect_half(first, sums, 0.02);
      }
      for (int i = 0; i < repeats(); ++i) expect_same_bits(run(), first);
    }
  }

  // relu(conv + bias + residual) on the map of a window, forward and back.
  void expect_conv(const oracle::Coords& coords, const oracle::Window& w, std::size_t in, std::size_t out) {
    SCOPED_TRACE(describe(w) + ", " + std::to_string(in) + " -> " + std::to_string(out));
    const SparseTensor x = tensor(coords, Matrix(coords.size(), 1));
    const Window window = make_window("test", x.dims(), options_of(w));
    const auto outputs = x.cache()->coarser(x.map(), window, {});
    const auto map = x.cache()->kernel_map(x.map(), outputs, window);
    const auto& kernels = sparse_conv_kernels(device());
    const std::size_t volume = oracle::volume(w);
    const auto packed = kernels.pack(context(), weight(any(volume * in, out, 2), volume).data<float>(),
                                     static_cast<std::int64_t>(volume), static_cast<std::int64_t>(in),
                                     static_cast<std::int64_t>(out), DType::kF16);
    const Array bias = array(any(1, out, 3));
    for (const bool back : {false, true}) {
      const auto& view = back ? map->transposed() : map->forward();
      const auto rows = static_cast<std::size_t>(view.in_rows), results = static_cast<std::size_t>(view.out_rows);
      const Array source = half(any(rows, in, 1)), residual = half(any(results, out, 4));
      const Epilogue epilogue{bias.data<float>(), rows_of(residual), {Activation::Kind::kRelu, 0}, false};
      expect_same([&] {
        Array result = half(results, out);
        kernels.conv(context(), rows_of(source), view, *packed, epilogue, rows_of(result));
        return result;
      });
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, ProductDesignTest, ::testing::Values(Device::cuda()), device_name);

// Stages of 32 and 64 inputs, all tiles of columns, columns and inputs beyond the last.
TEST_P(ProductDesignTest, ChannelCounts) {
  const auto coords = test_data::cloud(3, emulated() ? 200 : 5000, 1);
  for (const auto& [in, out] : {std::pair{32u, 32u},
                                {8u, 64u},
                                {96u, 96u},
                                {40u, 128u},
                                {64u, 96u},
                                {64u, 24u},
                                {128u, 64u},
                                {32u, 136u},
                                {64u, 200u}})
    expect_conv(coords, test_data::cube(3, 3), in, out);
}

// More offsets than a word has bits, maps that are not symmetric, and none at all.
TEST_P(ProductDesignTest, Windows) {
  const auto coords = test_data::cloud(3, 300, 2);
  for (const auto& w : {test_data::cube(3, 1), test_data::cube(3, 2, 2), test_data::cube(3, 4, 1)})
    expect_conv(coords, w, 32, 72);
}

// Tiles some of whose warpgroups have no offset of the others, and the last of which is not full.
TEST_P(ProductDesignTest, RowsApart) {
  oracle::Coords coords = test_data::cloud(3, emulated() ? 150 : 3000, 3);
  for (std::int32_t i = 0; i < 170; ++i) coords.push_back({0, 1000 + 50 * i, 0, 0});
  expect_conv(coords, test_data::cube(3, 3), 64, 128);
}

TEST_P(ProductDesignTest, LinearOnSlices) {
  const auto& kernels = row_kernels(device());
  const Array source = half(any(300, 128, 5)), w = array(any(64, 72, 6));
  const auto packed = kernels.pack(context(), w.data<float>(), 64, 72, DType::kF16);
  expect_same([&] {
    Array wide = half(any(300, 88, 7));
    kernels.linear(context(), rows_of(source).columns(32, 64), *packed, {}, rows_of(wide).columns(8, 72));
    return wide;
  });
}

}  // namespace
}  // namespace voxshift
