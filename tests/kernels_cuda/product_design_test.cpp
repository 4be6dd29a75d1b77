// The designs of the product: the same bits from all that have one order of sums, and from all of whole numbers, whose
// sums are exact. On a device, tensor cores of warpgroups sum in an order of their own.
#include <gtest/gtest.h>
#include <voxshift/kernels_cuda/product_design.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/conv_plan.h>
#include <voxshift/sparse_conv/kernels.h>

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "half_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using cuda::product_design_named;
using oracle::Matrix;

class ProductDesignTest : public HalfTest {
 protected:
  void TearDown() override { cuda::set_product_design({}); }

  // Numbers whose products and sums are rounded, some rows and weights far larger than others; or whole ones.
  static Matrix numbers(bool whole, std::size_t rows, std::size_t cols, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    Matrix m(rows, cols);
    for (double& v : m.values)
      v = whole ? static_cast<double>(random() % 5) - 2 : normal(random) * (random() % 5 == 0 ? 16 : 0.25);
    return m;
  }
  std::vector<std::string> designs(bool whole) const {
    if (whole) return {"wgmma", "portable-split", "tall-split", "wgmma-split"};
    return emulated() ? std::vector<std::string>{"tall", "wgmma"} : std::vector<std::string>{"tall"};
  }

  template <class F>
  void expect_same(bool whole, const F& run) {
    cuda::set_product_design({});
    const Array expected = run();
    for (const std::string& name : designs(whole)) {
      SCOPED_TRACE(name);
      cuda::set_product_design(cuda::product_design_named(name));
      for (int i = 0; i < repeats(); ++i) expect_same_bits(run(), expected);
    }
  }

  // relu(conv + bias + residual) on the map of a window, forward and back.
  void expect_conv(const oracle::Coords& coords, const oracle::Window& w, std::size_t in, std::size_t out,
                   DType dtype = DType::kF16) {
    SCOPED_TRACE(describe(w) + ", " + std::to_string(in) + " -> " + std::to_string(out));
    const SparseTensor x = tensor(coords, Matrix(coords.size(), 1));
    const Window window = make_window("test", x.dims(), options_of(w));
    const auto outputs = x.cache()->coarser(x.map(), window, {});
    const auto map = x.cache()->kernel_map(x.map(), outputs, window);
    const auto& kernels = sparse_conv_kernels(device());
    const std::size_t volume = oracle::volume(w);
    for (const bool whole : {false, true}) {
      const auto packed = kernels.pack(context(), weight(numbers(whole, volume * in, out, 2), volume).data<float>(),
                                       static_cast<std::int64_t>(volume), static_cast<std::int64_t>(in),
                                       static_cast<std::int64_t>(out), dtype);
      const Array bias = array(numbers(whole, 1, out, 3));
      for (const bool back : {false, true}) {
        const auto& view = back ? map->transposed() : map->forward();
        const auto rows = static_cast<std::size_t>(view.in_rows), results = static_cast<std::size_t>(view.out_rows);
        const Array source = converted(array(numbers(whole, rows, in, 1)), dtype);
        const Array residual = converted(array(numbers(whole, results, out, 4)), dtype);
        const Epilogue epilogue{bias.data<float>(), rows_of(residual), {Activation::Kind::kRelu, 0}, false};
        expect_same(whole, [&] {
          Array result({view.out_rows, static_cast<std::int64_t>(out)}, dtype, device());
          kernels.conv(context(), rows_of(source), view, *packed, epilogue, rows_of(result));
          return result;
        });
      }
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, ProductDesignTest, ::testing::Values(Device::cuda()), device_name);

// Stages of 32 and 64 inputs, all tiles of columns, columns and inputs beyond the last.
TEST_P(ProductDesignTest, ChannelCounts) {
  const auto coords = test_data::cloud(3, emulated() ? 150 : 5000, 1);
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

// Rounded sums in pieces are others than those of whole tiles, and the same on every run.
TEST_P(ProductDesignTest, TilesAreSplit) {
  const auto coords = test_data::cloud(3, emulated() ? 150 : 5000, 5);
  const SparseTensor x = tensor(coords, Matrix(coords.size(), 1));
  const Window window = make_window("test", x.dims(), options_of(test_data::cube(3, 3)));
  const auto map = x.cache()->kernel_map(x.map(), x.map(), window);
  const auto& kernels = sparse_conv_kernels(device());
  const auto packed =
      kernels.pack(context(), weight(numbers(false, 27 * 32, 64, 2), 27).data<float>(), 27, 32, 64, DType::kF32);
  const Array source = array(numbers(false, coords.size(), 32, 1));
  const auto run = [&](const char* name) {
    cuda::set_product_design(cuda::product_design_named(name));
    Array result({source.dim(0), 64}, DType::kF32, device());
    kernels.conv(context(), rows_of(source), map->forward(), *packed, {}, rows_of(result));
    return result;
  };
  const Array whole = run("portable"), split = run("portable-split");
  EXPECT_NE(host<float>(whole), host<float>(split));
  for (int i = 0; i < repeats(); ++i) expect_same_bits(run("portable-split"), split);
}

// Of f32 the tiles may be split, too.
TEST_P(ProductDesignTest, Floats) {
  const auto coords = test_data::cloud(3, emulated() ? 200 : 5000, 4);
  for (const auto& [in, out] : {std::pair{0u, 32u}, {32u, 32u}, {68u, 64u}, {36u, 96u}})
    expect_conv(coords, test_data::cube(3, 3), in, out, DType::kF32);
}

TEST_P(ProductDesignTest, Names) {
  EXPECT_TRUE(cuda::product_design_named("tall-split").split);
  EXPECT_FALSE(cuda::product_design_named("wgmma").split);
  for (const char* const name : {"", "split", "-split", "tall split", "Tall"})
    EXPECT_THROW(cuda::product_design_named(name), InvalidArgument) << name;
}

TEST_P(ProductDesignTest, LinearOnSlices) {
  const auto& kernels = row_kernels(device());
  for (const bool whole : {false, true}) {
    const Array source = half(numbers(whole, 300, 128, 5)), w = array(numbers(whole, 64, 72, 6));
    const auto packed = kernels.pack(context(), w.data<float>(), 64, 72, DType::kF16);
    expect_same(whole, [&] {
      Array wide = half(numbers(whole, 300, 88, 7));
      kernels.linear(context(), rows_of(source).columns(32, 64), *packed, {}, rows_of(wide).columns(8, 72));
      return wide;
    });
  }
}

}  // namespace
}  // namespace voxshift
