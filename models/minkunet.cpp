#include <voxshift/models/minkunet.h>

#include <array>
#include <cmath>
#include <random>

namespace voxshift {
namespace {

constexpr std::array<int, 9> kChannels{32, 32, 64, 128, 256, 256, 128, 96, 96};
constexpr int kInputChannels = 4;  // x, y, z, remission

class Builder {
 public:
  Builder(double width, std::uint64_t seed) : random_(seed) {
    for (std::size_t i = 0; i < kChannels.size(); ++i) channels_[i] = static_cast<int>(width * kChannels[i]);
    network_.graph.in_channels = kInputChannels;
  }

  Network build(int classes) {
    std::string x = conv_norm_relu("stem.0", "stem.1", kGraphInput, Op::kConv, kInputChannels, channels_[0], 3, 1);
    x = conv_norm_relu("stem.3", "stem.4", x, Op::kConv, channels_[0], channels_[0], 3, 1);
    std::vector<std::string> skips{x};
    for (std::size_t i = 1; i <= 4; ++i) {
      const std::string stage = "stage" + std::to_string(i);
      const int in = channels_[i - 1], out = channels_[i];
      x = conv_norm_relu(stage + ".0.net.0", stage + ".0.net.1", x, Op::kConv, in, in, 2, 2);
      x = residual(stage + ".1", x, in, out);
      x = residual(stage + ".2", x, out, out);
      skips.push_back(x);
    }
    for (std::size_t u = 1; u <= 4; ++u) {
      const std::string up = "up" + std::to_string(u);
      const int in = channels_[3 + u], out = channels_[4 + u];
      x = conv_norm_relu(up + ".0.net.0", up + ".0.net.1", x, Op::kConvTranspose, in, out, 2, 2);
      x = node(up + ".cat", Op::kCat, {x, skips[4 - u]});
      x = residual(up + ".1.0", x, out + channels_[4 - u], out);
      x = residual(up + ".1.1", x, out, out);
    }
    network_.graph.output = linear("classifier.0", x, channels_[8], classes);
    return std::move(network_);
  }

 private:
  std::string node(const std::string& name, Op op, std::vector<std::string> inputs,
                   std::map<std::string, std::string> parameters = {}) {
    Node added;
    added.name = name;
    added.op = op;
    added.inputs = std::move(inputs);
    added.parameters = std::move(parameters);
    network_.graph.nodes.push_back(std::move(added));
    return name;
  }

  // U(-bound, bound) from the raw generator, so that a seed means the same weights on every platform.
  void uniform(const std::string& name, Shape shape, double bound) {
    Array values(std::move(shape), DType::kF32);
    for (std::int64_t i = 0; i < values.count(); ++i) {
      const double unit = static_cast<double>(random_() >> 11) * 0x1p-53;
      values.data<float>()[i] = static_cast<float>((2 * unit - 1) * bound);
    }
    network_.parameters.emplace(name, values);
  }

  void constant(const std::string& name, std::int64_t count, float value) {
    network_.parameters.emplace(name, Array::from(std::vector<float>(static_cast<std::size_t>(count), value), {count}));
  }

  // Bound 1 / sqrt(fan * K), fan the input channels, or the output channels of a transposed convolution.
  std::string conv(const std::string& name, const std::string& x, Op op, int in, int out, int size, int stride) {
    node(name, op, {x}, {{"weight", name + ".kernel"}});
    Window& window = network_.graph.nodes.back().window;
    window.size = {size, size, size, 1};
    window.stride = {stride, stride, stride, 1};
    const int volume = size * size * size;
    const double bound = 1 / std::sqrt(static_cast<double>(op == Op::kConv ? in : out) * volume);
    uniform(name + ".kernel", volume == 1 ? Shape{in, out} : Shape{volume, in, out}, bound);
    return name;
  }

  std::string norm(const std::string& name, const std::string& x, int channels) {
    constant(name + ".weight", channels, 1);
    constant(name + ".bias", channels, 0);
    constant(name + ".running_mean", channels, 0);
    constant(name + ".running_var", channels, 1);
    return node(name, Op::kBatchNorm, {x},
                {{"weight", name + ".weight"},
                 {"bias", name + ".bias"},
                 {"running_mean", name + ".running_mean"},
                 {"running_var", name + ".running_var"}});
  }

  std::string conv_norm_relu(const std::string& conv_name, const std::string& norm_name, const std::string& x, Op op,
                             int in, int out, int size, int stride) {
    const std::string y = norm(norm_name, conv(conv_name, x, op, in, out, size, stride), out);
    return node(norm_name + ".relu", Op::kRelu, {y});
  }

  std::string residual(const std::string& block, const std::string& x, int in, int out) {
    std::string y = conv_norm_relu(block + ".net.0", block + ".net.1", x, Op::kConv, in, out, 3, 1);
    y = norm(block + ".net.4", conv(block + ".net.3", y, Op::kConv, out, out, 3, 1), out);
    std::string shortcut = x;
    if (in != out)
      shortcut = norm(block + ".downsample.1", conv(block + ".downsample.0", x, Op::kConv, in, out, 1, 1), out);
    return node(block + ".relu", Op::kRelu, {node(block + ".add", Op::kAdd, {y, shortcut})});
  }

  std::string linear(const std::string& name, const std::string& x, int in, int out) {
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    uniform(name + ".weight", {out, in}, bound);
    uniform(name + ".bias", {out}, bound);
    return node(name, Op::kLinear, {x}, {{"weight", name + ".weight"}, {"bias", name + ".bias"}});
  }

  std::mt19937_64 random_;
  std::array<int, kChannels.size()> channels_{};
  Network network_;
};

}  // namespace

Network make_minkunet(double width, int classes, std::uint64_t seed) {
  check(width >= 1.0 / 32 && width <= 8, "[new] width expects 1/32 to 8, found ", width);
  return Builder(width, seed).build(classes);
}

}  // namespace voxshift
