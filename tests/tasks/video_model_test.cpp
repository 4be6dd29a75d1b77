// Video models: class lists, calibrated statistics, tensors of checkpoints, thresholds in the file, refused files.
#include <voxshift/engine/evaluate.h>
#include <voxshift/graph/safetensors.h>
#include <voxshift/networks/tsm.h>
#include <voxshift/synth/video.h>
#include <voxshift/tasks/calibrate.h>
#include <voxshift/tasks/model.h>

#include <cmath>
#include <limits>
#include <set>

#include "device_fixture.h"
#include "file_test.h"

namespace voxshift {
namespace {

class VideoModel : public FileTest {
 protected:
  void SetUp() override {
    FileTest::SetUp();
    profile_ = put("small.json", R"({"name": "small", "frames": {"height": 32, "width": 40, "resize": 40, "segments": 4,
                                     "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}})")
                   .string();
  }

  ModelSpec small_spec(const std::string& arch = "tsm-mobilenetv2") const {
    ModelSpec spec;
    spec.arch = arch;
    spec.width = 0.25;
    spec.profile = profile_;
    return spec;
  }

  /// MobileNetV2 with the statistics of synthetic clips.
  const Model& small_model() const {
    static const Model model = Model::create(small_spec());
    return model;
  }

  std::string profile_;
};

// Classes

TEST(VideoClasses, Tables) {
  ASSERT_EQ(jester_classes().size(), 27U);
  EXPECT_EQ(jester_classes()[0].name, "Doing other things");
  EXPECT_EQ(jester_classes()[2].name, "No gesture");
  EXPECT_EQ(jester_classes()[11].name, "Sliding Two Fingers Left");
  EXPECT_EQ(jester_classes()[22].name, "Turning Hand Counterclockwise");
  EXPECT_EQ(jester_classes()[26].name, "Zooming Out With Two Fingers");
  ASSERT_EQ(kinetics_classes().size(), 400U);
  EXPECT_EQ(kinetics_classes()[0].name, "abseiling");
  EXPECT_EQ(kinetics_classes()[166].name, "javelin throw");
  EXPECT_EQ(kinetics_classes()[208].name, "passing American football (in game)");
  EXPECT_EQ(kinetics_classes()[308].name, "skiing (not slalom or crosscountry)");
  EXPECT_EQ(kinetics_classes()[399].name, "zumba");
  for (const auto* table : {&jester_classes(), &kinetics_classes()}) {
    std::set<std::string> names;
    for (std::size_t i = 0; i < table->size(); ++i) {
      const ClassInfo& info = (*table)[i];
      EXPECT_EQ(info.raw_id, i);
      EXPECT_TRUE(names.insert(info.name).second) << info.name;
      EXPECT_FALSE(info.name.empty());
      EXPECT_EQ(info.name.find_first_of(",\n"), std::string::npos) << info.name;
      EXPECT_TRUE(i == 0 || info.rgb != (*table)[i - 1].rgb);
    }
  }
}

TEST_F(VideoModel, ClassesByTheirNumber) {
  // Tensors of so many classes; nothing is calibrated.
  const auto classes = [&](int count) {
    ModelSpec spec = small_spec();
    spec.parameters = make_tsm_mobilenetv2({spec.width, count, {}}, 1).parameters;
    return Model::create(spec).classes();
  };
  EXPECT_EQ(classes(27)[19].name, "Thumb Down");
  EXPECT_EQ(classes(400)[6].name, "arm wrestling");
  EXPECT_EQ(classes(19)[3].name, "class 3");  // as many as SemanticKITTI has
  EXPECT_EQ(classes(19)[3].raw_id, 3U);
  EXPECT_EQ(classes(300).size(), 300U);  // more than points may have
}

// New models

TEST_F(VideoModel, DefaultsOfTheArchitectures) {
  ModelSpec spec = small_spec();
  spec.profile.clear();
  spec.parameters = small_model().parameters();  // so that nothing is calibrated at the full size
  const Model mobile = Model::create(spec);
  EXPECT_EQ(mobile.profile().name, "jester");
  EXPECT_EQ(mobile.classes().size(), 27U);
  EXPECT_EQ(mobile.arch(), "tsm-mobilenetv2");
  EXPECT_FALSE(mobile.skip_thresholds().has_value());
  spec = small_spec("tsm-resnet50");
  spec.width = 1.0 / 16;
  spec.parameters = make_tsm_resnet50({spec.width, 400, {}}, 1).parameters;
  spec.profile.clear();
  const Model resnet = Model::create(spec);
  EXPECT_EQ(resnet.profile().name, "kinetics");
  EXPECT_EQ(resnet.classes().size(), 400U);
  for (const bool bidirectional : {false, true}) {
    spec.bidirectional = bidirectional;
    const Model model = Model::create(spec);
    for (const Node& node : model.graph().nodes) {
      if (node.op != "temporal_shift") continue;
      EXPECT_EQ(node.flag("bidirectional"), bidirectional);
    }
  }
}

TEST_F(VideoModel, StatisticsAreThoseOfSyntheticClips) {
  for (const char* arch : {"tsm-mobilenetv2", "tsm-resnet50"}) {
    ModelSpec spec = small_spec(arch);
    spec.width = 1.0 / 8;
    const Model model = Model::create(spec);
    const Array frames = simulated_frames(*model.profile().frames, 0);
    int norms = 0;
    const Array logits =
        evaluate(model.graph(), model.parameters(), frames, [&](const Node& node, const ConstRowView& x) {
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
            const double spread = std::sqrt(squares / n);
            ASSERT_NEAR(mean[c], sum / n, 1e-5 * (spread + std::abs(sum / n))) << node.name;
            ASSERT_NEAR(variance[c], squares / n, 1e-4 * (squares / n + std::pow(sum / n, 2))) << node.name;
          }
        });
    EXPECT_EQ(norms, arch == std::string("tsm-resnet50") ? 53 : 52);
    const auto values = logits.values<float>();
    float lowest = values[0], highest = values[0];
    for (const float v : values) {
      ASSERT_TRUE(std::isfinite(v));
      lowest = std::min(lowest, v);
      highest = std::max(highest, v);
    }
    EXPECT_GT(highest - lowest, 0.01);
    EXPECT_LT(highest - lowest, 100);
  }
}

TEST_F(VideoModel, SimulatedFramesAreNormalised) {
  const FrameProfile frames{24, 32, 32, {0.5f, 0.25f, 0.125f}, {0.5f, 0.25f, 2}, 8};
  const Array result = simulated_frames(frames, 7);
  EXPECT_EQ(result.shape(), (Shape{9, 24, 32, 3}));
  SynthVideoOptions options;
  options.frames = 3;
  options.height = 24;
  options.width = 32;
  const SynthClip last = synth_video(9, options);
  const std::size_t at = result.values<float>().size() - 3;
  for (std::size_t c = 0; c < 3; ++c) {
    const double expected = (last.frames[last.frames.size() - 3 + c] / 255.0 - frames.mean[c]) / frames.std[c];
    EXPECT_NEAR(result.values<float>()[at + c], expected, 1e-6);
  }
}

// Checkpoints

/// The tensors under the names that `rename` gives, and the counters that torch adds to every batch norm.
Parameters checkpoint_of(const Model& model, const std::function<std::string(std::string)>& rename) {
  Parameters result;
  for (const auto& [name, tensor] : model.parameters()) {
    result.emplace(rename(name), tensor);
    if (name.ends_with(".running_var"))
      result.emplace(rename(name.substr(0, name.rfind('.')) + ".num_batches_tracked"), Array({}, DType::kI64));
  }
  return result;
}

void expect_same_parameters(const Model& a, const Model& b) {
  ASSERT_EQ(a.parameters().size(), b.parameters().size());
  for (const auto& [name, tensor] : a.parameters()) expect_same_bits(b.parameters().at(name), tensor);
}

std::string replaced(std::string name, const std::string& from, const std::string& to) {
  if (const std::size_t at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
  return name;
}

TEST_F(VideoModel, TensorsOfTsmCheckpoints) {
  const Model& mobile = small_model();
  ModelSpec spec = small_spec();
  spec.seed = 99;
  spec.parameters = checkpoint_of(mobile, [](const std::string& name) { return name; });  // the online one
  expect_same_parameters(Model::create(spec), mobile);
  spec.parameters = checkpoint_of(mobile, [](const std::string& name) {  // an offline one
    const std::string head = replaced(name, "classifier.", "module.new_fc.");
    if (head != name) return head;
    return "module.base_model." + (name.starts_with("features.3.") ? replaced(name, "conv.0.", "conv.0.net.") : name);
  });
  EXPECT_TRUE(spec.parameters->contains("module.base_model.features.3.conv.0.net.weight"));
  expect_same_parameters(Model::create(spec), mobile);

  spec = small_spec("tsm-resnet50");
  spec.width = 1.0 / 16;
  const Model resnet = Model::create(spec);
  spec.seed = 99;
  for (const char* head : {"module.new_fc.", "module.base_model.fc."}) {
    spec.parameters = checkpoint_of(resnet, [&](const std::string& name) {
      if (name.starts_with("new_fc.")) return replaced(name, "new_fc.", head);
      return "module.base_model." + (name.starts_with("layer") ? replaced(name, "conv1.", "conv1.net.") : name);
    });
    EXPECT_TRUE(spec.parameters->contains("module.base_model.layer3.5.conv1.net.weight"));
    expect_same_parameters(Model::create(spec), resnet);
  }
}

TEST_F(VideoModel, CheckpointsThatDoNotFit) {
  const Model& mobile = small_model();
  ModelSpec spec = small_spec();
  spec.parameters = mobile.parameters();
  spec.parameters->emplace("module.classifier.bias", Array({27}, DType::kF32));
  expect_throw([&] { Model::create(spec); }, {"two tensors", "\"classifier.bias\"", "\"module.classifier.bias\""});
  spec.parameters = mobile.parameters();
  spec.parameters->erase("features.4.conv.3.weight");
  expect_throw([&] { Model::create(spec); }, {"\"features.4.conv.3.weight\"", "missing"});
  spec.parameters = mobile.parameters();
  spec.width = 0.5;
  expect_throw([&] { Model::create(spec); }, {"\"features.1.conv.0\"", "groups", "8 input", "found 16"});
}

// Thresholds and files

TEST_F(VideoModel, FilesKeepThresholds) {
  const Model& model = small_model();
  const fs::path path = folder_ / "model.safetensors";
  model.save(path);
  EXPECT_FALSE(read_safetensors(path).metadata.contains("voxshift.skip"));
  EXPECT_FALSE(Model::load(path).skip_thresholds().has_value());
  const SkipThresholds thresholds{0.1f, {{"features.3.conv.6", 1.0f / 3}, {"classifier", 0}}, 2.5f};
  const Model calibrated = model.with_skip_thresholds(thresholds);
  calibrated.save(path);
  const Model read = Model::load(path);
  EXPECT_EQ(read.skip_thresholds(), thresholds);
  EXPECT_EQ(read.profile().frames, model.profile().frames);
  EXPECT_EQ(read.classes().size(), model.classes().size());
  expect_same_parameters(read, model);
  const Array frames = simulated_frames(*model.profile().frames, 3);
  expect_same_bits(evaluate(read.graph(), read.parameters(), frames),
                   evaluate(model.graph(), model.parameters(), frames));
  EXPECT_EQ(read.with_profile(find_profile("jester")).skip_thresholds(), thresholds);
}

TEST_F(VideoModel, ThresholdsThatAreRefused) {
  const Model& model = small_model();
  for (const float bad : {-0.1f, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    expect_throw([&] { model.with_skip_thresholds({bad, {}, 0}); }, {"[skip]", "the frame", ">= 0"});
    expect_throw([&] { model.with_skip_thresholds({0, {}, bad}); }, {"[skip]", "whole frames"});
    expect_throw([&] { model.with_skip_thresholds({0, {{"classifier", bad}}, 0}); }, {"[skip]", "\"classifier\""});
  }
  expect_throw([&] { model.with_skip_thresholds({0, {{"layer1", 0}}, 0}); }, {"[skip]", "no layer \"layer1\""});
  NetworkBuilder net(InputKind::kVoxels, 4, 1);
  const Network on_voxels = net.take(net.linear("head", kGraphInput, 2));
  const Model voxels("test", on_voxels.graph, on_voxels.parameters, known_profiles().front(),
                     std::vector<ClassInfo>(2));
  expect_throw([&] { voxels.with_skip_thresholds({}); }, {"[skip]", "takes voxels"});

  const fs::path path = folder_ / "model.safetensors";
  const auto refusal = [&](const std::string& text) {
    model.save(path);
    SafeTensors content = read_safetensors(path);
    content.metadata["voxshift.skip"] = text;
    write_safetensors(path, content);
    return io_error(path, [&] { Model::load(path); });
  };
  EXPECT_SAYS(refusal("thresholds"), "is not JSON");
  EXPECT_SAYS(refusal("[]"), "[skip]");
  EXPECT_SAYS(refusal(R"({"frame": 0, "layers": {}})"), "whole_frame");
  EXPECT_SAYS(refusal(R"({"frame": "0", "layers": {}, "whole_frame": 0})"), "[skip]");
  EXPECT_SAYS(refusal(R"({"frame": null, "layers": {}, "whole_frame": 0})"), "[skip]");
  EXPECT_SAYS(refusal(R"({"frame": 0, "layers": {"classifier": -1}, "whole_frame": 0})"), "found -1");
  EXPECT_SAYS(refusal(R"({"frame": 0, "layers": {"conv": 1}, "whole_frame": 0})"), "no layer \"conv\"");
}

TEST_F(VideoModel, WhatDoesNotFitTogether) {
  ModelSpec spec = small_spec();
  spec.profile = "spvnas";
  expect_throw([&] { Model::create(spec); }, {"takes frames", "\"spvnas\"", "gives voxels"});
  spec.profile = "s3dis";
  expect_throw([&] { Model::create(spec); }, {"takes frames", "gives points"});
  spec = small_spec();
  spec.classes = 8193;
  expect_throw([&] { Model::create(spec); }, {"classes", "1 to 8192", "8193"});
  spec = {"minkunet", 1.0 / 32, 3};
  spec.bidirectional = true;
  expect_throw([&] { Model::create(spec); }, {"bidirectional", "minkunet"});
  spec = {"minkunet", 1.0 / 32, 3, 0, "jester"};
  expect_throw([&] { Model::create(spec); }, {"takes voxels", "\"jester\"", "gives frames"});
  const Model& model = small_model();
  Profile bad = model.profile();
  bad.frames->std[0] = 0;
  expect_throw([&] { model.with_profile(bad); }, {"std", "above 0"});
}

}  // namespace
}  // namespace voxshift
