// What tiny_network() computes from given values, node by node in plain loops, and which pixels a change reaches.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "video_cases.h"

namespace voxshift::oracle {

struct Image {
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<double> values;  // [height, width, channels]

  double at(std::int64_t y, std::int64_t x, std::int64_t c) const {
    return values[static_cast<std::size_t>((y * width + x) * channels + c)];
  }
};

inline Image image_of(const Array& array) {
  const auto values = array.values<float>();
  return {array.dim(0), array.dim(1), array.dim(2), {values.begin(), values.end()}};
}

/// The layers of tiny_network() by the value that each one keeps.
inline const std::map<std::string, std::string>& tiny_layers() {
  static const std::map<std::string, std::string> layers{{"stem.project.bn", "stem.project"},
                                                         {"a.sum", "a.project"},
                                                         {"b.project.bn", "b.project"},
                                                         {"c.relu1", "c.conv1"},
                                                         {"c.relu2", "c.conv2"},
                                                         {"c.shortcut.bn", "c.shortcut"},
                                                         {"c.relu3", "c.conv3"},
                                                         {"d.relu", "d.filter"},
                                                         {"d.pool", "d.pool"},
                                                         {"mean", "mean"},
                                                         {"classes", "classes"}};
  return layers;
}

using Images = std::map<std::string, Image>;

/// The value of one node, from the values that are kept (and those of the last frame) wherever a layer keeps one.
class PlainNodes {
 public:
  PlainNodes(const Network& network, const Images& kept, const Images& last)
      : network_(network), kept_(kept), last_(last) {}

  Image compute(const std::string& name) const {
    const Node& node = *std::find_if(network_.graph.nodes.begin(), network_.graph.nodes.end(),
                                     [&](const Node& n) { return n.name == name; });
    Image x = value(node.inputs[0]);
    if (node.op == "conv2d") return convolve(node, x);
    if (node.op == "linear") return multiply(node, x);
    if (node.op == "batch_norm") {
      for (std::size_t i = 0; i < x.values.size(); ++i) {
        const auto c = static_cast<std::int64_t>(i) % x.channels;
        const double variance = parameter(node, "running_var", c) + node.number("eps");
        const double scale = parameter(node, "weight", c) / std::sqrt(variance);
        x.values[i] = (x.values[i] - parameter(node, "running_mean", c)) * scale + parameter(node, "bias", c);
      }
      return x;
    }
    if (node.op == "relu" || node.op == "relu6") {
      for (double& v : x.values) v = std::clamp(v, 0.0, node.op == "relu6" ? 6.0 : 1e30);
      return x;
    }
    if (node.op == "add") {
      const Image y = value(node.inputs[1]);
      for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] += y.values[i];
      return x;
    }
    if (node.op == "temporal_shift") {
      const std::int64_t fold = x.channels / node.whole("shift_div");
      const auto last = last_.find(node.inputs[0]);
      for (std::size_t i = 0; i < x.values.size(); ++i)
        if (static_cast<std::int64_t>(i) % x.channels < fold)
          x.values[i] = last != last_.end() ? last->second.values[i] : 0.0;
      return x;
    }
    if (node.op == "max_pool2d") return pool(node, x);
    Image mean{1, 1, x.channels, std::vector<double>(static_cast<std::size_t>(x.channels))};
    for (std::size_t i = 0; i < x.values.size(); ++i)
      mean.values[i % mean.values.size()] += x.values[i] / static_cast<double>(x.height * x.width);
    return mean;
  }

 private:
  Image value(const std::string& name) const {
    const auto found = kept_.find(name);
    return found != kept_.end() ? found->second : compute(name);
  }

  double parameter(const Node& node, const char* role, std::int64_t i) const {
    return network_.parameters.at(node.parameters.at(role)).data<float>()[i];
  }

  Image convolve(const Node& node, const Image& x) const {
    const Array& weight = network_.parameters.at(node.parameters.at("weight"));
    const std::int64_t stride = node.whole("stride"), padding = node.whole("padding");
    const std::int64_t kernel = weight.dim(2), each = weight.dim(1), outputs = weight.dim(0);
    Image out{
        (x.height + 2 * padding - kernel) / stride + 1, (x.width + 2 * padding - kernel) / stride + 1, outputs, {}};
    for (std::int64_t y = 0; y < out.height; ++y)
      for (std::int64_t w = 0; w < out.width; ++w)
        for (std::int64_t o = 0; o < outputs; ++o) {
          double sum = 0;
          for (std::int64_t c = 0; c < each; ++c)
            for (std::int64_t i = 0; i < kernel; ++i)
              for (std::int64_t j = 0; j < kernel; ++j) {
                const std::int64_t v = y * stride - padding + i, u = w * stride - padding + j;
                if (v < 0 || v >= x.height || u < 0 || u >= x.width) continue;
                sum += x.at(v, u, o / (outputs / node.whole("groups")) * each + c) *
                       weight.data<float>()[((o * each + c) * kernel + i) * kernel + j];
              }
          out.values.push_back(sum);
        }
    return out;
  }

  Image multiply(const Node& node, const Image& x) const {
    const Array& weight = network_.parameters.at(node.parameters.at("weight"));
    Image out{1, 1, weight.dim(0), {}};
    for (std::int64_t o = 0; o < weight.dim(0); ++o) {
      double sum = parameter(node, "bias", o);
      for (std::int64_t i = 0; i < weight.dim(1); ++i)
        sum += x.values[static_cast<std::size_t>(i)] * weight.data<float>()[o * weight.dim(1) + i];
      out.values.push_back(sum);
    }
    return out;
  }

  Image pool(const Node& node, const Image& x) const {
    const std::int64_t kernel = node.whole("kernel_size"), stride = node.whole("stride"),
                       padding = node.whole("padding");
    Image out{
        (x.height + 2 * padding - kernel) / stride + 1, (x.width + 2 * padding - kernel) / stride + 1, x.channels, {}};
    for (std::int64_t y = 0; y < out.height; ++y)
      for (std::int64_t w = 0; w < out.width; ++w)
        for (std::int64_t c = 0; c < x.channels; ++c) {
          double most = -1e30;
          for (std::int64_t v = y * stride - padding; v < y * stride - padding + kernel; ++v)
            for (std::int64_t u = w * stride - padding; u < w * stride - padding + kernel; ++u)
              if (v >= 0 && v < x.height && u >= 0 && u < x.width) most = std::max(most, x.at(v, u, c));
          out.values.push_back(most);
        }
    return out;
  }

  const Network& network_;
  const Images &kept_, &last_;
};

/// One byte per pixel.
struct Mask {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> pixels;

  std::int64_t count() const { return std::count(pixels.begin(), pixels.end(), 1); }
  Mask operator|(const Mask& other) const {
    Mask result = *this;
    for (std::size_t i = 0; i < pixels.size(); ++i) result.pixels[i] |= other.pixels[i];
    return result;
  }
};

/// Where two images differ in some channel.
inline Mask difference(const Image& a, const Image& b) {
  Mask mask{a.height, a.width, std::vector<std::uint8_t>(static_cast<std::size_t>(a.height * a.width))};
  for (std::size_t i = 0; i < a.values.size(); ++i)
    if (a.values[i] != b.values[i]) mask.pixels[i / static_cast<std::size_t>(a.channels)] = 1;
  return mask;
}

/// Links every output pixel with the input pixels of its window: `forward` marks outputs of marked inputs, else inputs
/// of marked outputs.
inline Mask through(const Mask& from, const Window2d& window, std::int64_t height, std::int64_t width, bool forward) {
  Mask to{height, width, std::vector<std::uint8_t>(static_cast<std::size_t>(height * width))};
  const Mask& in = forward ? from : to;
  const Mask& out = forward ? to : from;
  for (std::int64_t y = 0; y < out.height; ++y)
    for (std::int64_t x = 0; x < out.width; ++x)
      for (std::int64_t v = y * window.stride - window.padding; v < y * window.stride - window.padding + window.kernel;
           ++v)
        for (std::int64_t u = x * window.stride - window.padding;
             u < x * window.stride - window.padding + window.kernel; ++u) {
          if (v < 0 || v >= in.height || u < 0 || u >= in.width) continue;
          const auto o = static_cast<std::size_t>(y * out.width + x), i = static_cast<std::size_t>(v * in.width + u);
          if (from.pixels[forward ? i : o] != 0) to.pixels[forward ? o : i] = 1;
        }
  return to;
}

}  // namespace voxshift::oracle
