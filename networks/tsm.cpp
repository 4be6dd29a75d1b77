#include <voxshift/networks/tsm.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <string>

namespace voxshift {
namespace {

constexpr std::int64_t kColours = 3;

// The multiple of 8 next to v, but never below 0.9 v.
std::int64_t make_divisible(double v) {
  const std::int64_t rounded = std::max<std::int64_t>(8, static_cast<std::int64_t>(v + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * v ? rounded + 8 : rounded;
}

NetworkBuilder video_builder(const TsmSpec& spec, Seed seed) {
  check(spec.width >= 1.0 / 16 && spec.width <= 4, "[new] width expects 1/16 to 4, found ", spec.width);
  return {InputKind::kFrames, kColours, seed};
}

// Convolution, batch norm, ReLU6: modules i, i + 1, i + 2 of a list.
std::string conv_norm_relu6(NetworkBuilder& net, const std::string& list, int i, const std::string& x, std::int64_t out,
                            int kernel, int stride, std::int64_t groups = 1) {
  const auto module = [&](int m) { return list + "." + std::to_string(i + m); };
  const std::string y = net.conv2d(module(0), x, out, kernel, stride, groups);
  return net.relu6(module(2), net.norm(module(1), y));
}

// Inverted residual: expansion by `factor`, depthwise 3 x 3, projection.
std::string inverted_residual(NetworkBuilder& net, const std::string& block, const std::string& x, std::int64_t out,
                              int factor, int stride, const TemporalShift& shift) {
  const std::string list = block + ".conv";
  const std::int64_t in = net.channels(x), hidden = in * factor;
  const bool residual = stride == 1 && in == out;
  std::string y = x;
  int next = 0;
  if (factor > 1) {
    if (residual) y = net.temporal_shift(block + ".shift", y, shift);
    y = conv_norm_relu6(net, list, next, y, hidden, 1, 1);
    next += 3;
  }
  y = conv_norm_relu6(net, list, next, y, hidden, 3, stride, hidden);
  next += 3;
  y = net.conv2d(list + "." + std::to_string(next), y, out, 1);
  y = net.norm(list + "." + std::to_string(next + 1), y);
  return residual ? net.add(block + ".add", "add", {x, y}) : y;
}

// Bottleneck of ResNet: 1 x 1, 3 x 3, 1 x 1 with four times the channels; the shortcut is a convolution where the shape
// changes.
std::string bottleneck(NetworkBuilder& net, const std::string& block, const std::string& x, std::int64_t middle,
                       int stride, const TemporalShift& shift) {
  const std::int64_t out = 4 * middle;
  const auto conv_norm = [&](int i, const std::string& from, std::int64_t channels, int kernel, int step) {
    const std::string number = std::to_string(i);
    return net.norm(block + ".bn" + number, net.conv2d(block + ".conv" + number, from, channels, kernel, step));
  };
  std::string y = net.temporal_shift(block + ".shift", x, shift);
  y = net.relu(block + ".relu1", conv_norm(1, y, middle, 1, 1));
  y = net.relu(block + ".relu2", conv_norm(2, y, middle, 3, stride));
  y = conv_norm(3, y, out, 1, 1);
  std::string shortcut = x;
  if (stride != 1 || net.channels(x) != out)
    shortcut = net.norm(block + ".downsample.1", net.conv2d(block + ".downsample.0", x, out, 1, stride));
  return net.relu(block + ".relu3", net.add(block + ".add", "add", {y, shortcut}));
}

}  // namespace

Network make_tsm_mobilenetv2(const TsmSpec& spec, Seed seed) {
  struct Stage {
    int factor, channels, blocks, stride;
  };
  constexpr Stage kStages[]{{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                            {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
  NetworkBuilder net = video_builder(spec, seed);
  int feature = 0;
  const auto next_feature = [&] { return "features." + std::to_string(feature++); };
  std::string x = conv_norm_relu6(net, next_feature(), 0, kGraphInput, make_divisible(32 * spec.width), 3, 2);
  for (const Stage& stage : kStages)
    for (int block = 0; block < stage.blocks; ++block)
      x = inverted_residual(net, next_feature(), x, make_divisible(stage.channels * spec.width), stage.factor,
                            block == 0 ? stage.stride : 1, spec.shift);
  x = conv_norm_relu6(net, next_feature(), 0, x, make_divisible(1280 * std::max(1.0, spec.width)), 1, 1);
  x = net.add("avg_pool", "avg_pool", {x});
  return net.take(net.linear("classifier", x, spec.classes));
}

Network make_tsm_resnet50(const TsmSpec& spec, Seed seed) {
  constexpr int kBlocks[]{3, 4, 6, 3};
  NetworkBuilder net = video_builder(spec, seed);
  std::string x = net.conv2d("conv1", kGraphInput, make_divisible(64 * spec.width), 7, 2);
  x = net.relu("relu", net.norm("bn1", x));
  x = net.max_pool2d("maxpool", x, {3, 2, 1});
  int channels = 64;
  for (int stage = 0; stage < 4; ++stage, channels *= 2)
    for (int block = 0; block < kBlocks[stage]; ++block) {
      const std::string name = "layer" + std::to_string(stage + 1) + "." + std::to_string(block);
      x = bottleneck(net, name, x, make_divisible(channels * spec.width), stage > 0 && block == 0 ? 2 : 1, spec.shift);
    }
  x = net.add("avgpool", "avg_pool", {x});
  return net.take(net.linear("new_fc", x, spec.classes));
}

}  // namespace voxshift
