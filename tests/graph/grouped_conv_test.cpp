// Convolutions of graphs whose channels fall into groups, against plain loops.
#include "voxel_loops.h"

namespace voxshift {
namespace {

class GroupedConvTest : public VoxelGraphTest {};
VOXSHIFT_FOR_EACH_DEVICE(GroupedConvTest);

struct GroupCase {
  std::int64_t in, out, groups;
};
// Depthwise of 1, a few and many vectors of channels; a multiple of outputs per channel; groups of several channels.
const std::vector<GroupCase> kCases{{6, 6, 6}, {16, 16, 16}, {67, 67, 67}, {3, 12, 3}, {8, 4, 2}, {6, 9, 3}, {4, 5, 1}};

TEST_P(GroupedConvTest, EqualsPlainLoops) {
  for (int dims = 1; dims <= 4; ++dims)
    for (const GroupCase& c : kCases) {
      if (dims != 3 && c.in == 67) continue;
      SCOPED_TRACE(std::to_string(dims) + "-D, " + std::to_string(c.in) + " to " + std::to_string(c.out));
      const SparseTensor x = whole_tensor(dims, rows(), c.in, 7, true);
      const PlainTensor in = voxels_of(x);
      const auto groups = static_cast<std::size_t>(c.groups);
      NetworkWriter b(c.in, dims);
      const Window same = cube(dims, 3), down = cube(dims, 2, 2), one = cube(dims, 1),
                   bounded = bounded_cube(dims, 3, 2, 1);
      const std::string kept = b.grouped("conv", kGraphInput, c.out, same, c.groups, true),
                        every = b.grouped("conv", kGraphInput, c.out, one, c.groups, true),
                        edge = b.grouped("conv", kGraphInput, c.out, bounded, c.groups),
                        coarse = b.grouped("conv", kGraphInput, c.in, down, c.groups),
                        fine = b.grouped("conv_transpose", coarse, c.out, down, c.groups);
      b.graph.outputs = {kept, every, edge, coarse, fine};
      const Outputs found = run_all_threads(b, x);
      const auto shape = test_data::shape_of(in.coords);
      const auto weight = [&](const std::string& node) { return full_weight(b, node, groups); };
      PlainTensor expected = convolved(in, in.coords, same, false, weight(kept));
      expected.features = oracle::plus_bias(expected.features, bias_of(b, kept));
      expect_equal(found.at(kept), expected);
      expected = convolved(in, in.coords, one, false, weight(every));
      expected.features = oracle::plus_bias(expected.features, bias_of(b, every));
      expect_equal(found.at(every), expected);
      const oracle::Coords seen = oracle::bounded_outputs(in.coords, oracle_window(bounded), shape);
      expect_equal(found.at(edge), convolved(in, seen, bounded, false, weight(edge)));
      const oracle::Coords halves = oracle::floor_outputs(in.coords, oracle_window(down));
      const PlainTensor low = convolved(in, halves, down, false, weight(coarse));
      expect_equal(found.at(coarse), low);
      expect_equal(found.at(fine), convolved(low, in.coords, down, true, weight(fine)));
    }
}

// Batch norm, activations before and after a sum, and columns of a concatenation end the product of every group.
TEST_P(GroupedConvTest, FusesAsOtherProducts) {
  for (const std::int64_t groups : {8, 4, 1}) {
    SCOPED_TRACE(groups);
    const SparseTensor x = whole_tensor(3, rows(), 8, 3);
    const PlainTensor in = voxels_of(x);
    NetworkWriter b(8);
    const Window window = cube(3, 3);
    const std::string first = b.grouped("conv", kGraphInput, 8, window, groups, true), norm = b.batch_norm(first),
                      sum = b.add(norm, kGraphInput), act = b.relu(sum),
                      second = b.grouped("conv", kGraphInput, 8, window, groups), bent = b.leaky_relu(second),
                      late = b.add(bent, kGraphInput), both = b.cat({act, late});
    b.graph.outputs = {both};
    const auto values = [&](const char* role) { return host<float>(b.parameters.at(norm + "." + role)); };
    const std::vector<float> mean = values("running_mean"), variance = values("running_var"), shift = values("bias");
    const auto full = static_cast<std::size_t>(groups);
    oracle::Matrix a = convolved(in, in.coords, window, false, full_weight(b, first, full)).features;
    a = oracle::plus_bias(a, bias_of(b, first));
    const oracle::Matrix z = convolved(in, in.coords, window, false, full_weight(b, second, full)).features;
    oracle::Matrix expected(a.rows, 16);
    for (std::size_t r = 0; r < a.rows; ++r)
      for (std::size_t c = 0; c < 8; ++c) {
        const double own = in.features.at(r, c), y = z.at(r, c);
        expected.at(r, c) = std::max(0.0, (a.at(r, c) - mean[c]) / std::sqrt(double{variance[c]}) + shift[c] + own);
        expected.at(r, c + 8) = (y > 0 ? y : y / 4) + own;
      }
    expect_equal(run_all_threads(b, x).at(both), {in.coords, expected});
  }
}

TEST_P(GroupedConvTest, CountsItsProducts) {
  const SparseTensor x = whole_tensor(3, 100, 8, 3);
  std::int64_t macs[3];
  for (std::size_t i = 0; i < 3; ++i) {
    NetworkWriter b(8);
    const std::int64_t groups[] = {1, 2, 8};
    b.graph.outputs = {b.grouped("conv", kGraphInput, 8, cube(3, 3), groups[i])};
    Session s = session(b);
    s.report_layers(true);
    s.run(x.to(device()));
    macs[i] = s.report().macs;
  }
  EXPECT_GT(macs[0], 0);
  EXPECT_EQ(macs[0], 2 * macs[1]);
  EXPECT_EQ(macs[0], 8 * macs[2]);
}

TEST_P(GroupedConvTest, NoVoxels) {
  for (const std::int64_t groups : {4, 2}) {
    NetworkWriter b(4);
    b.graph.outputs = {b.grouped("conv", kGraphInput, 4, cube(3, 3), groups, true)};
    EXPECT_EQ(run(b, no_voxels(3, 4)).at(b.graph.output()).features.shape(), (Shape{0, 4}));
  }
}

class HalfGroupedConvTest : public VoxelGraphTest {};
INSTANTIATE_TEST_SUITE_P(Devices, HalfGroupedConvTest, ::testing::Values(Device::cuda()), device_name);

// Whole numbers below 2048 are exact in f16.
TEST_P(HalfGroupedConvTest, EqualsFloat) {
  const SparseTensor x = whole_tensor(3, rows(), 8, 3);
  for (const std::int64_t groups : {8, 4, 2}) {
    SCOPED_TRACE(groups);
    NetworkWriter b(8);
    b.graph.outputs = {b.grouped("conv", kGraphInput, 8, cube(3, 3), groups, true)};
    const std::string& y = b.graph.output();
    expect_same_bits(run(b, x, 1, DType::kF16).at(y).features, run(b, x, 1).at(y).features);
  }
}

TEST(GroupedConv, Refused) {
  const auto refused = [](std::int64_t groups, Shape weight, const std::vector<std::string>& parts) {
    NetworkWriter b(6);
    const std::string node = b.grouped("conv", kGraphInput, 4, cube(3, 3));
    b.graph.nodes[0].attributes["groups"] = groups;
    b.parameters.insert_or_assign(node + ".weight", Array(std::move(weight), DType::kF32));
    b.graph.outputs = {node};
    expect_throw([&] { check_graph(b.graph, b.parameters); }, parts);
  };
  refused(4, {27, 1, 4}, {"\"conv0\"", "groups of 4", "6 input", "4 output"});
  refused(3, {27, 2, 4}, {"\"conv0\"", "groups of 3", "4 output"});
  refused(0, {27, 6, 4}, {"\"conv0\"", "groups", "1 to", "0"});
  refused(2, {27, 6, 4}, {"\"conv0.weight\"", "[27, 3, 4]", "[27, 6, 4]"});
}

}  // namespace
}  // namespace voxshift
