// The executor: the same numbers as the graph run node by node, whatever it fuses; labels of points; threads.
#include <voxshift/models/evaluate.h>
#include <voxshift/models/minkunet.h>
#include <voxshift/models/plan.h>
#include <voxshift/models/session.h>
#include <voxshift/synth/lidar.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "device_fixture.h"
#include "network_cases.h"

namespace voxshift {
namespace {

constexpr std::int64_t kChannels = 4;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

class SessionTest : public DeviceTest {
 protected:
  SparseTensor on_device(const SparseTensor& x) const {
    SparseTensor::Options options;
    options.shape = x.shape();
    return {x.coords().to(device()), x.features().to(device()), options};
  }
};

VOXSHIFT_FOR_EACH_DEVICE(SessionTest);

Model model_of(const NetworkCase& network) {
  NetworkWriter b(kChannels, network.dims);
  return b.model(network.build(b));
}

// The node-by-node run itself, against plain loops.
TEST(Evaluate, EqualsPlainLoops) {
  NetworkWriter b(kChannels);
  const std::string x = b.conv(kGraphInput, 5, cube(3, 3), true);
  const std::string sum = b.add(b.leaky_relu(b.batch_norm(x)), x);
  const Model model = b.model(b.linear(b.cat({sum, kGraphInput}), 3));
  const SparseTensor input = whole_tensor(3, 400, kChannels, 9);
  const auto matrix = [](const Array& a, std::size_t rows) {
    oracle::Matrix m(rows, static_cast<std::size_t>(a.count()) / rows);
    const auto values = host<float>(a);
    m.values.assign(values.begin(), values.end());
    return m;
  };
  const auto parameter = [&](const std::string& name) { return host<float>(model.parameters().at(name)); };
  const auto doubles = [](const std::vector<float>& v) { return std::vector<double>(v.begin(), v.end()); };

  const oracle::Coords coords = coords_of(input.coords());
  const oracle::Matrix in = matrix(input.features(), coords.size());
  const oracle::Window window = test_data::cube(3, 3);
  oracle::Matrix y = oracle::conv(in, oracle::pairs(coords, coords, window),
                                  matrix(model.parameters().at("conv0.weight"), 27 * kChannels), coords.size());
  y = oracle::plus_bias(y, doubles(parameter("conv0.bias")));
  const auto weight = parameter("batch_norm1.weight"), bias = parameter("batch_norm1.bias"),
             mean = parameter("batch_norm1.running_mean"), variance = parameter("batch_norm1.running_var");
  oracle::Matrix both(coords.size(), 9);
  for (std::size_t r = 0; r < coords.size(); ++r) {
    for (std::size_t c = 0; c < 5; ++c) {
      const double norm = (y.at(r, c) - mean[c]) / std::sqrt(double{variance[c]}) * weight[c] + bias[c];
      both.at(r, c) = (norm > 0 ? norm : 0.25 * norm) + y.at(r, c);
    }
    for (std::size_t c = 0; c < 4; ++c) both.at(r, 5 + c) = in.at(r, c);
  }
  const auto w = parameter("linear5.weight"), shift = parameter("linear5.bias");
  oracle::Matrix expected(coords.size(), 3);
  for (std::size_t r = 0; r < coords.size(); ++r)
    for (std::size_t o = 0; o < 3; ++o) {
      expected.at(r, o) = shift[o];
      for (std::size_t c = 0; c < 9; ++c) expected.at(r, o) += both.at(r, c) * w[o * 9 + c];
    }
  expect_equal(evaluate(model.graph(), model.parameters(), input), expected);
}

TEST_P(SessionTest, EqualsTheGraphNodeByNode) {
  for (const NetworkCase& network : network_cases()) {
    SCOPED_TRACE(network.name);
    const Model model = model_of(network);
    EXPECT_EQ(make_plan(model.graph(), model.parameters(), model.channels(), Device::cpu()).steps.size(),
              network.steps);
    // Large, then small, then large again in the memory of the first.
    std::vector<SparseTensor> inputs;
    const std::size_t large = emulated() ? 200 : 900;
    for (const auto& [rows, seed] : {std::pair{large, 1u}, {7, 2u}, {large, 1u}, {large / 2, 3u}})
      inputs.push_back(whole_tensor(network.dims, rows, kChannels, seed, network.with_shape));
    std::vector<Session> sessions;
    for (const int threads : thread_counts()) sessions.emplace_back(model, device(), threads, DType::kF32);
    for (const SparseTensor& x : inputs) {
      const Array expected = evaluate(model.graph(), model.parameters(), x);
      for (Session& session : sessions) expect_same_bits(session.forward(on_device(x)), expected);
    }
  }
}

TEST_P(SessionTest, StepsThatRunTogetherInManyPieces) {
  NetworkWriter b(kChannels);
  // Between two convolutions, the first of whose outputs is last needed where the second one's input begins.
  const std::string x = b.relu(b.linear(b.conv(kGraphInput, 24), 8));
  const std::string y = b.linear(b.cat({b.relu(b.linear(x, 8)), b.linear(x, 16), kGraphInput}), 24);
  const Model model = b.model(b.linear(b.add(b.relu(b.linear(b.conv(y, 4), 6)), b.linear(y, 6)), 3));
  for (const std::size_t rows : emulated() ? std::vector{300u} : std::vector{4095u, 4096u, 4097u, 13000u}) {
    const SparseTensor input = whole_tensor(3, rows, kChannels, 2);
    Session session(model, device(), 2, DType::kF32);
    expect_same_bits(session.forward(on_device(input)), evaluate(model.graph(), model.parameters(), input));
  }
}

TEST_P(SessionTest, ShuffledNodesGiveTheSame) {
  std::mt19937 random(5);
  for (const NetworkCase& network : network_cases()) {
    SCOPED_TRACE(network.name);
    const Model model = model_of(network);
    Graph shuffled = model.graph();
    std::shuffle(shuffled.nodes.begin(), shuffled.nodes.end(), random);
    const Model other("test", shuffled, model.parameters(), model.profile(), model.classes());
    const SparseTensor x = whole_tensor(network.dims, emulated() ? 100 : 400, kChannels, 4, network.with_shape);
    Session a(model, device(), 1, DType::kF32), b(other, device(), 1, DType::kF32);
    expect_same_bits(a.forward(on_device(x)), b.forward(on_device(x)));
  }
}

TEST_P(SessionTest, MinkUNetEqualsTheGraphNodeByNode) {
  // 0.64 / 4: channels that are no multiple of a vector. Folding rounds otherwise, so equal up to that.
  const Model model = Model::create({"minkunet", 0.16, 19, 3});
  const SynthScan scan = synth_lidar(9);
  const std::int64_t n = emulated() ? 500 : 10000;
  const Array points = Array::from(std::vector<float>(scan.points.begin(), scan.points.begin() + 4 * n), {n, 4});
  const SparseTensor x = voxelize(points, model.profile().voxelize).tensor;
  const Array expected = evaluate(model.graph(), model.parameters(), x);
  Session session(model, device(), 2, DType::kF32);
  const auto actual = host<float>(session.forward(on_device(x))), wanted = host<float>(expected);
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    error += std::pow(double{actual[i]} - wanted[i], 2);
    norm += std::pow(double{wanted[i]}, 2);
  }
  EXPECT_GT(norm, 0);
  EXPECT_LE(std::sqrt(error), 1e-4 * std::sqrt(norm));
  for (const int threads : thread_counts()) {
    Session other(model, device(), threads, DType::kF32);
    for (int run = 0; run < (threads == 2 ? repeats() : 1); ++run) {
      const auto again = host<float>(other.forward(on_device(x)));
      ASSERT_EQ(std::memcmp(again.data(), actual.data(), actual.size() * sizeof(float)), 0) << threads << " threads";
    }
  }
}

TEST_P(SessionTest, NoRows) {
  for (const NetworkCase& network : network_cases()) {
    SCOPED_TRACE(network.name);
    SparseTensor::Options options;
    if (network.with_shape) options.shape.emplace(SparseTensor::Extents{8, 8, 8, 8});
    const SparseTensor x(Array({0, network.dims + 1}, DType::kI32), Array({0, kChannels}, DType::kF32), options);
    const Model model = model_of(network);
    Session session(model, device(), 2, DType::kF32);
    const Array logits = session.forward(on_device(x));
    EXPECT_EQ(logits.shape(), (Shape{0, static_cast<std::int64_t>(model.classes().size())}));
  }
}

TEST_P(SessionTest, Report) {
  NetworkWriter b(kChannels);
  const std::string x = b.relu(b.conv(kGraphInput, 5));
  const Model model = b.model(b.linear(b.add(b.conv_transpose(b.conv(x, 6, 2, 2), 5), x), 3));
  const SparseTensor input = whole_tensor(3, 500, kChannels, 6);
  Session session(model, device(), 1, DType::kF32);
  session.report_layers(true);
  session.forward(on_device(input));
  const RunReport& report = session.report();
  ASSERT_EQ(report.layers.size(), 4u);
  const oracle::Coords fine = coords_of(input.coords());
  const oracle::Coords coarse = oracle::floor_outputs(fine, test_data::cube(3, 2, 2));
  const auto k3 = static_cast<std::int64_t>(oracle::pairs(fine, fine, test_data::cube(3, 3)).size());
  const auto n = static_cast<std::int64_t>(fine.size()), m = static_cast<std::int64_t>(coarse.size());
  const struct {
    const char *name, *kind;
    std::int64_t rows, in, out, pairs;
  } expected[] = {{"conv0", "conv 3x3x3", n, 4, 5, k3},
                  {"conv2", "conv 2x2x2 / 2", m, 5, 6, n},
                  {"conv_transpose3", "conv_transpose 2x2x2 / 2", n, 6, 5, n},
                  {"linear5", "linear", n, 5, 3, n}};
  std::int64_t macs = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const LayerReport& layer = report.layers[i];
    EXPECT_EQ(layer.name, expected[i].name);
    EXPECT_EQ(layer.kind, expected[i].kind);
    EXPECT_EQ(layer.rows, expected[i].rows);
    EXPECT_EQ(layer.in_channels, expected[i].in);
    EXPECT_EQ(layer.out_channels, expected[i].out);
    EXPECT_EQ(layer.pairs, expected[i].pairs);
    EXPECT_EQ(layer.macs, layer.pairs * layer.in_channels * layer.out_channels);
    macs += layer.macs;
  }
  EXPECT_EQ(report.macs, macs);
  EXPECT_EQ(report.voxels, n);
  EXPECT_GT(session.bytes(), 0u);
}

// What cannot be planned or run

TEST_P(SessionTest, PlansThatAreRefused) {
  const auto refused = [&](const std::function<std::string(NetworkWriter&)>& build,
                           const std::vector<std::string>& parts) {
    NetworkWriter b(kChannels);
    const Model model = b.model(build(b));
    expect_throw([&] { Session(model, device(), 1); }, parts);
  };
  const std::string in = kGraphInput;
  refused([&](auto& b) { return b.add(in, b.relu(b.conv(in, 4, 2, 2))); }, {"\"add2\"", "different coordinates"});
  refused([&](auto& b) { return b.add(b.conv(in, 4, 2, 2), in); }, {"different coordinates"});
  refused([&](auto& b) { return b.cat({in, b.conv(in, 4, 2, 2)}); }, {"\"cat1\"", "different coordinates"});
  refused([&](auto& b) { return b.conv_transpose(in, 4); }, {"\"conv_transpose0\"", "no convolution"});
  refused([&](auto& b) { return b.conv_transpose(b.conv(in, 4, 2, 2), 4, 3, 3); }, {"no convolution"});
  Graph frames;
  frames.input = GraphInput::kFrames;
  expect_throw([&] { make_plan(frames, {}, {}, device()); }, {"[plan]", "takes frames", "VideoStream"});
}

TEST_P(SessionTest, InputsThatAreRefused) {
  NetworkWriter b(kChannels);
  const Model model = b.model(b.conv(kGraphInput, 3));
  Session session(model, device(), 1, DType::kF32);
  expect_throw([&] { session.forward(on_device(whole_tensor(3, 9, 5, 1))); }, {"4 channels", "5"});
  expect_throw([&] { session.forward(on_device(whole_tensor(2, 9, 4, 1))); }, {"3 axes", "2"});
  expect_throw([&] { session.segment(Array({9, 2}, DType::kF32).to(device())); }, {"C >= 3", "[9, 2]"});
  expect_throw([&] { session.segment(Array({9}, DType::kF32).to(device())); }, {"[9]"});
  expect_throw([&] { session.segment(Array({9, 4}, DType::kI32).to(device())); }, {"f32", "i32"});
  // It goes on working.
  EXPECT_EQ(session.forward(on_device(whole_tensor(3, 9, 4, 1))).dim(0), 9);

  NetworkWriter flat(kChannels, 2);
  const Model flat_model = flat.model(flat.conv(kGraphInput, 3));
  Session flat_session(flat_model, device(), 1, DType::kF32);
  expect_throw([&] { flat_session.segment(Array({9, 4}, DType::kF32).to(device())); }, {"2 axes"});

  NetworkWriter coarse(kChannels);
  const Model coarse_model = coarse.model(coarse.conv(kGraphInput, 3, 2, 2));
  Session coarse_session(coarse_model, device(), 1);
  expect_throw([&] { coarse_session.forward(on_device(whole_tensor(3, 9, 4, 1))); }, {"other coordinates"});
  expect_throw([&] { coarse_session.segment(Array({9, 4}, DType::kF32).to(device())); }, {"other coordinates"});

  NetworkWriter bounded(kChannels);
  const Window w = bounded_cube(3, 3, 2, 1);
  const Model bounded_model = bounded.model(bounded.conv_transpose(bounded.conv(kGraphInput, 3, w), 3, w));
  Session bounded_session(bounded_model, device(), 1);
  bounded_session.forward(on_device(whole_tensor(3, 9, 4, 1, true)));
  expect_throw([&] { bounded_session.forward(on_device(whole_tensor(3, 9, 4, 1))); }, {"shape"});
}

// Points

/// A network of one convolution and a classifier behind the default profile.
Model point_model(std::optional<Range> range = {}) {
  NetworkWriter b(kChannels);
  Model model = b.model(b.linear(b.relu(b.conv(kGraphInput, 8)), 5));
  Profile profile = known_profiles().front();
  profile.voxelize.range = range;
  return model.with_profile(profile);
}

Array points_of(const std::vector<std::array<float, 4>>& points) {
  std::vector<float> values;
  for (const auto& p : points) values.insert(values.end(), p.begin(), p.end());
  return Array::from(values, {static_cast<std::int64_t>(points.size()), 4});
}

/// Label per point from the ops users call one by one.
std::vector<std::uint8_t> labels_of(const Model& model, const Array& points) {
  const Voxels voxels = voxelize(points, model.profile().voxelize);
  const auto logits = host<float>(evaluate(model.graph(), model.parameters(), voxels.tensor));
  const std::size_t classes = model.classes().size();
  std::vector<std::uint8_t> labels;
  for (const std::int32_t row : host<std::int32_t>(voxels.inverse)) {
    const float* first = logits.data() + static_cast<std::size_t>(std::max(row, 0)) * classes;
    labels.push_back(row < 0 ? 255 : static_cast<std::uint8_t>(std::max_element(first, first + classes) - first));
  }
  return labels;
}

TEST_P(SessionTest, SegmentLabelsEveryPoint) {
  const Model model = point_model();
  const SynthScan scan = synth_lidar(2);
  std::vector<float> values(scan.points.begin(), scan.points.begin() + 4 * 5000);
  for (std::size_t i = 0; i < values.size(); i += 4 * 97) values[i + i / 4 % 4] = i % 8 ? kNan : -kInfinity;
  const Array points = Array::from(values, {5000, 4});
  const auto expected = labels_of(model, points);
  std::vector<Segmentation> results;
  for (const int threads : thread_counts()) {
    Session session(model, device(), threads, DType::kF32);
    results.push_back(session.segment(points.to(device()), true));
    EXPECT_EQ(host<std::uint8_t>(results.back().labels), expected);
    EXPECT_EQ(session.report().points, 5000);
    EXPECT_EQ(session.report().dropped_points, 52);
    EXPECT_EQ(std::count(expected.begin(), expected.end(), 255), 52);
    expect_same_bits(results.back().scores, results.front().scores);
    EXPECT_EQ(session.segment(points.to(device())).scores.count(), 0);
  }
  const auto scores = host<float>(results[0].scores);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const float* row = scores.data() + 5 * i;
    const double sum = std::accumulate(row, row + 5, 0.0);
    EXPECT_NEAR(sum, expected[i] == 255 ? 0 : 1, 1e-6);
    if (expected[i] != 255) {
      EXPECT_EQ(std::max_element(row, row + 5) - row, expected[i]);
    }
  }
}

TEST_P(SessionTest, ScoresAreTheSoftmaxOfTheLogits) {
  NetworkWriter b(kChannels);
  b.parameters.emplace("w", Array::from(std::vector<float>{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 100}, {3, 4}));
  Node& node = b.add_node(Op::kLinear, {kGraphInput}, 3);
  node.parameters["weight"] = "w";
  const Model model = b.model(node.name);
  Session session(model, device(), 1, DType::kF32);
  const Array points = points_of({{1, 2, 0, -1}, {5, 3, 9, 1}});
  const auto scores = host<float>(session.segment(points.to(device()), true).scores);
  const double e = std::exp(1.0) + std::exp(2.0) + std::exp(-100.0);
  EXPECT_NEAR(scores[0], std::exp(1.0) / e, 1e-6);
  EXPECT_NEAR(scores[1], std::exp(2.0) / e, 1e-6);
  EXPECT_NEAR(scores[5], 1, 1e-6);  // exp(100) alone would overflow float32
}

TEST_P(SessionTest, FewPoints) {
  const Model model = point_model();
  Session session(model, device(), 2, DType::kF32);
  const auto run = [&](const std::vector<std::array<float, 4>>& points) {
    const Array array = points_of(points);
    const auto labels = host<std::uint8_t>(session.segment(array.to(device())).labels);
    EXPECT_EQ(labels, labels_of(model, array));
    return labels;
  };
  EXPECT_TRUE(run({}).empty());
  EXPECT_EQ(session.report().voxels, 0);
  EXPECT_NE(run({{1, 2, 3, 0.5f}})[0], 255);
  EXPECT_EQ(session.report().voxels, 1);
  const auto same = run(std::vector<std::array<float, 4>>(1000, {-7.01f, 2, 1, 0.25f}));
  EXPECT_EQ(session.report().voxels, 1);
  EXPECT_EQ(std::count(same.begin(), same.end(), same[0]), 1000);
  const auto none = run({{kNan, 0, 0, 0}, {0, kInfinity, 0, 0}, {0, 0, -kInfinity, 0}, {0, 0, 0, kNan}});
  EXPECT_EQ(none, std::vector<std::uint8_t>(4, 255));
  EXPECT_EQ(session.report().dropped_points, 4);
  EXPECT_EQ(session.report().voxels, 0);
  EXPECT_EQ(run({{kNan, 0, 0, 0}, {1, 1, 1, 1}})[0], 255);
}

TEST_P(SessionTest, FarPoints) {
  const Model model = point_model();
  Session session(model, device(), 2, DType::kF32);
  const auto run = [&](const std::vector<std::array<float, 4>>& points) {
    return host<std::uint8_t>(session.segment(points_of(points).to(device())).labels);
  };
  // One far point, and two that are 1000 km apart on one axis, fit into a key.
  EXPECT_NE(run({{1e6f, 1e6f, 1e6f, 0}})[0], 255);
  EXPECT_EQ(run({{0, 0, 0, 0}, {1e6f, 0, 0, 0}}).size(), 2u);
  // On three axes they do not, and a cell beyond 2^30 is beyond every key: dropped where points are looked at first.
  if (device() == Device::cpu()) {
    EXPECT_EQ(run({{1, 0, 0, 0}, {0, 0, 0, 0}, {1e6f, 1e6f, 1e6f, 0}})[2], 255);
    EXPECT_EQ(run({{1, 0, 0, 0}, {0, 0, 0, 0}, {1e9f, 0, 0, 0}})[2], 255);
    EXPECT_EQ(session.report().dropped_points, 1);
  } else {
    expect_throw([&] { run({{0, 0, 0, 0}, {1e6f, 1e6f, 1e6f, 0}}); }, {"bits", "range"});
    expect_throw([&] { run({{0, 0, 0, 0}, {1e9f, 0, 0, 0}}); }, {"2^30 cells", "range"});
  }
  expect_throw([&] { run({{3e38f, 0, 0, 0}}); }, {"2^30 cells"});
  // The session goes on working.
  EXPECT_NE(run({{1, 2, 3, 0.5f}})[0], 255);

  const Model ranged = point_model(Range{{-50, -50, -4}, {50, 50, 2}});
  Session in_range(ranged, device(), 1, DType::kF32);
  const auto labels = host<std::uint8_t>(
      in_range.segment(points_of({{0, 0, 0, 0}, {1e6f, 1e6f, 1e6f, 0}, {3e38f, 0, 0, 0}}).to(device())).labels);
  EXPECT_NE(labels[0], 255);
  EXPECT_EQ(labels[1], 255);
  EXPECT_EQ(labels[2], 255);
  EXPECT_EQ(in_range.report().dropped_points, 2);
}

TEST_P(SessionTest, MoreColumnsThanChannels) {
  const Model model = point_model();
  Session session(model, device(), 1, DType::kF32);
  const std::vector<float> six{1, 2, 3, 0.5f, 7, 8, 1, 2.5f, 3, 0.25f, 9, 10};
  const auto a = host<std::uint8_t>(session.segment(Array::from(six, {2, 6}).to(device())).labels);
  const auto b =
      host<std::uint8_t>(session.segment(points_of({{1, 2, 3, 0.5f}, {1, 2.5f, 3, 0.25f}}).to(device())).labels);
  EXPECT_EQ(a, b);
}

TEST_P(SessionTest, FeaturesAreScaledAndLabelsDoNotDependOnOtherScans) {
  NetworkWriter b(kChannels);
  const Model plain = b.model(b.linear(b.conv(kGraphInput, 8), 5));
  Profile scaled = plain.profile();
  scaled.scale = {0.5f, 1, 2, 0.25f};
  Session session(plain.with_profile(scaled), device(), 1, DType::kF32);
  Session other(plain, device(), 1, DType::kF32);
  const SynthScan scan = synth_lidar(4);
  const Array points = Array::from(std::vector<float>(scan.points.begin(), scan.points.begin() + 4 * 3000), {3000, 4});
  const Voxels voxels = voxelize(points, scaled.voxelize);
  auto features = host<float>(voxels.tensor.features());
  for (std::size_t i = 0; i < features.size(); ++i) features[i] *= scaled.scale[i % 4];
  const auto logits = host<float>(
      other.forward(on_device(voxels.tensor.with_features(Array::from(features, {voxels.tensor.size(), 4})))));
  const auto inverse = host<std::int32_t>(voxels.inverse);
  const auto first = host<std::uint8_t>(session.segment(points.to(device())).labels);
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    const float* row = logits.data() + static_cast<std::size_t>(inverse[i]) * 5;
    ASSERT_EQ(first[i], std::max_element(row, row + 5) - row) << i;
  }
  const std::int64_t many = emulated() ? 6000 : static_cast<std::int64_t>(scan.labels.size());
  session.segment(
      Array::from(std::vector<float>(scan.points.begin(), scan.points.begin() + 4 * many), {many, 4}).to(device()));
  EXPECT_EQ(host<std::uint8_t>(session.segment(points.to(device())).labels), first);
}

}  // namespace
}  // namespace voxshift
