// TSM networks: published sizes, names and shapes of the checkpoints, which blocks are shifted, widths, refused specs.
#include <voxshift/graph/image_window.h>
#include <voxshift/networks/tsm.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "built_network.h"
#include "device_fixture.h"

namespace voxshift {
namespace {

// Of a convolution or a pooling.
Window2d window_of(const Network& network, const std::string& name) {
  const Node& node = node_of(network, name);
  return image_window_of(node, node.op == "conv2d" ? shape(network, name + ".weight")[3] : node.whole("kernel_size"));
}

using Names = std::vector<std::string>;

TsmSpec spec(double width, int classes, bool bidirectional = false) { return {width, classes, {8, bidirectional}}; }

std::int64_t parameter_count(const Network& network) {
  std::int64_t count = 0;
  for (const auto& [name, tensor] : network.parameters)
    if (name.find(".running_") == std::string::npos) count += tensor.count();
  return count;
}

Names shifted(const Network& network) {
  Names names;
  for (const Node& node : network.graph.nodes)
    if (node.op == "temporal_shift") names.push_back(node.name);
  return names;
}

void expect_logits(Network network, std::int64_t classes) {
  const auto values = check_graph(network.graph, network.parameters);
  EXPECT_EQ(values.channels(network.graph.output()), classes);
}

// MobileNetV2

TEST(TsmMobileNetV2, PublishedParameterCounts) {
  // Counted on torchvision's modules.
  EXPECT_EQ(parameter_count(make_tsm_mobilenetv2(spec(1, 1000), 1)), 3'504'872);
  EXPECT_EQ(parameter_count(make_tsm_mobilenetv2(spec(0.5, 1000), 1)), 1'968'680);
  EXPECT_EQ(parameter_count(make_tsm_mobilenetv2(spec(1.4, 1000), 1)), 6'108'776);
}

TEST(TsmMobileNetV2, NamesAndShapesOfTheJesterCheckpoint) {
  const Network network = make_tsm_mobilenetv2(spec(1, 27), 1);
  std::set<std::string> expected{"classifier.weight", "classifier.bias"};
  const auto layer = [&](const std::string& prefix, int conv) {
    expected.insert(prefix + std::to_string(conv) + ".weight");
    for (const char* role : {"weight", "bias", "running_mean", "running_var"})
      expected.insert(prefix + std::to_string(conv + 1) + "." + role);
  };
  layer("features.0.", 0);
  layer("features.18.", 0);
  for (int block = 1; block <= 17; ++block)
    for (const int conv : block == 1 ? std::vector<int>{0, 3} : std::vector<int>{0, 3, 6})
      layer("features." + std::to_string(block) + ".conv.", conv);
  std::set<std::string> found;
  for (const auto& [name, tensor] : network.parameters) found.insert(name);
  EXPECT_EQ(found, expected);

  EXPECT_EQ(shape(network, "features.0.0.weight"), (Shape{32, 3, 3, 3}));
  EXPECT_EQ(shape(network, "features.1.conv.0.weight"), (Shape{32, 1, 3, 3}));
  EXPECT_EQ(shape(network, "features.1.conv.3.weight"), (Shape{16, 32, 1, 1}));
  EXPECT_EQ(shape(network, "features.3.conv.0.weight"), (Shape{144, 24, 1, 1}));
  EXPECT_EQ(shape(network, "features.3.conv.1.running_var"), (Shape{144}));
  EXPECT_EQ(shape(network, "features.3.conv.3.weight"), (Shape{144, 1, 3, 3}));
  EXPECT_EQ(shape(network, "features.3.conv.6.weight"), (Shape{24, 144, 1, 1}));
  EXPECT_EQ(shape(network, "features.17.conv.6.weight"), (Shape{320, 960, 1, 1}));
  EXPECT_EQ(shape(network, "features.18.0.weight"), (Shape{1280, 320, 1, 1}));
  EXPECT_EQ(shape(network, "classifier.weight"), (Shape{27, 1280}));
}

TEST(TsmMobileNetV2, StridesChannelsAndGroups) {
  const Network network = make_tsm_mobilenetv2(spec(1, 27), 1);
  const std::int64_t out[] = {16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320};
  const std::set<int> strided{2, 4, 7, 14};
  EXPECT_EQ(window_of(network, "features.0.0"), (Window2d{3, 2, 1}));
  for (int block = 1; block <= 17; ++block) {
    const std::string list = "features." + std::to_string(block) + ".conv.";
    const std::string depthwise = list + (block == 1 ? "0" : "3"), project = list + (block == 1 ? "3" : "6");
    EXPECT_EQ(shape(network, project + ".weight")[0], out[block - 1]) << block;
    EXPECT_EQ(window_of(network, depthwise), (Window2d{3, strided.contains(block) ? 2 : 1, 1})) << block;
    EXPECT_EQ(node_of(network, depthwise).whole("groups"), shape(network, depthwise + ".weight")[0]) << block;
    EXPECT_TRUE(window_of(network, project).pointwise()) << block;
    // No activation after the projection: linear bottlenecks.
    for (const Node& node : network.graph.nodes) {
      if (node.op != "relu6") continue;
      EXPECT_NE(node.inputs[0], list + (block == 1 ? "4" : "7"));
    }
  }
  expect_logits(network, 27);
}

TEST(TsmMobileNetV2, TheTenShiftedBlocks) {
  for (const bool bidirectional : {false, true}) {
    const Network network = make_tsm_mobilenetv2(spec(1, 27, bidirectional), 1);
    Names expected;
    for (const int block : {2, 4, 5, 7, 8, 9, 11, 12, 14, 15})  // of 17, from 0
      expected.push_back("features." + std::to_string(block + 1) + ".shift");
    EXPECT_EQ(shifted(network), expected);
    for (const std::string& name : expected) {
      const std::string block = name.substr(0, name.rfind('.'));
      const Node& shift = node_of(network, name);
      EXPECT_EQ(shift.whole("shift_div"), 8);
      EXPECT_EQ(shift.flag("bidirectional"), bidirectional);
      EXPECT_EQ(node_of(network, block + ".conv.0").inputs, Names{name});
      // The residual is the value before the shift.
      EXPECT_EQ(node_of(network, block + ".add").inputs, (Names{shift.inputs[0], block + ".conv.7"}));
    }
  }
}

TEST(TsmMobileNetV2, WidthsAreMultiplesOf8) {
  const Network wide = make_tsm_mobilenetv2(spec(1.4, 27), 1), narrow = make_tsm_mobilenetv2(spec(0.5, 27), 1);
  EXPECT_EQ(shape(wide, "features.0.0.weight")[0], 48);         // 44.8
  EXPECT_EQ(shape(wide, "features.1.conv.3.weight")[0], 24);    // 22.4
  EXPECT_EQ(shape(wide, "features.17.conv.6.weight")[0], 448);  // 448
  EXPECT_EQ(shape(wide, "features.18.0.weight")[0], 1792);      // grows with the width
  EXPECT_EQ(shape(narrow, "features.0.0.weight")[0], 16);       // 16
  EXPECT_EQ(shape(narrow, "features.2.conv.6.weight")[0], 16);  // 12: 8 would be less than 0.9 of it
  EXPECT_EQ(shape(narrow, "features.18.0.weight")[0], 1280);    // does not shrink
  for (const double width : {1.0 / 16, 0.25, 0.35, 0.75, 1.3, 2.0}) {
    const Network network = make_tsm_mobilenetv2(spec(width, 3), 1);
    expect_logits(network, 3);
    EXPECT_GE(shifted(network).size(), 10U);
  }
}

// ResNet50

TEST(TsmResNet50, PublishedParameterCount) {
  EXPECT_EQ(parameter_count(make_tsm_resnet50(spec(1, 1000), 1)), 25'557'032);
}

TEST(TsmResNet50, NamesShapesAndStridesOfTorchvision) {
  const Network network = make_tsm_resnet50(spec(1, 400), 1);
  const int blocks[] = {3, 4, 6, 3};
  std::set<std::string> expected{"conv1.weight", "new_fc.weight", "new_fc.bias"};
  const auto norm = [&](const std::string& name) {
    for (const char* role : {"weight", "bias", "running_mean", "running_var"}) expected.insert(name + "." + role);
  };
  norm("bn1");
  std::int64_t in = 64;
  for (int stage = 0; stage < 4; ++stage)
    for (int block = 0; block < blocks[stage]; ++block) {
      const std::string name = "layer" + std::to_string(stage + 1) + "." + std::to_string(block) + ".";
      const std::int64_t middle = std::int64_t{64} << stage;
      for (const std::string i : {"1", "2", "3"}) {
        expected.insert(name + "conv" + i + ".weight");
        norm(name + "bn" + i);
      }
      EXPECT_EQ(shape(network, name + "conv1.weight"), (Shape{middle, in, 1, 1})) << name;
      EXPECT_EQ(shape(network, name + "conv2.weight"), (Shape{middle, middle, 3, 3})) << name;
      EXPECT_EQ(shape(network, name + "conv3.weight"), (Shape{4 * middle, middle, 1, 1})) << name;
      const std::int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      EXPECT_EQ(window_of(network, name + "conv1"), (Window2d{1, 1, 0})) << name;
      EXPECT_EQ(window_of(network, name + "conv2"), (Window2d{3, stride, 1})) << name;
      if (block == 0) {
        expected.insert(name + "downsample.0.weight");
        norm(name + "downsample.1");
        EXPECT_EQ(window_of(network, name + "downsample.0"), (Window2d{1, stride, 0})) << name;
      }
      in = 4 * middle;
    }
  std::set<std::string> found;
  for (const auto& [name, tensor] : network.parameters) found.insert(name);
  EXPECT_EQ(found, expected);
  EXPECT_EQ(shape(network, "conv1.weight"), (Shape{64, 3, 7, 7}));
  EXPECT_EQ(window_of(network, "conv1"), (Window2d{7, 2, 3}));
  EXPECT_EQ(window_of(network, "maxpool"), (Window2d{3, 2, 1}));
  EXPECT_EQ(shape(network, "new_fc.weight"), (Shape{400, 2048}));
  expect_logits(network, 400);
}

TEST(TsmResNet50, AllSixteenBlocksAreShifted) {
  const Network network = make_tsm_resnet50(spec(0.25, 400), 1);
  EXPECT_EQ(shifted(network).size(), 16U);
  for (const std::string& name : shifted(network)) {
    const std::string block = name.substr(0, name.rfind('.'));
    const std::string& x = node_of(network, name).inputs[0];
    EXPECT_EQ(node_of(network, block + ".conv1").inputs, Names{name});
    const bool first = block.back() == '0';
    EXPECT_EQ(node_of(network, block + ".add").inputs, (Names{block + ".bn3", first ? block + ".downsample.1" : x}));
    if (first) {
      EXPECT_EQ(node_of(network, block + ".downsample.0").inputs, Names{x});
    }
  }
}

// Both

TEST(Tsm, SeedDecidesTheWeights) {
  const Network a = make_tsm_mobilenetv2(spec(0.25, 5), 1), same = make_tsm_mobilenetv2(spec(0.25, 5), 1);
  const Network other = make_tsm_mobilenetv2(spec(0.25, 5), 2);
  for (const auto& [name, tensor] : a.parameters) expect_same_bits(same.parameters.at(name), tensor);
  const auto first = [](const Network& n) { return n.parameters.at("features.3.conv.0.weight").values<float>()[0]; };
  EXPECT_NE(first(a), first(other));
  // U(-b, b) of variance 2 / fan.
  double squares = 0;
  const auto values = make_tsm_resnet50(spec(0.25, 5), 1).parameters.at("layer3.0.conv2.weight");
  for (const float w : values.values<float>()) squares += double{w} * w;
  EXPECT_NEAR(squares / static_cast<double>(values.count()), 2.0 / (64 * 9), 0.05 * 2.0 / (64 * 9));
}

TEST(Tsm, WhatCannotBeBuilt) {
  expect_throw([] { make_tsm_mobilenetv2(spec(0.05, 27), 1); }, {"width", "0.05"});
  expect_throw([] { make_tsm_mobilenetv2(spec(4.5, 27), 1); }, {"width", "4.5"});
  expect_throw([] { make_tsm_resnet50(spec(std::nan(""), 27), 1); }, {"width", "nan"});
  expect_throw([] { make_tsm_resnet50(spec(0, 27), 1); }, {"width", "0"});
}

}  // namespace
}  // namespace voxshift
