// Networks and clips that tests of video share.
#pragma once

#include <gtest/gtest.h>
#include <voxshift/engine/plan.h>
#include <voxshift/networks/network_builder.h>
#include <voxshift/networks/tsm.h>
#include <voxshift/tasks/recognizer.h>
#include <voxshift/tensor/runtime.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace voxshift {

/// Ops called one by one run on one thread as long as this lives: on small images more only wait for each other.
class OneThread {
 public:
  OneThread() { set_num_threads(1); }
  ~OneThread() { set_num_threads(threads_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  const int threads_ = num_threads();
};

/// Batch norms that are not the identity, so that folding them matters.
inline Network with_norms(Network network) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> around(-0.3f, 0.3f);
  for (const Node& node : network.graph.nodes) {
    if (node.op != "batch_norm") continue;
    for (const auto& [role, tensor] : node.parameters) {
      const bool positive = role == "weight" || role == "running_var";
      Array& values = network.parameters.at(tensor);
      for (std::int64_t i = 0; i < values.count(); ++i) values.data<float>()[i] = around(random) + (positive ? 1 : 0);
    }
  }
  return network;
}

inline Model video_model(const Network& network, std::int64_t height, std::int64_t width) {
  Profile profile;
  profile.frames = FrameProfile{};
  profile.frames->height = height;
  profile.frames->width = width;
  Graph graph = network.graph;
  const std::int64_t classes = check_graph(graph, network.parameters).channels(graph.output());
  std::vector<ClassInfo> table;
  for (std::int64_t c = 0; c < classes; ++c) table.push_back({std::to_string(c), static_cast<std::uint32_t>(c), {}});
  return {"test", network.graph, network.parameters, profile, table};
}

inline Network mobilenet(double width, const TemporalShift& shift = {}) {
  return with_norms(make_tsm_mobilenetv2({width, 5, shift}, 1));
}

inline Network resnet(double width, const TemporalShift& shift = {}) {
  return with_norms(make_tsm_resnet50({width, 5, shift}, 2));
}

/// Every kind of step on small images: stem block, shifted block with a sum, 5 x 5 filter, shifted bottleneck whose
/// shortcut has a convolution, lone depthwise layer, pooling.
inline Network tiny_network(const TemporalShift& shift = {4, false}) {
  NetworkBuilder net(InputKind::kFrames, 3, 3);
  const auto conv = [&](const std::string& name, const std::string& x, std::int64_t out, int kernel, int stride = 1,
                        bool depthwise = false) {
    const std::string y = net.conv2d(name, x, out, kernel, stride, depthwise ? out : 1);
    return net.norm(name + ".bn", y);
  };
  const auto relu6 = [&](const std::string& x) { return net.relu6(x + ".relu", x); };
  std::string x = relu6(conv("stem", kGraphInput, 12, 3, 2));
  x = conv("stem.project", relu6(conv("stem.filter", x, 12, 3, 1, true)), 8, 1);
  std::string y = net.temporal_shift("a.shift", x, shift);
  y = relu6(conv("a.filter", relu6(conv("a.expand", y, 20, 1)), 20, 3, 1, true));
  x = net.add("a.sum", "add", {x, conv("a.project", y, 8, 1)});
  y = relu6(conv("b.filter", relu6(conv("b.expand", x, 24, 1)), 24, 5, 2, true));
  x = conv("b.project", y, 12, 1);
  y = net.temporal_shift("c.shift", x, shift);
  y = net.relu("c.relu1", conv("c.conv1", y, 6, 1));
  y = conv("c.conv3", net.relu("c.relu2", conv("c.conv2", y, 6, 3, 2)), 16, 1);
  x = net.relu("c.relu3", net.add("c.sum", "add", {y, conv("c.shortcut", x, 16, 1, 2)}));
  x = net.relu("d.relu", conv("d.filter", x, 16, 3, 1, true));
  x = net.max_pool2d("d.pool", x, {3, 2, 1});
  x = net.add("mean", "avg_pool", {x});
  return with_norms(net.take(net.linear("classes", x, 5)));
}

/// A bright square that moves two pixels a frame over a fixed random texture, f of `still` frames in a row alike.
struct Clip {
  std::int64_t height, width;
  std::vector<std::vector<std::uint8_t>> frames;

  Clip(std::int64_t h, std::int64_t w, int count, int still = 1, unsigned seed = 1) : height(h), width(w) {
    std::mt19937 random(seed);
    std::vector<std::uint8_t> texture(static_cast<std::size_t>(h * w * 3));
    for (std::uint8_t& x : texture) x = static_cast<std::uint8_t>(60 + random() % 80);
    for (int f = 0; f < count; ++f) {
      frames.push_back(texture);
      const std::int64_t size = std::min(h, w) / 5, left = f / still * 2 % (w - size), top = h / 3;
      for (std::int64_t y = top; y < top + size; ++y)
        for (std::int64_t x = left; x < left + size; ++x)
          for (std::int64_t c = 0; c < 3; ++c)
            frames.back()[static_cast<std::size_t>((y * w + x) * 3 + c)] = static_cast<std::uint8_t>(180 + 20 * c);
    }
  }

  /// Adds noise of at most `most` grey levels to every frame.
  Clip& add_noise(int most) {
    std::mt19937 random(9);
    for (auto& frame : frames)
      for (std::uint8_t& x : frame) {
        const int noise = static_cast<int>(random() % static_cast<unsigned>(2 * most + 1)) - most;
        x = static_cast<std::uint8_t>(std::min(255, std::max(0, x + noise)));
      }
    return *this;
  }

  /// Frame f alone.
  Clip& only(std::size_t f) {
    frames = {frames[f]};
    return *this;
  }

  std::size_t count() const { return frames.size(); }
  Array frame(std::size_t f) const { return Array::from(frames[f], {height, width, 3}); }

  /// u8 [T, height, width, 3]
  Array array() const {
    std::vector<std::uint8_t> all;
    for (const auto& frame : frames) all.insert(all.end(), frame.begin(), frame.end());
    return Array::from(all, {static_cast<std::int64_t>(count()), height, width, 3});
  }

  /// f32 [T, height, width, 3] as the profile's default makes it
  Array normalized() const {
    const FrameProfile profile;
    const Array bytes = array();
    Array result(bytes.shape(), DType::kF32);
    for (std::int64_t i = 0; i < result.count(); ++i) {
      const auto c = static_cast<std::size_t>(i % 3);
      result.data<float>()[i] = (bytes.data<std::uint8_t>()[i] / 255.0f - profile.mean[c]) / profile.std[c];
    }
    return result;
  }
};

inline StreamOptions options_of(Skip skip, float threshold = 0, int threads = 1) {
  StreamOptions options;
  options.skip = skip;
  options.threshold = threshold;
  options.threads = threads;
  return options;
}

/// What is left out is seen where every frame is compared.
inline StreamOptions always(StreamOptions options) {
  options.always_compare = true;
  return options;
}

template <class Range>
std::vector<float> floats(const Range& values) {
  return {values.begin(), values.end()};
}

/// |a - b| / |b|
inline double relative_change(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    norm += std::pow(b[i], 2);
  }
  return std::sqrt(difference / norm);
}

}  // namespace voxshift
