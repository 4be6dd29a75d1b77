// Skipping: exact where nothing may be lost, within the thresholds elsewhere, at the cost that is reported.
#include <voxshift/graph/window_step.h>

#include <utility>

#include "stream_cases.h"
#include "tiny_oracle.h"

namespace voxshift {
namespace {

using oracle::Image;
using oracle::Images;
using oracle::Mask;

/// A stream over the tiny network, and what it kept after this frame and the last processed one.
class Watched {
 public:
  Watched(const VideoNetwork& network, const StreamOptions& options)
      : stream(network, options), frame_(static_cast<std::size_t>(kStreamHeight * kStreamWidth * 3)) {}

  /// `look`: also at the layers' outputs.
  FrameCost push(const Array& frame, bool look = true) {
    const FrameCost cost = stream.push(frame).cost;
    const auto changed = stream.changed_pixels();
    for (std::size_t i = 0; i < frame_.size(); ++i)
      if (changed[i / 3] != 0) frame_[i] = frame.data<std::uint8_t>()[i];
    if (cost.skipped || !look) return cost;
    last = std::exchange(kept, {});
    Image& input = kept["input"];
    input = {kStreamHeight, kStreamWidth, 3, std::vector<double>(frame_.size())};
    const FrameProfile profile;
    for (std::size_t i = 0; i < frame_.size(); ++i)
      input.values[i] = (frame_[i] / 255.0 - profile.mean[i % 3]) / profile.std[i % 3];
    for (const auto& [value, layer] : oracle::tiny_layers()) kept[value] = oracle::image_of(stream.layer_output(layer));
    return cost;
  }

  Recognizer stream;
  Images kept, last;
  std::vector<std::uint8_t> frame_;
};

class VideoSkipTest : public StreamTest {};
VOXSHIFT_FOR_EACH_DEVICE(VideoSkipTest);

/// Largest difference of a kept value from the layer applied to the kept inputs, beyond what rounding may do.
double worst_error(const Watched& watched, const Network& network) {
  const oracle::PlainNodes nodes(network, watched.kept, watched.last);
  double worst = 0;
  for (const auto& [value, layer] : oracle::tiny_layers()) {
    const Image expected = nodes.compute(value);
    const Image& kept = watched.kept.at(value);
    EXPECT_EQ(kept.values.size(), expected.values.size()) << layer;
    for (std::size_t i = 0; i < kept.values.size(); ++i) {
      const double rounding = 1e-5 * (1 + std::abs(expected.values[i]));
      worst = std::max(worst, std::abs(kept.values[i] - expected.values[i]) - rounding);
    }
  }
  return worst;
}

// Pixels

TEST_P(VideoSkipTest, ExactIsTheDenseResult) {
  struct Case {
    const char* name;
    Clip clip;
  };
  for (Case c : {Case{"moving", tiny_clip(12)}, Case{"still at times", tiny_clip(24, 8)},
                 Case{"noisy", tiny_clip(6).add_noise(3)}}) {
    SCOPED_TRACE(c.name);
    for (const Network& plain : stream_networks(emulated())) {
      const VideoNetwork network = network_of(plain, kStreamHeight, kStreamWidth);
      Recognizer off(network, options_of(Skip::kOff)), exact(network, options_of(Skip::kExact)),
          zero(network, always(options_of(Skip::kThreshold, 0)));
      for (std::size_t f = 0; f < c.clip.count(); ++f) {
        const Seen dense = push(off, c.clip.frame(f)), masked = push(exact, c.clip.frame(f));
        expect_same(masked, dense);
        expect_same(push(zero, c.clip.frame(f)), dense);
        EXPECT_LE(masked.cost.macs, dense.cost.macs);
      }
    }
  }
}

// A still camera costs nothing once the shifts have passed the last change on.
TEST_P(VideoSkipTest, StillFramesCostNothing) {
  Recognizer stream(tiny(), always(options_of(Skip::kExact)));
  const Clip clip = tiny_clip(6, 6);
  std::vector<std::int64_t> macs;
  for (std::size_t f = 0; f < clip.count(); ++f) macs.push_back(push(stream, clip.frame(f)).cost.macs);
  EXPECT_EQ(macs[0], tiny().dense_macs());
  EXPECT_GT(macs[1], 0);  // both shifts have replaced their zeros
  EXPECT_LT(macs[1], macs[0]);
  for (std::size_t f = 3; f < macs.size(); ++f) EXPECT_EQ(macs[f], 0) << "frame " << f;
  for (const std::uint8_t changed : stream.changed_pixels()) EXPECT_EQ(changed, 0);
}

// The frame's threshold is in normalised units, the same for all channels.
TEST_P(VideoSkipTest, ChangedPixels) {
  const float threshold = 0.1f;
  const StreamOptions options = always(auto_options({threshold, {}, 0}));
  Recognizer stream(tiny(), options);
  Clip clip = tiny_clip(5).add_noise(7);
  const FrameProfile profile;
  std::vector<std::uint8_t> kept = clip.frames[0];
  push(stream, clip.frame(0));
  for (std::size_t f = 1; f < clip.count(); ++f) {
    const Seen seen = push(stream, clip.frame(f));
    std::int64_t count = 0;
    for (std::size_t p = 0; p < kept.size() / 3; ++p) {
      bool changed = false;
      for (std::size_t c = 0; c < 3; ++c)
        changed = changed || std::abs(clip.frames[f][3 * p + c] - kept[3 * p + c]) > threshold * 255 * profile.std[c];
      ASSERT_EQ(stream.changed_pixels()[p], changed ? 1 : 0) << "frame " << f << ", pixel " << p;
      count += changed;
      for (std::size_t c = 0; changed && c < 3; ++c) kept[3 * p + c] = clip.frames[f][3 * p + c];
    }
    EXPECT_EQ(seen.cost.changed_pixels, count);
    EXPECT_GT(count, 0);
    EXPECT_LT(count, kStreamHeight * kStreamWidth);
  }
}

TEST_P(VideoSkipTest, KeptValuesAreWithinTheThreshold) {
  const Network network = tiny_network();
  const Clip clip = tiny_clip(emulated() ? 60 : kSanitized ? 210 : 1000).add_noise(6);
  for (const float threshold : {0.0f, 0.05f, 0.4f}) {
    SCOPED_TRACE(threshold);
    Watched watched(tiny(), always(options_of(Skip::kThreshold, threshold)));
    double worst = 0;
    for (std::size_t f = 0; f < clip.count(); ++f) {
      const bool look = f % 100 < 2 || f + 3 >= clip.count() || f < 8;  // at two neighbours, for the shift
      const FrameCost cost = watched.push(clip.frame(f), look);
      ASSERT_FALSE(cost.skipped);
      if (f % 100 == 1 || f + 2 >= clip.count() || f < 8) worst = std::max(worst, worst_error(watched, network));
    }
    EXPECT_LE(worst, threshold);
    if (threshold > 0) {
      EXPECT_GT(worst, threshold / 4) << "nothing was left out";
    }
  }
}

/// Multiply-adds of a frame, counted by loops over masks of what changed.
std::int64_t counted_macs(const Watched& watched, std::map<int, Mask>& previous) {
  const Plan& plan = *watched.stream.network().plan();
  static const Network network = tiny_network();
  std::map<std::string, std::string> value_of;  // by layer
  for (const auto& [value, layer] : oracle::tiny_layers()) value_of[layer] = value;
  std::map<int, Mask> masks;
  const auto changed = watched.stream.changed_pixels();
  masks[plan.input()] = {kStreamHeight, kStreamWidth, {changed.begin(), changed.end()}};
  std::int64_t macs = 0;
  for (const auto& pointer : plan.steps) {
    const Step& step = *pointer;
    const std::string& name = value_of.at(step.name);
    const Image& image = watched.kept.at(name);
    masks[step.output] = oracle::difference(image, watched.last.at(name));
    if (step.name == "mean" || step.name == "d.pool") continue;  // pooling multiplies nothing
    const auto& moving = dynamic_cast<const WindowStep&>(step);
    Mask in = masks.at(step.input);
    if (moving.shift() && !previous.empty()) in = in | previous.at(step.input);
    const Window2d window = moving.window();
    const Array& weight = network.parameters.at(step.name + ".weight");
    std::int64_t each = weight.count(), hidden = 0;  // of an output pixel, of a hidden one
    const Extent2d between = moving.hidden();
    if (const Window2d* front = moving.front(); front != nullptr) {
      in = oracle::through(in, *front, between.height, between.width, true);
      hidden = front->kernel * front->kernel * plan.value(step.input).channels * weight.dim(1);
      each += weight.dim(1) * window.kernel * window.kernel;
    }
    Mask wanted = oracle::through(in, window, image.height, image.width, true);
    if (step.other >= 0) wanted = wanted | masks.at(step.other);
    const std::int64_t all = image.height * image.width;
    macs += wanted.count() * each;
    if (wanted.count() == all) {
      macs += between.pixels() * hidden;
    } else if (hidden > 0) {
      macs += oracle::through(wanted, window, between.height, between.width, false).count() * hidden;
    }
  }
  previous = masks;
  return macs;
}

TEST_P(VideoSkipTest, MacsAreThoseOfTheChangedPixels) {
  for (const auto& [frame, layers] : {std::pair{0.0f, 0.0f}, std::pair{0.12f, 0.1f}, std::pair{0.3f, 0.5f}}) {
    SCOPED_TRACE(layers);
    Watched watched(tiny(), always(auto_options(thresholds_of(tiny(), frame, layers, 0))));
    Clip clip = tiny_clip(14, 2);
    if (frame > 0) clip.add_noise(8);
    std::map<int, Mask> previous;
    for (std::size_t f = 0; f < clip.count(); ++f) {
      const FrameCost cost = watched.push(clip.frame(f));
      if (f == 0) {
        for (auto& [value, image] : watched.kept)
          watched.last[value] = {image.height, image.width, image.channels, std::vector<double>(image.values.size())};
        counted_macs(watched, previous);
        EXPECT_EQ(cost.macs, tiny().dense_macs());
      } else {
        EXPECT_EQ(cost.macs, counted_macs(watched, previous)) << "frame " << f;
      }
    }
  }
}

// Whole frames

TEST_P(VideoSkipTest, WholeFramesAreSkipped) {
  const Clip clip = brightening_clip(12, 3, 2);
  const SkipThresholds thresholds = thresholds_of(tiny(), 0, 0, 3);
  Recognizer stream(tiny(), auto_options(thresholds)), exact(tiny(), options_of(Skip::kExact));
  settle(stream, clip.frame(0)), settle(exact, clip.frame(0));
  Seen last;
  for (std::size_t f = 0; f < clip.count(); ++f) {
    const Seen seen = push(stream, clip.frame(f));
    EXPECT_EQ(seen.cost.skipped, f % 3 != 0) << "frame " << f;
    if (seen.cost.skipped) {
      expect_same(seen, last);
      EXPECT_EQ(seen.cost.macs, 0);
      EXPECT_EQ(seen.cost.dense_macs, tiny().dense_macs());
      EXPECT_EQ(seen.cost.changed_pixels, 0);
      EXPECT_FALSE(seen.cost.key_frame);
      for (const std::uint8_t changed : stream.changed_pixels()) ASSERT_EQ(changed, 0);
    } else {  // as if the skipped frames had never been
      const Seen other = push(exact, clip.frame(f));
      expect_same(seen, other);
      expect_same_cost(seen.cost, other.cost);
    }
    last = seen;
  }
  StreamOptions every = auto_options(thresholds);
  every.whole_frames = false;
  Recognizer processed(tiny(), every);
  settle(processed, clip.frame(0));
  for (std::size_t f = 0; f < clip.count(); ++f) EXPECT_FALSE(push(processed, clip.frame(f)).cost.skipped);
}

// A scene takes a frame to get past each shift: only then is its result the one that it would keep.
TEST_P(VideoSkipTest, NoneIsSkippedUntilTheSceneIsPastTheShifts) {
  for (const auto& [plain, shifts] : {std::pair{tiny_network(), kTinyShifts}, std::pair{mobilenet(0.25), 10}}) {
    SCOPED_TRACE(shifts);
    const VideoNetwork network = network_of(plain, kStreamHeight, kStreamWidth);
    const SkipThresholds thresholds = thresholds_of(network, 0, 0, 3);
    Recognizer stream(network, auto_options(thresholds)), exact(network, options_of(Skip::kExact));
    const auto expect_scene = [&, wait = shifts](const Array& frame) {
      Seen last;
      for (int f = 0; f <= wait; ++f) {
        const Seen seen = push(stream, frame), expected = push(exact, frame);
        expect_same(seen, expected);
        expect_same_cost(seen.cost, expected.cost);
        EXPECT_FALSE(seen.cost.skipped) << "frame " << f;
        EXPECT_TRUE(f == 0 || seen.logits != last.logits) << "frame " << f;
        last = seen;
      }
      for (int f = 0; f < 3; ++f) {
        const Seen seen = push(stream, frame);
        EXPECT_TRUE(seen.cost.skipped);
        expect_same(seen, push(exact, frame));
      }
    };
    expect_scene(tiny_clip(1).frame(0));
    expect_scene(grey(230));  // a cut
    stream.reset(), exact.reset();
    expect_scene(grey(230));
  }
}

// Compared with the last processed frame, not the last one received: a slow change is seen in the end.
TEST_P(VideoSkipTest, SlowChangesAreSeen) {
  Recognizer stream(tiny(), auto_options(thresholds_of(tiny(), 0, 0, 3)));
  settle(stream, grey(100));
  for (int f = 0; f < 13; ++f)
    EXPECT_EQ(push(stream, grey(static_cast<std::uint8_t>(100 + f))).cost.skipped, f % 4 != 0) << "frame " << f;
}

TEST_P(VideoSkipTest, ACutIsAKeyFrame) {
  const auto cut = static_cast<int>(Recognizer::kCutDifference);
  for (const StreamOptions& options :
       {options_of(Skip::kExact), options_of(Skip::kThreshold, 10), auto_options(thresholds_of(tiny(), 1, 1, 250))}) {
    Recognizer stream(tiny(), options);
    EXPECT_TRUE(push(stream, grey(50)).cost.key_frame);
    settle(stream, grey(50));
    EXPECT_FALSE(push(stream, grey(static_cast<std::uint8_t>(50 + cut))).cost.key_frame);
    const std::uint8_t last = options.skip == Skip::kAuto ? 50 : static_cast<std::uint8_t>(50 + cut);
    const Seen seen = push(stream, grey(static_cast<std::uint8_t>(last + cut + 1)));
    EXPECT_TRUE(seen.cost.key_frame);
    EXPECT_FALSE(seen.cost.skipped);
    EXPECT_EQ(seen.cost.macs, tiny().dense_macs());
    EXPECT_EQ(seen.cost.changed_pixels, kStreamHeight * kStreamWidth);
  }
}

TEST_P(VideoSkipTest, KeyFramesByTheInterval) {
  const Network network = tiny_network();
  StreamOptions options = always(auto_options(thresholds_of(tiny(), 0.2f, 0.5f, 3)));
  options.key_frame_interval = 3;
  Watched watched(tiny(), options);
  const Clip clip = brightening_clip(18, 2, 2);  // every other frame is skipped and does not count
  int processed = 0;
  for (int f = -kTinyShifts; f < 18; ++f) {
    const FrameCost cost = watched.push(clip.frame(static_cast<std::size_t>(std::max(f, 0))));
    EXPECT_EQ(cost.skipped, f > 0 && f % 2 == 1) << "frame " << f;
    EXPECT_EQ(cost.key_frame, !cost.skipped && processed % 3 == 0) << "frame " << f;
    if (!cost.skipped) ++processed;
    if (!cost.key_frame) continue;
    EXPECT_EQ(cost.macs, tiny().dense_macs());
    EXPECT_LE(worst_error(watched, network), 0);  // nothing is left out
  }
}

}  // namespace
}  // namespace voxshift
