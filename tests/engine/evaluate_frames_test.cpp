// Video networks node by node, against plain loops on whole numbers, where every order of summation gives the same.
#include <voxshift/engine/evaluate.h>
#include <voxshift/networks/network_builder.h>

#include <algorithm>
#include <limits>
#include <random>

#include "device_fixture.h"

namespace voxshift {
namespace {

/// Frames of a clip with channels last.
struct Clip {
  Clip(int n, int h, int w, int c) : frames(n), height(h), width(w), channels(c), values(index(n, 0, 0, 0)) {}
  bool inside(int t, int y, int x) const { return t >= 0 && t < frames && y >= 0 && y < height && x >= 0 && x < width; }
  std::size_t index(int t, int y, int x, int c) const {
    const int at = ((t * height + y) * width + x) * channels + c;
    return static_cast<std::size_t>(at);
  }
  float& at(int t, int y, int x, int c) { return values[index(t, y, x, c)]; }
  float get(int t, int y, int x, int c) const {
    return inside(t, y, x) ? const_cast<Clip*>(this)->at(t, y, x, c) : 0.0f;
  }

  int frames, height, width, channels;
  std::vector<float> values;
};

/// The clip with every value f(t, y, x, c).
template <class F>
Clip made(int frames, int height, int width, int channels, const F& f) {
  Clip out(frames, height, width, channels);
  for (int t = 0; t < frames; ++t)
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x)
        for (int c = 0; c < channels; ++c) out.at(t, y, x, c) = f(t, y, x, c);
  return out;
}

std::span<const float> tensor(const Network& network, const std::string& name) {
  return network.parameters.at(name).values<float>();
}

float item(std::span<const float> values, int index) { return values[static_cast<std::size_t>(index)]; }

Clip shifted(const Clip& in, int fold, bool bidirectional) {
  return made(in.frames, in.height, in.width, in.channels, [&](int t, int y, int x, int c) {
    if (bidirectional && c < fold) return in.get(t + 1, y, x, c);
    if (c < (bidirectional ? 2 * fold : fold)) return in.get(t - 1, y, x, c);
    return in.get(t, y, x, c);
  });
}

Clip convolved(const Clip& in, std::span<const float> weight, std::span<const float> bias, int out, int kernel,
               int stride, int padding, int groups) {
  const int each = in.channels / groups;
  return made(in.frames, (in.height + 2 * padding - kernel) / stride + 1,
              (in.width + 2 * padding - kernel) / stride + 1, out, [&](int t, int y, int x, int o) {
                float sum = bias.empty() ? 0.0f : item(bias, o);
                for (int c = 0; c < each; ++c)
                  for (int i = 0; i < kernel; ++i)
                    for (int j = 0; j < kernel; ++j)
                      sum +=
                          in.get(t, y * stride - padding + i, x * stride - padding + j, o / (out / groups) * each + c) *
                          item(weight, ((o * each + c) * kernel + i) * kernel + j);
                return sum;
              });
}

Clip pooled(const Clip& in, int kernel, int stride, int padding) {
  return made(in.frames, (in.height + 2 * padding - kernel) / stride + 1,
              (in.width + 2 * padding - kernel) / stride + 1, in.channels, [&](int t, int y, int x, int c) {
                float highest = -std::numeric_limits<float>::infinity();
                for (int i = 0; i < kernel; ++i)
                  for (int j = 0; j < kernel; ++j)
                    if (const int v = y * stride - padding + i, u = x * stride - padding + j; in.inside(t, v, u))
                      highest = std::max(highest, in.get(t, v, u, c));
                return highest;
              });
}

template <class F>
Clip mapped(const Clip& in, const F& f) {
  return made(in.frames, in.height, in.width, in.channels,
              [&](int t, int y, int x, int c) { return f(in.get(t, y, x, c), c); });
}

/// Weights of -1, 0, 1; means of -2 .. 2, variances 4.
void make_whole(Network& network) {
  std::mt19937 random(5);
  for (auto& [name, array] : network.parameters) {
    auto* values = array.data<float>();
    for (std::int64_t i = 0; i < array.count(); ++i)
      values[i] = name.ends_with(".running_var")    ? 4.0f
                  : name.ends_with(".running_mean") ? static_cast<float>(random() % 5) - 2
                                                    : static_cast<float>(random() % 3) - 1;
  }
}

/// shift -> conv 3 x 3 / 2 in three groups -> batch norm -> relu6 -> pointwise conv with bias + its input -> leaky relu
/// -> max pool -> mean -> linear.
Network small_network(bool bidirectional) {
  NetworkBuilder net(InputKind::kFrames, 6, 1);
  std::string x = net.temporal_shift("shift", kGraphInput, {3, bidirectional});
  x = net.conv2d("conv", x, 12, 3, 2, 3);
  x = net.norm("norm", x, 0);
  x = net.relu6("relu6", x);
  const std::string y = net.conv2d("point", x, 12, 1);
  net.node().parameters["bias"] = "point.bias";
  x = net.add("leaky", "leaky_relu", {net.add("sum", "add", {x, y})});
  net.node().attributes = {{"slope", 0.5}};
  x = net.max_pool2d("pool", x, {3, 2, 1});
  x = net.add("mean", "avg_pool", {x});
  Network network = net.take(net.linear("classifier", x, 5));
  network.parameters.emplace("point.bias", Array({12}, DType::kF32));
  make_whole(network);
  return network;
}

Clip clip_of(int frames, int height, int width, int channels) {
  std::mt19937 random(3);
  return made(frames, height, width, channels,
              [&](int, int, int, int) { return static_cast<float>(random() % 9) - 4; });
}

Array array_of(const Clip& clip) {
  return Array::from(clip.values, {clip.frames, clip.height, clip.width, clip.channels});
}

TEST(EvaluateFrames, EqualsPlainLoops) {
  for (const bool bidirectional : {false, true}) {
    const Network network = small_network(bidirectional);
    const Clip clip = clip_of(4, 7, 6, 6);
    Clip x = shifted(clip, 2, bidirectional);
    x = convolved(x, tensor(network, "conv.weight"), {}, 12, 3, 2, 1, 3);
    x = mapped(x, [&](float v, int c) {
      const auto role = [&](const char* name) { return item(tensor(network, std::string("norm.") + name), c); };
      return (v - role("running_mean")) / 2 * role("weight") + role("bias");
    });
    x = mapped(x, [](float v, int) { return std::clamp(v, 0.0f, 6.0f); });
    const Clip y = convolved(x, tensor(network, "point.weight"), tensor(network, "point.bias"), 12, 1, 1, 0, 1);
    x = made(x.frames, x.height, x.width, 12,
             [&](int t, int v, int u, int c) { return x.get(t, v, u, c) + y.get(t, v, u, c); });
    x = pooled(mapped(x, [](float v, int) { return v > 0 ? v : v / 2; }), 3, 2, 1);
    ASSERT_EQ(x.height * x.width, 4);  // so that the mean is exact
    std::vector<float> expected;
    for (int t = 0; t < 4; ++t)
      for (int o = 0; o < 5; ++o) {
        float sum = item(tensor(network, "classifier.bias"), o);
        for (int c = 0; c < 12; ++c) {
          float pixels = 0;
          for (int p = 0; p < 4; ++p) pixels += x.get(t, p / 2, p % 2, c);
          sum += pixels / 4 * item(tensor(network, "classifier.weight"), o * 12 + c);
        }
        expected.push_back(sum);
      }
    expect_same_bits(evaluate(network.graph, network.parameters, array_of(clip)), Array::from(expected, {4, 5}));
  }
}

TEST(EvaluateFrames, BeforeSeesInputsAndMayChangeParameters) {
  Network network = small_network(false);
  const Array clip = array_of(clip_of(2, 8, 8, 6));
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> seen;
  const Array out = evaluate(network.graph, network.parameters, clip, [&](const Node& node, const ConstRowView& x) {
    seen[node.name] = {x.count, x.channels};
    // Weight and bias become 0, so that nothing of the clip is left.
    if (node.op != "batch_norm") return;
    for (const char* name : {"norm.weight", "norm.bias"})
      std::fill_n(network.parameters.at(name).data<float>(), 12, 0.0f);
  });
  EXPECT_EQ(seen.size(), network.graph.nodes.size());
  EXPECT_EQ(seen.at("shift"), std::pair(std::int64_t{2 * 64}, std::int64_t{6}));
  EXPECT_EQ(seen.at("norm"), std::pair(std::int64_t{2 * 16}, std::int64_t{12}));
  EXPECT_EQ(seen.at("mean"), std::pair(std::int64_t{2 * 4}, std::int64_t{12}));
  EXPECT_EQ(seen.at("classifier"), std::pair(std::int64_t{2}, std::int64_t{12}));
  for (int t = 0; t < 2; ++t)
    for (int o = 0; o < 5; ++o) {
      float sum = item(tensor(network, "classifier.bias"), o);
      for (int c = 0; c < 12; ++c) {
        const float v = item(tensor(network, "point.bias"), c);
        sum += (v > 0 ? v : v / 2) * item(tensor(network, "classifier.weight"), o * 12 + c);
      }
      EXPECT_EQ(item(out.values<float>(), 5 * t + o), sum);
    }
}

TEST(EvaluateFrames, FramesOfAClipAloneWithoutShift) {
  Network network = small_network(false);
  std::erase_if(network.graph.nodes, [](const Node& node) { return node.op == "temporal_shift"; });
  for (Node& node : network.graph.nodes)
    for (std::string& input : node.inputs)
      if (input == "shift") input = kGraphInput;
  const Clip clip = clip_of(3, 8, 8, 6);
  const Array together = evaluate(network.graph, network.parameters, array_of(clip));
  for (int t = 0; t < 3; ++t) {
    const Clip one = made(1, 8, 8, 6, [&](int, int y, int x, int c) { return clip.get(t, y, x, c); });
    const Array alone = evaluate(network.graph, network.parameters, array_of(one));
    for (int o = 0; o < 5; ++o)
      EXPECT_EQ(item(alone.values<float>(), o), item(together.values<float>(), 5 * t + o)) << t;
  }
}

TEST(EvaluateFrames, Refused) {
  const Network network = small_network(false);
  const auto with = [&](const Array& frames, const std::vector<std::string>& parts) {
    expect_throw([&] { evaluate(network.graph, network.parameters, frames); }, parts);
  };
  with(Array({2, 8, 8, 3}, DType::kF32), {"[evaluate]", "[T, H, W, 6]", "[2, 8, 8, 3]"});
  with(Array({8, 8, 6}, DType::kF32), {"[evaluate]", "[T, H, W, 6]", "[8, 8, 6]"});
  with(Array({0, 8, 8, 6}, DType::kF32), {"[evaluate]", "[0, 8, 8, 6]"});
  with(Array({2, 8, 8, 6}, DType::kU8), {"[evaluate]", "u8"});
  Network sum = small_network(false);
  for (Node& node : sum.graph.nodes)
    if (node.name == "point") node.attributes["stride"] = std::int64_t{2};
  expect_throw(
      [&] {
        evaluate(sum.graph, sum.parameters, Array({1, 8, 8, 6}, DType::kF32));
      },
      {"\"sum\"", "different coordinates", "\"point\""});
  NetworkBuilder voxels(InputKind::kVoxels, 6, 1);
  const Network other = voxels.take(voxels.linear("head", kGraphInput, 2));
  expect_throw(
      [&] {
        evaluate(other.graph, other.parameters, Array({1, 8, 8, 6}, DType::kF32));
      },
      {"takes voxels", "frames"});
}

}  // namespace
}  // namespace voxshift
