// Labels of points: from the profile's preprocessing to a label for every point, and what becomes of odd ones.
#include <voxshift/engine/evaluate.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tasks/segmenter.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "device_fixture.h"
#include "networks.h"

namespace voxshift {
namespace {

constexpr std::int64_t kChannels = 4;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

class SegmenterTest : public DeviceTest {};

VOXSHIFT_FOR_EACH_DEVICE(SegmenterTest);

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

TEST_P(SegmenterTest, SegmentLabelsEveryPoint) {
  const Model model = point_model();
  const SynthScan scan = synth_lidar(2);
  std::vector<float> values(scan.points.begin(), scan.points.begin() + 4 * 5000);
  for (std::size_t i = 0; i < values.size(); i += 4 * 97) values[i + i / 4 % 4] = i % 8 ? kNan : -kInfinity;
  const Array points = Array::from(values, {5000, 4});
  const auto expected = labels_of(model, points);
  std::vector<Segmentation> results;
  for (const int threads : thread_counts()) {
    Segmenter segmenter(model, device(), threads, DType::kF32);
    results.push_back(segmenter.segment(points.to(device()), true));
    EXPECT_EQ(host<std::uint8_t>(results.back().labels), expected);
    EXPECT_EQ(segmenter.report().points, 5000);
    EXPECT_EQ(segmenter.report().dropped_points, 52);
    EXPECT_EQ(std::count(expected.begin(), expected.end(), 255), 52);
    expect_same_bits(results.back().scores, results.front().scores);
    EXPECT_EQ(segmenter.segment(points.to(device())).scores.count(), 0);
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

TEST_P(SegmenterTest, ScoresAreTheSoftmaxOfTheLogits) {
  NetworkWriter b(kChannels);
  b.parameters.emplace("w", Array::from(std::vector<float>{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 100}, {3, 4}));
  Node& node = b.add_node("linear", {kGraphInput}, 3);
  node.parameters["weight"] = "w";
  const Model model = b.model(node.name);
  Segmenter segmenter(model, device(), 1, DType::kF32);
  const Array points = points_of({{1, 2, 0, -1}, {5, 3, 9, 1}});
  const auto scores = host<float>(segmenter.segment(points.to(device()), true).scores);
  const double e = std::exp(1.0) + std::exp(2.0) + std::exp(-100.0);
  EXPECT_NEAR(scores[0], std::exp(1.0) / e, 1e-6);
  EXPECT_NEAR(scores[1], std::exp(2.0) / e, 1e-6);
  EXPECT_NEAR(scores[5], 1, 1e-6);  // exp(100) alone would overflow float32
}

TEST_P(SegmenterTest, FewPoints) {
  const Model model = point_model();
  Segmenter segmenter(model, device(), 2, DType::kF32);
  const auto run = [&](const std::vector<std::array<float, 4>>& points) {
    const Array array = points_of(points);
    auto labels = host<std::uint8_t>(segmenter.segment(array.to(device())).labels);
    EXPECT_EQ(labels, labels_of(model, array));
    return labels;
  };
  EXPECT_TRUE(run({}).empty());
  EXPECT_EQ(segmenter.report().voxels, 0);
  EXPECT_NE(run({{1, 2, 3, 0.5f}})[0], 255);
  EXPECT_EQ(segmenter.report().voxels, 1);
  const auto same = run(std::vector<std::array<float, 4>>(1000, {-7.01f, 2, 1, 0.25f}));
  EXPECT_EQ(segmenter.report().voxels, 1);
  EXPECT_EQ(std::count(same.begin(), same.end(), same[0]), 1000);
  const auto none = run({{kNan, 0, 0, 0}, {0, kInfinity, 0, 0}, {0, 0, -kInfinity, 0}, {0, 0, 0, kNan}});
  EXPECT_EQ(none, std::vector<std::uint8_t>(4, 255));
  EXPECT_EQ(segmenter.report().dropped_points, 4);
  EXPECT_EQ(segmenter.report().voxels, 0);
  EXPECT_EQ(run({{kNan, 0, 0, 0}, {1, 1, 1, 1}})[0], 255);
}

TEST_P(SegmenterTest, FarPoints) {
  const Model model = point_model();
  Segmenter segmenter(model, device(), 2, DType::kF32);
  const auto run = [&](const std::vector<std::array<float, 4>>& points) {
    return host<std::uint8_t>(segmenter.segment(points_of(points).to(device())).labels);
  };
  // One far point, and two that are 1000 km apart on one axis, fit into a key.
  EXPECT_NE(run({{1e6f, 1e6f, 1e6f, 0}})[0], 255);
  EXPECT_EQ(run({{0, 0, 0, 0}, {1e6f, 0, 0, 0}}).size(), 2u);
  // On three axes they do not, and a cell beyond 2^30 is beyond every key: dropped where points are looked at first.
  if (device() == Device::cpu()) {
    EXPECT_EQ(run({{1, 0, 0, 0}, {0, 0, 0, 0}, {1e6f, 1e6f, 1e6f, 0}})[2], 255);
    EXPECT_EQ(run({{1, 0, 0, 0}, {0, 0, 0, 0}, {1e9f, 0, 0, 0}})[2], 255);
    EXPECT_EQ(segmenter.report().dropped_points, 1);
  } else {
    expect_throw([&] { run({{0, 0, 0, 0}, {1e6f, 1e6f, 1e6f, 0}}); }, {"bits", "range"});
    expect_throw([&] { run({{0, 0, 0, 0}, {1e9f, 0, 0, 0}}); }, {"2^30 cells", "range"});
  }
  expect_throw([&] { run({{3e38f, 0, 0, 0}}); }, {"2^30 cells"});
  // The segmenter goes on working.
  EXPECT_NE(run({{1, 2, 3, 0.5f}})[0], 255);

  const Model ranged = point_model(Range{{-50, -50, -4}, {50, 50, 2}});
  Segmenter in_range(ranged, device(), 1, DType::kF32);
  const auto labels = host<std::uint8_t>(
      in_range.segment(points_of({{0, 0, 0, 0}, {1e6f, 1e6f, 1e6f, 0}, {3e38f, 0, 0, 0}}).to(device())).labels);
  EXPECT_NE(labels[0], 255);
  EXPECT_EQ(labels[1], 255);
  EXPECT_EQ(labels[2], 255);
  EXPECT_EQ(in_range.report().dropped_points, 2);
}

TEST_P(SegmenterTest, MoreColumnsThanChannels) {
  const Model model = point_model();
  Segmenter segmenter(model, device(), 1, DType::kF32);
  const std::vector<float> six{1, 2, 3, 0.5f, 7, 8, 1, 2.5f, 3, 0.25f, 9, 10};
  const auto a = host<std::uint8_t>(segmenter.segment(Array::from(six, {2, 6}).to(device())).labels);
  const auto b =
      host<std::uint8_t>(segmenter.segment(points_of({{1, 2, 3, 0.5f}, {1, 2.5f, 3, 0.25f}}).to(device())).labels);
  EXPECT_EQ(a, b);
}

TEST_P(SegmenterTest, FeaturesAreScaledAndLabelsDoNotDependOnOtherScans) {
  NetworkWriter b(kChannels);
  const Model plain = b.model(b.linear(b.conv(kGraphInput, 8), 5));
  Profile scaled = plain.profile();
  scaled.scale = {0.5f, 1, 2, 0.25f};
  Segmenter segmenter(plain.with_profile(scaled), device(), 1, DType::kF32);
  Segmenter other(plain, device(), 1, DType::kF32);
  const SynthScan scan = synth_lidar(4);
  const Array points = Array::from(std::vector<float>(scan.points.begin(), scan.points.begin() + 4 * 3000), {3000, 4});
  const Voxels voxels = voxelize(points, scaled.voxelize);
  auto features = host<float>(voxels.tensor.features());
  for (std::size_t i = 0; i < features.size(); ++i) features[i] *= scaled.scale[i % 4];
  const SparseTensor scaled_voxels = voxels.tensor.with_features(Array::from(features, {voxels.tensor.size(), 4}));
  const auto logits = host<float>(other.session().forward(scaled_voxels.to(device())));
  const auto inverse = host<std::int32_t>(voxels.inverse);
  const auto first = host<std::uint8_t>(segmenter.segment(points.to(device())).labels);
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    const float* row = logits.data() + static_cast<std::size_t>(inverse[i]) * 5;
    ASSERT_EQ(first[i], std::max_element(row, row + 5) - row) << i;
  }
  const std::int64_t many = emulated() ? 6000 : static_cast<std::int64_t>(scan.labels.size());
  segmenter.segment(
      Array::from(std::vector<float>(scan.points.begin(), scan.points.begin() + 4 * many), {many, 4}).to(device()));
  EXPECT_EQ(host<std::uint8_t>(segmenter.segment(points.to(device())).labels), first);
}

TEST_P(SegmenterTest, InputsThatAreRefused) {
  NetworkWriter b(kChannels);
  const Model model = b.model(b.conv(kGraphInput, 3));
  Segmenter segmenter(model, device(), 1, DType::kF32);
  expect_throw([&] { segmenter.segment(Array({9, 2}, DType::kF32).to(device())); }, {"C >= 3", "[9, 2]"});
  expect_throw([&] { segmenter.segment(Array({9}, DType::kF32).to(device())); }, {"[9]"});
  expect_throw([&] { segmenter.segment(Array({9, 4}, DType::kI32).to(device())); }, {"f32", "i32"});
  const auto points = Array::from(std::vector<float>(9 * kChannels), {9, kChannels});
  EXPECT_EQ(segmenter.segment(points.to(device())).labels.count(), 9);  // it goes on working

  NetworkWriter flat(kChannels, 2);
  Segmenter on_two_axes(flat.model(flat.conv(kGraphInput, 3)), device(), 1, DType::kF32);
  expect_throw([&] { on_two_axes.segment(Array({9, 4}, DType::kF32).to(device())); }, {"2 axes"});

  NetworkWriter coarse(kChannels);
  Segmenter coarser(coarse.model(coarse.conv(kGraphInput, 3, 2, 2)), device(), 1);
  expect_throw([&] { coarser.segment(Array({9, 4}, DType::kF32).to(device())); }, {"other coordinates"});
}

}  // namespace
}  // namespace voxshift
