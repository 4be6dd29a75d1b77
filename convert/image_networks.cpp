#include <voxshift/convert/image_networks.h>
#include <voxshift/networks/network_builder.h>

#include <string>
#include <vector>

namespace voxshift {
namespace {

constexpr std::int64_t kColours = 3;

std::string conv_norm(NetworkBuilder& net, const std::string& conv, const std::string& norm, const std::string& x,
                      std::int64_t out, int kernel, int stride, std::int64_t groups = 1) {
  return net.norm(norm, net.conv2d(conv, x, out, kernel, stride, groups));
}

// Every second pixel, and zeros for the channels that x lacks, half of them in front.
std::string padded_shortcut(NetworkBuilder& net, const std::string& block, const std::string& x, std::int64_t out) {
  const std::string name = block + ".shortcut";
  const std::string pixels = net.max_pool2d(name + ".pixels", x, {1, 2, 0});
  const std::int64_t missing = (out - net.channels(x)) / 2;
  const std::string zeros = net.add(name + ".zeros", "clip", {net.columns(name + ".first", pixels, 0, missing)});
  net.node().attributes = {{"lowest", 0.0}, {"highest", 0.0}};
  return net.add(name, "cat", {zeros, pixels, zeros});
}

std::string basic_block(NetworkBuilder& net, const std::string& block, const std::string& x, std::int64_t out,
                        int stride) {
  std::string y = conv_norm(net, block + ".conv1", block + ".bn1", x, out, 3, stride);
  y = net.relu(block + ".relu1", y);
  y = conv_norm(net, block + ".conv2", block + ".bn2", y, out, 3, 1);
  const std::string shortcut = stride == 1 ? x : padded_shortcut(net, block, x, out);
  return net.relu(block + ".relu2", net.add(block + ".add", "add", {y, shortcut}));
}

// The priors of a cell by resolution, the finest first.
constexpr std::int64_t kPriors[]{3, 2, 2, 3};
constexpr std::int64_t kBoxNumbers = 4;

// A depthwise 3 x 3 convolution, ReLU, a pointwise one, with biases.
std::string separable(NetworkBuilder& net, const std::string& list, const std::string& x, std::int64_t out,
                      int stride) {
  const std::string y = net.conv2d(list + ".0", x, net.channels(x), 3, stride, net.channels(x), 0.0f);
  return net.conv2d(list + ".2", net.relu(list + ".1", y), out, 1, 1, 1, 0.0f);
}

}  // namespace

Network make_cifar_resnet(std::int64_t blocks, std::int64_t classes) {
  NetworkBuilder net(InputKind::kFrames, kColours, std::nullopt);
  std::string x = net.relu("relu", conv_norm(net, "conv1", "bn1", kGraphInput, 16, 3, 1));
  std::int64_t channels = 16;
  for (int stage = 1; stage <= 3; ++stage, channels *= 2)
    for (std::int64_t block = 0; block < blocks; ++block)
      x = basic_block(net, "layer" + std::to_string(stage) + "." + std::to_string(block), x, channels,
                      stage > 1 && block == 0 ? 2 : 1);
  return net.take(net.linear("linear", net.add("avg_pool", "avg_pool", {x}), classes));
}

Network make_slim_face_detector(std::int64_t width, std::int64_t classes) {
  struct Layer {
    std::int64_t channels;
    int stride;
    bool is_source;  // of a pair of maps
  };
  const Layer layers[]{{2, 1, false}, {2, 2, false}, {2, 1, false}, {4, 2, false}, {4, 1, false},  {4, 1, false},
                       {4, 1, true},  {8, 2, false}, {8, 1, false}, {8, 1, true},  {16, 2, false}, {16, 1, true}};
  NetworkBuilder net(InputKind::kFrames, kColours, std::nullopt);
  std::vector<std::string> sources, outputs;
  std::string x = net.relu("base_net.0.2", conv_norm(net, "base_net.0.0", "base_net.0.1", kGraphInput, width, 3, 2));
  int at = 1;
  for (const Layer& layer : layers) {
    const std::string list = "base_net." + std::to_string(at++);
    x = conv_norm(net, list + ".0", list + ".1", x, net.channels(x), 3, layer.stride, net.channels(x));
    x = net.relu(list + ".2", x);
    x = conv_norm(net, list + ".3", list + ".4", x, layer.channels * width, 1, 1);
    x = net.relu(list + ".5", x);
    if (layer.is_source) sources.push_back(x);
  }
  x = net.relu("extras.0.1", net.conv2d("extras.0.0", x, 4 * width, 1, 1, 1, 0.0f));
  sources.push_back(net.relu("extras.0.3", separable(net, "extras.0.2", x, 16 * width, 2)));

  for (std::size_t i = 0; i < sources.size(); ++i)
    for (const auto& [headers, numbers] :
         {std::pair("classification_headers.", classes), std::pair("regression_headers.", kBoxNumbers)}) {
      const std::string name = headers + std::to_string(i);
      const std::int64_t out = kPriors[i] * numbers;
      outputs.push_back(i + 1 < sources.size() ? separable(net, name, sources[i], out, 1)
                                               : net.conv2d(name, sources[i], out, 3, 1, 1, 0.0f));
    }
  return net.take(outputs);
}

}  // namespace voxshift
