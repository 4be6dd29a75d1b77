// What skipping saves and loses with the trained model: every mode beside dense frames in turn, on held-out synthetic
// clips and on the clips of VOXSHIFT_DATA. `auto` takes the thresholds of the model file.
#include <voxshift/synth/video.h>
#include <voxshift/video/frame_source.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <numeric>

#include "input.h"
#include "measure.h"
#include "video_input.h"

namespace voxshift::bench {
namespace {

constexpr int kRepeatsPerPass = 4;  // a repeat of this program takes whole clips, that of others one call
constexpr std::size_t kTurn = 16;   // frames that a stream takes before it is the other's turn
constexpr std::uint64_t kHeldOut = (std::uint64_t{1} << 32) + 5000;  // seeds that neither training nor calibration uses
constexpr std::int64_t kFrames = 32;
constexpr int kRounds = 5;  // synthetic clips of every motion

struct Clip {
  std::vector<Array> frames;
  int label = -1;  // -1: unknown
};

struct ClipSet {
  std::string name;
  std::vector<Clip> clips;

  std::int64_t frames() const {
    std::int64_t count = 0;
    for (const Clip& clip : clips) count += static_cast<std::int64_t>(clip.frames.size());
    return count;
  }
};

struct Mode {
  std::string name;
  StreamOptions options;
};

ClipSet synthetic(const FrameProfile& profile, bool panning_camera) {
  ClipSet set{panning_camera ? "motions, panning camera" : "motions, static camera", {}};
  SynthVideoOptions options;
  options.frames = kFrames;
  options.height = profile.height, options.width = profile.width;
  options.panning_camera = panning_camera;
  const auto motions = static_cast<int>(synth_video_classes().size());
  for (int i = 0; i < kRounds * motions; ++i) {
    options.label = i % motions;
    const SynthClip clip = synth_video(kHeldOut + static_cast<std::uint64_t>(i), options);
    set.clips.push_back({frames_of(Array::from(clip.frames, {clip.count, clip.height, clip.width, 3})), options.label});
  }
  return set;
}

std::vector<ClipSet> load_clips(const Model& model) {
  const FrameProfile& profile = *model.profile().frames;
  std::vector<ClipSet> sets{synthetic(profile, false), synthetic(profile, true)};
  const char* const data = std::getenv("VOXSHIFT_DATA");
  if (data == nullptr) return sets;
  FrameSourceOptions options;
  options.size = {profile.height, profile.width};
  options.resize = profile.resize;
  for (const char* name : {"bikes", "carphone"}) {
    FrameSource source((std::filesystem::path(data) / "video" / (std::string(name) + ".mp4")).string(), options);
    Clip clip;
    while (const auto frame = source.next())
      clip.frames.push_back(Array::from(frame->pixels.values<std::uint8_t>(), frame->pixels.shape()));
    sets.push_back({name, {std::move(clip)}});
  }
  return sets;
}

std::vector<Mode> modes_of(const Model& model) {
  const auto threshold = [](float value) { return StreamOptions{.skip = Skip::kThreshold, .threshold = value}; };
  std::vector<Mode> modes{
      {"off", {}}, {"exact", {.skip = Skip::kExact}}, {"0.1", threshold(0.1f)}, {"0.3", threshold(0.3f)}};
  if (model.skip_thresholds()) {
    modes.push_back({"auto without whole frames", {.skip = Skip::kAuto, .whole_frames = false}});
    modes.push_back({"auto", {.skip = Skip::kAuto}});
  }
  return modes;
}

// Logits and labels of all frames, and what they cost.
struct Pass {
  std::vector<double> logits;
  std::vector<int> labels;
  double mac_fraction = 0, skipped = 0, changed = 0;  // means over the frames
  double accuracy = 0;                                // of the clips, by the sum of their logits
};

Pass pass_over(Recognizer& stream, const ClipSet& set) {
  Pass pass;
  for (const Clip& clip : set.clips) {
    stream.reset();
    std::vector<double> sum;
    for (const Array& frame : clip.frames) {
      const FrameResult result = stream.push(frame);
      sum.resize(result.logits.size());
      std::ranges::transform(sum, result.logits, sum.begin(), std::plus<>());
      pass.logits.insert(pass.logits.end(), result.logits.begin(), result.logits.end());
      pass.labels.push_back(result.label);
      pass.mac_fraction += result.cost.mac_fraction();
      pass.skipped += result.cost.skipped ? 1 : 0;
      pass.changed +=
          static_cast<double>(result.cost.changed_pixels) / static_cast<double>(frame.dim(0) * frame.dim(1));
    }
    pass.accuracy += std::ranges::max_element(sum) - sum.begin() == clip.label ? 1 : 0;
  }
  const auto count = static_cast<double>(set.frames());
  pass.mac_fraction /= count, pass.skipped /= count, pass.changed /= count;
  pass.accuracy /= static_cast<double>(set.clips.size());
  return pass;
}

double relative_change(const std::vector<double>& found, const std::vector<double>& dense) {
  double change = 0, norm = 0;
  for (std::size_t i = 0; i < dense.size(); ++i) {
    change += (found[i] - dense[i]) * (found[i] - dense[i]);
    norm += dense[i] * dense[i];
  }
  return std::sqrt(change / norm);
}

double agreement(const std::vector<int>& found, const std::vector<int>& dense) {
  std::int64_t same = 0;
  for (std::size_t i = 0; i < dense.size(); ++i) same += found[i] == dense[i] ? 1 : 0;
  return static_cast<double>(same) / static_cast<double>(dense.size());
}

// Mean over all frames of the best seconds of each, of two streams that take turns.
std::array<double, 2> seconds_per_frame(std::array<Recognizer*, 2> streams, const ClipSet& set, int repeats) {
  std::array<double, 2> sums{};
  for (const Clip& clip : set.clips) {
    const std::size_t count = clip.frames.size();
    std::array<std::vector<double>, 2> best;
    for (auto& seconds : best) seconds.assign(count, std::numeric_limits<double>::infinity());
    for (int repeat = 0; repeat < repeats; ++repeat) {
      for (Recognizer* const stream : streams) stream->reset();
      for (std::size_t first = 0; first < count; first += kTurn)
        for (std::size_t s = 0; s < streams.size(); ++s)
          for (std::size_t f = first; f < std::min(first + kTurn, count); ++f)
            best[s][f] = std::min(best[s][f], seconds_of([&] { streams[s]->push(clip.frames[f]); }));
    }
    for (std::size_t s = 0; s < streams.size(); ++s) sums[s] += std::accumulate(best[s].begin(), best[s].end(), 0.0);
  }
  for (double& sum : sums) sum /= static_cast<double>(set.frames());
  return sums;
}

void add_mode(const Options& options, const VideoNetwork& network, const ClipSet& set, const Mode& mode, int threads) {
  const std::string name = "skip/" + set.name + "/" + mode.name + "/threads:" + std::to_string(threads);
  add_benchmark(name, [&network, &set, &mode, repeats = options.repeats, threads](benchmark::State& state) {
    const auto pool = std::make_shared<ThreadPool>(threads);  // one: what disturbs it disturbs both
    StreamOptions with = mode.options, off;
    with.threads = off.threads = pool;
    Recognizer skipping(network, with), dense(network, off);
    const Pass pass = pass_over(skipping, set), whole = pass_over(dense, set);
    const auto [push, off_push] = seconds_per_frame({&skipping, &dense}, set, std::max(1, repeats / kRepeatsPerPass));
    state.counters["on_threads"] = threads;
    state.counters["frames"] = static_cast<double>(set.frames());
    state.counters["mac_fraction"] = pass.mac_fraction;
    state.counters["skipped"] = pass.skipped;
    state.counters["changed_pixels"] = pass.changed;
    state.counters["logit_change"] = relative_change(pass.logits, whole.logits);
    state.counters["same_labels"] = agreement(pass.labels, whole.labels);
    if (set.clips[0].label >= 0) state.counters["accuracy"] = pass.accuracy;
    state.counters["push_best_ms"] = 1e3 * push;
    state.counters["dense_best_ms"] = 1e3 * off_push;
    return push;
  });
}

void add(const Options& options) {
  static const Model model = Model::load(VOXSHIFT_PRETRAINED "/tsm-mobilenetv2-motions.safetensors");
  static const std::vector<ClipSet> sets = load_clips(model);
  static const VideoNetwork network(model);
  static const std::vector<Mode> modes = modes_of(model);
  for (const int threads : options.threads)
    for (const ClipSet& set : sets)
      for (const Mode& mode : modes) add_mode(options, network, set, mode, threads);
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) { return voxshift::bench::run_benchmarks(argc, argv, voxshift::bench::add); }
