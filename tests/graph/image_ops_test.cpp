// Resizing, padding and normalising of images in graphs, and sums of them, against plain loops.
#include "image_networks.h"

namespace voxshift {
namespace {

class ImageOpsTest : public ImageNetworkTest {};
VOXSHIFT_FOR_EACH_DEVICE(ImageOpsTest);

Image resized(const Image& in, std::int64_t height, std::int64_t width, bool bilinear, bool corners) {
  Image out(height, width, in.channels);
  const auto place = [&](std::int64_t o, std::int64_t n, std::int64_t to) {
    const std::int64_t nearest = o * n / to;
    if (!bilinear) return static_cast<double>(nearest);
    const auto at = static_cast<double>(o), from = static_cast<double>(n), all = static_cast<double>(to);
    return corners ? (to > 1 ? at * (from - 1) / (all - 1) : 0) : std::max((at + 0.5) * from / all - 0.5, 0.0);
  };
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      const double v = place(y, in.height, height), u = place(x, in.width, width);
      const auto top = static_cast<std::int64_t>(v), left = static_cast<std::int64_t>(u);
      const std::int64_t bottom = std::min(top + 1, in.height - 1), right = std::min(left + 1, in.width - 1);
      const double dy = v - static_cast<double>(top), dx = u - static_cast<double>(left);
      for (std::int64_t c = 0; c < in.channels; ++c)
        out.at(y, x, c) = (1 - dy) * ((1 - dx) * in.at(top, left, c) + dx * in.at(top, right, c)) +
                          dy * ((1 - dx) * in.at(bottom, left, c) + dx * in.at(bottom, right, c));
    }
  return out;
}

TEST_P(ImageOpsTest, Upsample) {
  struct Case {
    Attributes attributes;
    std::int64_t height, width;
  };
  const Images in = some_images(2, 5, 4, 3);
  const std::vector<Case> cases{{{{"scale_factor", std::int64_t{2}}}, 10, 8},
                                {{{"scale_factor", PerAxis{1, 3}}}, 5, 12},
                                {{{"size", PerAxis{7, 9}}}, 7, 9},
                                {{{"size", PerAxis{2, 3}}}, 2, 3},
                                {{{"size", PerAxis{1, 1}}}, 1, 1},
                                {{{"scale_factor", std::int64_t{1}}}, 5, 4}};
  for (const Case& c : cases)
    for (const bool bilinear : {false, true})
      for (const bool corners : {false, true}) {
        if (corners && !bilinear) continue;
        SCOPED_TRACE(std::to_string(c.height) + " x " + std::to_string(c.width) + (bilinear ? ", bilinear" : "") +
                     (corners ? ", corners" : ""));
        NetworkWriter b = image_network(in);
        Attributes attributes = c.attributes;
        attributes["mode"] = bilinear ? "bilinear" : "nearest";
        attributes["align_corners"] = corners;
        const std::string y = add(b, "upsample", kView, 3, attributes);
        expect_images(b, y, in,
                      each(in, [&](const Image& x) { return resized(x, c.height, c.width, bilinear, corners); }));
      }
}

Image padded(const Image& in, std::int64_t left, std::int64_t right, std::int64_t top, std::int64_t bottom) {
  Image out(in.height + top + bottom, in.width + left + right, in.channels);
  for (std::int64_t y = 0; y < in.height; ++y)
    for (std::int64_t x = 0; x < in.width; ++x)
      for (std::int64_t c = 0; c < in.channels; ++c) out.at(y + top, x + left, c) = in.at(y, x, c);
  return out;
}

TEST_P(ImageOpsTest, Pad) {
  const Images in = some_images(2, 4, 5, 3);
  NetworkWriter b = image_network(in);
  const std::string y =
      add(b, "pad", kView, 3, {{"left", std::int64_t{1}}, {"right", std::int64_t{2}}, {"bottom", std::int64_t{3}}});
  expect_images(b, y, in, each(in, [](const Image& x) { return padded(x, 1, 2, 0, 3); }));
  NetworkWriter none = image_network(in);
  expect_images(none, add(none, "pad", kView, 3, {}), in, in);
}

// Steps that run together a few thousand rows at a time read whole images where they resize them.
TEST_P(ImageOpsTest, SumsProductsAndConcatenations) {
  const Images in = some_images(2, 41, 36, 2);
  NetworkWriter b = image_network(in);
  const std::string small = add(b, "upsample", kView, 2, {{"size", PerAxis{9, 11}}});
  const std::string back = add(b, "upsample", small, 2, {{"size", PerAxis{41, 36}}, {"mode", "bilinear"}});
  const std::string sum = b.relu(b.add(back, kView));
  const std::string product = b.add_node("multiply", {sum, kView}, 2).name;
  const std::string all = b.cat({kView, sum, product});
  expect_images(b, all, in,
                each(in,
                     [](const Image& x) {
                       const Image y = resized(resized(x, 9, 11, false, false), 41, 36, true, false);
                       Image out(x.height, x.width, 6);
                       for (std::int64_t v = 0; v < x.height; ++v)
                         for (std::int64_t u = 0; u < x.width; ++u)
                           for (std::int64_t c = 0; c < 2; ++c) {
                             const double s = std::max(x.at(v, u, c) + y.at(v, u, c), 0.0);
                             out.at(v, u, c) = x.at(v, u, c);
                             out.at(v, u, 2 + c) = s;
                             out.at(v, u, 4 + c) = s * x.at(v, u, c);
                           }
                       return out;
                     }),
                1e-5, 0x1p-7);
}

// Of rows [first, last), channel by channel.
void normalize(std::vector<std::vector<double>>& rows, std::size_t first, std::size_t last, double eps,
               const std::vector<double>& weight, const std::vector<double>& bias) {
  const auto n = static_cast<double>(last - first);
  for (std::size_t c = 0; first < last && c < rows[first].size(); ++c) {
    double mean = 0, variance = 0;
    for (std::size_t i = first; i < last; ++i) mean += rows[i][c] / n;
    for (std::size_t i = first; i < last; ++i) variance += (rows[i][c] - mean) * (rows[i][c] - mean) / n;
    for (std::size_t i = first; i < last; ++i)
      rows[i][c] = (rows[i][c] - mean) / std::sqrt(variance + eps) * weight[c] + bias[c];
  }
}

Image normalized(const Image& in, double eps, const std::vector<double>& weight, const std::vector<double>& bias) {
  std::vector<std::vector<double>> rows;
  for (auto from = in.values.begin(); from != in.values.end(); from += in.channels)
    rows.emplace_back(from, from + in.channels);
  normalize(rows, 0, rows.size(), eps, weight, bias);
  Image out(in.height, in.width, in.channels, {});
  for (const auto& row : rows) out.values.insert(out.values.end(), row.begin(), row.end());
  return out;
}

// More rows than a chunk of the sums holds; an image without variance.
TEST_P(ImageOpsTest, InstanceNormOfImages) {
  Images in = some_images(3, 31, 37, 5);
  std::fill(in[1].values.begin(), in[1].values.end(), 3.0);
  const std::vector<double> weight{1, -2, 0.5, 3, 0.25}, bias{0, 1, -1, 2, 0.5};
  NetworkWriter b = image_network(in);
  b.parameters.emplace("w", Array::from(std::vector<float>(weight.begin(), weight.end()), {5}));
  b.parameters.emplace("b", Array::from(std::vector<float>(bias.begin(), bias.end()), {5}));
  const std::string y = add(b, "instance_norm", kView, 5, {{"eps", 0.5}});
  b.graph.nodes.back().parameters = {{"weight", "w"}, {"bias", "b"}};
  expect_images(b, y, in, each(in, [&](const Image& x) { return normalized(x, 0.5, weight, bias); }));
  NetworkWriter plain = image_network(in);
  expect_images(plain, add(plain, "instance_norm", kView, 5, {}), in, each(in, [](const Image& x) {
                  return normalized(x, 1e-5, {1, 1, 1, 1, 1}, {0, 0, 0, 0, 0});
                }));
}

TEST_P(ImageOpsTest, InstanceNormOfVoxelsAndPoints) {
  std::mt19937 random(5);
  const std::vector<std::int64_t> splits{0, 1, 1, 700, 760};  // one cloud has one row, one none
  std::vector<std::int32_t> coords;
  std::vector<float> features;
  std::vector<std::vector<double>> rows;
  for (std::size_t b = 0; b + 1 < splits.size(); ++b)
    for (std::int64_t i = splits[b]; i < splits[b + 1]; ++i) {
      coords.insert(coords.end(), {static_cast<std::int32_t>(b), static_cast<std::int32_t>(i), 0, 0});
      rows.emplace_back();
      for (int c = 0; c < 4; ++c) {
        features.push_back(static_cast<float>(random() % 9) - 4);
        rows.back().push_back(features.back());
      }
    }
  for (std::size_t b = 0; b + 1 < splits.size(); ++b)
    normalize(rows, static_cast<std::size_t>(splits[b]), static_cast<std::size_t>(splits[b + 1]), 0.25, {1, 1, 1, 1},
              {0, 0, 0, 0});
  const auto n = static_cast<std::int64_t>(rows.size());
  const Array x = Array::from(features, {n, 4});
  for (const bool points : {false, true})
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      SCOPED_TRACE(std::string(points ? "points " : "voxels ") + name(dtype));
      NetworkWriter b(4);
      if (points) b.graph.inputs.front().kind = InputKind::kPoints;
      b.graph.outputs = {add(b, "instance_norm", kGraphInput, 4, {{"eps", 0.25}})};
      const auto result = [&](int threads) {
        Session session({b.graph, b.parameters}, device(), threads, dtype);
        if (points)
          return session.forward(
              PointSet{x.to(device()), Array::from(splits, {static_cast<std::int64_t>(splits.size())})});
        return session.forward(SparseTensor(Array::from(coords, {n, 4}), x, {}).to(device()));
      };
      const Array found = result(1);
      const auto values = host<float>(found);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double value = rows[i / 4][i % 4];
        ASSERT_NEAR(values[i], value,
                    (dtype == DType::kF32   ? 1e-5
                     : dtype == DType::kF16 ? 0x1p-10
                                            : 0x1p-7) *
                        (1 + std::abs(value)))
            << i;
      }
      for (const int threads : thread_counts()) expect_same_bits(result(threads), found);
    }
}

TEST_P(ImageOpsTest, NoImages) {
  NetworkWriter b = image_network(4, 5, 3);
  std::string y = add(b, "upsample", kView, 3, {{"scale_factor", std::int64_t{2}}, {"mode", "bilinear"}});
  y = add(b, "instance_norm", y, 3, {});
  b.graph.outputs = {add(b, "pad", y, 3, {{"left", std::int64_t{1}}})};
  EXPECT_EQ(run(b, {}, DType::kF32, 2).shape(), (Shape{0, 8, 11, 3}));
}

TEST(ImageOps, RefusedResizing) {
  refused("upsample", {}, {"\"upsample1\"", "either scale_factor or size", "[0, 0] and [0, 0]"});
  refused("upsample", {{"scale_factor", std::int64_t{2}}, {"size", std::int64_t{8}}}, {"either", "[2, 2] and [8, 8]"});
  refused("upsample", {{"size", PerAxis{4, 0}}}, {"either", "[4, 0]"});
  refused("upsample", {{"scale_factor", PerAxis{1, 2, 3}}}, {"scale_factor", "per axis", "[1, 2, 3]"});
  refused("upsample", {{"scale_factor", std::int64_t{65}}}, {"scale_factor", "0 to 64", "65"});
  refused("upsample", {{"size", std::int64_t{5000}}}, {"\"upsample1\"", "5000 x 5000", "16777216"});
  refused("upsample", {{"scale_factor", std::int64_t{2}}, {"mode", "cubic"}}, {"nearest or bilinear", "\"cubic\""});
  refused("upsample", {{"scale_factor", std::int64_t{2}}, {"align_corners", true}}, {"align_corners", "bilinear"});
  refused("pad", {{"left", std::int64_t{-1}}}, {"\"pad1\"", "left", "0 to 1024", "-1"});
  NetworkWriter b(3);
  b.graph.outputs = {b.add_node("pad", {kGraphInput}, 3).name};
  expect_throw([&] { check_graph(b.graph, b.parameters); }, {"\"pad0\"", "takes images"});
}

TEST(ImageOps, RefusedNorms) {
  refused("instance_norm", {{"eps", -1.0}}, {"\"instance_norm1\"", "eps", "0 to 1000", "-1"});
  NetworkWriter b = image_network(6, 5, 3);
  b.parameters.emplace("w", Array({5}, DType::kF32));
  b.graph.outputs = {add(b, "instance_norm", kView, 3, {})};
  b.graph.nodes.back().parameters = {{"weight", "w"}};
  expect_throw([&] { check_graph(b.graph, b.parameters); }, {"\"w\"", "\"instance_norm1\"", "[3]", "[5]"});
}

// On frames extents are known when a network runs, not before.
TEST(ImageOps, OnFrames) {
  for (const char* op : {"upsample", "pad"}) {
    NetworkWriter b(3, 2);
    b.graph.inputs.front().kind = InputKind::kFrames;
    Node& node = b.add_node(op, {kGraphInput}, 3);
    if (std::string(op) == "upsample") node.attributes = {{"scale_factor", std::int64_t{2}}};
    if (std::string(op) == "pad") node.attributes = {{"left", std::int64_t{6}}, {"top", std::int64_t{4}}};
    b.graph.outputs = {node.name};
    const auto extent_of = [&](Extent2d frame) {
      const GraphValues values = check_graph(b.graph, b.parameters, {frame});
      return values.domains[values.at(b.graph.output()).domain].extent;
    };
    EXPECT_EQ(extent_of({}), (Extent2d{0, 0}));
    EXPECT_EQ(extent_of({4, 6}), (Extent2d{8, 12})) << op;
  }
}

}  // namespace
}  // namespace voxshift
