// Builders: published sizes, the names and shapes of the original checkpoints, structure, what is refused.
#include <voxshift/networks/minkunet.h>
#include <voxshift/networks/pointnet2.h>
#include <voxshift/networks/pvcnn.h>
#include <voxshift/networks/spvcnn.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "built_network.h"
#include "device_fixture.h"

namespace voxshift {
namespace {

std::int64_t parameter_count(const Network& network) {
  std::int64_t count = 0;
  for (const auto& [name, tensor] : network.parameters)
    if (name.find(".running_") == std::string::npos) count += tensor.count();
  return count;
}

/// Thousands, rounded, as publications give them.
std::int64_t thousands(std::int64_t count) { return (count + 500) / 1000; }

/// check_graph finds no fault, and the output has this many channels.
void expect_logits(Network network, std::int64_t classes) {
  const auto values = check_graph(network.graph, network.parameters);
  EXPECT_EQ(values.channels(network.graph.output()), classes);
}

PvcnnSpec scaled(PvcnnSpec spec, double width, double resolution = 1) {
  spec.width = width;
  spec.resolution = resolution;
  return spec;
}

/// Multiply-adds for one cloud: every product's weight once per row, convolutions on dense cells without borders.
double macs(Network network, double points) {
  const auto values = check_graph(network.graph, network.parameters);
  std::map<std::string, double> rows{{kGraphInput, points}};
  double total = 0;
  for (const Node& node : network.graph.nodes) {
    double here = rows.at(node.inputs[0]);
    if (node.op == "voxelize_dense") here = std::pow(static_cast<double>(node.whole("resolution")), 3);
    if (node.op == "devoxelize_dense" || node.op == "broadcast") here = rows.at(node.inputs[1]);
    if (node.op == "max_pool" || node.op == "avg_pool") here = 1;
    rows[node.name] = here;
    if (node.op == "conv" || node.op == "linear")
      total += here * static_cast<double>(network.parameters.at(node.parameters.at("weight")).count());
  }
  return total;
}

TEST(Builders, PublishedParameterCounts) {
  // Counted on the modules of spvnas and PVCNN themselves.
  EXPECT_EQ(thousands(parameter_count(make_spvcnn(0.5, 19, 1))), 5449);
  EXPECT_EQ(thousands(parameter_count(make_spvcnn(0.64, 19, 1))), 8794);
  EXPECT_EQ(thousands(parameter_count(make_spvcnn(1, 19, 1))), 21778);
  EXPECT_EQ(parameter_count(make_pvcnn2(scaled(PvcnnSpec::s3dis(), 0.5), 1)), 3'436'429);
  EXPECT_EQ(parameter_count(make_pvcnn2(PvcnnSpec::s3dis(), 1)), 13'709'837);
  EXPECT_EQ(parameter_count(make_pointnet2(PvcnnSpec::shapenet(), 1)), 1'757'726);
}

TEST(Builders, PublishedSizesOfPvcnn) {
  struct Row {
    PvcnnSpec spec;
    std::int64_t points, parameters;
    double giga_macs, rounding;
  };
  for (const Row& row : {Row{scaled(PvcnnSpec::s3dis(), 0.125), 4096, 43'365, 0.26, 0.005},
                         Row{scaled(PvcnnSpec::s3dis(), 0.25), 4096, 166'205, 0.91, 0.005},
                         Row{PvcnnSpec::s3dis(), 4096, 2'572'493, 12.9, 0.05},
                         Row{scaled(PvcnnSpec::shapenet(), 0.25), 2048, 268'898, 1.03, 0.005},
                         Row{scaled(PvcnnSpec::shapenet(), 0.5), 2048, 1'058'578, 3.95, 0.005},
                         Row{PvcnnSpec::shapenet(), 2048, 4'200'434, 15.4, 0.05}}) {
    const Network network = make_pvcnn(row.spec, 1);
    EXPECT_EQ(parameter_count(network), row.parameters);
    EXPECT_NEAR(macs(network, static_cast<double>(row.points)) / 1e9, row.giga_macs, row.rounding);
  }
}

TEST(Builders, GraphsAreSound) {
  expect_logits(make_spvcnn(0.25, 22, 1), 22);
  expect_logits(make_pvcnn(scaled(PvcnnSpec::s3dis(), 0.125), 1), 13);
  expect_logits(make_pvcnn(scaled(PvcnnSpec::shapenet(), 0.125), 1), 50);
  expect_logits(make_pvcnn2(scaled(PvcnnSpec::s3dis(), 0.25), 1), 13);
  expect_logits(make_pointnet2(scaled(PvcnnSpec::shapenet(), 0.125), 1), 50);
}

TEST(Builders, SeedDecidesTheWeights) {
  for (const auto& make : std::vector<std::function<Network(std::uint64_t)>>{
           [](std::uint64_t seed) { return make_spvcnn(0.125, 19, seed); },
           [](std::uint64_t seed) { return make_pvcnn(scaled(PvcnnSpec::s3dis(), 0.125), seed); }}) {
    const Network a = make(1), same = make(1), other = make(2);
    ASSERT_EQ(a.parameters.size(), same.parameters.size());
    bool differs = false;
    for (const auto& [name, tensor] : a.parameters) {
      expect_same_bits(same.parameters.at(name), tensor);
      const auto x = tensor.values<float>(), y = other.parameters.at(name).values<float>();
      differs = differs || !std::equal(x.begin(), x.end(), y.begin());
    }
    EXPECT_TRUE(differs);
  }
}

TEST(SpvCnn, IsMinkUNetWithThreeTransforms) {
  const Network plain = make_minkunet(0.5, 19, 1), network = make_spvcnn(0.5, 19, 1);
  for (const auto& [name, tensor] : plain.parameters) EXPECT_EQ(shape(network, name), tensor.shape()) << name;
  // Each with weight, bias and the four tensors of batch norm.
  EXPECT_EQ(network.parameters.size(), plain.parameters.size() + std::size_t{3 * 6});
  EXPECT_EQ(shape(network, "point_transforms.0.0.weight"), (Shape{128, 16}));
  EXPECT_EQ(shape(network, "point_transforms.1.0.weight"), (Shape{64, 128}));
  EXPECT_EQ(shape(network, "point_transforms.2.0.bias"), (Shape{48}));
  EXPECT_EQ(shape(network, "point_transforms.2.1.running_var"), (Shape{48}));
}

TEST(SpvCnn, PointsMeetVoxelsAtStrides16And4) {
  const Network network = make_spvcnn(0.5, 19, 1);
  const std::vector<Node>& nodes = network.graph.nodes;
  const auto count = [&](const std::string& op) {
    return std::count_if(nodes.begin(), nodes.end(), [&](const Node& node) { return node.op == op; });
  };
  EXPECT_EQ(count("voxelize"), 2);
  EXPECT_EQ(count("devoxelize"), 2);
  const auto inputs = [&](const std::string& name) { return node_of(network, name).inputs; };
  using Names = std::vector<std::string>;
  EXPECT_EQ(inputs("points.0.devoxelize"), (Names{"stage4.2.relu", "stem.4.relu"}));
  EXPECT_EQ(inputs("points.0.voxelize"), (Names{"points.0", "stage4.2.relu"}));
  EXPECT_EQ(inputs("up1.0.net.0"), (Names{"points.0.voxelize"}));
  EXPECT_EQ(inputs("points.1.devoxelize"), (Names{"up2.1.1.relu", "stem.4.relu"}));
  EXPECT_EQ(inputs("points.1.voxelize"), (Names{"points.1", "up2.1.1.relu"}));
  EXPECT_EQ(inputs("up3.0.net.0"), (Names{"points.1.voxelize"}));
  EXPECT_EQ(inputs("points.2"), (Names{"up4.1.1.relu", "point_transforms.2.1.relu"}));
  EXPECT_EQ(inputs("classifier.0"), (Names{"points.2"}));
}

TEST(Pvcnn, NamesAndShapesOfS3dis) {
  const Network network = make_pvcnn(scaled(PvcnnSpec::s3dis(), 0.25), 1);
  EXPECT_EQ(shape(network, "point_features.0.voxel_layers.0.weight"), (Shape{27, 9, 16}));
  EXPECT_EQ(shape(network, "point_features.0.voxel_layers.3.weight"), (Shape{27, 16, 16}));
  EXPECT_EQ(shape(network, "point_features.0.voxel_layers.4.running_mean"), (Shape{16}));
  EXPECT_EQ(shape(network, "point_features.0.point_features.layers.0.weight"), (Shape{16, 9}));
  EXPECT_EQ(shape(network, "point_features.3.voxel_layers.0.bias"), (Shape{32}));
  EXPECT_EQ(shape(network, "point_features.4.layers.0.weight"), (Shape{256, 32}));
  EXPECT_EQ(shape(network, "cloud_features.0.0.weight"), (Shape{64, 256}));
  EXPECT_EQ(shape(network, "cloud_features.1.0.weight"), (Shape{32, 64}));
  // All features of the points, and the cloud's: 16 + 16 + 16 + 32 + 256 + 32.
  EXPECT_EQ(shape(network, "classifier.0.layers.0.weight"), (Shape{128, 368}));
  EXPECT_EQ(shape(network, "classifier.4.weight"), (Shape{13, 64}));
  EXPECT_EQ(shape(network, "point_features.0.voxel_layers.6.fc.0.weight"), Shape{});  // no squeeze
}

TEST(Pvcnn, NamesAndShapesOfShapeNet) {
  const Network network = make_pvcnn(scaled(PvcnnSpec::shapenet(), 0.25), 1);
  EXPECT_EQ(shape(network, "point_features.0.voxel_layers.0.weight"), (Shape{27, 6, 16}));
  EXPECT_EQ(shape(network, "point_features.2.voxel_layers.6.fc.0.weight"), (Shape{4, 32}));
  EXPECT_EQ(shape(network, "point_features.2.voxel_layers.6.fc.2.weight"), (Shape{32, 4}));
  EXPECT_FALSE(network.parameters.contains("point_features.2.voxel_layers.6.fc.0.bias"));
  EXPECT_EQ(shape(network, "point_features.4.layers.0.weight"), (Shape{512, 128}));
  // The shape, all features of the points, and the cloud's: 16 + 16 + 32 + 32 + 128 + 512 + 512.
  EXPECT_EQ(shape(network, "classifier.0.layers.0.weight"), (Shape{64, 1248}));
  EXPECT_EQ(shape(network, "classifier.4.layers.0.weight"), (Shape{32, 64}));
  EXPECT_EQ(shape(network, "classifier.5.weight"), (Shape{50, 32}));
  EXPECT_EQ(node_of(network, "classifier.cat").inputs.front(), "shapes");
}

TEST(Pvcnn, OptionsOfThePublishedNetworks) {
  const Network scenes = make_pvcnn(scaled(PvcnnSpec::s3dis(), 0.125, 0.5), 1);
  EXPECT_EQ(node_of(scenes, "point_features.0.voxelize").whole("resolution"), 16);
  EXPECT_EQ(node_of(scenes, "point_features.1.voxelize").whole("resolution"), 8);
  EXPECT_TRUE(node_of(scenes, "point_features.1.voxelize").flag("normalize"));
  EXPECT_EQ(node_of(scenes, "point_features.0.voxel_layers.1").number("eps"), 1e-4f);
  EXPECT_EQ(node_of(scenes, "point_features.0.voxel_layers.1.leaky_relu").number("slope"), 0.1f);
  EXPECT_EQ(node_of(scenes, "point_features.0.point_features.layers.1").number("eps"), 1e-5f);
  const Network objects = make_pvcnn(scaled(PvcnnSpec::shapenet(), 0.125), 1);
  EXPECT_EQ(node_of(objects, "point_features.0.voxelize").whole("resolution"), 32);
  EXPECT_FALSE(node_of(objects, "point_features.0.voxelize").flag("normalize"));
}

TEST(PvcnnPlusPlus, NamesShapesAndSamples) {
  const Network network = make_pvcnn2(scaled(PvcnnSpec::s3dis(), 0.5), 1);
  EXPECT_EQ(shape(network, "sa_layers.0.0.voxel_layers.0.weight"), (Shape{27, 9, 16}));
  EXPECT_EQ(shape(network, "sa_layers.0.2.mlps.0.layers.0.weight"), (Shape{16, 19}));
  EXPECT_EQ(shape(network, "sa_layers.1.3.mlps.0.layers.3.weight"), (Shape{64, 32}));
  EXPECT_EQ(shape(network, "sa_layers.3.mlps.0.layers.6.weight"), (Shape{256, 128}));
  EXPECT_EQ(shape(network, "fp_layers.0.0.mlp.layers.0.weight"), (Shape{128, 256 + 128}));
  EXPECT_EQ(shape(network, "fp_layers.0.1.voxel_layers.6.fc.0.weight"), (Shape{16, 128}));
  EXPECT_EQ(shape(network, "fp_layers.3.0.mlp.layers.0.weight"), (Shape{64, 64 + 6}));  // colours and room only
  EXPECT_EQ(shape(network, "classifier.2.weight"), (Shape{13, 64}));
  EXPECT_EQ(node_of(network, "features").whole("first"), 3);
  EXPECT_EQ(node_of(network, "features").whole("count"), 6);
  EXPECT_EQ(node_of(network, "sa_layers.1.3.centers").whole("count"), 256);
  EXPECT_EQ(node_of(network, "sa_layers.2.3.mlps.0.group").whole("count"), 32);
  EXPECT_EQ(node_of(network, "sa_layers.2.3.mlps.0.group").number("radius"), 0.4f);
  EXPECT_EQ(node_of(network, "fp_layers.3.0.cat").inputs,
            (std::vector<std::string>{"fp_layers.3.0.interpolate", "features"}));
}

TEST(PointNet2, ScalesBesideEachOther) {
  const Network network = make_pointnet2(scaled(PvcnnSpec::shapenet(), 0.5), 1);
  EXPECT_EQ(shape(network, "sa_layers.0.mlps.0.layers.0.weight"), (Shape{16, 6}));
  EXPECT_EQ(shape(network, "sa_layers.1.mlps.1.layers.0.weight"), (Shape{64, 3 + 32 + 64 + 64}));
  EXPECT_EQ(shape(network, "sa_layers.2.mlps.0.layers.0.weight"), (Shape{128, 128 + 128 + 3}));
  EXPECT_EQ(shape(network, "fp_layers.0.mlp.layers.0.weight"), (Shape{128, 512 + 256}));
  EXPECT_EQ(shape(network, "fp_layers.2.mlp.layers.0.weight"), (Shape{64, 64 + 22}));
  EXPECT_EQ(node_of(network, "fp_layers.0.interpolate").op, "broadcast");  // from one row per cloud
  EXPECT_EQ(node_of(network, "fp_layers.1.interpolate").op, "three_nearest");
  EXPECT_EQ(node_of(network, "sa_layers.0.mlps.2.group").whole("count"), 128);
}

TEST(Builders, WhatCannotBeBuilt) {
  expect_throw([] { make_spvcnn(0.01, 19, 1); }, {"width", "0.01"});
  expect_throw([] { make_spvcnn(9, 19, 1); }, {"width", "9"});
  expect_throw([] { make_pvcnn(scaled(PvcnnSpec::s3dis(), 0.01), 1); }, {"width", "0.01"});
  expect_throw([] { make_pvcnn(scaled(PvcnnSpec::s3dis(), std::nan("")), 1); }, {"width", "nan"});
  expect_throw([] { make_pvcnn(scaled(PvcnnSpec::s3dis(), 1, 9), 1); }, {"resolution", "9"});
  expect_throw([] { make_pvcnn(scaled(PvcnnSpec::shapenet(), 0.1), 1); },
               {"point_features.0.voxel_layers.6", "8 channels", "gives 6"});
  expect_throw([] { make_pvcnn2(scaled(PvcnnSpec::s3dis(), 0.2), 1); }, {"sa_layers.0.0.voxel_layers.6", "gives 6"});
  expect_throw([] { make_pvcnn2(scaled(PvcnnSpec::s3dis(), 0.25, 1.0 / 16), 1); }, {"0.0625", "of 8"});
  PvcnnSpec narrow = PvcnnSpec::s3dis();
  narrow.in_channels = 2;
  expect_throw([&] { make_pvcnn(narrow, 1); }, {"in_channels", "at least 3", "found 2"});
  narrow.in_channels = 3;
  expect_throw([&] { make_pvcnn2(narrow, 1); }, {"in_channels", "at least 4", "found 3"});
  PvcnnSpec shapes = PvcnnSpec::shapenet();
  shapes.in_channels = 18;
  expect_throw([&] { make_pvcnn(shapes, 1); }, {"in_channels", "at least 19", "found 18"});
  shapes.in_channels = 19;
  expect_throw([&] { make_pointnet2(shapes, 1); }, {"in_channels", "at least 20", "found 19"});
  PvcnnSpec scenes = PvcnnSpec::shapenet();
  scenes.variant = PvcnnVariant::kS3dis;
  expect_throw([&] { make_pvcnn(scenes, 1); }, {"no shapes", "found 16"});
}

}  // namespace
}  // namespace voxshift
