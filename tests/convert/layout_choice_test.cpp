#include <gtest/gtest.h>
#include <voxshift/convert/layout_choice.h>
#include <voxshift/graph/safetensors.h>
#include <voxshift/networks/network_builder.h>
#include <voxshift/tensor/error.h>

#include <string>

#include "file_test.h"

namespace voxshift {
namespace {

// Two convolutions of 3^3 taps with these channels.
template <int kIn, int kMiddle, int kOut>
Source source_of(std::vector<KernelLayout> layouts) {
  return {"test", "two convolutions", std::move(layouts), [](const StateDict&) { return true; },
          [](const StateDict&, const SketchOptions&) {
            NetworkBuilder net(InputKind::kVoxels, kIn, std::nullopt);
            const std::string x = net.conv("a", kGraphInput, kMiddle, 3, 1, "conv", "weight");
            return Sketch{"test", net.take(net.conv("b", x, kOut, 3, 1, "conv", "weight", true))};
          }};
}

const std::vector<KernelLayout> kAllOfSpconv{KernelLayout::kSpconv22, KernelLayout::kSpconv1, KernelLayout::kSpconv20};

class LayoutChoiceTest : public FileTest {
 protected:
  StateDict state(const std::vector<std::pair<std::string, Shape>>& tensors) const {
    SafeTensors file;
    for (const auto& [name, shape] : tensors) {
      Array array(shape, DType::kF32);
      for (std::int64_t i = 0; i < array.count(); ++i) array.data<float>()[i] = static_cast<float>(i);
      file.tensors.emplace(name, array);
    }
    write_safetensors(folder_ / "net.safetensors", file);
    return StateDict::find(Checkpoint::read(folder_ / "net.safetensors"));
  }
  template <class Call>
  static std::string error_of(const Call& call) {
    try {
      call();
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "no error";
  }
};

TEST_F(LayoutChoiceTest, ShapesTellTheLayout) {
  const Source source = source_of<2, 4, 2>(kAllOfSpconv);
  const auto layout = [&](const Shape& a, const Shape& b) {
    return only_fit(source, state({{"a.weight", a}, {"b.weight", b}, {"b.bias", {2}}}), {}).layout;
  };
  EXPECT_EQ(layout({3, 3, 3, 2, 4}, {3, 3, 3, 4, 2}), KernelLayout::kSpconv1);
  EXPECT_EQ(layout({3, 3, 3, 4, 2}, {3, 3, 3, 2, 4}), KernelLayout::kSpconv20);
  EXPECT_EQ(layout({4, 3, 3, 3, 2}, {2, 3, 3, 3, 4}), KernelLayout::kSpconv22);
}

TEST_F(LayoutChoiceTest, AsksWhereEveryLayerHasAsManyInputsAsOutputs) {
  const Source source = source_of<2, 2, 2>(kAllOfSpconv);
  const StateDict open = state({{"a.weight", {3, 3, 3, 2, 2}}, {"b.weight", {3, 3, 3, 2, 2}}, {"b.bias", {2}}});
  const std::string error = error_of([&] { only_fit(source, open, {}); });
  EXPECT_NE(error.find("spconv1 or spconv2.0"), std::string::npos) << error;
  EXPECT_NE(error.find("--layout"), std::string::npos) << error;
  ConvertOptions options;
  for (const char* each : {"spconv1", "spconv2.0"}) {
    options.layout = each;
    EXPECT_EQ(only_fit(source, open, options).layout, kernel_layout(each));
  }
  const StateDict told = state({{"a.weight", {2, 3, 3, 3, 2}}, {"b.weight", {2, 3, 3, 3, 2}}, {"b.bias", {2}}});
  EXPECT_EQ(only_fit(source, told, {}).layout, KernelLayout::kSpconv22);
}

TEST_F(LayoutChoiceTest, RefusesLayoutsThatTheSourceHasNot) {
  const Source source = source_of<2, 4, 2>({KernelLayout::kMinkowski});
  const StateDict fits = state({{"a.weight", {27, 2, 4}}, {"b.weight", {27, 4, 2}}, {"b.bias", {1, 2}}});
  EXPECT_EQ(only_fit(source, fits, {}).layout, KernelLayout::kMinkowski);
  ConvertOptions options;
  options.layout = "torchsparse";
  EXPECT_NE(error_of([&] { only_fit(source, fits, options); }).find("never laid out"), std::string::npos);
  options.layout = "spconv9";
  EXPECT_NE(error_of([&] { only_fit(source, fits, options); }).find("spconv2.2"), std::string::npos);
}

TEST_F(LayoutChoiceTest, NamesWhatDoesNotFitTheNearestLayout) {
  const Source source = source_of<2, 4, 2>(kAllOfSpconv);
  const auto error = [&](const std::vector<std::pair<std::string, Shape>>& tensors) {
    return error_of([&] { only_fit(source, state(tensors), {}); });
  };
  EXPECT_EQ(error({{"a.weight", {3, 3, 3, 2, 4}}, {"b.weight", {3, 3, 3, 4, 2}}}),
            "[convert] test: \"b.bias\" is missing, expected [2]");
  EXPECT_EQ(error({{"a.weight", {3, 3, 3, 2, 4}}, {"b.weight", {3, 3, 3, 4, 2}}, {"b.bias", {3}}}),
            "[convert] test: \"b.bias\" is [3], expected [2]");
  EXPECT_EQ(error({{"a.weight", {3, 3, 3, 2, 4}}, {"b.weight", {3, 3, 3, 4, 2}}, {"b.bias", {2}}, {"c.bias", {7}}}),
            "[convert] test: \"c.bias\" [7] has no place in the network");
  EXPECT_EQ(error({{"a.weight", {3, 3, 3, 2, 4}}, {"b.weight", {3, 3, 3, 4, 3}}}),
            "[convert] test: \"b.bias\" is missing, expected [2] (and 1 more)");
}

// A layout in which not even the network can be told is further than one with more misfits.
TEST_F(LayoutChoiceTest, NamesNoLayoutThatTellsNoNetwork) {
  Source source = source_of<2, 4, 2>({KernelLayout::kSpconv22, KernelLayout::kSpconv1});
  source.sketch = [](const StateDict& state, const SketchOptions& options) {
    check(options.layout == KernelLayout::kSpconv1, "no network");
    return source_of<2, 4, 2>({}).sketch(state, options);
  };
  EXPECT_EQ(error_of([&] {
              only_fit(source, state({{"a.weight", {3, 3, 3, 2, 4}}, {"b.weight", {3}}}), {});
            }),
            "[convert] test: \"b.bias\" is missing, expected [2] (and 1 more)");
}

TEST_F(LayoutChoiceTest, ReadsWhatFits) {
  const Source source = source_of<2, 4, 2>(kAllOfSpconv);
  const StateDict state_dict = state(
      {{"a.weight", {4, 3, 3, 3, 2}}, {"b.weight", {2, 3, 3, 3, 4}}, {"b.bias", {2}}, {"b.num_batches_tracked", {}}});
  const Fit fit = only_fit(source, state_dict, {});
  EXPECT_EQ(omissions(fit.sketch, fit.places, state_dict).size(), 1U);
  const Network network = filled(fit.sketch, fit.places, state_dict);
  const Array& a = network.parameters.at("a.weight");
  ASSERT_EQ(a.shape(), (Shape{27, 2, 4}));
  for (std::int64_t k = 0; k < 27; ++k)
    for (std::int64_t i = 0; i < 2; ++i)
      for (std::int64_t o = 0; o < 4; ++o)
        EXPECT_EQ(a.data<float>()[(k * 2 + i) * 4 + o], static_cast<float>((o * 27 + k) * 2 + i));
  EXPECT_EQ(network.parameters.at("b.bias").data<float>()[1], 1.0f);
}

}  // namespace
}  // namespace voxshift
