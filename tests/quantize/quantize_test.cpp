// Models in i8: what is i8 of them and what is not, scales and biases in plain loops, errors, and that what the session
// computes is what was promised.
#include <voxshift/quantize/quantize.h>
#include <voxshift/tasks/calibrate.h>
#include <voxshift/tasks/detector.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "device_fixture.h"
#include "networks.h"

namespace voxshift {
namespace {

/// A network of random numbers: conv, relu, residual block, pooling-free U with a concatenation, classifier.
struct Small {
  NetworkWriter b{4};
  std::string first, inner, skip, coarse, up, joined, fine, last;

  Small() {
    first = b.conv(kGraphInput, 8, cube(3, 3), true);
    const std::string x = b.relu(b.batch_norm(first));
    inner = b.conv(x, 8);
    skip = b.relu(b.add(b.batch_norm(inner), x));
    coarse = b.conv(skip, 12, 2, 2);
    up = b.relu(b.conv_transpose(b.relu(coarse), 6));
    joined = b.cat({up, skip});
    fine = b.conv(joined, 8);
    last = b.linear(b.relu(fine), 5);
    std::mt19937 random(5);
    std::normal_distribution<float> normal(0, 0.3f);
    for (auto& [name, tensor] : b.parameters)
      if (name.ends_with("weight") && tensor.rank() > 1)
        std::generate_n(tensor.data<float>(), tensor.count(), [&] { return normal(random); });
  }
  Model model() { return b.model(last); }
};

SparseTensor random_tensor(std::size_t rows, std::int64_t channels, unsigned seed) {
  const SparseTensor cloud = whole_tensor(3, rows, channels, seed);
  Array features({cloud.size(), channels}, DType::kF32);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::generate_n(features.data<float>(), features.count(), [&] { return normal(random); });
  return cloud.with_features(features);
}

CalibrationData samples(std::int64_t channels = 4) {
  return {{{kGraphInput, random_tensor(300, channels, 1)}}, {{kGraphInput, random_tensor(200, channels, 2)}}};
}

QuantizeOptions quick() {
  QuantizeOptions options;
  options.sensitivity = false;
  return options;
}

const QuantizedLayer& layer(const Quantization& made, const std::string& name) {
  return *std::find_if(made.layers.begin(), made.layers.end(), [&](const auto& one) { return one.name == name; });
}

std::vector<float> scale_of(const Model& model, const std::string& value) {
  const auto values = model.parameters().at(model.graph().scales.at(value)).values<float>();
  return {values.begin(), values.end()};
}

/// |a - b|^2 / |b|^2 in dB
double snr(const Array& rounded, const Array& exact) {
  double noise = 0, signal = 0;
  for (std::int64_t e = 0; e < exact.count(); ++e) {
    noise += std::pow(static_cast<double>(rounded.data<float>()[e]) - exact.data<float>()[e], 2);
    signal += std::pow(static_cast<double>(exact.data<float>()[e]), 2);
  }
  return 10 * std::log10(signal / noise);
}

template <class Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "no error";
}

TEST(Quantize, EverythingButTheEdgesIsI8) {
  Small small;
  const Model model = small.model();
  const Quantization made = quantize(model, samples(), quick());
  ASSERT_EQ(made.layers.size(), 6u);
  for (const QuantizedLayer& one : made.layers) {
    EXPECT_EQ(one.dtype, one.name == small.first ? DType::kF32 : DType::kI8) << one.name;
    EXPECT_EQ(one.reason, one.name == small.first ? "reads an input" : "") << one.name;
    EXPECT_GT(one.macs, 0);
  }
  const Graph& graph = made.model.graph();
  for (const Node& node : graph.nodes) {
    EXPECT_NE(node.op, "batch_norm");
    const auto weight = node.parameters.find("weight");
    if (weight == node.parameters.end()) continue;
    const bool narrow = node.name != small.first;
    EXPECT_EQ(made.model.parameters().at(weight->second).dtype(), narrow ? DType::kI8 : DType::kF32);
    EXPECT_EQ(node.parameters.contains("weight_scale"), narrow);
  }
  EXPECT_FALSE(graph.scales.contains(small.last));
  const std::vector<float> parts[] = {scale_of(made.model, small.up), scale_of(made.model, small.skip)};
  std::vector<float> both = parts[0];
  both.insert(both.end(), parts[1].begin(), parts[1].end());
  EXPECT_EQ(scale_of(made.model, small.joined), both);
  EXPECT_EQ(made.model.classes().size(), model.classes().size());
}

TEST(Quantize, TheSessionComputesWhatWasPromised) {
  Small small;
  const Model model = small.model();
  const Quantization made = quantize(model, samples(), quick());
  EXPECT_GT(made.snr, 25);
  EXPECT_LT(made.snr, 60);
  Session exact(model.network()), rounded(made.model.network());
  EXPECT_EQ(rounded.dtype(), DType::kI8);
  double noise = 0, signal = 0;
  std::int64_t others = 0, rows = 0;
  for (const Inputs& sample : samples()) {
    const SparseTensor& x = std::get<SparseTensor>(sample.at(kGraphInput));
    const Array a = exact.forward(x), b = rounded.forward(x);
    for (std::int64_t i = 0; i < a.dim(0); ++i) {
      const float *p = a.data<float>() + i * 5, *q = b.data<float>() + i * 5;
      for (int c = 0; c < 5; ++c) {
        noise += std::pow(static_cast<double>(q[c]) - p[c], 2);
        signal += std::pow(static_cast<double>(p[c]), 2);
      }
      others += std::max_element(p, p + 5) - p != std::max_element(q, q + 5) - q ? 1 : 0;
      ++rows;
    }
  }
  EXPECT_NEAR(made.snr, 10 * std::log10(signal / noise), 0.02);
  EXPECT_NEAR(made.loss, 100 * static_cast<double>(others) / static_cast<double>(rows), 0.3);
}

/// y = W x of one product between an identity that keeps its input f32 and the output.
TEST(Quantize, TakesTheMeanErrorOffTheBias) {
  NetworkWriter b(4);
  const std::string first = b.linear(kGraphInput, 4, false), last = b.linear(b.relu(first), 3);
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0.2f, 0.5f);
  for (auto& [name, tensor] : b.parameters)
    std::generate_n(tensor.data<float>(), tensor.count(), [&] { return normal(random); });
  const Model model = b.model(last);
  QuantizeOptions options = quick();
  options.equalize = false;
  const Quantization made = quantize(model, samples(), options);
  options.correct_bias = false;
  const Quantization raw = quantize(model, samples(), options);

  const std::vector<float> scale = scale_of(made.model, "relu1");
  const auto& tensors = made.model.parameters();
  const auto whole = tensors.at(last + ".weight").values<std::int8_t>();
  const auto multiplier = tensors.at(last + ".weight_scale").values<float>();
  const auto w1 = model.parameters().at(first + ".weight").values<float>();
  const auto w2 = model.parameters().at(last + ".weight").values<float>();
  std::vector<double> error(3);
  double rows = 0;
  for (const Inputs& sample : samples()) {
    const SparseTensor& x = std::get<SparseTensor>(sample.at(kGraphInput));
    for (std::int64_t i = 0; i < x.size(); ++i, ++rows) {
      double exact[3] = {}, rounded[3] = {};
      for (std::size_t h = 0; h < 4; ++h) {
        double value = 0;
        for (std::size_t c = 0; c < 4; ++c)
          value += w1[h * 4 + c] * x.features().data<float>()[i * 4 + static_cast<int>(c)];
        value = std::max(value, 0.0);
        const float s = scale.size() == 1 ? scale[0] : scale[h];
        const double n = std::min(127.0, std::nearbyint(value / s));
        for (std::size_t o = 0; o < 3; ++o) {
          exact[o] += w2[o * 4 + h] * value;
          rounded[o] += whole[o * 4 + h] * n * multiplier[o];
        }
      }
      for (std::size_t o = 0; o < 3; ++o) error[o] += rounded[o] - exact[o];
    }
  }
  const auto was = model.parameters().at(last + ".bias").values<float>();
  const auto now = tensors.at(last + ".bias").values<float>();
  const auto uncorrected = raw.model.parameters().at(last + ".bias").values<float>();
  for (std::size_t o = 0; o < 3; ++o) {
    EXPECT_NEAR(now[o], was[o] - error[o] / rows, 2e-5);
    EXPECT_GT(std::abs(now[o] - was[o]), 2e-5);
    EXPECT_EQ(uncorrected[o], was[o]);
  }
}

TEST(Quantize, ZerosConstantsAndStrayNumbers) {
  NetworkWriter b(4);
  const std::string first = b.linear(kGraphInput, 4), hidden = b.relu(first), last = b.linear(hidden, 3);
  float* weight = b.parameters.at(first + ".weight").data<float>();
  float* bias = b.parameters.at(first + ".bias").data<float>();
  std::fill_n(weight, 16, 0.0f);
  std::fill_n(bias, 4, 0.0f);
  weight[0] = 1;  // channel 0 is the input's, 1 a constant, 2 next to nothing, 3 always 0
  weight[8] = 1e-3f;
  bias[1] = 12.7f;
  QuantizeOptions options = quick();
  options.equalize = false;
  CalibrationData data = samples();
  const Model model = b.model(last);
  const Quantization clean = quantize(model, data, options);
  EXPECT_TRUE(clean.warnings.empty());
  const std::vector<float> scale = scale_of(clean.model, hidden);
  ASSERT_EQ(scale.size(), 4u);
  EXPECT_NEAR(scale[1], 0.1f, 1e-6f);
  EXPECT_GT(scale[3], 0.05f);  // that of all channels together: other data may make something of it
  EXPECT_EQ(scale[2], scale[3] / 8);

  Array strays = std::get<SparseTensor>(data[0].at(kGraphInput)).features();
  strays.data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  strays.data<float>()[8] = std::numeric_limits<float>::infinity();
  const Quantization found = quantize(model, data, options);
  ASSERT_EQ(found.warnings.size(), 1u);
  EXPECT_NE(found.warnings[0].find("not finite"), std::string::npos);
  const std::vector<float> same = scale_of(found.model, hidden);
  for (std::size_t c = 0; c < 4; ++c) EXPECT_NEAR(same[c] / scale[c], 1, 0.1);
  for (const float x : found.model.parameters().at(last + ".bias").values<float>()) EXPECT_TRUE(std::isfinite(x));

  weight[0] = weight[8] = 0;
  bias[1] = 0;
  const Quantization nothing = quantize(b.model(last), samples(), options);
  EXPECT_EQ(scale_of(nothing.model, hidden), std::vector<float>(1, 1.0f));
}

TEST(Quantize, KeepsWhatItIsToldAndWhatCostsTooMuch) {
  Small small;
  const Model model = small.model();
  QuantizeOptions options = quick();
  options.keep = {small.last};
  const Quantization kept = quantize(model, samples(), options);
  EXPECT_EQ(layer(kept, small.last).dtype, DType::kF32);
  EXPECT_EQ(layer(kept, small.last).reason, "keep");
  EXPECT_EQ(layer(kept, small.inner).dtype, DType::kI8);

  for (const Node& node : kept.model.graph().nodes)
    EXPECT_FALSE(node.name == small.last && kept.model.graph().scales.contains(node.inputs[0]));

  options.keep = {small.coarse};  // reads a part of the concatenation
  const Quantization apart = quantize(model, samples(), options);
  EXPECT_EQ(layer(apart, small.fine).reason, "reads f32");
  for (const std::string& value : {small.skip, small.up, small.joined})
    EXPECT_FALSE(apart.model.graph().scales.contains(value)) << value;
  EXPECT_EQ(layer(apart, small.last).dtype, DType::kI8);

  const double all = quantize(model, samples(), quick()).loss;
  ASSERT_GT(all, 0.5);
  double last = all;
  for (const double share : {0.6, 0.3, 0.0}) {
    options = quick();
    options.max_loss = share * all;
    const Quantization made = quantize(model, samples(), options);
    EXPECT_LE(made.loss, share * all);
    EXPECT_LE(made.loss, last);
    last = made.loss;
    std::set<std::string> reasons;
    for (const QuantizedLayer& one : made.layers) reasons.insert(one.reason);
    EXPECT_TRUE(reasons.contains("max loss"));
    Session session(made.model.network());
    session.forward(random_tensor(50, 4, 3));
  }
}

TEST(Quantize, MeasuresEveryLayerAlone) {
  Small small;
  const Model model = small.model();
  const Quantization made = quantize(model, samples(), {});
  for (const QuantizedLayer& one : made.layers) {
    EXPECT_EQ(std::isnan(one.snr), one.name == small.first);
    if (one.name == small.first) continue;
    EXPECT_GT(one.snr, made.snr - 1) << one.name;  // the noise of all is more than that of one
    EXPECT_FALSE(std::isnan(one.milliseconds));
    EXPECT_FALSE(std::isnan(one.saved_milliseconds));
  }
}

TEST(Quantize, GivesTheSameBitsAtAnyNumberOfThreads) {
  Small small;
  const Model model = small.model();
  QuantizeOptions options;
  options.max_loss = 1;
  options.threads = 1;
  const Quantization one = quantize(model, samples(), options);
  options.threads = 3;
  const Quantization three = quantize(model, samples(), options);
  ASSERT_EQ(one.model.parameters().size(), three.model.parameters().size());
  for (const auto& [name, tensor] : one.model.parameters()) {
    const Array& other = three.model.parameters().at(name);
    ASSERT_EQ(tensor.bytes(), other.bytes()) << name;
    EXPECT_EQ(std::memcmp(tensor.memory(), other.memory(), tensor.bytes()), 0) << name;
  }
}

TEST(Quantize, LeavesTheDtypeOpen) {
  Small small;
  QuantizeOptions options = quick();
  options.dtype = std::nullopt;
  const Quantization made = quantize(small.model(), samples(), options);
  EXPECT_LE(made.loss, 0.5);
  EXPECT_EQ(made.stored, DType::kF16);
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    options.dtype = dtype;
    const Quantization narrow = quantize(small.model(), samples(), options);
    EXPECT_EQ(narrow.stored, dtype);
    EXPECT_TRUE(narrow.model.graph().scales.empty());
    EXPECT_GT(narrow.snr, 30);
  }
}

TEST(Quantize, RefusesWhatItCannotDo) {
  Small small;
  const Model model = small.model();
  const auto with = [](auto change) {
    QuantizeOptions options = quick();
    change(options);
    return options;
  };
  const Quantization made = quantize(model, samples(), quick());
  const auto says = [](const std::string& error, const std::string& part) {
    EXPECT_TRUE(error.starts_with("[quantize] ") && error.find(part) != std::string::npos) << error;
  };
  says(error_of([&] { quantize(made.model, samples(), quick()); }), "has i8 already");
  says(error_of([&] { quantize(model, {}, quick()); }), "found none");
  says(error_of([&] { quantize(model, samples(3), quick()); }), "4 channels");
  says(error_of([&] { quantize(model, samples(), with([](auto& o) { o.keep = {"conv77"}; })); }), "\"conv77\"");
  says(error_of([&] { quantize(model, samples(), with([](auto& o) { o.max_loss = -1; })); }), "max_loss");
  says(error_of([&] { quantize(model, samples(), with([](auto& o) { o.dtype = DType::kI64; })); }), "i64");
  NetworkWriter plain(4);
  const Model without = plain.model(plain.relu(kGraphInput));
  says(error_of([&] { quantize(without, samples(), quick()); }), "no product");
  CalibrationData data;
  says(error_of([&] { add_clip(data, model, Array({2, 8, 8, 3}, DType::kU8)); }), "takes scans");
  says(error_of([&] { add_scan(data, model, Array({2, 2}, DType::kF32)); }), "C >= 3");
  Array nowhere({1, 4}, DType::kF32);
  std::fill_n(nowhere.data<float>(), 4, std::numeric_limits<float>::quiet_NaN());
  says(error_of([&] { add_scan(data, model, nowhere); }), "no point");
}

Model small_model(const std::string& arch) {
  ModelSpec spec;
  spec.arch = arch;
  spec.width = arch.starts_with("tsm") ? 0.25 : 0.125;
  spec.seed = 5;
  if (arch.starts_with("tsm")) spec.profile = "motions";
  Model model = Model::create(spec);
  if (model.profile().frames || model.profile().cloud) return model;
  Profile coarse = model.profile();
  coarse.voxelize.voxel_size = 0.5f;
  return model.with_profile(coarse);
}

TEST(Quantize, NetworksOfEveryKind) {
  for (const char* arch : {"minkunet", "spvcnn", "tsm-mobilenetv2", "tsm-resnet50", "pointpillars", "second"}) {
    SCOPED_TRACE(arch);
    const Model model = small_model(arch);
    CalibrationData data;
    add_synthetic(data, model, 1);
    const Quantization made = quantize(model, data, quick());
    const auto narrow = std::count_if(made.layers.begin(), made.layers.end(),
                                      [](const QuantizedLayer& one) { return one.dtype == DType::kI8; });
    EXPECT_GT(narrow, static_cast<std::ptrdiff_t>(made.layers.size()) * 2 / 3);
    EXPECT_GT(made.snr, 8);
    Session exact(model.network()), rounded(made.model.network());
    const Outputs a = exact.run(data[0]), b = rounded.run(data[0]);
    const std::string& output = model.graph().output();
    EXPECT_GT(snr(b.at(output).features, a.at(output).features), made.snr - 3);
  }
}

}  // namespace
}  // namespace voxshift
