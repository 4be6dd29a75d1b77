// Plans of video networks: what is fused, what it costs, and that it computes what the plain nodes do.
#include <voxshift/engine/evaluate.h>
#include <voxshift/graph/window_step.h>

#include <map>

#include "device_fixture.h"
#include "video_cases.h"

namespace voxshift {
namespace {

std::string letters(const Plan& plan) {
  std::string result;
  for (const auto& step : plan.steps) {
    const std::string kind = step->kind();
    result += kind.ends_with("project")      ? 'f'
              : kind.starts_with("depth")    ? 'd'
              : kind.starts_with("max_pool") ? 'p'
              : kind == "mean"               ? 'm'
              : kind == "temporal_shift"     ? 's'
              : kind == "add"                ? '+'
              : kind == "affine"             ? 'a'
                                             : 'c';
  }
  return result;
}

Plan plan_of(const Network& network, std::int64_t height = 32, std::int64_t width = 32) {
  return make_plan(network.graph, network.parameters, Device::cpu(), DType::kF32, Passes::kAll,
                   {Extent2d{height, width}});
}

const WindowStep* window_of(const Plan& plan, std::size_t s) {
  return dynamic_cast<const WindowStep*>(plan.steps[s].get());
}

bool is_shifted(const Plan& plan, std::size_t s) {
  return window_of(plan, s) != nullptr && window_of(plan, s)->shift().has_value();
}

std::int64_t macs_of(const Plan& plan) {
  std::int64_t macs = 0;
  for (std::size_t s = 0; s < plan.steps.size(); ++s)
    if (window_of(plan, s) != nullptr) macs += window_of(plan, s)->dense_macs();
  return macs;
}

/// Multiply-adds of all conv2d and linear nodes of a graph, node by node.
std::int64_t plain_macs(const Network& network, std::int64_t height, std::int64_t width) {
  std::map<std::string, std::int64_t> heights{{"input", height}}, widths{{"input", width}};
  std::int64_t macs = 0;
  for (const Node& node : network.graph.nodes) {
    std::int64_t h = heights.at(node.inputs[0]), w = widths.at(node.inputs[0]);
    if (node.op == "conv2d" || node.op == "max_pool2d") {
      const std::int64_t kernel =
          node.op == "conv2d" ? network.parameters.at(node.parameters.at("weight")).dim(3) : node.whole("kernel_size");
      const std::int64_t stride = node.whole("stride"), padding = node.whole("padding");
      h = (h + 2 * padding - kernel) / stride + 1;
      w = (w + 2 * padding - kernel) / stride + 1;
    }
    if (node.op == "avg_pool") h = w = 1;
    if (node.op == "conv2d" || node.op == "linear")
      macs += h * w * network.parameters.at(node.parameters.at("weight")).count();
    heights[node.name] = h;
    widths[node.name] = w;
  }
  return macs;
}

// Structure

TEST(VideoPlan, MobileNetIsBlocks) {
  const Network network = make_tsm_mobilenetv2({1.0, 27, {}}, 1);
  const Plan plan = plan_of(network, 224, 224);
  EXPECT_EQ(letters(plan),
            "fffffffffffffffff"
            "cmc");
  EXPECT_EQ(plan.steps[0]->name, "features.1.conv.3");
  EXPECT_EQ(plan.steps[16]->name, "features.17.conv.6");
  EXPECT_EQ(plan.steps[18]->name, "avg_pool");
  EXPECT_EQ(plan.steps[19]->name, "classifier");
  EXPECT_EQ(window_of(plan, 0)->border(), 1);
  std::vector<int> shifted, summed;
  for (int s = 0; s < static_cast<int>(plan.steps.size()); ++s) {
    const Step& step = *plan.steps[static_cast<std::size_t>(s)];
    if (is_shifted(plan, static_cast<std::size_t>(s))) shifted.push_back(s);
    if (step.other >= 0) summed.push_back(s);
    if (shifted.empty() || shifted.back() != s) continue;
    EXPECT_EQ(step.other, step.input) << step.name;
  }
  EXPECT_EQ(shifted, (std::vector<int>{2, 4, 5, 7, 8, 9, 11, 12, 14, 15}));
  EXPECT_EQ(summed, shifted);
  EXPECT_EQ(macs_of(plan), plain_macs(network, 224, 224));
  EXPECT_NEAR(static_cast<double>(macs_of(plan)), 299.5e6, 0.05e6);
}

TEST(VideoPlan, ResNetIsConvolutions) {
  const Network network = resnet(1.0 / 8);
  const Plan plan = plan_of(network, 64, 96);
  const std::string first = "cccc", other = "ccc";
  std::string expected = "cp";
  for (const int blocks : {3, 4, 6, 3}) {
    expected += first;
    for (int b = 1; b < blocks; ++b) expected += other;
  }
  EXPECT_EQ(letters(plan), expected + "mc");
  std::int64_t shifts = 0;
  for (std::size_t s = 0; s < plan.steps.size(); ++s) shifts += is_shifted(plan, s);
  EXPECT_EQ(shifts, 16);
  EXPECT_EQ(window_of(plan, 0)->border(), 3);
  EXPECT_EQ(window_of(plan, 1)->border(), std::nullopt);
  EXPECT_EQ(plan.domains[plan.value(plan.steps[0]->output).domain].extent, (Extent2d{32, 48}));
  EXPECT_EQ(macs_of(plan), plain_macs(network, 64, 96));
}

TEST(VideoPlan, TinyNetworkHasEveryKind) {
  const Network network = tiny_network();
  const Plan plan = plan_of(network);
  std::vector<std::string> names;
  for (const auto& step : plan.steps) names.push_back(step->name);
  EXPECT_EQ(names, (std::vector<std::string>{"stem.project", "a.project", "b.project", "c.conv1", "c.conv2",
                                             "c.shortcut", "c.conv3", "d.filter", "d.pool", "mean", "classes"}));
  EXPECT_EQ(letters(plan), "fffccccdpmc");
}

// Of convolutions in a row, a block takes three, and the next block those behind it.
TEST(VideoPlan, BlocksDoNotOverlap) {
  NetworkBuilder net(InputKind::kFrames, 3, 1);
  std::string x = net.relu("r0", net.conv2d("conv0", kGraphInput, 8, 3, 2));
  for (int i = 1; i < 5; ++i) {
    const std::string n = std::to_string(i);
    x = net.relu("rd" + n, net.conv2d("filter" + n, x, 8, 3, 1, 8));
    x = net.relu("rp" + n, net.conv2d("point" + n, x, 8, 1));
  }
  x = net.add("mean", "avg_pool", {x});
  const Plan plan = plan_of(net.take(net.linear("classes", x, 5)));
  EXPECT_EQ(letters(plan), "fdfdcmc");
}

// A value that something else reads as well must be written down.
TEST(VideoPlan, ValuesThatAreReadTwiceStay) {
  NetworkBuilder net(InputKind::kFrames, 3, 1);
  const std::string first = net.conv2d("first", kGraphInput, 8, 3, 2);
  const std::string filter = net.conv2d("filter", first, 8, 3, 1, 8);
  std::string x = net.add("sum", "add", {first, net.conv2d("last", filter, 8, 1)});
  x = net.add("mean", "avg_pool", {x});
  const Plan plan = plan_of(net.take(net.linear("classes", x, 5)));
  EXPECT_EQ(letters(plan), "cdcmc");
  EXPECT_EQ(plan.steps[2]->other, plan.steps[0]->output);
}

// Value

class VideoNetworkTest : public DeviceTest {};
VOXSHIFT_FOR_EACH_DEVICE(VideoNetworkTest);

TEST_P(VideoNetworkTest, FramesOfAClipAreThoseOfThePlainNodes) {
  struct Case {
    const char* name;
    Network network;
    std::int64_t height, width;
  };
  for (const TemporalShift& shift : {TemporalShift{8, false}, TemporalShift{4, false}, TemporalShift{4, true}}) {
    const std::vector<Case> cases{{"tiny", tiny_network(shift), 37, 26},
                                  {"mobilenet", mobilenet(0.5, shift), 64, 48},
                                  {"narrow mobilenet", mobilenet(0.25, shift), 32, 40},
                                  {"resnet", resnet(1.0 / 8, shift), 40, 40}};
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name + std::to_string(shift.shift_div) + (shift.bidirectional ? " offline" : " online"));
      const OneThread small_ops;
      const Clip clip(c.height, c.width, 5);
      const Array expected = evaluate(c.network.graph, c.network.parameters, clip.normalized());
      const VideoNetwork network(video_model(c.network, c.height, c.width), device(), DType::kF32);
      EXPECT_EQ(network.bidirectional(), shift.bidirectional);
      const Array logits = recognize_frames(network, clip.array(), 1);
      ASSERT_EQ(logits.shape(), (Shape{5, 5}));
      EXPECT_LE(relative_change(floats(logits.values<float>()), floats(expected.values<float>())), 1e-5);
      const Array mean = recognize_clip(network, clip.array());
      ASSERT_EQ(mean.shape(), (Shape{5}));
      for (std::size_t k = 0; k < 5; ++k) {
        double sum = 0;
        for (std::size_t t = 0; t < 5; ++t) sum += logits.values<float>()[t * 5 + k];
        EXPECT_FLOAT_EQ(mean.values<float>()[k], static_cast<float>(sum / 5));
      }
    }
  }
}

TEST(VideoNetwork, LayersSayWhatTheyAre) {
  const VideoNetwork network(video_model(tiny_network(), 32, 32));
  std::vector<std::string> kinds;
  for (const FrameLayer& layer : network.layers()) kinds.push_back(layer.kind);
  EXPECT_EQ(kinds, (std::vector<std::string>{"conv-depthwise-project", "expand-depthwise-project",
                                             "expand-depthwise-project", "pointwise", "conv 3x3 / 2", "conv 1x1 / 2",
                                             "pointwise", "depthwise 3x3", "max_pool 3x3 / 2", "mean", "linear"}));
  const FrameLayer& first = network.layers()[0];
  EXPECT_EQ(first.in_channels, 3);
  EXPECT_EQ(first.out_channels, 8);
  EXPECT_EQ(first.out, (Extent2d{16, 16}));
  EXPECT_EQ(first.macs, 16 * 16 * (27 * 12 + 9 * 12 + 12 * 8));
  EXPECT_FALSE(first.shifted);
  EXPECT_TRUE(network.layers()[1].shifted);
  EXPECT_EQ(network.dense_macs(), plain_macs(tiny_network(), 32, 32));
}

TEST_P(VideoNetworkTest, ThreadsDoNotMatter) {
  const VideoNetwork network(video_model(tiny_network({4, true}), 37, 26), device());
  const Clip clip(37, 26, 3);
  const Array one = recognize_frames(network, clip.array(), 1);
  for (const int threads : {2, 3}) expect_same_bits(recognize_frames(network, clip.array(), threads), one);
}

// Edges

TEST_P(VideoNetworkTest, ClipOfOneFrameAndFramesOfOneCell) {
  const Network plain = tiny_network({4, true});
  const Clip one(16, 16, 1);
  const Array expected = evaluate(plain.graph, plain.parameters, one.normalized());
  const Array logits = recognize_frames(VideoNetwork(video_model(plain, 16, 16), device(), DType::kF32), one.array());
  EXPECT_LE(relative_change(floats(logits.values<float>()), floats(expected.values<float>())), 1e-5);
}

// Errors

TEST(VideoNetwork, RefusesOtherInputsAndOutputs) {
  const auto refuses = [](const Network& network, std::int64_t height, const std::vector<std::string>& parts) {
    expect_throw([&] { VideoNetwork(video_model(network, height, 32)); }, parts);
  };
  NetworkBuilder image(InputKind::kFrames, 3, 1);
  refuses(image.take(image.conv2d("conv", kGraphInput, 8, 3)), 32, {"[video]", "\"conv\"", "one row per frame"});
  Network small_frame = tiny_network();
  for (Node& node : small_frame.graph.nodes)
    if (node.name == "stem") node.attributes["padding"] = std::int64_t{0};
  refuses(small_frame, 2, {"[graph]", "needs images of 3 x 3 pixels", "\"stem\""});
  NetworkBuilder sums(InputKind::kFrames, 3, 1);
  const std::string x = sums.conv2d("first", kGraphInput, 8, 3);
  refuses(sums.take(sums.add("sum", "add", {sums.max_pool2d("p", x, {2, 2, 0}), sums.conv2d("b", x, 8, 1)})), 32,
          {"[graph]", "\"sum\"", "different coordinates"});
  NetworkBuilder grey(InputKind::kFrames, 1, 1);
  refuses(grey.take(grey.add("mean", "avg_pool", {grey.conv2d("conv", kGraphInput, 8, 3)})), 32,
          {"gives 3 channels", "takes 1"});
}

TEST(VideoModel, KnowsTheExtentsOfItsImages) {
  const Model model = video_model(tiny_network(), 32, 24);
  const auto extent_of = [&](const char* value) {
    return model.values().domains[model.values().at(value).domain].extent;
  };
  EXPECT_EQ(extent_of("input"), (Extent2d{32, 24}));
  EXPECT_EQ(extent_of("stem"), (Extent2d{16, 12}));
  EXPECT_EQ(extent_of("d.pool"), (Extent2d{2, 2}));
}

TEST(Plan, FramesNeedAnExtent) {
  const Network network = tiny_network();
  expect_throw([&] { make_plan(network.graph, network.parameters, Device::cpu()); }, {"[plan]", "frames", "extent"});
}

TEST_P(VideoNetworkTest, RefusesOtherClips) {
  const VideoNetwork network(video_model(tiny_network(), 32, 24), device());
  const auto refuses = [&](const Array& frames) {
    expect_throw([&] { recognize_clip(network, frames); }, {"[recognize]", "u8 [T, 32, 24, 3]", "found"});
  };
  refuses(Array({0, 32, 24, 3}, DType::kU8));
  refuses(Array({2, 24, 32, 3}, DType::kU8));
  refuses(Array({2, 32, 24, 4}, DType::kU8));
  refuses(Array({2, 32, 24, 3}, DType::kF32));
  refuses(Array({32, 24, 3}, DType::kU8));
}

}  // namespace
}  // namespace voxshift
