// Ops of graphs between points and the voxels that they lie in, and matrices per cloud, against plain loops in double.
#include <voxshift/engine/session.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "device_fixture.h"
#include "networks.h"

namespace voxshift {
namespace {

using Row = std::vector<double>;
using Rows = std::vector<Row>;
using Cell = oracle::Coord;  // cloud, x, y, z

constexpr std::int64_t kChannels = 5;

struct Grid {
  std::array<float, 3> size, lowest, highest;
  bool limited;

  Attributes attributes() const {
    Attributes result{{"voxel_size", PerAxisNumber(size.begin(), size.end())}};
    if (!limited) return result;
    result["lowest"] = PerAxisNumber(lowest.begin(), lowest.end());
    result["highest"] = PerAxisNumber(highest.begin(), highest.end());
    return result;
  }
};

const Grid kGrids[] = {{{0.5f, 0.25f, 1}, {-2, -1.5f, -1}, {2, 1.5f, 1}, true},
                       {{0.5f, 0.5f, 4}, {-2, -2, -2}, {2, 2, 2}, true},
                       {{0.75f, 0.75f, 0.75f}, {}, {}, false}};

class PointGraphTest : public DeviceTest {
 protected:
  static constexpr double kTolerance = 1e-5;

  Outputs run(const NetworkWriter& b, const PointSet& points, int threads = 2) const {
    Session session({b.graph, b.parameters}, device(), threads, DType::kF32);
    return session.run(PointSet{points.points.to(device()), points.row_splits});
  }
};
VOXSHIFT_FOR_EACH_DEVICE(PointGraphTest);

NetworkWriter writer() {
  NetworkWriter b(kChannels);
  b.graph.inputs.front().kind = InputKind::kPoints;
  return b;
}

// Clouds of 70, 0, 41 and 1 points in [-3, 3), some of them not finite.
const std::vector<std::int64_t> kSplits{0, 70, 70, 111, 112};

std::vector<std::vector<float>> point_rows() {
  std::mt19937 random(7);
  std::vector<std::vector<float>> rows;
  for (std::int64_t i = 0; i < kSplits.back(); ++i) {
    rows.emplace_back();
    for (std::int64_t c = 0; c < kChannels; ++c)
      rows.back().push_back(static_cast<float>(static_cast<int>(random() % 4800) - 2400) / 800);
  }
  rows[3][4] = std::numeric_limits<float>::quiet_NaN();
  rows[80][1] = std::numeric_limits<float>::infinity();
  rows[20] = {-2, -1.5f, -1, 1, 1};  // the lowest corner lies inside, the highest outside
  rows[21] = {2, 1.5f, 1, 1, 1};
  rows.back() = {0.1f, 0.2f, 0.3f, 1, 1};
  return rows;
}

PointSet point_set() {
  std::vector<float> values;
  for (const auto& row : point_rows()) values.insert(values.end(), row.begin(), row.end());
  return {Array::from(values, {kSplits.back(), kChannels}), Array::from(kSplits, {5})};
}

// The cell of a point, empty for none.
Cell cell_of(const std::vector<float>& p, std::size_t i, const Grid& grid) {
  for (const float v : p)
    if (!std::isfinite(v)) return {};
  Cell cell{std::upper_bound(kSplits.begin(), kSplits.end(), static_cast<std::int64_t>(i)) - kSplits.begin() - 1};
  for (std::size_t a = 0; a < 3; ++a) {
    if (grid.limited && (p[a] < grid.lowest[a] || p[a] >= grid.highest[a])) return {};
    cell.push_back(static_cast<std::int64_t>(std::floor((p[a] - (grid.limited ? grid.lowest[a] : 0)) / grid.size[a])));
  }
  return cell;
}

Rows rows_of_values(const Array& array) {
  const auto values = host<float>(array);
  const auto width = static_cast<std::size_t>(array.dim(1));
  Rows rows;
  for (std::size_t i = 0; i < values.size(); i += width) rows.emplace_back(&values[i], &values[i] + width);
  return rows;
}

void expect_near(const Rows& found, const Rows& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].size(), expected[i].size());
    for (std::size_t c = 0; c < found[i].size(); ++c)
      EXPECT_NEAR(found[i][c], expected[i][c], tolerance * (1 + std::abs(expected[i][c]))) << i << ", " << c;
  }
}

// Members of every voxel.
using Members = std::map<Cell, std::vector<std::vector<float>>>;

Members members_of(const Grid& grid) {
  Members members;
  const auto points = point_rows();
  for (std::size_t i = 0; i < points.size(); ++i)
    if (const Cell cell = cell_of(points[i], i, grid); !cell.empty()) members[cell].push_back(points[i]);
  return members;
}

Row reduced(const std::vector<std::vector<float>>& rows, const std::string& how) {
  Row out(rows[0].begin(), rows[0].end());
  for (std::size_t r = 1; r < rows.size(); ++r)
    for (std::size_t c = 0; c < out.size(); ++c)
      out[c] = how == "max" ? std::max(out[c], double{rows[r][c]}) : out[c] + rows[r][c];
  for (double& v : out) v /= how == "mean" ? static_cast<double>(rows.size()) : 1;
  return out;
}

TEST_P(PointGraphTest, VoxelsAndBackToTheirPoints) {
  const auto points = point_rows();
  for (const Grid& grid : kGrids)
    for (const char* how : {"mean", "max", "sum"}) {
      SCOPED_TRACE(how);
      NetworkWriter b = writer();
      Node& node = b.add_node("voxelize_points", {kGraphInput}, kChannels);
      node.attributes = grid.attributes();
      node.attributes["reduce"] = how;
      const std::string voxels = node.name, back = b.add_node("broadcast", {voxels, kGraphInput}, kChannels).name;
      b.graph.outputs = {voxels, back};
      const Outputs outputs = run(b, point_set());
      const Members members = members_of(grid);
      Rows expected, repeated;
      oracle::Coords cells;
      for (const auto& [cell, rows] : members) {
        cells.push_back(cell);
        expected.push_back(reduced(rows, how));
      }
      for (std::size_t i = 0; i < points.size(); ++i) {
        const Cell cell = cell_of(points[i], i, grid);
        repeated.push_back(cell.empty() ? Row(kChannels, 0) : reduced(members.at(cell), how));
      }
      EXPECT_EQ(coords_of(outputs.at(voxels).coords), cells);
      expect_near(rows_of_values(outputs.at(voxels).features), expected, kTolerance);
      expect_near(rows_of_values(outputs.at(back).features), repeated, kTolerance);
      for (const int threads : thread_counts())
        expect_same_bits(run(b, point_set(), threads).at(voxels).features, outputs.at(voxels).features);
    }
}

TEST_P(PointGraphTest, OffsetsFromMeansAndCenters) {
  const auto points = point_rows();
  for (const Grid& grid : kGrids) {
    NetworkWriter b = writer();
    Node& node = b.add_node("voxelize_points", {kGraphInput}, kChannels);
    node.attributes = grid.attributes();
    const std::string voxels = node.name;
    const auto offsets = [&](const char* from) {
      Node& offset = b.add_node("voxel_offsets", {kGraphInput, voxels}, 3);
      offset.attributes = {{"from", from}};
      return offset.name;
    };
    const std::string mean = offsets("mean"), center = offsets("center");
    b.graph.outputs = {mean, center};
    const Outputs outputs = run(b, point_set());
    const Members members = members_of(grid);
    Rows means, centers;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const Cell cell = cell_of(points[i], i, grid);
      means.emplace_back(3, 0);
      centers.emplace_back(3, 0);
      for (std::size_t a = 0; a < 3 && !cell.empty(); ++a) {
        means[i][a] = points[i][a] - reduced(members.at(cell), "mean")[a];
        centers[i][a] = points[i][a] -
                        ((grid.limited ? grid.lowest[a] : 0) + (static_cast<double>(cell[a + 1]) + 0.5) * grid.size[a]);
      }
    }
    expect_near(rows_of_values(outputs.at(mean).features), means, kTolerance);
    expect_near(rows_of_values(outputs.at(center).features), centers, kTolerance);
  }
}

// Points in known cells of a cylinder's coordinates.
TEST_P(PointGraphTest, CylindricalVoxels) {
  const std::array<double, 3> size{0.5, 0.3, 1};
  std::vector<float> points;
  Rows turned, offsets;
  std::set<Cell> cells;
  for (std::int64_t i = 0; i < 200; ++i) {
    const Cell cell{0, i % 7, i % 19 - 9, i % 3 - 1};
    turned.emplace_back();
    offsets.emplace_back();
    for (std::size_t a = 0; a < 3; ++a) {
      offsets.back().push_back((static_cast<double>(i % 8) / 10 - 0.35) * size[a]);
      turned.back().push_back((static_cast<double>(cell[a + 1]) + 0.5) * size[a] + offsets.back()[a]);
    }
    const Row& at = turned.back();
    for (const double v : {at[0] * std::cos(at[1]), at[0] * std::sin(at[1]), at[2], 0.0, 1.0})
      points.push_back(static_cast<float>(v));
    cells.insert({0, cell[1], cell[2] + 10, cell[3] + 2});
  }
  NetworkWriter b = writer();
  Node& node = b.add_node("voxelize_points", {kGraphInput}, kChannels);
  node.attributes = {{"voxel_size", PerAxisNumber(size.begin(), size.end())},
                     {"axes", "cylindrical"},
                     {"lowest", PerAxisNumber{0, -3, -2}},
                     {"highest", PerAxisNumber{10, 3, 2}}};
  const std::string voxels = node.name;
  Node& offset = b.add_node("voxel_offsets", {kGraphInput, voxels}, 3);
  offset.attributes = {{"from", "center"}};
  const std::string from = offset.name, columns = b.add_node("cylindrical", {kGraphInput}, 3).name;
  b.graph.outputs = {voxels, from, columns};
  const Outputs outputs = run(b, {Array::from(points, {200, kChannels}), std::nullopt});
  EXPECT_EQ(coords_of(outputs.at(voxels).coords), oracle::Coords(cells.begin(), cells.end()));
  expect_near(rows_of_values(outputs.at(columns).features), turned, kTolerance);
  expect_near(rows_of_values(outputs.at(from).features), offsets, kTolerance);
}

// The end of the range is a place of its own, as it is where coordinates are clamped before they are divided.
TEST_P(PointGraphTest, PointsOutsideLieInTheNearestCellsWhereTheyAreClamped) {
  const std::vector<float> points{-5,
                                  0.2f,
                                  0.2f,
                                  0,
                                  1,  //
                                  0.1f,
                                  0.7f,
                                  3,
                                  0,
                                  1,  //
                                  1.5f,
                                  99,
                                  -0.1f,
                                  0,
                                  1,  //
                                  2,
                                  1,
                                  1,
                                  0,
                                  1,  //
                                  7,
                                  1,
                                  1,
                                  0,
                                  1,  //
                                  std::numeric_limits<float>::quiet_NaN(),
                                  1,
                                  1,
                                  0,
                                  1};
  NetworkWriter b = writer();
  Node& node = b.add_node("voxelize_points", {kGraphInput}, kChannels);
  node.attributes = {{"voxel_size", PerAxisNumber{1, 1, 1}},
                     {"lowest", PerAxisNumber{0, 0, 0}},
                     {"highest", PerAxisNumber{2, 2, 2}},
                     {"outside", "clamped"}};
  const std::string voxels = node.name;
  const std::string coarse = b.conv(voxels, 1, bounded_cube(3, 1, 2, 0));
  b.graph.outputs = {voxels, coarse};
  const Outputs outputs = run(b, {Array::from(points, {6, kChannels}), std::nullopt});
  EXPECT_EQ(coords_of(outputs.at(voxels).coords),
            (oracle::Coords{{0, 0, 0, 0}, {0, 0, 0, 2}, {0, 1, 2, 0}, {0, 2, 1, 1}}));
  // three cells along each axis, of which the first and the last have an output
  EXPECT_EQ(coords_of(outputs.at(coarse).coords), (oracle::Coords{{0, 0, 0, 0}, {0, 0, 0, 1}}));
}

// What runs on voxels of points is what runs on a tensor of the same voxels.
TEST_P(PointGraphTest, ConvolutionsAndViewsOfTheVoxels) {
  const Grid& grid = kGrids[0];
  const auto rest = [](NetworkWriter& b, const std::string& x) {
    const std::string same = b.conv(x, 4), coarse = b.conv(same, 6, 2, 2), fine = b.conv_transpose(coarse, 3);
    const std::string bounded = b.conv(x, 2, bounded_cube(3, 3, 2, 1));
    Node& seen = b.add_node("bird_eye_view", {x}, 2 * kChannels);
    seen.attributes = {{"shape", PerAxis{8, 12, 2}}};
    const std::string view = seen.name;
    const std::string mean = b.add_node("avg_pool", {coarse}, 6).name;
    const std::string back = b.add_node("devoxelize", {coarse, x}, 6).name;
    b.graph.outputs = {same, coarse, fine, bounded, view, mean, back};
  };
  NetworkWriter of_points = writer(), of_voxels(kChannels);
  Node& node = of_points.add_node("voxelize_points", {kGraphInput}, kChannels);
  node.attributes = grid.attributes();
  const std::string voxels = node.name;
  of_points.graph.outputs = {voxels};
  const Output made = run(of_points, point_set()).at(voxels);
  rest(of_points, voxels);
  of_voxels.add_node("columns", {kGraphInput}, kChannels).attributes = {{"first", std::int64_t{0}},
                                                                        {"count", kChannels}};
  const std::string columns = of_voxels.graph.nodes[0].name;  // nodes move as others join them
  rest(of_voxels, columns);
  SparseTensor::Options options;
  options.shape = {{8, 12, 2, 1}};
  Session session({of_voxels.graph, of_voxels.parameters}, device(), 2, DType::kF32);
  const Outputs expected = session.run(SparseTensor(made.coords, made.features, options));
  const Outputs found = run(of_points, point_set());
  ASSERT_EQ(found.size(), of_points.graph.outputs.size());
  for (std::size_t o = 0; o < found.size(); ++o) {
    SCOPED_TRACE(of_points.graph.outputs[o]);
    const Output &a = found.at(of_points.graph.outputs[o]), &b = expected.at(of_voxels.graph.outputs[o]);
    expect_same_bits(a.features, b.features);
    if (a.coords.count() > 0) {
      EXPECT_EQ(coords_of(a.coords), coords_of(b.coords));
    }
  }
}

TEST_P(PointGraphTest, NoPoints) {
  NetworkWriter b = writer();
  Node& node = b.add_node("voxelize_points", {kGraphInput}, kChannels);
  node.attributes = kGrids[0].attributes();
  const std::string voxels = node.name;
  const std::string back = b.add_node("broadcast", {voxels, kGraphInput}, kChannels).name;
  const std::string offsets = b.add_node("voxel_offsets", {kGraphInput, voxels}, 3).name;
  const std::string conv = b.conv(voxels, 4);
  b.graph.outputs = {voxels, back, offsets, conv};
  const std::vector<float> far(2 * kChannels, 100.0f);
  for (const Array& points : {Array({0, kChannels}, DType::kF32), Array::from(far, {2, kChannels})}) {
    const Outputs outputs = run(b, {points, std::nullopt});
    EXPECT_EQ(outputs.at(voxels).features.shape(), (Shape{0, kChannels}));
    EXPECT_EQ(outputs.at(conv).features.shape(), (Shape{0, 4}));
    expect_near(rows_of_values(outputs.at(back).features),
                Rows(static_cast<std::size_t>(points.dim(0)), Row(kChannels, 0)), 0);
    expect_near(rows_of_values(outputs.at(offsets).features), Rows(static_cast<std::size_t>(points.dim(0)), Row(3, 0)),
                0);
  }
}

TEST_P(PointGraphTest, CellsTooFarAway) {
  NetworkWriter b = writer();
  Node& node = b.add_node("voxelize_points", {kGraphInput}, kChannels);
  node.attributes = {{"voxel_size", 1e-5}};
  b.graph.outputs = {node.name};
  const std::vector<float> far(kChannels, 1e6f);
  expect_throw([&] { run(b, {Array::from(far, {1, kChannels}), std::nullopt}); }, {"[voxelize_points]", "2^30 cells"});
}

TEST_P(PointGraphTest, MatricesOfClouds) {
  for (const auto [in, out] : {std::array<std::int64_t, 2>{1, 1}, {3, 3}, {5, 7}, {17, 33}}) {
    SCOPED_TRACE(std::to_string(in) + " x " + std::to_string(out));
    NetworkWriter b = writer();
    const std::string x = b.linear(kGraphInput, in), all = b.add_node("sum_pool", {kGraphInput}, kChannels).name;
    const std::string matrices = b.linear(all, in * out);
    const std::string y = b.add_node("matmul_clouds", {x, matrices}, out).name;
    b.graph.outputs = {x, matrices, y};
    PointSet points = point_set();
    auto* values = points.points.data<float>();
    std::transform(values, values + points.points.count(), values,
                   [](float v) { return std::isfinite(v) ? std::round(v) : 0.0f; });
    const Outputs outputs = run(b, points);
    const Rows rows = rows_of_values(outputs.at(x).features), factors = rows_of_values(outputs.at(matrices).features);
    ASSERT_EQ(factors.size(), 4U);
    Rows expected;
    for (std::size_t cloud = 0; cloud < 4; ++cloud)
      for (auto i = kSplits[cloud]; i < kSplits[cloud + 1]; ++i) {
        Row row(static_cast<std::size_t>(out), 0);
        for (std::size_t c = 0; c < static_cast<std::size_t>(in); ++c)
          for (std::size_t d = 0; d < row.size(); ++d)
            row[d] += rows[static_cast<std::size_t>(i)][c] * factors[cloud][c * row.size() + d];
        expected.push_back(row);
      }
    expect_near(rows_of_values(outputs.at(y).features), expected, kTolerance);
    for (const int threads : thread_counts())
      expect_same_bits(run(b, points, threads).at(y).features, outputs.at(y).features);
  }
}

TEST(PointGraph, Refused) {
  const auto refused = [](const std::function<void(NetworkWriter&)>& write, const std::vector<std::string>& parts) {
    NetworkWriter b = writer();
    write(b);
    b.graph.outputs = {b.graph.nodes.back().name};
    expect_throw([&] { check_graph(b.graph, b.parameters); }, parts);
  };
  const auto voxelized = [&](const Attributes& attributes, const std::vector<std::string>& parts) {
    refused([&](NetworkWriter& b) { b.add_node("voxelize_points", {kGraphInput}, kChannels).attributes = attributes; },
            parts);
  };
  voxelized({}, {"\"voxelize_points0\"", "lacks voxel_size"});
  voxelized({{"voxel_size", 0.0}}, {"\"voxelize_points0\"", "voxel_size", "a number of 1e-06 to 1000000", "found 0"});
  voxelized({{"voxel_size", PerAxisNumber{0.1, 0.2}}}, {"voxel_size", "per axis", "[0.1, 0.2]"});
  voxelized({{"voxel_size", "small"}}, {"voxel_size", "per axis", "\"small\""});
  voxelized({{"voxel_size", 1.0}, {"lowest", PerAxisNumber{0, 2, 0}}, {"highest", PerAxis{1, 1, 1}}},
            {"\"voxelize_points0\"", "lowest below highest", "2 and 1 along axis 1"});
  voxelized({{"voxel_size", 1.0}, {"reduce", "first"}}, {"mean or max or sum", "\"first\""});
  const auto voxels = [](NetworkWriter& b, const std::string& x) {
    Node& node = b.add_node("voxelize_points", {x}, kChannels);
    node.attributes = {{"voxel_size", std::int64_t{1}}};
    return node.name;
  };
  refused([&](NetworkWriter& b) { voxels(b, voxels(b, kGraphInput)); }, {"\"voxelize_points1\"", "takes points"});
  const auto samples = [](NetworkWriter& b) {
    Node& node = b.add_node("furthest_point_sample", {kGraphInput}, 3);
    node.attributes = {{"count", std::int64_t{4}}};
    return node.name;
  };
  refused(
      [&](NetworkWriter& b) {
        b.add_node("broadcast", {voxels(b, samples(b)), kGraphInput}, 3);
      },
      {"\"broadcast2\"", "voxelize_points made of the points of \"input\""});
  refused(
      [&](NetworkWriter& b) {
        b.add_node("voxel_offsets", {kGraphInput, voxels(b, samples(b))}, 3);
      },
      {"\"voxel_offsets2\"", "\"input\"", "\"voxelize_points1\" is none"});
  refused(
      [&](NetworkWriter& b) {
        b.add_node("matmul_clouds", {kGraphInput, kGraphInput}, 1);
      },
      {"\"matmul_clouds0\"", "one row per cloud"});
  refused(
      [&](NetworkWriter& b) {
        b.add_node("matmul_clouds", {kGraphInput, b.linear(b.add_node("max_pool", {kGraphInput}, kChannels).name, 9)},
                   1);
      },
      {"\"matmul_clouds2\"", "5 rows", "9 channels"});
}

}  // namespace
}  // namespace voxshift
