// Streams: the same results as whole clips, on any number of threads, side by side and after a reset.
#include <voxshift/engine/evaluate.h>

#include <limits>
#include <utility>

#include "stream_cases.h"

namespace voxshift {
namespace {

class RecognizerTest : public StreamTest {};
VOXSHIFT_FOR_EACH_DEVICE(RecognizerTest);

// Structure

TEST_P(RecognizerTest, State) {
  const VideoNetwork network = network_of(make_tsm_mobilenetv2({1.0, 27, {}}, 1), 224, 224);
  const Recognizer off(network), exact(network, options_of(Skip::kExact));
  EXPECT_EQ(off.state_bytes(), 27048U * 4);
  EXPECT_GT(exact.state_bytes(), 2'500'000U);
  EXPECT_LE(exact.state_bytes(), 3'000'000U);
  EXPECT_GT(exact.bytes(), exact.state_bytes());
  EXPECT_EQ(Recognizer(network, options_of(Skip::kOff, 0, 3)).threads(), 3);
  EXPECT_EQ(off.network().dense_macs(), network.dense_macs());
}

TEST_P(RecognizerTest, ResultOfAFrame) {
  Recognizer stream(tiny());
  const Seen seen = push(stream, tiny_clip(1).frame(0));
  ASSERT_EQ(seen.logits.size(), 5U);
  std::size_t highest = 0;
  double sum = 0;
  for (std::size_t c = 0; c < 5; ++c) {
    if (seen.logits[c] > seen.logits[highest]) highest = c;
    sum += std::exp(static_cast<double>(seen.logits[c]));
  }
  EXPECT_EQ(seen.label, static_cast<int>(highest));
  for (std::size_t c = 0; c < 5; ++c) EXPECT_NEAR(seen.scores[c], std::exp(seen.logits[c]) / sum, 1e-6);
  EXPECT_EQ(seen.cost.macs, tiny().dense_macs());
  EXPECT_EQ(seen.cost.dense_macs, tiny().dense_macs());
  EXPECT_EQ(seen.cost.mac_fraction(), 1);
  EXPECT_TRUE(seen.cost.key_frame);
  EXPECT_FALSE(seen.cost.skipped);
  EXPECT_EQ(seen.cost.changed_pixels, kStreamHeight * kStreamWidth);
  EXPECT_GT(seen.cost.seconds, 0);
  for (const std::uint8_t changed : stream.changed_pixels()) EXPECT_EQ(changed, 1);
}

struct Case {
  const char* name;
  Network network;
  std::int64_t height, width;
};

std::vector<Case> cases() {
  return {{"tiny", tiny_network(), kStreamHeight, kStreamWidth}, {"mobilenet", mobilenet(0.5), 40, 32}};
}

// Value

TEST_P(RecognizerTest, FramesAreThoseOfTheClip) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const OneThread small_ops;
    const Clip clip(c.height, c.width, emulated() ? 12 : 40);
    const Array expected = evaluate(c.network.graph, c.network.parameters, clip.normalized());
    const VideoNetwork network = network_of(c.network, c.height, c.width);
    Recognizer stream(network, options_of(Skip::kOff));
    for (std::size_t f = 0; f < clip.count(); ++f) {
      const float* row = expected.data<float>() + f * 5;
      EXPECT_LE(relative_change(push(stream, clip.frame(f)).logits, {row, row + 5}), 1e-5) << "frame " << f;
    }
  }
}

// Identities

TEST_P(RecognizerTest, ResetIsANewStream) {
  const Clip clip = tiny_clip(4).add_noise(4);
  for (const StreamOptions& options :
       {options_of(Skip::kOff), options_of(Skip::kExact), options_of(Skip::kThreshold, 0.3f),
        auto_options(thresholds_of(tiny(), 0.1f, 0.1f, 2))}) {
    Recognizer used(tiny(), options), fresh(tiny(), options);
    for (std::size_t f = 0; f < clip.count(); ++f) push(used, clip.frame(clip.count() - 1 - f));
    used.reset();
    expect_same_cost(used.cost(), fresh.cost());
    EXPECT_EQ(used.cost().dense_macs, tiny().dense_macs());
    for (std::size_t f = 0; f < clip.count(); ++f) {
      const Seen a = push(used, clip.frame(f)), b = push(fresh, clip.frame(f));
      expect_same(a, b);
      expect_same_cost(a.cost, b.cost);
    }
  }
}

TEST_P(RecognizerTest, ThreadsDoNotMatter) {
  const Clip clip = tiny_clip(5).add_noise(4);
  for (const Skip skip : {Skip::kOff, Skip::kExact, Skip::kThreshold}) {
    const auto on_threads = [&](int threads) { return always(options_of(skip, 0.2f, threads)); };
    Recognizer one(tiny(), on_threads(1)), two(tiny(), on_threads(2)), three(tiny(), on_threads(3));
    for (std::size_t f = 0; f < clip.count(); ++f) {
      const Seen expected = push(one, clip.frame(f));
      for (Recognizer* stream : {&two, &three}) {
        const Seen seen = push(*stream, clip.frame(f));
        expect_same(seen, expected);
        expect_same_cost(seen.cost, expected.cost);
      }
    }
  }
}

TEST_P(RecognizerTest, StreamsOfOneNetworkDoNotMeet) {
  std::vector<Clip> clips;
  std::vector<StreamOptions> options;
  for (unsigned s = 0; s < 6; ++s) {
    clips.push_back(
        Clip(kStreamHeight, kStreamWidth, 5, 1 + static_cast<int>(s) % 2, s).add_noise(static_cast<int>(s)));
    options.push_back(options_of(s % 3 == 0 ? Skip::kOff : s % 3 == 1 ? Skip::kExact : Skip::kThreshold, 0.2f));
  }
  std::vector<std::vector<Seen>> alone(clips.size());
  for (std::size_t s = 0; s < clips.size(); ++s) {
    Recognizer stream(tiny(), options[s]);
    for (std::size_t f = 0; f < clips[s].count(); ++f) alone[s].push_back(push(stream, clips[s].frame(f)));
  }
  std::vector<Recognizer> streams;
  {
    const VideoNetwork copy = tiny();  // streams outlive the network they were made of
    for (const StreamOptions& o : options) streams.emplace_back(copy, o);
  }
  for (std::size_t f = 0; f < 5; ++f)
    for (std::size_t s = 0; s < streams.size(); ++s) {
      const Seen seen = push(streams[s], clips[s].frame(f));
      expect_same(seen, alone[s][f]);
      expect_same_cost(seen.cost, alone[s][f].cost);
    }
}

// Where dense frames are recorded and replayed, exact ones are not, and have the same bits.
TEST_P(RecognizerTest, RecordedFramesAreThoseOfStreamsThatDoNotRecord) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const VideoNetwork network = network_of(c.network, c.height, c.width);
    std::vector<Recognizer> dense, exact;
    std::vector<Clip> clips;
    for (const unsigned s : {1u, 2u}) {
      dense.emplace_back(network, options_of(Skip::kOff));
      exact.emplace_back(network, options_of(Skip::kExact));
      clips.push_back(Clip(c.height, c.width, 6, 1, s));
    }
    for (std::size_t f = 0; f < clips[0].count(); ++f)
      for (std::size_t s = 0; s < dense.size(); ++s) {
        SCOPED_TRACE("frame " + std::to_string(f) + ", stream " + std::to_string(s));
        if (f == 2 + s || f == 4) dense[s].reset(), exact[s].reset();
        expect_same(push(dense[s], clips[s].frame(f)), push(exact[s], clips[s].frame(f)));
      }
  }
}

// Errors

TEST_P(RecognizerTest, ABadFrameLeavesTheStreamAsItWas) {
  const Clip clip = tiny_clip(4);
  for (const Skip skip : {Skip::kOff, Skip::kExact}) {
    Recognizer stream(tiny(), options_of(skip)), other(tiny(), options_of(skip));
    for (std::size_t f = 0; f < clip.count(); ++f) {
      for (const Array& bad :
           {Array({kStreamHeight, kStreamWidth, 3}, DType::kF32), Array({kStreamHeight, kStreamWidth, 1}, DType::kU8),
            Array({kStreamHeight, kStreamWidth, 4}, DType::kU8), Array({kStreamHeight, kStreamWidth}, DType::kU8),
            Array({kStreamWidth, kStreamHeight, 3}, DType::kU8), Array({1, kStreamHeight, kStreamWidth, 3}, DType::kU8),
            Array({0, 0, 3}, DType::kU8), Array()})
        expect_throw([&] { stream.push(bad); }, {"[stream]", "u8 [26, 34, 3]", "found"});
      const Seen seen = push(stream, clip.frame(f)), expected = push(other, clip.frame(f));
      expect_same(seen, expected);
      expect_same_cost(seen.cost, expected.cost);
    }
  }
}

TEST_P(RecognizerTest, BadOptions) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {-0.1f, infinity, -infinity, std::nanf("")})
    expect_throw([&] { Recognizer(tiny(), options_of(Skip::kThreshold, bad)); }, {"[skip]", "finite"});
  for (const SkipThresholds& bad :
       {SkipThresholds{-1, {}, 0}, SkipThresholds{0, {}, std::nanf("")}, SkipThresholds{0, {{"classes", infinity}}, 0}})
    expect_throw([&] { Recognizer(tiny(), auto_options(bad)); }, {"[skip]", "finite"});
  expect_throw([&] { Recognizer(tiny(), auto_options({0, {{"nowhere", 1.0f}}, 0})); }, {"[skip]", "\"nowhere\""});
  expect_throw([&] { Recognizer(tiny(), options_of(Skip::kAuto)); }, {"[skip]", "no thresholds"});
  StreamOptions interval;
  interval.key_frame_interval = -1;
  expect_throw([&] { Recognizer(tiny(), interval); }, {"key_frame_interval", "-1"});
  const VideoNetwork clips = network_of(tiny_network({4, true}), kStreamHeight, kStreamWidth);
  expect_throw([&] { Recognizer stream(clips); }, {"[stream]", "next frame"});
}

TEST_P(RecognizerTest, LayerOutput) {
  Recognizer off(tiny()), exact(tiny(), options_of(Skip::kExact));
  expect_throw([&] { off.layer_output("classes"); }, {"[stream]", "dense"});
  expect_throw([&] { exact.layer_output("nowhere"); }, {"[stream]", "\"nowhere\""});
  const Seen seen = push(exact, tiny_clip(1).frame(0));
  const Array logits = exact.layer_output("classes");
  EXPECT_EQ(logits.shape(), (Shape{1, 1, 5}));
  EXPECT_EQ(floats(logits.values<float>()), seen.logits);
  EXPECT_EQ(exact.layer_output("b.project").shape(), (Shape{7, 9, 12}));
}

// The model's own thresholds are used unless others are given.
TEST_P(RecognizerTest, ThresholdsOfTheModel) {
  const Model model = tiny().model().with_skip_thresholds(thresholds_of(tiny(), 0.2f, 0.2f, 2));
  Recognizer own(VideoNetwork(model, device(), DType::kF32), options_of(Skip::kAuto)),
      given(tiny(), auto_options(*model.skip_thresholds()));
  const Clip clip = brightening_clip(6, 2, 1);
  settle(own, clip.frame(0)), settle(given, clip.frame(0));
  for (std::size_t f = 0; f < clip.count(); ++f) {
    const Seen a = push(own, clip.frame(f)), b = push(given, clip.frame(f));
    expect_same(a, b);
    expect_same_cost(a.cost, b.cost);
    EXPECT_EQ(a.cost.skipped, f % 2 == 1);
  }
}

}  // namespace
}  // namespace voxshift
