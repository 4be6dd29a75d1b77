// Calls one after the other, to be run beside other programs: mean, median and 99th percentile of a frame of
// TSM-MobileNetV2, and of a scan's voxels, kernel maps, network and furthest points. There is no reading of limits: a
// busy machine has none that holds for a second.
#include <voxshift/point_voxel/sampling.h>
#include <voxshift/tasks/segmenter.h>

#include <algorithm>
#include <numeric>

#include "input.h"
#include "measure.h"
#include "video_input.h"

namespace voxshift::bench {
namespace {

constexpr int kFrames = 16;
constexpr int kFramesPerRepeat = 40;  // a percentile of frames takes many
constexpr std::int64_t kSamples = 4096;
constexpr double kMilli = 1e3;

void report_calls(benchmark::State& state, const std::string& name, std::vector<double> seconds) {
  std::ranges::sort(seconds);
  const std::size_t n = seconds.size();
  state.counters[name + "_mean_ms"] =
      kMilli * std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(n);
  state.counters[name + "_median_ms"] = kMilli * seconds[n / 2];
  state.counters[name + "_p99_ms"] = kMilli * seconds[n * 99 / 100];
}

// Frames of a clip again and again.
void add_frames(const Options& options, const std::string& name, const Model& model, int threads) {
  add_benchmark(name + "/threads:" + std::to_string(threads),
                [&model, repeats = options.repeats, threads](benchmark::State& state) {
                  const VideoNetwork network(model);
                  const std::vector<Array> frames = synthetic_frames(model, 1, kFrames, true);
                  Recognizer stream(network, {.threads = threads});
                  std::vector<double> seconds;
                  for (int i = -kFrames; i < repeats * kFramesPerRepeat; ++i) {
                    const Array& frame = frames[static_cast<std::size_t>(i + kFrames) % frames.size()];
                    const double time = seconds_of([&] { stream.push(frame); });
                    if (i >= 0) seconds.push_back(time);
                  }
                  state.counters["on_threads"] = threads;
                  report_calls(state, "call", seconds);
                  return seconds[0];
                });
}

void add_scan(const Options& options, const Model& model, const Array& points, int threads) {
  add_benchmark("scan/threads:" + std::to_string(threads),
                [&, repeats = options.repeats, threads](benchmark::State& state) {
                  Segmenter segmenter(model, Device::cpu(), threads);
                  segmenter.segment(points);
                  std::vector<double> voxelize, maps, network;
                  for (int i = 0; i < repeats; ++i) {
                    segmenter.segment(points);
                    voxelize.push_back(segmenter.report().voxelize_seconds);
                    maps.push_back(segmenter.report().maps_seconds);
                    network.push_back(segmenter.report().network_seconds);
                  }
                  state.counters["on_threads"] = threads;
                  report_calls(state, "voxelize", voxelize);
                  report_calls(state, "maps", maps);
                  report_calls(state, "network", network);
                  return network[0];
                });
}

void add_furthest(const Options& options, const Array& points, int threads) {
  add_benchmark("furthest/threads:" + std::to_string(threads),
                [&points, repeats = options.repeats, threads](benchmark::State& state) {
                  set_num_threads(threads);
                  const PointSet cloud{points, std::nullopt};
                  furthest_point_sample(cloud, kSamples);
                  std::vector<double> seconds;
                  for (int i = 0; i < 4 * repeats; ++i)
                    seconds.push_back(seconds_of([&] { furthest_point_sample(cloud, kSamples); }));
                  state.counters["on_threads"] = threads;
                  report_calls(state, "call", seconds);
                  return seconds[0];
                });
}

// x y z of points [N, C].
Array positions_of(const Array& points) {
  Array result({points.dim(0), 3}, DType::kF32);
  for (std::int64_t i = 0; i < points.dim(0); ++i)
    std::copy_n(points.data<float>() + i * points.dim(1), 3, result.data<float>() + 3 * i);
  return result;
}

void add(const Options& options) {
  static const Model video = video_model("tsm-mobilenetv2", 1);
  static const Model small = Model::load(VOXSHIFT_PRETRAINED "/tsm-mobilenetv2-motions.safetensors");
  static const Model network = load_model(options.model);
  static const Array points = load_scan(options.scan), positions = positions_of(points);
  for (const int threads : options.threads) {
    add_frames(options, "frame", video, threads);
    add_frames(options, "frame_128", small, threads);
    add_scan(options, network, points, threads);
    add_furthest(options, positions, threads);
  }
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) { return voxshift::bench::run_benchmarks(argc, argv, voxshift::bench::add); }
