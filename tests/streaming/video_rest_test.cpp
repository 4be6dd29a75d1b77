// A stream that leaves off comparing where that does not pay: the same results through all transitions, and back soon.
#include <voxshift/streaming/skip_cost.h>

#include <utility>

#include "stream_cases.h"
#include "tiny_oracle.h"

namespace voxshift {
namespace {

using oracle::Image;
using oracle::Images;

class VideoRestTest : public StreamTest {};
VOXSHIFT_FOR_EACH_DEVICE(VideoRestTest);

/// Appends frames of a moving square whose pixels are all off by up to `noise` grey levels.
Clip& add_noisy(Clip& clip, int frames, int noise, unsigned seed) {
  Clip part(clip.height, clip.width, frames, 1, seed);
  part.add_noise(noise);
  clip.frames.insert(clip.frames.end(), part.frames.begin(), part.frames.end());
  return clip;
}

Clip& add_still(Clip& clip, int frames) {
  const auto last = clip.frames.back();
  clip.frames.insert(clip.frames.end(), static_cast<std::size_t>(frames), last);
  return clip;
}

/// Moves, rests, moves, rests.
Clip restless_clip() {
  Clip clip = tiny_clip(0);
  add_still(add_noisy(clip, 14, 20, 1), 12);
  return add_still(add_noisy(clip, 16, 20, 1), 24);
}

bool compared(const FrameCost& cost) { return !cost.dense && !cost.skipped; }

TEST_P(VideoRestTest, ExactIsOffThroughAllTransitions) {
  const Clip clip = restless_clip();
  for (const Network& plain : stream_networks(emulated())) {
    const VideoNetwork network = network_of(plain, kStreamHeight, kStreamWidth);
    Recognizer off(network, options_of(Skip::kOff)), exact(network, options_of(Skip::kExact));
    int turns = 0;
    bool last = true;
    for (std::size_t f = 0; f < clip.count(); ++f) {
      SCOPED_TRACE("frame " + std::to_string(f));
      const Seen dense = push(off, clip.frame(f)), seen = push(exact, clip.frame(f));
      expect_same(seen, dense);
      EXPECT_TRUE(dense.cost.dense);
      if (seen.cost.dense) {
        EXPECT_EQ(seen.cost.macs, network.dense_macs());
        EXPECT_EQ(seen.cost.changed_pixels, kStreamHeight * kStreamWidth);
        for (const std::uint8_t changed : exact.changed_pixels()) ASSERT_EQ(changed, 1);
      }
      turns += compared(seen.cost) != last;
      last = compared(seen.cost);
    }
    EXPECT_GE(turns, 4);  // rests, compares, rests, compares
    EXPECT_EQ(exact.cost().macs, 0);
  }
}

TEST_P(VideoRestTest, RestsOnNoiseAndComesBackInTime) {
  Clip clip = tiny_clip(0);
  Recognizer stream(tiny(), options_of(Skip::kExact));
  add_noisy(clip, 100, 20, 1);
  int dense = 0;
  for (std::size_t f = 0; f < clip.count(); ++f) dense += push(stream, clip.frame(f)).cost.dense;
  EXPECT_GE(dense, 90);
  const Array still = clip.frame(clip.count() - 1);
  int frames = 0;
  while (push(stream, still).cost.dense) ASSERT_LE(++frames, SkipPolicy::kLongestRest + 1);
  EXPECT_GT(frames, 0);
}

// Every kept value is within the threshold of its layer applied to the kept values that it reads, in each frame that
// keeps any and whose last one did, too; all others are those of a stream that never skips.
TEST_P(VideoRestTest, ThresholdsAreBoundsThroughAllTransitions) {
  const Network network = tiny_network();
  const FrameProfile profile;
  Clip clip = restless_clip();
  clip.add_noise(1);
  for (const float threshold : {0.05f, 0.3f}) {
    SCOPED_TRACE(threshold);
    Recognizer stream(tiny(), options_of(Skip::kThreshold, threshold));
    Images kept, last;
    std::vector<std::uint8_t> pixels(clip.frames[0].size());
    double worst = 0;
    int looked = 0, rested = 0;
    for (std::size_t f = 0; f < clip.count(); ++f) {
      const Seen seen = push(stream, clip.frame(f));
      const auto changed = stream.changed_pixels();
      for (std::size_t i = 0; i < pixels.size(); ++i)
        if (changed[i / 3] != 0) pixels[i] = clip.frames[f][i];
      last = std::exchange(kept, {});
      Image input{kStreamHeight, kStreamWidth, 3, {}};
      for (std::size_t i = 0; i < pixels.size(); ++i)
        input.values.push_back((pixels[i] / 255.0 - profile.mean[i % 3]) / profile.std[i % 3]);
      try {
        for (const auto& [value, layer] : oracle::tiny_layers())
          kept[value] = oracle::image_of(stream.layer_output(layer));
      } catch (const InvalidArgument&) {
        EXPECT_TRUE(seen.cost.dense) << "frame " << f;
        EXPECT_EQ(std::count(changed.begin(), changed.end(), 1), kStreamHeight * kStreamWidth) << "frame " << f;
        ++rested;
        kept.clear();
        continue;
      }
      kept["input"] = input;
      if (last.empty()) continue;
      ++looked;
      const oracle::PlainNodes nodes(network, kept, last);
      for (const auto& [value, layer] : oracle::tiny_layers()) {
        const Image expected = nodes.compute(value);
        for (std::size_t i = 0; i < expected.values.size(); ++i)
          worst = std::max(worst, std::abs(kept.at(value).values[i] - expected.values[i]) -
                                      1e-5 * (1 + std::abs(expected.values[i])));
      }
    }
    EXPECT_LE(worst, threshold);
    EXPECT_GT(worst, threshold / 4) << "nothing was left out";
    EXPECT_GT(looked, 10);
    EXPECT_GT(rested, 10);
  }
}

// Once the shifts have seen as many dense frames as there are, nothing of what was left out before remains.
TEST_P(VideoRestTest, DenseFramesAreThoseOfAStreamThatNeverSkips) {
  Clip clip = restless_clip();
  Recognizer off(tiny(), options_of(Skip::kOff)), stream(tiny(), options_of(Skip::kThreshold, 0.3f));
  int dense = 0, same = 0;
  for (std::size_t f = 0; f < clip.count(); ++f) {
    const Seen expected = push(off, clip.frame(f)), seen = push(stream, clip.frame(f));
    dense = seen.cost.dense ? dense + 1 : 0;
    if (dense <= kTinyShifts) continue;
    expect_same(seen, expected);
    ++same;
  }
  EXPECT_GT(same, 6);
}

TEST_P(VideoRestTest, ThreadsDoNotMatter) {
  const Clip clip = restless_clip();
  for (const StreamOptions& options : {options_of(Skip::kExact), options_of(Skip::kThreshold, 0.2f),
                                       auto_options(thresholds_of(tiny(), 0.1f, 0.1f, 1))}) {
    std::vector<Recognizer> streams;
    for (const int threads : {1, 2, 3}) {
      StreamOptions with = options;
      with.threads = threads;
      streams.emplace_back(tiny(), with);
    }
    for (std::size_t f = 0; f < clip.count(); ++f) {
      const Seen expected = push(streams[0], clip.frame(f));
      for (std::size_t s = 1; s < streams.size(); ++s) {
        const Seen seen = push(streams[s], clip.frame(f));
        expect_same(seen, expected);
        expect_same_cost(seen.cost, expected.cost);
      }
    }
  }
}

// A frame like the last processed one is skipped whole, whatever the form of that one.
TEST_P(VideoRestTest, WholeFramesAreSkippedWhileItRests) {
  Clip clip = tiny_clip(0);
  add_noisy(clip, 20, 20, 1);
  const SkipThresholds thresholds = thresholds_of(tiny(), 0, 0, 0.5f);
  Recognizer stream(tiny(), auto_options(thresholds)), off(tiny(), options_of(Skip::kOff));
  int skipped = 0;
  for (std::size_t f = 0; f < clip.count(); ++f) {
    const Seen seen = push(stream, clip.frame(f)), expected = push(off, clip.frame(f));
    expect_same(seen, expected);
    if (f < 12) continue;
    ASSERT_TRUE(seen.cost.dense && !seen.cost.skipped) << "frame " << f;
    for (int again = 0; again < 3; ++again) {
      const Seen same = push(stream, clip.frame(f));
      EXPECT_TRUE(same.cost.skipped) << "frame " << f;
      EXPECT_FALSE(same.cost.dense);
      EXPECT_EQ(same.cost.macs, 0);
      expect_same(same, expected);
      for (const std::uint8_t changed : stream.changed_pixels()) ASSERT_EQ(changed, 0);
      skipped += same.cost.skipped;
    }
  }
  EXPECT_EQ(skipped, 24);
}

TEST_P(VideoRestTest, ResetWhileItRests) {
  const Clip clip = restless_clip();
  for (const StreamOptions& options : {options_of(Skip::kExact), options_of(Skip::kThreshold, 0.2f)}) {
    Recognizer used(tiny(), options), fresh(tiny(), options);
    std::size_t rests = 1;
    push(used, clip.frame(0));
    while (!push(used, clip.frame(rests)).cost.dense) ASSERT_LT(++rests, 12U);
    used.reset();
    for (std::size_t f = 13; f < clip.count(); ++f) {  // from where it is still: a new stream compares at once
      const Seen a = push(used, clip.frame(f)), b = push(fresh, clip.frame(f));
      expect_same(a, b);
      expect_same_cost(a.cost, b.cost);
      EXPECT_EQ(a.cost.dense, b.cost.dense);
    }
  }
}

TEST_P(VideoRestTest, LayersOfARestingStreamAreRefused) {
  const Clip clip = restless_clip();
  StreamOptions options = options_of(Skip::kExact);
  Recognizer stream(tiny(), options);
  expect_throw([&] { stream.layer_output("classes"); }, {"[stream]", "kept"});
  push(stream, clip.frame(0));
  EXPECT_NO_THROW(stream.layer_output("classes"));
  for (std::size_t f = 1; f < 12; ++f) push(stream, clip.frame(f));
  ASSERT_TRUE(stream.cost().dense);
  expect_throw([&] { stream.layer_output("classes"); }, {"[stream]", "kept"});
  options.always_compare = true;
  Recognizer other(tiny(), options);
  for (std::size_t f = 0; f < 12; ++f) {
    const Seen seen = push(other, clip.frame(f));
    EXPECT_EQ(seen.cost.dense, f == 0);
    EXPECT_EQ(floats(other.layer_output("classes").values<float>()), seen.logits);
  }
}

// Key frames and cuts are told of as ever; a resting stream has nothing else to do for them.
TEST_P(VideoRestTest, KeyFramesOfARestingStream) {
  Clip clip = tiny_clip(0);
  add_noisy(clip, 30, 20, 1);
  StreamOptions options = options_of(Skip::kExact);
  options.key_frame_interval = 7;
  Recognizer stream(tiny(), options), off(tiny(), options_of(Skip::kOff));
  for (std::size_t f = 0; f < clip.count(); ++f) {
    const Seen seen = push(stream, clip.frame(f));
    expect_same(seen, push(off, clip.frame(f)));
    EXPECT_EQ(seen.cost.key_frame, f % 7 == 0) << "frame " << f;
  }
  EXPECT_TRUE(push(stream, grey(255)).cost.key_frame);
}

}  // namespace
}  // namespace voxshift
