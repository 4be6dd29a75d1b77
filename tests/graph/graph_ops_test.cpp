// Ops of graphs that are a function of numbers, rows or windows, against plain loops in double; several outputs.
#include <voxshift/engine/session.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "device_fixture.h"
#include "networks.h"

namespace voxshift {
namespace {

using Row = std::vector<double>;

constexpr std::int64_t kChannels = 5;

class GraphOpsTest : public DeviceTest {
 protected:
  static constexpr double kTolerance = 1e-6;

  SparseTensor on_device(const SparseTensor& x) const { return x.to(device()); }

  /// The outputs of a graph on x.
  Outputs run(const NetworkWriter& b, const SparseTensor& x) const {
    Session session({b.graph, b.parameters}, device(), 2, DType::kF32);
    return session.run(on_device(x));
  }
};
VOXSHIFT_FOR_EACH_DEVICE(GraphOpsTest);

/// A tensor of two clouds with features between -4 and 4.
SparseTensor cloud() {
  std::vector<std::int32_t> coords;
  std::vector<float> features;
  std::mt19937 random(3);
  for (std::int32_t batch = 0; batch < 2; ++batch)
    for (std::int32_t i = 0; i < 40 + 20 * batch; ++i) {
      coords.insert(coords.end(), {batch, i % 5, i / 5 % 4, i / 20});
      for (std::int64_t c = 0; c < kChannels; ++c)
        features.push_back(static_cast<float>(static_cast<int>(random() % 800) - 400) / 100);
    }
  const auto n = static_cast<std::int64_t>(coords.size() / 4);
  return {Array::from(coords, {n, 4}), Array::from(features, {n, kChannels}), {}};
}

std::vector<Row> rows_of_values(const Array& array) {
  const auto values = host<float>(array);
  const auto width = static_cast<std::size_t>(array.dim(1));
  std::vector<Row> rows;
  for (std::size_t i = 0; i < values.size(); i += width) rows.emplace_back(&values[i], &values[i] + width);
  return rows;
}

void expect_near(const std::vector<Row>& found, const std::vector<Row>& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].size(), expected[i].size());
    for (std::size_t c = 0; c < found[i].size(); ++c) {
      if (std::isnan(expected[i][c])) {
        EXPECT_TRUE(std::isnan(found[i][c])) << i << ", " << c;
      } else {
        EXPECT_NEAR(found[i][c], expected[i][c], tolerance * (1 + std::abs(expected[i][c]))) << i << ", " << c;
      }
    }
  }
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double hard(double x) { return std::min(std::max(x + 3, 0.0), 6.0) / 6; }

TEST_P(GraphOpsTest, FunctionsOfNumbers) {
  struct Case {
    const char* op;
    Attributes attributes;
    std::function<double(double)> f;
  };
  const double pi = std::acos(-1.0);
  const std::vector<Case> cases{
      {"sigmoid", {}, sigmoid},
      {"tanh", {}, [](double x) { return std::tanh(x); }},
      {"elu", {}, [](double x) { return x > 0 ? x : std::exp(x) - 1; }},
      {"elu", {{"alpha", 0.5}}, [](double x) { return x > 0 ? x : 0.5 * (std::exp(x) - 1); }},
      {"gelu", {}, [](double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); }},
      {"gelu",
       {{"approximate", "tanh"}},
       [=](double x) { return x / 2 * (1 + std::tanh(std::sqrt(2 / pi) * (x + 0.044715 * x * x * x))); }},
      {"silu", {}, [](double x) { return x * sigmoid(x); }},
      {"hard_sigmoid", {}, hard},
      {"hard_swish", {}, [](double x) { return x * hard(x); }},
      {"clip", {{"lowest", -1.5}, {"highest", 2.0}}, [](double x) { return std::min(std::max(x, -1.5), 2.0); }},
      {"clip", {{"lowest", 0.5}}, [](double x) { return std::max(x, 0.5); }},
      {"power", {{"exponent", 3.0}}, [](double x) { return x * x * x; }},
      {"power", {{"exponent", 0.5}}, [](double x) { return std::sqrt(x); }},  // NaN of negative numbers
      {"relu", {}, [](double x) { return std::max(x, 0.0); }},
      {"leaky_relu", {{"slope", 0.2}}, [](double x) { return x > 0 ? x : 0.2 * x; }}};
  const SparseTensor x = cloud();
  const std::vector<Row> in = rows_of_values(x.features());
  for (const Case& c : cases) {
    SCOPED_TRACE(c.op);
    NetworkWriter b(kChannels);
    Node& node = b.add_node(c.op, {kGraphInput}, kChannels);
    node.attributes = c.attributes;
    b.graph.outputs = {node.name};
    std::vector<Row> expected = in;
    for (Row& row : expected) std::transform(row.begin(), row.end(), row.begin(), c.f);
    expect_near(rows_of_values(run(b, x).at(b.graph.output()).features), expected, kTolerance);
  }
}

TEST_P(GraphOpsTest, FunctionsOfRows) {
  const SparseTensor x = cloud();
  const std::vector<Row> in = rows_of_values(x.features());
  const std::vector<float> weight{1, -2, 0.5f, 3, 0.25f}, bias{0, 1, 2, -1, 4};
  NetworkWriter b(kChannels);
  b.parameters = {{"weight", Array::from(weight, {kChannels})},
                  {"bias", Array::from(bias, {kChannels})},
                  {"one", Array::from(std::vector<float>{0.125f}, {1})}};
  const auto add = [&](const char* op, std::map<std::string, std::string> parameters, Attributes attributes) {
    Node& node = b.add_node(op, {kGraphInput}, kChannels);
    node.parameters = std::move(parameters);
    node.attributes = std::move(attributes);
    b.graph.outputs.push_back(node.name);
    return node.name;
  };
  const std::string softmax = add("softmax", {}, {}), logs = add("log_softmax", {}, {}),
                    unit = add("l2_normalize", {}, {}), least = add("l2_normalize", {}, {{"eps", 5.0}}),
                    norm = add("layer_norm", {{"weight", "weight"}, {"bias", "bias"}}, {{"eps", 0.5}}),
                    prelu = add("prelu", {{"weight", "weight"}}, {}), same = add("prelu", {{"weight", "one"}}, {});
  std::map<std::string, std::vector<Row>> expected;
  for (const Row& row : in) {
    double sum = 0, mean = 0, squares = 0, variance = 0;
    for (const double v : row) sum += std::exp(v), mean += v / kChannels, squares += v * v;
    for (const double v : row) variance += (v - mean) * (v - mean) / kChannels;
    Row e(row.size()), g = e, u = e, l = e, n = e, p = e, s = e;
    for (std::size_t c = 0; c < row.size(); ++c) {
      e[c] = std::exp(row[c]) / sum;
      g[c] = row[c] - std::log(sum);
      u[c] = row[c] / std::sqrt(squares);
      l[c] = row[c] / std::max(std::sqrt(squares), 5.0);
      n[c] = (row[c] - mean) / std::sqrt(variance + 0.5) * weight[c] + bias[c];
      p[c] = row[c] > 0 ? row[c] : row[c] * weight[c];
      s[c] = row[c] > 0 ? row[c] : row[c] / 8;
    }
    expected[softmax].push_back(e);
    expected[logs].push_back(g);
    expected[unit].push_back(u);
    expected[least].push_back(l);
    expected[norm].push_back(n);
    expected[prelu].push_back(p);
    expected[same].push_back(s);
  }
  const Outputs outputs = run(b, x);
  ASSERT_EQ(outputs.size(), expected.size());
  for (const auto& [name, rows] : expected) {
    SCOPED_TRACE(name);
    expect_near(rows_of_values(outputs.at(name).features), rows, kTolerance);
  }
}

TEST_P(GraphOpsTest, ProductsAndDifferences) {
  const SparseTensor x = cloud();
  NetworkWriter b(kChannels);
  const std::string y = b.leaky_relu(kGraphInput);
  const std::string product = b.add_node("multiply", {y, kGraphInput}, kChannels).name;
  const std::string difference = b.add_node("subtract", {y, kGraphInput}, kChannels).name;
  b.graph.outputs = {product, difference};
  std::vector<Row> products = rows_of_values(x.features()), differences = products;
  for (Row& row : products)
    for (double& v : row) v *= v > 0 ? v : v / 4;
  for (Row& row : differences)
    for (double& v : row) v = v > 0 ? 0 : v / 4 - v;
  const Outputs outputs = run(b, x);
  expect_near(rows_of_values(outputs.at(product).features), products, kTolerance);
  expect_near(rows_of_values(outputs.at(difference).features), differences, kTolerance);
}

TEST_P(GraphOpsTest, PoolingOfWindowsAndClouds) {
  const SparseTensor x = cloud();
  const auto coords = coords_of(x.coords());
  const std::vector<Row> in = rows_of_values(x.features());
  // Members of every output, and what becomes of them.
  const auto pooled = [&](const std::function<oracle::Coords::value_type(oracle::Coords::value_type)>& cell,
                          const std::string& reduce) {
    std::map<oracle::Coords::value_type, std::vector<Row>> members;
    for (std::size_t i = 0; i < in.size(); ++i) members[cell(coords[i])].push_back(in[i]);
    std::vector<Row> result;
    for (const auto& [key, rows] : members) {
      Row out = rows[0];
      for (std::size_t r = 1; r < rows.size(); ++r)
        for (std::size_t c = 0; c < out.size(); ++c)
          out[c] = reduce == "max" ? std::max(out[c], rows[r][c]) : out[c] + rows[r][c];
      for (double& v : out) v /= reduce == "mean" ? static_cast<double>(rows.size()) : 1;
      result.push_back(out);
    }
    return result;
  };
  const auto half = [](oracle::Coords::value_type c) {
    for (std::size_t axis = 1; axis < c.size(); ++axis) c[axis] /= 2;
    return c;
  };
  const auto batch = [](oracle::Coords::value_type c) {
    std::fill(c.begin() + 1, c.end(), 0);
    return c;
  };
  for (const char* reduce : {"max", "mean", "sum"}) {
    SCOPED_TRACE(reduce);
    NetworkWriter b(kChannels);
    Node& window = b.add_node("pool", {kGraphInput}, kChannels);
    window.attributes = {{"kernel_size", std::int64_t{2}}, {"stride", std::int64_t{2}}, {"reduce", reduce}};
    const std::string name = window.name;
    const std::string op = std::string(reduce) == "mean" ? "avg_pool" : std::string(reduce) + "_pool";
    const std::string all = b.add_node(op, {kGraphInput}, kChannels).name;
    const std::string back = b.add_node("broadcast", {all, kGraphInput}, kChannels).name;
    b.graph.outputs = {name, all, back};
    const Outputs outputs = run(b, x);
    const std::vector<Row> clouds = pooled(batch, reduce);
    expect_near(rows_of_values(outputs.at(name).features), pooled(half, reduce), kTolerance);
    expect_near(rows_of_values(outputs.at(all).features), clouds, kTolerance);
    std::vector<Row> repeated;
    for (const auto& c : coords) repeated.push_back(clouds[static_cast<std::size_t>(c[0])]);
    expect_near(rows_of_values(outputs.at(back).features), repeated, kTolerance);
    // The coordinates of each output are at hand.
    std::set<oracle::Coords::value_type> cells;
    for (const auto& c : coords) cells.insert(half(c));
    EXPECT_EQ(coords_of(outputs.at(name).coords), oracle::Coords(cells.begin(), cells.end()));
    EXPECT_EQ(coords_of(outputs.at(back).coords), coords);
    EXPECT_EQ(outputs.at(all).coords.count(), 0);
  }
}

// Values that are outputs are handed out whole, wherever they lie inside the network.
TEST_P(GraphOpsTest, OutputsInsideTheNetwork) {
  const SparseTensor x = cloud();
  NetworkWriter b(kChannels);
  const std::string first = b.conv(kGraphInput, 6), second = b.relu(first), part = b.linear(kGraphInput, 3);
  const std::string both = b.cat({second, part}), last = b.conv(both, 4);
  const auto with = [&](std::vector<std::string> outputs) {
    b.graph.outputs = std::move(outputs);
    return run(b, x);
  };
  const Outputs together = with({last, first, part, both, second});
  ASSERT_EQ(together.size(), 5u);
  for (const std::string& name : {first, second, part, both, last}) {
    SCOPED_TRACE(name);
    expect_same_bits(together.at(name).features, with({name}).at(name).features);
  }
  b.graph.outputs = {first, last};
  Session session({b.graph, b.parameters}, device(), 1, DType::kF32);
  expect_throw([&] { session.forward(on_device(x)); }, {"[forward]", "2 outputs", "run"});
  EXPECT_EQ(session.run(on_device(x)).size(), 2u);  // it goes on working
}

TEST_P(GraphOpsTest, EmptyTensors) {
  const SparseTensor none(Array({0, 4}, DType::kI32), Array({0, kChannels}, DType::kF32), {});
  NetworkWriter b(kChannels);
  Node& window = b.add_node("pool", {kGraphInput}, kChannels);
  window.attributes = {{"kernel_size", std::int64_t{2}}, {"stride", std::int64_t{2}}};
  const std::string pooled = window.name, all = b.add_node("max_pool", {pooled}, kChannels).name;
  const std::string soft = b.add_node("softmax", {all}, kChannels).name;
  b.graph.outputs = {pooled, soft};
  const Outputs outputs = run(b, none);
  EXPECT_EQ(outputs.at(pooled).features.shape(), (Shape{0, kChannels}));
  EXPECT_EQ(outputs.at(soft).features.shape(), (Shape{0, kChannels}));
}

// More than memory: an error before anything is allocated.
TEST_P(GraphOpsTest, ImagesBeyondMemory) {
  NetworkWriter b(kChannels);
  Node& view = b.add_node("bird_eye_view", {kGraphInput}, 4096);
  view.attributes = {{"shape", PerAxis{4096, 4096, 800}}};
  b.graph.outputs = {view.name};
  Session session({b.graph, b.parameters}, device(), 1, DType::kF32);
  expect_throw([&] { session.run(on_device(cloud())); }, {"[run]", "33554432", "4000"});
}

TEST(GraphOps, Refused) {
  const auto refused = [](const char* op, Attributes attributes, const std::vector<std::string>& parts) {
    NetworkWriter b(kChannels);
    Node& node = b.add_node(op, {kGraphInput}, kChannels);
    node.attributes = std::move(attributes);
    b.graph.outputs = {node.name};
    expect_throw([&] { check_graph(b.graph, b.parameters); }, parts);
  };
  refused("clip", {{"lowest", 2.0}, {"highest", 1.0}}, {"\"clip0\"", "at least lowest", "1 and 2"});
  refused("power", {}, {"\"power0\"", "lacks exponent"});
  refused("power", {{"exponent", "two"}}, {"\"power0\"", "exponent", "a number", "\"two\""});
  refused("gelu", {{"approximate", "erf"}}, {"\"gelu0\"", "none or tanh", "\"erf\""});
  refused("pool", {{"reduce", "median"}}, {"\"pool0\"", "max or mean or sum", "\"median\""});
  refused("layer_norm", {}, {"\"layer_norm0\"", "weight"});
  NetworkWriter b(kChannels);
  const std::string coarse = b.conv(kGraphInput, kChannels, 2, 2);
  b.graph.outputs = {b.add_node("multiply", {coarse, kGraphInput}, kChannels).name};
  expect_throw([&] { check_graph(b.graph, b.parameters); }, {"\"multiply1\"", "different coordinates", "\"conv0\""});
}

}  // namespace
}  // namespace voxshift
