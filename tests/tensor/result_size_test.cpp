// Results whose size one number decides: a wrong one is refused before it takes memory.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/dense_grid.h>
#include <voxshift/point_voxel/group.h>
#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/point_voxel/neighbors.h>
#include <voxshift/point_voxel/sampling.h>
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/sparse_conv/combine.h>
#include <voxshift/sparse_conv/pool.h>
#include <voxshift/video/conv2d.h>
#include <voxshift/video/masked_layer.h>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coords;
using oracle::Matrix;

class ResultSizeTest : public DeviceTest {
 protected:
  // One row in cloud 0 and one in `batch`.
  SparseTensor two_rows(std::int32_t batch) const {
    return tensor(Coords{{0, 0, 0}, {batch, 1, 1}}, Matrix(2, 3), {.stride = {1, 1, 1, 1}, .shape = extents({2, 2})});
  }
};
VOXSHIFT_FOR_EACH_DEVICE(ResultSizeTest);

TEST_P(ResultSizeTest, CloudsOfATensor) {
  for (const std::int32_t batch : {65536, 1 << 30, INT32_MAX}) {
    const SparseTensor x = two_rows(batch);
    const std::vector<std::string> parts{"batch index " + std::to_string(batch), "2 rows", "0 to 65535", "number the"};
    const auto with = [&](const std::string& op) {
      std::vector<std::string> all = parts;
      all.push_back(op);
      return all;
    };
    for (const Pooling pooling : {Pooling::kMax, Pooling::kAverage, Pooling::kSum}) {
      expect_throw([&] { global_pool(x, pooling); }, with("[global_pool]"));
      expect_throw([&] { global_pool_backward(x, array(Matrix(2, 3)), pooling); }, with("[global_pool_backward]"));
    }
    expect_throw([&] { to_dense(x, 0); }, with("[to_dense]"));
  }
  const SparseTensor x = two_rows(65535);
  EXPECT_EQ(global_pool(x, Pooling::kSum).shape(), (Shape{65536, 3}));
  EXPECT_EQ(to_dense(x, 0).shape(), (Shape{65536, 3, 2, 2}));
}

TEST_P(ResultSizeTest, AsManyCloudsAsRows) {
  Coords coords;
  for (std::int32_t b = 0; b < 70000; ++b) coords.push_back({b, 0});
  EXPECT_EQ(global_pool(tensor(coords, Matrix(70000, 1)), Pooling::kMax).shape(), (Shape{70000, 1}));
}

TEST_P(ResultSizeTest, NumbersOfOps) {
  constexpr std::int64_t kMany = std::int64_t{1} << 30;
  const Array points = array(test_data::real(8, 3, 1)), features = array(test_data::real(8, 5, 2));
  const Array rows = Array::from(std::vector<std::int32_t>(8, 0), {8}).to(device());
  const Array pairs = Array::from(std::vector<std::int32_t>(8, 0), {4, 2}).to(device());
  const auto refused = [](const char* op, const char* what, const std::function<void()>& call) {
    expect_throw(call, {op, what, "more than 2^31 - 1 numbers"});
  };
  SparseTensor::Options wide;
  wide.shape = extents({30000, 30000});
  const SparseTensor dense = tensor(Coords{{0, 1, 1}}, Matrix(1, 5), wide);
  refused("[to_dense]", "batches: 1", [&] { to_dense(dense, 0); });
  refused("[to_dense]", "batches: 1073741824", [&] { to_dense(two_rows(1), kMany); });
  refused("[voxelize_features]", "voxels: 1073741824", [&] { voxelize_features(features, rows, kMany); });
  refused("[gather_backward]", "rows: 1073741824", [&] { gather_backward(rows, features, kMany); });
  refused("[group_backward]", "rows: 1073741824", [&] {
    group_backward(pairs, array(Matrix(8, 5), {4, 2, 5}), kMany);
  });
  refused("[knn_search]", "queries: 8", [&] { knn_search({points, {}}, {points, {}}, kMany); });
  refused("[hybrid_search]", "queries: 8", [&] { hybrid_search({points, {}}, {points, {}}, 1, kMany); });
  refused("[ball_query]", "centers: 8", [&] { ball_query({points, {}}, {points, {}}, 1, kMany); });
  refused("[furthest_point_sample]", "clouds: 1", [&] {
    furthest_point_sample({points, {}}, 4 * kMany, Ties::kLowest);
  });
  const Array wide_features = array(Matrix(8, 200)), cells = array(Matrix(8, 3));
  refused("[voxelize_dense]", "cells: 16777216", [&] { voxelize_dense(wide_features, {cells, {}}, 256); });
  refused("[devoxelize_dense_backward]", "cells: 16777216", [&] {
    devoxelize_dense_backward({cells, {}}, wide_features, 256);
  });
  Coords row;
  for (std::int32_t i = 0; i < 1 << 19; ++i) row.push_back({0, i, 0, 0});
  ConvOptions large;
  large.kernel_size = {16};
  const SparseTensor cells_of_row = tensor(row, Matrix(row.size(), 1));
  refused("[generative_conv_transpose]", "rows: 524288", [&] {
    generative_conv_transpose(cells_of_row, array(Matrix(4096, 1), {4096, 1, 1}), large);
  });
  const Array weight = array(Matrix(8, 9), {4, 2, 3, 3});
  refused("[conv2d]", "pixels: ", [&] { conv2d(array(Matrix(4, 2), {2, 2, 2}), weight, {}, {1, 20000, 1, {}}); });
  refused("[MaskedLayer]", "pixels: ", [&] {
    MaskedLayer::max_pool2d({40000, 40000}, 3, Window2d{2, 2, 0}, 0, device());
  });
  refused("[MaskedLayer]", "pixels: ", [&] { MaskedLayer::conv2d({40000, 40000}, weight, {}, {}, 0); });
}

// Arrays without memory: what reads them before it refuses them crashes.
TEST_P(ResultSizeTest, IndicesOfGradients) {
  constexpr std::int64_t kMany = std::int64_t{1} << 28;
  const auto missing = [&](const Shape& shape, DType dtype) { return Array(nullptr, shape, dtype, device(), nullptr); };
  const Array indices = missing({kMany, 8}, DType::kI32), weights = missing({kMany, 8}, DType::kF32);
  const auto refused = [](const char* op, const std::function<void()>& call) {
    expect_throw(call, {op, "expected at most 2^31 - 1 indices, found 2147483648"});
  };
  refused("[interpolate_backward]", [&] {
    interpolate_backward({indices, weights, 1}, missing({kMany, 1}, DType::kF32));
  });
  refused("[devoxelize_backward]", [&] {
    const SparseTensor x = tensor(Coords{{0, 0, 0, 0}}, Matrix(1, 1));
    devoxelize_backward(x, missing({kMany, 4}, DType::kF32), missing({kMany, 1}, DType::kF32),
                        Trilinear::kRenormalized);
  });
  refused("[gather_backward]", [&] { gather_backward(indices, missing({kMany, 8, 1}, DType::kF32), 1); });
  refused("[group_backward]", [&] { group_backward(indices, missing({kMany, 8, 4}, DType::kF32), 1); });
}

}  // namespace
}  // namespace voxshift
