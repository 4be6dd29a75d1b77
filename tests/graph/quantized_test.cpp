// Graphs with values and weights of i8: what is checked, and the f32 network that such a one stands for.
#include <voxshift/graph/quantized.h>

#include <limits>

#include "device_fixture.h"
#include "quantized_networks.h"

namespace voxshift {
namespace {

// input -> conv (f32) -> relu -> conv (i8) -> relu -> linear (i8)
struct SmallNetwork : NetworkWriter {
  SmallNetwork() : NetworkWriter(3) {
    first = relu(conv(kGraphInput, 5));
    second = conv(first, 7, cube(3, 3), true);
    last = linear(relu(second), 4);
    graph.outputs = {last};
    set_scale(*this, first, {0.5f});
    set_scale(*this, graph.nodes[3].name, {0.25f, 1, 2, 4, 1, 1, 8});
    make_i8(*this, second, 1);
    make_i8(*this, last, 2);
  }
  std::string first, second, last;

  void refused(const std::vector<std::string>& parts) {
    Graph copy = graph;
    expect_throw([&] { check_graph(copy, parameters); }, parts);
  }
};

TEST(QuantizedGraph, IsChecked) {
  SmallNetwork b;
  check_graph(b.graph, b.parameters);
  EXPECT_TRUE(is_quantized(b.graph));
  EXPECT_EQ(scale_tensors(b.graph).size(), 4u);
}

TEST(QuantizedGraph, RefusesScalesThatAreNone) {
  for (const float bad :
       {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e-40f}) {
    SmallNetwork value, weight;
    set_scale(value, value.first, {bad});
    value.refused({"the scale of value \"" + value.first + "\"", "above 0"});
    weight.parameters.at(weight.second + ".weight_scale").data<float>()[3] = bad;
    weight.refused({"the scale of node \"" + weight.second + "\"", "above 0"});
  }
  SmallNetwork b;
  set_scale(b, b.first, {1, 2});
  b.refused({b.first, "expects f32 [5], found f32 [2]"});
  set_scale(b, "absent", {1});
  b.refused({"absent", "no node gives"});
}

TEST(QuantizedGraph, RefusesWeightsThatDoNotFit) {
  SmallNetwork unscaled;
  unscaled.graph.scales.erase(unscaled.first);
  unscaled.refused({unscaled.second, unscaled.first, "has no scale"});

  SmallNetwork lowest;
  lowest.parameters.at(lowest.last + ".weight").data<std::int8_t>()[5] = -128;
  lowest.refused({lowest.last, "-127 to 127, found -128"});

  SmallNetwork plain;  // a weight of i8 without its scale, and the other way round
  plain.graph.nodes[2].parameters.erase("weight_scale");
  plain.refused({plain.second + ".weight", "expects f32", "found i8"});
  SmallNetwork wide;
  wide.parameters.at(wide.second + ".weight") = Array({27, 5, 7}, DType::kF32);
  wide.refused({wide.second + ".weight", "expects i8", "found f32"});

  SmallNetwork input;
  set_scale(input, kGraphInput, {1});
  input.refused({"input", "inputs are f32"});
}

// What could leave int32 is found before anything is summed.
TEST(QuantizedGraph, RefusesSumsBeyondInt32) {
  NetworkWriter b(4);
  const std::string x = b.linear(kGraphInput, 40), y = b.conv(x, 1, cube(3, 15));
  b.graph.outputs = {b.linear(y, 2)};
  set_scale(b, x, {1});
  make_i8(b, y, 1);
  Graph graph = b.graph;
  expect_throw([&] { check_graph(graph, b.parameters); }, {y, "sums 135000 products of i8, at most 133144"});
}

TEST(QuantizedGraph, StandsForAnF32Network) {
  const SmallNetwork b;
  const Network plain = dequantized({b.graph, b.parameters});
  EXPECT_FALSE(is_quantized(plain.graph));
  EXPECT_EQ(plain.parameters.size(), b.parameters.size() - 4);
  const auto expect_weight = [&](const std::string& node, std::int64_t in, std::int64_t out, bool out_first,
                                 const std::vector<float>& scales) {
    const Array& whole = b.parameters.at(node + ".weight");
    const Array& found = plain.parameters.at(node + ".weight");
    ASSERT_EQ(found.shape(), whole.shape());
    const auto* multiplier = b.parameters.at(node + ".weight_scale").data<float>();
    for (std::int64_t e = 0; e < whole.count(); ++e) {
      const std::int64_t o = out_first ? e / in : e % out, i = out_first ? e % in : e / out % in;
      const float s = scales[scales.size() == 1 ? 0 : static_cast<std::size_t>(i)];
      EXPECT_FLOAT_EQ(found.data<float>()[e], static_cast<float>(whole.data<std::int8_t>()[e]) * multiplier[o] / s);
    }
  };
  expect_weight(b.second, 5, 7, false, {0.5f});
  expect_weight(b.last, 7, 4, true, {0.25f, 1, 2, 4, 1, 1, 8});
}

TEST(QuantizedGraph, GoesThroughText) {
  const SmallNetwork b;
  const Graph back = graph_from_text(to_text(b.graph));
  EXPECT_EQ(back.scales, b.graph.scales);
  EXPECT_EQ(to_text(back), to_text(b.graph));
}

}  // namespace
}  // namespace voxshift
