// Models: MinkUNet's sizes and names, calibrated statistics, files and back, and files that are refused.
#include <voxshift/engine/evaluate.h>
#include <voxshift/engine/session.h>
#include <voxshift/graph/safetensors.h>
#include <voxshift/networks/minkunet.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tasks/model.h>
#include <voxshift/tasks/segmenter.h>

#include <cmath>

#include "device_fixture.h"
#include "file_test.h"
#include "networks.h"

namespace voxshift {
namespace {

Model minkunet(double width, int classes = 19, std::uint64_t seed = 1) {
  Network network = make_minkunet(width, classes, seed);
  std::vector<ClassInfo> infos(static_cast<std::size_t>(classes), {"c", 1, {0, 0, 0}});
  return {"minkunet", network.graph, network.parameters, known_profiles().front(), infos};
}

/// The smallest network, with the statistics of a synthetic scan.
const Model& small_model() {
  static const Model model = Model::create({"minkunet", 1.0 / 16, 19, 5});
  return model;
}

TEST(MinkUNet, ParameterCounts) {
  // Counted on spvnas' own modules.
  EXPECT_NEAR(static_cast<double>(minkunet(0.5).parameter_count()), 5.435e6, 500);
  EXPECT_NEAR(static_cast<double>(minkunet(0.64).parameter_count()), 8.771e6, 500);
  EXPECT_NEAR(static_cast<double>(minkunet(1.0).parameter_count()), 21.723e6, 500);
}

TEST(MinkUNet, NamesAndShapesOfSpvnas) {
  const Network network = make_minkunet(0.64, 19, 1);
  const auto shape = [&](const std::string& name) { return network.parameters.at(name).shape(); };
  EXPECT_EQ(shape("stem.0.kernel"), (Shape{27, 4, 20}));
  EXPECT_EQ(shape("stem.3.kernel"), (Shape{27, 20, 20}));
  EXPECT_EQ(shape("stem.4.running_var"), (Shape{20}));
  const std::int64_t channels[] = {20, 20, 40, 81, 163, 163, 81, 61, 61};
  for (std::size_t i = 1; i <= 4; ++i) {
    const std::string stage = "stage" + std::to_string(i);
    EXPECT_EQ(shape(stage + ".0.net.0.kernel"), (Shape{8, channels[i - 1], channels[i - 1]}));
    EXPECT_EQ(shape(stage + ".1.net.0.kernel"), (Shape{27, channels[i - 1], channels[i]}));
    EXPECT_EQ(shape(stage + ".2.net.3.kernel"), (Shape{27, channels[i], channels[i]}));
    // A shortcut of its own where the channels change: not in the first stage.
    EXPECT_EQ(network.parameters.contains(stage + ".1.downsample.0.kernel"), channels[i - 1] != channels[i]);
  }
  for (std::size_t u = 1; u <= 4; ++u) {
    const std::string up = "up" + std::to_string(u);
    const std::int64_t out = channels[4 + u], skip = channels[4 - u];
    EXPECT_EQ(shape(up + ".0.net.0.kernel"), (Shape{8, channels[3 + u], out}));
    EXPECT_EQ(shape(up + ".1.0.net.0.kernel"), (Shape{27, out + skip, out}));
    EXPECT_EQ(shape(up + ".1.0.downsample.0.kernel"), (Shape{out + skip, out}));
    EXPECT_EQ(shape(up + ".1.1.net.4.bias"), (Shape{out}));
  }
  EXPECT_EQ(shape("classifier.0.weight"), (Shape{19, 61}));
  EXPECT_EQ(shape("classifier.0.bias"), (Shape{19}));
}

TEST(MinkUNet, SeedsAndBounds) {
  const Network a = make_minkunet(0.25, 3, 1), b = make_minkunet(0.25, 3, 1), c = make_minkunet(0.25, 3, 2);
  expect_same_bits(a.parameters.at("up4.1.1.net.3.kernel"), b.parameters.at("up4.1.1.net.3.kernel"));
  const auto first = [](const Network& n) { return n.parameters.at("stem.0.kernel").values<float>()[0]; };
  EXPECT_NE(first(a), first(c));
  // U(-b, b), b = 1 / sqrt(27 * 4) in the stem.
  const double bound = 1 / std::sqrt(27.0 * 4);
  double squares = 0, highest = 0;
  const auto values = a.parameters.at("stem.0.kernel").values<float>();
  for (const float w : values) {
    highest = std::max(highest, std::abs(double{w}));
    squares += double{w} * w;
  }
  EXPECT_LE(highest, bound * 1.000001);
  EXPECT_GT(highest, bound * 0.97);
  EXPECT_NEAR(squares / static_cast<double>(values.size()), bound * bound / 3, bound * bound * 0.05);
  EXPECT_THROW(make_minkunet(0.03, 19, 1), InvalidArgument);
  EXPECT_THROW(make_minkunet(9, 19, 1), InvalidArgument);
  EXPECT_THROW(make_minkunet(std::nan(""), 19, 1), InvalidArgument);
}

TEST(Model, CreateRefusesWhatItCannotMake) {
  expect_throw([] { Model::create({"resnet", 1, 19, 0}); }, {"\"resnet\"", "minkunet", "spvnas"});
  expect_throw([] { Model::create({"minkunet", 1, -1, 0}); }, {"classes", "-1"});
  expect_throw([] { Model::create({"minkunet", 1, 256, 0}); }, {"classes", "256"});
  expect_throw([] { Model::create({"minkunet", 0, 19, 0}); }, {"width", "0"});
  expect_throw([] { Model::create({"pvcnn", 0.125, 0, 0, "nuscenes"}); }, {"takes points", "nuscenes"});
  expect_throw([] { Model::create({"minkunet", 0.125, 0, 0, "s3dis"}); }, {"takes voxels", "s3dis"});
  expect_throw([] { Model::create({"minkunet", 0.125, 0, 0, "", "net.config"}); }, {"net.config", "spvnas"});
  expect_throw([] { Model::create({"minkunet", 0.125, 0, 0, "", "", Parameters{}}); }, {"missing", "f32"});
}

TEST(Model, StatisticsAreThoseOfASyntheticScan) {
  const Model& model = small_model();
  const SynthScan scan = synth_lidar(5);
  const Array points = Array::from(scan.points, {static_cast<std::int64_t>(scan.labels.size()), 4});
  const Voxels voxels = voxelize(points, model.profile().voxelize);
  int norms = 0;
  evaluate(model.graph(), model.parameters(), voxels.tensor, [&](const Node& node, const ConstRowView& x) {
    if (node.op != "batch_norm") return;
    ++norms;
    const auto mean = model.parameters().at(node.parameters.at("running_mean")).values<float>();
    const auto variance = model.parameters().at(node.parameters.at("running_var")).values<float>();
    const std::span rows(static_cast<const float*>(x.base), static_cast<std::size_t>(x.count * x.channels));
    const auto n = static_cast<double>(x.count);
    for (std::size_t c = 0; c < mean.size(); ++c) {
      double sum = 0, squares = 0;
      for (std::size_t i = c; i < rows.size(); i += mean.size()) sum += rows[i];
      for (std::size_t i = c; i < rows.size(); i += mean.size()) squares += std::pow(rows[i] - sum / n, 2);
      ASSERT_NEAR(mean[c], sum / n, 1e-5 * std::sqrt(squares / n)) << node.name;
      ASSERT_NEAR(variance[c], squares / n, 1e-5 * squares / n) << node.name;
    }
  });
  EXPECT_EQ(norms, 49);  // 2 in the stem, 5 a stage, 5 an up stage, 7 shortcuts
}

TEST(Model, ClassesOfSemanticKitti) {
  ASSERT_EQ(small_model().classes().size(), 19u);
  EXPECT_EQ(small_model().classes()[0].name, "car");
  EXPECT_EQ(small_model().classes()[0].raw_id, 10u);
  EXPECT_EQ(small_model().classes()[8].raw_id, 40u);
  EXPECT_EQ(small_model().classes()[18].raw_id, 81u);
}

TEST(Model, WhatDoesNotFitTogether) {
  NetworkWriter b(4);
  const std::string out = b.linear(kGraphInput, 3);
  const Model good = b.model(out);
  const auto make = [&](const Profile& profile, std::size_t classes) {
    return Model("test", good.graph(), good.parameters(), profile, std::vector<ClassInfo>(classes));
  };
  expect_throw([&] { make({"p", {}, {1, 1, 1}, {}}, 3); }, {"3 channels", "takes 4"});
  expect_throw([&] { make(good.profile(), 2); }, {"3 logits", "has 2"});
  expect_throw([&] { good.with_profile({"p", {}, {1, 1, 1, 1, 1}, {}}); }, {"5 channels", "takes 4"});
  Profile swapped = good.profile();
  swapped.voxelize.range = Range{{1, 0, 0}, {0, 1, 1}};
  expect_throw([&] { good.with_profile(swapped); }, {"[profile]", "range", "1 to 0 along x"});
  EXPECT_EQ(good.with_profile(known_profiles()[1]).profile().name, "pointcept");
  for (const float size : {0.0f, -1.0f, std::nanf("")}) {  // what a file could not hold
    Profile bad = good.profile();
    bad.voxelize.voxel_size = size;
    expect_throw([&] { good.with_profile(bad); }, {"[profile]", "voxel_size expects metres above 0"});
  }
  NetworkWriter narrow(2);
  const Model two = narrow.model(narrow.linear(kGraphInput, 1));
  expect_throw([&] { two.with_profile({"p", {}, {1, 1}, {}}); }, {"[profile]", "scale expects 3 to 1024"});
  expect_throw(
      [&] {
        Model("test", two.graph(), two.parameters(), {}, {{"a", 65536, {}}});
      },
      {"[classes]", "0 to 65535", "65536"});
  NetworkWriter wide(4);
  const std::string many = wide.linear(kGraphInput, 256);
  expect_throw([&] { wide.model(many); }, {"255 classes", "256"});
}

// Files

/// The smallest network, with random statistics.
const Model& file_model() {
  static const Model model = [] {
    const Network network = make_minkunet(1.0 / 16, 19, 5);
    return Model("minkunet", network.graph, network.parameters, known_profiles().front(),
                 classes_for(19, ClassTables::kPoints));
  }();
  return model;
}

class ModelFile : public FileTest {
 protected:
  /// The small model's file after a change; gives the message that refuses it.
  std::string refusal(const std::function<void(SafeTensors&)>& change) {
    const fs::path path = folder_ / "model.safetensors";
    file_model().save(path);
    SafeTensors content = read_safetensors(path);
    change(content);
    write_safetensors(path, content);
    return io_error(path, [&] { Model::load(path); });
  }
  std::string refusal_of(const std::string& key, const std::string& value) {
    return refusal([&](SafeTensors& file) { file.metadata[key] = value; });
  }
  /// The metadata `key` with `from` in place of `to`, once.
  std::string refusal_where(const std::string& key, const std::string& from, const std::string& to) {
    return refusal([&](SafeTensors& file) {
      std::string& text = file.metadata.at(key);
      const std::size_t at = text.find(from);
      ASSERT_NE(at, std::string::npos) << from;
      text.replace(at, from.size(), to);
    });
  }
};

TEST_F(ModelFile, RoundTripGivesTheSameLogits) {
  const fs::path path = folder_ / "model.safetensors";
  file_model().save(path);
  EXPECT_EQ(names(), std::vector<std::string>{"model.safetensors"});
  const Model read = Model::load(path);
  EXPECT_EQ(read.arch(), "minkunet");
  EXPECT_EQ(read.parameter_count(), file_model().parameter_count());
  EXPECT_EQ(read.profile().name, "spvnas");
  ASSERT_EQ(read.classes().size(), 19u);
  EXPECT_EQ(read.classes()[13].name, file_model().classes()[13].name);
  EXPECT_EQ(read.classes()[13].rgb, file_model().classes()[13].rgb);
  EXPECT_EQ(read.classes()[13].raw_id, file_model().classes()[13].raw_id);
  ASSERT_EQ(read.parameters().size(), file_model().parameters().size());
  for (const auto& [name, array] : file_model().parameters()) expect_same_bits(read.parameters().at(name), array);
  const SparseTensor x = whole_tensor(3, 2000, 4, 3);
  Session a(file_model().network()), b(read.network());
  expect_same_bits(a.forward(x), b.forward(x));
}

TEST_F(ModelFile, AsHalvesItTakesHalfTheBytesAndIsReadAsF32) {
  const fs::path whole = folder_ / "whole.safetensors", half = folder_ / "half.safetensors";
  file_model().save(whole);
  file_model().save(half, DType::kF16);
  const Model read = Model::load(half);
  std::int64_t numbers = 0;
  ASSERT_EQ(read.parameters().size(), file_model().parameters().size());
  for (const auto& [name, array] : file_model().parameters()) {
    const Array& rounded = read.parameters().at(name);
    ASSERT_EQ(rounded.dtype(), DType::kF32);
    ASSERT_EQ(rounded.shape(), array.shape());
    numbers += array.count();
    for (std::int64_t i = 0; i < array.count(); ++i) {
      const double value = array.data<float>()[i];
      EXPECT_NEAR(rounded.data<float>()[i], value, std::max(std::abs(value) * 0x1p-11, 0x1p-25)) << name;
    }
  }
  const auto saved = static_cast<double>(fs::file_size(whole) - fs::file_size(half));
  EXPECT_NEAR(saved / static_cast<double>(numbers), 2, 0.01);
  read.save(whole, DType::kF16);  // halves already: the same file
  EXPECT_EQ(get(whole), get(half));
  const SparseTensor x = whole_tensor(3, 2000, 4, 3);
  Session a(read.network()), b(Model::load(whole).network());
  expect_same_bits(a.forward(x), b.forward(x));
}

TEST_F(ModelFile, AnOldFileStaysWhenAWeightIsBeyondHalves) {
  const fs::path path = folder_ / "model.safetensors";
  file_model().save(path);
  const std::string before = get(path);
  Parameters parameters = file_model().parameters();
  Array bias = Array::from(std::vector<float>(19, 1e5f), {19});
  parameters.insert_or_assign("classifier.0.bias", bias);
  EXPECT_THROW(file_model().with_parameters(parameters).save(path, DType::kF16), InvalidArgument);
  EXPECT_EQ(get(path), before);
  EXPECT_EQ(names(), std::vector<std::string>{"model.safetensors"});
}

TEST_F(ModelFile, AnOldFileStaysWhenWritingFails) {
  fs::create_directory(folder_ / "taken");
  const fs::path path = folder_ / "taken";
  EXPECT_SAYS(io_error(path, [&] { file_model().save(path); }), "cannot be written");
  EXPECT_EQ(names(), std::vector<std::string>{"taken"});
}

TEST_F(ModelFile, NamesAreUtf8) {
  const Model& model = file_model();
  std::vector<ClassInfo> classes = model.classes();
  classes.back().name = "caf\xe9";
  const fs::path path = folder_ / "a.safetensors";
  const Model other(model.arch(), model.graph(), model.parameters(), model.own_profile(), classes);
  expect_throw([&] { other.save(path); }, {"[save]", "not UTF-8", "\"caf\\ufffd\""});
  EXPECT_TRUE(names().empty());
}

TEST_F(ModelFile, IsToldFromOtherTensors) {
  const fs::path path = folder_ / "a.safetensors";
  file_model().save(path);
  EXPECT_TRUE(is_model_file(path));
  write_safetensors(path, {file_model().parameters(), {{"format", "pt"}}});
  EXPECT_FALSE(is_model_file(path));
  EXPECT_SAYS(io_error(path, [&] { Model::load(path); }), "`voxshift convert` makes");
}

TEST_F(ModelFile, Metadata) {
  EXPECT_SAYS(refusal_of("voxshift.format", "3"), "format \"3\" is unknown");
  for (const char* key : {"voxshift.format", "voxshift.graph", "voxshift.classes"}) {
    const std::string missing = refusal([&](SafeTensors& file) { file.metadata.erase(key); });
    EXPECT_SAYS(missing, key);
    EXPECT_SAYS(missing, "missing");
  }
  EXPECT_SAYS(refusal([](SafeTensors& file) { file.metadata.clear(); }), "expected a model made by voxshift");
  for (const char* key : {"voxshift.graph", "voxshift.profile", "voxshift.classes"}) {
    EXPECT_SAYS(refusal_of(key, "this is not JSON"), "is not JSON") << key;
    EXPECT_SAYS(refusal_of(key, ""), "is not JSON") << key;
    EXPECT_SAYS(refusal_of(key, std::string(200000, '[')), "is not JSON") << key;
    if (key != std::string("voxshift.classes")) {
      EXPECT_FALSE(refusal_of(key, "[]").empty()) << key;
    }
    EXPECT_FALSE(refusal_of(key, "{}").empty()) << key;
    EXPECT_FALSE(refusal_of(key, "null").empty()) << key;
    EXPECT_FALSE(refusal_of(key, "3").empty()) << key;
  }
}

TEST_F(ModelFile, WithoutAProfile) {
  for (const int channels : {1, 2, 5, 1024}) {
    NetworkWriter b(channels);
    const std::string out = b.linear(kGraphInput, 3);
    const Model whole = b.model(out);
    const Model model("test", whole.graph(), whole.parameters(), {}, whole.classes());
    const fs::path path = folder_ / "plain.safetensors";
    model.save(path);
    EXPECT_FALSE(read_safetensors(path).metadata.contains("voxshift.profile"));
    const Model read = Model::load(path);
    for (const Model& same : {model, read, read.with_parameters(read.parameters())}) {
      EXPECT_FALSE(same.own_profile().has_value());
      EXPECT_EQ(same.profile().channels(), channels);
    }
    const Array points({2, std::max(channels, 3)}, DType::kF32);
    expect_throw([&] { Segmenter(read).segment(points); }, {"[segment]", "with a profile"});
  }
}

TEST_F(ModelFile, Classes) {
  SafeTensors content = file_model().content();
  content.metadata["voxshift.classes"] = "[]";  // of a network that gives no logits
  EXPECT_TRUE(Model::from_content(content).classes().empty());
  EXPECT_SAYS(refusal_where("voxshift.classes", "\"car\"", "7"), "[classes]");
  EXPECT_SAYS(refusal_where("voxshift.classes", "\"id\":10", "\"id\":-10"), "found -10");
  EXPECT_SAYS(refusal_where("voxshift.classes", "\"id\":10", "\"id\":70000"), "found 70000");
  EXPECT_SAYS(refusal_where("voxshift.classes", "\"id\":10", "\"id\":1e300"), "found 1e+300");
  EXPECT_SAYS(refusal_where("voxshift.classes", "[100,150,245]", "[100,150]"), "[classes]");
  EXPECT_SAYS(refusal_where("voxshift.classes", "[100,150,245]", "[100,150,256]"), "found 256");
  EXPECT_SAYS(refusal_of("voxshift.classes", R"([{"name": "a", "id": 1, "rgb": [0, 0, 0]}])"), "19 logits");
}

TEST_F(ModelFile, GraphAndTensors) {
  EXPECT_SAYS(refusal_where("voxshift.graph", "\"op\":\"add\"", "\"op\":\"mul\""), "unknown op \"mul\"");
  EXPECT_SAYS(refusal_where("voxshift.graph", "\"inputs\":[\"input\"]", "\"inputs\":[\"stage1.1.relu\"]"), "cycle");
  EXPECT_SAYS(refusal([](SafeTensors& file) { file.tensors.erase("stage2.1.net.0.kernel"); }),
              "\"stage2.1.net.0.kernel\" of node \"stage2.1.net.0\" is missing");
  EXPECT_SAYS(
      refusal([](SafeTensors& file) { file.tensors.insert_or_assign("classifier.0.bias", Array({18}, DType::kF32)); }),
      "\"classifier.0.bias\" of node \"classifier.0\" expects f32 [19], found f32 [18]");
  EXPECT_SAYS(
      refusal([](SafeTensors& file) { file.tensors.insert_or_assign("classifier.0.bias", Array({19}, DType::kI32)); }),
      "found i32 [19]");
}

TEST_F(ModelFile, CutOrMissing) {
  const fs::path path = folder_ / "model.safetensors", cut = folder_ / "cut.safetensors";
  file_model().save(path);
  const std::string whole = get(path);
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{7}, std::size_t{8}, std::size_t{1000}, whole.size() / 2, whole.size() - 1}) {
    put("cut.safetensors", whole.substr(0, bytes));
    EXPECT_FALSE(io_error(cut, [&] { Model::load(cut); }).empty()) << bytes;
  }
  const fs::path none = folder_ / "none.safetensors";
  EXPECT_SAYS(io_error(none, [&] { Model::load(none); }), "No such file");
}

}  // namespace
}  // namespace voxshift
