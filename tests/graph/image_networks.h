// Networks on images: voxels whose view they are, runs on every device in f32, f16 and bf16, and what is expected of
// them.
#pragma once

#include <voxshift/engine/session.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>

#include "device_fixture.h"
#include "image_oracle.h"
#include "networks.h"

namespace voxshift {

using oracle::Image;
using Images = std::vector<Image>;

/// Whole numbers of [-4, 4], which f16 and bf16 have; every image is another one.
inline Images some_images(std::size_t count, std::int64_t height, std::int64_t width, std::int64_t channels) {
  std::mt19937 random(7);
  Images images(count, Image(height, width, channels));
  for (Image& image : images)
    for (double& value : image.values) value = static_cast<double>(random() % 9) - 4;
  return images;
}

/// Voxels (b, y, x, 0), whose view along z are the images.
inline SparseTensor voxels_of(const Images& images) {
  std::vector<std::int32_t> coords;
  std::vector<float> features;
  const std::int64_t channels = images.empty() ? 3 : images[0].channels;
  for (std::size_t b = 0; b < images.size(); ++b) {
    for (std::int32_t y = 0; y < images[b].height; ++y)
      for (std::int32_t x = 0; x < images[b].width; ++x)
        coords.insert(coords.end(), {static_cast<std::int32_t>(b), y, x, 0});
    features.insert(features.end(), images[b].values.begin(), images[b].values.end());
  }
  const auto n = static_cast<std::int64_t>(coords.size() / 4);
  return {Array::from(coords, {n, 4}), Array::from(features, {n, channels}), {}};
}

/// A network on such voxels that begins with their view, "bird_eye_view0".
inline NetworkWriter image_network(std::int64_t height, std::int64_t width, std::int64_t channels) {
  NetworkWriter b(channels);
  b.add_node("bird_eye_view", {kGraphInput}, channels).attributes = {{"shape", PerAxis{height, width, 1}}};
  return b;
}
inline NetworkWriter image_network(const Images& images) {
  return image_network(images[0].height, images[0].width, images[0].channels);
}
constexpr const char* kView = "bird_eye_view0";

inline std::string add(NetworkWriter& b, const char* op, const std::string& x, std::int64_t channels,
                       Attributes attributes) {
  Node& node = b.add_node(op, {x}, channels);
  node.attributes = std::move(attributes);
  return node.name;
}

class ImageNetworkTest : public DeviceTest {
 protected:
  Array run(const NetworkWriter& b, const Images& in, DType dtype, int threads) const {
    Session session({b.graph, b.parameters}, device(), threads, dtype);
    return session.run(voxels_of(in).to(device())).at(b.graph.output()).features;
  }

  /// The network makes `expected` of `in`, within a tolerance of 1 + |value|, the same bits at any number of threads.
  void expect_images(NetworkWriter& b, const std::string& output, const Images& in, const Images& expected,
                     double tolerance = 1e-5, double half_tolerance = 0x1p-10) const {
    b.graph.outputs = {output};
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      SCOPED_TRACE(name(dtype));
      const Array found = run(b, in, dtype, 1);
      const Image& first = expected.at(0);
      ASSERT_EQ(found.shape(),
                (Shape{static_cast<std::int64_t>(expected.size()), first.height, first.width, first.channels}));
      const auto values = host<float>(found);
      const double within = dtype == DType::kF32   ? tolerance
                            : dtype == DType::kF16 ? half_tolerance
                                                   : 8 * half_tolerance;  // for 3 bits less
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double value = expected[i / first.values.size()].values[i % first.values.size()];
        ASSERT_NEAR(values[i], value, within * (1 + std::abs(value))) << "value " << i;
      }
      for (const int threads : thread_counts()) expect_same_bits(run(b, in, dtype, threads), found);
    }
  }
};

/// f of every image.
inline Images each(const Images& in, const std::function<Image(const Image&)>& f) {
  Images out;
  std::transform(in.begin(), in.end(), std::back_inserter(out), f);
  return out;
}

/// A network of the op on images of 6 x 5 pixels and 3 channels is refused.
inline void refused(const char* op, const Attributes& attributes, const std::vector<std::string>& parts) {
  SCOPED_TRACE(op);
  NetworkWriter b = image_network(6, 5, 3);
  b.graph.outputs = {add(b, op, kView, 3, attributes)};
  expect_throw([&] { check_graph(b.graph, b.parameters); }, parts);
}

}  // namespace voxshift
