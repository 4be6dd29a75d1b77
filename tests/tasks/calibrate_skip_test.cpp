// Calibration of thresholds: within the budget, and as large as it allows.
#include <voxshift/tasks/calibrate_skip.h>

#include <limits>
#include <set>

#include "device_fixture.h"
#include "video_cases.h"

namespace voxshift {
namespace {

constexpr std::int64_t kSize = 40;

const VideoNetwork& network() {
  static const VideoNetwork result(video_model(tiny_network(), kSize, kSize));
  return result;
}

std::vector<Array> clips() {
  return {Clip(kSize, kSize, 8, 2).add_noise(2).array(), Clip(kSize, kSize, 5, 1, 4).add_noise(2).array()};
}

std::vector<std::vector<float>> logits_of(const StreamOptions& options, double& mac_fraction) {
  std::vector<std::vector<float>> result;
  double macs = 0, dense = 0;
  for (const Array& clip : clips()) {
    Recognizer stream(network(), options);
    for (std::int64_t t = 0; t < clip.dim(0); ++t) {
      Array frame({kSize, kSize, 3}, DType::kU8);
      std::copy_n(clip.data<std::uint8_t>() + t * frame.count(), frame.count(), frame.data<std::uint8_t>());
      const FrameResult seen = stream.push(frame);
      result.push_back(floats(seen.logits));
      macs += static_cast<double>(seen.cost.macs);
      dense += static_cast<double>(seen.cost.dense_macs);
    }
  }
  mac_fraction = macs / dense;
  return result;
}

/// |skipping - dense| / |dense| over all frames of all clips
double change(const SkipThresholds& thresholds, double& mac_fraction) {
  double unused = 0, difference = 0, norm = 0;
  StreamOptions options = options_of(Skip::kAuto);
  options.thresholds = thresholds;
  options.always_compare = true;
  const auto dense = logits_of(options_of(Skip::kOff), unused), skipping = logits_of(options, mac_fraction);
  for (std::size_t f = 0; f < dense.size(); ++f)
    for (std::size_t c = 0; c < dense[f].size(); ++c) {
      difference += std::pow(static_cast<double>(skipping[f][c]) - dense[f][c], 2);
      norm += std::pow(static_cast<double>(dense[f][c]), 2);
    }
  return std::sqrt(difference / norm);
}

TEST(CalibrateSkip, StaysWithinTheBudget) {
  double last_fraction = 2;
  float whole_frame = 0;
  for (const double budget : {0.01, 0.05, 0.15, 0.25, 0.5}) {
    SCOPED_TRACE(budget);
    const SkipCalibration found = calibrate_skip(network(), clips(), budget, 1);
    double mac_fraction = 0;
    EXPECT_NEAR(change(found.thresholds, mac_fraction), found.logit_change, 1e-9);
    EXPECT_DOUBLE_EQ(mac_fraction, found.mac_fraction);
    EXPECT_LE(found.logit_change, budget);
    EXPECT_LE(found.mac_fraction, last_fraction);  // a larger budget saves more
    last_fraction = found.mac_fraction;
    whole_frame = std::max(whole_frame, found.thresholds.whole_frame);
    EXPECT_EQ(found.thresholds.layers.size(), network().layers().size());
    for (const FrameLayer& layer : network().layers()) EXPECT_TRUE(found.thresholds.layers.contains(layer.name));
    check_valid(found.thresholds);
  }
  EXPECT_LT(last_fraction, 0.7);
  EXPECT_GT(whole_frame, 0);
}

TEST(CalibrateSkip, AnyBudget) {
  const SkipCalibration all = calibrate_skip(network(), clips(), 1e6, 1);
  EXPECT_GT(all.thresholds.frame, 3);
  EXPECT_EQ(all.thresholds.whole_frame, 0);  // nothing is left that it could save
  // The first frame of each clip, and of the second one what the shifts bring in: the shifted layers, and what follows
  // the last shift, where a threshold would save next to nothing.
  const std::set<std::string> brought{"a.project", "c.conv1", "c.conv2", "c.conv3", "d.filter", "classes"};
  double macs = static_cast<double>(network().dense_macs());
  for (const FrameLayer& layer : network().layers())
    if (brought.contains(layer.name)) macs += static_cast<double>(layer.macs);
  EXPECT_DOUBLE_EQ(all.mac_fraction, 2 * macs / static_cast<double>(13 * network().dense_macs()));
  const SkipCalibration nothing = calibrate_skip(network(), clips(), 1e-12, 1);
  EXPECT_EQ(nothing.thresholds.whole_frame, 0);
  EXPECT_LE(nothing.logit_change, 1e-12);
}

// A single frame is dense whatever the thresholds.
TEST(CalibrateSkip, ThresholdsThatSaveNothingStayZero) {
  const SkipCalibration found = calibrate_skip(network(), {Clip(kSize, kSize, 1).array()}, 1e6, 1);
  EXPECT_EQ(found.mac_fraction, 1);
  EXPECT_EQ(found.logit_change, 0);
  EXPECT_EQ(found.thresholds.frame, 0);
  EXPECT_EQ(found.thresholds.whole_frame, 0);
  for (const auto& [layer, threshold] : found.thresholds.layers) EXPECT_EQ(threshold, 0) << layer;
}

TEST(CalibrateSkip, SameOnEveryRunAndForAnyThreads) {
  const std::vector<Array> clip{Clip(kSize, kSize, 3).add_noise(2).array()};
  const SkipCalibration one = calibrate_skip(network(), clip, 0.05, 1), two = calibrate_skip(network(), clip, 0.05, 2);
  EXPECT_EQ(one.thresholds, two.thresholds);
  EXPECT_EQ(one.logit_change, two.logit_change);
  EXPECT_EQ(one.mac_fraction, two.mac_fraction);
}

TEST(CalibrateSkip, Progress) {
  std::vector<std::size_t> done;
  calibrate_skip(network(), {clips()[1]}, 0.05, 1, [&](std::size_t now, std::size_t total) {
    EXPECT_EQ(total, network().layers().size() + 2);
    done.push_back(now);
  });
  ASSERT_EQ(done.size(), network().layers().size() + 3);
  for (std::size_t i = 0; i < done.size(); ++i) EXPECT_EQ(done[i], i);
}

TEST(CalibrateSkip, Errors) {
  const std::vector<Array> good = clips();
  for (const double budget : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    expect_throw([&] { calibrate_skip(network(), good, budget, 1); }, {"[calibrate]", "budget"});
  expect_throw([&] { calibrate_skip(network(), {}, 0.01, 1); }, {"[calibrate]", "one clip"});
  for (const Array& bad : {Array({0, kSize, kSize, 3}, DType::kU8), Array({2, kSize, kSize + 1, 3}, DType::kU8),
                           Array({2, kSize, kSize, 3}, DType::kF32), Array({kSize, kSize, 3}, DType::kU8)})
    expect_throw([&] { calibrate_skip(network(), {good[0], bad}, 0.01, 1); }, {"[calibrate]", "clip 1", "u8"});
}

}  // namespace
}  // namespace voxshift
