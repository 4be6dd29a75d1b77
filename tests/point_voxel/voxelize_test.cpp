// From points to voxels: rounding, range, dropped points, batches, and the counts of a real scan.
#include <gtest/gtest.h>
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/sparse_conv/conv.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <set>

#include "device_fixture.h"
#include "test_data.h"

namespace voxshift {
namespace {

using oracle::Coord;
using oracle::Coords;
using oracle::Matrix;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The cell of one coordinate: float32 division, then the rounding by its definition.
std::int64_t cell(double x, float size, Rounding rounding) {
  const double quotient = static_cast<float>(x) / size;
  const double below = std::floor(quotient), rest = quotient - below;
  bool up = rest > 0.5;
  if (rest == 0.5) up = rounding == Rounding::kHalfEven ? std::fmod(below, 2.0) != 0 : quotient > 0;
  if (rounding == Rounding::kFloor) up = false;
  return static_cast<std::int64_t>(below) + (up ? 1 : 0);
}

class VoxelizeTest : public DeviceTest {
 protected:
  Voxels voxels(const Matrix& points, const VoxelizeOptions& options = {}) const {
    return voxelize(array(points), options);
  }

  static Matrix points(const std::vector<std::vector<double>>& rows) {
    Matrix m(rows.size(), rows.at(0).size());
    for (std::size_t r = 0; r < rows.size(); ++r)
      std::copy(rows[r].begin(), rows[r].end(), m.values.begin() + static_cast<std::ptrdiff_t>(r * m.cols));
    return m;
  }

  // x cells of points on the x axis.
  std::vector<std::int64_t> cells(const std::vector<double>& xs, float size, Rounding rounding) const {
    Matrix m(xs.size(), 3);
    for (std::size_t i = 0; i < xs.size(); ++i) m.at(i, 0) = xs[i];
    VoxelizeOptions options;
    options.voxel_size = size;
    options.rounding = rounding;
    const Voxels v = voxels(m, options);
    const auto coords = coords_of(v.tensor.coords());
    std::vector<std::int64_t> result;
    for (const auto row : host<std::int32_t>(v.inverse)) result.push_back(coords.at(static_cast<std::size_t>(row))[1]);
    return result;
  }
};
VOXSHIFT_FOR_EACH_DEVICE(VoxelizeTest);

TEST_P(VoxelizeTest, RoundingAtTies) {
  const std::vector<double> xs = {0.25, 0.75, 1.25, -0.25, -0.75, -1.25, 0.5, -0.5, 0.0, 0.3, -0.3};
  using Cells = std::vector<std::int64_t>;
  EXPECT_EQ(cells(xs, 0.5F, Rounding::kHalfEven), (Cells{0, 2, 2, 0, -2, -2, 1, -1, 0, 1, -1}));
  EXPECT_EQ(cells(xs, 0.5F, Rounding::kHalfAwayFrom0), (Cells{1, 2, 3, -1, -2, -3, 1, -1, 0, 1, -1}));
  EXPECT_EQ(cells(xs, 0.5F, Rounding::kFloor), (Cells{0, 1, 2, -1, -2, -3, 1, -1, 0, 0, -1}));
}

// In double precision these quotients lie on the other side of the tie than in float32.
TEST_P(VoxelizeTest, DivisionIsInFloat32) {
  std::vector<double> xs;
  std::vector<std::int64_t> expected;
  for (int i = -20000; i < 20000 && xs.size() < 50; ++i) {
    const double x = static_cast<float>((i + 0.5) * 0.05);
    const auto single = cell(x, 0.05F, Rounding::kHalfEven);
    if (std::llround(x / 0.05) == single || std::nearbyint(x / static_cast<double>(0.05F)) == single) continue;
    xs.push_back(x);
    expected.push_back(single);
  }
  ASSERT_GE(xs.size(), 10U);
  EXPECT_EQ(cells(xs, 0.05F, Rounding::kHalfEven), expected);
}

TEST_P(VoxelizeTest, AgainstTheOracle) {
  std::mt19937 random(1);
  for (const std::size_t n : {1, 1000, 40000}) {
    Matrix in = test_data::real(n, 5, 2);
    for (double& x : in.values) x = static_cast<float>(x * 4);
    for (std::size_t i = 0; i < n / 10; ++i)
      in.at(random() % n, random() % 5) = i % 3 == 0 ? kNan : i % 3 == 1 ? kInf : -kInf;
    for (const Rounding rounding : {Rounding::kHalfEven, Rounding::kHalfAwayFrom0, Rounding::kFloor})
      for (const bool ranged : {false, true}) {
        const Range range{{-3.0F, -2.0F, -1.0F}, {3.0F, 2.5F, 1.5F}};
        std::map<Coord, std::vector<std::size_t>> members;
        for (std::size_t i = 0; i < n; ++i) {
          bool usable = true;
          Coord c{0};
          for (std::size_t a = 0; a < 5; ++a) usable = usable && std::isfinite(in.at(i, a));
          for (std::size_t a = 0; usable && a < 3; ++a) {
            c.push_back(cell(in.at(i, a), 0.25F, rounding));
            usable = !ranged || (in.at(i, a) >= range.lowest[a] && in.at(i, a) < range.highest[a]);
          }
          if (usable) members[c].push_back(i);
        }
        std::vector<std::int32_t> inverse(n, -1);
        Coords coords;
        Matrix first(members.size(), 5);
        std::size_t kept = 0;
        for (const auto& [c, list] : members) {
          for (const std::size_t i : list) inverse[i] = static_cast<std::int32_t>(coords.size());
          for (std::size_t a = 0; a < 5; ++a) first.at(coords.size(), a) = in.at(list[0], a);
          kept += list.size();
          coords.push_back(c);
        }
        VoxelizeOptions options;
        options.voxel_size = 0.25F;
        options.rounding = rounding;
        if (ranged) options.range = range;
        for (const int threads : {1, 2, 3}) {
          set_num_threads(threads);
          const Voxels v = voxels(in, options);
          ASSERT_EQ(v.dropped, static_cast<std::int64_t>(n - kept));
          ASSERT_EQ(coords_of(v.tensor.coords()), coords);
          ASSERT_EQ(host<std::int32_t>(v.inverse), inverse);
          expect_equal(v.tensor.features(), first);
        }
      }
  }
}

TEST_P(VoxelizeTest, ReductionsOfAVoxel) {
  const Matrix in = points({{0.1, 0, 0, 4}, {5, 5, 5, -1}, {0.2, 0, 0, 10}, {0.0, 0, 0, 7}});
  VoxelizeOptions options;
  options.voxel_size = 1;
  const auto intensity = [&](Reduce reduce) {
    options.reduce = reduce;
    return host<float>(voxels(in, options).tensor.features()).at(3);
  };
  EXPECT_EQ(intensity(Reduce::kFirst), 4.0F);
  EXPECT_EQ(intensity(Reduce::kSum), 21.0F);
  EXPECT_EQ(intensity(Reduce::kMean), 7.0F);
  EXPECT_EQ(intensity(Reduce::kMax), 10.0F);
}

// Points that are put into known cells of a cylinder's coordinates; some of the cells lie outside of the range.
TEST_P(VoxelizeTest, CylindricalCells) {
  std::mt19937 random(8);
  const auto draw = [&](int low, int high) {
    return low + static_cast<int>(random() % static_cast<unsigned>(high - low));
  };
  const double size[] = {0.5, 0.3, 1};
  const std::size_t n = 3000;
  Matrix in(n, 4);
  std::set<Coord> cells;
  std::size_t dropped = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const Coord cell{0, draw(0, 14), draw(-10, 10), draw(-2, 3)};
    double at[3];
    for (std::size_t a = 0; a < 3; ++a)
      at[a] = (static_cast<double>(cell[a + 1]) + 0.1 + 0.8 * draw(0, 100) / 100) * size[a];
    in.at(i, 0) = static_cast<float>(at[0] * std::cos(at[1]));
    in.at(i, 1) = static_cast<float>(at[0] * std::sin(at[1]));
    in.at(i, 2) = static_cast<float>(at[2]);
    if (cell[1] >= 12 || cell[2] < -9 || cell[3] >= 2) {
      ++dropped;
    } else {
      cells.insert(cell);
    }
  }
  VoxelizeOptions options;
  options.voxel_size = std::array<float, 3>{0.5F, 0.3F, 1};
  options.rounding = Rounding::kFloor;
  options.range = Range{{0, -2.7F, -2}, {6, 3, 2}};
  options.axes = CellAxes::kCylindrical;
  const Voxels v = voxels(in, options);
  EXPECT_GT(dropped, 100U);
  EXPECT_EQ(v.dropped, static_cast<std::int64_t>(dropped));
  EXPECT_EQ(coords_of(v.tensor.coords()), Coords(cells.begin(), cells.end()));
  const auto inverse = host<std::int32_t>(v.inverse);
  const auto features = host<float>(v.tensor.features());  // of the first point, as they were
  const auto first = static_cast<std::size_t>(std::find(inverse.begin(), inverse.end(), 0) - inverse.begin());
  EXPECT_EQ(features[0], static_cast<float>(in.at(first, 0)));
  options.voxel_size = std::array<float, 3>{1, 0, 1};
  expect_throw([&] { voxels(in, options); }, {"[voxelize]", "voxel_size", "found 0"});
}

// Each cloud alone, one after the other, with the cloud's number in front.
TEST_P(VoxelizeTest, CloudsOfABatchDoNotMeet) {
  Matrix in = test_data::real(20011, 4, 4);
  for (double& x : in.values) x = static_cast<float>(x * 2);
  for (std::size_t i = 3; i < in.rows; i += 50) in.at(i, i % 4) = kNan;
  const std::vector<std::int64_t> splits = {0, 0, 5, 17000, 17000, 20011, 20011};
  for (const Reduce reduce : {Reduce::kFirst, Reduce::kSum, Reduce::kMean, Reduce::kMax}) {
    VoxelizeOptions options;
    options.voxel_size = 0.25F;
    options.reduce = reduce;
    Coords coords;
    std::vector<float> features;
    std::vector<std::int32_t> inverse;
    for (std::size_t b = 0; b + 1 < splits.size(); ++b) {
      const auto first = static_cast<std::size_t>(splits[b]), last = static_cast<std::size_t>(splits[b + 1]);
      Matrix own(last - first, 4);
      std::copy_n(in.values.begin() + static_cast<std::ptrdiff_t>(4 * first), own.values.size(), own.values.begin());
      const Voxels alone = voxelize(array(own, {static_cast<std::int64_t>(own.rows), 4}), options);
      for (const std::int32_t row : host<std::int32_t>(alone.inverse))
        inverse.push_back(row < 0 ? -1 : row + static_cast<std::int32_t>(coords.size()));
      for (Coord c : coords_of(alone.tensor.coords())) {
        c[0] = static_cast<std::int64_t>(b);
        coords.push_back(c);
      }
      for (const float x : host<float>(alone.tensor.features())) features.push_back(x);
    }
    for (const int threads : {1, 2, 3}) {
      set_num_threads(threads);
      const Voxels v =
          voxelize(PointSet{array(in), Array::from(splits, {static_cast<std::int64_t>(splits.size())})}, options);
      ASSERT_EQ(coords_of(v.tensor.coords()), coords);
      ASSERT_EQ(host<std::int32_t>(v.inverse), inverse);
      ASSERT_EQ(host<float>(v.tensor.features()), features);
      ASSERT_EQ(v.dropped, std::count(inverse.begin(), inverse.end(), -1));
    }
  }
}

TEST_P(VoxelizeTest, ManyEmptyClouds) {
  std::vector<std::int64_t> splits(1000, 0);
  splits.back() = 2;
  const Voxels v = voxelize(PointSet{array(points({{0, 0, 0}, {1, 1, 1}})), Array::from(splits, {1000})});
  EXPECT_EQ(coords_of(v.tensor.coords()), (Coords{{998, 0, 0, 0}, {998, 20, 20, 20}}));
}

// Keys too wide for an index beside them in 64 bits.
TEST_P(VoxelizeTest, VoxelsFarFromEachOther) {
  Matrix in = test_data::real(5000, 3, 5);
  for (std::size_t i = 0; i < in.rows; ++i)
    for (std::size_t a = 0; a < 3; ++a) in.at(i, a) = std::round(in.at(i, a) * 3) * (a == 2 ? 100 : 30000);
  std::map<Coord, std::size_t> firsts;
  for (std::size_t i = 0; i < in.rows; ++i) {
    Coord c{0};
    for (std::size_t a = 0; a < 3; ++a) c.push_back(cell(in.at(i, a), 0.05F, Rounding::kHalfEven));
    firsts.emplace(c, i);
  }
  Coords coords;
  Matrix first(firsts.size(), 3);
  for (const auto& [c, i] : firsts) {
    for (std::size_t a = 0; a < 3; ++a) first.at(coords.size(), a) = in.at(i, a);
    coords.push_back(c);
  }
  const Voxels v = voxels(in);
  ASSERT_GT(v.tensor.map()->level().layout.used_bits(), 64 - 13);
  EXPECT_EQ(coords_of(v.tensor.coords()), coords);
  expect_equal(v.tensor.features(), first);
}

TEST_P(VoxelizeTest, TheRangeHoldsItsLowestNotItsHighest) {
  VoxelizeOptions options;
  options.voxel_size = 1;
  options.range = Range{{0, 0, 0}, {2, 2, 2}};
  const Voxels v = voxels(points({{0, 0, 0}, {2, 0, 0}, {0, 2, 0}, {0, 0, 2}, {-0.1, 0, 0}, {1.9, 1.9, 1.9}}), options);
  EXPECT_EQ(host<std::int32_t>(v.inverse), (std::vector<std::int32_t>{0, -1, -1, -1, -1, 1}));
  EXPECT_EQ(v.dropped, 4);
}

TEST_P(VoxelizeTest, PointsThatAreNotFiniteAreDroppedAndCounted) {
  const Voxels v = voxels(points({{kNan, 0, 0, 0}, {0, kInf, 0, 0}, {1, 1, 1, 1}, {0, 0, -kInf, 0}, {0, 0, 0, kNan}}));
  EXPECT_EQ(v.dropped, 4);
  EXPECT_EQ(v.tensor.size(), 1);
  EXPECT_EQ(host<std::int32_t>(v.inverse), (std::vector<std::int32_t>{-1, -1, 0, -1, -1}));
}

TEST_P(VoxelizeTest, NoPointsAllDroppedOneVoxel) {
  const Voxels none = voxelize(array(Matrix(), {0, 4}));
  EXPECT_EQ(none.tensor.size(), 0);
  EXPECT_EQ(none.tensor.channels(), 4);
  EXPECT_EQ(none.inverse.shape(), (Shape{0}));
  EXPECT_EQ(none.dropped, 0);

  VoxelizeOptions from_lowest;
  from_lowest.from_lowest = true;
  const Voxels dropped = voxels(points({{kNan, 0, 0}, {kInf, 0, 0}}), from_lowest);
  EXPECT_EQ(dropped.tensor.features().shape(), (Shape{0, 3}));
  EXPECT_EQ(host<std::int32_t>(dropped.inverse), (std::vector<std::int32_t>{-1, -1}));
  EXPECT_EQ(dropped.dropped, 2);

  const Voxels one = voxels(oracle::apply(Matrix(500, 4), [](double) { return 2.5; }));
  EXPECT_EQ(coords_of(one.tensor.coords()), (Coords{{0, 50, 50, 50}}));
  EXPECT_EQ(host<std::int32_t>(one.inverse), std::vector<std::int32_t>(500, 0));
}

TEST_P(VoxelizeTest, CellsCountedFromTheLowestOfEachAxis) {
  Matrix in = test_data::real(500, 4, 3);
  for (std::size_t i = 0; i < in.rows; ++i) in.at(i, 2) += 100;
  VoxelizeOptions options;
  options.voxel_size = 0.25F;
  const Voxels plain = voxels(in, options);
  options.from_lowest = true;
  const Voxels moved = voxels(in, options);
  Coords expected = coords_of(plain.tensor.coords());
  for (std::size_t a = 1; a < 4; ++a) {
    std::int64_t lowest = expected[0][a];
    for (const Coord& c : expected) lowest = std::min(lowest, c[a]);
    for (Coord& c : expected) c[a] -= lowest;
  }
  EXPECT_EQ(coords_of(moved.tensor.coords()), expected);
  EXPECT_EQ(host<std::int32_t>(moved.tensor.map()->find(array(expected, 3))).back(), plain.tensor.size() - 1);
  EXPECT_EQ(host<std::int32_t>(moved.inverse), host<std::int32_t>(plain.inverse));
  expect_same_bits(moved.tensor.features(), plain.tensor.features());
  const oracle::Window down = test_data::cube(3, 2, 2);
  EXPECT_EQ(coords_of(output_coordinates(moved.tensor, make_window("test", 3, options_of(down))).map()->coords()),
            oracle::floor_outputs(expected, down));
}

TEST_P(VoxelizeTest, WrongArgumentsAreRefused) {
  const Array xyz = array(Matrix(2, 3));
  expect_throw([&] { voxelize(array(Matrix(2, 2))); }, {"[voxelize]", "C >= 3", "[2, 2]"});
  expect_throw([&] { voxelize(vector({1, 2, 3})); }, {"[voxelize]", "[3]"});
  expect_throw([&] { voxelize(Array({2, 3}, DType::kI32, device())); }, {"[voxelize]", "i32"});
  const auto batch = [&](const std::vector<std::int64_t>& splits) {
    return PointSet{xyz, Array::from(splits, {static_cast<std::int64_t>(splits.size())})};
  };
  for (const auto& splits : std::vector<std::vector<std::int64_t>>{{0, 1}, {1, 2}, {0, 3}, {0, 2, 1, 2}, {0}, {}})
    expect_throw([&] { voxelize(batch(splits)); }, {"[voxelize]", "row_splits"});
  expect_throw([&] { voxelize(PointSet{xyz, vector({0, 2})}); }, {"[voxelize]", "row_splits", "f32"});
  VoxelizeOptions options;
  for (const float size : {0.0F, -0.05F, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    options.voxel_size = size;
    expect_throw([&] { voxelize(xyz, options); }, {"[voxelize]", "voxel_size"});
  }
  options = {};
  const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
  for (const Range& range : {Range{{0, 1, 0}, {1, 0, 1}}, Range{{0, 0, 0}, {1, 0, 1}}, Range{{0, nan, 0}, {1, 1, 1}},
                             Range{{0, 0, 0}, {1, nan, 1}}, Range{{0, infinity, 0}, {1, infinity, 1}}}) {
    options.range = range;
    expect_throw([&] { voxelize(xyz, options); },
                 {"[voxelize]", "range", "lowest corner before the highest", "along y"});
  }
  options.range = Range{{-infinity, -infinity, -infinity}, {infinity, infinity, infinity}};
  EXPECT_EQ(voxelize(xyz, options).dropped, 0);
  options = {};
  options.reduce = Reduce::kNone;
  expect_throw([&] { voxelize(xyz, options); }, {"[voxelize]", "reduce"});
  expect_throw([&] { voxels(points({{0, 0, 0}, {1e6, 1e6, 1e6}})); }, {"[coordinates]", "range"});
  for (const double far : {3e38, -3e38, 6e7})
    expect_throw([&] { voxels(points({{0, 0, 0}, {far, 0, 0}})); }, {"[voxelize]", "2^30", "range"});
}

// SemanticKITTI 08/000000, whose counts are known; VOXSHIFT_DATA names the folder that holds it.
class RealScanTest : public VoxelizeTest {
 protected:
  void SetUp() override {
    VoxelizeTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const char* folder = std::getenv("VOXSHIFT_DATA");
    if (folder == nullptr) GTEST_SKIP() << "VOXSHIFT_DATA is not set";
    const auto path = std::filesystem::path(folder) / "lidar" / "semantickitti_000000.bin";
    std::ifstream file(path, std::ios::binary);
    scan_.resize(std::filesystem::file_size(path) / sizeof(float));
    file.read(reinterpret_cast<char*>(scan_.data()), static_cast<std::streamsize>(scan_.size() * sizeof(float)));
    ASSERT_TRUE(file.good()) << path;
  }

  Voxels voxels_of(Rounding rounding) const {
    VoxelizeOptions options;
    options.rounding = rounding;
    return voxelize(Array::from(scan_, {static_cast<std::int64_t>(scan_.size() / 4), 4}).to(device()), options);
  }

  std::vector<float> scan_;
};
VOXSHIFT_FOR_EACH_DEVICE(RealScanTest);

TEST_P(RealScanTest, VoxelsPerRounding) {
  ASSERT_EQ(scan_.size(), 4U * 123389);
  EXPECT_EQ(voxels_of(Rounding::kHalfEven).tensor.size(), 94625);
  EXPECT_EQ(voxels_of(Rounding::kHalfAwayFrom0).tensor.size(), 94627);
  EXPECT_EQ(voxels_of(Rounding::kHalfEven).dropped, 0);
}

TEST_P(RealScanTest, LevelsAndPairs) {
  SparseTensor x = voxels_of(Rounding::kHalfEven).tensor;
  const auto down = options_of(test_data::cube(3, 2, 2));
  const std::vector<std::pair<std::int64_t, std::int64_t>> voxels_and_pairs = {
      {94625, 286263}, {68842, 307860}, {42116, 266478}, {21325, 163385}, {9535, 83249}};
  for (const auto& [voxels, pairs] : voxels_and_pairs) {
    EXPECT_EQ(x.size(), voxels);
    EXPECT_EQ(kernel_map(x, options_of(test_data::cube(3, 3))).dim(0), pairs);
    const auto grid = output_coordinates(x, make_window("test", 3, down));
    x = SparseTensor(grid, Array({grid.size(), 1}, DType::kF32, device()));
  }
}

}  // namespace
}  // namespace voxshift
