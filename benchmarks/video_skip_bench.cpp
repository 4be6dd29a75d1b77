// What skipping saves and loses: every mode beside dense frames in turn, on the clips of VOXSHIFT_DATA, else on a
// synthetic one. The thresholds of `auto` are calibrated on other synthetic clips.
#include <voxshift/models/calibrate_skip.h>
#include <voxshift/synth/video.h>
#include <voxshift/video/frame_source.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "input.h"
#include "limits.h"
#include "measure.h"
#include "video_input.h"

namespace voxshift::bench {
namespace {

constexpr std::int64_t kCalibrationFrames = 24;  // the first dozen is processed whatever the thresholds
constexpr int kRepeatsPerPass = 4;               // a repeat of this program takes a whole clip, that of others one call

struct Clip {
  std::string name;
  std::vector<Array> frames;
};

struct Mode {
  std::string name;
  StreamOptions options;
};

// `voxshift calibrate`'s default, and less than the noise of a camera alone changes the logits of random weights.
constexpr double kBudgets[] = {0.01, 0.3};

std::vector<Clip> load_clips(const Model& model) {
  const char* const data = std::getenv("VOXSHIFT_DATA");
  if (data == nullptr) return {{"synthetic", synthetic_frames(model, 11, 100, true)}};
  const FrameProfile& profile = *model.profile().frames;
  FrameSourceOptions options;
  options.size = {profile.height, profile.width};
  options.resize = profile.resize;
  std::vector<Clip> clips;
  for (const char* name : {"bikes", "carphone"}) {
    FrameSource source((std::filesystem::path(data) / "video" / (std::string(name) + ".mp4")).string(), options);
    Clip clip{name, {}};
    while (const auto frame = source.next())
      clip.frames.push_back(Array::from(frame->pixels.values<std::uint8_t>(), frame->pixels.shape()));
    clips.push_back(std::move(clip));
  }
  return clips;
}

Array clip_of(const std::vector<Array>& frames) {
  Array clip({static_cast<std::int64_t>(frames.size()), frames[0].dim(0), frames[0].dim(1), 3}, DType::kU8);
  auto* out = clip.data<std::uint8_t>();
  for (const Array& frame : frames) out = std::ranges::copy(frame.values<std::uint8_t>(), out).out;
  return clip;
}

// Static and panning cameras, with noise of the sensor.
std::vector<Array> calibration_clips(const Model& model) {
  std::vector<Array> clips;
  for (const bool panning : {false, true})
    for (const std::uint64_t seed : {1, 2, 3})
      clips.push_back(clip_of(synthetic_frames(model, seed, kCalibrationFrames, panning)));
  return clips;
}

std::vector<Mode> modes_of(const VideoNetwork& network) {
  const auto threshold = [](float value) { return StreamOptions{.skip = Skip::kThreshold, .threshold = value}; };
  std::vector<Mode> modes{
      {"off", {}}, {"exact", {.skip = Skip::kExact}}, {"0.1", threshold(0.1f)}, {"0.3", threshold(0.3f)}};
  const std::vector<Array> clips = calibration_clips(network.model());
  for (const double budget : kBudgets) {
    const SkipCalibration found = calibrate_skip(network, clips, budget);
    std::ostringstream name;
    name << "auto " << budget;
    benchmark::AddCustomContext(
        "calibration " + name.str(),
        "logit change " + std::to_string(found.logit_change) + ", MAC fraction " + std::to_string(found.mac_fraction));
    for (const bool whole : {false, true})
      modes.push_back({name.str() + (whole ? "" : " without whole frames"),
                       {.skip = Skip::kAuto, .thresholds = found.thresholds, .whole_frames = whole}});
  }
  return modes;
}

// Logits of all frames, and what they cost.
struct Pass {
  std::vector<double> logits;
  double mac_fraction = 0, skipped = 0, changed = 0;  // means over the frames
};

Pass pass_over(VideoStream& stream, const Clip& clip) {
  Pass pass;
  stream.reset();
  for (const Array& frame : clip.frames) {
    const FrameResult result = stream.push(frame);
    pass.logits.insert(pass.logits.end(), result.logits.begin(), result.logits.end());
    pass.mac_fraction += result.cost.mac_fraction();
    pass.skipped += result.cost.skipped ? 1 : 0;
    pass.changed += static_cast<double>(result.cost.changed_pixels) / static_cast<double>(frame.dim(0) * frame.dim(1));
  }
  const auto count = static_cast<double>(clip.frames.size());
  pass.mac_fraction /= count, pass.skipped /= count, pass.changed /= count;
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

// Mean seconds of a frame.
double seconds_per_frame(VideoStream& stream, const Clip& clip) {
  stream.reset();
  return seconds_of([&] {
           for (const Array& frame : clip.frames) stream.push(frame);
         }) /
         static_cast<double>(clip.frames.size());
}

void add_mode(const Options& options, const VideoNetwork& network, const Clip& clip, const Mode& mode, int threads) {
  const std::string name = "skip/" + clip.name + "/" + mode.name + "/threads:" + std::to_string(threads);
  add_benchmark(name, [&network, &clip, &mode, repeats = options.repeats, threads](benchmark::State& state) {
    StreamOptions with = mode.options;
    with.threads = threads;
    StreamOptions off;
    off.threads = threads;
    VideoStream skipping(network, with), dense(network, off);
    const Pass pass = pass_over(skipping, clip);
    const Measurement result = measure(
        std::max(1, repeats / kRepeatsPerPass), [&] { return fma_peak(threads); },
        [&] {
          return std::vector<double>{seconds_per_frame(skipping, clip), seconds_per_frame(dense, clip)};
        });
    state.counters["on_threads"] = threads;
    state.counters["frames"] = static_cast<double>(clip.frames.size());
    state.counters["mac_fraction"] = pass.mac_fraction;
    state.counters["skipped"] = pass.skipped;
    state.counters["changed_pixels"] = pass.changed;
    state.counters["logit_change"] = relative_change(pass.logits, pass_over(dense, clip).logits);
    report_time(state, "push", result.timings[0]);
    report_time(state, "dense", result.timings[1]);
    return result.timings[0].median;
  });
}

// By how much the logits of a picture that stands still change with the sensor's noise.
double noise_change(const VideoNetwork& network) {
  const FrameProfile& profile = *network.model().profile().frames;
  SynthVideoOptions still;
  still.height = profile.height, still.width = profile.width;
  still.frames = kCalibrationFrames;
  still.label = static_cast<int>(std::ranges::find(synth_video_classes(), "still") - synth_video_classes().begin());
  std::vector<double> logits[2];
  for (const bool noisy : {false, true}) {
    still.noise = noisy ? SynthVideoOptions().noise : 0;
    const SynthClip clip = synth_video(1, still);
    VideoStream stream(network);
    const Array frames = Array::from(clip.frames, {clip.count, clip.height, clip.width, 3});
    logits[noisy ? 1 : 0] = pass_over(stream, {"still", frames_of(frames)}).logits;
  }
  return relative_change(logits[1], logits[0]);
}

void add(const Options& options) {
  static const Model model = video_model("tsm-mobilenetv2", 1);
  static const std::vector<Clip> clips = load_clips(model);
  static const VideoNetwork network(model);
  static const std::vector<Mode> modes = modes_of(network);
  std::string names;
  for (const Clip& clip : clips) names += (names.empty() ? "" : ", ") + clip.name;
  benchmark::AddCustomContext("clips", names);
  benchmark::AddCustomContext("calibration noise", std::to_string(noise_change(network)));
  for (const int threads : options.threads)
    for (const Clip& clip : clips)
      for (const Mode& mode : modes) add_mode(options, network, clip, mode, threads);
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) { return voxshift::bench::run_benchmarks(argc, argv, voxshift::bench::add); }
