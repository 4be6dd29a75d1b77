// Batch norm folded and ranges evened out: the same function, in plain loops over the tensors what was to change.
#include <voxshift/engine/evaluate.h>
#include <voxshift/quantize/equalize.h>
#include <voxshift/quantize/fold.h>
#include <voxshift/tasks/calibrate.h>

#include <cmath>
#include <set>

#include "device_fixture.h"
#include "networks.h"

namespace voxshift {
namespace {

Array output_of(const Network& network, const Model& model) {
  const Profile& profile = model.profile();
  Network checked = network;
  check_graph(checked.graph, checked.parameters);
  if (profile.frames) return evaluate(checked.graph, checked.parameters, simulated_frames(*profile.frames, 3));
  const Array points = simulated_points(profile, 3);
  if (profile.cloud) return evaluate(checked.graph, checked.parameters, PointSet{points, {}});
  VoxelizeOptions coarse = profile.voxelize;
  coarse.voxel_size = 0.4f;
  return evaluate(checked.graph, checked.parameters, voxelize(points, coarse).tensor);
}

Array output_of(const Network& network, const SparseTensor& x) {
  Network checked = network;
  check_graph(checked.graph, checked.parameters);
  return evaluate(checked.graph, checked.parameters, x);
}

/// |a - b| / |b|
double relative_difference(const Array& a, const Array& b) {
  EXPECT_EQ(a.shape(), b.shape());
  double difference = 0, norm = 0;
  for (std::int64_t i = 0; i < b.count(); ++i) {
    difference += std::pow(static_cast<double>(a.data<float>()[i]) - b.data<float>()[i], 2);
    norm += std::pow(static_cast<double>(b.data<float>()[i]), 2);
  }
  return std::sqrt(difference / norm);
}

std::size_t count_of_op(const Graph& graph, const std::string& op) {
  return static_cast<std::size_t>(
      std::count_if(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) { return node.op == op; }));
}

Model small_model(const std::string& arch) {
  ModelSpec spec;
  spec.arch = arch;
  spec.width = 0.125;
  spec.seed = 5;
  if (arch.starts_with("tsm")) {
    spec.width = 0.25;
    spec.profile = "motions";
  }
  return Model::create(spec);
}

TEST(SameFunction, OfNetworksOfEveryKind) {
  constexpr double kTolerance = 1e-4;  // roundings of f32 through up to 53 products
  for (const char* arch : {"minkunet", "spvcnn", "tsm-mobilenetv2", "tsm-resnet50", "pointpillars"}) {
    SCOPED_TRACE(arch);
    const Model model = small_model(arch);
    const Network folded = folded_batch_norm(model.network());
    EXPECT_GT(count_of_op(model.graph(), "batch_norm"), 5u);
    EXPECT_EQ(count_of_op(folded.graph, "batch_norm"), 0u);
    EXPECT_EQ(folded.graph.outputs, model.graph().outputs);
    const Array expected = output_of(model.network(), model);
    EXPECT_LT(relative_difference(output_of(folded, model), expected), kTolerance);
    EXPECT_LT(relative_difference(output_of(equalized(folded), model), expected), kTolerance);
  }
}

/// Whole numbers and powers of two: folding is exact.
TEST(Fold, MultipliesWeightsAndAddsBiases) {
  NetworkWriter b(4);
  const std::string conv = b.conv(kGraphInput, 6), norm = b.batch_norm(conv);
  const std::string shared = b.linear(norm, 5, false);
  const std::string twice = b.add(shared, b.batch_norm(shared));  // a product with two users keeps its norm
  const std::string last = b.batch_norm(b.linear(twice, 3));
  const Model model = b.model(last);
  const Network folded = folded_batch_norm(model.network());

  std::vector<std::string> names;
  for (const Node& node : folded.graph.nodes) names.push_back(node.name);
  EXPECT_EQ(count_of_op(folded.graph, "batch_norm"), 1u);
  EXPECT_EQ(folded.graph.outputs, std::vector{last});
  EXPECT_EQ(names.front(), conv);
  EXPECT_EQ(names.back(), last);
  EXPECT_EQ(folded.graph.nodes[1].inputs, std::vector{conv});
  for (const auto& [name, tensor] : folded.parameters)
    EXPECT_FALSE(name.starts_with(norm)) << name << " is of no use any more";

  const auto was = [&](const std::string& name) { return model.parameters().at(name).values<float>(); };
  const Node& product = folded.graph.nodes.front();
  const auto weight = folded.parameters.at(product.parameters.at("weight")).values<float>();
  const auto bias = folded.parameters.at(product.parameters.at("bias")).values<float>();
  ASSERT_EQ(weight.size(), 27u * 4 * 6);
  for (std::size_t e = 0; e < weight.size(); ++e)
    EXPECT_EQ(weight[e], was(conv + ".weight")[e] / std::sqrt(was(norm + ".running_var")[e % 6]));
  for (std::size_t c = 0; c < 6; ++c)
    EXPECT_EQ(bias[c],
              was(norm + ".bias")[c] - was(norm + ".running_mean")[c] / std::sqrt(was(norm + ".running_var")[c]));
  const SparseTensor x = whole_tensor(3, 60, 4, 2);
  EXPECT_EQ(relative_difference(output_of(folded, x), output_of(model.network(), x)), 0);
}

TEST(Fold, LeavesTensorsThatNodesShareAsTheyAre) {
  NetworkWriter b(4);
  const std::string norm = b.batch_norm(b.linear(kGraphInput, 4)), second = b.linear(norm, 4);
  b.graph.nodes.back().parameters = b.graph.nodes.front().parameters;
  const Model model = b.model(second);
  const SparseTensor x = whole_tensor(3, 20, 4, 2);
  EXPECT_EQ(relative_difference(output_of(folded_batch_norm(model.network()), x), output_of(model.network(), x)), 0);
}

/// A weight's largest |number| by output or input channel, in plain loops over how the op lays it out.
std::vector<double> ranges_of(const Network& network, const std::string& name, bool outputs) {
  const Node& node = *std::find_if(network.graph.nodes.begin(), network.graph.nodes.end(),
                                   [&](const Node& candidate) { return candidate.name == name; });
  const Array& weight = network.parameters.at(node.parameters.at("weight"));
  const bool depthwise = node.op == "conv2d" && weight.dim(1) == 1;
  const Shape& shape = weight.shape();
  const std::size_t axis = node.op == "conv" ? (outputs ? 2 : 1) : (outputs || depthwise ? 0 : 1);
  std::vector<double> ranges(static_cast<std::size_t>(shape[axis]));
  std::int64_t below = 1;
  for (std::size_t d = axis + 1; d < shape.size(); ++d) below *= shape[d];
  for (std::int64_t e = 0; e < weight.count(); ++e) {
    double& range = ranges[static_cast<std::size_t>(e / below % shape[axis])];
    range = std::max(range, std::abs(static_cast<double>(weight.data<float>()[e])));
  }
  return ranges;
}

void make_uneven(Array& weight, std::int64_t channels) {
  for (std::int64_t e = 0; e < weight.count(); ++e)
    weight.data<float>()[e] = static_cast<float>((e * 7 % 11 + 1) * std::pow(4.0, static_cast<double>(e % channels)));
}

TEST(Equalize, MakesTheRangesOfNeighboursEqual) {
  NetworkWriter b(4);
  const std::string first = b.conv(kGraphInput, 5, cube(3, 3), true), second = b.conv(b.relu(first), 6);
  const std::string third = b.linear(b.leaky_relu(second), 3);
  make_uneven(b.parameters.at(first + ".weight"), 5);
  make_uneven(b.parameters.at(second + ".weight"), 6);
  make_uneven(b.parameters.at(third + ".weight"), 3);
  const Model model = b.model(third);
  const Network even = equalized(model.network());
  const std::vector<double> before = ranges_of(model.network(), first, true);
  EXPECT_GT(before[4] / before[0], 100);
  for (const auto& [given, taken] : {std::pair(first, second), std::pair(second, third)}) {
    const std::vector<double> a = ranges_of(even, given, true), c = ranges_of(even, taken, false);
    ASSERT_EQ(a.size(), c.size());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i] / c[i], 1, 0.01) << given << " " << i;
  }
  const SparseTensor x = whole_tensor(3, 60, 4, 2);
  EXPECT_LT(relative_difference(output_of(even, x), output_of(model.network(), x)), 1e-6);
}

TEST(Equalize, LeavesAloneWhatOthersReadAndWhatDoesNotScaleThrough) {
  NetworkWriter b(4);
  const std::string read_twice = b.conv(kGraphInput, 5), x = b.relu(read_twice), clipped = b.conv(x, 5);
  const std::string sum = b.add(b.conv(b.relu6(clipped), 5), x);
  const std::string last = b.linear(sum, 3);
  for (auto& [name, tensor] : b.parameters)
    if (name.ends_with("weight")) make_uneven(tensor, 5);
  const Model model = b.model(last);
  const Network even = equalized(model.network());
  for (const auto& [name, tensor] : model.parameters()) {
    const auto same = even.parameters.at(name).values<float>(), given = tensor.values<float>();
    EXPECT_TRUE(std::equal(same.begin(), same.end(), given.begin(), given.end())) << name;
  }
}

Network depthwise_between_two() {
  Network network;
  network.graph.dims = 2;
  network.graph.inputs.front().kind = InputKind::kFrames;
  network.graph.inputs.front().channels = 3;
  const auto conv = [&](const std::string& name, const std::string& in, const Shape& shape, std::int64_t groups) {
    Node node{name, "conv2d", {in}, {{"weight", name + ".weight"}}, {{"groups", groups}}};
    node.attributes["padding"] = PerAxis{shape[2] / 2, shape[2] / 2};
    network.graph.nodes.push_back(node);
    Array weight(shape, DType::kF32);
    for (std::int64_t e = 0; e < weight.count(); ++e)
      weight.data<float>()[e] =
          static_cast<float>(static_cast<double>(e * 5 % 7 - 3) * std::pow(3.0, static_cast<double>(e % 4)));
    network.parameters.emplace(name + ".weight", std::move(weight));
  };
  conv("expand", kGraphInput, {8, 3, 1, 1}, 1);
  network.graph.nodes.push_back({"a", "relu", {"expand"}, {}, {}});
  conv("depthwise", "a", {8, 1, 3, 3}, 8);
  network.graph.nodes.push_back({"b", "relu", {"depthwise"}, {}, {}});
  conv("project", "b", {4, 8, 1, 1}, 1);
  network.graph.outputs = {"project"};
  return network;
}

TEST(Equalize, TakesADepthwiseProductBetweenTwoOthersAndChannelsOfZeros) {
  Network network = depthwise_between_two();
  std::fill_n(network.parameters.at("expand.weight").data<float>() + 2 * 3, 3, 0.0f);  // channel 2
  Network even = equalized(network);
  for (const auto& [given, taken] : {std::pair("expand", "depthwise"), std::pair("depthwise", "project")}) {
    const std::vector<double> a = ranges_of(even, given, true), c = ranges_of(even, taken, false);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double ratio = a[i] > 0 ? a[i] / c[i] : 1;
      EXPECT_NEAR(ratio, 1, 0.01) << given << " " << i;
    }
  }
  Array frames({2, 6, 5, 3}, DType::kF32);
  for (std::int64_t e = 0; e < frames.count(); ++e) frames.data<float>()[e] = static_cast<float>(e % 13) - 6;
  check_graph(network.graph, network.parameters, {{6, 5}});
  check_graph(even.graph, even.parameters, {{6, 5}});
  EXPECT_LT(relative_difference(evaluate(even.graph, even.parameters, frames),
                                evaluate(network.graph, network.parameters, frames)),
            1e-6);
}

}  // namespace
}  // namespace voxshift
