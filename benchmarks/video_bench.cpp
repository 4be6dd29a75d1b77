// TSM networks frame by frame, from a u8 frame of the model's size to its scores: dense with and without the shift in
// turn, masked where a square of the frame changes, and a frame that is skipped whole.
#include <algorithm>
#include <array>
#include <functional>
#include <sstream>
#include <utility>

#include "input.h"
#include "limits.h"
#include "measure.h"
#include "video_input.h"

namespace voxshift::bench {
namespace {

constexpr int kFrames = 16;  // of the clip that dense streams repeat
constexpr int kPushes = 11;  // per repeat: streams that take turns frame by frame would share no warm cache
constexpr int kSettle = 12;  // frames until a change has passed through all shifts
constexpr std::uint64_t kSeed = 1;

std::string threads_name(int threads) { return "/threads:" + std::to_string(threads); }

// A stream that is given its frames again and again.
class Loop {
 public:
  Loop(const VideoNetwork& network, const StreamOptions& options, std::vector<Array> frames)
      : stream_(network, options), frames_(std::move(frames)) {}

  /// Median seconds of kPushes frames.
  double run() {
    std::array<double, kPushes> seconds;
    for (double& s : seconds) s = seconds_of([&] { push(); });
    std::ranges::nth_element(seconds, seconds.begin() + kPushes / 2);
    return seconds[kPushes / 2];
  }

  void push() { stream_.push(frames_[next_++ % frames_.size()]); }
  const Recognizer& stream() const { return stream_; }

 private:
  Recognizer stream_;
  std::vector<Array> frames_;
  std::size_t next_ = 0;
};

StreamOptions options_of(Skip skip, int threads) {
  StreamOptions options;
  options.skip = skip;
  options.threads = threads;
  return options;
}

// Dense frames with and without the shift in turn. `make` gives the model.
void add_dense(const Options& options, const std::string& name, double width, int threads,
               const std::function<Model()>& make) {
  add_benchmark(name + threads_name(threads), [options, width, threads, make](benchmark::State& state) {
    const Model model = make();
    const VideoNetwork shifted(model, Device::cpu(), options.dtype),
        plain(without_shift(model), Device::cpu(), options.dtype);
    const std::vector<Array> frames = synthetic_frames(model, kSeed, kFrames, true);
    check_first_frame(shifted, frames[0]);
    check_first_frame(plain, frames[0]);
    Loop with(shifted, options_of(Skip::kOff, threads), frames),
        without(plain, options_of(Skip::kOff, threads), frames);
    const Measurement result = measure(
        options.repeats, [&] { return fma_peak(threads); },
        [&] {
          return std::vector<double>{with.run(), without.run()};
        });
    state.counters["on_threads"] = threads;
    state.counters["width"] = width;
    state.counters["state_bytes"] = static_cast<double>(with.stream().state_bytes());
    report_time(state, "push", result.timings[0]);
    report_time(state, "plain", result.timings[1]);
    report_fraction(state, result, result.timings[0], static_cast<double>(shifted.dense_macs()));
    return result.timings[0].median;
  });
}

// Two frames that differ in a square of `side` pixels in the middle and nowhere else.
std::vector<Array> frames_with_square(const Model& model, std::int64_t side) {
  const Array first = synthetic_frames(model, kSeed, 1, false)[0];
  Array second = Array::from(first.values<std::uint8_t>(), first.shape());
  const std::int64_t height = first.dim(0), width = first.dim(1);
  for (std::int64_t y = (height - side) / 2; y < (height + side) / 2; ++y)
    for (std::int64_t i = 3 * (y * width + (width - side) / 2); i < 3 * (y * width + (width + side) / 2); ++i)
      second.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(255 - second.data<std::uint8_t>()[i]);
  return {first, second};
}

// Masked beside dense frames in turn. The threshold of the layers keeps changes from spreading over the deep ones.
void add_masked(const Options& options, const Model& model, std::int64_t side, float threshold, int threads) {
  std::ostringstream name;
  name << "masked/side:" << side << "/threshold:" << threshold << threads_name(threads);
  add_benchmark(name.str(), [&model, side, threshold, repeats = options.repeats, threads](benchmark::State& state) {
    const VideoNetwork network(model);
    StreamOptions masked = options_of(Skip::kAuto, threads);
    masked.thresholds = SkipThresholds{};
    for (const FrameLayer& layer : network.layers()) masked.thresholds->layers[layer.name] = threshold;
    const std::vector<Array> frames = frames_with_square(model, side);
    Loop some(network, masked, frames), all(network, options_of(Skip::kOff, threads), frames);
    for (int i = 0; i < kSettle; ++i) some.push();
    const Measurement result = measure(
        repeats, [&] { return fma_peak(threads); },
        [&] {
          return std::vector<double>{some.run(), all.run()};
        });
    state.counters["on_threads"] = threads;
    state.counters["side"] = static_cast<double>(side);
    state.counters["threshold"] = threshold;
    state.counters["mac_fraction"] = some.stream().cost().mac_fraction();
    state.counters["state_bytes"] = static_cast<double>(some.stream().state_bytes());
    report_time(state, "push", result.timings[0]);
    report_time(state, "dense", result.timings[1]);
    return result.timings[0].median;
  });
}

void add_skipped(const Options& options, const Model& model, int threads) {
  add_benchmark("skipped" + threads_name(threads),
                [&model, repeats = options.repeats, threads](benchmark::State& state) {
                  const VideoNetwork network(model);
                  StreamOptions skipping = options_of(Skip::kAuto, threads);
                  skipping.thresholds = SkipThresholds{};
                  skipping.thresholds->whole_frame = 8;
                  const std::vector<Array> frames = synthetic_frames(model, kSeed, 1, false);
                  Loop none(network, skipping, frames), all(network, options_of(Skip::kOff, threads), frames);
                  for (int i = 0; i < kSettle; ++i) none.push();
                  check<Error>(none.stream().cost().skipped, "skipped: a frame like the last one was not skipped");
                  const Measurement result = measure(
                      repeats, [&] { return fma_peak(threads); },
                      [&] {
                        return std::vector<double>{none.run(), all.run()};
                      });
                  state.counters["on_threads"] = threads;
                  state.counters["state_bytes"] = static_cast<double>(none.stream().state_bytes());
                  report_time(state, "push", result.timings[0]);
                  report_time(state, "dense", result.timings[1]);
                  return result.timings[0].median;
                });
}

void add_dense(const Options& options, const std::string& arch, double width, int threads) {
  std::ostringstream name;
  name << arch << "/width:" << width;
  add_dense(options, name.str(), width, threads, [arch, width] { return video_model(arch, width); });
}

void add(const Options& options) {
  static const Model model = video_model("tsm-mobilenetv2", 1);
  for (const int threads : options.threads) {
    if (!options.model.empty()) {  // nothing but dense frames of that model
      add_dense(options, "model", 0, threads, [path = options.model] { return Model::load(path); });
      continue;
    }
    for (const double width : {0.5, 1.0, 1.4}) add_dense(options, "tsm-mobilenetv2", width, threads);
    add_dense(options, "tsm-resnet50", 1, threads);
    for (const float threshold : {0.0f, 1.0f, 2.0f, 3.0f, 4.0f})
      for (const std::int64_t side : {16, 96, 192}) add_masked(options, model, side, threshold, threads);
    add_skipped(options, model, threads);
  }
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) { return voxshift::bench::run_benchmarks(argc, argv, voxshift::bench::add); }
