// Pooling on sparse tensors, in windows and over whole batches.
#include <gtest/gtest.h>
#include <voxshift/sparse_conv/pool.h>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coords;
using oracle::Matrix;

const std::vector<std::pair<Pooling, oracle::Pool>> kKinds = {{Pooling::kMax, oracle::Pool::kMax},
                                                              {Pooling::kAverage, oracle::Pool::kAverage},
                                                              {Pooling::kSum, oracle::Pool::kSum}};

class PoolTest : public DeviceTest {
 protected:
  void expect_pool(const Coords& coords, const oracle::Window& w, std::size_t channels) const {
    SCOPED_TRACE(describe(w) + ", " + std::to_string(channels) + " channels");
    const Matrix in = test_data::whole(coords.size(), channels, 1);
    SparseTensor::Options options;
    const auto shape = test_data::shape_of(coords);
    if (w.bounded) options.shape = extents(shape);
    const SparseTensor x = tensor(coords, in, options);
    const Coords outputs = oracle::outputs(coords, w, shape);
    const auto pairs = oracle::pairs(coords, outputs, w);
    for (const auto& [pooling, kind] : kKinds) {
      const SparseTensor y = pool(x, pooling, options_of(w));
      ASSERT_EQ(coords_of(y.coords()), outputs);
      const Matrix expected = oracle::pool(in, pairs, outputs.size(), kind);
      for (std::size_t d = 0; d < w.stride.size(); ++d) ASSERT_EQ(y.stride()[d], w.stride[d]);
      if (pooling == Pooling::kAverage) {
        expect_close(y.features(), expected);
      } else {
        expect_equal(y.features(), expected);
      }
    }
  }
};
VOXSHIFT_FOR_EACH_DEVICE(PoolTest);

TEST_P(PoolTest, FloorWindowsOnEveryDimension) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const auto& w : test_data::floor_windows(dims)) expect_pool(test_data::cloud(dims, 120, 1), w, 3);
}

TEST_P(PoolTest, BoundedWindowsOnEveryDimension) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const auto& w : test_data::bounded_windows(dims)) expect_pool(test_data::cloud(dims, 90, 2, 0), w, 3);
}

TEST_P(PoolTest, AllChannelCounts) {
  for (std::size_t channels = 1; channels <= 67; ++channels)
    expect_pool(test_data::cloud(2, 40, 3), test_data::cube(2, 3, 2), channels);
}

TEST_P(PoolTest, MoreThanOneBlock) {
  expect_pool(test_data::cloud(3, 5003, 4), test_data::cube(3, 3), 5);
  expect_pool(test_data::cloud(3, 5003, 4), test_data::cube(3, 2, 2), 5);
}

TEST_P(PoolTest, ARowWithoutInputsIsZero) {
  const SparseTensor x = tensor({{0, 1}, {0, 4}}, test_data::whole(2, 3, 1));
  for (const auto& [pooling, kind] : kKinds) {
    const SparseTensor y = pool(x, pooling, options_of(test_data::cube(1, 1, 2)));
    const auto values = host<float>(y.features());
    EXPECT_EQ((std::vector<float>{values[0], values[1], values[2]}), (std::vector<float>{0, 0, 0}));
  }
}

TEST_P(PoolTest, MaximumOfNegativeValuesIsNegative) {
  const SparseTensor x = tensor({{0, 0}, {0, 1}}, oracle::apply(Matrix(2, 1), [](double) { return -3.0; }));
  const auto values = host<float>(pool(x, Pooling::kMax, options_of(test_data::cube(1, 2, 2))).features());
  EXPECT_EQ(values, (std::vector<float>{-3}));
}

TEST_P(PoolTest, EmptyTensor) {
  const SparseTensor none(array(Coords{}, 3), array(Matrix(0, 4), {0, 4}));
  for (const auto& [pooling, kind] : kKinds) {
    EXPECT_EQ(pool(none, pooling, options_of(test_data::cube(3, 2, 2))).features().shape(), (Shape{0, 4}));
    EXPECT_EQ(global_pool(none, pooling).shape(), (Shape{0, 4}));
  }
}

// Batch 2 of the cloud has no rows.
TEST_P(PoolTest, GlobalPerBatch) {
  for (const std::size_t rows : {7, 5003})
    for (const std::size_t channels : {1, 5, 16, 67}) {
      const auto coords = test_data::cloud(3, rows, 5);
      const Matrix in = test_data::whole(rows, channels, 6);
      std::vector<std::vector<std::size_t>> batches(4);
      for (std::size_t i = 0; i < rows; ++i) batches[static_cast<std::size_t>(coords[i][0])].push_back(i);
      ASSERT_TRUE(batches[2].empty());
      const SparseTensor x = tensor(coords, in);
      for (const auto& [pooling, kind] : kKinds) {
        const Matrix expected = oracle::pool(in, batches, kind);
        if (pooling == Pooling::kAverage) {
          expect_close(global_pool(x, pooling), expected);
        } else {
          expect_equal(global_pool(x, pooling), expected);
        }
      }
    }
}

TEST_P(PoolTest, SameBitsOnAnyNumberOfThreads) {
  const auto coords = test_data::cloud(3, 6000, 7);
  const SparseTensor x = tensor(coords, test_data::real(coords.size(), 9, 8));
  const auto run = [&](Pooling pooling) {
    return std::pair(pool(x, pooling, options_of(test_data::cube(3, 3, 2))).features(), global_pool(x, pooling));
  };
  for (const auto& [pooling, kind] : kKinds) {
    set_num_threads(1);
    const auto expected = run(pooling);
    for (const int threads : {1, 2, 3})
      for (int repeat = 0; repeat < repeats(); ++repeat) {
        set_num_threads(threads);
        const auto again = run(pooling);
        expect_same_bits(again.first, expected.first);
        expect_same_bits(again.second, expected.second);
      }
  }
}

TEST_P(PoolTest, WrongWindowsAreRefused) {
  const SparseTensor x = tensor({{0, 0, 0}}, test_data::whole(1, 2, 1));
  ConvOptions options;
  options.stride = {0};
  expect_throw([&] { pool(x, Pooling::kMax, options); }, {"[pool]", "stride of axis 0"});
  options = {};
  options.kernel_size = {2, 2, 2};
  expect_throw([&] { pool(x, Pooling::kMax, options); }, {"[pool]", "kernel_size expects 1 or 2 values, found 3"});
  options = {};
  options.padding = {1};
  expect_throw([&] { pool(x, Pooling::kMax, options); }, {"[pool]", "padding"});
  options.semantics = Semantics::kBounded;
  expect_throw([&] { pool(x, Pooling::kMax, options); }, {"shape"});
}

}  // namespace
}  // namespace voxshift
