// Networks with values of i8 from end to end, to the bit of plain loops that round as tensor/narrow.h says.
#include <voxshift/engine/session.h>

#include <cmath>
#include <map>

#include "quantized_networks.h"
#include "voxel_loops.h"

namespace voxshift {
namespace {

class QuantizedNetworkTest : public VoxelGraphTest {
 protected:
  Outputs run_i8(const NetworkWriter& b, const SparseTensor& x, int threads = 2) const {
    return run(b, x, threads, DType::kI8);
  }
};
VOXSHIFT_FOR_EACH_DEVICE(QuantizedNetworkTest);

// Rows of f32 as loops hold them, and what whole numbers of a value stand for.
struct Rows {
  oracle::Coords coords;
  std::size_t channels;
  std::vector<float> values;

  float at(std::size_t row, std::size_t c) const { return values[row * channels + c]; }
};

float rounded(float x, float scale) {
  const float inverse = 1.0f / scale, product = x * inverse;
  return std::min(127.0f, std::max(-127.0f, std::nearbyint(product)));
}

// A value of i8: whole numbers, and the scale of each channel.
struct Wholes {
  Rows rows;
  std::vector<float> scale;

  float real(std::size_t row, std::size_t c) const { return rows.at(row, c) * scale[c]; }
};

std::vector<float> numbers(const NetworkWriter& b, const std::string& tensor) {
  return host<float>(b.parameters.at(tensor));
}

std::vector<float> scale_of(const NetworkWriter& b, const std::string& value, std::size_t channels) {
  const std::vector<float> scale = numbers(b, b.graph.scales.at(value));
  return scale.size() == 1 ? std::vector<float>(channels, scale[0]) : scale;
}

Wholes whole(const NetworkWriter& b, const std::string& value, const Rows& x) {
  Wholes result{x, scale_of(b, value, x.channels)};
  for (std::size_t i = 0; i < x.values.size(); ++i)
    result.rows.values[i] = rounded(x.values[i], result.scale[i % x.channels]);
  return result;
}

// float(q) * m + b + residual, then relu where it is wanted.
Rows product(const NetworkWriter& b, const std::string& node, const Wholes& x, const oracle::Coords& coords,
             const Window& window, bool transposed, const Wholes* residual, bool relu) {
  const Array& weight = b.parameters.at(node + ".weight");
  const auto* w = weight.data<std::int8_t>();
  const bool is_linear = weight.rank() == 2;
  const std::size_t in = x.rows.channels, out = static_cast<std::size_t>(is_linear ? weight.dim(0) : weight.dim(2));
  std::vector<double> sums(coords.size() * out);
  const oracle::Window seen = oracle_window(window);
  const auto list = transposed ? oracle::swapped(oracle::pairs(coords, x.rows.coords, seen))
                               : oracle::pairs(x.rows.coords, coords, seen);
  for (const auto& pair : list)
    for (std::size_t i = 0; i < in; ++i)
      for (std::size_t o = 0; o < out; ++o) {
        const double n = is_linear ? w[o * in + i] : w[(pair.k * in + i) * out + o];
        sums[pair.out * out + o] += n * static_cast<double>(x.rows.at(pair.in, i));
      }
  const std::vector<float> multiplier = numbers(b, node + ".weight_scale");
  const bool has_bias = b.parameters.contains(node + ".bias");
  const std::vector<float> bias = has_bias ? numbers(b, node + ".bias") : std::vector<float>(out, 0.0f);
  Rows result{coords, out, std::vector<float>(sums.size())};
  for (std::size_t e = 0; e < sums.size(); ++e) {
    const float scaled = static_cast<float>(sums[e]) * multiplier[e % out];
    float y = scaled + bias[e % out];
    if (residual != nullptr) y = y + residual->real(e / out, e % out);
    result.values[e] = relu ? std::max(y, 0.0f) : y;
  }
  return result;
}

// A small U-net: the first convolution reads f32, the rest is i8; one residual, one concatenation whose parts have
// other scales.
TEST_P(QuantizedNetworkTest, EqualsPlainLoopsToTheBit) {
  NetworkWriter b(4);
  const Window same = cube(3, 3), half = cube(3, 2, 2);
  const std::string stem = b.relu(b.conv(kGraphInput, 9, same)), down = b.conv(stem, 18, half, true),
                    low = b.relu(down), inner = b.conv(low, 18, same, true), sum = b.relu(b.add(inner, low)),
                    up = b.conv_transpose(sum, 7, half), both = b.cat({up, stem}), out = b.conv(both, 33, same, true),
                    wide = b.relu(out), last = b.linear(wide, 5);
  b.graph.outputs = {last};
  set_scale(b, stem, {0.7f});
  set_scale(b, low, {0.031f});
  set_scale(b, sum, {0.045f});
  set_scale(b, up, {0.05f});
  std::vector<float> parts(7, 0.05f);
  parts.resize(16, 0.7f);
  set_scale(b, both, parts);
  set_scale(b, wide, {0.11f});
  unsigned seed = 0;
  for (const std::string& node : {down, inner, up, out, last}) make_i8(b, node, ++seed);

  const SparseTensor x = whole_tensor(3, rows(), 4, 5, true);
  const PlainTensor in = voxels_of(x);
  const PlainTensor first = convolved(in, in.coords, same, false, full_weight(b, "conv0"));
  Rows stem_rows{in.coords, 9, {}};
  for (const double y : first.features.values) stem_rows.values.push_back(std::max(static_cast<float>(y), 0.0f));
  const Wholes stem_wholes = whole(b, stem, stem_rows);
  const oracle::Coords halves = oracle::floor_outputs(in.coords, oracle_window(half));
  const Wholes low_wholes = whole(b, low, product(b, down, stem_wholes, halves, half, false, nullptr, true));
  const Wholes sums = whole(b, sum, product(b, inner, low_wholes, halves, same, false, &low_wholes, true));
  const Wholes up_wholes = whole(b, up, product(b, up, sums, in.coords, half, true, nullptr, false));
  Wholes joined{{in.coords, 16, {}}, parts};
  for (std::size_t i = 0; i < in.coords.size(); ++i) {
    for (std::size_t c = 0; c < 7; ++c) joined.rows.values.push_back(up_wholes.rows.at(i, c));
    for (std::size_t c = 0; c < 9; ++c) joined.rows.values.push_back(stem_wholes.rows.at(i, c));
  }
  const Wholes wide_wholes = whole(b, wide, product(b, out, joined, in.coords, same, false, nullptr, true));
  const Rows expected = product(b, last, wide_wholes, in.coords, cube(3, 1), false, nullptr, false);

  for (const int threads : thread_counts()) {
    SCOPED_TRACE(threads);
    const Outputs found = run_i8(b, x, threads);
    EXPECT_EQ(coords_of(found.at(last).coords), in.coords);
    EXPECT_EQ(host<float>(found.at(last).features), expected.values);
  }
  // Enough of the range is used to be a test.
  EXPECT_GT(std::count(wide_wholes.rows.values.begin(), wide_wholes.rows.values.end(), 127.0f), 0);
  EXPECT_GT(std::count_if(wide_wholes.rows.values.begin(), wide_wholes.rows.values.end(),
                          [](float n) { return n > 0 && n < 127; }),
            static_cast<std::ptrdiff_t>(rows()));
}

// The same network in f32 is near, and narrow floats are near it.
TEST_P(QuantizedNetworkTest, OtherDtypesAreNear) {
  NetworkWriter b(4);
  const std::string stem = b.relu(b.conv(kGraphInput, 8)), low = b.relu(b.conv(stem, 16, 2, 2)),
                    up = b.conv_transpose(low, 8), last = b.linear(b.cat({up, stem}), 5);
  b.graph.outputs = {last};
  Array& weight = b.parameters.at("conv0.weight");
  for (std::int64_t e = 0; e < weight.count(); ++e) weight.data<float>()[e] *= 0.37f;  // no whole numbers
  const SparseTensor x = whole_tensor(3, rows(), 4, 5, true);
  const std::vector<float> exact = host<float>(run(b, x).at(last).features);
  float most = 0;
  for (const float y : exact) most = std::max(most, std::abs(y));
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    SCOPED_TRACE(name(dtype));
    const std::vector<float> narrow = host<float>(run(b, x, 2, dtype).at(last).features);
    const float step = dtype == DType::kF16 ? 0x1p-11f : 0x1p-8f;
    ASSERT_EQ(narrow.size(), exact.size());
    for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(narrow[i], exact[i], 4 * step * most);
    EXPECT_NE(narrow, exact);
  }
}

// Voxels of either of two values of i8 that have other scales: their sum is rounded once.
TEST_P(QuantizedNetworkTest, AddsVoxelsOfEither) {
  NetworkWriter b(4);
  const std::string near = b.add_node("relu6", {kGraphInput}, 4).name,
                    made = b.grouped("generative_conv_transpose", near, 4, cube(3, 2)),
                    far = b.add_node("relu6", {made}, 4).name, both = b.add_node("union_add", {near, far}, 4).name;
  make_i8(b, made, 1);
  // None is negative, so that relu reads them as they are.
  const std::string near_out = b.relu(near), far_out = b.relu(far), both_out = b.relu(both);
  b.graph.outputs = {near_out, far_out, both_out};
  set_scale(b, near, {0.05f});
  set_scale(b, far, {0.031f, 0.07f, 0.05f, 0.011f});
  const std::vector<float> scale{0.06f, 0.09f, 0.05f, 0.02f};
  set_scale(b, both, scale);
  const Outputs found = run_i8(b, whole_tensor(3, rows(), 4, 5, true));
  std::map<oracle::Coord, std::vector<float>> sums;
  for (const std::string& value : {near_out, far_out}) {
    const oracle::Coords coords = coords_of(found.at(value).coords);
    const std::vector<float> x = host<float>(found.at(value).features);
    for (std::size_t i = 0; i < coords.size(); ++i) {
      std::vector<float>& sum = sums[coords[i]];
      sum.resize(4);
      for (std::size_t c = 0; c < 4; ++c) sum[c] += x[4 * i + c];
    }
  }
  const std::vector<float> result = host<float>(found.at(both_out).features);
  ASSERT_EQ(result.size(), 4 * sums.size());
  std::size_t e = 0;
  for (const auto& [coord, sum] : sums)
    for (std::size_t c = 0; c < 4; ++c, ++e) ASSERT_EQ(result[e], rounded(sum[c], scale[c]) * scale[c]) << e;
}

// What knows f32 only stands between values that are narrow.
TEST_P(QuantizedNetworkTest, ConvertsAroundOpsOfF32) {
  NetworkWriter b(4);
  const std::string stem = b.relu(b.conv(kGraphInput, 8)), soft = b.add_node("softmax", {stem}, 8).name,
                    last = b.linear(b.add(soft, stem), 3);
  b.graph.outputs = {last, soft};
  const float scale = 0.9f;
  set_scale(b, stem, {scale});
  const SparseTensor x = whole_tensor(3, rows(), 4, 5, true);
  const Outputs found = run_i8(b, x), plain = run(b, x);
  const std::vector<float> narrow = host<float>(found.at(last).features), exact = host<float>(plain.at(last).features);
  EXPECT_NE(narrow, exact);
  // A number within the range is rounded by half a scale at most, and no softmax changes by more than 1.
  const std::vector<float> weight = numbers(b, last + ".weight");
  for (std::size_t i = 0; i < exact.size(); ++i) {
    float most = 0;
    for (std::size_t c = 0; c < 8; ++c) most += std::abs(weight[i % 3 * 8 + c]) * (scale / 2 + 1);
    EXPECT_NEAR(narrow[i], exact[i], most);
  }
  NetworkWriter front = b;
  front.graph.scales.clear();
  front.graph.outputs = {stem};
  for (const float y : host<float>(run(front, x).at(stem).features)) ASSERT_LE(y, 127 * scale);
}

// A product that is kept in f32 reads what another one reads in i8.
TEST_P(QuantizedNetworkTest, KeepsProductsInF32) {
  NetworkWriter b(4);
  const std::string stem = b.relu(b.conv(kGraphInput, 8)), kept = b.conv(stem, 5), narrow = b.conv(stem, 5),
                    last = b.linear(b.cat({kept, narrow}), 3);
  b.graph.outputs = {last, kept};
  set_scale(b, stem, {1});
  make_i8(b, narrow, 3);
  NetworkWriter plain = b;  // whole numbers of at most 127, which a scale of 1 leaves as they are
  plain.graph.scales.clear();
  std::erase_if(plain.graph.nodes,
                [&](const Node& node) { return node.name != "conv0" && node.name != stem && node.name != kept; });
  plain.graph.outputs = {kept};
  const SparseTensor x = whole_tensor(3, rows(), 4, 5, true);
  NetworkWriter front = plain;
  front.graph.outputs = {stem};
  for (const float y : host<float>(run(front, x).at(stem).features)) ASSERT_LE(y, 127);
  EXPECT_EQ(host<float>(run_i8(b, x).at(kept).features), host<float>(run(plain, x).at(kept).features));
}

}  // namespace
}  // namespace voxshift
