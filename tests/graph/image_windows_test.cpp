// Windows of any form on images in graphs, forward and transposed, against plain loops.
#include "image_networks.h"

namespace voxshift {
namespace {

class ImageWindowsTest : public ImageNetworkTest {};
VOXSHIFT_FOR_EACH_DEVICE(ImageWindowsTest);

/// Per axis: y, x.
struct Form {
  PerAxis size, stride{1, 1}, padding{0, 0}, dilation{1, 1};
  std::int64_t groups = 1;
  PerAxis more{0, 0};  // output_padding

  std::int64_t taps() const { return size[0] * size[1]; }
};

std::string text(const Form& f) {
  std::string all;
  for (const PerAxis& p : {f.size, f.stride, f.padding, f.dilation, f.more}) all += to_text(Attribute(p)) + " ";
  return all + "groups " + std::to_string(f.groups);
}

/// tap(y, x, v, u, i, j): the tap (i, j) of coarse pixel (y, x) lies on fine pixel (v, u) of the extent.
template <class Tap>
void for_taps(const Form& f, std::int64_t coarse_height, std::int64_t coarse_width, std::int64_t height,
              std::int64_t width, const Tap& tap) {
  for (std::int64_t y = 0; y < coarse_height; ++y)
    for (std::int64_t x = 0; x < coarse_width; ++x)
      for (std::int64_t i = 0; i < f.size[0]; ++i)
        for (std::int64_t j = 0; j < f.size[1]; ++j) {
          const std::int64_t v = y * f.stride[0] - f.padding[0] + i * f.dilation[0],
                             u = x * f.stride[1] - f.padding[1] + j * f.dilation[1];
          if (v >= 0 && v < height && u >= 0 && u < width) tap(y, x, v, u, i, j);
        }
}

std::int64_t coarse_size(const Form& f, std::size_t axis, std::int64_t n) {
  return (n + 2 * f.padding[axis] - f.dilation[axis] * (f.size[axis] - 1) - 1) / f.stride[axis] + 1;
}

/// Weight [Cout, Cin / groups, h, w].
Image conv2d(const Image& in, const Form& f, const std::vector<float>& weight, const std::vector<float>& bias) {
  const auto channels = static_cast<std::int64_t>(bias.size());
  Image out(coarse_size(f, 0, in.height), coarse_size(f, 1, in.width), channels);
  const std::int64_t each_in = in.channels / f.groups, each_out = channels / f.groups;
  for (std::size_t i = 0; i < out.values.size(); ++i) out.values[i] = bias[i % bias.size()];
  for_taps(f, out.height, out.width, in.height, in.width, [&](auto y, auto x, auto v, auto u, auto i, auto j) {
    for (std::int64_t o = 0; o < channels; ++o)
      for (std::int64_t c = 0; c < each_in; ++c)
        out.at(y, x, o) += in.at(v, u, o / each_out * each_in + c) *
                           weight[static_cast<std::size_t>(((o * each_in + c) * f.size[0] + i) * f.size[1] + j)];
  });
  return out;
}

/// Weight [Cin, Cout / groups, h, w].
Image conv_transpose2d(const Image& in, const Form& f, const std::vector<float>& weight,
                       const std::vector<float>& bias) {
  const auto channels = static_cast<std::int64_t>(bias.size());
  const auto fine = [&](std::size_t a, std::int64_t n) {
    return (n - 1) * f.stride[a] - 2 * f.padding[a] + f.dilation[a] * (f.size[a] - 1) + f.more[a] + 1;
  };
  Image out(fine(0, in.height), fine(1, in.width), channels);
  const std::int64_t each_in = in.channels / f.groups, each_out = channels / f.groups;
  for (std::size_t i = 0; i < out.values.size(); ++i) out.values[i] = bias[i % bias.size()];
  for_taps(f, in.height, in.width, out.height, out.width, [&](auto y, auto x, auto v, auto u, auto i, auto j) {
    for (std::int64_t c = 0; c < in.channels; ++c)
      for (std::int64_t o = 0; o < each_out; ++o)
        out.at(v, u, c / each_in * each_out + o) +=
            in.at(y, x, c) * weight[static_cast<std::size_t>(((c * each_out + o) * f.size[0] + i) * f.size[1] + j)];
  });
  return out;
}

Image avg_pool2d(const Image& in, const Form& f, bool count_padding) {
  Image out(coarse_size(f, 0, in.height), coarse_size(f, 1, in.width), in.channels), inside = out;
  for_taps(f, out.height, out.width, in.height, in.width, [&](auto y, auto x, auto v, auto u, auto, auto) {
    for (std::int64_t c = 0; c < in.channels; ++c) {
      out.at(y, x, c) += in.at(v, u, c);
      inside.at(y, x, c) += 1;
    }
  });
  for (std::size_t i = 0; i < out.values.size(); ++i)
    out.values[i] /= count_padding ? static_cast<double>(f.taps()) : inside.values[i];
  return out;
}

std::vector<float> small_numbers(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(random() % 5) - 2;
  return values;
}

TEST_P(ImageWindowsTest, AveragesOfWindows) {
  const Images in = some_images(2, 7, 9, 5);
  for (const Form& f : std::vector<Form>{{{2, 2}, {2, 2}},
                                         {{3, 3}, {2, 2}, {1, 1}},
                                         {{3, 2}, {1, 2}, {1, 0}},
                                         {{1, 5}, {1, 1}, {0, 2}},
                                         {{7, 9}, {7, 9}},
                                         {{1, 1}, {1, 1}}})
    for (const bool count : {false, true}) {
      SCOPED_TRACE(text(f) + (count ? " counted" : ""));
      NetworkWriter b = image_network(in);
      Attributes attributes{{"kernel_size", f.size}, {"padding", f.padding}, {"count_include_pad", count}};
      if (f.stride != f.size) attributes["stride"] = f.stride;  // which is the usual one
      const std::string y = add(b, "avg_pool2d", kView, 5, attributes);
      expect_images(b, y, in, each(in, [&](const Image& x) { return avg_pool2d(x, f, count); }), 1e-5, 0x1p-8);
    }
}

/// A network whose node "op" has the weight.
std::string add_product(NetworkWriter& b, const char* op, const Form& f, const Shape& shape,
                        const std::vector<float>& weight, const std::vector<float>& bias) {
  const auto channels = static_cast<std::int64_t>(bias.size());
  b.parameters.insert_or_assign("w", Array::from(weight, shape));
  b.parameters.insert_or_assign("b", Array::from(bias, {channels}));
  std::string y = add(b, op, kView, channels,
                      {{"stride", f.stride}, {"padding", f.padding}, {"dilation", f.dilation}, {"groups", f.groups}});
  if (std::string(op) == "conv_transpose2d") b.graph.nodes.back().attributes["output_padding"] = f.more;
  b.graph.nodes.back().parameters = {{"weight", "w"}, {"bias", "b"}};
  return y;
}

TEST_P(ImageWindowsTest, TransposedConvolutions) {
  const Images in = some_images(2, 5, 4, 4);
  for (const Form& f : std::vector<Form>{{{2, 2}, {2, 2}},                             // every output has one source
                                         {{3, 3}, {2, 2}, {1, 1}, {1, 1}, 1, {1, 1}},  // as upsampling networks have it
                                         {{4, 4}, {2, 2}, {1, 1}},
                                         {{2, 3}, {2, 3}},
                                         {{3, 3}, {1, 1}, {1, 1}},
                                         {{3, 2}, {2, 1}, {0, 1}, {1, 2}, 1, {1, 0}},
                                         {{1, 1}, {3, 2}},  // outputs without a source
                                         {{3, 3}, {2, 2}, {4, 4}, {2, 2}},
                                         {{2, 2}, {2, 2}, {0, 0}, {1, 1}, 2},
                                         {{4, 4}, {2, 2}, {1, 1}, {1, 1}, 4}}) {
    SCOPED_TRACE(text(f));
    const std::int64_t out = 8, each_out = out / f.groups;
    const std::vector<float> weight = small_numbers(4 * each_out * f.taps(), 2), bias = small_numbers(out, 3);
    NetworkWriter b = image_network(in);
    const std::string y = add_product(b, "conv_transpose2d", f, {4, each_out, f.size[0], f.size[1]}, weight, bias);
    expect_images(b, y, in, each(in, [&](const Image& x) { return conv_transpose2d(x, f, weight, bias); }));
  }
}

// Nodes of older files have no stride: it is the kernel's.
TEST_P(ImageWindowsTest, TransposedConvolutionsHaveTheStrideOfTheirKernel) {
  const Images in = some_images(1, 3, 4, 4);
  const std::vector<float> weight = small_numbers(4 * 3 * 4, 2), bias = small_numbers(3, 3);
  NetworkWriter b = image_network(in);
  const std::string y = add_product(b, "conv_transpose2d", {{2, 2}}, {4, 3, 2, 2}, weight, bias);
  b.graph.nodes.back().attributes.clear();
  expect_images(b, y, in, each(in, [&](const Image& x) {
                  return conv_transpose2d(x, {{2, 2}, {2, 2}}, weight, bias);
                }));
}

TEST_P(ImageWindowsTest, Convolutions) {
  const Images in = some_images(2, 9, 8, 6);
  for (const Form& f : std::vector<Form>{{{3, 3}, {1, 1}, {1, 1}},  // which has a kernel of its own
                                         {{3, 3}, {2, 2}, {1, 1}, {1, 1}, 6},
                                         {{1, 3}, {1, 1}, {0, 1}},
                                         {{3, 1}, {2, 1}, {1, 0}},
                                         {{2, 5}, {1, 2}, {1, 2}},
                                         {{3, 3}, {1, 1}, {2, 2}, {2, 2}},
                                         {{3, 3}, {2, 1}, {3, 0}, {3, 2}},
                                         {{3, 3}, {1, 1}, {1, 1}, {1, 1}, 2},
                                         {{3, 3}, {1, 1}, {2, 2}, {2, 2}, 6},
                                         {{1, 1}, {1, 1}, {0, 0}, {1, 1}, 3},
                                         {{1, 1}, {2, 3}},
                                         {{3, 3}, {1, 1}, {7, 7}},  // windows that miss the image
                                         {{9, 8}},
                                         {{13, 1}, {1, 1}, {6, 0}}}) {
    SCOPED_TRACE(text(f));
    const std::int64_t out = 12, each_in = 6 / f.groups;
    const std::vector<float> weight = small_numbers(out * each_in * f.taps(), 2), bias = small_numbers(out, 3);
    NetworkWriter b = image_network(in);
    const std::string y = add_product(b, "conv2d", f, {out, each_in, f.size[0], f.size[1]}, weight, bias);
    expect_images(b, y, in, each(in, [&](const Image& x) { return conv2d(x, f, weight, bias); }));
  }
}

// Batch norm, a sum and an activation become part of the convolution.
TEST_P(ImageWindowsTest, ConvolutionsTakeWhatFollowsThem) {
  const Images in = some_images(2, 6, 7, 6);
  const Form f{{1, 3}, {1, 1}, {0, 1}, {1, 1}, 2};
  const std::vector<float> weight = small_numbers(6 * 3 * 3, 2), bias = small_numbers(6, 3);
  for (const char* op : {"conv2d", "conv_transpose2d"}) {
    SCOPED_TRACE(op);
    const bool transposed = std::string(op) == "conv_transpose2d";
    NetworkWriter b = image_network(in);
    const std::string y = add_product(b, op, f, {6, 3, 1, 3}, weight, bias), n = b.batch_norm(y);
    const auto at = [&](const char* role, std::int64_t c) {
      return static_cast<double>(b.parameters.at(n + "." + role).data<float>()[c]);
    };
    expect_images(b, b.relu(b.add(n, kView)), in, each(in, [&](const Image& x) {
                    Image out = transposed ? conv_transpose2d(x, f, weight, bias) : conv2d(x, f, weight, bias);
                    for (std::int64_t v = 0; v < out.height; ++v)
                      for (std::int64_t u = 0; u < out.width; ++u)
                        for (std::int64_t c = 0; c < 6; ++c) {
                          const double scale = at("weight", c) / std::sqrt(at("running_var", c));
                          const double norm = (out.at(v, u, c) - at("running_mean", c)) * scale + at("bias", c);
                          out.at(v, u, c) = std::max(norm + x.at(v, u, c), 0.0);
                        }
                    return out;
                  }));
  }
}

TEST_P(ImageWindowsTest, NoImages) {
  const Form f{{1, 3}, {1, 1}, {0, 1}};
  for (const char* op : {"conv2d", "conv_transpose2d"}) {
    NetworkWriter b = image_network(6, 7, 3);
    const std::string y = add_product(b, op, f, {3, 3, 1, 3}, small_numbers(27, 1), small_numbers(3, 2));
    b.graph.outputs = {add(b, "avg_pool2d", y, 3, {{"kernel_size", std::int64_t{2}}})};
    EXPECT_EQ(run(b, {}, DType::kF32, 2).shape(), (Shape{0, 3, 3, 3}));
  }
}

void product_refused(const char* op, const Shape& shape, Attributes attributes, const std::vector<std::string>& parts) {
  NetworkWriter b = image_network(6, 5, 4);
  b.parameters.emplace("w", Array(shape, DType::kF32));
  b.graph.outputs = {add(b, op, kView, 4, std::move(attributes))};
  b.graph.nodes.back().parameters = {{"weight", "w"}};
  expect_throw([&] { check_graph(b.graph, b.parameters); }, parts);
}

TEST(ImageWindows, Refused) {
  const std::int64_t two = 2;
  refused("avg_pool2d", {}, {"\"avg_pool2d1\"", "lacks kernel_size"});
  refused("avg_pool2d", {{"kernel_size", PerAxis{3, 0}}}, {"kernel_size", "1 to 64", "[3, 0]"});
  refused("avg_pool2d", {{"kernel_size", PerAxis{3, 2}}, {"padding", two}}, {"padding of 0 to 1", "found 2"});
  refused("avg_pool2d", {{"kernel_size", PerAxis{7, 1}}}, {"7 x 1 pixels at least", "6 x 5"});
  product_refused("conv2d", {4, 4, 65, 1}, {}, {"\"conv2d1\"", "1 to 64 taps", "65 x 1"});
  product_refused("conv2d", {4, 4, 0, 1}, {}, {"1 to 64 taps", "0 x 1"});
  product_refused("conv2d", {4, 4, 3}, {}, {"[4, 4, 3, 3]", "[4, 4, 3]"});
  product_refused("conv2d", {4, 3, 1, 3}, {}, {"[4, 4, 1, 3]", "[4, 3, 1, 3]"});
  product_refused("conv2d", {4, 4, 1, 3}, {{"groups", std::int64_t{3}}}, {"groups that divide", "found 3"});
  product_refused("conv2d", {4, 4, 3, 3}, {{"dilation", PerAxis{2, 3}}}, {"5 x 7 pixels at least", "6 x 5"});
  product_refused("conv2d", {4, 4, 3, 3}, {{"stride", PerAxis{1, 0}}}, {"stride", "1 to 64", "[1, 0]"});
  product_refused("conv2d", {4, 4, 3, 3}, {{"padding", PerAxis{1, 2, 3}}}, {"padding", "per axis", "[1, 2, 3]"});
  product_refused("conv2d", {4, 4, 64, 64}, {{"padding", std::int64_t{1024}}}, {"4096 taps", "134217728"});
  product_refused("conv_transpose2d", {4, 4, 3, 3}, {{"output_padding", PerAxis{3, 0}}},
                  {"\"conv_transpose2d1\"", "output_padding below its stride 3", "found 3"});
  product_refused("conv_transpose2d", {4, 4, 3, 3}, {{"padding", std::int64_t{9}}}, {"padding 9", "no pixels of 6"});
  product_refused("conv_transpose2d", {4, 4, 3, 3}, {{"groups", std::int64_t{3}}}, {"divide its 4 input", "found 3"});
  product_refused("conv_transpose2d", {3, 4, 3, 3}, {}, {"[4, 4, 3, 3]", "[3, 4, 3, 3]"});
  product_refused("conv_transpose2d", {4, 4, 64, 64}, {{"stride", std::int64_t{64}}, {"padding", PerAxis{0, 1}}},
                  {"4096 taps", "384 x 318"});
  NetworkWriter b(3);
  b.graph.outputs = {add(b, "avg_pool2d", kGraphInput, 3, {{"kernel_size", two}})};
  expect_throw([&] { check_graph(b.graph, b.parameters); }, {"\"avg_pool2d0\"", "takes images"});
}

}  // namespace
}  // namespace voxshift
