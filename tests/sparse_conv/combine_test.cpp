// Sparse tensors joined, selected, and made dense.
#include <gtest/gtest.h>
#include <voxshift/sparse_conv/combine.h>

#include <limits>
#include <map>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coords;
using oracle::Matrix;

class CombineTest : public DeviceTest {
 protected:
  SparseTensor empty(std::int64_t channels, const SparseTensor::Options& options = {}) const {
    return {array(Coords{}, 3), array(Matrix(), {0, channels}), options};
  }
  Array mask(const std::vector<std::uint8_t>& values) const {
    return Array::from(values, {static_cast<std::int64_t>(values.size())}).to(device());
  }
};
VOXSHIFT_FOR_EACH_DEVICE(CombineTest);

TEST_P(CombineTest, CatPutsChannelsSideBySide) {
  const auto coords = test_data::cloud(3, 300, 1);
  const std::vector<std::size_t> widths = {1, 16, 5, 67};
  const SparseTensor x = tensor(coords, Matrix(300, 1));
  std::vector<SparseTensor> parts;
  Matrix expected(300, 89);
  std::size_t first = 0;
  for (const std::size_t width : widths) {
    const Matrix part = test_data::real(300, width, static_cast<unsigned>(width));
    parts.push_back(first == 0 ? x.with_features(array(part)) : tensor(coords, part));  // maps shared and equal
    for (std::size_t r = 0; r < 300; ++r)
      for (std::size_t c = 0; c < width; ++c) expected.at(r, first + c) = part.at(r, c);
    first += width;
  }
  const SparseTensor y = cat(parts);
  EXPECT_EQ(y.map(), x.map());
  expect_equal(y.features(), expected);
  expect_equal(cat({parts[1]}).features(), test_data::real(300, 16, 16));
}

TEST_P(CombineTest, AddWithActivationAtEveryWidth) {
  const auto coords = test_data::cloud(2, 30, 2);
  for (std::size_t channels = 1; channels <= 67; ++channels) {
    const Matrix a = test_data::whole(30, channels, 3), b = test_data::whole(30, channels, 4);
    const SparseTensor x = tensor(coords, a), y = tensor(coords, b);
    expect_equal(add(x, y).features(), oracle::plus(a, b));
    expect_equal(add(x, y, {Activation::Kind::kRelu6, 0}).features(), oracle::apply(oracle::plus(a, b), [](double v) {
                   return v > 6 ? 6 : v > 0 ? v : 0;
                 }));
  }
}

TEST_P(CombineTest, UnionAddCountsAMissingRowAsZero) {
  for (int dims = 1; dims <= 4; ++dims) {
    const auto left = test_data::cloud(dims, 300, 5), right = test_data::cloud(dims, 200, 6, -1);
    const Matrix a = test_data::whole(left.size(), 5, 7), b = test_data::whole(right.size(), 5, 8);
    std::map<oracle::Coord, std::vector<double>> sum;
    std::size_t shared = left.size() + right.size();
    for (const auto& [coords, m] : {std::pair(&left, &a), std::pair(&right, &b)})
      for (std::size_t r = 0; r < coords->size(); ++r) {
        auto& row = sum.try_emplace((*coords)[r], 5, 0.0).first->second;
        for (std::size_t c = 0; c < 5; ++c) row[c] += m->at(r, c);
      }
    shared -= sum.size();
    ASSERT_GT(shared, 0U) << "the clouds must overlap";
    Coords coords;
    Matrix expected(0, 5);
    for (const auto& [c, row] : sum) {
      coords.push_back(c);
      expected.values.insert(expected.values.end(), row.begin(), row.end());
      ++expected.rows;
    }
    const SparseTensor y = union_add(tensor(left, a), tensor(right, b));
    EXPECT_EQ(coords_of(y.coords()), coords);
    expect_equal(y.features(), expected);
  }
}

TEST_P(CombineTest, UnionAddWithNothing) {
  const auto coords = test_data::cloud(3, 50, 9);
  const Matrix a = test_data::whole(50, 5, 10);
  const SparseTensor x = tensor(coords, a);
  expect_equal(union_add(x, empty(5)).features(), a);
  expect_equal(union_add(empty(5), x).features(), a);
  EXPECT_EQ(union_add(empty(5), empty(5)).features().shape(), (Shape{0, 5}));
}

TEST_P(CombineTest, SelectRowsKeepsTheOrder) {
  const auto coords = test_data::cloud(3, 300, 11);
  const Matrix in = test_data::real(300, 7, 12);
  std::vector<std::uint8_t> keep(300);
  Coords kept;
  Matrix expected(0, 7);
  for (std::size_t i = 0; i < 300; ++i) {
    if (i % 3 == 1) continue;
    keep[i] = static_cast<std::uint8_t>(1 + i % 5);
    kept.push_back(coords[i]);
    ++expected.rows;
    for (std::size_t c = 0; c < 7; ++c) expected.values.push_back(in.at(i, c));
  }
  SparseTensor::Options options;
  options.stride = extents({2, 4, 8});
  const SparseTensor y = select_rows(tensor(coords, in, options), mask(keep));
  EXPECT_EQ(coords_of(y.coords()), kept);
  EXPECT_EQ(y.stride(), extents({2, 4, 8}));
  expect_equal(y.features(), expected);
  const SparseTensor none = select_rows(tensor(coords, in), mask(std::vector<std::uint8_t>(300)));
  EXPECT_EQ(none.features().shape(), (Shape{0, 7}));
  expect_equal(select_rows(tensor(coords, in), mask(std::vector<std::uint8_t>(300, 1))).features(), in);
}

TEST_P(CombineTest, DenseAndBack) {
  for (int dims = 1; dims <= 4; ++dims) {
    const auto coords = test_data::cloud(dims, 60, 13, 0);
    const auto shape = test_data::shape_of(coords);
    Matrix in = test_data::whole(60, 3, 14);
    for (std::size_t r = 0; r < 60; ++r) in.at(r, r % 3) = 1;  // a row of zeros would not come back
    SparseTensor::Options options;
    options.shape = extents(shape);
    const SparseTensor x = tensor(coords, in, options);
    const Array dense = to_dense(x);
    Shape expected_shape = {4, 3};
    std::int64_t cells = 1;
    for (const int e : shape) {
      expected_shape.push_back(e);
      cells *= e;
    }
    ASSERT_EQ(dense.shape(), expected_shape);
    std::vector<float> expected(static_cast<std::size_t>(4 * 3 * cells), 0.0F);
    for (std::size_t r = 0; r < 60; ++r)
      for (std::size_t c = 0; c < 3; ++c) {
        std::int64_t at = coords[r][0] * 3 + static_cast<std::int64_t>(c);
        for (std::size_t d = 0; d < shape.size(); ++d) at = at * shape[d] + coords[r][d + 1];
        expected[static_cast<std::size_t>(at)] = static_cast<float>(in.at(r, c));
      }
    EXPECT_EQ(host<float>(dense), expected);

    const SparseTensor back = from_dense(dense);
    EXPECT_EQ(coords_of(back.coords()), coords);
    EXPECT_EQ(back.shape(), x.shape());
    expect_equal(back.features(), in);
    EXPECT_EQ(to_dense(x, 6).dim(0), 6) << "batches beyond the last row are zeros";
    EXPECT_EQ(to_dense(x, 2).dim(0), 4);
  }
}

TEST_P(CombineTest, DenseOfNothing) {
  SparseTensor::Options options;
  options.shape = extents({2, 3, 4});
  EXPECT_EQ(to_dense(empty(5, options)).shape(), (Shape{0, 5, 2, 3, 4}));
  EXPECT_EQ(host<float>(to_dense(empty(1, options), 1)), std::vector<float>(24, 0.0F));
  EXPECT_EQ(from_dense(array(Matrix(), {0, 5, 2, 3, 4})).features().shape(), (Shape{0, 5}));
  EXPECT_EQ(from_dense(array(Matrix(2, 3), {2, 1, 3})).features().shape(), (Shape{0, 1})) << "zeros are no voxels";
}

TEST_P(CombineTest, OneVoxel) {
  const Matrix in = test_data::whole(1, 3, 15);
  SparseTensor::Options options;
  options.shape = extents({2, 3});
  const SparseTensor x = tensor({{1, 1, 2}}, in, options);
  std::vector<float> expected(2 * 3 * 2 * 3, 0.0F);
  for (std::size_t c = 0; c < 3; ++c) expected[18 + 6 * c + 5] = static_cast<float>(in.at(0, c));
  const Array dense = to_dense(x);
  ASSERT_EQ(dense.shape(), (Shape{2, 3, 2, 3}));
  EXPECT_EQ(host<float>(dense), expected);
  EXPECT_EQ(coords_of(from_dense(dense).coords()), (Coords{{1, 1, 2}}));
  expect_equal(select_rows(x, mask({255})).features(), in);
  EXPECT_EQ(select_rows(x, mask({0})).size(), 0);
  EXPECT_EQ(select_rows(empty(3), mask({})).size(), 0);
}

TEST_P(CombineTest, CellsAreOccupiedByAnyValueButZero) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kTiny = std::numeric_limits<float>::denorm_min();
  const std::vector<float> values = {0, kNan, -0.0F, 0, 0, 1, 0, 0, 0, kTiny};  // two channels of five cells
  const SparseTensor x = from_dense(Array::from(values, {1, 2, 5}).to(device()));
  EXPECT_EQ(coords_of(x.coords()), (Coords{{0, 0}, {0, 1}, {0, 4}}));
  const Array expected = Array::from(std::vector<float>{0, 1, kNan, 0, 0, kTiny}, {3, 2});
  expect_same_bits(x.features(), expected);
}

TEST_P(CombineTest, TensorsThatDoNotFitAreRefused) {
  const SparseTensor x = tensor({{0, 0, 0}, {0, 0, 1}}, test_data::whole(2, 3, 1));
  const SparseTensor fewer = tensor({{0, 0, 0}}, test_data::whole(1, 3, 1));
  const SparseTensor elsewhere = tensor({{0, 0, 0}, {0, 1, 1}}, test_data::whole(2, 3, 1));
  const SparseTensor deeper = tensor({{0, 0, 0, 0}, {0, 0, 0, 1}}, test_data::whole(2, 3, 1));
  const SparseTensor wider = x.with_features(array(test_data::whole(2, 4, 1)));
  expect_throw([&] { cat({}); }, {"[cat]", "at least one"});
  for (const SparseTensor& other : {fewer, elsewhere, deeper}) {
    expect_throw([&] { cat({x, other}); }, {"[cat]", "equal coordinates"});
    expect_throw([&] { add(x, other); }, {"[add]", "equal coordinates", "union_add"});
  }
  expect_throw([&] { add(x, wider); }, {"[add]", "3 and 4 channels"});
  expect_throw([&] { union_add(x, wider); }, {"[union_add]", "3 channels", "with 4"});
  expect_throw([&] { union_add(x, deeper); }, {"[union_add]", "2-D", "3-D"});
  SparseTensor::Options coarse;
  coarse.stride = extents({2, 2});
  expect_throw(
      [&] {
        union_add(x, tensor({{0, 0, 0}}, test_data::whole(1, 3, 1), coarse));
      },
      {"[union_add]", "stride"});
  expect_throw([&] { select_rows(x, mask({1})); }, {"[select_rows]", "u8 [2]", "[1]"});
  expect_throw([&] { select_rows(x, vector({1, 1})); }, {"[select_rows]", "f32"});
  expect_throw([&] { to_dense(x); }, {"[to_dense]", "shape"});
  const SparseTensor above(Coordinates(elsewhere.map(), elsewhere.cache(), extents({1, 1}), extents({2, 1})),
                           elsewhere.features());
  expect_throw([&] { to_dense(above); }, {"[to_dense]", "coordinate 1 of axis 1", "outside the shape"});
  const SparseTensor minus = tensor({{0, -2, 0}, {0, 1, 0}}, test_data::whole(2, 3, 1));
  const SparseTensor below(Coordinates(minus.map(), minus.cache(), extents({1, 1}), extents({2, 1})), minus.features());
  expect_throw([&] { to_dense(below); }, {"[to_dense]", "coordinate -2 of axis 0", "outside the shape"});
  expect_throw([&] { from_dense(vector({1, 2})); }, {"[from_dense]", "[2]"});
  expect_throw([&] { from_dense(array(Matrix(1, 1), {1, 1, 1, 1, 1, 1, 1})); }, {"[from_dense]", "1 to 4"});
  expect_throw([&] { from_dense(Array({1, 1, 1}, DType::kI32, device())); }, {"[from_dense]", "i32"});
}

}  // namespace
}  // namespace voxshift
