// Networks in bf16 on CUDA give what the CPU gives: both compute the same values in f32 and round the same of them.
#include <voxshift/networks/detectors.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tasks/segmenter.h>

#include <cmath>

#include "network_cases.h"
#include "voxel_loops.h"

namespace voxshift {
namespace {

/// Whole numbers whose sums need more bits than bf16 has.
SparseTensor long_numbers(int dims, std::size_t rows, bool with_shape = false) {
  const SparseTensor x = whole_tensor(dims, rows, 4, 3, with_shape);
  std::vector<float> features = host<float>(x.features());
  for (float& value : features) value *= 37;
  return x.with_features(Array::from(features, x.features().shape()));
}

class BfloatNetworkTest : public VoxelGraphTest {
 protected:
  /// All sums of whole numbers are exact, so what is rounded is the same, to the bit, in whatever order they are taken.
  /// Whether anything was rounded.
  bool expect_the_cpus_bits(const NetworkWriter& b, const SparseTensor& x) const {
    const Outputs expected = Session({b.graph, b.parameters}, Device::cpu(), 1, DType::kBF16).run(x);
    bool rounded = false;
    const Outputs wide = run(b, x, 1);
    for (const auto& [name, output] : run(b, x, 1, DType::kBF16)) {
      SCOPED_TRACE(name);
      EXPECT_EQ(output.features.dtype(), DType::kF32);
      expect_same_bits(output.features, expected.at(name).features);
      if (output.coords.rank() == 2) {
        EXPECT_EQ(coords_of(output.coords), coords_of(expected.at(name).coords));
      }
      rounded |= host<float>(output.features) != host<float>(wide.at(name).features);
    }
    return rounded;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, BfloatNetworkTest, ::testing::Values(Device::cuda()), device_name);

// A network of one step reads and gives f32.
TEST_P(BfloatNetworkTest, FusedNetworks) {
  std::size_t several = 0, rounded = 0;
  for (const NetworkCase& network : network_cases()) {
    SCOPED_TRACE(network.name);
    NetworkWriter b(4, network.dims);
    b.graph.outputs = {network.build(b)};
    several += network.steps > 1;
    rounded += expect_the_cpus_bits(b, long_numbers(network.dims, rows(), network.with_shape));
  }
  EXPECT_GT(2 * rounded, several);
}

TEST_P(BfloatNetworkTest, RowsThatFeaturesSelect) {
  NetworkWriter b(4);
  const std::string x = b.conv(kGraphInput, 8), scores = b.conv(x, 1);
  Node& prune = b.add_node("prune", {x, scores}, 8);
  prune.attributes = {{"threshold", 1.0}};
  const std::string kept = prune.name, made = b.grouped("generative_conv_transpose", kept, 8, cube(3, 2)),
                    next = b.conv(made, 1);
  Node& top = b.add_node("top_k", {made, next}, 8);
  top.attributes = {{"count", std::int64_t{9}}};
  const std::string best = top.name, both = b.add_node("union_add", {kept, best}, 8).name;
  b.graph.outputs = {both, b.conv(both, 3), b.grouped("conv", best, 8, cube(3, 3), 8)};
  EXPECT_TRUE(expect_the_cpus_bits(b, long_numbers(3, rows())));
}

TEST_P(BfloatNetworkTest, PoolsAndImages) {
  NetworkWriter b(4);
  const std::string x = b.conv(kGraphInput, 8);
  const auto node = [&](const char* op, const std::vector<std::string>& from, std::int64_t channels,
                        Attributes attributes) {
    Node& added = b.add_node(op, from, channels);
    added.attributes = std::move(attributes);
    return added.name;
  };
  const std::string image = node("bird_eye_view", {x}, 16, {{"shape", PerAxis{6, 5, 2}}}),
                    wide = b.relu(node("upsample", {image}, 16, {{"scale_factor", std::int64_t{2}}})),
                    back = node("from_dense", {image, x}, 16, {});
  b.graph.outputs = {b.linear(node("sum_pool", {x}, 8, {}), 3), b.linear(node("max_pool", {x}, 8, {}), 3),
                     b.conv(b.add_node("multiply", {b.conv(x, 16, 1), back}, 16).name, 5),
                     node("pad", {wide}, 16, {{"left", std::int64_t{1}}})};
  EXPECT_TRUE(expect_the_cpus_bits(b, long_numbers(3, rows(), true)));
}

double distance(const std::vector<float>& x, const std::vector<float>& y) {
  EXPECT_EQ(x.size(), y.size());
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow(double{x[i]} - y[i], 2);
  return std::sqrt(sum);
}

/// `found`, of CUDA, is no further from the CPU's bf16 than that is from f32. A sum in another order is now and then
/// rounded to the neighbour, which is less than what all rounding does; where a bias is nearly all of an output, what
/// is left is f32's own rounding.
void expect_near(const Array& found, const Array& cpu, const Array& wide) {
  const auto expected = host<float>(cpu);
  const double size = distance(expected, std::vector<float>(expected.size()));
  EXPECT_LE(distance(host<float>(found), expected), distance(expected, host<float>(wide)) + size * 0x1p-22);
}

TEST_P(BfloatNetworkTest, Models) {
  const SynthScan scan = synth_lidar(9);
  const std::int64_t n = emulated() ? 1000 : 12000;
  const Array points = Array::from(std::vector<float>(scan.points.begin(), scan.points.begin() + 4 * n), {n, 4});
  for (const char* arch : {"minkunet", "spvcnn", "spvnas"}) {
    SCOPED_TRACE(arch);
    ModelSpec spec;
    spec.arch = arch, spec.width = 1.0 / 8, spec.seed = 3;
    const Model model = Model::create(spec);
    const auto logits = [&](Device on, DType dtype) {
      Segmenter segmenter(model, on, 1, dtype);
      return segmenter.segment(points.to(on), true).scores;
    };
    const Array expected = logits(Device::cpu(), DType::kBF16), found = logits(device(), DType::kBF16);
    expect_near(found, expected, logits(Device::cpu(), DType::kF32));
    for (int run = 0; run < repeats(); ++run) expect_same_bits(logits(device(), DType::kBF16), found);
  }
}

TEST_P(BfloatNetworkTest, Detectors) {
  const SynthScan scan = synth_lidar(9);
  const PointSet points{Array::from(std::vector<float>(scan.points.begin(), scan.points.end()),
                                    {static_cast<std::int64_t>(scan.labels.size()), 4}),
                        std::nullopt};
  const PointSet moved{points.points.to(device()), std::nullopt};
  const float reach = emulated() ? 4 : 16;
  DetectorSpec spec;
  spec.width = 1.0 / 8, spec.voxel_size = {0.5f, 0.5f, 0.1f}, spec.range = {{-reach, -reach, -3}, {reach, reach, 1}};
  DetectorSpec pillars = spec;
  pillars.voxel_size[2] = 4;
  for (const DetectorNetwork& made :
       {make_second(spec, 1), make_pointpillars(pillars, 2), make_centerpoint(spec, 3), make_centerpoint(pillars, 4)}) {
    SCOPED_TRACE(made.network.graph.nodes.size());
    const auto run = [&](Device on, DType dtype) {
      return Session(made.network, on, 1, dtype).run(on == Device::cpu() ? points : moved);
    };
    const Outputs expected = run(Device::cpu(), DType::kBF16), wide = run(Device::cpu(), DType::kF32);
    for (const auto& [name, output] : run(device(), DType::kBF16)) {
      SCOPED_TRACE(name);
      expect_near(output.features, expected.at(name).features, wide.at(name).features);
    }
  }
}

}  // namespace
}  // namespace voxshift
