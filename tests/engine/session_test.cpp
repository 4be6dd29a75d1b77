// The executor: the same numbers as the graph run node by node, whatever it fuses; threads.
#include <voxshift/engine/evaluate.h>
#include <voxshift/engine/plan.h>
#include <voxshift/engine/session.h>
#include <voxshift/networks/minkunet.h>
#include <voxshift/synth/lidar.h>

#include <cmath>
#include <numeric>
#include <random>

#include "device_fixture.h"
#include "network_cases.h"

namespace voxshift {
namespace {

constexpr std::int64_t kChannels = 4;

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
    EXPECT_EQ(make_plan(model.graph(), model.parameters(), Device::cpu()).steps.size(), network.steps);
    // Large, then small, then large again in the memory of the first.
    std::vector<SparseTensor> inputs;
    const std::size_t large = emulated() ? 200 : 900;
    for (const auto& [rows, seed] : {std::pair{large, 1u}, {7, 2u}, {large, 1u}, {large / 2, 3u}})
      inputs.push_back(whole_tensor(network.dims, rows, kChannels, seed, network.with_shape));
    std::vector<Session> sessions;
    for (const int threads : thread_counts()) sessions.emplace_back(model.network(), device(), threads, DType::kF32);
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
    Session session(model.network(), device(), 2, DType::kF32);
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
    const Model other("test", shuffled, model.parameters(), model.own_profile(), model.classes());
    const SparseTensor x = whole_tensor(network.dims, emulated() ? 100 : 400, kChannels, 4, network.with_shape);
    Session a(model.network(), device(), 1, DType::kF32), b(other.network(), device(), 1, DType::kF32);
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
  Session session(model.network(), device(), 2, DType::kF32);
  const auto actual = host<float>(session.forward(on_device(x))), wanted = host<float>(expected);
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    error += std::pow(double{actual[i]} - wanted[i], 2);
    norm += std::pow(double{wanted[i]}, 2);
  }
  EXPECT_GT(norm, 0);
  EXPECT_LE(std::sqrt(error), 1e-4 * std::sqrt(norm));
  for (const int threads : thread_counts()) {
    Session other(model.network(), device(), threads, DType::kF32);
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
    Session session(model.network(), device(), 2, DType::kF32);
    const Array logits = session.forward(on_device(x));
    EXPECT_EQ(logits.shape(), (Shape{0, static_cast<std::int64_t>(model.classes().size())}));
  }
}

TEST_P(SessionTest, Report) {
  NetworkWriter b(kChannels);
  const std::string x = b.relu(b.conv(kGraphInput, 5));
  const Model model = b.model(b.linear(b.add(b.conv_transpose(b.conv(x, 6, 2, 2), 5), x), 3));
  const SparseTensor input = whole_tensor(3, 500, kChannels, 6);
  Session session(model.network(), device(), 1, DType::kF32);
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
    b.graph.outputs = {build(b)};
    expect_throw([&] { Session({b.graph, b.parameters}, device(), 1); }, parts);
  };
  const std::string in = kGraphInput;
  refused([&](auto& b) { return b.add(in, b.relu(b.conv(in, 4, 2, 2))); }, {"\"add2\"", "different coordinates"});
  refused([&](auto& b) { return b.add(b.conv(in, 4, 2, 2), in); }, {"different coordinates"});
  refused([&](auto& b) { return b.cat({in, b.conv(in, 4, 2, 2)}); }, {"\"cat1\"", "different coordinates"});
  refused([&](auto& b) { return b.conv_transpose(in, 4); }, {"\"conv_transpose0\"", "no convolution"});
  refused([&](auto& b) { return b.conv_transpose(b.conv(in, 4, 2, 2), 4, 3, 3); }, {"no convolution"});
  Graph frames;
  frames.inputs.front().kind = InputKind::kFrames;
  expect_throw([&] { make_plan(frames, {}, device()); }, {"[plan]", "takes frames", "extent"});
}

TEST_P(SessionTest, InputsThatAreRefused) {
  NetworkWriter b(kChannels);
  const Model model = b.model(b.conv(kGraphInput, 3));
  Session session(model.network(), device(), 1, DType::kF32);
  expect_throw([&] { session.forward(on_device(whole_tensor(3, 9, 5, 1))); }, {"4 channels", "5"});
  expect_throw([&] { session.forward(on_device(whole_tensor(2, 9, 4, 1))); }, {"3 axes", "2"});
  // It goes on working.
  EXPECT_EQ(session.forward(on_device(whole_tensor(3, 9, 4, 1))).dim(0), 9);

  NetworkWriter bounded(kChannels);
  const Window w = bounded_cube(3, 3, 2, 1);
  const Model bounded_model = bounded.model(bounded.conv_transpose(bounded.conv(kGraphInput, 3, w), 3, w));
  Session bounded_session(bounded_model.network(), device(), 1);
  bounded_session.forward(on_device(whole_tensor(3, 9, 4, 1, true)));
  expect_throw([&] { bounded_session.forward(on_device(whole_tensor(3, 9, 4, 1))); }, {"shape"});
}

}  // namespace
}  // namespace voxshift
