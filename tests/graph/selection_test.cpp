// Rows that features select, and what descends from them, against plain loops.
#include <voxshift/engine/evaluate.h>

#include "voxel_loops.h"

namespace voxshift {
namespace {

class SelectionTest : public VoxelGraphTest {};
VOXSHIFT_FOR_EACH_DEVICE(SelectionTest);

Node& prune(NetworkWriter& b, const std::string& x, const std::string& scores, std::int64_t channels,
            double threshold) {
  Node& node = b.add_node("prune", {x, scores}, channels);
  node.attributes = {{"threshold", threshold}};
  return node;
}

Node& top_k(NetworkWriter& b, const std::string& x, const std::string& scores, std::int64_t channels,
            std::int64_t count) {
  Node& node = b.add_node("top_k", {x, scores}, channels);
  node.attributes = {{"count", count}};
  return node;
}

PlainTensor rows_of(const PlainTensor& x, const std::vector<std::size_t>& rows) {
  PlainTensor result{{}, oracle::Matrix(rows.size(), x.features.cols)};
  for (const std::size_t row : rows) {
    for (std::size_t c = 0; c < x.features.cols; ++c)
      result.features.at(result.coords.size(), c) = x.features.at(row, c);
    result.coords.push_back(x.coords[row]);
  }
  return result;
}

std::vector<std::size_t> above(const PlainTensor& scores, double threshold) {
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < scores.coords.size(); ++i)
    if (scores.features.at(i, 0) > threshold) rows.push_back(i);
  return rows;
}

// A row is taken if fewer than `count` of its batch go before it.
std::vector<std::size_t> highest(const PlainTensor& scores, std::size_t count) {
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < scores.coords.size(); ++i) {
    std::size_t before = 0;
    for (std::size_t j = 0; j < scores.coords.size(); ++j) {
      if (scores.coords[j][0] != scores.coords[i][0]) continue;
      const double mine = scores.features.at(i, 0), other = scores.features.at(j, 0);
      before += other > mine || (other == mine && j < i);
    }
    if (before < count) rows.push_back(i);
  }
  return rows;
}

TEST_P(SelectionTest, KeepsTheRowsAboveAThreshold) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const double threshold : {-100.0, 0.0, 1.5, 1000.0}) {  // all, some, few, none
      SCOPED_TRACE(std::to_string(dims) + "-D above " + std::to_string(threshold));
      const SparseTensor x = whole_tensor(dims, rows(), 4, 5);
      const PlainTensor in = voxels_of(x);
      NetworkWriter b(4, dims);
      const std::string scores = b.conv(kGraphInput, 1), kept = prune(b, kGraphInput, scores, 4, threshold).name,
                        own = prune(b, scores, scores, 1, threshold).name;
      b.graph.outputs = {kept, own};
      const PlainTensor numbers = convolved(in, in.coords, cube(dims, 3), false, full_weight(b, scores));
      const auto picked = above(numbers, threshold);
      const Outputs found = run_all_threads(b, x);
      expect_equal(found.at(kept), rows_of(in, picked));
      expect_equal(found.at(own), rows_of(numbers, picked));
    }
}

TEST_P(SelectionTest, KeepsTheHighestOfEveryBatch) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const std::int64_t count : {1, 7, 60, 10000}) {
      SCOPED_TRACE(std::to_string(dims) + "-D, " + std::to_string(count));
      const SparseTensor x = whole_tensor(dims, rows(), 4, 5);
      const PlainTensor in = voxels_of(x);
      NetworkWriter b(4, dims);
      Node& column = b.add_node("columns", {kGraphInput}, 1);  // seven numbers: nearly all are equal to others
      column.attributes = {{"first", std::int64_t{2}}, {"count", std::int64_t{1}}};
      const std::string scores = column.name, kept = top_k(b, kGraphInput, scores, 4, count).name;
      b.graph.outputs = {kept};
      PlainTensor numbers{in.coords, oracle::Matrix(in.coords.size(), 1)};
      for (std::size_t i = 0; i < in.coords.size(); ++i) numbers.features.at(i, 0) = in.features.at(i, 2);
      expect_equal(run_all_threads(b, x).at(kept), rows_of(in, highest(numbers, static_cast<std::size_t>(count))));
    }
}

TEST_P(SelectionTest, NotANumberIsNeverAboveAndLast) {
  const float nan = std::nanf("");
  const std::vector<float> scores{nan, 2, -0.0f, nan, 0, -1, nan, 2};
  std::vector<std::int32_t> coords;
  for (std::int32_t i = 0; i < 8; ++i) coords.insert(coords.end(), {0, i});
  const SparseTensor x(Array::from(coords, {8, 2}), Array::from(scores, {8, 1}), {});
  const auto kept = [&](const std::function<std::string(NetworkWriter&)>& build) {
    NetworkWriter b(1, 1);
    b.graph.outputs = {build(b)};
    oracle::Coord rows;
    for (const auto& c : coords_of(run(b, x).at(b.graph.output()).coords)) rows.push_back(c[1]);
    return rows;
  };
  const std::string in = kGraphInput;
  const auto top = [&](std::int64_t count) {
    return kept([&](NetworkWriter& b) { return top_k(b, in, in, 1, count).name; });
  };
  EXPECT_EQ(kept([&](NetworkWriter& b) { return prune(b, in, in, 1, -1).name; }), (oracle::Coord{1, 2, 4, 7}));
  EXPECT_EQ(top(3), (oracle::Coord{1, 2, 7}));  // both zeros are equal, and the first row is taken
  EXPECT_EQ(top(5), (oracle::Coord{1, 2, 4, 5, 7}));
  EXPECT_EQ(top(6), (oracle::Coord{0, 1, 2, 4, 5, 7}));
}

/// A network that goes on from selected voxels in every way, and selects again. Outputs stand in front of and behind
/// both selections.
struct Continued {
  NetworkWriter b;
  Window window, down;
  std::string first, scores, kept, twin, joined, sum, half, back, pooled, second, again, last, both, mean, spread;

  explicit Continued(int dims) : b(4, dims), window(cube(dims, 3)), down(cube(dims, 2, 2)) {
    first = b.conv(kGraphInput, 4, window);
    scores = b.conv(first, 1, cube(dims, 1));
    kept = prune(b, first, scores, 4, 0).name;
    twin = prune(b, kGraphInput, scores, 4, 0).name;
    joined = b.cat({kept, twin});
    sum = b.add(b.conv(joined, 4, window), twin);
    half = b.conv(sum, 4, down);
    back = b.conv_transpose(half, 4, down);
    Node& pool = b.add_node("pool", {sum}, 4);
    pool.attributes = attributes_of(down);
    pooled = pool.name;
    second = b.conv(half, 1, cube(dims, 1));
    again = top_k(b, pooled, second, 4, 5).name;
    last = b.conv(again, 3, window);
    both = b.add_node("union_add", {back, kGraphInput}, 4).name;
    mean = b.add_node("sum_pool", {again}, 4).name;
    spread = b.add_node("broadcast", {mean, kept}, 4).name;
    b.graph.outputs = {last, first, sum, back, pooled, again, both, spread};
  }
};

void expect_continued(const Continued& net, const PlainTensor& in, const Outputs& found) {
  const auto weight = [&](const std::string& node) { return full_weight(net.b, node); };
  const std::string sum_weight = "conv" + std::to_string(5);
  const PlainTensor first = convolved(in, in.coords, net.window, false, weight(net.first));
  const Window one = cube(net.window.dims, 1);
  const auto picked = above(convolved(first, in.coords, one, false, weight(net.scores)), 0);
  const PlainTensor kept = rows_of(first, picked), twin = rows_of(in, picked);
  PlainTensor joined{kept.coords, oracle::Matrix(kept.coords.size(), 8)};
  for (std::size_t i = 0; i < joined.coords.size(); ++i)
    for (std::size_t c = 0; c < 8; ++c) joined.features.at(i, c) = (c < 4 ? kept : twin).features.at(i, c % 4);
  PlainTensor sum = convolved(joined, kept.coords, net.window, false, weight(sum_weight));
  sum.features = oracle::plus(sum.features, twin.features);
  const oracle::Coords halves = oracle::floor_outputs(kept.coords, oracle_window(net.down));
  const PlainTensor half = convolved(sum, halves, net.down, false, weight(net.half));
  const PlainTensor back = convolved(half, kept.coords, net.down, true, weight(net.back));
  const auto members = oracle::pairs(kept.coords, halves, oracle_window(net.down));
  const PlainTensor pooled{halves, oracle::pool(sum.features, members, halves.size(), oracle::Pool::kMax)};
  const PlainTensor again = rows_of(pooled, highest(convolved(half, halves, one, false, weight(net.second)), 5));
  expect_equal(found.at(net.first), first);
  expect_equal(found.at(net.sum), sum);
  expect_equal(found.at(net.back), back);
  expect_equal(found.at(net.pooled), pooled);
  expect_equal(found.at(net.again), again);
  expect_equal(found.at(net.last), convolved(again, again.coords, net.window, false, weight(net.last)));
  expect_equal(found.at(net.both), united(back, in));
  PlainTensor spread{kept.coords, oracle::Matrix(kept.coords.size(), 4)};
  for (std::size_t i = 0; i < kept.coords.size(); ++i)
    for (std::size_t j = 0; j < again.coords.size(); ++j)
      for (std::size_t c = 0; c < 4 && again.coords[j][0] == kept.coords[i][0]; ++c)
        spread.features.at(i, c) += again.features.at(j, c);
  expect_equal(found.at(net.spread), spread);
}

TEST_P(SelectionTest, NetworksGoOnFromSelectedVoxels) {
  for (int dims = 1; dims <= 4; ++dims) {
    SCOPED_TRACE(dims);
    const Continued net(dims);
    const SparseTensor x = whole_tensor(dims, rows() / 2, 4, 9);
    expect_continued(net, voxels_of(x), run_all_threads(net.b, x));
  }
}

// One session and inputs of all sizes: nothing of one is left to the next.
TEST_P(SelectionTest, SessionsTakeAnyInputAfterAnother) {
  const Continued net(3);
  Session s = session(net.b);
  for (const std::size_t count : {40, 3, 100, 1, 40}) {
    SCOPED_TRACE(count);
    const SparseTensor x = whole_tensor(3, count, 4, static_cast<unsigned>(count));
    expect_continued(net, voxels_of(x), s.run(x.to(device())));
    for (const auto& [name, output] : s.run(no_voxels(3, 4).to(device()))) EXPECT_EQ(output.features.dim(0), 0) << name;
  }
}

// The plain plan, node by node, selects the same.
TEST_P(SelectionTest, EqualsTheGraphNodeByNode) {
  Continued net(3);
  const SparseTensor x = whole_tensor(3, rows() / 2, 4, 9).to(device());
  for (const std::string& name : std::vector<std::string>(net.b.graph.outputs)) {
    SCOPED_TRACE(name);
    net.b.graph.outputs = {name};
    Graph sorted = net.b.graph;
    check_graph(sorted, net.b.parameters);
    expect_same_bits(evaluate(sorted, net.b.parameters, x), session(net.b).forward(x));
  }
}

// Whole numbers below 2048 are exact in f16.
class HalfSelectionTest : public VoxelGraphTest {};
INSTANTIATE_TEST_SUITE_P(Devices, HalfSelectionTest, ::testing::Values(Device::cuda()), device_name);

TEST_P(HalfSelectionTest, EqualsFloat) {
  const SparseTensor x = whole_tensor(3, rows(), 4, 3);
  NetworkWriter b(4);
  const std::string scores = b.conv(kGraphInput, 1), kept = prune(b, kGraphInput, scores, 4, 1).name,
                    next = b.conv(kept, 1), best = top_k(b, kept, next, 4, 5).name;
  b.graph.outputs = {kept, next, best};
  const Outputs narrow = run(b, x, 1, DType::kF16);
  for (const auto& [name, output] : run(b, x, 1)) {
    EXPECT_GT(output.features.dim(0), 0);
    expect_same_bits(output.features, narrow.at(name).features);
    EXPECT_EQ(coords_of(output.coords), coords_of(narrow.at(name).coords));
  }
}

TEST(Selection, Refused) {
  const std::string in = kGraphInput;
  expect_refused([&](NetworkWriter& b) { return prune(b, in, in, 4, 0).name; },
                 {"\"prune0\"", "scores of one channel", "\"input\" has 4"});
  expect_refused([&](NetworkWriter& b) { return prune(b, in, b.conv(in, 1, 2, 2), 4, 0).name; },
                 {"\"prune1\"", "different coordinates", "\"conv0\""});
  expect_refused([&](NetworkWriter& b) { return top_k(b, in, b.conv(in, 1), 4, 0).name; },
                 {"\"top_k1\"", "count", "1 to", "0"});
  expect_refused(
      [&](NetworkWriter& b) {
        return b.add_node("top_k", {in, b.conv(in, 1)}, 4).name;
      },
      {"\"top_k1\"", "lacks count"});
  expect_refused([&](NetworkWriter& b) { return prune(b, b.add_node("max_pool", {in}, 4).name, in, 4, 0).name; },
                 {"\"prune1\"", "takes voxels", "\"max_pool0\""});
  // Two thresholds of the same scores give different voxels.
  expect_refused(
      [&](NetworkWriter& b) {
        const std::string scores = b.conv(in, 1), low = prune(b, in, scores, 4, 0).name;
        return b.add(low, prune(b, in, scores, 4, 1).name);
      },
      {"different coordinates", "\"prune1\"", "\"prune2\""});
}

}  // namespace
}  // namespace voxshift
