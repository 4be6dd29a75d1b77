// Sparse tensors: order of rows, repeats, shared memory, and what is refused.
#include <gtest/gtest.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <algorithm>
#include <limits>
#include <random>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coords;
using oracle::Matrix;

class SparseTensorTest : public DeviceTest {
 protected:
  static SparseTensor::Options reducing(Reduce reduce) {
    SparseTensor::Options options;
    options.reduce = reduce;
    return options;
  }
};
VOXSHIFT_FOR_EACH_DEVICE(SparseTensorTest);

TEST_P(SparseTensorTest, SortedRowsAreSharedNotCopied) {
  for (int dims = 1; dims <= 4; ++dims) {
    const auto coords = test_data::cloud(dims, 200, 1);
    const Array features = array(test_data::whole(200, 3, 2));
    for (const Reduce reduce : {Reduce::kNone, Reduce::kSum}) {
      const SparseTensor x(array(coords, dims), features, reducing(reduce));
      EXPECT_EQ(x.features().memory(), features.memory());
      EXPECT_EQ(coords_of(x.coords()), coords);
      const auto inverse = host<std::int32_t>(x.inverse());
      for (std::size_t i = 0; i < inverse.size(); ++i) ASSERT_EQ(inverse[i], static_cast<std::int32_t>(i));
      EXPECT_EQ(x.size(), 200);
      EXPECT_EQ(x.channels(), 3);
      EXPECT_EQ(x.dims(), dims);
      EXPECT_EQ(x.device(), device());
    }
  }
}

TEST_P(SparseTensorTest, RowsAreSortedAndInverseTellsWhereTheyWent) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const std::size_t rows : {2, 300, 30000}) {
      if (dims != 3 && rows > 300) continue;
      const auto sorted = test_data::cloud(dims, rows, 3);
      Coords given = sorted;
      std::shuffle(given.begin(), given.end(), std::mt19937(4));
      std::swap(given[0], *std::max_element(given.begin(), given.end()));
      const Matrix features = test_data::real(rows, 2, 5);
      for (const int threads : {1, 3}) {
        set_num_threads(threads);
        const SparseTensor x = tensor(given, features);
        ASSERT_EQ(coords_of(x.coords()), sorted);
        const auto inverse = host<std::int32_t>(x.inverse());
        const auto values = host<float>(x.features());
        for (std::size_t i = 0; i < rows; ++i) {
          const auto row = static_cast<std::size_t>(inverse[i]);
          ASSERT_EQ(sorted[row], given[i]);
          ASSERT_EQ(values[2 * row], features.at(i, 0));
          ASSERT_EQ(values[2 * row + 1], features.at(i, 1));
        }
      }
    }
}

// Repeats are reduced in the order they were given.
TEST_P(SparseTensorTest, RepeatsAreReduced) {
  const Coords unique = test_data::cloud(3, 2500, 6);
  std::mt19937 random(7);
  Coords given;
  std::vector<std::size_t> row_of;
  for (std::size_t i = 0; i < 6000; ++i) {
    row_of.push_back(i < unique.size() ? unique.size() - 1 - i : random() % unique.size());
    given.push_back(unique[row_of.back()]);
  }
  const Matrix in = test_data::whole(given.size(), 5, 8);
  std::vector<std::vector<std::size_t>> members(unique.size());
  for (std::size_t i = 0; i < given.size(); ++i) members[row_of[i]].push_back(i);
  Matrix first(unique.size(), 5);
  for (std::size_t r = 0; r < unique.size(); ++r)
    for (std::size_t c = 0; c < 5; ++c) first.at(r, c) = in.at(members[r][0], c);

  const auto reduced = [&](Reduce reduce) {
    const SparseTensor x = tensor(given, in, reducing(reduce));
    EXPECT_EQ(coords_of(x.coords()), unique);
    const auto inverse = host<std::int32_t>(x.inverse());
    for (std::size_t i = 0; i < given.size(); ++i) EXPECT_EQ(inverse[i], static_cast<std::int32_t>(row_of[i]));
    return x.features();
  };
  expect_equal(reduced(Reduce::kFirst), first);
  expect_equal(reduced(Reduce::kSum), oracle::pool(in, members, oracle::Pool::kSum));
  expect_equal(reduced(Reduce::kMax), oracle::pool(in, members, oracle::Pool::kMax));
  expect_close(reduced(Reduce::kMean), oracle::pool(in, members, oracle::Pool::kAverage));
}

TEST_P(SparseTensorTest, SumsAreTakenInTheOrderGiven) {
  const Coords same(3, {0, 0});
  Matrix in(3, 1);
  in.values = {1e8, 1.0, -1e8};  // 1e8 + 1 rounds to 1e8 in float32
  EXPECT_EQ(host<float>(tensor(same, in, reducing(Reduce::kSum)).features()), (std::vector<float>{0.0F}));
  in.values = {1e8, -1e8, 1.0};
  EXPECT_EQ(host<float>(tensor(same, in, reducing(Reduce::kSum)).features()), (std::vector<float>{1.0F}));
}

TEST_P(SparseTensorTest, StrideAndShapeAreKept) {
  SparseTensor::Options options;
  options.stride = extents({2, 4, 8});
  options.shape = extents({10, 11, 12});
  const SparseTensor x = tensor({{0, 9, 10, 11}}, Matrix(1, 2), options);
  EXPECT_EQ(x.stride(), extents({2, 4, 8}));
  EXPECT_EQ(x.shape(), extents({10, 11, 12}));
  const Array other = array(test_data::whole(1, 7, 1));
  const SparseTensor y = x.with_features(other);
  EXPECT_EQ(y.stride(), x.stride());
  EXPECT_EQ(y.shape(), x.shape());
  EXPECT_EQ(y.map(), x.map());
  EXPECT_EQ(y.cache(), x.cache());
  EXPECT_EQ(y.features().memory(), other.memory());
  EXPECT_EQ(y.channels(), 7);
  const SparseTensor plain = tensor({{0, 1}}, Matrix(1, 1));
  EXPECT_EQ(plain.stride(), extents({1}));
  EXPECT_FALSE(plain.shape().has_value());
}

TEST_P(SparseTensorTest, EdgesOfCoordinates) {
  constexpr std::int64_t kLowest = std::numeric_limits<std::int32_t>::min();
  constexpr std::int64_t kHighest = std::numeric_limits<std::int32_t>::max();
  for (const Coords& coords : {Coords{{0, kLowest}, {0, kHighest}}, Coords{{0, kLowest, kHighest, 0}},
                               Coords{{kHighest, 0}}, Coords{{0, -1, 0}, {0, 0, -1}, {0, 0, 0}, {1, -5, -5}}})
    EXPECT_EQ(coords_of(tensor(coords, Matrix(coords.size(), 1)).coords()), coords);
  const SparseTensor none(array(Coords{}, 3), array(Matrix(), {0, 4}));
  EXPECT_EQ(none.size(), 0);
  EXPECT_EQ(none.coords().shape(), (Shape{0, 4}));
  EXPECT_EQ(none.inverse().shape(), (Shape{0}));
}

TEST_P(SparseTensorTest, CoordinatesAreASetThatTensorsShare) {
  const Coords given{{1, 5, -2}, {0, 3, 1}, {1, 5, -2}, {0, -4, 9}};
  const Coordinates cells(array(given, 2), extents({2, 4}));
  EXPECT_EQ(coords_of(cells.coords()), (Coords{{0, -4, 9}, {0, 3, 1}, {1, 5, -2}}));
  EXPECT_EQ(host<std::int32_t>(cells.inverse()), (std::vector<std::int32_t>{2, 1, 2, 0}));
  EXPECT_EQ(cells.size(), 3);
  EXPECT_EQ(cells.device(), device());
  const Array features = array(test_data::whole(3, 2, 1));
  const SparseTensor x(cells, features);
  EXPECT_EQ(x.features().memory(), features.memory());
  EXPECT_EQ(x.map(), cells.map());
  EXPECT_EQ(x.cache(), cells.cache());
  EXPECT_EQ(x.stride(), extents({2, 4}));
  EXPECT_EQ(x.inverse().count(), 0);
  EXPECT_EQ(x.coordinates().to(device()).map(), cells.map());
  expect_throw([&] { SparseTensor(cells, array(Matrix(4, 2))); }, {"[SparseTensor]", "f32 [3, C]", "[4, 2]"});
}

TEST_P(SparseTensorTest, WrongArgumentsAreRefused) {
  const Array one = array({{0, 1, 2}}, 2), row = array(Matrix(1, 2));
  const auto refused = [&](const Array& coords, const Array& features, const std::vector<std::string>& parts,
                           const SparseTensor::Options& options = {}) {
    auto with_op = parts;
    with_op.emplace_back("[SparseTensor]");
    expect_throw([&] { SparseTensor(coords, features, options); }, with_op);
  };
  const auto bad_coordinates = [&](const Array& coords, const std::vector<std::string>& parts,
                                   const SparseTensor::Options& options = {}) {
    auto with_op = parts;
    with_op.emplace_back("[Coordinates]");
    expect_throw([&] { SparseTensor(coords, Array({coords.dim(0), 2}, DType::kF32, device()), options); }, with_op);
    expect_throw([&] { Coordinates(coords, options.stride, options.shape); }, with_op);
  };
  bad_coordinates(array(Matrix(1, 3)), {"i32", "f32"});
  bad_coordinates(one.reshaped({3}), {"[N, 1 + D]", "[3]"});
  bad_coordinates(array({{0}}, 0), {"D = 1..4", "[1, 1]"});
  bad_coordinates(array({{0, 1, 2, 3, 4, 5}}, 5), {"D = 1..4", "[1, 6]"});
  refused(one, array(Matrix(1, 2), {2}), {"features", "[2]"});
  refused(one, Array({1, 2}, DType::kI32, device()), {"features", "i32"});
  refused(one, array(Matrix(2, 2)), {"1 rows", "2"});
  bad_coordinates(array({{-1, 0, 0}}, 2), {"batch", "-1"});
  refused(array({{0, 0, 0}, {0, 0, 0}, {0, 1, 0}}, 2), array(Matrix(3, 1)), {"1 repeated", "reduce="});
  SparseTensor::Options options;
  options.stride = extents({1, 0});
  bad_coordinates(one, {"stride of axis 1", "0"}, options);
  options = {};
  options.shape = extents({1, 3});
  bad_coordinates(one, {"axis 0", "0..0"}, options);
  bad_coordinates(array({{0, 0, -1}}, 2), {"axis 1", "-1"}, options);
  options.shape = extents({1, -3});
  bad_coordinates(array(Coords{}, 2), {"shape", "axis 1"}, options);

  const SparseTensor x(one, row);
  expect_throw([&] { x.with_features(array(Matrix(2, 2))); }, {"[with_features]", "f32 [1, C]", "[2, 2]"});
  expect_throw([&] { x.with_features(vector({1, 2})); }, {"[with_features]", "[2]"});
  expect_throw([&] { x.with_features(Array({1, 2}, DType::kU8, device())); }, {"[with_features]", "u8"});
}

}  // namespace
}  // namespace voxshift
