// Networks with several named inputs, of all kinds and on each other's rows, against plain loops, and what is refused.
#include <voxshift/streaming/frame_stream.h>
#include <voxshift/tasks/segmenter.h>

#include "voxel_loops.h"

namespace voxshift {
namespace {

class InputsTest : public VoxelGraphTest {
 protected:
  Outputs run(const NetworkWriter& b, const Inputs& given, int threads = 2, DType dtype = DType::kF32) const {
    Inputs inputs;
    for (const auto& [name, x] : given) {
      if (const auto* tensor = std::get_if<SparseTensor>(&x)) inputs.emplace(name, tensor->to(device()));
      if (const auto* array = std::get_if<Array>(&x)) inputs.emplace(name, array->to(device()));
      if (const auto* set = std::get_if<PointSet>(&x))
        inputs.emplace(name, PointSet{set->points.to(device()), set->row_splits});
    }
    return session(b, threads, dtype).run(inputs);
  }
};
VOXSHIFT_FOR_EACH_DEVICE(InputsTest);

// Whole numbers of -4 to 4.
Array numbers(Shape shape, unsigned seed) {
  std::mt19937 random(seed);
  Array array(std::move(shape), DType::kF32);
  std::generate_n(array.data<float>(), array.count(), [&] { return static_cast<float>(random() % 9) - 4; });
  return array;
}

PointSet points_of(const std::vector<std::int64_t>& splits, std::int64_t channels, unsigned seed) {
  return {numbers({splits.back(), channels}, seed), Array::from(splits, {static_cast<std::int64_t>(splits.size())})};
}

// The mean of the rows of each cloud.
oracle::Matrix cloud_means(const std::vector<float>& rows, const std::vector<std::int64_t>& splits,
                           std::size_t channels) {
  oracle::Matrix means(splits.size() - 1, channels);
  for (std::size_t b = 0; b + 1 < splits.size(); ++b)
    for (std::int64_t i = splits[b]; i < splits[b + 1]; ++i)
      for (std::size_t c = 0; c < channels; ++c)
        means.at(b, c) += static_cast<double>(rows[static_cast<std::size_t>(i) * channels + c]) /
                          static_cast<double>(splits[b + 1] - splits[b]);
  return means;
}

void expect_near(const Array& found, const oracle::Matrix& expected) {
  ASSERT_EQ(found.shape(), (Shape{static_cast<std::int64_t>(expected.rows), static_cast<std::int64_t>(expected.cols)}));
  const std::vector<float> values = host<float>(found);
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_NEAR(static_cast<double>(values[i]), expected.values[i], 1e-5) << i;
}

// Two scans of different voxels, and further channels on the rows of the second.
NetworkWriter two_scans(int dims) {
  NetworkWriter b(4, dims);
  b.input({"before", InputKind::kVoxels, 4});
  b.input({"weight", InputKind::kVoxels, 4, "before"});
  return b;
}

TEST_P(InputsTest, VoxelsOfTwoScans) {
  for (const int dims : {2, 3}) {
    NetworkWriter b = two_scans(dims);
    const std::string weighted = b.add_node("multiply", {"before", "weight"}, 4).name,
                      both = b.add_node("union_add", {kGraphInput, weighted}, 4).name,
                      conv = b.conv(both, 3, cube(dims, 3)), down = b.conv("before", 3, cube(dims, 2, 2)),
                      own = b.conv(kGraphInput, 3, cube(dims, 2, 2));
    b.graph.outputs = {weighted, conv, down, own};
    const SparseTensor now = whole_tensor(dims, rows(), 4, 5), before = whole_tensor(dims, rows() / 2, 4, 6);
    const Array weight = numbers({before.size(), 4}, 7);
    const Inputs inputs{{kGraphInput, now}, {"before", before}, {"weight", weight}};

    PlainTensor product = voxels_of(before);
    for (std::size_t i = 0; i < product.features.values.size(); ++i)
      product.features.values[i] *= static_cast<double>(weight.data<float>()[i]);
    const PlainTensor all = united(voxels_of(now), product);
    EXPECT_GT(all.coords.size(), static_cast<std::size_t>(now.size()));
    const auto halved = [&](const SparseTensor& x, const std::string& node) {
      const oracle::Coords halves = oracle::floor_outputs(voxels_of(x).coords, oracle_window(cube(dims, 2, 2)));
      return convolved(voxels_of(x), halves, cube(dims, 2, 2), false, full_weight(b, node));
    };
    for (const int threads : thread_counts()) {
      const Outputs found = run(b, inputs, threads);
      expect_equal(found.at(weighted), product);
      expect_equal(found.at(conv), convolved(all, all.coords, cube(dims, 3), false, full_weight(b, conv)));
      expect_equal(found.at(down), halved(before, down));
      expect_equal(found.at(own), halved(now, own));
    }
    if (device() == Device::cpu()) continue;
    expect_equal(run(b, inputs, 1, DType::kF16).at(weighted), product);  // small whole numbers are exact
  }
}

// Rows that the second input's features select.
TEST_P(InputsTest, SelectsFromTheSecondScan) {
  NetworkWriter b = two_scans(3);
  const std::string score = b.add_node("columns", {"weight"}, 1).name;
  b.graph.nodes.back().attributes = {{"first", std::int64_t{2}}, {"count", std::int64_t{1}}};
  const std::string kept = b.add_node("prune", {"before", score}, 4).name;
  b.graph.outputs = {b.add_node("union_add", {kGraphInput, kept}, 4).name};
  const SparseTensor now = whole_tensor(3, rows(), 4, 5), before = whole_tensor(3, rows(), 4, 6);
  const Array weight = numbers({before.size(), 4}, 7);
  std::map<oracle::Coord, std::vector<double>> above;
  const PlainTensor all = voxels_of(before);
  for (std::size_t i = 0; i < all.coords.size(); ++i)
    if (weight.data<float>()[4 * i + 2] > 0)
      for (std::size_t c = 0; c < 4; ++c) above[all.coords[i]].push_back(all.features.at(i, c));
  EXPECT_LT(above.size(), all.coords.size());
  const Outputs found = run(b, {{kGraphInput, now}, {"before", before}, {"weight", weight}});
  expect_equal(found.at(b.graph.output()), united(voxels_of(now), in_order(above, 4)));
}

// Points with a vector of their frame and one of their voxels, and a second camera of another extent.
struct Fusion {
  NetworkWriter b{3};
  std::string voxels, camera, joined, edges;

  Fusion() {
    b.graph.inputs.clear();
    for (const GraphInput& input : {GraphInput{"points", InputKind::kPoints, 3},
                                    {"reflection", {}, 2, "points"},
                                    {"scan", InputKind::kVoxels, 4},
                                    {"camera", InputKind::kFrames, 3},
                                    {"depth", {}, 1, "camera"},
                                    {"rear", InputKind::kFrames, 2}})
      b.input(input);
    voxels = b.add_node("avg_pool", {"scan"}, 4).name;
    camera = b.add_node("avg_pool", {b.cat({"camera", "depth"})}, 4).name;
    const std::string rear = b.add_node("avg_pool", {"rear"}, 2).name;
    const std::string all = b.cat({b.add(voxels, camera), rear});
    joined = b.cat({"points", "reflection", b.add_node("broadcast", {all, "points"}, 6).name});
    edges = b.add_node("max_pool2d", {"rear"}, 2).name;
    b.graph.nodes.back().attributes = {{"kernel_size", std::int64_t{2}}, {"stride", std::int64_t{2}}};
    b.graph.outputs = {joined, camera, edges};
  }
};

const std::vector<std::int64_t> kClouds{0, 70, 71, 120};

Inputs fusion_inputs() {
  const SparseTensor scan(
      Array::from(std::vector<std::int32_t>{0, 1, 2, 3, 0, 1, 2, 4, 1, 9, 9, 9, 2, 5, 5, 5}, {4, 4}),
      numbers({4, 4}, 1));
  return {
      {"points", points_of(kClouds, 3, 2)}, {"reflection", numbers({120, 2}, 3)}, {"scan", scan},
      {"camera", numbers({3, 6, 8, 3}, 4)}, {"depth", numbers({3, 6, 8, 1}, 5)},  {"rear", numbers({3, 4, 6, 2}, 6)}};
}

TEST_P(InputsTest, PointsVoxelsAndFrames) {
  const Fusion net;
  const Inputs inputs = fusion_inputs();
  const auto values = [&](const char* name) { return host<float>(std::get<Array>(inputs.at(name))); };
  const oracle::Matrix scan =
      cloud_means(host<float>(std::get<SparseTensor>(inputs.at("scan")).features()), {0, 2, 3, 4}, 4);
  const oracle::Matrix colours = cloud_means(values("camera"), {0, 48, 96, 144}, 3),
                       depths = cloud_means(values("depth"), {0, 48, 96, 144}, 1),
                       rear = cloud_means(values("rear"), {0, 24, 48, 72}, 2);
  oracle::Matrix camera(3, 4), joined(120, 11);
  const std::vector<float> points = host<float>(std::get<PointSet>(inputs.at("points")).points),
                           reflection = values("reflection");
  for (std::size_t cloud = 0; cloud < 3; ++cloud) {
    for (std::size_t c = 0; c < 4; ++c) camera.at(cloud, c) = c < 3 ? colours.at(cloud, c) : depths.at(cloud, 0);
    for (auto i = static_cast<std::size_t>(kClouds[cloud]); i < static_cast<std::size_t>(kClouds[cloud + 1]); ++i)
      for (std::size_t c = 0; c < 11; ++c)
        joined.at(i, c) = c < 3   ? static_cast<double>(points[3 * i + c])
                          : c < 5 ? static_cast<double>(reflection[2 * i + c - 3])
                          : c < 9 ? scan.at(cloud, c - 5) + camera.at(cloud, c - 5)
                                  : rear.at(cloud, c - 9);
  }
  for (const int threads : thread_counts()) {
    const Outputs found = run(net.b, inputs, threads);
    expect_near(found.at(net.joined).features, joined);
    expect_near(found.at(net.camera).features, camera);
    ASSERT_EQ(found.at(net.edges).features.shape(), (Shape{3, 2, 3, 2}));
    const std::vector<float> edges = host<float>(found.at(net.edges).features), pixels = values("rear");
    for (std::size_t i = 0; i < edges.size(); ++i) {
      const std::size_t c = i % 2, x = i / 2 % 3, y = i / 6 % 2, frame = i / 12;
      const auto pixel = [&](std::size_t dy, std::size_t dx) {
        return pixels[((frame * 4 + 2 * y + dy) * 6 + 2 * x + dx) * 2 + c];
      };
      EXPECT_EQ(edges[i], std::max({pixel(0, 0), pixel(0, 1), pixel(1, 0), pixel(1, 1)})) << i;
    }
  }
}

// A session goes on after frames of another extent, and after inputs that it refused.
TEST_P(InputsTest, InputsThatAreRefused) {
  const Fusion net;
  const Inputs good = fusion_inputs();
  Session session({net.b.graph, net.b.parameters}, Device::cpu(), 1, DType::kF32);
  const Outputs first = session.run(good);
  const auto refused = [&](const std::function<void(Inputs&)>& change, const std::vector<std::string>& parts) {
    Inputs inputs = good;
    change(inputs);
    expect_throw([&] { session.run(inputs); }, parts);
  };
  const auto with = [&](const char* name, const Input& x, const std::vector<std::string>& parts) {
    refused([&](Inputs& inputs) { inputs.insert_or_assign(name, x); }, parts);
  };
  refused([](Inputs& inputs) { inputs.erase("depth"); }, {"[run]", "\"depth\"", "missing"});
  with("lidar", numbers({3, 2}, 1), {"[run]", "no input", "\"lidar\""});
  with("scan", numbers({3, 4}, 1), {"\"scan\"", "takes voxels", "not frames"});
  with("camera", whole_tensor(3, 20, 3, 1), {"\"camera\"", "takes frames", "not voxels"});
  with("reflection", points_of({0, 120}, 3, 1), {"\"reflection\"", "rows of \"points\"", "not points"});
  with("reflection", numbers({120, 3}, 1), {"\"reflection\"", "f32 [rows, 2]", "[120, 3]"});
  with("reflection", Array({120, 2}, DType::kI32), {"\"reflection\"", "i32"});
  with("reflection", numbers({119, 2}, 1), {"\"reflection\"", "119 rows", "\"points\" has 120"});
  with("depth", numbers({3, 8, 6, 1}, 1), {"\"depth\"", "\"camera\""});
  with("depth", numbers({2, 6, 8, 1}, 1), {"\"depth\"", "96 rows", "144"});
  with("rear", numbers({3, 4, 6, 3}, 1), {"\"rear\"", "[T, H, W, 2]", "[3, 4, 6, 3]"});
  with("scan", whole_tensor(2, 20, 4, 1), {"\"scan\"", "3 axes", "on 2"});
  with("scan", whole_tensor(3, 20, 5, 1), {"\"scan\"", "4 channels", "5"});
  with("points", points_of({0, 120}, 3, 1), {"[run]", "clouds or frames", "1"});
  with("points", PointSet{numbers({120, 4}, 1), {}}, {"\"points\"", "3 channels", "[120, 4]"});
  with("scan", SparseTensor(Array::from(std::vector<std::int32_t>{3, 0, 0, 0}, {1, 4}), numbers({1, 4}, 1)),
       {"[run]", "4 batches", "3 clouds"});
  expect_throw([&] { session.run(std::get<SparseTensor>(good.at("scan"))); }, {"[run]", "6 inputs", "by name"});
  expect_throw([&] { session.forward(std::get<PointSet>(good.at("points"))); }, {"[forward]"});

  Inputs larger = good;
  larger.insert_or_assign("rear", numbers({3, 9, 8, 2}, 6));
  EXPECT_EQ(session.run(larger).at(net.edges).features.shape(), (Shape{3, 4, 4, 2}));
  for (const auto& [name, output] : session.run(good)) expect_same_bits(output.features, first.at(name).features);
}

// What works with one input only, and values that never meet.
TEST(Inputs, NetworksThatAreRefused) {
  const auto refused = [](const std::function<void(NetworkWriter&)>& change, const std::vector<std::string>& parts) {
    NetworkWriter b = two_scans(3);
    b.graph.outputs = {b.relu("before")};
    change(b);
    expect_throw([&] { check_graph(b.graph, b.parameters); }, parts);
  };
  refused([](auto& b) { b.add(kGraphInput, "before"); }, {"\"add1\"", "different coordinates"});
  refused([](auto& b) { b.input({"before", InputKind::kPoints, 3}); }, {"two inputs", "\"before\""});
  refused([](auto& b) { b.input({"relu0", InputKind::kPoints, 3}); }, {"two values", "\"relu0\""});
  refused([](auto& b) { b.input({"", InputKind::kPoints, 3}); }, {"input 3", "no name"});
  refused([](auto& b) { b.input({"late", InputKind::kVoxels, 3, "later"}); }, {"\"late\"", "\"later\"", "before"});
  refused([](auto& b) { b.input({"late", InputKind::kVoxels, 3, "late"}); }, {"\"late\"", "before it"});
  refused([](auto& b) { b.input({"late", InputKind::kVoxels, 3, "relu0"}); }, {"\"late\"", "\"relu0\""});
  refused([](auto& b) { b.input({"late", InputKind::kVoxels, 0}); }, {"\"late\"", "found 0"});
  refused([](auto& b) { b.input({"late", InputKind::kVoxels, 8193}); }, {"\"late\"", "8193"});
  refused([](auto& b) { b.input({"late", InputKind::kPoints, 2}); }, {"\"late\"", "x y z", "2"});
  refused([](auto& b) { b.graph.outputs = {"before"}; }, {"output", "\"before\""});
  refused([](auto& b) { b.graph.inputs.clear(); }, {"inputs", "found 0"});
  refused([](auto& b) { b.graph.inputs.resize(65); }, {"inputs", "65"});

  NetworkWriter b = two_scans(3);
  b.graph.outputs = {b.conv("before", 2)};
  const Model model("test", b.graph, b.parameters, std::nullopt, {});
  expect_throw([&] { Segmenter segmenter(model); }, {"[segment]", "only input", "3 input"});
  expect_throw([&] { FrameNetwork(model.network(), {}); }, {"one input", "found 3"});
  expect_throw([&] { model.with_profile(find_profile("spvnas")); }, {"[model]", "one input", "3"});
}

// The name of the only input is free, for streams, too.
TEST(Inputs, FramesByAnotherName) {
  const auto logits = [](const std::string& name) {
    NetworkWriter b(3, 2);
    b.graph.inputs = {};
    b.input({name, InputKind::kFrames, 3});
    Node& conv = b.add_node("conv2d", {name}, 4);
    conv.attributes = {{"padding", std::int64_t{1}}};
    conv.parameters = {{"weight", "w"}};
    const std::string last = conv.name;
    b.parameters.emplace("w", numbers({4, 3, 3, 3}, 1));
    b.graph.outputs = {b.add_node("avg_pool", {b.relu(last)}, 4).name};
    FrameProfile frames;
    frames.height = 8;
    frames.width = 6;
    const FrameNetwork network(Network{b.graph, b.parameters}, frames);
    FrameStream stream(network, {});
    Array frame({8, 6, 3}, DType::kU8);
    for (std::int64_t i = 0; i < frame.count(); ++i) frame.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(i * 7);
    stream.push(frame);
    return std::pair(host<float>(stream.output(b.graph.output())), network.layers().size());
  };
  const auto [usual, steps] = logits(kGraphInput);
  const auto [named, same_steps] = logits("video");
  EXPECT_EQ(usual, named);
  EXPECT_EQ(steps, same_steps);
}

}  // namespace
}  // namespace voxshift
